"""Pictures that are left as they are: the bytes of their files where the output may have them, else what is lost."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ..pictures.formats import format_of
from ..pictures.frame_writer import VIDEO_SUFFIXES, dtype_in, suffix_of
from ..pictures.streams import opened, written
from .jobs import Job
from .one_picture import Settings
from .pipes import PictureBytes

if TYPE_CHECKING:
    from ..pictures.picture_files import PictureFile

_INEXACT = (".jpg", ".jpeg", ".mp4")


def written_unchanged(job: Job, picture: PictureFile, settings: Settings) -> bool:
    """Write the file of a picture as it is, where the output has its format; whether that was done.

    It is not where something was asked for, assumed or left out that the output shows: a page, a range, an orientation.
    """
    asked = settings.page is not None or settings.sample_range is not None
    if asked or picture.remarks or picture.whole_file != format_of(job.output).name:
        return False
    if isinstance(job.source, PictureBytes):
        job.source.seek(0)
    with opened(job.source) as source, written(job.output) as target:
        shutil.copyfileobj(source, target)
    return True


def loss_of(job: Job, picture: PictureFile) -> str | None:
    """What the output's format takes off a picture that is left as it is; None where it holds every sample."""
    suffix, dtype = suffix_of(job.output), picture.samples.dtype.name
    held = dtype_in(job.output, dtype, picture.channels)
    better = ".tif or .avi" if suffix in VIDEO_SUFFIXES else ".png or .tif"
    if held != dtype:
        return f"{suffix} rounds its samples to {held}; name a .tif to keep it all"
    return None if suffix not in _INEXACT else f"{suffix} loses a little of any picture; name a {better} to keep it all"
