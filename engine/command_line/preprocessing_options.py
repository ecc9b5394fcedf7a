"""Options of `spikeunet convert` for what a network wants done to a picture first, and for names of its classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import InputError
from .class_names import read_class_names
from .neuron_options import numbers
from .options import FILE, grouped

preprocessing_options = grouped(
    click.option("--classes", metavar="FILE", type=FILE, help="Names of a classifier's or segmentation's classes."),
    click.option("--resize", metavar="HxW|S", help="Resize pictures to classify, to a size or to a shorter side of S."),
    click.option("--crop", metavar="HxW", help="Then take their middle."),
    click.option("--mean", metavar="M,...", help="Take this off their samples from 0 to 1, for each channel or all."),
    click.option("--std", metavar="S,...", help="And divide by this."),
)


def with_preprocessing(
    facts: dict[str, Any],
    classes: Path | None,
    resize: str | None,
    crop: str | None,
    mean: str | None,
    std: str | None,
) -> dict[str, Any]:
    """A new model's metadata with the preprocessing and the names of classes that the options ask for.

    Raises
    ------
    InputError
        If the model is for another task than such as have them, or the metadata say the same otherwise.
    """
    from ..tasks.inference import task_in

    steps = _steps(resize, crop, mean, std)
    given = {"--classes": classes} | {"--resize": resize, "--crop": crop, "--mean": mean, "--std": std}
    asked = [name for name, value in given.items() if value is not None]
    if not asked:
        return facts
    if task_in(facts) not in ("segment", "classify"):
        raise InputError(f"{asked[0]} is for --task classify and segment (got --task {facts['task']})")
    found: dict[str, Any] = {"preprocessing": steps} if steps else {}
    if classes is not None:
        found["classes"] = read_class_names(classes)
    doubled = [name for name in found if name in facts]
    if doubled:
        raise InputError(
            f"{doubled[0]} is in the metadata and in the options ({', '.join(asked)}); say it in one place"
        )
    return {**facts, **found}


def _steps(resize: str | None, crop: str | None, mean: str | None, std: str | None) -> list[Mapping[str, Any]]:
    """Preprocessing steps as metadata hold them, checked."""
    from ..pictures.preprocessing import check_preprocessing

    steps: list[Mapping[str, Any]] = []
    if resize is not None:
        side = re.fullmatch(r"[1-9]\d{0,5}", resize)
        steps.append({"name": "resize_shorter", "side": int(resize)} if side else _sized("resize", "--resize", resize))
    if crop is not None:
        steps.append(_sized("center_crop", "--crop", crop))
    if mean is not None or std is not None:
        means, deviations = (
            list(numbers(option, text, ",")) if text is not None else [value]
            for option, text, value in (("--mean", mean, 0.0), ("--std", std, 1.0))
        )
        steps.append({"name": "normalize", "mean": means, "std": deviations})
    check_preprocessing(steps)
    return steps


def _sized(name: str, option: str, text: str) -> Mapping[str, Any]:
    from .info import parse_size

    height, width = parse_size(text, option)
    return {"name": name, "height": height, "width": width}
