"""Neurons that stay as they are before the first step for as long as nothing arrives."""

from __future__ import annotations

import math

from ..float32 import LARGEST, held
from .firing import LadderModel
from .heterogeneous import Heterogeneous
from .levels import initial_state
from .registry import registration_of
from .stepped import NeuronModel, SteppedModel


def rests_exactly(model: NeuronModel) -> bool:
    """Whether a step with the current 0 leaves a neuron at rest as it is, bit for bit, and does not fire.

    At rest means a potential of 0 for a ladder of thresholds, and for a registered model the state before the first
    step, of `Heterogeneous` that of each of its neurons. It is found by trying, once. What fires or changes by itself
    does not rest, nor what says so (`rests`), nor a model whose step is told its index or a random number.
    """
    if isinstance(model, LadderModel):
        return bool((model.firing_constants().compare >= 0).all())
    return all(map(_stays, model.distinct if isinstance(model, Heterogeneous) else (model,)))


def _stays(model: SteppedModel) -> bool:
    registration, before = registration_of(model), initial_state(model).values()
    if registration.inputs or not getattr(model, "rests", True):
        return False
    try:
        level, *after = registration.step(0.0, *before, *registration.arguments(model))
    except (ArithmeticError, ValueError):  # The compiled step would go on with an infinite number.
        return False
    return level == 0 and all(map(_is_kept_as, after, before))


def _is_kept_as(after: float, before: float) -> bool:
    """Whether what is kept of a number between two steps is the same as before, bit for bit."""
    kept = held(after) if abs(after) <= LARGEST else math.inf
    return kept == before and math.copysign(1, kept) == math.copysign(1, before)
