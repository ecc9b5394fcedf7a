"""What a client asks for: parameters that are the options of the commands, checked by them and in their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from ..errors import InputError, first_few, printable
from ..pictures.formats import FORMATS
from .catalogue import AUTO, EXAMPLES, Catalogue
from .limits import Limits
from .refusals import RefusedError

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "denoise": ("steps", "self-ensemble", "strength", "add-noise", "seed", "range", "page", "kernels"),
    "derain": ("steps", "strength", "add-rain", "seed", "range", "page", "kernels"),
    "segment": ("steps", "range", "page", "kernels"),
}
"""Options of the commands that a client may give, by task."""

OF_REQUEST = ("task", "model", "name", "example", "format", "report")
"""What else it may say."""

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("denoise", "derain"), tuple(suffix[1:] for suffix in FORMATS)),
    "segment": ("png", "tif"),
}
_UPLOAD, _LONGEST_NAME = "picture", 80


@dataclass(frozen=True)
class Order:
    """A picture to process.

    Parameters
    ----------
    name : str
        Of the picture: what messages call it. No file here has it.
    task, model : str
        Of the catalogue.
    options : mapping of str to str
        Of the command, as they were given.
    suffix : str
        Of the result.
    example : str or None
        The picture to take, where none is sent.
    report : bool
        Whether a report is made, too.
    """

    name: str
    task: str
    model: str
    options: Mapping[str, str]
    suffix: str
    example: str | None = None
    report: bool = True

    def as_json(self) -> dict[str, Any]:
        """For a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Order:
        """What `as_json` gave."""
        return cls(**values)

    @property
    def stem(self) -> str:
        """The picture's name without its suffix."""
        return self.name.rpartition(".")[0] or self.name

    def parsed(self) -> dict[str, Any]:
        """The options' values by the names of the command's arguments; RefusedError where one is none."""
        return parsed_options(self.task, self.options)


def parsed_options(task: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Values of a command's options, as the command reads them; RefusedError in its words where they are none."""
    command, given = _commands()[task], [f"--{name}={value}" for name, value in options.items()]
    try:
        values = command.make_context(task, [*given, "--output=result.png", _UPLOAD]).params
    except click.ClickException as error:
        raise RefusedError(error.format_message().rstrip(".")) from None
    return {name: values[name] for name in (_argument(option) for option in OPTIONS[task])}


def _argument(option: str) -> str:
    """The name by which a command gets an option's value."""
    return "sample_range" if option == "range" else option.replace("-", "_")


def _commands() -> Mapping[str, click.Command]:
    from ..command_line.denoise import denoise
    from ..command_line.derain import derain
    from ..command_line.segment import segment

    return {"denoise": denoise, "derain": derain, "segment": segment}


def read_order(parameters: Mapping[str, str], found: Catalogue, limits: Limits) -> Order:
    """What the parameters of a request ask for.

    Raises
    ------
    RefusedError
        If one is unknown or out of range, or no such model is offered.
    InputError
        In the words of the engine.
    """
    task = parameters.get("task", found.tasks[0])
    if task not in found.tasks:
        raise RefusedError(f"there is no task {printable(task)!r}; there are {', '.join(found.tasks)}")
    known = (*OF_REQUEST, *OPTIONS[task])
    strange = [name for name in parameters if name not in known]
    if strange:
        raise RefusedError(f"unknown to {task}: {first_few(strange)}; there are {', '.join(known)}")
    example = parameters.get("example")
    if example is not None and example not in EXAMPLES:
        raise RefusedError(f"there is no example {example!r}; there are {', '.join(EXAMPLES)}")
    order = Order(
        name=_clean_name(parameters.get("name", example or "") or _UPLOAD),
        task=task,
        model=found.model_for(task, parameters.get("model")),
        options={name: parameters[name] for name in OPTIONS[task] if name in parameters},
        suffix=_chosen("format", parameters.get("format", "png").lower(), SUFFIXES[task]),
        example=example,
        report=_chosen("report", parameters.get("report", "yes"), ("yes", "no")) == "yes",
    )
    _check_values(order, found, limits)
    return order


def _check_values(order: Order, found: Catalogue, limits: Limits) -> None:
    from ..command_line.denoise_settings import check_denoise_options
    from ..command_line.derain_settings import check_derain_options
    from ..command_line.picture_command import check_run_options

    values = order.parsed()
    if order.task == "denoise":
        check_denoise_options(values["add_noise"], values["seed"], values["strength"], values["self_ensemble"])
    if order.task == "derain":
        check_derain_options(values["add_rain"], values["seed"], values["strength"])
    check_run_options(values["steps"], "layer", None, values["kernels"])
    own = found.offers[order.model].steps if order.model != AUTO else 1
    steps = own if values["steps"] is None else values["steps"]
    if steps > limits.steps:
        raise InputError(f"steps are at most {limits.steps} on this server (got {steps})")
    views = values.get("self_ensemble", 1)
    if steps * views > limits.steps:
        raise InputError(
            f"steps times self-ensemble are at most {limits.steps} on this server (got {steps} times {views})"
        )


def _chosen(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise RefusedError(f"{name} {value!r} is none of {', '.join(known)}")
    return value


def _clean_name(name: str) -> str:
    """A picture's name for messages and downloads: the last part of a path, without what no file name should hold."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = "".join(character for character in last if character.isprintable() and character not in '<>:"|?*')
    stem, dot, suffix = kept.strip(" .").rpartition(".")
    return f"{stem[: _LONGEST_NAME - 8]}{dot}{suffix[:8]}" if stem else (suffix[:_LONGEST_NAME] or _UPLOAD)
