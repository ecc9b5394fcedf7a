"""What a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..operations.energy import DEFAULT_ENERGY_MODEL

if TYPE_CHECKING:
    from ..graph import Network
    from ..simulation import Result

Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """What one frame of a series took."""

    events: int
    operations: int
    density: float
    seconds: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """A run and its pictures.

    Parameters
    ----------
    title, model, task : str
        Name of the picture, of the model, and what it is for.
    network : Network
    result : Result
        Of the run on the whole picture, or sums over the frames of a series.
    pixels : int
        Of the picture without padding, of all frames of a series; what counts per pixel are counts divided by.
    facts : sequence of (str, str)
        Further lines on the picture: size, noise, classes.
    before, after : (H, W) or (H, W, 3) uint8, or float32 from 0 to 1, or None
        Pictures to compare; None where there is none.
    after_name : str
        What `after` is.
    by_step : sequence of such pictures, or None
        `after` as it stands after each step.
    quality : sequence of float, or None
        PSNR in dB after each step.
    psnr : (float, float) or None
        Before and after.
    inputs : (C, H, W) float32 or None
        What the network was shown, for maps of its activity.
    frames : sequence of Frame
        Of a series.
    energy_model : str
    threads : int, optional
        Of the run that the maps come from.
    notes : sequence of str
        What was left out, and why.
    """

    title: str
    model: str
    task: str
    network: Network
    result: Result
    pixels: int
    facts: Sequence[tuple[str, str]] = ()
    before: Pixels | None = None
    after: Pixels | None = None
    after_name: str = "after"
    by_step: Sequence[Pixels] | None = None
    quality: Sequence[float] | None = None
    psnr: tuple[float, float] | None = None
    inputs: NDArray[np.float32] | None = None
    frames: Sequence[Frame] = ()
    energy_model: str = DEFAULT_ENERGY_MODEL
    threads: int | None = None
    notes: Sequence[str] = field(default=())

    @property
    def ran(self) -> bool:
        """Whether a network ran at all: a picture without noise is left as it is."""
        return bool(self.result.operations.synapses)

    @property
    def steps_shown(self) -> list[int]:
        """Numbers from 0 of the steps whose pictures are shown: all, or `MOST_STEPS` spread evenly."""
        count = len(self.by_step) if self.by_step is not None else 0
        return sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST_STEPS))}) if count else []


MOST_STEPS = 16
"""Pictures of steps in a page."""


def finite(value: Any) -> float | None:
    """A number for JSON, which has no infinity and no NaN."""
    number = float(value)
    return number if np.isfinite(number) else None
