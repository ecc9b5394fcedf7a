"""The door to files: imageio (v3) opens pictures by Pillow, stacks by tifffile and videos by PyAV, with a plug-in each.

What goes through it is a stream that is open already (streams.py): imageio sees no path, which it could take for an
address in the network, and does not write to the file itself, which stays as it was until the new one is whole.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO


class _KeptOpen:
    """A stream that is not closed with a picture; Pillow closes what it was given."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Leave it open."""


@contextmanager
def opened_by(plugin: str, stream: BinaryIO, mode: str = "r", **options: Any) -> Iterator[Any]:
    """A stream from its beginning on, by the plug-in "pillow", "tifffile" or "pyav"; it stays open afterwards.

    Raises whatever the library behind the plug-in does where it cannot open the file.
    """
    import imageio.v3
    from imageio.core.request import InitializationError

    stream.seek(0)
    opener: Any = imageio.v3.imopen
    try:
        file = opener(_KeptOpen(stream), mode, plugin=plugin, **options)
    except OSError as error:
        # imageio's words in the place of the library's do not say what is wrong.
        cause = error.__cause__ or error
        raise (cause.__context__ or cause) if isinstance(cause, InitializationError) else cause from None
    try:
        yield file
    finally:
        try:
            with _nothing_collected() if plugin == "pyav" else nullcontext():
                file.close()
        finally:
            # A plug-in closes itself once more when it is forgotten, and then says on stderr why that was not possible.
            file.close = lambda: None


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep all that is there out of the collection that imageio asks for with each video, a second in a large process.

    It is there for filters of PyAV's, of which none is used here.
    """
    if gc.get_freeze_count():  # somebody else's, who would lose it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def encoded(samples: Any, name: str, **options: Any) -> memoryview:
    """The file of a picture (H, W) or (H, W, C) in a format of Pillow's, with the options of its encoder."""
    # Into memory: Pillow writes to a file behind Python's back, and would not tell a full disk from a bug.
    buffer = io.BytesIO()
    with opened_by("pillow", buffer, "w", extension=f".{name.lower()}") as file:
        file.write(samples, is_batch=False, **options)
    return buffer.getbuffer()
