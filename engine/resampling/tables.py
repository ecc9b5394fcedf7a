"""The look-up tables of LeRF, as its authors publish them: a folder of nine .npy files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ModelFileError

SIDE = 17
"""Entries along each of a table's four axes: one for every sixteenth level, and one behind the last."""

PATTERNS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "s": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "c": ((0, 0), (0, 1), (0, 2), (0, 3)),
    "t": ((0, 0), (1, 1), (2, 2), (3, 3)),
}
"""Rows and columns of the four samples that a table is asked about: a square, a line, and a diagonal."""

_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of both stages by pattern, and of the second by whether the pattern is turned by an even number.

    Parameters
    ----------
    prefilter : mapping of str to (17, 17, 17, 17, 1) int8
        What stage 1 makes of a pixel, by pattern.
    shape : mapping of (str, int) to (17, 17, 17, 17, 1 or 3) int8
        What stage 2 says of the weights, by pattern and 0 or 1 for turns by 0 and 180, or by 90 and 270 degrees. Three
        outputs are a Gaussian's (LeRF-G), one is the slope of a tent (LeRF-L).

    Raises
    ------
    InputError
        If a table is missing, of another type or shape, or they have not the same number of outputs.
    """

    prefilter: Mapping[str, NDArray[np.int8]]
    shape: Mapping[tuple[str, int], NDArray[np.int8]]

    def __post_init__(self) -> None:
        prefilter = {
            pattern: _checked(self.prefilter.get(pattern), f"stage 1, {pattern}", (1,)) for pattern in PATTERNS
        }
        shape = {key: _checked(self.shape.get(key), f"stage 2, {key[0]}{key[1]}", (1, 3)) for key in SHAPE_KEYS}
        found = {table.shape[-1] for table in shape.values()}
        if len(found) != 1:
            raise InputError("the tables of stage 2 differ in how many numbers they hold; take those of one network")
        object.__setattr__(self, "prefilter", prefilter)
        object.__setattr__(self, "shape", shape)

    @property
    def outputs(self) -> int:
        """Numbers that stage 2 says of a pixel's weights: 3 of a Gaussian, 1 of a tent."""
        return int(self.shape["s", 0].shape[-1])

    @property
    def name(self) -> str:
        """What the authors call the method."""
        return "LeRF-G" if self.outputs == 3 else "LeRF-L"


SHAPE_KEYS = tuple((pattern, turn) for pattern in PATTERNS for turn in (0, 1))


def _checked(table: object, what: str, outputs: tuple[int, ...]) -> NDArray[np.int8]:
    if not isinstance(table, np.ndarray) or table.dtype != np.int8 or table.size not in [SIDE**4 * n for n in outputs]:
        found = f"{table.dtype} {table.shape}" if isinstance(table, np.ndarray) else type(table).__name__
        wanted = " or ".join(str(SIDE**4 * n) for n in outputs)
        raise InputError(f"the table of {what}: must be an int8 array of {wanted} numbers (got {found})")
    return np.ascontiguousarray(table).reshape(SIDE, SIDE, SIDE, SIDE, -1)


def read_tables(folder: str | os.PathLike[str]) -> Tables:
    """Read the tables LUTft_s1_sr0.npy, LUTft_s2_sr0.npy ... of a folder, or LUT_... where they are not fine-tuned.

    Raises
    ------
    InputError
        If the folder does not hold them; names the first that is missing.
    ModelFileError
        If a file is damaged or holds something else. Nothing in it is executed.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(
            f"{place}: is no folder; name the one that holds LeRF's tables, LUTft_s1_sr0.npy and the others"
        )
    prefix = "LUT" if not (place / "LUTft_s1_sr0.npy").exists() and (place / "LUT_s1_sr0.npy").exists() else "LUTft"
    try:
        return Tables(
            {pattern: _read(place / f"{prefix}_s1_{pattern}r0.npy") for pattern in PATTERNS},
            {(pattern, turn): _read(place / f"{prefix}_s2_{pattern}r{turn}.npy") for pattern, turn in SHAPE_KEYS},
        )
    except InputError as error:
        raise InputError(f"{place}: {error}" if str(place) not in str(error) else str(error)) from None


def _read(path: Path) -> NDArray[Any]:
    """An array of a .npy file, whose header is believed only as far as the file reaches."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelFileError(f"{path}: is larger than any of LeRF's tables; name their folder")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; a folder of LeRF's tables holds {_NAMES}") from None
    except (ValueError, EOFError) as error:
        raise _damaged(path, error) from None
    if not isinstance(array, np.ndarray):  # an archive, which NumPy tells by its content
        array.close()
        raise ModelFileError(f"{path}: is an archive, not an array; fetch it anew")
    return np.array(array)


def _damaged(path: Path, error: Exception) -> ModelFileError:
    if isinstance(error, ModelFileError):
        return error
    reason = " ".join(str(error).split())[:120]
    return ModelFileError(f"{path}: cannot be read as an array ({reason}); fetch it anew")


_NAMES = "LUTft_s1_{s,c,t}r0.npy and LUTft_s2_{s,c,t}r{0,1}.npy"
