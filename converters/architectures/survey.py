"""Which keys an architecture takes of a state dict, and what is wrong with them; no number is computed with."""

from __future__ import annotations

from spikeunet.engine.errors import StateDictError, first_few
from spikeunet.engine.graph import Projection

from ..batch_norm import PARAMETERS, STATISTICS, norm_fault
from ..state_dict import StateDict, check_keys
from .layers import Layers, MakeNode, Size

Channels = int | None
"""Of what a layer puts out; None where its weight is missing or misshapen."""


class Survey(Layers):
    """Walks through an architecture with the number of channels in place of values.

    Attributes
    ----------
    required : set of str
        Keys that the architecture takes: weights, and what else of its layers is there.
    misshapen : dict of key to what is wrong with its shape
    norm_faults : list of str
    refusal : StateDictError, optional
        Why the walk came to an end.
    """

    def __init__(self, arrays: StateDict, epsilon: float) -> None:
        super().__init__(arrays, epsilon)
        self.required: set[str] = set()
        self.misshapen: dict[str, str] = {}
        self.norm_faults: list[str] = []
        self.refusal: StateDictError | None = None

    @property
    def share(self) -> float:
        """Of all keys that are there or should be, those that are both, with the right shape."""
        found = set(self.arrays)
        return len((found & self.required) - self.misshapen.keys()) / max(1, len(found | self.required))

    def check(self, name: str) -> None:
        """StateDictError where the state dict is not of the architecture, with the keys at fault."""
        if self.refusal is not None:
            raise self.refusal
        if self.norm_faults:
            faults = first_few(self.norm_faults)
            raise StateDictError(f"batch norms in the state dict do not fit: {faults}; export the whole network")
        check_keys(name, self.arrays, self.required, self.misshapen)

    # --- Layers ------------------------------------------------------------------------------------------------------

    def input(self, channels: int | None, size: tuple[int, int] | None = None) -> Channels:  # noqa: ARG002
        """The picture's channels."""
        return channels

    def norm(self, key: str, value: Channels) -> Channels:
        """The same channels; notes what is wrong with the batch norm."""
        parts = {part: f"{key}.{part}" for part in (*PARAMETERS, *STATISTICS)}
        there = {part: self.arrays[name] for part, name in parts.items() if name in self.arrays}
        self.required |= {parts[part] for part in {*there, *STATISTICS}}
        channels = next(iter(there.values())).size if there and value is None else value
        if there and channels is not None and (fault := norm_fault(there, channels)):
            self.norm_faults.append(f"{key} ({fault})")
        return value

    def relu(self, name: str, value: Channels) -> Channels:  # noqa: ARG002
        """The same channels."""
        return value

    def concat(self, name: str, *values: Channels) -> Channels:  # noqa: ARG002
        """All channels."""
        return None if None in values else sum(value for value in values if value is not None)

    def add(self, name: str, *values: Channels) -> Channels:
        """The same channels; notes where they differ."""
        known = [value for value in values if value is not None]
        if len(set(known)) > 1:
            self.misshapen[name] = f"adds {' and '.join(map(str, known))} channels"
        return known[0] if known else None

    def finish(self, value: Channels) -> None:
        """Nothing is built."""

    def require(self, key: str, problem: str, holds: bool) -> None:
        """Note what is wrong with an array."""
        if not holds:
            self.misshapen.setdefault(key, problem)

    def _channels(self, value: Channels) -> Channels:
        return value

    def _with_ones(self, value: Channels) -> Channels:
        return None if value is None else value + 1

    def _plain(self, node: Projection, value: Channels) -> Channels:  # noqa: ARG002
        return value

    def _weighted(self, key: str, value: Channels, expected: tuple[Size, ...], norm: str, node: MakeNode) -> Channels:  # noqa: ARG002
        """Channels that weights put out; notes what is wrong with them, their bias and their batch norm."""
        weight, bias = f"{key}.weight", f"{key}.bias"
        self.required.add(weight)
        channels: Channels = None
        if weight in self.arrays:
            shape = self.arrays[weight].shape
            channels = int(shape[expected.index("out")]) or None if len(shape) == len(expected) else None
            if not _fits(shape, expected):
                self.misshapen[weight] = f"expected {_written(expected)}, got {shape}"
        if bias in self.arrays:
            self.required.add(bias)
            shape = self.arrays[bias].shape
            if channels is not None and shape != (channels,):
                self.misshapen[bias] = f"expected ({channels},), got {shape}"
        if norm:
            self.norm(norm, channels)
        return channels


def _fits(shape: tuple[int, ...], expected: tuple[Size, ...]) -> bool:
    """Whether a shape is the one expected: a number, "odd", or anything above 0 for other texts and None."""
    if len(shape) != len(expected) or 0 in shape:
        return False
    pairs = zip(shape, expected, strict=True)
    return all(size == wanted if isinstance(wanted, int) else wanted != "odd" or size % 2 for size, wanted in pairs)


def _written(expected: tuple[Size, ...]) -> str:
    return f"({', '.join('in' if size is None else str(size) for size in expected)})"
