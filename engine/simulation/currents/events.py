"""Currents from event to event: unpacked, then gathered by the neurons that they charge; the picture likewise.

In float32, or four events at a time in integers.
"""

from __future__ import annotations

import numpy as np

from ...binding.gather_layer import GatherLayer
from ...kernels.arguments import BandTable, Constant, Entries, PictureTaps, ScaledIntegers
from ...kernels.decode import decode_analog_rows, decode_nothing, decode_rows
from ...kernels.decode_quanta import decode_quanta
from ...kernels.picture_blocks import gather_picture_blocks
from ...kernels.picture_rows import gather_picture
from ...kernels.pooling import fire_currents
from ...kernels.processor import host_lanes
from ...kernels.quads import LANES, QuadToken
from ...kernels.window_block import pixels_token, window_token
from ...memory import aligned_empty
from ..memory.worker_memory import Phase, Scratch, WorkerMemory
from .part import Part, Target, gathering, most_inputs
from .sources import event_sources, plane_sources


class EventCurrents(Part):
    """Weights in float32; each current goes to registers, and from there to neurons of a ladder of thresholds."""

    layer: GatherLayer

    def prepare(self) -> None:
        # Room for the analog input's current, which each band computes in the first group of steps.
        if self.layer.analog and not self._uses_at_once and not self.state.constant_stride:
            _, height, width = self.layer.outgoing
            self.state.constant_stride = self.layer.padded_channels
            self.state.constant = aligned_empty(height * width * self.layer.padded_channels)

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:
        if self._uses_at_once:
            return self._of_picture_alone(bands, memory.scratch, target)
        return [*self._inject(bands, memory.scratch, target), *self._gather(bands, memory.scratch, target)]

    def _gather(self, bands: BandTable, scratch: Scratch, target: Target) -> list[Phase]:
        """Unpack events, of which there are none where there is no source but the picture, and gather them."""
        entries = scratch.entries(self.layer.incoming[2], most_inputs(bands), self.most_entries(bands), self.steps)
        sources = event_sources(self.inputs, self.known, sparse=bool(target.touched.line))
        decode = Phase(decode_nothing, (bands, entries))
        if sources:
            decode = Phase(decode_rows, (bands, sources, entries, self.steps, self.layer.incoming[0]))
        return [decode, self._gathered(bands, self.steps, entries, 0, target)]

    def _gathered(self, bands: BandTable, steps: int, entries: Entries, line: int, target: Target) -> Phase:
        plan, token = self.layer.plan, self.layer.token(steps)
        gather = gathering(plan, token, target.touched)
        return Phase(gather, (bands, token, (plan.tables, self.layer.weights), entries, line, *target))

    @property
    def weight_bytes(self) -> int:
        return self.layer.weights.nbytes

    # --- The picture -------------------------------------------------------------------------------------------------

    @property
    def _uses_at_once(self) -> bool:
        """Whether the current of the picture alone goes to the target, and is not kept for further steps.

        A ladder of thresholds fires in all steps of a group. Compiled calls, which are bound once, compute the current
        in each group of steps, and a single step has no use for what is kept.
        """
        ladder = self.layer.neurons is not None and self.layer.stepper is None
        return not self.layer.spiking and (ladder or (not self.known and self.steps == 1))

    def _inject(self, bands: BandTable, scratch: Scratch, target: Target) -> list[Phase]:
        """The analog input's current on top of the bias, which is kept for all steps."""
        if not self.layer.analog or (self.known and self.state.injected):
            return []
        line = self.layer.outgoing[2] * self.layer.padded_channels
        kept = Target(Constant(self.layer.bias, 0), None, self.state.constant, target.touched)
        return self._gather_picture(bands, scratch, line, kept)

    def _of_picture_alone(self, bands: BandTable, scratch: Scratch, target: Target) -> list[Phase]:
        """Levels of neurons that read the picture alone: its current is the same in each step and need not be kept."""
        layer = self.layer
        given = target._replace(constant=Constant(layer.bias, 0))
        if self.steps == 1:
            return self._gather_picture(bands, scratch, 0, given)
        (_, _, width), padded, lanes = layer.outgoing, layer.padded_channels, host_lanes()
        # As many as gathering each step anew would leave.
        currents = scratch.array("currents", target.array.size)
        vectors = layer.block_width // lanes
        token = window_token(self.steps, 1, vectors, lanes, vectors)
        fire = (bands, token, currents, (padded, 0), target.neurons, target.array, width)
        once = given._replace(neurons=None, array=currents)
        return [*self._gather_picture(bands, scratch, 0, once), Phase(fire_currents, fire)]

    def _gather_picture(self, bands: BandTable, scratch: Scratch, line: int, target: Target) -> list[Phase]:
        """The analog input as events of one step."""
        picture, offsets = self.inputs.picture, np.array(self.inputs.picture_offsets)
        if self._slides and target.neurons is None and 4 * self.layer.outgoing[0] <= host_lanes():
            taps = self._picture_taps(scratch)
            return [Phase(gather_picture, (bands, picture, taps, self.layer.bias, line, target.array))]
        alone = picture.shape[2] == self.layer.incoming[0]
        if alone and self._slides and self.layer.plan.reads_neighbours and target.touched.line == 0:
            token = pixels_token(self.layer.block_width)
            connected = (token, token._replace(window=(0,))), (self.layer.plan.tables, self.layer.weights)
            return [Phase(gather_picture_blocks, (bands, *connected, picture, line, *target))]
        width, rows = self.layer.incoming[2], most_inputs(bands)
        entries = scratch.entries(width, rows, rows * width * picture.shape[2] * len(offsets), 1)
        decode = Phase(decode_analog_rows, (bands, picture, offsets, entries, self.layer.incoming[0]))
        return [decode, self._gathered(bands, 1, entries, line, target)]

    @property
    def _slides(self) -> bool:
        """Whether all outputs read the picture as it lies there, by the same taps."""
        in_order = self.inputs.picture_offsets == [0]
        return in_order and self.inputs.picture.flags.c_contiguous and self.layer.plan.slides

    def _picture_taps(self, scratch: Scratch) -> PictureTaps:
        layer, (rows, columns) = self.layer, (self.layer.plan.rows, self.layer.plan.columns)
        (vertical,), (horizontal,) = rows.phases, columns.phases
        kernel = layer.node.dense_kernel(layer.node.weight, layer.whole.incoming)
        weights = np.ascontiguousarray(kernel[np.ix_(vertical.indices, horizontal.indices)])
        down, right = (np.array(each.offsets, np.int64) for each in (vertical, horizontal))
        sums = scratch.array("sums of a row", layer.outgoing[2])
        return PictureTaps(weights, down, right, rows.input_step, columns.input_step, sums)


class EventIntegers(EventCurrents):
    """Weights in 8-bit integers, levels in quanta, four events at a time."""

    def _gather(self, bands: BandTable, scratch: Scratch, target: Target) -> list[Phase]:
        quads, (channels, _, width) = self.layer.quads, self.layer.incoming
        assert quads is not None
        token, sources = quads.token(self.steps), plane_sources(self.inputs, quads.terms.quanta)
        entries = scratch.quanta_entries(width, most_inputs(bands), self.most_entries(bands), self.steps)
        connections = quads.plan.tables, ScaledIntegers(quads.weights, quads.terms.scale)
        interleaved = isinstance(token, QuadToken)
        target = target.in_units(self.layer, self.steps, len(token.vectors) * LANES, interleaved)
        return [
            Phase(decode_quanta, (bands, sources, entries, token.steps, channels)),
            Phase(gathering(quads.plan, token, target.touched), (bands, token, connections, entries, 0, *target)),
        ]

    @property
    def weight_bytes(self) -> int:
        assert self.layer.quads is not None
        return self.layer.quads.weights.nbytes
