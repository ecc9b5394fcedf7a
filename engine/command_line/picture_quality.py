"""PSNR and SSIM of pictures against their clean references, as numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..tasks.inference import Watched


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM of a picture against its clean reference; SSIM is None below 11x11 pixels."""

    psnr: float
    ssim: float | None


def quality_of(clean: NDArray[np.float32] | None, picture: NDArray[np.float32]) -> Quality | None:
    """Of a picture from 0 to 1 against its clean reference; None where there is none."""
    from ..pictures import metrics

    if clean is None:
        return None
    large_enough = min(clean.shape[:2]) >= metrics.SSIM_WINDOW
    return Quality(metrics.psnr(clean, picture), metrics.ssim(clean, picture) if large_enough else None)


def psnr_by_step(clean: NDArray[np.float32] | None, watched: Watched | None) -> tuple[float, ...]:
    """PSNR in dB after each step of a run that was watched; nothing where there is no reference."""
    from ..pictures import metrics

    if clean is None or watched is None or watched.by_step is None:
        return ()
    return tuple(metrics.psnr(clean, picture.reshape(clean.shape)) for picture in watched.by_step)


def finite(value: float | None) -> float | None:
    """JSON has no infinity: the PSNR of two equal pictures is null."""
    return value if value is not None and math.isfinite(value) else None


def mean_ssim_text(qualities: Sequence[Quality]) -> str:
    """The mean SSIM of those that have one."""
    known = [quality.ssim for quality in qualities if quality.ssim is not None]
    return f"{fmean(known):.4f}" if known else "-"


def psnr_text(quality: Quality | None) -> str:
    """PSNR in dB, a dash where there is none."""
    return "-" if quality is None else f"{quality.psnr:.2f}"


def ssim_text(quality: Quality | None) -> str:
    """SSIM, a dash where there is none."""
    return "-" if quality is None or quality.ssim is None else f"{quality.ssim:.4f}"
