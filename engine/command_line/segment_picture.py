"""Segment one picture file and write what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureError
from .jobs import Job
from .one_picture import Record, Settings, load_for

if TYPE_CHECKING:
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
    from ..pictures.picture_files import write_picture
    from ..tasks.segmentation import segment

    loaded = load_for(job, settings)
    segmented = segment(loaded.samples, loaded.model.network, **loaded.options(settings))
    # The labels last: where they are, everything is.
    if PROBABILITIES in job.extras:
        write_probabilities(job.extras[PROBABILITIES], segmented)
    if OVERLAY in job.extras:
        write_picture(
            job.extras[OVERLAY], segmented.overlay(loaded.samples), metadata=loaded.file.metadata.for_channels(3)
        )
    write_labels(job.output, segmented.labels, segmented.palette)
    return SegmentedRecord(**loaded.facts(job), processed=segmented, shares=segmented.shares)


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

    check_channels(path, 3)
