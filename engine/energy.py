"""Energy models as data, each with its source: what an accumulate and a multiply-accumulate cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .errors import InputError


@dataclass(frozen=True)
class EnergyModel:
    """Energy of one arithmetic operation, memory traffic left out.

    Parameters
    ----------
    name : str
    accumulate : float
        Joules for one float32 addition.
    multiply_accumulate : float
        Joules for one float32 multiplication and addition.
    source : str
        Where the figures were published.
    """

    name: str
    accumulate: float
    multiply_accumulate: float
    source: str

    def joules(self, accumulates: int, macs: int = 0) -> float:
        """Energy in joules of `accumulates` accumulates and `macs` multiply-accumulates."""
        return accumulates * self.accumulate + macs * self.multiply_accumulate


ENERGY_MODELS: Mapping[str, EnergyModel] = MappingProxyType(
    {
        "45nm": EnergyModel(
            name="45nm",
            accumulate=0.9e-12,
            multiply_accumulate=4.6e-12,
            source="45 nm CMOS, float32: M. Horowitz, Computing's energy problem (and what we can do about it), "
            "ISSCC 2014",
        ),
    }
)
DEFAULT_ENERGY_MODEL = "45nm"


def estimate_energy(accumulates: int, macs: int = 0, model: str = DEFAULT_ENERGY_MODEL) -> float:
    """Energy in joules of a run's operations.

    Parameters
    ----------
    accumulates, macs : int
        Accumulates of events, and multiply-accumulates of the analog input.
    model : str
        Name of an entry of ENERGY_MODELS.

    Raises
    ------
    InputError
        If there is no such energy model.
    """
    if model not in ENERGY_MODELS:
        raise InputError(f"no energy model is called {model!r}; there are {', '.join(ENERGY_MODELS)}")
    return ENERGY_MODELS[model].joules(accumulates, macs)
