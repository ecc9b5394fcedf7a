"""What a ladder of thresholds tells the firing kernel, and the checks that the models share.

One step of a neuron with membrane potential v and input current i:

    v <- decay * v + i
    for each threshold k, in order:
        if v > compare[k]:
            v <- keep * v - subtract[k]
            set bit k of the level

The value that the neuron emits is `emit[level]`. Non-strict comparison (v >= theta) is strict comparison with the next
smaller float32, and a reset to zero is keep = 0 with nothing subtracted, so multi-threshold, IF and LIF neurons share
one kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import NeuronError
from ..float32 import LARGEST, SMALLEST, held, without_subnormals
from ..memory import worked_out_once
from ..structural import StructuralCheck

MAXIMUM_THRESHOLDS = 8
"""A level is one byte: a bit for each threshold that a neuron crossed in a step."""

RESETS = ("subtract", "zero")


@dataclass(frozen=True, eq=False)
class FiringConstants:
    """Parameters of a neuron model in the form that the firing kernel takes.

    Parameters
    ----------
    compare : (K,) float32
        The neuron crosses threshold k when v > compare[k].
    subtract : (K,) float32
        Taken from v at each crossing.
    emit : (256,) float32
        Value emitted for each level; level is a bit mask over the thresholds.
    decay : float
        Share of v that is left from one step to the next; 1 for no leak.
    keep : float
        Factor on v at a crossing: 1 for reset by subtraction, 0 for reset to zero.
    initial : float
        v before the first step.
    """

    compare: NDArray[np.float32]
    subtract: NDArray[np.float32]
    emit: NDArray[np.float32]
    decay: float
    keep: float
    initial: float


@runtime_checkable
class LadderModel(Protocol, metaclass=StructuralCheck):
    """A neuron model that is a ladder of thresholds: the vectorised firing kernel runs it."""

    @property
    def initial(self) -> float:
        """Membrane potential before the first step."""

    def firing_constants(self) -> FiringConstants:
        """Parameters for the firing kernel."""


def check_number(owner: str, name: str, value: float) -> float:
    """`value` as a float that float32 can hold; NeuronError otherwise."""
    if isinstance(value, (str, bytes, bytearray)):  # float() would take "1" for a number
        raise NeuronError(f"{owner}.{name}: must be a number (got {value!r})")
    try:
        number = float(value)
    except OverflowError:  # of a huge int
        number = math.inf
    except (TypeError, ValueError):
        raise NeuronError(f"{owner}.{name}: must be a number (got {value!r})") from None
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise NeuronError(f"{owner}.{name}: must be a finite float32 number (got {number})")
    return number


def checked_constants(model: LadderModel) -> FiringConstants:
    """The firing constants of a ladder, with zeros for values emitted that are subnormal.

    NeuronError where they are not what they must be.
    """
    owner, constants = type(model).__name__, model.firing_constants()
    if not isinstance(constants, FiringConstants):
        raise NeuronError(f"{owner}.firing_constants: must return FiringConstants (got {constants!r:.80})")
    shapes = {name: np.shape(getattr(constants, name)) for name in ("compare", "subtract", "emit")}
    count = shapes["compare"][0] if len(shapes["compare"]) == 1 else 0
    if not 1 <= count <= MAXIMUM_THRESHOLDS or list(shapes.values()) != [(count,), (count,), (256,)]:
        raise NeuronError(
            f"{owner}.firing_constants: compare and subtract must hold 1 to {MAXIMUM_THRESHOLDS} numbers each and emit "
            f"256 (got {shapes})"
        )
    for name in ("compare", "subtract", "emit", "decay", "keep"):
        if not np.isfinite(getattr(constants, name)).all():
            raise NeuronError(f"{owner}.firing_constants: {name} must be finite float32 numbers")
    check_number(owner, "initial", model.initial)
    emit = without_subnormals(constants.emit)
    return constants if emit is constants.emit else replace(constants, emit=emit)


def check_threshold(owner: str, value: float) -> float:
    """`value` as a threshold that is positive in float32, and not subnormal; NeuronError otherwise."""
    number = check_number(owner, "threshold", value)
    if number < SMALLEST:
        rounding = f"; float32 numbers below {SMALLEST:.3g} count as zero" if number > 0 else ""
        raise NeuronError(f"{owner}.threshold: must be positive (got {value}{rounding})")
    return number


def check_ladder(owner: str, name: str, values: Sequence[float], most: int) -> tuple[float, ...]:
    """`values` as up to `most` thresholds that are positive and descend in float32; NeuronError otherwise."""
    try:
        thresholds = tuple(check_number(owner, name, value) for value in values)
    except TypeError:
        raise NeuronError(f"{owner}.{name}: must be a sequence (got {values!r})") from None
    if not 1 <= len(thresholds) <= most:
        raise NeuronError(f"{owner}.{name}: must be 1 to {most} numbers (got {len(thresholds)})")
    in_float32 = tuple(held(threshold) for threshold in thresholds)
    if any(low >= high for high, low in pairwise(in_float32)) or in_float32[-1] <= 0:
        rounding = "" if in_float32 == thresholds else f", which float32 holds as {in_float32}"
        raise NeuronError(f"{owner}.{name}: must be positive and strictly descending (got {thresholds}{rounding})")
    check_number(owner, f"the sum of the {name}", sum(in_float32))
    return thresholds


class UnitSpikes:
    """Neurons whose spikes have the value 1."""

    def levels(self) -> tuple[float, float]:
        """A spike has the value 1."""
        return 0.0, 1.0


class ChosenReset:
    """Neurons that are reset as their field `reset` says."""

    reset: str

    @property
    def to_zero(self) -> bool:
        """Whether a spike sets the potential to zero."""
        return self.reset == "zero"


class Threshold:
    """Neurons with a threshold of which their field `strict` says whether reaching it is enough."""

    threshold: float
    strict: bool

    @property
    def most(self) -> float:
        """The largest potential, as float64, at which a neuron does not fire: one comparison serves both kinds."""
        return self.threshold if self.strict else math.nextafter(self.threshold, -math.inf)


class LateReset(ChosenReset):
    """Neurons whose reset, v <- kept * v - subtracted, comes a step later where their field `late_reset` says so.

    Both choices are numbers, because truth values beside comparisons take several times as many instructions where
    neurons are lanes of vectors.
    """

    threshold: float
    most: float
    late_reset: bool

    @property
    def most_of_late(self) -> float:
        """The largest potential, of the step before, that is not reset behind leak and input."""
        return self.most if self.late_reset else LARGEST

    @property
    def most_of_early(self) -> float:
        """The largest potential that is not reset at once."""
        return LARGEST if self.late_reset else self.most

    @property
    def kept(self) -> float:
        """Factor on the potential at a reset."""
        return 0.0 if self.to_zero else 1.0

    @property
    def subtracted(self) -> float:
        """What a reset takes from the potential; to zero the negative zero, so that none of the results is one."""
        return -0.0 if self.to_zero else self.threshold


def check_reset(owner: str, reset: str) -> str:
    """`reset` where it is one of RESETS; NeuronError otherwise."""
    if reset not in RESETS:
        raise NeuronError(f"{owner}.reset: must be one of {', '.join(RESETS)} (got {reset!r})")
    return reset


def ladder_constants(
    thresholds: Sequence[float], *, strict: bool, initial: float, decay: float = 1.0, reset: str = "subtract"
) -> FiringConstants:
    """Firing constants of a ladder of thresholds; each threshold that is crossed emits its own value."""
    compare, subtract, emit = (array.copy() for array in _ladder_arrays(tuple(thresholds), strict))
    zero_reset = reset == "zero"
    return FiringConstants(
        compare=compare,
        subtract=np.zeros_like(subtract) if zero_reset else subtract,
        emit=emit,
        decay=decay,
        keep=0.0 if zero_reset else 1.0,
        initial=initial,
    )


@worked_out_once(256)
def _ladder_arrays(thresholds: tuple[float, ...], strict: bool) -> tuple[NDArray[np.float32], ...]:
    """What thresholds are compared with, what is subtracted at each, and what each level emits.

    Every network asks for them many times, and most networks have one ladder.
    """
    subtract = np.array(thresholds, np.float32)
    compare = subtract if strict else np.nextafter(subtract, np.float32(-np.inf))
    levels = np.arange(2**MAXIMUM_THRESHOLDS)
    emit = np.zeros(levels.size, np.float32)
    for bit, threshold in enumerate(subtract):
        emit += np.where(levels >> bit & 1, threshold, np.float32(0))
    return compare, subtract, emit
