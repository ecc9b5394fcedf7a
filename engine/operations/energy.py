"""Energy models as data, each with its source: what an accumulate and a multiply-accumulate cost.

All models price operations only. Memory traffic, which often costs more than arithmetic, is left out, and so are
neuron updates, routing and static power unless a model's source says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError


@dataclass(frozen=True)
class EnergyModel:
    """Energy of one operation, memory traffic left out.

    Parameters
    ----------
    name : str
    accumulate : float
        Joules for one accumulate (or whatever `charges` names).
    multiply_accumulate : float or None
        Joules for one multiply-accumulate; None where the source gives no figure, because the chip has none.
    source : str
        Where the figures were published.
    charges : str
        The count of the ledger that `accumulate` is charged for: "synops", "synops_binary" or "spikes".
    """

    name: str
    accumulate: float
    multiply_accumulate: float | None
    source: str
    charges: str = "synops"

    def joules(self, accumulates: int, macs: int = 0) -> float:
        """Energy in joules of `accumulates` accumulates and `macs` multiply-accumulates.

        Raises
        ------
        InputError
            If there are multiply-accumulates and the model has no figure for them.
        """
        if macs and self.multiply_accumulate is None:
            raise InputError(f"energy model {self.name!r} has no figure for multiply-accumulates (got {macs})")
        return accumulates * self.accumulate + macs * (self.multiply_accumulate or 0.0)


_HOROWITZ = (
    "45 nm CMOS at 0.9 V, float32 addition 0.9 pJ, multiplication 3.7 pJ: M. Horowitz, Computing's energy problem (and "
    "what we can do about it), ISSCC 2014"
)

ENERGY_MODELS: Mapping[str, EnergyModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            EnergyModel("45nm", 0.9e-12, 4.6e-12, _HOROWITZ),
            EnergyModel("45nm-binary", 0.9e-12, 4.6e-12, _HOROWITZ, charges="synops_binary"),
            EnergyModel(
                "spiking-unet",
                0.9e-12,
                4.6e-12,
                "spikes x 0.9 pJ + multiply-accumulates of the first layer x 4.6 pJ, a spike counting once whatever it "
                "reaches: H. Li et al., Deep Multi-Threshold Spiking-UNet for Image Processing, arXiv 2307.10974, with "
                "Horowitz's figures",
                charges="spikes",
            ),
            EnergyModel(
                "loihi",
                23.6e-12,
                None,
                "23.6 pJ for a synaptic operation at least, 14 nm, pre-silicon estimate: M. Davies et al., Loihi: a "
                "neuromorphic manycore processor with on-chip learning, IEEE Micro 38(1), 2018, table 1",
                charges="synops_binary",
            ),
            EnergyModel(
                "truenorth",
                26e-12,
                None,
                "26 pJ for a synaptic event, 28 nm, power of the whole chip measured at 20 Hz and 128 active synapses "
                "a neuron: P. Merolla et al., A million spiking-neuron integrated circuit with a scalable "
                "communication network and interface, Science 345, 2014",
                charges="synops_binary",
            ),
        )
    }
)
"""The models, by name: "45nm" and "45nm-binary" (a graded event charged once, or once for every threshold that it
crossed), "spiking-unet" (the paper's own formula), "loihi" and "truenorth" (published figures of spiking chips)."""

DEFAULT_ENERGY_MODEL = "45nm"


@dataclass(frozen=True)
class EnergyEstimate:
    """A spiking run's energy beside the artificial network's; memory traffic left out of both.

    Parameters
    ----------
    model : EnergyModel
    spiking : float
        Joules of the run: the count that the model charges, and the analog input's multiply-accumulates.
    dense : float or None
        Joules of the artificial network's multiply-accumulates; None where the model has no figure for them.
    unpriced_macs : int
        Multiply-accumulates of the analog input that `spiking` leaves out, the model having no figure for them.
    """

    model: EnergyModel
    spiking: float
    dense: float | None
    unpriced_macs: int

    @property
    def ratio(self) -> float | None:
        """Energy of the run as a share of the artificial network's; None where there is none to compare with."""
        return self.spiking / self.dense if self.dense else None

    def __str__(self) -> str:
        dense = "no figure" if self.dense is None else f"{self.dense:.4g} J"
        left_out = f"; {self.unpriced_macs:,} multiply-accumulates of the input unpriced" if self.unpriced_macs else ""
        return (
            f"{self.model.name}: spiking {self.spiking:.4g} J, artificial {dense}, memory traffic left out{left_out} "
            f"({self.model.source})"
        )


def find_energy_model(name: str) -> EnergyModel:
    """The model called `name`; InputError where there is none."""
    if name not in ENERGY_MODELS:
        raise InputError(f"no energy model is called {name!r}; there are {', '.join(ENERGY_MODELS)}")
    return ENERGY_MODELS[name]


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
        If there is no such energy model, or it has no figure for multiply-accumulates and there are some.
    """
    return find_energy_model(model).joules(accumulates, macs)


def estimate_operations(totals: Mapping[str, int | float], model: str = DEFAULT_ENERGY_MODEL) -> EnergyEstimate:
    """Energy of a ledger's totals; `Operations.energy` calls this."""
    found = find_energy_model(model)
    charged, macs, dense = int(totals[found.charges]), int(totals["macs"]), int(totals["dense_macs"])
    if found.multiply_accumulate is None:
        return EnergyEstimate(found, found.joules(charged), None, macs)
    return EnergyEstimate(found, found.joules(charged, macs), found.joules(0, dense), 0)
