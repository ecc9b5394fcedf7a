"""Pages of the commands on pictures: one for each picture, written as soon as it is processed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import printable
from ..operations.energy import DEFAULT_ENERGY_MODEL
from ..pictures.streams import name_of
from .jobs import Failure, Job, made_folders, run_jobs
from .one_picture import Record, Settings
from .report import report_values
from .report_place import NUMBERS, PAGE, page_name

if TYPE_CHECKING:
    from ..report import Content
    from ..report.content import Pixels
    from ..tasks.inference import Processed, Watched
    from ..tasks.segmentation import Segmented

SettingsOf = TypeVar("SettingsOf", bound=Settings)


def run_with_pages(
    jobs: Sequence[Job],
    work: Callable[[Job, SettingsOf], Record],
    settings: SettingsOf,
    description: str,
    folder: Path,
    energy_model: str = DEFAULT_ENERGY_MODEL,
) -> tuple[list[Record], list[Failure]]:
    """`run_jobs`, and of every picture a page in `folder`; at the end the numbers, and of several an overview."""
    from ..report.numbers import document
    from ..report.page import overview, write_text

    watching = replace(settings, watch=True)
    pages = _Pages(folder, len(jobs), watching, energy_model)
    with made_folders([folder]):
        records, failures = run_jobs(jobs, lambda job: pages.write(work(job, watching)), description)
        if records:
            found = document(pages.numbers, report_values(settings, records, failures))
            write_text(folder / NUMBERS, _json(found))
            if len(jobs) > 1:
                write_text(folder / PAGE, overview(pages.numbers))
    return records, failures


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, allow_nan=False) + "\n"


class _Pages:
    """Writes the page of each picture and keeps its numbers."""

    def __init__(self, folder: Path, pictures: int, settings: Settings, energy_model: str) -> None:
        self._folder, self._pictures = folder, pictures
        self._settings, self._energy_model = settings, energy_model
        self.numbers: list[dict[str, Any]] = []

    def write(self, record: Record) -> Record:
        """Write the page of a record; returns it without what the page alone needed."""
        from ..report.page import page, write_text

        name = page_name(record.job.index, self._pictures)
        text, numbers = page(content_of(record, self._settings, self._energy_model))
        write_text(self._folder / name, text)
        self.numbers.append({**numbers, "page": name})
        return replace(record, processed=replace(record.processed, watched=None), shown=None)


def content_of(record: Record, settings: Settings, energy_model: str) -> Content:
    """What a page shows of a picture that was processed with `watch`."""
    from ..report import Content
    from ..tasks.inference import task_of

    shown = record.processed if record.shown is None else record.shown
    watched = shown.watched
    assert watched is not None
    entry = record.entry()
    before, after = entry.get("psnr_before"), entry.get("psnr_after")
    return Content(
        title=printable(Path(name_of(record.job.source)).name),
        model=printable(record.model.name),
        task=_TASKS.get(task_of(record.model.network), task_of(record.model.network)),
        network=record.model.network,
        result=record.processed.result,
        pixels=record.processed.pixels,
        facts=_facts(record),
        before=watched.picture,
        after=_after(shown),
        after_name=_AFTER.get(type(shown).__name__, "after"),
        by_step=_by_step(shown, watched),
        quality=record.psnr_by_step or None,
        psnr=None if before is None or after is None else (before, after),
        inputs=watched.inputs[0],
        frames=record.frames,
        energy_model=energy_model,
        threads=settings.threads,
        notes=_notes(record, shown, watched),
    )


_TASKS = {
    "denoise": "Denoised",
    "derain": "Derained",
    "segment": "Segmented",
    "classify": "Classified",
    "resample": "Enlarged",
}
_AFTER = {"Denoised": "denoised", "Derained": "derained", "Segmented": "segmented", "Resampled": "enlarged"}


def _facts(record: Record) -> list[tuple[str, str]]:
    size = "x".join(map(str, record.shape))
    facts = [("size", f"{size}, {record.dtype}"), ("steps", str(record.processed.result.steps))]
    if record.pages is not None:
        facts.append(("pages", str(record.pages)))
    return [(printable(name), printable(value)) for name, value in (*facts, *record.fields())]


def _notes(record: Record, shown: Processed, watched: Watched) -> list[str]:
    notes = []
    if record.pages is not None:
        notes.append("Counts are sums over all pages; pictures and maps are those of the first.")
    if not record.processed.result.operations.synapses:
        return [*notes, "The picture was left as it is: nothing was simulated."]
    if type(shown).__name__ == "Resampled":
        notes.append("Before is the picture that was given, stretched to the size of the result by the browser.")
    if len(watched.inputs) > 1:
        notes.append("The network sees each colour by itself; counts are sums over them, maps those of the first.")
    if watched.by_step is None and type(shown).__name__ in _AFTER:
        notes.append(f"The output at each step was not kept: {_why_no_steps(shown)}.")
    return notes


def _why_no_steps(shown: Processed) -> str:
    from ..tasks.denoising import Denoised

    if isinstance(shown, Denoised) and not shown.plan.plain:
        return "the network did not see the picture as it is"
    return "the picture is too large for so many steps"


def _after(shown: Processed) -> Pixels | None:
    from ..tasks.denoising import Denoised
    from ..tasks.resampling import Resampled
    from ..tasks.segmentation import Segmented

    if isinstance(shown, Denoised):
        return shown.restored
    if isinstance(shown, Segmented):
        last: Pixels = _Overlays(shown)[-1]
        return last
    return shown.enlarged if isinstance(shown, Resampled) else None


def _by_step(shown: Processed, watched: Watched) -> Sequence[Pixels] | None:
    from ..tasks.segmentation import Segmented

    if watched.by_step is None:
        return None
    return _Overlays(shown) if isinstance(shown, Segmented) else watched.by_step  # type: ignore[return-value]


class _Overlays(Sequence["Pixels"]):
    """The picture with the classes' colours over it, after each step; made when it is asked for."""

    def __init__(self, shown: Segmented) -> None:
        assert shown.watched is not None
        self._shown, self._watched = shown, shown.watched

    def __len__(self) -> int:
        return 0 if self._watched.by_step is None else len(self._watched.by_step)

    def __getitem__(self, at: Any) -> Any:
        from ..pictures.labels import overlay

        labels = self._shown.labels if at == -1 or self._watched.by_step is None else self._watched.by_step[at]
        return overlay(self._watched.picture, labels, self._shown.palette)
