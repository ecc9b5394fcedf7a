"""Errors that spikeunet raises on purpose; each message names the value at fault and the remedy, on one line."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """`text` on one line: control characters and bytes that are no text, as file names may have, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class SpikeunetError(ValueError):
    """Base of every error raised on purpose; the command line prints its message and exits with status 2.

    A name from a file may hold line breaks or other control characters: the message shows them as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class GraphError(SpikeunetError):
    """A network's nodes do not fit together: unknown source, wrong shape, cycle, doubled name."""


class NeuronError(SpikeunetError):
    """A neuron model's parameters make no sense: ascending thresholds, NaN, unknown reset."""


class InputError(SpikeunetError):
    """An argument of a public function is unusable: wrong shape or dtype, NaN, zero steps, unknown option."""


class RangeError(SpikeunetError):
    """A number that a network computes leaves the range of float32; names the layer."""


class ModelFileError(SpikeunetError):
    """A model file cannot be read: truncated, inconsistent, from a newer version, or full of NaN."""


class StateDictError(SpikeunetError):
    """A state dict does not fit the architecture; names the missing, unexpected and misshapen keys."""


class PictureError(SpikeunetError):
    """A picture cannot be read or written, or its shape or sample type is not supported."""


class SettingError(SpikeunetError, ImportError):
    """The package cannot run in this process as it is set up: a setting of Numba, or the limit of the stack."""


class PictureSizeError(PictureError):
    """A picture has more pixels than are read."""


class PictureWarning(UserWarning):
    """A picture was read or used, but something about it had to be assumed: its range, what a channel is."""


def first_few(names: Iterable[object], most: int = 8) -> str:
    """Names that a message lists, one after the other: so many of them, each cut to 100 characters, and how many more.

    A file may hold thousands of names of any length, and a message stays one line that can be read.
    """
    texts = [text if len(text) <= 100 else f"{text[:97]}..." for text in map(str, names)]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
