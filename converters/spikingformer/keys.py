"""What a published state dict of a Spikingformer has, and must have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError, first_few

from ..batch_norm import PARAMETERS, STATISTICS, folded_into, norm_fault
from ..key_names import unwrapped
from ..state_dict import StateDict, check_keys

Array = NDArray[Any]
Folded = tuple[Array, Array]
"""Weight, of four axes, and bias, float64, with the batch norm behind them."""

NAME = "spikingformer"

_UNREAD = re.compile(r"block\.\d+\.norm[12]\.(weight|bias)")
"""Norms that every published block has and none uses."""


@dataclass(frozen=True)
class Stem:
    """A tokeniser as published: the names of its convolutions and batch norms, and which of them pool before."""

    convolutions: tuple[str, ...]
    norms: tuple[str, ...]
    pools: frozenset[int]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each convolution and its batch norm."""
        return list(zip(self.convolutions, self.norms, strict=True))


def _stem(first: str, other: str, pools: Iterable[int]) -> Stem:
    names = [first, *(f"{other}{i}" for i in range(1, 5))]
    convolutions, norms = (tuple(f"patch_embed.{name}_{part}" for name in names) for part in ("conv", "bn"))
    return Stem(convolutions, norms, frozenset(pools))


STEMS = (_stem("block0", "block", (3, 4)), _stem("proj", "proj", (1, 2, 3, 4)))
"""Of the networks for CIFAR, a token for 4x4 pixels, and of those for ImageNet and event cameras, one for 16x16."""


def looks_like_spikingformer(arrays: StateDict) -> bool:
    """Whether a state dict has the keys of a published tokeniser and of its attention, whatever wraps all of them."""
    wanted = [{f"{each.convolutions[1]}.weight", "block.0.attn.q_conv.weight"} for each in STEMS]
    return any(keys <= set(candidate) for _, candidate in unwrapped(arrays) for keys in wanted)


class Layout:
    """The weights, and their sizes: by the convolutions of the tokeniser, the head and the number of blocks.

    Parameters
    ----------
    arrays : dict of str to array
        Those of norms that no block uses are left out.
    """

    def __init__(self, arrays: StateDict) -> None:
        self.arrays = {key: array for key, array in arrays.items() if not _UNREAD.fullmatch(key)}
        self.stem = next((stem for stem in STEMS if f"{stem.convolutions[1]}.weight" in arrays), STEMS[0])
        found = [int(match[1]) for key in arrays if (match := re.match(r"block\.(\d{1,4})\.", key))]
        self.depth = max(found, default=0) + 1
        self.dim = self._size(f"{self.stem.convolutions[4]}.weight", 0)
        self.classes = self._size("head.weight", 0)

    def _size(self, key: str, axis: int) -> int:
        array = self.arrays.get(key, np.zeros(0))
        return int(array.shape[axis]) if array.ndim > axis else 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every key that must be there, with its shape."""
        widths = [self._size(f"{name}.weight", 0) for name in self.stem.convolutions]
        shapes: dict[str, tuple[int, ...]] = {}
        before = max(self._size(f"{self.stem.convolutions[0]}.weight", 1), 1)
        for (convolution, norm), width in zip(self.stem.pairs, widths, strict=True):
            shapes |= {f"{convolution}.weight": (width, before, 3, 3)} | _norm_shapes(norm, width)
            before = width
        for block in range(self.depth):
            shapes |= self._block(f"block.{block}")
        return shapes | {"head.weight": (self.classes, self.dim), "head.bias": (self.classes,)}

    def _block(self, block: str) -> dict[str, tuple[int, ...]]:
        dim, hidden = self.dim, self._size(f"{block}.mlp.mlp1_conv.weight", 0)
        shapes: dict[str, tuple[int, ...]] = {}
        for name in ("q", "k", "v", "proj"):
            shapes |= {f"{block}.attn.{name}_conv.weight": (dim, dim, 1)} | _norm_shapes(f"{block}.attn.{name}_bn", dim)
        for name, sizes in (("mlp1", (hidden, dim)), ("mlp2", (dim, hidden))):
            layer = f"{block}.mlp.{name}"
            shapes |= {f"{layer}_conv.weight": (*sizes, 1, 1), f"{layer}_conv.bias": sizes[:1]}
            shapes |= _norm_shapes(f"{layer}_bn", sizes[0])
        return shapes | {f"{block}.attn.proj_conv.bias": (dim,)}

    def check(self) -> None:
        """StateDictError where keys or shapes do not fit, or a batch norm has a negative variance."""
        shapes = self.shapes()
        misshapen = {
            key: f"expected {shape}, got {self.arrays[key].shape}"
            for key, shape in shapes.items()
            if key in self.arrays and self.arrays[key].shape != shape
        }
        check_keys(NAME, self.arrays, shapes, misshapen)
        norms = [key.rpartition(".")[0] for key in shapes if key.endswith("running_var")]
        faults = [f"{norm} ({fault})" for norm in norms if (fault := norm_fault(self.norm(norm), self._width(norm)))]
        if faults:
            raise StateDictError(f"batch norms in the state dict do not fit: {first_few(faults)}")

    def norm(self, name: str) -> StateDict:
        """Arrays of a batch norm."""
        return {part: self.arrays[f"{name}.{part}"] for part in (*PARAMETERS, *STATISTICS)}

    def _width(self, norm: str) -> int:
        return len(self.arrays[f"{norm}.running_var"])

    def folded(self, convolution: str, norm: str, epsilon: float) -> Folded:
        """A convolution and the batch norm behind it."""
        weight = self.arrays[f"{convolution}.weight"]
        square = weight.reshape(*weight.shape[:2], *(weight.shape[2:] if weight.ndim == 4 else (1, 1)))
        return folded_into(square, self.arrays.get(f"{convolution}.bias"), self.norm(norm), epsilon)


def _norm_shapes(norm: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{norm}.{part}": (width,) for part in (*PARAMETERS, *STATISTICS)}
