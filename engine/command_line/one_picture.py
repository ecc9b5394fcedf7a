"""Denoise one picture file and measure what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureError
from .jobs import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..denoising import Denoised
    from ..graph import Network


@dataclass(frozen=True, eq=False)
class Settings:
    """What the options of one call say, for all of its pictures."""

    model: str
    network: Network
    steps: int
    order: str
    threads: int | None
    sigma: float | None
    seed: int


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM of a picture against its clean reference; SSIM is None below 11x11 pixels."""

    psnr: float
    ssim: float | None


@dataclass(frozen=True, eq=False)
class Record:
    """A picture that was denoised and written."""

    job: Job
    shape: tuple[int, ...]
    dtype: str
    written_dtype: str
    noise_seed: int | None
    denoised: Denoised
    before: Quality | None
    after: Quality | None


def denoise_file(job: Job, settings: Settings) -> Record:
    """Read, denoise, measure and write one picture.

    Raises
    ------
    SpikeunetError, OSError
        If the picture or its reference cannot be read, they differ in size, or the output cannot hold or take it.
    """
    from .. import denoising, pictures

    source = pictures.load_picture(job.source)
    pictures.check_channels(job.target, 1 if source.samples.ndim == 2 else source.samples.shape[2])
    colors, transparency = denoising.split_transparency(source.samples)
    clean = _clean_reference(job, colors, settings.sigma)
    noise_seed = None if settings.sigma is None else settings.seed + job.index
    noisy = _with_noise(colors, settings.sigma, noise_seed)
    denoised = denoising.denoise(
        noisy, settings.network, steps=settings.steps, threads=settings.threads, order=settings.order
    )
    # Noise turned the samples into float; the file gets the type that it came with.
    restored = pictures.convert_samples(denoised.restored, source.samples.dtype)
    before, after = (_quality(clean, picture) for picture in (denoised.noisy, denoised.restored))
    pictures.write_picture(job.target, denoising.join_transparency(restored, transparency), source.icc_profile)
    dtypes = pictures.format_of(job.target).dtypes
    dtype = source.samples.dtype.name
    return Record(
        job=job,
        shape=source.samples.shape,
        dtype=dtype,
        written_dtype=dtype if dtype in dtypes else dtypes[0],
        noise_seed=noise_seed,
        denoised=denoised,
        before=before,
        after=after,
    )


def _with_noise(colors: NDArray[Any], sigma: float | None, seed: int | None) -> NDArray[Any]:
    from ..noise import add_noise
    from ..pictures import convert_samples

    if sigma is None or seed is None:
        return colors
    return add_noise(convert_samples(colors, np.dtype(np.float64)), sigma, seed)


def _clean_reference(job: Job, colors: NDArray[Any], sigma: float | None) -> NDArray[np.float32] | None:
    """The picture to compare with, in [0, 1] and without transparency: the reference, or what noise is added to.

    float32, as the pictures to compare are: equal pictures must be found equal.
    """
    from ..denoising import split_transparency
    from ..pictures import convert_samples, load_picture

    if job.clean is None:
        return None if sigma is None else convert_samples(colors, np.dtype(np.float32))
    clean, _ = split_transparency(load_picture(job.clean).samples)
    if clean.shape != colors.shape:
        raise PictureError(
            f"{job.clean}: the clean reference is {_size(clean)}, but {job.source} is {_size(colors)}; they must agree"
        )
    return convert_samples(clean, np.dtype(np.float32))


def _size(samples: NDArray[Any]) -> str:
    return f"{samples.shape[0]}x{samples.shape[1]} {'gray' if samples.ndim == 2 else 'colour'}"


def _quality(clean: NDArray[np.float32] | None, picture: NDArray[np.float32]) -> Quality | None:
    from .. import metrics

    if clean is None:
        return None
    large_enough = min(clean.shape[:2]) >= metrics.SSIM_WINDOW
    return Quality(metrics.psnr(clean, picture), metrics.ssim(clean, picture) if large_enough else None)
