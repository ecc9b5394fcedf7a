"""Pictures inside a page: scaled down, packed, as data URIs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..pictures.opening import encoded

if TYPE_CHECKING:
    from PIL.Image import Image

    from .content import Pixels

LARGEST_SIDE = 768
"""Pixels of a picture in a page; larger ones are scaled down."""
STEP_SIDE = 512
"""The same of the pictures of steps, of which there are many."""


def scaled_size(shape: tuple[int, ...], most: int = LARGEST_SIDE) -> tuple[int, int]:
    """(height, width) in a page."""
    height, width = shape[:2]
    factor = min(1.0, most / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def data_uri(picture: Pixels, most: int = LARGEST_SIDE) -> str:
    """A picture as a data URI of `webp`."""
    return "data:image/webp;base64," + base64.b64encode(webp(picture, most)).decode()


def webp(picture: Pixels, most: int = LARGEST_SIDE) -> bytes:
    """A picture as a file of WebP without loss, after scaling where it is larger than `most`."""
    image = _image(picture)
    height, width = scaled_size(picture.shape, most)
    if (width, height) != image.size:
        image = image.resize((width, height), _reduction(picture))
    return bytes(encoded(np.asarray(image), "WebP", lossless=True, quality=50, method=3))


def _image(picture: Pixels) -> Image:
    from PIL import Image

    samples = np.asarray(picture)
    if samples.dtype != np.uint8:
        samples = np.rint(np.clip(samples, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(samples.squeeze(axis=2) if samples.ndim == 3 and samples.shape[2] == 1 else samples)


def _reduction(picture: Pixels) -> int:
    """Means over areas; labels and overlays would gain colours that they have not, but at this size nobody counts."""
    from PIL import Image

    return int(Image.Resampling.BOX if min(picture.shape[:2]) > 1 else Image.Resampling.NEAREST)


def map_uri(values: NDArray[np.float64], most: int) -> str:
    """Numbers (H, W) from 0 up in colours, dark for 0, as a data URI; every map has a scale of its own."""
    from matplotlib import colormaps

    largest = float(values.max(initial=0.0)) or 1.0
    colors = colormaps["inferno"](values / largest, bytes=True)[..., :3]
    return data_uri(np.ascontiguousarray(colors), most)
