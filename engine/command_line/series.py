"""Series of pictures: one page read, processed and written after the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureError, PictureWarning
from ..pictures.frame_writer import VIDEO_SUFFIXES, holds_series, suffix_of
from ..pictures.frames import ASSUMED_RATE
from .console import progress
from .jobs import Job
from .pipes import PictureBytes, Source

if TYPE_CHECKING:
    from ..pictures.frames import Frames
    from ..pictures.picture_files import PictureFile
    from ..pictures.picture_metadata import Metadata
    from ..report.content import Frame
    from ..tasks.frame_runs import FrameRuns
    from ..tasks.inference import Processed
    from .one_picture import Model, Settings


@contextmanager
def opened_frames(source: Source) -> Iterator[Frames]:
    """The pages of an input; a pipe's content is read from its start again."""
    from ..pictures.frames import open_frames

    if isinstance(source, PictureBytes):
        source.seek(0)
    with open_frames(source) as frames:
        yield frames
    if isinstance(source, PictureBytes):
        source.seek(0)


def is_series(job: Job, settings: Settings, able: Sequence[str], single: Sequence[str]) -> bool:
    """Whether a job is on all pages of a series, or writes one of a single picture.

    Parameters
    ----------
    job : Job
    settings : Settings
    able : sequence of str
        Suffixes of outputs that hold a series of what the command writes.
    single : sequence of str
        Those of them that hold a single picture as well; the others get a series of one.

    Raises
    ------
    PictureError
        If the output cannot hold what the input holds.
    """
    series_only = suffix_of(job.output) in set(able) - set(single)
    if settings.page is not None:
        return series_only
    with opened_frames(job.source) as frames:
        several, count, complete = frames.is_series, frames.count, frames.complete
    if not several and settings.exact_increments:
        raise PictureError(
            f"{job.source}: holds one picture, and --exact-increments is for a stack, animation or video; leave it out"
        )
    if not several:
        return series_only
    if not complete:
        raise PictureError(
            f"{job.source}: page {count}: the file breaks off before this page, it is truncated or damaged; --page N "
            "takes one that is there"
        )
    if not holds_series(job.output) or suffix_of(job.output) not in able:
        number = "several" if count is None else str(count)
        raise PictureError(
            f"{job.source}: holds {number} pictures, and {job.output} would hold one; name a file that ends in "
            f"{_or(able)} for all, or take one with --page N{'' if count is None else f', 0 to {count - 1}'}"
        )
    return True


def loaded(source: Source, settings: Settings, *, anywhere: bool = False) -> PictureFile:
    """The one picture of a file, or its page that was asked for; `anywhere` as of `load_picture`."""
    from ..pictures.picture_files import load_picture

    if settings.page is None:
        return load_picture(source, sample_range=settings.sample_range, anywhere=anywhere)
    with opened_frames(source) as frames:
        picture = frames.page(settings.page, settings.sample_range)
        return replace(picture, remarks=(*frames.remarks, *picture.remarks))


def pages(
    job: Job, frames: Frames, settings: Settings, *, stretched: bool = False, find: bool = False
) -> Iterator[PictureFile]:
    """All pages with a progress bar; what there is to say of them is said once for the series, never for each page.

    With `find` all of them get the range that is found among their samples, where these use little of the type's.
    """
    from .range_choice import beyond_its_range, with_found_range

    range_of_all, strange = None, None
    said: set[str] = set()
    ends: list[Any] = []
    _say(job, frames.remarks, said)
    if settings.page is None:
        found: Any = progress(frames.pictures(settings.sample_range), _title(job), frames.expected)
    else:
        found = [frames.page(settings.page, settings.sample_range)]
    for number, stored in enumerate(found, settings.page or 0):
        picture = stored
        place = f"page {number}: " if frames.is_series else ""
        _say(job, [place + remark for remark in picture.remarks if remark not in said], said)
        said.update(picture.remarks)
        if find and range_of_all is None:
            range_of_all = with_found_range(job, picture, frames if settings.page is None else None)
        if range_of_all is not None and range_of_all.range_found:
            known, origin = range_of_all.sample_range, range_of_all.range_origin
            picture = replace(picture, sample_range=known, range_origin=origin, range_found=True)
        if find and strange is None and settings.page is None:
            strange = beyond_its_range(picture)
            _say(job, [] if strange is None else [place + strange], said)
        if picture.sample_range is None and not stretched:
            ends = _widened(ends, picture.samples)
        yield picture
    _say(job, frames.late_remarks, said)
    if ends:
        from ..pictures.ranges import unused_range

        _say(job, filter(None, [unused_range(np.asarray(ends))]), said)


def runs_of(job: Job, settings: Settings, model: Model, *, whole_page: bool = False) -> FrameRuns | None:
    """How the pages of a series are run, where that is from page to page; `whole_page` as `SegmentStream.whole_frame`.

    Raises
    ------
    InputError
        If the model runs more than one step.
    """
    from ..tasks.frame_runs import FrameRuns, check_one_step
    from .guard import remark

    if not settings.exact_increments:
        return None
    check_one_step(model.steps)
    if whole_page:
        about = "the model's preprocessing looks at the whole picture, and increments save little or nothing"
        remark(f"spikeunet: {job.source}: {about}")
    return FrameRuns(settings.threads, exact_increments=True)


def tell_what_is_lost(job: Job, frames: Frames, metadata: Metadata, shape: tuple[int, ...], held: str) -> None:
    """Say what the first page's file knows and the output's format cannot hold, or would be untrue in it.

    `shape` and `held` are those of a page's samples in the output. A video without a rate gets an assumed one, which is
    said, too.
    """
    from ..pictures.picture_metadata import DESCRIPTION_TAG

    said = set[str]()
    if suffix_of(job.output) in VIDEO_SUFFIXES:
        known = {
            "colour profile": metadata.icc_profile,
            "resolution": metadata.resolution,
            "description": metadata.texts,
        }
        if frames.rate is None:
            _say(job, [f"does not say how many frames a second it has; taken for {ASSUMED_RATE:g}"], said)
        lost = [name for name, value in known.items() if value]
        _say(job, [f"its {' and '.join(lost)} cannot be kept in a video"] if lost else [], said)
        return
    if DESCRIPTION_TAG in metadata.texts and DESCRIPTION_TAG not in metadata.texts_for(shape, held):
        _say(job, ["its description for programs (ImageJ, OME, tifffile) is not true of the output and left out"], said)


class Totals:
    """What all pages of a series took."""

    def __init__(self) -> None:
        self.pages = 0
        self.frames: list[Frame] = []
        self.shown: Processed | None = None
        self._all: Processed | None = None

    def add(self, page: Processed) -> None:
        """Count one page more."""
        from ..tasks.inference import Processed, joined

        self.pages += 1
        self._note(page)
        self._all = Processed(
            size=(page.size[0] * self.pages, page.size[1]),
            result=replace(page.result, outputs={}, recorded={})
            if self._all is None
            else joined(self._all.result, page.result),
        )

    def _note(self, page: Processed) -> None:
        from ..report.content import Frame

        result = page.result
        self.frames.append(Frame(result.total_events, result.total_accumulates, result.density, result.seconds))
        if page.watched is not None:
            self.shown = page

    @property
    def processed(self) -> Processed:
        """All pages as one picture that is as high as all of them."""
        assert self._all is not None
        return self._all

    def facts(self) -> dict[str, Any]:
        """What every `Record` of a series says of its pages, beside `file_facts` of the first one."""
        return {"processed": self.processed, "pages": self.pages, "frames": self.frames, "shown": self.shown}


def _widened(ends: list[Any], samples: Any) -> list[Any]:
    """The least and the largest sample of all pages so far, transparency left out."""
    from ..pictures.samples import split_transparency

    colors, _ = split_transparency(samples)
    found = [*ends, colors.min(), colors.max()]
    return [min(found), max(found)]


def _say(job: Job, remarks: Any, said: set[str]) -> None:
    for remark in remarks:
        if remark not in said:
            warnings.warn(f"{job.source}: {remark}", PictureWarning, stacklevel=3)
            said.add(remark)


def _title(job: Job) -> str:
    return getattr(job.source, "name", str(job.source))


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
