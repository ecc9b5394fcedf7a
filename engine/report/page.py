"""The page: pictures, charts and tables put into the templates, and written completely or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import check_extra
from ..files.atomic import atomic_write
from ..files.json_text import format_json
from .embedded import LARGEST_SIDE, STEP_SIDE, data_uri, map_uri, scaled_size
from .maps import CHANNELS, activity_maps, part_for_maps, sheet
from .numbers import document, numbers
from .sections import cards, charts

if TYPE_CHECKING:
    from jinja2 import Environment

    from .content import Content

PAGE, NUMBERS = "report.html", "report.json"
MAP_SIDE = 384


def check_report() -> None:
    """InputError that names the extra where what makes pages is not installed."""
    check_extra("a report", ("jinja2", "matplotlib"), "report")


def page(content: Content) -> tuple[str, dict[str, Any]]:
    """The page of one picture as HTML, and its numbers.

    Raises
    ------
    InputError
        If jinja2 or matplotlib is missing.
    """
    check_report()
    found = numbers(content)
    text = _rendered(
        "report.html",
        title=f"{content.title} - {content.model}",
        content=content,
        numbers=found,
        cards=cards(content, found),
        charts=charts(content, found),
        pictures=_pictures(content),
        steps=_steps(content, found),
        maps=_maps(content),
        download=_download(found),
    )
    return text, found


def write_page(folder: str | Path, content: Content) -> None:
    """Write `report.html` and `report.json` into a folder, which is made where its last part is missing.

    Raises
    ------
    InputError
        If jinja2 or matplotlib is missing.
    OSError
        If something cannot be written; whatever was there is kept.
    """
    place = Path(folder)
    text, found = page(content)
    place.mkdir(exist_ok=True)
    write_text(place / NUMBERS, format_json(document([{**found, "page": PAGE}]), indent=2) + "\n")
    write_text(place / PAGE, text)


def overview(rows: Sequence[Mapping[str, Any]]) -> str:
    """A page that leads to those of several pictures: `page`, `title`, `model` and numbers of each."""
    return _rendered("overview.html", title=f"{len(rows)} pictures", rows=rows)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def template_part(name: str) -> str:
    """A part of all pages as it is in them: `style.css` or `page.js`."""
    return _environment().get_template(name).render()


def _rendered(template: str, **values: Any) -> str:
    environment = _environment()
    script = environment.get_template("page.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(script=script, digest=digest, **values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from ..quantity import quantity

    loader = PackageLoader(__package__, "templates")
    # Names of files and models may hold anything: every template escapes, whatever its suffix; page.js holds no values.
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(quantity=quantity, whole="{:,}".format, places="{:.{}f}".format)
    return environment


def _pictures(content: Content) -> dict[str, Any] | None:
    """Before and after, shown in one size, that of the latter."""
    if content.before is None or content.after is None:
        return None
    height, width = content.after.shape[:2]
    shown = scaled_size(content.after.shape)
    return {
        "before": data_uri(content.before),
        "after": data_uri(content.after),
        "width": shown[1],
        "height": shown[0],
        "scaled": f"{width} x {height} pixels, shown at {shown[1]} x {shown[0]}"
        if max(height, width) > LARGEST_SIDE
        else "",
    }


def _steps(content: Content, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pictures of the steps that are shown, each with its row of numbers."""
    if content.by_step is None or len(content.by_step) < 2:
        return []
    rows = found["by_step"]
    return [
        {
            **rows[at],
            "picture": data_uri(content.by_step[at], STEP_SIDE),
            "size": scaled_size(content.by_step[at].shape, STEP_SIDE),
        }
        for at in content.steps_shown
    ]


def _maps(content: Content) -> dict[str, Any] | None:
    """Maps of every layer that is larger than a pixel, or None."""
    part = part_for_maps(content.network, content.inputs) if content.ran and content.inputs is not None else None
    if part is None or content.inputs is None:
        return None
    found = [
        {
            "layer": each.layer,
            "shape": " x ".join(map(str, each.shape)),
            "mean": map_uri(each.mean, MAP_SIDE),
            "most": float(each.mean.max(initial=0.0)),
            "average": float(each.mean.mean()),
            "channels": map_uri(sheet(each.channels), MAP_SIDE),
            "numbers": ", ".join(map(str, each.numbers)),
        }
        for each in activity_maps(content.network, part, content.result.steps, content.threads)
    ]
    whole = part.shape[1] >= content.inputs.shape[1] and part.shape[2] >= content.inputs.shape[2]
    cut = "" if whole else f"the middle {part.shape[2]} x {part.shape[1]} pixels of the picture"
    return {"layers": found, "cut": cut, "channels": CHANNELS} if found else None


def _download(found: Mapping[str, Any]) -> str:
    text = json.dumps(document([dict(found)]), indent=2, allow_nan=False)
    return "data:application/json;base64," + base64.b64encode(text.encode()).decode()
