"""Enlarge one picture file, by a spiking network or by tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import PictureError
from ..pictures.frame_writer import SERIES_SUFFIXES, TIFF_SUFFIXES
from .jobs import Job
from .one_picture import Record, Settings, load_for
from .series import Totals, is_series, opened_frames, pages, tell_what_is_lost

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures.picture_files import PictureFile
    from ..pictures.ranges import SampleRange
    from ..resampling import Tables
    from ..tasks.resampling import Resampled


@dataclass(frozen=True, eq=False, kw_only=True)
class ResampleSettings(Settings):
    """Settings with the scale, or the size (height, width) in its place, and tables of the model's first stage."""

    scale: float | None
    size: tuple[int, int] | None
    tables: Tables | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class ResampledRecord(Record):
    """A picture that was enlarged and written; `enlarged` is its new shape."""

    columns: ClassVar[tuple[str, ...]] = ("enlarged to",)

    enlarged: tuple[int, ...]
    written_dtype: str

    @property
    def saved_as(self) -> str:
        """Sample type of the output where it differs from the input's, else nothing."""
        return "" if self.written_dtype == self.dtype else self.written_dtype

    def fields(self) -> list[tuple[str, str]]:
        """The new size."""
        return [("enlarged to", size_of(self.enlarged))]

    def cells(self) -> list[str]:
        """The new size."""
        return [size_of(self.enlarged)]

    @classmethod
    def mean_cells(cls, records: Any) -> list[str]:  # noqa: ARG003 - as of all records
        """Of sizes there is none."""
        return [""]

    def entry(self) -> dict[str, Any]:
        """The new size, and the type of its samples in the file."""
        height, width = self.enlarged[:2]
        return {"enlarged_height": height, "enlarged_width": width, "written_dtype": self.written_dtype}


def resample_file(job: Job, settings: ResampleSettings) -> ResampledRecord:
    """Read, enlarge and write one picture.

    Raises
    ------
    SpikeunetError, OSError
        If the picture cannot be read or made so large, or the output cannot hold or take it.
    """
    from ..pictures.picture_files import check_channels, write_picture
    from ..tasks.resampling import resample

    if is_series(job, settings, SERIES_SUFFIXES, TIFF_SUFFIXES):
        return resample_series(job, settings)
    source = load_for(job, settings)
    check_channels(job.output, channels_of(source.samples))
    resampled = resample(source.samples, model=source.model.network, **source.options(settings), **_how_large(settings))
    write_picture(job.output, resampled.picture, sample_range=source.limits, metadata=source.file.metadata)
    return ResampledRecord(
        **source.facts(job),
        processed=resampled,
        enlarged=resampled.picture.shape,
        written_dtype=written_dtype(job, resampled.picture),
    )


def resample_series(job: Job, settings: ResampleSettings) -> ResampledRecord:
    """Read, enlarge and write page after page."""
    from ..pictures.frame_writer import write_frames

    model = settings.model_for(1)
    totals, first, enlarged, held = Totals(), None, (0, 0), ""
    with (
        opened_frames(job.source) as frames,
        write_frames(job.output, rate=frames.rate, count=frames.expected) as writer,
    ):
        for page in pages(job, frames, settings):
            resampled = _page(page, settings, watch=settings.watch and first is None)
            held = writer.write(resampled.picture, sample_range=page.sample_range, metadata=page.metadata)
            totals.add(resampled)
            if first is None:
                first, enlarged = page, resampled.picture.shape
                tell_what_is_lost(job, frames, page.metadata, enlarged, held)
    assert first is not None
    return ResampledRecord(
        job=job,
        model=model,
        shape=first.samples.shape,
        dtype=first.samples.dtype.name,
        processed=totals.processed,
        sample_range=first.sample_range,
        range_origin=first.range_origin,
        pages=totals.pages,
        frames=totals.frames,
        shown=totals.shown,
        enlarged=enlarged,
        written_dtype=held,
    )


def _page(page: PictureFile, settings: ResampleSettings, *, watch: bool) -> Resampled:
    from ..tasks.resampling import resample

    model = settings.model_for(1)
    return resample(
        page.samples,
        model=model.network,
        steps=model.steps,
        threads=settings.threads,
        order=settings.order,
        tile=settings.tile,
        kernels=settings.kernels,
        sample_range=limits_of(page),
        watch=watch,
        **_how_large(settings),
    )


def _how_large(settings: ResampleSettings) -> dict[str, Any]:
    return {"scale": settings.scale, "size": settings.size, "tables": settings.tables}


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSettings:
    """What the options say where tables alone enlarge, which takes no network and no run; see `ResampleSettings`."""

    tables: Tables
    scale: float | None
    size: tuple[int, int] | None
    sample_range: SampleRange | None
    page: int | None
    threads: int | None


def resample_file_by_tables(job: Job, settings: TableSettings) -> list[str]:
    """Read, enlarge by tables and write one picture; names of input and output, and both sizes.

    Raises
    ------
    SpikeunetError, OSError
        If the picture cannot be read or made so large, or the output cannot hold or take it.
    """
    from ..pictures.picture_files import check_channels, warn_of, write_picture
    from ..resampling import resample_by_tables

    source = _one_page(job, settings)
    check_channels(job.output, channels_of(source.samples))
    warn_of(job.source, source, stretched=True)
    found = resample_by_tables(
        source.samples, settings.tables, settings.scale, settings.threads, limits_of(source), size=settings.size
    )
    write_picture(job.output, found, sample_range=limits_of(source), metadata=source.metadata)
    held = written_dtype(job, found)
    saved = "" if held == found.dtype.name else f", saved as {held}"
    return [str(job.source), str(job.output), size_of(source.samples.shape), size_of(found.shape) + saved]


def _one_page(job: Job, settings: TableSettings) -> PictureFile:
    """The one picture of a file, or its page; PictureError where there are several and none was named."""
    with opened_frames(job.source) as frames:
        if frames.is_series and settings.page is None:
            number = "several" if frames.count is None else str(frames.count)
            raise PictureError(f"{job.source}: holds {number} pictures; take one with --page N, or a --model for all")
        return frames.page(settings.page or 0, settings.sample_range)


def channels_of(samples: NDArray[Any]) -> int:
    """Channels of a picture, transparency included."""
    return 1 if samples.ndim == 2 else int(samples.shape[2])


def limits_of(picture: PictureFile) -> SampleRange:
    """Black and white of a picture that was read: those that the file or an option names, or those of its type."""
    from ..pictures.ranges import type_range

    return picture.sample_range or type_range(picture.samples.dtype)


def written_dtype(job: Job, samples: NDArray[Any]) -> str:
    """Sample type that a picture has in the job's output."""
    from ..pictures.picture_files import format_of

    dtypes = format_of(job.output).dtypes_for(channels_of(samples))
    return samples.dtype.name if samples.dtype.name in dtypes else dtypes[0]


def size_of(shape: tuple[int, ...]) -> str:
    """Height x width x channels."""
    return "x".join(map(str, (*shape[:2], *(shape[2:] or (1,)))))
