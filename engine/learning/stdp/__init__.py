"""Convolutions that learn from spikes without labels (STDP), and what goes before and behind them.

Differences of Gaussians, latencies, competition by the first spike, adaptive thresholds; motion made into a still
picture first (arXiv 2105.14740).
"""

from .filters import StdpFilters, StdpRule, random_filters
from .front import difference_of_gaussians, latencies
from .model import StdpModel, load_stdp_model, save_stdp_model
from .motion import FUSIONS, MOTIONS, flow_grid, frame_differences, still_pictures

__all__ = [
    "FUSIONS",
    "MOTIONS",
    "StdpFilters",
    "StdpModel",
    "StdpRule",
    "difference_of_gaussians",
    "flow_grid",
    "frame_differences",
    "latencies",
    "load_stdp_model",
    "random_filters",
    "save_stdp_model",
    "still_pictures",
]
