"""The page and its parts, made once: the report's style, script and slider, and what the page has besides."""

from __future__ import annotations

from typing import Any

from ..extras import check_extra
from .catalogue import Catalogue, examples_for
from .limits import Limits


def check_serve() -> None:
    """InputError that names the extra where what serves pages is not installed."""
    check_extra("serving a page", ("tornado", "jinja2", "matplotlib"), "serve")


def made_texts(found: Catalogue, limits: Limits) -> dict[str, str]:
    """The page, the field for a token, and the parts that they load, by name."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    from ..report.page import template_part

    loader = ChoiceLoader(
        [PackageLoader(__package__, "templates"), PackageLoader("spikeunet.engine.report", "templates")]
    )
    # Names of models may hold anything: every template escapes, whatever its suffix; scripts hold no values.
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.get_template("try.html")
    token = environment.get_template("token.html")
    return {
        "page": page.render(**_values(found, limits)),
        "token": token.render(again=False),
        "token-again": token.render(again=True),
        "style.css": template_part("style.css") + environment.get_template("try.css").render(),
        "page.js": template_part("page.js"),
        "icon.svg": environment.get_template("icon.svg").render(),
        "try.js": environment.get_template("try.js").render(),
    }


def _values(found: Catalogue, limits: Limits) -> dict[str, Any]:
    from importlib.metadata import version

    from ..binding.kernel_choice import CHOICES
    from ..pictures.rain import INTENSITIES

    models = [
        {"task": task, "name": name, "offer": found.offers.get(name)}
        for task in found.tasks
        for name in found.names(task)
    ]
    return {
        "version": version("spikeunet"),
        "tasks": found.tasks,
        "models": models,
        "examples": list(examples_for(found)),
        "limits": limits,
        "kernels": CHOICES,
        "rains": list(INTENSITIES),
    }
