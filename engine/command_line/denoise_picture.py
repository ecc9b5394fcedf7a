"""Denoise one picture file, or take the rain out of it, and measure what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import PictureError
from ..pictures.frame_writer import SERIES_SUFFIXES, TIFF_SUFFIXES
from .jobs import Job
from .noise_choice import advise, chosen, noise_entry, tell, telling_page
from .one_picture import Model, Record, Settings, file_facts
from .picture_quality import Quality, finite, mean_ssim_text, psnr_by_step, psnr_text, quality_of, ssim_text
from .range_choice import as_written, unit_of, with_found_range
from .series import Totals, is_series, loaded, opened_frames, pages, runs_of, tell_what_is_lost
from .unchanged import loss_of, written_unchanged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures.picture_files import PictureFile
    from ..pictures.ranges import SampleRange
    from ..tasks.automatic import Plan
    from ..tasks.denoising import Denoised, UnitRun
    from ..tasks.frame_runs import FrameRuns
    from ..tasks.inference import Processed

_SCALE_REFERENCE = "scale the reference first, or the comparison will be wrong"


@dataclass(frozen=True, eq=False, kw_only=True)
class DenoiseSettings(Settings):
    """Settings with the noise to add, None for none, and how much of the noise that is found is taken off.

    `automatic` gives the model of a name where it is chosen by the picture's noise, else it is None; `advises` is
    whether to say that this would be better. `self_ensemble` is how many times the network sees each picture. With
    `derains` it is rain that is taken off, and `rain` the intensity of what is added first, None for none.
    """

    sigma: float | None = None
    seed: int = 0
    strength: float | None = None
    automatic: Callable[[str], Model] | None = None
    advises: bool = False
    self_ensemble: int = 1
    derains: bool = False
    rain: str | None = None

    def views(self, plan: Plan) -> int:
        """How many times the network sees a picture; once where it does not see it at all."""
        return self.self_ensemble if plan.weight and self.strength != 0 else 1

    @property
    def spoils(self) -> bool:
        """Whether pictures are taken for clean, and spoilt first."""
        return self.sigma is not None or self.rain is not None


@dataclass(frozen=True, eq=False, kw_only=True)
class DenoisedRecord(Record):
    """A picture that was denoised and written."""

    columns: ClassVar[tuple[str, ...]] = ("PSNR before", "PSNR after", "SSIM before", "SSIM after")
    averaged: ClassVar[tuple[str, ...]] = ("psnr_before", "psnr_after", "ssim_before", "ssim_after")

    written_dtype: str
    sigma: float | None
    noise_seed: int | None
    before: Quality | None
    after: Quality | None
    plan: Plan
    self_ensemble: int = 1
    rain: str | None = None

    @property
    def saved_as(self) -> str:
        """Sample type of the output where it differs from the input's, else nothing."""
        return "" if self.written_dtype == self.dtype else self.written_dtype

    def fields(self) -> list[tuple[str, str]]:
        """What was found of the noise and done about it, where it was looked for; PSNR and SSIM before and after."""
        found = [] if self.plan.estimate is None else [("noise", self.plan.text)]
        if self.self_ensemble > 1:
            found.append(("self-ensemble", f"mean of {self.self_ensemble} views; so are the ANN's figures"))
        if not (self.before and self.after):
            return found
        return [
            *found,
            ("PSNR", f"{psnr_text(self.before)} -> {psnr_text(self.after)} dB"),
            ("SSIM", f"{ssim_text(self.before)} -> {ssim_text(self.after)}"),
        ]

    def cells(self) -> list[str]:
        """PSNR and SSIM before and after."""
        return [psnr_text(self.before), psnr_text(self.after), ssim_text(self.before), ssim_text(self.after)]

    @classmethod
    def mean_cells(cls, records: Sequence[DenoisedRecord]) -> list[str]:
        """Means of PSNR and SSIM before and after; nothing where no picture was compared."""
        before = [record.before for record in records if record.before]
        after = [record.after for record in records if record.after]
        if not after:
            return []
        means = [f"{fmean(quality.psnr for quality in each):.2f}" for each in (before, after)]
        return [*means, *(mean_ssim_text(each) for each in (before, after))]

    def entry(self) -> dict[str, Any]:
        """Noise and quality."""
        return {
            "written_dtype": self.written_dtype,
            "noise_sigma": self.sigma,
            "noise_seed": self.noise_seed,
            **({} if self.self_ensemble == 1 else {"self_ensemble": self.self_ensemble}),
            **({} if self.rain is None else {"rain": self.rain}),
            **noise_entry(self.plan),
            "psnr_before": finite(self.before.psnr if self.before else None),
            "psnr_after": finite(self.after.psnr if self.after else None),
            "ssim_before": self.before.ssim if self.before else None,
            "ssim_after": self.after.ssim if self.after else None,
        }


def denoise_file(job: Job, settings: DenoiseSettings) -> DenoisedRecord:
    """Read, denoise, measure and write one picture.

    Raises
    ------
    SpikeunetError, OSError
        If the picture or its reference cannot be read, they differ in size, or the output cannot hold or take it.
    """
    from ..pictures import picture_files as pictures
    from ..pictures import ranges, samples

    if is_series(job, settings, SERIES_SUFFIXES, TIFF_SUFFIXES):
        return denoise_series(job, settings)
    source = loaded(job.source, settings, anywhere=True)
    pictures.check_channels(job.output, source.channels)
    source = with_found_range(job, source)
    pictures.warn_of(job.source, source)
    limits = source.limits
    stored, transparency = samples.split_transparency(source.samples)
    # Noise and rain are added to samples that nothing has rounded.
    exact = np.dtype(np.float64) if settings.spoils else None
    colors = _as_the_model_sees(ranges.to_unit(stored, limits, exact, anywhere=source.range_found), settings)
    clean = _clean_reference(job, colors, source, spoilt=settings.spoils)
    noise_seed = settings.seed + job.index if settings.spoils else None
    noisy = _spoilt(colors, settings, noise_seed)
    looked_at = ranges.within_reach(noisy) if source.range_found else noisy
    model, plan = chosen(job, looked_at, settings)
    run = _denoised(noisy, model, plan, source.range_found, settings, settings.watch)
    before, after = (quality_of(clean, picture) for picture in (noisy, run.restored))
    whole = stored if run.restored is colors else _as_it_came(run.restored, stored, limits, source.range_found)
    whole = samples.join_transparency(whole, transparency)
    _write(job, source, whole, settings, unchanged=not settings.spoils and run.restored is colors)
    advise(job, looked_at, model, settings)
    return DenoisedRecord(
        **file_facts(job, model, source),
        processed=_processed(noisy, whole, run, plan, settings),
        written_dtype=pictures.format_of(job.output).dtype_for(stored.dtype.name, source.channels),
        sigma=settings.sigma,
        noise_seed=noise_seed,
        before=before,
        after=after,
        plan=plan,
        self_ensemble=settings.views(plan),
        rain=settings.rain,
        psnr_by_step=psnr_by_step(clean, run.watched),
    )


def _write(job: Job, source: PictureFile, whole: NDArray[Any], settings: DenoiseSettings, *, unchanged: bool) -> None:
    """Write the result; one that is the picture that was read, sample by sample, as the file that was read."""
    from ..pictures import picture_files

    if unchanged and written_unchanged(job, source, settings):
        return
    samples, sample_range = as_written(job, source, whole)
    picture_files.write_picture(job.output, samples, sample_range=sample_range, metadata=source.metadata)
    if unchanged:
        _tell_loss(job, source)


def _tell_loss(job: Job, picture: PictureFile) -> None:
    lost = loss_of(job, picture)
    if lost is not None:
        tell(job, f"is left as it is, but {lost}")


def denoise_series(job: Job, settings: DenoiseSettings) -> DenoisedRecord:
    """Read, denoise and write page after page.

    The model is that for the channels in which the first page is stored; three equal ones count as colour, for whether
    they are equal on every page is known too late.
    """
    from ..pictures.frame_writer import write_frames

    if job.clean is not None or settings.spoils:
        adding = "--add-rain" if settings.derains else "--add-noise"
        raise PictureError(f"{job.source}: --clean and {adding} are for single pictures; take a page with --page N")
    totals, first, held = Totals(), None, ""
    with (
        opened_frames(job.source) as frames,
        write_frames(job.output, rate=frames.rate, count=frames.expected) as writer,
    ):
        for page in pages(job, frames, settings, find=True):
            if first is None:
                telling, place = telling_page(job, page, settings)
                model, plan = chosen(job, telling, settings, place)
                runs = runs_of(job, settings, model)
            watch = settings.watch and first is None
            restored, denoised = _denoised_page(page, model, plan, settings, watch=watch, runs=runs)
            written, sample_range = as_written(job, page, restored)
            held = writer.write(written, sample_range=sample_range, metadata=page.metadata)
            totals.add(denoised)
            if first is None:
                first = page
                tell_what_is_lost(job, frames, page.metadata, restored.shape, held)
    assert first is not None
    if not plan.weight or settings.strength == 0:
        _tell_loss(job, first)
    advise(job, telling, model, settings)
    return DenoisedRecord(
        **file_facts(job, model, first),
        **totals.facts(),
        savings=None if runs is None else runs.savings,
        written_dtype=held,
        sigma=None,
        noise_seed=None,
        before=None,
        after=None,
        plan=plan,
        self_ensemble=settings.views(plan),
    )


def _denoised_page(
    page: PictureFile,
    model: Model,
    plan: Plan,
    settings: DenoiseSettings,
    *,
    watch: bool,
    runs: FrameRuns | None,
) -> tuple[NDArray[Any], Processed]:
    """The page as it came, denoised, and what that took."""
    from ..pictures import samples

    stored, transparency = samples.split_transparency(page.samples)
    noisy = unit_of(page)
    if runs is not None:
        runs.next_frame()
    run = _denoised(noisy, model, plan, page.range_found, settings, watch, runs)
    whole = stored if run.restored is noisy else _as_it_came(run.restored, stored, page.limits, page.range_found)
    whole = samples.join_transparency(whole, transparency)
    return whole, _processed(noisy, whole, run, plan, settings)


def _processed(
    noisy: NDArray[np.float32], whole: NDArray[Any], run: UnitRun, plan: Plan, settings: DenoiseSettings
) -> Denoised:
    from ..tasks.denoising import Denoised
    from ..tasks.deraining import Derained

    return (Derained if settings.derains else Denoised)(
        picture=whole,
        noisy=noisy,
        restored=run.restored,
        size=noisy.shape[:2],
        result=run.result,
        watched=run.watched,
        plan=plan,
    )


def _denoised(
    noisy: NDArray[np.float32],
    model: Model,
    plan: Plan,
    found: bool,
    settings: DenoiseSettings,
    watch: bool,
    runs: FrameRuns | None = None,
) -> UnitRun:
    """A picture from 0 to 1 denoised, or itself where there is nothing to do; `found` says that its range was found."""
    from ..pictures.ranges import check_near
    from ..tasks.denoising import denoise_unit
    from ..tasks.deraining import derain_unit

    if not found:
        check_near(noisy, (0.0, 1.0))
    return (derain_unit if settings.derains else denoise_unit)(
        noisy,
        model.network,
        plan,
        settings.strength,
        clipped=not found,
        steps=model.steps,
        threads=settings.threads,
        order=settings.order,
        tile=settings.tile,
        kernels=settings.kernels,
        watch=watch,
        self_ensemble=settings.self_ensemble,
        frames=runs,
    )


def _as_it_came(restored: NDArray[np.float32], stored: NDArray[Any], limits: SampleRange, found: bool) -> NDArray[Any]:
    """The result with the channels, the range and the type of the samples that were read."""
    from ..pictures.ranges import from_unit

    channels = restored if restored.ndim == stored.ndim else np.repeat(restored[..., None], stored.shape[2], axis=2)
    return from_unit(channels, limits, stored.dtype, anywhere=found)


def _as_the_model_sees(colors: NDArray[Any], settings: DenoiseSettings) -> NDArray[Any]:
    """The colours, a single channel of equal ones for a gray model, or where the model is yet to be chosen.

    Noise is added to what the model sees, so that a black-and-white picture stays one.
    """
    from ..pictures.samples import without_equal_channels

    gray = without_equal_channels(colors)
    if settings.automatic is not None:
        return gray
    model = settings.model_for(1 if gray.ndim == 2 else gray.shape[2])
    return gray if model.network.input.channels == 1 else colors


def _spoilt(colors: NDArray[Any], settings: DenoiseSettings, seed: int | None) -> NDArray[np.float32]:
    """The picture with the noise or the rain that is asked for."""
    from ..pictures.noise import add_noise
    from ..pictures.rain import add_rain

    if seed is None:
        return colors
    if settings.rain is not None:
        return add_rain(colors, settings.rain, seed)
    assert settings.sigma is not None
    return add_noise(colors, settings.sigma, seed)


def _clean_reference(
    job: Job, colors: NDArray[Any], source: PictureFile, *, spoilt: bool
) -> NDArray[np.float32] | None:
    """The picture to compare with, in [0, 1] and without transparency: the reference, or what is spoilt.

    float32, as the pictures to compare are: equal pictures must be found equal.
    """
    from ..pictures.picture_files import load_picture, warn_of, with_range_of
    from ..pictures.ranges import to_unit
    from ..pictures.samples import split_transparency, without_equal_channels

    if job.clean is None:
        return colors.astype(np.float32) if spoilt else None
    picture = with_range_of(load_picture(job.clean), source)
    # One of the picture's type is on its range, whatever it uses of it; of another one no option names the range.
    warn_of(job.clean, picture, stretched=picture.samples.dtype == source.samples.dtype, remedy=_SCALE_REFERENCE)
    stored, _ = split_transparency(picture.samples)
    clean = to_unit(stored, picture.limits)
    clean = without_equal_channels(clean) if colors.ndim == 2 else clean
    if clean.shape != colors.shape:
        raise PictureError(
            f"{job.clean}: the clean reference is {_size(clean)}, but {job.source} is {_size(colors)}; they must agree"
        )
    return clean


def _size(samples: NDArray[Any]) -> str:
    return f"{samples.shape[0]}x{samples.shape[1]} {'gray' if samples.ndim == 2 else 'colour'}"
