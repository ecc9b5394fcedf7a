"""Max pooling of spikes (Li and Zeng, arXiv 2204.13271), as PyTorch's MaxPool2d in the analog network."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Rows, Value
from .dense.joining import joined
from .pool import Pool2d

Array = NDArray[Any]

VARIANTS = ("lateral-inhibition", "gated", "stepwise")


@dataclass(frozen=True, eq=False)
class MaxPool2d(Pool2d):
    """Maximum over windows; a Neurons node of its own follows it.

    With S_i(t) the sum of what the window's input i has emitted up to step t, the current is

        max_i S_i(t) - max_i S_i(t - 1)        ("lateral-inhibition")

    so that what has been put out in all is the largest of the inputs' sums at every step. The gated variant (Rueckauer
    et al., Frontiers in Neuroscience 11:682, 2017) lets through what the input with the largest sum emits at the step;
    its sum is too large where the largest input changes. The stepwise one takes the largest of what is emitted at the
    step, as networks that were trained through time do: of binary events, whether any input has one.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size; never the maximum
    variant : "lateral-inhibition", "gated" or "stepwise"
    """

    variant: str = "lateral-inhibition"

    file_fields: ClassVar[Mapping[str, str]] = {**Pool2d.file_fields, "variant": "text"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise self.refuse("variant", f"must be one of {', '.join(VARIANTS)} (got {reprlib.repr(self.variant)})")

    @property
    def state_values(self) -> int:  # type: ignore[override]
        return 0 if self.variant == "stepwise" else math.prod(self.kernel_size)

    @property
    def goes_by_sums(self) -> bool:  # type: ignore[override]
        return self.variant != "stepwise"

    def gain(self) -> tuple[float, float, int] | None:
        # Where sums over all steps are kept, the bounds know nothing of them.
        return (1.0, 0.0, math.prod(self.kernel_size)) if self.variant == "stepwise" else None

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        if self.variant == "stepwise":
            return self._largest(self.padded_rows(values, rows, -np.inf), rows)
        from ..kernels.max_pool import pool_maxima

        assert state is not None
        padded = self.padded_rows(values, rows)
        _, height, width = rows.incoming
        top = rows.first * self.stride[0] - self.padding[0]
        inside = (-top, height - top, self.padding[1], self.padding[1] + width)
        currents = np.empty((len(values), *state.shape[:3]), np.float32)
        pool_maxima(padded, inside, (*self.kernel_size, *self.stride), self.variant == "gated", state, currents)
        return currents

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return np.asarray(self._windows(value).max(0))

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        return self._routed(value, self._windows(value).argmax(0), gradient) if into_input else None, {}

    def forward_in_time(self, value: Value, steps: int) -> Array:
        if self.variant == "stepwise":
            return self.forward(value)
        sums = self._windows(_summed(value, steps))
        if self.variant == "gated":
            return np.asarray(np.take_along_axis(self._windows(value), sums.argmax(0)[None], 0)[0])
        return _differences(sums.max(0), steps)

    def backward_in_time(self, value: Value, gradient: Array, steps: int) -> Array:
        if self.variant == "stepwise":
            return self._routed(value, self._windows(value).argmax(0), gradient)
        chosen = self._windows(_summed(value, steps)).argmax(0)
        if self.variant == "gated":
            return self._routed(value, chosen, gradient)
        by_step = gradient.reshape(steps, -1, *gradient.shape[1:]).copy()
        by_step[:-1] -= by_step[1:]
        into = self._routed(value, chosen, by_step.reshape(gradient.shape))
        reached = into.reshape(steps, -1, *into.shape[1:])[::-1].cumsum(0)[::-1]
        return np.ascontiguousarray(reached).reshape(into.shape)

    def _largest(self, padded: Array, rows: Rows) -> Array:
        """(M, rows, W', C): the largest number of each window."""
        first, *others = self.seen(padded, rows)
        largest = first.copy()
        for seen in others:
            np.maximum(largest, seen, out=largest)
        return largest

    def _windows(self, value: Value) -> Array:
        """(taps, M, H', W', C): what each tap sees, those of padding alone left out."""
        source = joined(value)
        rows = self._all_rows(source)
        return np.stack(list(self.seen(self.padded_rows(source, rows, -np.inf), rows)))

    def _routed(self, value: Value, chosen: Array, gradient: Array) -> Array:
        """(M, H, W, C): each output's gradient, added to the tap that was chosen."""
        source = joined(value)
        rows = self._all_rows(source)
        padded = self.padded_rows(np.zeros(source.shape, gradient.dtype), rows)
        for tap, seen in enumerate(self.seen(padded, rows)):
            np.add(seen, np.where(chosen == tap, gradient, 0), out=seen)
        (down, right), (_, height, width, _) = self.padding, source.shape
        found = np.zeros(source.shape, gradient.dtype)
        inside = padded[:, down : down + height, right : right + width]
        found[:, : inside.shape[1]] = inside
        return found

    def _all_rows(self, source: Array) -> Rows:
        incoming = (source.shape[3], *source.shape[1:3])
        return Rows(0, self.output_shape(incoming)[1], 0, incoming)


def _summed(value: Value, steps: int) -> Value:
    """What has been read up to each step."""
    return tuple(part.reshape(steps, -1, *part.shape[1:]).cumsum(0).reshape(part.shape) for part in value)


def _differences(array: Array, steps: int) -> Array:
    """The reverse."""
    by_step = array.reshape(steps, -1, *array.shape[1:])
    return np.concatenate([by_step[:1], np.diff(by_step, axis=0)]).reshape(array.shape)
