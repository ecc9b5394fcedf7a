"""The door to files: imageio (v3) opens pictures by Pillow, stacks by tifffile and videos by PyAV, with a plug-in each.

What goes through it is a stream that is open already (streams.py): imageio sees no path, which it could take for an
address in the network, and does not write to the file itself, which stays as it was until the new one is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    with file:
        yield file


def encoded(samples: Any, name: str, **options: Any) -> bytes:
    """The file of a picture (H, W) or (H, W, C) in a format of Pillow's, with the options of its encoder."""
    from imageio.v3 import imwrite

    # Into memory: Pillow writes to a file behind Python's back, and would not tell a full disk from a bug.
    suffix = f".{name.lower()}"
    content: bytes = imwrite("<bytes>", samples, plugin="pillow", extension=suffix, is_batch=False, **options)
    return content
