"""How the commands print energy: three readings of an event side by side, in 8 and in 32 bits, beside the ANN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..operations.energy_models import BYTE_ENERGY_MODEL, DEFAULT_ENERGY_MODEL, find_energy_model
from ..operations.readings import ACCUMULATE, MIXED, MULTIPLY_ACCUMULATE, READINGS, SHIFT_ADDS
from ..quantity import quantity

if TYPE_CHECKING:
    from ..operations import Operations

MODELS = (BYTE_ENERGY_MODEL, DEFAULT_ENERGY_MODEL)

PLURALS = {
    MULTIPLY_ACCUMULATE: "multiply-accumulates",
    SHIFT_ADDS: "shift-adds",
    ACCUMULATE: "accumulates",
    MIXED: "accumulates where they are binary, else multiply-accumulates",
}

LABELS = {MULTIPLY_ACCUMULATE: "as MACs", SHIFT_ADDS: "as shift-adds", ACCUMULATE: "as accumulates"}
"""Of the lines, which are as wide as the others."""

COLUMNS = {
    MULTIPLY_ACCUMULATE: f"{DEFAULT_ENERGY_MODEL} MAC J",
    SHIFT_ADDS: f"{DEFAULT_ENERGY_MODEL} shift-add J",
    ACCUMULATE: f"{DEFAULT_ENERGY_MODEL} AC J",
}
"""Columns of tables of several pictures, beside "reading", the one that is true of the network."""

MARK = "; true of this network"


def energy_fields(ledger: Operations) -> list[tuple[str, str]]:
    """Lines on a run's energy: by the true reading and each of the three, of the ANN, and their sources."""
    estimate, dense = ledger.energy(), ledger.totals["dense_macs"]
    true = estimate.reading
    spiking, artificial = quantity(estimate.spiking, "J"), quantity(estimate.dense or 0.0, "J")
    return [
        ("energy", f"{spiking}, events read as {PLURALS[true]}; of the ANN {artificial}"),
        *((label, _reading(ledger, name, true)) for name, label in LABELS.items()),
        ("energy of the ANN", f"{dense_energy(int(dense))}, multiply-accumulates all of them"),
        *sources(),
    ]


def _reading(ledger: Operations, name: str, true: str) -> str:
    from ..operations.readings import why_not

    reading = ledger.readings[name]
    if reading is None:
        return f"not true: {why_not(ledger, name).split(';')[0]}"
    joules = (quantity(ledger.energy(model, name).spiking, "J") for model in MODELS)
    return f"{quantity(float(reading.operations))}, {_widths(*joules)}{MARK if name == true else ''}"


def dense_energy(macs: int) -> str:
    """Energy of so many multiply-accumulates in 8 and in 32 bits."""
    return _widths(*(quantity(find_energy_model(model).joules(0, macs), "J") for model in MODELS))


def _widths(byte: str, word: str) -> str:
    return f"{byte} in 8 bits, {word} in 32"


def sources() -> list[tuple[str, str]]:
    """The two models that the lines are made with."""
    found = [find_energy_model(name) for name in MODELS]
    return [(f"in {model.bits} bits", f"{model.name}, {model.scope}: {model.source}") for model in found]


def cells(joules: dict[str, float | None]) -> list[str]:
    """Joules of each reading, "-" for one that is not true."""
    return ["-" if joules[name] is None else f"{joules[name]:.3g}" for name in READINGS]
