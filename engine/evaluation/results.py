"""Write what an evaluation found: JSON with everything, and CSV with a line for each picture."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_write
from ..files.csv_text import csv_text
from ..operations.energy import DEFAULT_ENERGY_MODEL, find_energy_model
from ..threads import available_processors
from .picture_task import Row
from .scored_tasks import SCORED
from .summary import COSTS

_PACKAGES = ("spikeunet", "numpy", "numba", "scipy", "scikit-learn", "pillow", "dask", "distributed")

_METHOD = ("method", "steps", "self_ensemble")
_PLACE = ("dataset", "split", "picture", "index", "sigma", "noise_seed", *_METHOD, "height", "width")
_ORIGIN = ("host", "picture_sha256", "reference_sha256", "mask_sha256")


def columns(task: str) -> tuple[str, ...]:
    """Columns of the CSV file."""
    return (*_PLACE, *SCORED[task].facts, *SCORED[task].scores, *COSTS, "reading", *_ORIGIN)


def write_csv(path: Path, rows: Sequence[Row], task: str) -> None:
    """Write a line for each picture and method, completely or not at all; matrices and histograms are left out.

    Names of files are on one line, escaped where they are no text, and no formulas to a spreadsheet.
    """
    text = csv_text(columns(task), rows)
    with atomic_write(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, completely or not at all."""
    with atomic_write(path) as stream:
        stream.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def circumstances() -> dict[str, Any]:
    """Versions, machine, command and time: what a reader needs to make the figures again."""
    return {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "machine": {"processor": _processor(), "processors": available_processors(), "system": platform.platform()},
        "energy_model": find_energy_model(DEFAULT_ENERGY_MODEL).as_json(),
        "working_folder": os.fspath(Path.cwd()),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
