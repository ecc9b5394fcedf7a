r"""Training on the spike representation (DSR; Meng et al., CVPR 2022, arXiv 2205.00459).

Forward, T steps of integrate-and-fire neurons, with a leak or without one, which are

    v <- decay v + current;    fire where v >= alpha theta;    v <- v - theta;    emit theta

What a population emitted is represented by one number a neuron: the mean of the values over the steps, of a leaky
neuron weighted by decay^(T - t). The same mean of its input, r, and that of its output, o, differ by what is left on
the membrane: o = r - v_T / sum of the weights. So o is close to clip(r, 0, theta), and the backward pass is that of a
network of such clips, at the representations that were counted: do/dr = 1 where 0 <= r <= theta, do/dtheta = 1 where
r > theta. Thresholds are trained, one for each population, and kept above a floor.

In the engine, alpha is an initial potential: firing at alpha theta is firing at theta from (1 - alpha) theta on; where
the potential decays, a bias current of (1 - decay) (1 - alpha) theta keeps that up. The paper's discretisation of the
leak (time constant, step) differs from this one in the scales of weights and thresholds only.
"""

from .connections import Connections, Tape, clipped_tape, representation_gradients, spiking_tape
from .convolutions import Convolutions, GraphTape
from .settings import DsrSettings
from .training import TRAINER, DsrTrainer

__all__ = [
    "TRAINER",
    "Connections",
    "Convolutions",
    "DsrSettings",
    "DsrTrainer",
    "GraphTape",
    "Tape",
    "clipped_tape",
    "representation_gradients",
    "spiking_tape",
]
