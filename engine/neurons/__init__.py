"""Neuron models: small frozen dataclasses of parameters, one file each, all run by one vectorised firing kernel."""

from .firing import FiringConstants, NeuronModel
from .integrate_and_fire import IntegrateAndFire
from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .multi_threshold import MultiThreshold

__all__ = ["FiringConstants", "IntegrateAndFire", "LeakyIntegrateAndFire", "MultiThreshold", "NeuronModel"]
