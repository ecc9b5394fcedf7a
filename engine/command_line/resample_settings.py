"""What the options of `resample` say: checked, and the model that they name; and what there is of them for tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .one_picture import Model
from .resample_picture import ResampleSettings, TableSettings

if TYPE_CHECKING:
    from .picture_command import RunOptions


def check_size_options(scale: float | None, size: tuple[int, int] | None) -> None:
    """InputError where not one of both is named, or the scale makes no sense, before anything is read."""
    from ..resampling.sizes import check_scale

    if (scale is None) == (size is None):
        raise InputError("name either --scale or --size")
    if scale is not None:
        check_scale(scale)


def check_table_options(steps: int | None, report: str | None, as_json: bool, run: RunOptions) -> None:
    """InputError where an option has no meaning for tables alone, which run no network, before anything is read."""
    given: Sequence[tuple[str, object]] = (
        ("--steps", steps),
        ("--order", None if run["order"] == "layer" else run["order"]),
        ("--tile", run["tile"]),
        ("--kernels", None if run["kernels"] == "auto" else run["kernels"]),
        ("--report", report),
        ("--json", "" if as_json else None),
    )
    for option, value in given:
        if value is not None:
            named = f"{option} {value}".rstrip()
            reason = "tables alone run no network, and there is nothing to count; leave it out or name a model"
            raise InputError(f"{named} has no meaning for --tables without --model: {reason}")


def resample_settings(model: str, steps: int | None, tables: Path | None, **shared: Any) -> ResampleSettings:
    """Settings of checked options; `shared` are the size and those that all commands on pictures have.

    Raises
    ------
    SpikeunetError
        If the model or the tables cannot be read, or do not go together.
    """
    from ..resampling import read_tables
    from ..tasks.resampling import check_tables, resampler, takes_tables

    network = resampler(model)
    if tables is None or not takes_tables(network):
        check_tables(network, tables)
    found = None if tables is None else read_tables(tables)
    chosen = Model.of(model, network, steps)
    return ResampleSettings(model_for=lambda _: chosen, tables=found, **shared)


def table_settings(tables: Path, scale: float | None, size: tuple[int, int] | None, run: RunOptions) -> TableSettings:
    """Settings where tables alone enlarge.

    Raises
    ------
    SpikeunetError
        If the tables cannot be read.
    """
    from ..resampling import read_tables

    return TableSettings(
        tables=read_tables(tables),
        scale=scale,
        size=size,
        sample_range=run["sample_range"],
        page=run["page"],
        threads=run["threads"],
    )
