"""One picture in a worker: read, processed by the command's own functions, written, shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command_line.denoise_picture import denoise_file
from ..command_line.denoise_settings import denoise_settings
from ..command_line.derain_settings import derain_settings
from ..command_line.jobs import Job, failure_text
from ..command_line.one_picture import Model, Record, Settings
from ..command_line.pipes import PictureBytes
from ..command_line.report_pages import content_of
from ..command_line.segment_picture import OVERLAY, segment_file
from ..command_line.summary import fields_of
from ..errors import PictureError, PictureSizeError, SpikeunetError
from ..operations.energy import DEFAULT_ENERGY_MODEL
from .catalogue import AUTO
from .orders import Order
from .refusals import BAD_REQUEST, NO_PICTURE, TOO_LARGE

if TYPE_CHECKING:
    from ..report import Content

Say = Callable[..., None]
"""Tells the server something, by name."""

_NOT_SHOWN = ("input", "output", OVERLAY)
RESULT, OVERLAY_FILE, BEFORE, AFTER, REPORT, NUMBERS = (
    "result",
    "overlay.png",
    "before.webp",
    "after.webp",
    "report.html",
    "report.json",
)
SERIES = "tif"

_MEMORY_BEYOND_EVENTS = 4 / 3
"""What a run takes, over what its events and potentials do: measured with the derainer, whose events are graded."""


@dataclass(frozen=True)
class Place:
    """Where a worker works: the job's folder, the models by name, threads of a run, bytes it may take."""

    folder: Path
    models: Mapping[str, str]
    threads: int | None = None
    memory: int | None = None


def carry_out(order: Order, content: bytes, place: Place, say: Say) -> None:
    """Process a picture and leave the results in the folder; what happens is said.

    `stage` says what is being done, `result` what came of it, `report` that the report is there; `error` and `status`
    that it went wrong.
    """
    job = Job(
        PictureBytes(content, order.name), place.folder / f"{RESULT}.{order.suffix}", None, 0, _extras(order, place)
    )
    try:
        _carry_out(order, job, content, place, say)
    except (SpikeunetError, OSError) as error:
        say(error=failure_text(error, job).replace(f"{place.folder}/", ""), status=_status(error))
    except MemoryError:
        say(error="not enough memory; try a smaller picture", status=TOO_LARGE)


def _status(error: Exception) -> int:
    if isinstance(error, PictureSizeError):
        return TOO_LARGE
    return NO_PICTURE if isinstance(error, PictureError) else BAD_REQUEST


def _extras(order: Order, place: Place) -> dict[str, Path]:
    if order.task != "segment":
        return {}
    return {OVERLAY: (place.folder / OVERLAY_FILE).with_suffix(f".{order.suffix}")}


def _carry_out(order: Order, job: Job, content: bytes, place: Place, say: Say) -> None:
    from ..report.numbers import document, numbers
    from ..report.sections import cards

    settings, work = _settings(order, place)
    _check_memory(order, settings, content, place)
    say(stage="running")
    record = _as_named(work(job, settings), order, place)
    shown = content_of(record, settings, DEFAULT_ENERGY_MODEL)
    _write_previews(shown, place.folder)
    found = numbers(shown)
    text = json.dumps(document([{**found, "page": REPORT}]), indent=2, allow_nan=False)
    (place.folder / NUMBERS).write_text(text + "\n", "utf-8")
    say(
        result={
            "model": shown.model,
            "task": shown.task,
            "after": shown.after_name,
            "size": list(record.shape[:2]),
            "steps": record.processed.result.steps,
            "cards": [vars(card) for card in cards(shown, found)],
            "fields": [list(field) for field in fields_of(record) if field[0] not in _NOT_SHOWN],
            "notes": list(shown.notes),
        }
    )
    if order.report:
        say(stage="drawing the report")
        _write_report(shown, place.folder)
        say(report=True)


def _settings(order: Order, place: Place) -> tuple[Settings, Callable[[Job, Any], Record]]:
    values = order.parsed()
    steps = values.pop("steps")
    shared = {**values, "order": "layer", "threads": place.threads, "watch": True}
    model = order.model if order.model == AUTO else place.models[order.model]
    if order.task == "denoise":
        return denoise_settings(model, steps, **shared), denoise_file
    if order.task == "derain":
        return derain_settings(model, steps, **shared), denoise_file
    from ..tasks.segmentation import segmenter

    chosen = Model.of(order.model, segmenter(model), steps)
    return Settings(model_for=lambda _: chosen, **shared), segment_file


def _check_memory(order: Order, settings: Settings, content: bytes, place: Place) -> None:
    """PictureSizeError where a picture would take more memory than there is, before it is worked on for minutes."""
    from ..simulation.tiles.tile_size import needed_bytes

    size = _size_in(content)
    if size is None or place.memory is None or order.model == AUTO:
        return
    model = settings.model_for(3)
    needed = _MEMORY_BEYOND_EVENTS * needed_bytes(model.network, size[1], size[0], model.steps)
    if needed > place.memory:
        most = size[0] * size[1] * place.memory / needed / 1e6
        raise PictureSizeError(
            f"{size[0]}x{size[1]} pixels take about {needed / 2**30:.1f} GiB with {order.model}, which needs all of a "
            f"picture at once, and there are {place.memory / 2**30:.1f}; make it smaller than {most:.1f} million pixels"
        )


def _as_named(record: Record, order: Order, place: Place) -> Record:
    """The record with the model's name in the catalogue in place of its file's."""
    if record.model.name != place.models.get(order.model):
        return record
    return replace(record, model=replace(record.model, name=order.model))


def _write_previews(content: Content, folder: Path) -> None:
    from ..report.embedded import webp

    for name, picture in ((BEFORE, content.before), (AFTER, content.after)):
        if picture is not None:
            (folder / name).write_bytes(webp(picture))


def _write_report(content: Content, folder: Path) -> None:
    from ..report.page import page, write_text

    text, _ = page(content)
    write_text(folder / REPORT, text)


def pixels_in(content: bytes) -> int | None:
    """Pixels of a picture by its header, for a guess how long it will take; None where that is not seen at once."""
    size = _size_in(content)
    return None if size is None else size[0] * size[1]


def _size_in(content: bytes) -> tuple[int, int] | None:
    """(width, height) by the header."""
    import io

    from ..pictures.decoding import image_size

    try:
        return image_size(io.BytesIO(content))
    except Exception:  # noqa: BLE001 - whatever is wrong is said when the picture is read
        return None
