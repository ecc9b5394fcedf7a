"""Spiking self-attention without softmax (Zhou et al., arXiv 2304.11954): counting events, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import FanOut, Projection, Rows, Shape, Value
from ..graph.fields import set_count, set_positive
from ..graph.limits import MOST_HEAD_CHANNELS
from .dense.joining import joined

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Attention(Projection):
    """scale * q (k^T v) of each head, over the pixels of a picture; a Neurons node of its own follows it.

    What is read are the channels of q, then those of k, then those of v, of one population or of a Concat of three:
    heads * d channels each, the first head's first. Pixels are tokens. Of a head, q, k and v are (H W, d) matrices.
    There is no softmax between the two products, which may therefore be taken in either order: k^T v, (d, d), comes
    first. Of binary events it holds how often each channel of k and each of v fired together, and an event of q adds a
    row of it up: all sums are whole numbers, exact in float32 up to 2**24.

    Parameters
    ----------
    name, source : str
    heads : int
    scale : float
        Positive.
    """

    heads: int = 1
    scale: float = 0.125

    file_fields: ClassVar[Mapping[str, str]] = {"heads": "integer", "scale": "number"}

    gathers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "heads", 1)
        set_positive(self, "scale")

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return self.channels_out(channels), height, width

    def channels_out(self, channels: int) -> int:
        if channels % (3 * self.heads):
            wanted = f"q, k and v of so many heads take a multiple of {3 * self.heads} channels"
            raise self.refuse("heads", f"is {self.heads}: {wanted}, but the source puts out {channels}")
        if channels // 3 > MOST_HEAD_CHANNELS * self.heads:
            size = channels // 3 // self.heads
            raise self.refuse("heads", f"is {self.heads}: a head has {size} channels; at most {MOST_HEAD_CHANNELS} do")
        return channels // 3

    @property
    def homogeneous(self) -> bool:
        return False

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        return first, last

    def gather(self, values: Array) -> Array:
        from ..kernels.attention import pair_sums

        size = values.shape[3] // 3 // self.heads
        pairs = np.zeros((*values.shape[:2], self.heads, size, size))
        pair_sums(np.ascontiguousarray(values), pairs)
        return pairs.reshape(*values.shape[:2], -1)

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        from ..kernels.attention import attend

        assert rows.gathered is not None
        steps, height, width, channels = values.shape
        currents = np.empty((steps, height, width, channels // 3), values.dtype)
        size = channels // 3 // self.heads
        pairs = rows.gathered.astype(values.dtype).reshape(steps, self.heads, size, size)
        attend(np.ascontiguousarray(values), pairs, values.dtype.type(self.scale), currents)
        return currents

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return self._mixed(joined(value))

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        if not into_input:
            return None, {}
        values = joined(value)
        q, k, v = self._by_head(values)
        flow = self._heads(gradient * gradient.dtype.type(self.scale))
        pairs, of_pairs = np.swapaxes(k, -1, -2) @ v, np.swapaxes(q, -1, -2) @ flow
        parts = (flow @ np.swapaxes(pairs, -1, -2), v @ np.swapaxes(of_pairs, -1, -2), k @ of_pairs)
        return np.concatenate([self._pixels(part, gradient.shape) for part in parts], axis=3), {}

    def _mixed(self, values: Array) -> Array:
        """(M, H, W, C): the current of all pixels, of (M, H, W, 3 C)."""
        q, k, v = self._by_head(values)
        found = q @ (np.swapaxes(k, -1, -2) @ v) * values.dtype.type(self.scale)
        return self._pixels(found, (*values.shape[:3], values.shape[3] // 3))

    def _by_head(self, values: Array) -> tuple[Array, ...]:
        """q, k and v, (M, heads, H W, d) each."""
        return tuple(self._heads(part) for part in np.split(values, 3, axis=3))

    def _heads(self, part: Array) -> Array:
        pictures, height, width, channels = part.shape
        return part.reshape(pictures, height * width, self.heads, channels // self.heads).swapaxes(1, 2)

    def _pixels(self, part: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `_heads`."""
        return np.ascontiguousarray(part.swapaxes(1, 2)).reshape(shape)

    # --- What is counted ---------------------------------------------------------------------------------------------

    def fan_out(self, incoming: Shape) -> FanOut:
        # Nothing for an event alone: see `products`.
        rows, columns = (np.zeros(size, np.int64) for size in incoming[1:])
        return FanOut(rows, columns, 1)

    def products(self, events: NDArray[np.bool_]) -> NDArray[np.int64]:
        """An event of q adds up d sums; one of k is counted with each event of v in its head, at its pixel."""
        pictures, height, width, channels = events.shape
        by_head = (pictures, height, width, self.heads, channels // 3 // self.heads)
        q, k, v = (part.reshape(by_head) for part in np.split(events, 3, axis=3))
        met = v.sum(4, dtype=np.int64)[..., None]
        found = [q * np.int64(by_head[4]), k * met, np.zeros(by_head, np.int64)]
        return np.concatenate([part.reshape(pictures, height, width, -1) for part in found], axis=3)

    def dense_macs(self, incoming: Shape) -> int:
        channels, height, width = incoming
        return 2 * height * width * (channels // 3) * (channels // 3 // self.heads)

    def pass_on(self, by_channel: Array) -> Array:
        raise InputError(
            f"Attention {self.name!r} multiplies what it reads with one another: it has no scales to hand on"
        )
