"""What was done to bring a layer up to date, beside what a full run does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerIncrement:
    """What was done to bring a layer up to date.

    Parameters
    ----------
    kernels : str
        "changes" from change to change, otherwise those that computed dirty pixels in full; "none" where there were
        none. Of a sum those of its parts, with a comma between them.
    changed : int
        Neurons that fire something else than for the picture before.
    neurons : int
        All of them; for a readout, the values that are put out.
    dirty : int
        Output pixels that read something that has changed.
    pixels : int
        All of them.
    done : int
        Accumulates, or of what reads the analog input multiply-accumulates, that were done; where dirty pixels were
        computed in full, in proportion to their number.
    full : int
        Those that a full run does.
    """

    kernels: str
    changed: int
    neurons: int
    dirty: int
    pixels: int
    done: int
    full: int
