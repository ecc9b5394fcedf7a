"""Energy of a run beside the artificial network's, by a model and in a reading of its events; all of it estimated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from .charges import (
    ACCESS,
    ACCUMULATE,
    COMPARISON,
    DENSE_MOVE,
    MULTIPLY_ACCUMULATE,
    PARTS,
    SPARSE_MOVE,
    Charge,
    dense_charges,
    run_charges,
)
from .energy_models import (
    BREAK_EVEN_RATES,
    BY_READING,
    BYTE_ENERGY_MODEL,
    DEFAULT_ENERGY_MODEL,
    ENERGY_MODELS,
    EnergyModel,
    find_energy_model,
)
from .readings import READINGS, read, true_reading, why_not

if TYPE_CHECKING:
    from .ledger import Operations

__all__ = [
    "BREAK_EVEN_RATES",
    "BYTE_ENERGY_MODEL",
    "DEFAULT_ENERGY_MODEL",
    "ENERGY_MODELS",
    "EnergyEstimate",
    "EnergyModel",
    "estimate_energy",
    "estimate_operations",
    "find_energy_model",
    "readings_in",
]


@dataclass(frozen=True)
class EnergyEstimate:
    """A spiking run's energy beside the artificial network's, by one model.

    Parameters
    ----------
    model : EnergyModel
    spiking : float
        Joules of the run.
    dense : float or None
        Joules of the artificial network by the same model; None where the model has no figure for it.
    unpriced_macs : int
        Multiply-accumulates that `spiking` leaves out, the model having no figure for them.
    reading : str
        How events are read: see `Operations.readings`; of a model that has its own, what it charges.
    parts, dense_parts : dict of str to float
        Joules by part (PARTS), which add up to `spiking` and `dense`.
    """

    model: EnergyModel
    spiking: float
    dense: float | None
    unpriced_macs: int
    reading: str
    parts: Mapping[str, float]
    dense_parts: Mapping[str, float]

    @property
    def ratio(self) -> float | None:
        """Energy of the run as a share of the artificial network's; None where there is none to compare with."""
        return self.spiking / self.dense if self.dense else None

    def __str__(self) -> str:
        dense = "no figure" if self.dense is None else f"{self.dense:.4g} J"
        left_out = f"; {self.unpriced_macs:,} multiply-accumulates unpriced" if self.unpriced_macs else ""
        return (
            f"{self.model.name}, events as {self.reading}: spiking {self.spiking:.4g} J, artificial {dense}, "
            f"{self.model.scope}{left_out} ({self.model.source})"
        )


def estimate_energy(accumulates: int, macs: int = 0, model: str = DEFAULT_ENERGY_MODEL) -> float:
    """Energy in joules of some operations.

    Parameters
    ----------
    accumulates, macs : int
        Accumulates and multiply-accumulates.
    model : str
        Name of an entry of ENERGY_MODELS.

    Raises
    ------
    InputError
        If there is no such energy model, or it has no figure for multiply-accumulates and there are some.
    """
    return find_energy_model(model).joules(accumulates, macs)


def estimate_operations(
    ledger: Operations, model: str = DEFAULT_ENERGY_MODEL, reading: str | None = None
) -> EnergyEstimate:
    """Energy of a ledger's counts; `Operations.energy` calls this and says the rest."""
    found = find_energy_model(model)
    if found.charges != BY_READING:
        return _by_count(ledger, found, reading)
    name = true_reading(ledger).name if reading is None else read(ledger, reading).name
    parts, unpriced = _priced(found, run_charges(ledger, name, found.queue))
    dense_parts, dense_unpriced = _priced(found, dense_charges(ledger))
    dense = None if dense_unpriced else sum(dense_parts.values())
    return EnergyEstimate(found, sum(parts.values()), dense, unpriced, name, parts, dense_parts)


def readings_in(ledger: Operations, model: str = DEFAULT_ENERGY_MODEL) -> dict[str, float | None]:
    """Joules of a run in each of the three readings, None where one is not true of the network."""
    return {
        name: None if why_not(ledger, name) else estimate_operations(ledger, model, name).spiking for name in READINGS
    }


def _by_count(ledger: Operations, model: EnergyModel, reading: str | None) -> EnergyEstimate:
    """Energy of one count of the ledger, and of the analog input where the model has a figure for it."""
    if reading is not None:
        raise InputError(
            f"energy model {model.name!r} charges {model.charges}, which is its own reading; leave out {reading!r}"
        )
    totals = ledger.totals
    charged, macs, dense_macs = (int(totals[name]) for name in (model.charges, "macs", "dense_macs"))
    priced = model.multiply_accumulate is not None
    parts = {"synapses": model.joules(charged)}
    if priced:
        parts["input"] = model.joules(0, macs)
    dense = model.joules(0, dense_macs) if priced else None
    dense_parts = {} if dense is None else {"synapses": dense}
    unpriced = 0 if priced else macs
    return EnergyEstimate(model, sum(parts.values()), dense, unpriced, model.charges, parts, dense_parts)


def _priced(model: EnergyModel, charges: Iterable[Charge]) -> tuple[dict[str, float], int]:
    """Joules by part, and the multiply-accumulates that have no price."""
    parts = dict.fromkeys((part for part in PARTS if part in model.parts), 0.0)
    unpriced = 0
    for charge in charges:
        if charge.part not in parts:
            continue
        if charge.operation == MULTIPLY_ACCUMULATE and model.multiply_accumulate is None:
            unpriced += charge.number
        else:
            parts[charge.part] += charge.number * _price(model, charge)
    return parts, unpriced


def _price(model: EnergyModel, charge: Charge) -> float:
    if charge.operation == ACCESS:
        holds = charge.holds_jointly if model.joint_parameters and charge.holds_jointly else charge.holds
        return model.memory.joules(holds, model.bits or 32) if model.memory is not None else 0.0
    moved = {SPARSE_MOVE: model.sparse_move, DENSE_MOVE: model.dense_move}
    if charge.operation in moved:
        return moved[charge.operation] * charge.bits
    prices = {
        ACCUMULATE: model.accumulate,
        MULTIPLY_ACCUMULATE: model.multiply_accumulate or 0.0,
        COMPARISON: model.comparison,
    }
    return prices[charge.operation]
