"""Energy models as data, each with its source: what operations and memory accesses cost, and which are charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from .memory_prices import FlatPrice, LinearPrice, MemoryPrice, SteppedPrice

BY_READING = "by reading"
"""Of a model that charges events by the reading that is true of the network, or another that it is asked for."""

_SYNAPSES = frozenset({"synapses", "input"})


@dataclass(frozen=True)
class EnergyModel:
    """Energy of operations, and of memory accesses where the source prices them.

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
        "by reading": events are charged as accumulates, shift-adds or multiply-accumulates, whichever is true or asked
        for. Or the count of the ledger that `accumulate` is charged for: "synops_binary" or "spikes".
    technology : str
        "45 nm", say.
    bits : int or None
        Width of the numbers; None where the source does not say.
    parts : set of str
        What is charged, out of PARTS.
    comparison : float
        Joules of comparing a potential with a threshold.
    memory : MemoryPrice or None
        Joules of a memory access.
    sparse_move, dense_move : float
        Joules of moving a bit of an event, or of an activation among all others, by one hop.
    queue : int
        Events that the queue between two layers holds, where its size matters.
    joint_parameters : bool
        Whether weights and biases lie in one memory.
    """

    name: str
    accumulate: float
    multiply_accumulate: float | None
    source: str
    charges: str = BY_READING
    technology: str = ""
    bits: int | None = None
    parts: frozenset[str] = field(default=_SYNAPSES)
    comparison: float = 0.0
    memory: MemoryPrice | None = None
    sparse_move: float = 0.0
    dense_move: float = 0.0
    queue: int = 0
    joint_parameters: bool = False

    @property
    def title(self) -> str:
        """Name, technology and width: what a figure is to be printed with."""
        width = {None: "", 32: ", 32 bits"}.get(self.bits, f", {self.bits} bits")
        return f"{self.name} ({self.technology}{width})"

    @property
    def scope(self) -> str:
        """Whether memory is charged, in words."""
        if self.memory is not None:
            return "memory included"
        return "movement of events included, memory left out" if self.sparse_move else "memory left out"

    def as_json(self) -> dict[str, Any]:
        """All fields in a form that JSON holds."""
        return {**asdict(self), "parts": sorted(self.parts)}

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


_HOROWITZ = "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014"
_FLOAT = f"45 nm CMOS at 0.9 V, float32 addition 0.9 pJ, multiplication 3.7 pJ: {_HOROWITZ}"
_BYTES = f"45 nm CMOS at 0.9 V, addition of 8 bits 0.03 pJ, multiplication 0.2 pJ: {_HOROWITZ}"

_LEMAIRE = (
    "E. Lemaire et al., An analytical estimation of spiking neural networks energy efficiency, ICONIP 2022 (arXiv "
    "2210.13107), with the ledger's exact counts in place of products of layer sizes"
)
_INTEGERS = f"integers at 45 nm, {{}}: {_HOROWITZ}"
_LEMAIRE_PARTS = frozenset(
    {"synapses", "input", "biases", "resets", "leaks", "addresses", "weight memory", "sum memory"}
) | {"potential memory", "event memory"}
_REGRESSION = LinearPrice(13.2e-12, 1.09e-17)
_REGRESSION_SOURCE = "an access 13.2 pJ and 1.09e-5 pJ a bit of the memory, as in qualia-plugin-snn"
_SRAM = SteppedPrice(((0, 0.0), (8192, 10e-12 / 4), (32768, 20e-12 / 4), (1048576, 100e-12 / 4)))

_SPIKINGJELLY = (
    "SpikingJelly 2.0.0's estimate_simple_energy: Horowitz's operations, and 24.96 pJ a byte for weights and biases "
    "that are used and for potentials read and written once a step"
)
_SPIKINGJELLY_PARTS = frozenset({"synapses", "input", "weight memory", "potential memory"})

_MODELS = (
    EnergyModel("45nm", 0.9e-12, 4.6e-12, _FLOAT, technology="45 nm", bits=32),
    EnergyModel("45nm-8bit", 0.03e-12, 0.23e-12, _BYTES, technology="45 nm", bits=8),
    EnergyModel("45nm-binary", 0.9e-12, 4.6e-12, _FLOAT, "synops_binary", technology="45 nm", bits=32),
    EnergyModel(
        "lemaire",
        0.1e-12,
        3.2e-12,
        f"{_LEMAIRE}; {_INTEGERS.format('addition 0.1 pJ, multiplication 3.1 pJ')}; {_REGRESSION_SOURCE}",
        technology="45 nm",
        bits=32,
        parts=_LEMAIRE_PARTS,
        memory=_REGRESSION,
        queue=1000,
    ),
    EnergyModel(
        "lemaire-8bit",
        0.03e-12,
        0.23e-12,
        f"{_LEMAIRE}; {_INTEGERS.format('addition 0.03 pJ, multiplication 0.2 pJ')}; {_REGRESSION_SOURCE}",
        technology="45 nm",
        bits=8,
        parts=_LEMAIRE_PARTS,
        memory=_REGRESSION,
        queue=1000,
    ),
    EnergyModel(
        "lemaire-spikingjelly",
        0.1e-12,
        3.2e-12,
        f"{_LEMAIRE}; memory as in SpikingJelly 2.0.0's estimate_lemaire_energy: 10, 20 and 100 pJ for 4 bytes of 8 "
        "KiB, 32 KiB and 1 MiB (Horowitz), straight between them and constant beyond",
        technology="45 nm",
        bits=32,
        parts=_LEMAIRE_PARTS,
        memory=_SRAM,
        queue=1000,
        joint_parameters=True,
    ),
    EnergyModel(
        "spikingjelly",
        0.9e-12,
        4.6e-12,
        _SPIKINGJELLY,
        technology="45 nm",
        bits=32,
        parts=_SPIKINGJELLY_PARTS,
        memory=FlatPrice(24.96e-12),
    ),
    EnergyModel(
        "spikingjelly-8bit",
        0.03e-12,
        0.23e-12,
        f"{_SPIKINGJELLY}; its figures for 8 bits",
        technology="45 nm",
        bits=8,
        parts=_SPIKINGJELLY_PARTS,
        memory=FlatPrice(24.96e-12),
    ),
    EnergyModel(
        "yan",
        0.05448e-12,
        None,
        "Z. Yan, Z. Bai and W.-F. Wong, Reconsidering the energy efficiency of spiking neural networks, arXiv "
        "2409.08290: 22 nm, an accumulate, comparison or subtraction 0.05448 pJ, a bit moved by one hop 3.0 pJ in an "
        "event and 0.25 pJ in a dense stream; figures at second hand, theirs for multiply-accumulates and weights are "
        "not known here and left out; one hop",
        technology="22 nm",
        parts=frozenset({"synapses", "input", "biases", "resets", "comparisons", "movement"}),
        comparison=0.05448e-12,
        sparse_move=3.0e-12,
        dense_move=0.25e-12,
    ),
    EnergyModel(
        "spiking-unet",
        0.9e-12,
        4.6e-12,
        "spikes x 0.9 pJ + multiply-accumulates of the first layer x 4.6 pJ, a spike counting once whatever it "
        "reaches: H. Li et al., Deep Multi-Threshold Spiking-UNet for Image Processing, arXiv 2307.10974, with "
        "Horowitz's figures",
        charges="spikes",
        technology="45 nm",
        bits=32,
    ),
    EnergyModel(
        "loihi",
        23.6e-12,
        None,
        "23.6 pJ for a synaptic operation at least, 14 nm, pre-silicon estimate: M. Davies et al., Loihi: a "
        "neuromorphic manycore processor with on-chip learning, IEEE Micro 38(1), 2018, table 1",
        charges="synops_binary",
        technology="14 nm",
    ),
    EnergyModel(
        "truenorth",
        26e-12,
        None,
        "26 pJ for a synaptic event, 28 nm, power of the whole chip measured at 20 Hz and 128 active synapses "
        "a neuron: P. Merolla et al., A million spiking-neuron integrated circuit with a scalable "
        "communication network and interface, Science 345, 2014",
        charges="synops_binary",
        technology="28 nm",
    ),
)

ENERGY_MODELS: Mapping[str, EnergyModel] = MappingProxyType({model.name: model for model in _MODELS})
"""The models, by name: "45nm" and "45nm-8bit" (operations alone), "45nm-binary" (an addition for every threshold
crossed, whatever the ladder), "lemaire", "lemaire-8bit" and "lemaire-spikingjelly" (memory by size), "spikingjelly" and
"spikingjelly-8bit" (memory by the byte), "yan" (movement), "spiking-unet" (the paper's own formula), "loihi" and
"truenorth" (published figures of spiking chips)."""

DEFAULT_ENERGY_MODEL = "45nm"
BYTE_ENERGY_MODEL = "45nm-8bit"

BREAK_EVEN_RATES: Mapping[tuple[int, int], float] = MappingProxyType({(1, 8): 0.297, (3, 8): 0.082, (5, 4): 0.057})
"""Spikes a neuron and step below which a network of binary events takes less energy than its quantised twin, by steps
and bits of the weights, at a fan-in of 4096: Yan, Bai and Wong, arXiv 2409.08290; the last from their abstract, the
others at second hand. Graded events carry more bits than these, so their rate is lower."""


def find_energy_model(name: str) -> EnergyModel:
    """The model called `name`; InputError where there is none."""
    if name not in ENERGY_MODELS:
        raise InputError(f"no energy model is called {name!r}; there are {', '.join(ENERGY_MODELS)}")
    return ENERGY_MODELS[name]
