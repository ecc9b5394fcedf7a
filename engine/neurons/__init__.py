"""Neuron models: small frozen dataclasses of parameters, one file each.

A ladder of thresholds runs in the vectorised firing kernel (firing.py); any other model is a step function that is
registered and compiled (registry.py), from outside the package too.
"""

from .adaptive import AdaptiveLeakyIntegrateAndFire
from .alpha import AlphaNeuron
from .arithmetic import Arithmetic, arithmetic_of
from .burst import BurstNeuron
from .current_based import CurrentBasedLeakyIntegrateAndFire
from .escape_noise import EscapeNoiseLeakyIntegrateAndFire
from .event_driven import is_event_driven
from .firing import FiringConstants, LadderModel
from .heterogeneous import Heterogeneous, check_model, registration_behind
from .integrate_and_fire import IntegrateAndFire
from .integrators import Integrator, LeakyIntegrator
from .interpolated import InterpolatedLeakyIntegrateAndFire
from .izhikevich import Izhikevich
from .lapicque import Lapicque
from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .levels import LevelTable, analog_activation, conserves_charge, initial_state, level_table, rectifies
from .multi_threshold import MultiThreshold
from .perfect_integrate_and_fire import PerfectIntegrateAndFire
from .plug_ins import find_registered, import_plug_ins
from .random_numbers import layer_key, random_number
from .refractory import RefractoryLeakyIntegrateAndFire
from .registry import Registration, register_neuron, registered, registered_names, registration_of
from .response import mean_emission
from .rest import rests_exactly
from .signed_multi_threshold import SignedMultiThreshold
from .stepped import NeuronModel, SteppedModel

__all__ = [
    "AdaptiveLeakyIntegrateAndFire",
    "AlphaNeuron",
    "Arithmetic",
    "BurstNeuron",
    "CurrentBasedLeakyIntegrateAndFire",
    "EscapeNoiseLeakyIntegrateAndFire",
    "FiringConstants",
    "Heterogeneous",
    "IntegrateAndFire",
    "Integrator",
    "InterpolatedLeakyIntegrateAndFire",
    "Izhikevich",
    "LadderModel",
    "Lapicque",
    "LeakyIntegrateAndFire",
    "LeakyIntegrator",
    "LevelTable",
    "MultiThreshold",
    "NeuronModel",
    "PerfectIntegrateAndFire",
    "RefractoryLeakyIntegrateAndFire",
    "Registration",
    "SignedMultiThreshold",
    "SteppedModel",
    "analog_activation",
    "arithmetic_of",
    "check_model",
    "conserves_charge",
    "find_registered",
    "import_plug_ins",
    "initial_state",
    "is_event_driven",
    "layer_key",
    "level_table",
    "mean_emission",
    "random_number",
    "rectifies",
    "register_neuron",
    "registered",
    "registered_names",
    "registration_behind",
    "registration_of",
    "rests_exactly",
]
