"""The frames of a video, read and written with PyAV (extra `video`), as imageio opens them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .beyond_imageio import av_module, opened_video, set_encoder
from .decoding import PictureFile, check_size
from .formats import format_of
from .frames import ASSUMED_RATE, Frames
from .opening import opened_by
from .picture_files import as_held, named_errors
from .picture_metadata import Metadata
from .ranges import SampleRange

CODECS = {
    ".mp4": ("mp4", "libx264", {1: "yuv420p", 3: "yuv420p"}, {"crf": "12", "preset": "medium"}),
    ".avi": ("avi", "ffv1", {1: "gray", 3: "bgr0"}, {}),
}
"""By suffix: container, codec, pixels of gray and of colour, options. FFV1 loses nothing, H.264 a little."""


@contextmanager
def video_frames(stream: BinaryIO, name: str) -> Iterator[Frames]:
    """The frames of a file's first video stream."""
    av = av_module()
    with ExitStack() as stack:
        with named_errors(name, "cannot be read as a video"), _plain_errors(av):
            frames = _frames(av, stack.enter_context(opened_video(stream)), name)
        yield frames


def _frames(av: Any, container: Any, name: str) -> Frames:
    video = container.streams.video[0]
    if video.codec_context is None:
        raise PictureError("its pictures are in a code that is not known here; convert it to H.264 or FFV1")
    # What a decoder would rather paint over is an error here.
    video.codec_context.options = {"err_detect": "explode"}
    remarks: tuple[str, ...] = ("its sound is left out",) if container.streams.audio else ()
    if len(container.streams.video) > 1:
        remarks += (f"holds {len(container.streams.video)} videos, of which the first is taken",)
    late: list[str] = []
    rate = float(video.average_rate) if video.average_rate else None

    def read(start: int) -> Iterator[PictureFile]:
        for number, samples in enumerate(_decoded(av, container, video, late)):
            if number >= start:
                yield PictureFile(samples)

    estimate = round((container.duration or 0) / av.time_base * (rate or 0)) or None
    return Frames(name, "video", video.frames or None, read, rate, remarks, late, estimate=estimate)


def _decoded(av: Any, container: Any, video: Any, late: list[str]) -> Iterator[NDArray[Any]]:
    """Frames in the order in which they are shown; PictureError where one is damaged or missing."""
    packets, previous = 0, None
    times: set[int] = set()
    for packet in _raising(av, container.demux(video)):
        packets += packet.size > 0
        if packet.is_corrupt:
            raise PictureError("the video is damaged or truncated here")
        with _plain_errors(av):
            frames = packet.decode()
        for frame in frames:
            if frame.is_corrupt:
                raise PictureError("the video is damaged or truncated here")
            if previous is not None and frame.pts is not None and len(times) < 2:
                times.add(frame.pts - previous)
            previous = frame.pts
            yield _samples(frame)
    if packets < video.frames:
        raise PictureError(f"the video is truncated: {packets} frames of {video.frames} are there")
    if len(times) > 1 and max(times) - min(times) > 1:
        late.append("its frames are shown for different times; the mean rate is kept")


def _raising(av: Any, packets: Iterator[Any]) -> Iterator[Any]:
    while True:
        with _plain_errors(av):
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


@contextmanager
def _plain_errors(av: Any) -> Iterator[None]:
    """FFmpeg's errors have numbers as those of the system have, but are about what is in a file."""
    try:
        yield
    except av.FFmpegError as error:
        raise PictureError(f"the video is damaged or truncated: {error.strerror or error}") from None
    except IndexError:  # of the first video of a container
        raise PictureError("holds no video") from None


def _samples(frame: Any) -> NDArray[Any]:
    """(H, W) or (H, W, 3), the way up it is shown: uint8, or uint16 on its whole range of more than 8 bits a sample."""
    check_size(frame.width, frame.height)
    deep = any(part.bits > 8 for part in frame.format.components)
    if frame.format.name.startswith("gray"):
        samples = frame.to_ndarray(format="gray16le" if deep else "gray")
    else:
        samples = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
    turned: NDArray[Any] = np.rot90(samples, (frame.rotation // 90) % 4)
    return turned


class VideoWriter:
    """A video that is being written, of 8 bits a sample and a constant rate; `write_frames` makes one."""

    def __init__(self, stream: BinaryIO, suffix: str, rate: float | None) -> None:
        container, self._codec, self._pixels, self._options = CODECS[suffix]
        self._suffix, self._rate, self._begun = suffix, ASSUMED_RATE if rate is None else rate, False
        av_module()
        self._open = ExitStack()
        video = opened_by("pyav", stream, "w", extension=suffix, container=container)
        self._video = self._open.enter_context(video)

    def put(self, samples: NDArray[Any], _metadata: Metadata, sample_range: SampleRange | None) -> str:
        """Write the next frame, (H, W, C), which keeps no metadata; the type of its samples in the video."""
        if samples.shape[2] not in (1, 3):
            raise PictureError("a video cannot hold transparency; use .tif or .tiff")
        # BMP holds what a video holds: gray and colour of 8 bits, and no metadata.
        held, _ = as_held(samples, sample_range, format_of("x.bmp"))
        if not self._begun:
            self._begin(*held.shape)
        gray = held.shape[2] == 1
        self._video.write_frame(held[..., 0] if gray else held, pixel_format="gray" if gray else "rgb24")
        return held.dtype.name

    def _begin(self, height: int, width: int, channels: int) -> None:
        pixels = self._pixels[channels]
        if pixels == "yuv420p" and (height % 2 or width % 2):
            raise PictureError(f"{self._suffix} needs an even height and width, not {height}x{width}; use .avi or .tif")
        rate = float(Fraction(self._rate).limit_denominator(1001))
        self._video.init_video_stream(self._codec, fps=rate, pixel_format=pixels)
        set_encoder(self._video, self._options)
        self._begun = True

    def close(self) -> None:
        """Write what is left."""
        self._open.close()
