"""Metadata for a new model, from a known data set and from a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files.json_text import check_json, parse_json

if TYPE_CHECKING:
    from ..graph import Network

MAXIMUM_BYTES = 2**20


TASKS = ("denoise", "derain", "segment", "classify", "resample", "other")
"""What a new model may be for; what is for something else is read in Python, by no command."""


def given_metadata(task: str | None, dataset: str | None, path: Path | None) -> dict[str, Any]:
    """What a known data set says of its models, overruled by what a JSON file says, with the task.

    The task is what all that say one agree on, "denoise" where none does. InputError where they do not agree, or there
    is no such task, data set or file.
    """
    from ..datasets.layouts import layout_named

    said = {} if path is None else read_metadata(path)
    task = _agreed(task, said.get("task"), path)
    facts: dict[str, Any] = {}
    if dataset is not None:
        layout = layout_named(dataset)
        if layout.task != (task or "denoise"):
            raise InputError(
                f"the data set {dataset} is for the task {layout.task!r}; name it with --task {layout.task}"
            )
        facts |= layout.metadata()
    return {**facts, **said, "task": task or "denoise"}


def _agreed(task: str | None, found: object, path: Path | None) -> str | None:
    """The task that is asked for or that a file of metadata says; InputError where they differ or it is none."""
    if found is None:
        return task
    if found not in TASKS:
        raise InputError(f"{path}: there is no task {found!r:.100}; there are {', '.join(TASKS)}")
    if task not in (None, found):
        raise InputError(f"{path}: says the task {found!r}, and --task {task!r}; leave one of them out")
    return str(found)


def read_metadata(path: Path) -> dict[str, Any]:
    """A JSON object from a file; InputError where it is none, OSError where it cannot be read."""
    content = path.read_bytes() if path.stat().st_size <= MAXIMUM_BYTES else b""
    try:
        found = parse_json(content)
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: is not a JSON file of at most {MAXIMUM_BYTES} bytes ({reason})") from None
    if not isinstance(found, dict):
        raise InputError(f'{path}: must hold a JSON object, such as {{"classes": ["membrane", "cell"]}}')
    return found


def with_prediction(facts: dict[str, Any], predicts: str | None) -> dict[str, Any]:
    """A new model's metadata with what it predicts, where it is a denoiser: what is asked for, what they say, or noise.

    Raises
    ------
    InputError
        If that is neither "noise" nor "picture", or is asked for and the model is no denoiser.
    """
    from ..tasks.inference import task_in
    from ..tasks.restorers import PREDICTIONS, prediction_in

    if task_in(facts) != "denoise":
        if predicts is not None:
            raise InputError(f"--predicts {predicts} is for --task denoise (got --task {facts['task']})")
        return facts
    found = facts.get("predicts", PREDICTIONS[0]) if predicts is None else predicts
    return {**facts, "predicts": prediction_in({"predicts": found})}


def check_facts(facts: Mapping[str, Any]) -> None:
    """InputError where metadata cannot be saved, which is better known before than after what takes long."""
    try:
        check_json(dict(facts))
    except ValueError as error:
        raise InputError(f"metadata must consist of JSON values: {error}") from None


def check_task(network: Network) -> None:
    """InputError where a network is said to be for a task and its outputs or metadata do not suit that."""
    from ..tasks.inference import task_of
    from ..tasks.networks import NETWORKS, network_for

    if task_of(network) in NETWORKS and task_of(network) != "denoise":
        network_for(task_of(network), network)
