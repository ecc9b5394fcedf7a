"""Neurons that need no update where nothing arrives."""

from __future__ import annotations

from .firing import LadderModel
from .stepped import NeuronModel


def is_event_driven(model: NeuronModel) -> bool:
    """Whether a step with the current 0 that does not fire leaves all state variables as they are, bit for bit.

    A ladder of thresholds without leak does so. A registered model says it by `event_driven = True`; by default it does
    not. Where nothing arrives, a neuron that would not fire by itself is then passed over.
    """
    if isinstance(model, LadderModel):
        return model.firing_constants().decay == 1
    return bool(getattr(model, "event_driven", False))
