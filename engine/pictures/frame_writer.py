"""Write a picture series page by page: a TIFF, or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import PictureError
from .encoding import write_page
from .formats import format_of
from .opening import opened_by
from .picture_files import as_held, named_errors
from .picture_metadata import DESCRIPTION_TAG, Metadata, suits
from .ranges import SampleRange
from .samples import check_shape
from .streams import Place, is_path, name_of, written
from .video import CODECS, VideoWriter

VIDEO_SUFFIXES = tuple(CODECS)
TIFF_SUFFIXES = (".tif", ".tiff")
SERIES_SUFFIXES = (*TIFF_SUFFIXES, *VIDEO_SUFFIXES)
"""What a file's name ends with that can hold a series."""

_BIG = 2**32 - 2**25
_ENOUGH_ROOM = 1.1


def suffix_of(target: Place) -> str:
    """Suffix of the target's name in small letters."""
    return PurePath(name_of(target)).suffix.lower()


def holds_series(target: Place) -> bool:
    """Whether a file of this name can hold several pictures."""
    return is_path(target) and suffix_of(target) in SERIES_SUFFIXES


def dtype_in(target: Place, dtype: str, channels: int) -> str:
    """Sample type that a picture of `dtype` has in a file of this name, a picture's or a video's."""
    # BMP holds what a video holds: gray and colour of 8 bits.
    return format_of("x.bmp" if suffix_of(target) in VIDEO_SUFFIXES else target).dtype_for(dtype, channels)


def check_output_suffix(target: Place) -> None:
    """PictureError where a name's suffix is none of a picture or of a video."""
    if suffix_of(target) not in VIDEO_SUFFIXES:
        format_of(target)


class FrameWriter:
    """A series that is being written; `write_frames` makes one."""

    def __init__(self, name: str, put: Callable[[NDArray[Any], Metadata, SampleRange | None], str]) -> None:
        self._name, self._put = name, put
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self.count = 0

    def write(
        self, picture: ArrayLike, *, sample_range: SampleRange | None = None, metadata: Metadata | None = None
    ) -> str:
        """Write the next page and return the type of its samples in the file.

        Parameters
        ----------
        picture : (H, W) or (H, W, C) uint8, uint16, or float in [0, 1]
            As of `write_picture`; of the size and the type of the first one.
        sample_range : (low, high), optional
            Samples of black and white where they are others than the type's.
        metadata : Metadata, optional

        Raises
        ------
        PictureError
            If it is no such picture.
        OSError
            If the file cannot be written.
        """
        with named_errors(f"{self._name}: page {self.count}", "cannot be written"):
            samples = as_array(picture, "the picture", PictureError)
            check_shape(samples)
            kind = samples.shape, samples.dtype
            if self._kind is not None and self._kind != kind:
                raise PictureError(
                    f"is {_named(kind)}, but page 0 is {_named(self._kind)}; a series has one size and type"
                )
            self._kind = kind
            held = self._put(samples.reshape(*samples.shape[:2], -1), metadata or Metadata(), sample_range)
            self.count += 1
            return held


@contextmanager
def write_frames(
    target: Place,
    *,
    rate: float | None = None,
    count: int | None = None,
    palette: ArrayLike | None = None,
) -> Iterator[FrameWriter]:
    """Write a series picture by picture, completely or not at all.

    A TIFF keeps the type of the samples; a video has 8 bits a sample: FFV1 in .avi loses nothing, H.264 in .mp4 does.
    Only one picture is in memory at a time.

    Parameters
    ----------
    target : path or binary file object
        Ends in .tif, .tiff, .mp4 or .avi. A file object gets all bytes at once, which are in memory until then.
    rate : float, optional
        Frames a second, 25 for a video where nothing is said. A TIFF notes it in a description that ImageJ reads.
    count : int, optional
        How many pictures there will be: a TIFF of more than 4 GB has to be another kind of file (BigTIFF) from its
        first byte on.
    palette : (entries, 3), optional
        The pictures are (H, W) uint8 indices into these colours, 0 to 255; for TIFF alone.

    Yields
    ------
    FrameWriter

    Raises
    ------
    PictureError
        If the suffix is none of these, or nothing was written.
    InputError
        If it is a video and PyAV is missing (extra `video`).
    OSError
        If the file cannot be written; whatever was there is kept.
    """
    suffix = suffix_of(target)
    if suffix not in SERIES_SUFFIXES or (palette is not None and suffix not in TIFF_SUFFIXES):
        able = SERIES_SUFFIXES if palette is None else TIFF_SUFFIXES
        raise PictureError(f"{name_of(target)}: {suffix or 'a name without suffix'} holds no series; use {_or(able)}")
    with written(target) as stream:
        with named_errors(target, "cannot be written"):
            series: _Tiff | VideoWriter = (
                _Tiff(stream, rate, count, palette) if suffix in TIFF_SUFFIXES else VideoWriter(stream, suffix, rate)
            )
        writer = FrameWriter(name_of(target), series.put)
        try:
            yield writer
            _check_written(writer, target)
        except BaseException:
            with suppress(Exception):
                series.close()
            raise
        with named_errors(target, "cannot be written"):
            series.close()


def _check_written(writer: FrameWriter, target: Place) -> None:
    if not writer.count:
        raise PictureError(f"{name_of(target)}: a series needs a picture, and none was written")


class _Tiff:
    def __init__(self, stream: BinaryIO, rate: float | None, count: int | None, palette: ArrayLike | None) -> None:
        self._stream, self._rate, self._count = stream, rate, count
        self._palette = None if palette is None else _colormap(palette)
        self._tiff: Any = None
        self._open = ExitStack()

    def put(self, samples: NDArray[Any], metadata: Metadata, sample_range: SampleRange | None) -> str:
        samples, limits = as_held(samples, sample_range, format_of("x.tif"))
        if not suits(metadata.icc_profile, samples.shape[2]):
            raise PictureError("the colour profile is not one of this picture's colours; leave it out")
        if self._tiff is None:
            large = samples.nbytes * (self._count or 1) * _ENOUGH_ROOM > _BIG
            tiff = opened_by("tifffile", self._stream, "w", extension=".tif", bigtiff=large)
            self._tiff = self._open.enter_context(tiff)
            metadata = self._with_rate(metadata, samples)
        write_page(self._tiff, samples, metadata, limits, self._palette)
        return samples.dtype.name

    def _with_rate(self, metadata: Metadata, samples: NDArray[Any]) -> Metadata:
        """Metadata with the frame rate as ImageJ and tifffile read it, where no description is kept."""
        shape, dtype = samples.shape[: 2 if samples.shape[2] == 1 else 3], samples.dtype.name
        if self._rate is None or DESCRIPTION_TAG in metadata.texts_for(shape, dtype):
            return metadata
        text = f"ImageJ=1.54f\nfps={self._rate:.6g}\nfinterval={1 / self._rate:.6g}\n"
        return replace(metadata, texts={**metadata.texts, DESCRIPTION_TAG: text}, stored=(shape, dtype))

    def close(self) -> None:
        self._open.close()


def _colormap(palette: ArrayLike) -> NDArray[np.uint16]:
    """(3, 256) uint16, as TIFF has palettes."""
    colors = np.zeros((256, 3), np.uint16)
    entries = np.asarray(palette, np.uint16)
    colors[: len(entries)] = entries * np.uint16(257)
    return np.ascontiguousarray(colors.T)


def _named(kind: tuple[tuple[int, ...], np.dtype[Any]]) -> str:
    return f"{'x'.join(map(str, kind[0]))} {kind[1].name}"


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
