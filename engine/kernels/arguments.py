"""Arguments of kernels that travel together, by name: what a layer reads, its neurons, and a thread's memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dot import DotToken
from .tables import ZeroTables
from .window_block import Token

# --- Sources: what a layer reads, one of these for each queue; see sources.py ----------------------------------------


class EventSource(NamedTuple):
    """Events to unpack, see decode.py.

    Parameters
    ----------
    start : (H, W + 1) int64
        The queue's.
    channels : unsigned
        The queue's.
    levels : uint8
        The queue's, byte by byte.
    bytes_each : int
        Bytes of an entry's levels, of which as many count as there are steps.
    emit : (256,) float32
        Value of each level.
    scale : float32
        See `Source.scale` (engine/binding/layer.py).
    channel_offset : int
        First channel of this source among all sources.
    always : int
        Chunks that are unpacked of every pixel, MOST_CHUNKS at most: as many as nearly all of them need.
    """

    start: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.uint8]
    bytes_each: int
    emit: NDArray[np.float32]
    scale: np.float32
    channel_offset: int
    always: int


class PlaneSource(NamedTuple):
    """Events to spread out over planes, see planes.py.

    Parameters
    ----------
    start, channels, levels : as in `EventSource`
    words : unsigned
        The queue's levels, word by word.
    quanta : (256,) uint8
        Value of each level, in quanta.
    shift : int
        By how many bits to the right a level that is read backwards, bit by bit, is shifted to be that value; or -1.
    channel_offset : as in `EventSource`
    masks : uint8
        The queue's, flat; of size 0 without any, or where shift is -1.
    width : int
        Channels of the queue.
    """

    start: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.uint8]
    words: NDArray[np.unsignedinteger[Any]]
    quanta: NDArray[np.uint8]
    shift: int
    channel_offset: int
    masks: NDArray[np.uint8]
    width: int


class CountedSource(NamedTuple):
    """Events to count, see `count_uneven_sources`.

    Parameters
    ----------
    start : (H, W + 1) int64
        The queue's.
    channels : unsigned
        The queue's.
    levels : unsigned
        The queue's, word by word.
    thresholds : int
    channel_offset : int
        First channel of this source among all sources.
    masks : uint8
        The queue's, flat; of size 0 where it has none.
    width : int
        Channels of the queue.
    """

    start: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.unsignedinteger[Any]]
    thresholds: int
    channel_offset: int
    masks: NDArray[np.uint8]
    width: int


# --- Weights in integers, see dot_band.py ----------------------------------------------------------------------------


class DotTokens(NamedTuple):
    """Shapes of what is kept in registers.

    Parameters
    ----------
    dot : DotToken
        Sums of products.
    block : Token
        Currents, of one pixel.
    """

    dot: DotToken
    block: Token


class ScaledIntegers(NamedTuple):
    """Weights of a layer.

    Parameters
    ----------
    integers : int8, int16 for pairs, or int32 of four of these
        Flat, as `pack_integers`, `pack_quads` or `pack_fours` leaves them.
    scale : (padded channels,) float32
        What a sum of products is multiplied with.
    """

    integers: NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]
    scale: NDArray[np.float32]


# --- Rows ------------------------------------------------------------------------------------------------------------


class InputRows(NamedTuple):
    """The rows first ... end - 1 of a layer's input."""

    first: int
    end: int


class OutputRows(NamedTuple):
    """The rows first ... end - 1 of a layer's output, a band.

    Parameters
    ----------
    first, end : int
    padded : int
        Channels, filled up to a whole number of blocks.
    channels : int
    """

    first: int
    end: int
    padded: int
    channels: int


class Decoded(NamedTuple):
    """Input rows as `decode_rows` or `decode_quanta` unpacks them, sorted by column.

    Parameters
    ----------
    first_row, rows : int
        Of the queues: the first one, and how many.
    entries : Entries or QuantaEntries
        The entries of the pixel (first_row + row, x) are begins[x * (rows + 1) + row] ... up to the next one.
    """

    first_row: int
    rows: int
    entries: Any


class Planes(NamedTuple):
    """Input rows as `fill_planes` spreads them out.

    Parameters
    ----------
    first_row, rows : int
        The first one, and how many; they may lie beyond the input.
    levels : uint8
        Flat: step, then as `PlaneLayout` says; PLANE_GAP bytes behind each step.
    """

    first_row: int
    rows: int
    levels: NDArray[np.uint8]


# --- Neurons and where their events go -------------------------------------------------------------------------------


class Constant(NamedTuple):
    """What an output's current begins with at each step.

    Parameters
    ----------
    values : float32
        The bias, or bias and analog input's current of each pixel.
    stride : int
        From pixel to pixel: 0, or padded channels.
    """

    values: NDArray[np.float32]
    stride: int


class LadderNeurons(NamedTuple):
    """Neurons that are ladders of thresholds, and their membrane potentials.

    Parameters
    ----------
    parameters : float32
        See `neuron_array`.
    before : float32
        Potentials before these steps.
    before_stride : int
        From pixel to pixel; 0 where there is one value for each channel.
    after, after_stride
        After these steps, likewise.
    """

    parameters: NDArray[np.float32]
    before: NDArray[np.float32]
    before_stride: int
    after: NDArray[np.float32]
    after_stride: int


class IntegerLadder(NamedTuple):
    """Neurons with thresholds q, 2 q, 4 q, ... of which nothing is kept afterwards, where a sum's unit divides q.

    Parameters
    ----------
    addends : int32
        Bias and initial potential in units of each channel's sums, less one; in the order in which sums are held, see
        `in_held_order`.
    biases : int32
        Bias, of all steps but the first, likewise.
    shifts : int32
        Such units in q, as a power of two, likewise.
    most : int
        Quanta that all thresholds together are.
    unused : int
        Bits of a byte beyond the thresholds.
    """

    addends: NDArray[np.int32]
    biases: NDArray[np.int32]
    shifts: NDArray[np.int32]
    most: int
    unused: int


class EventMemory(NamedTuple):
    """Where the events of all bands of a layer go, and how they are packed and counted.

    Parameters
    ----------
    compress : tuple, uint8 or None
        Token of `compact_rows`.
    start, channels, levels, masks
        As `compact_rows` takes them, but of all rows.
    words : uint64
        The memory of the levels.
    thresholds, counts
        See `count_levels`; counts by byte of a word.
    """

    compress: tuple[int, ...] | NDArray[np.uint8] | None
    start: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.unsignedinteger[Any]]
    masks: NDArray[np.uint8]
    words: NDArray[np.uint64]
    thresholds: int
    counts: NDArray[np.int64]


# --- A layer's bands and a thread's memory, see band.py ---------------------------------------------------------------


class PictureTaps(NamedTuple):
    """Which pixels of a picture count for an output, and how much.

    Parameters
    ----------
    weights : (rows, columns, C, O) float32
        By ascending offset.
    rows, columns : int64
        Their offsets: the output (y, x) reads the input (y * step_y + row, x * step_x + column).
    step_y, step_x : int
    sums : (output width,) float32
        Memory of a thread.
    """

    weights: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    step_y: int
    step_x: int
    sums: NDArray[np.float32]


class BandTable(NamedTuple):
    """All bands of a layer.

    Parameters
    ----------
    table : (n,) BAND
    padded, channels : int
        As in `OutputRows`.
    """

    table: NDArray[np.void]
    padded: int
    channels: int


class Entries(NamedTuple):
    """A thread's memory for events that are unpacked, large enough for every band; see `Decoded`.

    Behind the last entry there is room for MOST_CHUNKS chunks.

    Parameters
    ----------
    begins : (W * (rows + 1),) int32
    keys : int32
        Row * channels of all sources + channel, the row counted from the first one.
    values : float32
        As many as steps for each entry.
    """

    begins: NDArray[np.int32]
    keys: NDArray[np.int32]
    values: NDArray[np.float32]


class QuantaEntries(NamedTuple):
    """The same with levels in quanta. Behind the last entry there is room for a chunk.

    Parameters
    ----------
    begins, keys
        As in `Entries`.
    quanta : uint8
        Those of step t at t * stride, one for each entry.
    stride : int
    """

    begins: NDArray[np.int32]
    keys: NDArray[np.int32]
    quanta: NDArray[np.uint8]
    stride: int


class DotScratch(NamedTuple):
    """A thread's memory where it adds up products of levels, large enough for every band.

    Parameters
    ----------
    planes : uint8
        See `Planes`.
    sums : int32
        GROUP * channels of a block for each step, or of two groups of pixels where there is one step.
    tiles : (64,) uint8
        See `tile_configuration`.
    """

    planes: NDArray[np.uint8]
    sums: NDArray[np.int32]
    tiles: NDArray[np.uint8]


class ZeroCounts(NamedTuple):
    """Where weights of zero are counted that events meet, see `count_zeros_of_planes`.

    Parameters
    ----------
    tables : ZeroTables
    sums : (bytes of a pixel, filled up to a multiple of MASK_CHANNELS,) int64
    counts : (sources, >= 2, ..., 8) int64
        Receives at [source, 1, 0] the numbers by step.
    """

    tables: ZeroTables
    sums: NDArray[np.int64]
    counts: NDArray[np.int64]
