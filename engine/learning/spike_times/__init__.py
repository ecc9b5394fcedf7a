"""Networks of neurons that spike once, in continuous time: their simulation, gradients and training.

ReL-PSP (Zhang et al., arXiv 2003.11837): a spike at t_i adds w max(t - t_i, 0) to a neuron's potential, and the neuron
spikes when that first reaches its threshold.
"""

from .layers import TimesNetwork, load_times_network, save_times_network, times_network
from .simulation import TimesResult, simulate_grid, simulate_times

__all__ = [
    "TimesNetwork",
    "TimesResult",
    "load_times_network",
    "save_times_network",
    "simulate_grid",
    "simulate_times",
    "times_network",
]
