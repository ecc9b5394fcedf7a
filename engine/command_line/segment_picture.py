"""Segment one picture file and write what was asked for."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureError
from ..pictures.frame_writer import SERIES_SUFFIXES, TIFF_SUFFIXES, VIDEO_SUFFIXES, holds_series, suffix_of
from .jobs import Job
from .one_picture import Model, Record, Settings, file_facts
from .series import Totals, is_series, loaded, opened_frames, pages, runs_of, tell_what_is_lost

if TYPE_CHECKING:
    from ..pictures.picture_files import PictureFile
    from ..tasks.frame_runs import FrameRuns
    from ..tasks.segmentation import Segmented

OVERLAY = "overlay"
PROBABILITIES = "probabilities"


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentedRecord(Record):
    """A picture that was segmented and whose labels were written."""

    shares: dict[str, float]

    def fields(self) -> list[tuple[str, str]]:
        """Share of each class that occurs, the largest first."""
        found = sorted(((share, name) for name, share in self.shares.items() if share), reverse=True)
        return [("classes", ", ".join(f"{name} {share:.1%}" for share, name in found))]

    def entry(self) -> dict[str, Any]:
        """Share of each class."""
        return {"class_shares": self.shares}


def segment_file(job: Job, settings: Settings) -> SegmentedRecord:
    """Read and segment one picture; write its labels, and the overlay and the probabilities where they have a place.

    Raises
    ------
    SpikeunetError, OSError
        If the picture cannot be read or does not suit the model, or a file cannot be written.
    """
    from ..pictures.labels import write_labels
    from ..pictures.picture_files import warn_of, write_picture
    from ..pictures.preprocessing import stretches

    if is_series(job, settings, TIFF_SUFFIXES, ()):
        return segment_series(job, settings)
    _check_overlay(job)
    source = loaded(job.source, settings)
    model = settings.model_for(source.channels)
    warn_of(job.source, source, stretched=stretches(model.network.metadata.get("preprocessing", ())))
    segmented = _segmented(source, model, settings, watch=settings.watch)
    # The labels last: where they are, everything is.
    if PROBABILITIES in job.extras:
        write_probabilities(job.extras[PROBABILITIES], segmented)
    if OVERLAY in job.extras:
        write_picture(job.extras[OVERLAY], segmented.overlay(source.samples), metadata=source.metadata.for_channels(3))
    write_labels(job.output, segmented.labels, segmented.palette)
    return SegmentedRecord(
        **file_facts(job, model, source),
        processed=segmented,
        shares=segmented.shares,
    )


def _segmented(
    picture: PictureFile, model: Model, settings: Settings, *, watch: bool, frames: FrameRuns | None = None
) -> Segmented:
    from ..tasks.inference import checked_picture
    from ..tasks.segmentation import segmented

    samples, limits = checked_picture(picture.samples, picture.limits)
    return segmented(
        samples,
        model.network,
        limits,
        steps=model.steps,
        threads=settings.threads,
        order=settings.order,
        tile=settings.tile,
        kernels=settings.kernels,
        watch=watch,
        frames=frames,
    )


def segment_series(job: Job, settings: Settings) -> SegmentedRecord:
    """Segment page after page into a TIFF of label pictures, and the overlay where it has a place."""
    from ..pictures.frame_writer import write_frames
    from ..pictures.labels import palette_of
    from ..pictures.preprocessing import stretches
    from ..tasks.inference import class_count

    _check_extras(job)
    model = settings.model_for(1)
    metadata = model.network.metadata
    stretched = stretches(metadata.get("preprocessing", ()))
    runs = runs_of(job, settings, model, whole_page=stretched)
    totals, first, shares = Totals(), None, dict[str, float]()
    with ExitStack() as stack:
        frames = stack.enter_context(opened_frames(job.source))
        rate, count = frames.rate, frames.expected
        # The labels first, so that they are moved into place last: where they are, everything is.
        palette = palette_of(metadata, class_count(model.network))
        labels = stack.enter_context(write_frames(job.output, rate=rate, count=count, palette=palette))
        seen = job.extras.get(OVERLAY)
        overlay = None if seen is None else stack.enter_context(write_frames(seen, rate=rate, count=count))
        for page in pages(job, frames, settings, stretched=stretched):
            if runs is not None:
                runs.next_frame()
            segmented = _segmented(page, model, settings, watch=settings.watch and first is None, frames=runs)
            held = labels.write(segmented.labels, metadata=page.metadata.for_labels())
            if overlay is not None:
                overlay.write(segmented.overlay(page.samples), metadata=page.metadata.for_channels(3))
            totals.add(segmented)
            shares = {name: shares.get(name, 0.0) + share for name, share in segmented.shares.items()}
            if first is None:
                first = page
                tell_what_is_lost(job, frames, page.metadata, segmented.labels.shape, held)
    assert first is not None
    return SegmentedRecord(
        **file_facts(job, model, first),
        **totals.facts(),
        savings=None if runs is None else runs.savings,
        shares={name: share / totals.pages for name, share in shares.items()},
    )


def _check_extras(job: Job) -> None:
    """PictureError where what is wanted besides the labels cannot be written page by page."""
    if PROBABILITIES in job.extras:
        raise PictureError(f"{job.source}: --probabilities are for single pictures; take a page with --page N")
    overlay = job.extras.get(OVERLAY)
    if overlay is not None and not holds_series(overlay):
        raise PictureError(f"{overlay}: holds one picture, not a series; use {', '.join(SERIES_SUFFIXES)}")


def _check_overlay(job: Job) -> None:
    """PictureError where the overlay of one picture would be a video."""
    if OVERLAY in job.extras and suffix_of(job.extras[OVERLAY]) in VIDEO_SUFFIXES:
        raise PictureError(f"{job.extras[OVERLAY]}: is a video, which {job.source} is not; use .png or .tif")


def write_probabilities(path: Path, segmented: Segmented) -> None:
    """Write an NPZ file with `probabilities` (classes, H, W) float32 and the names of the `classes`."""
    from ..files.atomic import atomic_write

    with atomic_write(path) as stream:
        np.savez(stream, probabilities=segmented.probabilities, classes=np.asarray(segmented.classes))


def check_probabilities_suffix(path: Path) -> None:
    """PictureError where `path` is not an NPZ file by its suffix."""
    if path.suffix.lower() != ".npz":
        raise PictureError(f"{path}: probabilities are NPZ files; choose a name that ends in .npz")


def check_overlay_format(path: Path) -> None:
    """PictureError where the format of `path` cannot hold colour."""
    from ..pictures.picture_files import check_channels

    if suffix_of(path) not in VIDEO_SUFFIXES:
        check_channels(path, 3)


def check_labels_suffix(path: Path) -> None:
    """PictureError where `path` is neither a PNG nor a TIFF by its suffix."""
    from ..pictures.labels import check_label_suffix

    if suffix_of(path) in TIFF_SUFFIXES:
        return
    try:
        check_label_suffix(path)
    except PictureError as error:
        raise PictureError(f"{error} or .tif") from None
