"""What Pillow, tifffile and PyAV are asked themselves, as imageio's plug-ins, which open the files, do not tell it.

tests/test_imageio.py holds each reason that is given here, and fails once it is no longer so.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..quiet import quiet_logger
from .opening import opened_by

if TYPE_CHECKING:
    from PIL.Image import Exif
    from tifffile import TiffFile

_Held = TypeVar("_Held")


def _held(plugin: Any, kind: type[_Held]) -> _Held:
    """What a plug-in has its file open with, under whichever name."""
    return next(each for each in vars(plugin).values() if isinstance(each, kind))


@contextmanager
def opened_tiff(stream: BinaryIO) -> Iterator[TiffFile]:
    """A TIFF whose pages, declared planes and links can be asked one by one.

    imageio's `metadata` and `properties` raise AttributeError or IndexError for pages with odd tags of resolution, and
    of OME-TIFF ValueError. They say neither how the samples lie in the file, so that one could tell whether all are
    there before memory is taken, nor how many planes lie behind a page without reading all of them, nor whether
    the file breaks off behind a page.
    """
    import tifffile

    # Its remarks on odd files would otherwise reach stderr; a logger that the user sets up still gets them.
    quiet_logger("tifffile")
    with opened_by("tifffile", stream, _multifile=False) as plugin:
        yield _held(plugin, tifffile.TiffFile)


def av_module() -> Any:
    """The package av; InputError where it is missing, which is an extra."""
    try:
        import av
    except ImportError:
        raise InputError("videos need PyAV, which is missing; pip install 'spikeunet[video]'") from None
    return av


@contextmanager
def opened_video(stream: BinaryIO) -> Iterator[Any]:
    """A video's container, of PyAV.

    imageio's `iter` paints over what is damaged, and takes a video that breaks off for a shorter one; it does not say
    how many bits a sample has, and neither what else is in the container nor which way up a frame is shown.
    """
    av = av_module()
    with opened_by("pyav", stream, metadata_errors="replace") as plugin:
        yield _held(plugin, av.container.InputContainer)


def set_encoder(plugin: Any, options: dict[str, str]) -> None:
    """Set an encoder's options, such as H.264's quality, of a video that is begun; `init_video_stream` takes none."""
    _held(plugin, av_module().container.OutputContainer).streams.video[0].options = options


def exif_of(content: bytes = b"") -> Exif:
    """EXIF that can be changed; imageio gives it as bytes, or as names without what lies in its inner directories."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(content)
    return exif


def indexed_png(indices: NDArray[np.uint8], palette: Sequence[Sequence[int]]) -> bytes:
    """The PNG of indices (H, W) into (red, green, blue); imageio writes none with a palette that is given."""
    from PIL import Image

    image, buffer = Image.fromarray(indices), io.BytesIO()
    image.putpalette([sample for color in palette for sample in color])
    image.save(buffer, "PNG")
    return buffer.getvalue()


def unmultiplied(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Samples (H, W, 2 or 4) whose colours transparency has not darkened, as Pillow has them; no file is opened."""
    from PIL import Image

    height, width, channels = samples.shape
    stored, shown = {2: ("La", "LA"), 4: ("RGBa", "RGBA")}[channels]
    image = Image.frombytes(stored, (width, height), np.ascontiguousarray(samples).tobytes())
    return np.asarray(image.convert(shown))
