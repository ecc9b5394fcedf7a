"""The registry of training methods."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .settings import TrainingSettings
    from .trainer import Trainer


@dataclass(frozen=True)
class Method:
    """A way of training.

    Parameters
    ----------
    name : str
        What `spikeunet train` calls it.
    summary : str
        One line for the help.
    module : str
        Module that defines `TRAINER`, a subclass of Trainer whose `settings_type` is the dataclass of the method's
        settings; ".name" is one of this package. It is imported when the method is asked for.
    writes : str
        What a trained model's file is, in a few words.
    """

    name: str
    summary: str
    module: str
    writes: str = "a model file, which `spikeunet classify` and `evaluate` run, and `simulate` in Python"

    @property
    def trainer(self) -> type[Trainer[Any]]:
        """The method's trainer."""
        found: type[Trainer[Any]] = importlib.import_module(self.module, __package__).TRAINER
        return found

    @property
    def settings(self) -> type[TrainingSettings]:
        """The dataclass of the method's settings."""
        return self.trainer.settings_type


OWN: tuple[Method, ...] = (
    Method("dsr", "Training on the spike representation: rates forward, clipped activations backward.", ".dsr"),
    Method("ide", "Feedback networks, by implicit differentiation at the equilibrium.", ".implicit_differentiation"),
    Method("softlif", "Smooth firing rates, for leaky integrate-and-fire neurons.", ".softlif"),
    Method(
        "spike-times",
        "Exact spike times in continuous time (ReL-PSP): one spike a neuron, gradients in closed form.",
        ".spike_times.training",
        "a file of weights, which `simulate_times` runs (`load_times_network`)",
    ),
    Method(
        "stdp",
        "Convolutions that learn without labels: latencies, spike-timing-dependent plasticity, a linear readout.",
        ".stdp.training",
        "a file of filters, thresholds and readout (`load_stdp_model`)",
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in OWN}
"""Methods by name; add one by adding an entry."""


def method_named(name: str) -> Method:
    """The method called `name`; InputError where there is none."""
    if name not in METHODS:
        raise InputError(f"the method must be one of {', '.join(METHODS)} (got {name!r})")
    return METHODS[name]
