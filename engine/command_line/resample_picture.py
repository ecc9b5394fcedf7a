"""Enlarge one picture file, by a spiking network or by tables alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import PictureError
from ..pictures.frame_writer import SERIES_SUFFIXES, TIFF_SUFFIXES
from .jobs import Job
from .one_picture import Loaded, Record, Settings, file_facts, load_for, size_of
from .series import Totals, is_series, opened_frames, pages, tell_what_is_lost

if TYPE_CHECKING:
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
    from ..pictures.picture_files import check_channels, format_of, write_picture

    if is_series(job, settings, SERIES_SUFFIXES, TIFF_SUFFIXES):
        return resample_series(job, settings)
    source = load_for(job, settings)
    check_channels(job.output, source.file.channels)
    resampled = _enlarged(source, settings)
    write_picture(job.output, resampled.picture, sample_range=source.limits, metadata=source.file.metadata)
    return ResampledRecord(
        **source.facts(job),
        processed=resampled,
        enlarged=resampled.picture.shape,
        written_dtype=format_of(job.output).dtype_for(source.samples.dtype.name, source.file.channels),
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
            watch = settings.watch and first is None
            resampled = _enlarged(Loaded(page.samples, page.limits, page, model), replace(settings, watch=watch))
            held = writer.write(resampled.picture, sample_range=page.sample_range, metadata=page.metadata)
            totals.add(resampled)
            if first is None:
                first, enlarged = page, resampled.picture.shape
                tell_what_is_lost(job, frames, page.metadata, enlarged, held)
    assert first is not None
    return ResampledRecord(
        **file_facts(job, model, first),
        **totals.facts(),
        enlarged=enlarged,
        written_dtype=held,
    )


def _enlarged(source: Loaded, settings: ResampleSettings) -> Resampled:
    from ..tasks.resampling import resample

    how_large: dict[str, Any] = {"scale": settings.scale, "size": settings.size, "tables": settings.tables}
    return resample(source.samples, model=source.model.network, **source.options(settings), **how_large)


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
    from ..pictures.picture_files import check_channels, format_of, warn_of, write_picture
    from ..resampling import resample_by_tables

    source = _one_page(job, settings)
    check_channels(job.output, source.channels)
    warn_of(job.source, source, stretched=True)
    found = resample_by_tables(
        source.samples, settings.tables, settings.scale, settings.threads, source.limits, size=settings.size
    )
    write_picture(job.output, found, sample_range=source.limits, metadata=source.metadata)
    held = format_of(job.output).dtype_for(found.dtype.name, source.channels)
    saved = "" if held == found.dtype.name else f", saved as {held}"
    return [str(job.source), str(job.output), size_of(source.samples.shape), size_of(found.shape) + saved]


def _one_page(job: Job, settings: TableSettings) -> PictureFile:
    """The one picture of a file, or its page; PictureError where there are several and none was named."""
    with opened_frames(job.source) as frames:
        if frames.is_series and settings.page is None:
            number = "several" if frames.count is None else str(frames.count)
            raise PictureError(f"{job.source}: holds {number} pictures; take one with --page N, or a --model for all")
        return frames.page(settings.page or 0, settings.sample_range)
