"""Neuron models: small frozen dataclasses of parameters, one file each.

A ladder of thresholds runs in the vectorised firing kernel (firing.py); any other model is a step function that is
registered and compiled (registry.py), from outside the package too.
"""

from .arithmetic import Arithmetic, arithmetic_of
from .burst import BurstNeuron
from .firing import FiringConstants, LadderModel
from .integrate_and_fire import IntegrateAndFire
from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .levels import LevelTable, conserves_charge, initial_state, level_table, rectifies
from .multi_threshold import MultiThreshold
from .plug_ins import find_registered, import_plug_ins
from .refractory import RefractoryLeakyIntegrateAndFire
from .registry import Registration, check_model, register_neuron, registered, registered_names, registration_of
from .response import mean_emission
from .signed_multi_threshold import SignedMultiThreshold
from .stepped import NeuronModel, SteppedModel

__all__ = [
    "Arithmetic",
    "BurstNeuron",
    "FiringConstants",
    "IntegrateAndFire",
    "LadderModel",
    "LeakyIntegrateAndFire",
    "LevelTable",
    "MultiThreshold",
    "NeuronModel",
    "RefractoryLeakyIntegrateAndFire",
    "Registration",
    "SignedMultiThreshold",
    "SteppedModel",
    "arithmetic_of",
    "check_model",
    "conserves_charge",
    "find_registered",
    "import_plug_ins",
    "initial_state",
    "level_table",
    "mean_emission",
    "rectifies",
    "register_neuron",
    "registered",
    "registered_names",
    "registration_of",
]
