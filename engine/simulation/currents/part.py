"""One of the synapses that feed a layer, in a group of steps: what all ways to compute its current have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.gather_layer import GatherLayer
from ...binding.layer import Source
from ...binding.plan import GatherPlan
from ...events import EventQueue
from ...kernels.arguments import BandTable, Constant, IntegerLadder, LadderNeurons
from ...kernels.gather import gather_band
from ...kernels.gather_in_step import gather_in_step
from ...kernels.tables import Touched, ZeroTables
from ...kernels.window_block import Token
from ..memory.layer_state import LayerState
from ..memory.worker_memory import Phase, WorkerMemory

_OPERATIONS_OF_AN_EVENT = 8
"""Unpacking an event, in multiply-accumulates that take about as long."""

OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""

COST_OF_A_PRODUCT = {"vnni": 0.12, "amx": 0.03}
"""Of a level and a weight, in multiply-accumulates of the event-driven kernels that take about as long."""

EXPECTED_SHARE = 0.15
"""Of a layer's neurons that fire, where nobody knows yet."""


@dataclass(eq=False)
class Inputs:
    """What a layer that is no sum reads in a group of steps: of each spiking source the queue, and the analog input.

    That is given as (H, W, C) float32, all inputs joined. Where the layer reads several (`in_place`), `picture` has all
    channels that it reads, zeros where those are spikes; otherwise it is what each of the analog sources is.
    `picture_offsets` says where its channels begin among those that are read, as often as it comes.
    """

    layer: Layer
    queues: list[tuple[Source, EventQueue]]
    picture: NDArray[np.float32]

    def __post_init__(self) -> None:
        analog, joined = self.layer.analog, self.picture
        parts = {source.name: source.of_picture(joined) for source in analog}
        self.in_place = len(parts) > 1
        self.picture = next(iter(parts.values()), joined)
        self.picture_offsets = [0] if self.in_place else [source.channel_offset for source in analog]
        if self.in_place:
            self.picture = np.zeros((*joined.shape[:2], self.layer.incoming[0]), np.float32)
            for source in analog:
                self.picture[..., source.place] = parts[source.name]


class Target(NamedTuple):
    """Where the current of a band goes, as kernels take it: to the neurons that it charges.

    It is added to `constant`, where the synapses have a bias. `array` receives levels, flat: rows, width, padded
    channels; without neurons currents: rows, width, steps, channels.
    """

    constant: Constant
    neurons: LadderNeurons | IntegerLadder | None
    array: NDArray[Any]
    touched: Touched

    def in_units(self, layer: GatherLayer, steps: int, width: int, interleaved: bool = False) -> Target:
        """The same with neurons in integers, for kernels with sums of so many output channels, where they can be so.

        Their potentials are not kept; nothing but a bias is added to the sums.
        """
        neurons, ladder = self.neurons, layer.ladder_in_units
        begins = isinstance(neurons, LadderNeurons) and neurons.before_stride == 0 and self.constant.stride == 0
        if not begins or ladder is None or steps > ladder.steps:
            return self
        return self._replace(neurons=ladder.held(width, interleaved))


def gathering(plan: GatherPlan, token: Token, touched: Touched) -> Any:
    """The kernel that gathers by a plan with so many pixels in a window; they give the same numbers."""
    return gather_in_step if plan.is_in_step and len(token.window) > 1 and touched.line == 0 else gather_band


@dataclass(eq=False)
class Part:
    """A layer that is no sum, or a part of one, of which `kernels` compute the current.

    `row_sizes`, (H + 1,), are the entries in all input rows before each row. Where what is read is not `known`, this is
    for whatever will be, and there may be so many at the most.
    """

    state: LayerState
    inputs: Inputs
    steps: int
    kernels: str
    row_sizes: NDArray[np.int64]
    known: bool

    spreads_out = False
    """Whether levels are spread out over planes, those of silent neurons, too."""

    def __post_init__(self) -> None:
        self.layer = self.state.layer

    def prepare(self) -> None:
        """Work out what all bands need, before several threads ask for it."""

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:
        """What a worker does for each band: what it leaves goes to the target."""
        raise NotImplementedError

    def input_rows(self, rows: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        """(n, 2): first and last + 1 input row that each band reads; of planes, these may lie beyond the input.

        Or (n, 4), with those that each band counts.
        """
        return self.layer.input_rows_of(rows)

    def most_entries(self, bands: BandTable) -> int:
        """Entries that any band reads."""
        first, end = (self.row_sizes[bands.table[name]] for name in ("first_input", "end_input"))
        return int((end - first).max())

    @property
    def zeros_to_count(self) -> ZeroTables | None:
        """Weights of zero that events meet, where they are to be counted apart from computing the current."""
        return self.layer.zero_tables

    @property
    def active(self) -> int:
        """Neurons, or values, that the current is computed from."""
        return int(self.row_sizes[-1])

    @property
    def work(self) -> int:
        """About how many operations the part takes, those of its events or of all that it reads, neurons apart."""
        if self.spreads_out or self.layer.most_products is not None:
            return dense_work(self.layer, self.steps)
        return self.active * (self.layer.fan_out.most + _OPERATIONS_OF_AN_EVENT) * self.steps

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that every band reads."""
        return 0

    @property
    def input_bytes(self) -> int:
        """Bytes of what is read, unpacked, for all output rows."""
        return int(self.active * (4 + 4 * self.steps) * (1.0 if self.known else EXPECTED_SHARE))


def most_inputs(bands: BandTable) -> int:
    """Input rows that a band reads at the most."""
    return int((bands.table["end_input"] - bands.table["first_input"]).max())


def dense_work(layer: Layer, steps: int) -> int:
    """About how many operations a layer's products take in integers."""
    return int(layer.dense_macs * COST_OF_A_PRODUCT.get(layer.dense_kernels or "", 1.0)) * steps
