"""Three readings of an event that meets a weight: a multiply-accumulate, shifts and additions, or an addition.

A graded event has a level, by which a weight is multiplied. Where levels are sums of powers of two, the product is a
shift and an addition for each threshold crossed; where all events are of one size, that size is folded into the weights
and the product is the weight itself: an addition. Events that meet no weight, in a pool, are additions in any reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from .exact import total

if TYPE_CHECKING:
    from .ledger import Operations
    from .nodes import InputOperations, NeuronOperations, SynapseOperations

MULTIPLY_ACCUMULATE = "multiply-accumulate"
SHIFT_ADDS = "shift-adds"
ACCUMULATE = "accumulate"
MIXED = "mixed"

READINGS = (MULTIPLY_ACCUMULATE, SHIFT_ADDS, ACCUMULATE)
"""The readings that can be asked for. `MIXED` is the true one of a network with binary and with graded events."""

READING_COSTS = {
    MULTIPLY_ACCUMULATE: "energy_mac_joules",
    SHIFT_ADDS: "energy_shift_add_joules",
    ACCUMULATE: "energy_accumulate_joules",
}
"""Names of the joules of each reading in tables of many pictures."""


@dataclass(frozen=True)
class Reading:
    """A run's events, read in one way.

    Parameters
    ----------
    name : str
        One of READINGS, or "mixed": accumulates of binary events and multiply-accumulates of graded ones.
    accumulates : int
        Additions, each with its shift in the reading "shift-adds".
    multiply_accumulates : int
    """

    name: str
    accumulates: int
    multiply_accumulates: int

    @property
    def operations(self) -> int:
        """Accumulates and multiply-accumulates together."""
        return self.accumulates + self.multiply_accumulates


def true_reading(ledger: Operations) -> Reading:
    """The reading that is true of the network: binary events are accumulates, graded ones multiply-accumulates.

    Graded events are read as multiply-accumulates where shifts would do, too: that is what the engine's kernels compute
    and what an artificial network of as many levels computes, a published figure exists for its energy (for a shift
    there is none), and it is the reading that flatters least.
    """
    return _sum(ledger, reading_of(emitter.graded for node, emitter in _pairs(ledger) if node.weights))


def reading_of(graded: Iterable[bool]) -> str:
    """Name of the reading that is true where these are all events that meet weights: by emitter whether it grades them.

    What is read without weights alone, by pools, is an addition of its value whatever its level.
    """
    grades = set(graded)
    return MIXED if len(grades) == 2 else MULTIPLY_ACCUMULATE if True in grades else ACCUMULATE


def read(ledger: Operations, name: str) -> Reading:
    """The events of a run in the reading called `name`.

    Raises
    ------
    InputError
        If there is no such reading, or it is not true of the network.
    """
    if name not in READINGS:
        raise InputError(f"no reading is called {name!r}; there are {', '.join(READINGS)}")
    reason = why_not(ledger, name)
    if reason:
        raise InputError(f"events cannot be read as {name}: {reason}")
    return _sum(ledger, name)


def all_readings(ledger: Operations) -> dict[str, Reading | None]:
    """The three readings by name, None for one that is not true of the network."""
    return {name: None if why_not(ledger, name) else _sum(ledger, name) for name in READINGS}


def why_not(ledger: Operations, name: str) -> str:
    """Why a reading is not true of the network; nothing where it is."""
    for node, emitter in _pairs(ledger):
        if name == ACCUMULATE and node.weights and emitter.graded:
            return f"those of {emitter.name} are graded; take {MULTIPLY_ACCUMULATE}"
        if name == SHIFT_ADDS and node.weights and not emitter.shifts:
            return (
                f"the levels of {emitter.name} are no sums of powers of two, one for each spike counted; take "
                f"{MULTIPLY_ACCUMULATE}"
            )
    return ""


def _pairs(ledger: Operations) -> Iterator[tuple[SynapseOperations, NeuronOperations | InputOperations]]:
    """Each node of synapses with each layer of neurons, or Input with an encoder, that it reads."""
    emitters = ledger.emitters
    for node in ledger.synapses.values():
        for source in node.sources:
            yield node, emitters[source]


def _sum(ledger: Operations, name: str) -> Reading:
    accumulates = multiply_accumulates = 0
    for node in ledger.synapses.values():
        added, multiplied = node_operations(ledger, node, name)
        accumulates += added
        multiply_accumulates += multiplied
    return Reading(name, accumulates, multiply_accumulates)


def node_operations(ledger: Operations, node: SynapseOperations, name: str) -> tuple[int, int]:
    """Accumulates and multiply-accumulates of a node's events in one reading; the analog input is left out."""
    accumulates = multiply_accumulates = 0
    for source, events in node.sources.items():
        graded = ledger.emitters[source].graded
        if not node.weights or name == ACCUMULATE or (name == MIXED and not graded):
            accumulates += total(events.synops)
        elif name == SHIFT_ADDS:
            accumulates += total(events.synops_binary)
        else:
            multiply_accumulates += total(events.synops)
    return accumulates, multiply_accumulates
