"""What a neuron's levels mean, whatever its model: the value that each emits, and the spikes that it counts for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeuronError
from ..float32 import held
from ..lazy import lazy_property
from .firing import LadderModel, check_number, checked_constants
from .stepped import MAXIMUM_LEVELS, NeuronModel, SteppedModel

_BITS_OF_LEVELS = np.bitwise_count(np.arange(256)).astype(np.int64)


def spikes_of_ladders() -> NDArray[np.int64]:
    """(256,) spikes of each level of a ladder: one for each threshold that was crossed."""
    return _BITS_OF_LEVELS.copy()


@dataclass(frozen=True, eq=False)
class LevelTable:
    """The levels of a neuron model.

    Parameters
    ----------
    emit : (256,) float32
        Value of each level.
    spikes : (256,) int64
        Spikes that each level counts for, in all.
    values : (K,) tuple of float
        Value of each kind of spike that the ledger tells apart: of each threshold of a ladder, or of each level.
    masks : bool
        Whether a level is a bit mask over thresholds. If not, level k counts as `spikes[k]` spikes of the kind k - 1.
    """

    emit: NDArray[np.float32]
    spikes: NDArray[np.int64]
    values: tuple[float, ...]
    masks: bool

    @property
    def kinds(self) -> int:
        """Number of thresholds of a ladder, or of levels besides 0: K."""
        return len(self.values)

    @property
    def highest(self) -> int:
        """The highest level."""
        return (1 << self.kinds) - 1 if self.masks else self.kinds

    def saturated(self, emitted: NDArray[Any], steps: int, tolerance: float = 0.0) -> NDArray[np.bool_]:
        """Where what was emitted in all of `steps` steps is the most of either sign, less that share of it."""
        found = np.zeros(emitted.shape, np.bool_)
        most, least = (float(bound) * steps * (1 - tolerance) for bound in (self.emit.max(), self.emit.min()))
        if most > 0:
            found |= emitted >= most
        if least < 0:
            found |= emitted <= least
        return found

    def counts(self, levels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(1 + K,): events among some levels, and spikes of each kind."""
        return self.by_kind(np.bincount(levels.reshape(-1), minlength=256))

    def by_kind(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """(1 + K,): of a number for each level, (256,), the sum over all events and over the spikes of each kind."""
        if self.masks:
            of_kind = (np.arange(256)[:, None] >> np.arange(self.kinds)) & 1
            return np.concatenate([[found[1:].sum()], found @ of_kind]).astype(np.int64)
        spikes = found * self.spikes
        return np.concatenate([[found[1:].sum()], spikes[1 : 1 + self.kinds]]).astype(np.int64)

    @property
    def backwards(self) -> NDArray[np.uint8]:
        """(highest + 1,) the eight bits of each level, read backwards."""
        levels = np.arange(self.highest + 1, dtype=np.uint8)[:, None]
        return np.packbits(np.unpackbits(levels, axis=1, bitorder="little"), axis=1)[:, 0]

    @lazy_property
    def most_spikes(self) -> int:
        """Most spikes that a level counts for."""
        return int(self.spikes[: self.highest + 1].max())

    @lazy_property
    def shifts(self) -> bool:
        """Whether each level is a sum of as many powers of two, times one number, as spikes are counted for it.

        Such an event is a shift and an addition for each spike. What emits one size alone needs no shift.
        """
        if self.unit == 0:
            return False  # a spike of the value 0 is no power of two
        units = [abs(value) / self.unit for value in self.values]
        spikes = [1] * self.kinds if self.masks else self.spikes[1 : 1 + self.kinds].tolist()
        return all(
            math.isfinite(units_of) and units_of == int(units_of) and int(units_of).bit_count() <= count
            for units_of, count in zip(units, spikes, strict=True)
        )

    @property
    def graded(self) -> bool:
        """Whether events are of several sizes; those of one size are binary, whatever their sign."""
        return len(set(map(abs, self.values))) > 1

    @property
    def bits(self) -> int:
        """Bits of an event's level: none of silence, which is no event; 1 where all events are of one size."""
        if not self.graded:
            return 1
        return self.kinds if self.masks else max(1, math.ceil(math.log2(self.kinds)))

    @property
    def unit(self) -> float:
        """Smallest size of a value that is emitted."""
        return min(map(abs, self.values))


def level_table(model: NeuronModel) -> LevelTable:
    """The levels of any neuron model.

    Raises
    ------
    NeuronError
        If a registered model's `levels` or `spikes` are not what they must be.
    """
    if isinstance(model, LadderModel):
        constants = checked_constants(model)
        values = tuple(float(constants.emit[1 << k]) for k in range(len(constants.compare)))
        return LevelTable(constants.emit, spikes_of_ladders(), values, masks=True)
    owner = type(model).__name__
    emit = _levels(owner, model)
    spikes = _spikes(owner, model, len(emit))
    table = LevelTable(np.zeros(256, np.float32), np.zeros(256, np.int64), tuple(emit[1:]), masks=False)
    table.emit[: len(emit)] = emit
    table.spikes[: len(emit)] = spikes
    return table


def rectifies(model: NeuronModel) -> bool:
    """What neurons stand for in the artificial network: True for a ReLU, False for the identity.

    Whoever emits negative values hands on negative sums, and stands for the identity; nobody else does.
    """
    if isinstance(model, LadderModel):
        constants = model.firing_constants()
        return bool((constants.emit[: 1 << len(constants.compare)] >= 0).all())
    return all(value >= 0 for value in _sequence(type(model).__name__, "levels", model.levels))


def analog_activation(model: NeuronModel, current: NDArray[Any]) -> NDArray[Any]:
    """What stands for such neurons in the artificial network, of any shape: a ReLU of the current, or the current."""
    return np.maximum(current, 0) if rectifies(model) else current


def conserves_charge(model: NeuronModel) -> bool:
    """Whether v_T = v_0 + sum of input - sum of emitted: no leak, and a reset by subtraction."""
    if isinstance(model, LadderModel):
        constants = model.firing_constants()
        return constants.decay == 1 and constants.keep == 1
    return bool(getattr(model, "conserves_charge", False))


def initial_state(model: NeuronModel) -> dict[str, float]:
    """Each state variable's value before the first step, as a float32 number, the membrane potential first.

    Raises
    ------
    NeuronError
        If a registered model's `state` is not what it must be.
    """
    if isinstance(model, LadderModel):
        return {"membrane": held(model.initial)}
    owner = type(model).__name__
    try:
        state = dict(model.state())
    except (TypeError, ValueError):
        raise NeuronError(f"{owner}.state: must return a mapping of names to numbers (got {model.state()!r})") from None
    names = [name for name in state if not (isinstance(name, str) and name.isidentifier())]
    if names or not state:
        raise NeuronError(f"{owner}.state: must name at least one variable, each as an argument (got {list(state)})")
    numbers = {name: held(check_number(owner, f"state {name}", state[name])) for name in state}
    first = next(iter(numbers.values()))
    if first != held(check_number(owner, "initial", model.initial)):
        raise NeuronError(f"{owner}.state: the first variable must begin at `initial`, {model.initial} (got {first})")
    return numbers


def _levels(owner: str, model: SteppedModel) -> list[float]:
    values = _sequence(owner, "levels", model.levels)
    emitted = [held(check_number(owner, "levels", value)) for value in values]
    if not 2 <= len(emitted) <= MAXIMUM_LEVELS:
        raise NeuronError(
            f"{owner}.levels: must be 2 to {MAXIMUM_LEVELS} values, level 0 included (got {len(emitted)})"
        )
    if emitted[0] != 0 or not all(emitted[1:]):
        raise NeuronError(f"{owner}.levels: level 0 must emit 0 and no other level may, in float32 (got {values})")
    return emitted


def _spikes(owner: str, model: SteppedModel, count: int) -> list[int]:
    found = getattr(model, "spikes", None)
    if found is None:
        return [0, *[1] * (count - 1)]
    spikes = _sequence(owner, "spikes", found)
    whole = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in spikes)
    if not whole or len(spikes) != count or spikes[0] != 0 or not all(1 <= value < 2**15 for value in spikes[1:]):
        raise NeuronError(
            f"{owner}.spikes: must be 0 for level 0 and a whole number from 1 to {2**15 - 1} for each of the other "
            f"{count - 1} levels (got {spikes})"
        )
    return [int(value) for value in spikes]


def _sequence(owner: str, name: str, function: Callable[[], Sequence[Any]]) -> list[Any]:
    found = function() if callable(function) else function
    try:
        return list(found)
    except TypeError:
        raise NeuronError(f"{owner}.{name}: must return a sequence of numbers (got {found!r})") from None
