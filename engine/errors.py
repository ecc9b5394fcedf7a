"""Errors that spikeunet raises on purpose; each message names the value at fault and the remedy, on one line."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_MOST_LISTED = 20
"""Names in a message: it has to stay a line that can be read."""


def listed(names: Iterable[str]) -> str:
    """Some names, separated by commas, and dots where there are more."""
    first = list(islice(names, _MOST_LISTED + 1))
    return ", ".join(first[:_MOST_LISTED]) + (", ..." if len(first) > _MOST_LISTED else "")


class SpikeunetError(ValueError):
    """Base of every error raised on purpose; the command line prints its message and exits with status 2.

    A name from a file may hold line breaks or other control characters: the message shows them as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message))


class GraphError(SpikeunetError):
    """A network's nodes do not fit together: unknown source, wrong shape, cycle, doubled name."""


class NeuronError(SpikeunetError):
    """A neuron model's parameters make no sense: ascending thresholds, NaN, unknown reset."""


class InputError(SpikeunetError):
    """An argument of a public function is unusable: wrong shape or dtype, NaN, zero steps, unknown option."""


class ModelFileError(SpikeunetError):
    """A model file cannot be read: truncated, inconsistent, from a newer version, or full of NaN."""


class StateDictError(SpikeunetError):
    """A state dict does not fit the architecture; names the missing, unexpected and misshapen keys."""


class PictureError(SpikeunetError):
    """A picture cannot be read or written, or its shape or sample type is not supported."""
