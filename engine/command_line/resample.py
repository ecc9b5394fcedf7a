"""`spikeunet resample`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click

from ..tasks.resampling import DEFAULT_MODEL
from .claims import Claims
from .console import print_fields, print_rows
from .denoise import format_option, output_of
from .guard import STATUS_ERROR
from .jobs import Job, plan_jobs, run_jobs
from .options import FILE, FILE_NAME
from .picture_command import (
    RunOptions,
    check_run_options,
    inputs_argument,
    json_option,
    process_pictures,
    run_options,
    steps_option,
)
from .piped_models import MODEL
from .resample_picture import TableSettings, resample_file, resample_file_by_tables
from .resample_settings import check_size_options, check_table_options, resample_settings, table_settings


def _named_size(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """WIDTHxHEIGHT as height and width."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 1024x768")
    return int(found[2]), int(found[1])


@click.command()
@inputs_argument
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=FILE_NAME, help="Picture file, or folder for several."
)
@click.option("--scale", type=float, metavar="S", help="Enlarge by S, 1 to 64, not necessarily a whole number.")
@click.option(
    "--size", metavar="WxH", callback=_named_size, help="Width and height of the result, in place of --scale."
)
@click.option(
    "--model",
    metavar="NAME",
    type=MODEL,
    help=f"Shipped model, or model file; with --tables in place of their second stage.  [default: {DEFAULT_MODEL}]",
)
@steps_option
@click.option(
    "--tables",
    metavar="FOLDER",
    type=FILE,
    help="LeRF's tables, LUTft_s1_sr0.npy and others, in place of a network.  [default: none]",
)
@format_option
@run_options
@json_option
def resample(
    inputs: tuple[Path | str, ...],
    output: str,
    scale: float | None,
    size: tuple[int, int] | None,
    model: str | None,
    steps: int | None,
    tables: Path | None,
    format_: str | None,
    report: str | None,
    as_json: bool,
    **run: Unpack[RunOptions],
) -> None:
    """Enlarge pictures, or the pictures of a folder, by learned resampling (LeRF, arXiv 2407.09935).

    IN is one or more picture files, or one folder: then OUT is a folder, too. Either may be - for a pipe. Formats,
    sample types, ranges, metadata and series of pages are dealt with as by `spikeunet denoise`; transparency is
    enlarged linearly.

    A small spiking network sharpens the picture and says in which direction each pixel reaches how far; the result is
    the mean that is weighted so. Each colour channel is enlarged by itself, three equal ones as one; counts are sums
    over them, for each pixel of the picture that was given.

    With --tables LeRF's own look-up tables say it, which are their authors' and do not come with this package: FOLDER
    holds those of LeRF-G or LeRF-L, nine files, as published. They run no network, so there is nothing to count, and
    take one picture of a series (--page). 8 bits are looked up as they are, others with 16 bits.

    \b
    Examples:
      spikeunet resample small.png --scale 2 -o large.png
      spikeunet resample small.png --size 1024x768 -o large.png
      spikeunet resample pictures/ --scale 3 -o enlarged/ --report report.json
      spikeunet resample pictures/ --scale 2.5 -o enlarged/ --tables lerf-g/
    """
    check_size_options(scale, size)
    check_run_options(steps, run["order"], run["tile"], run["kernels"])
    if model is None and tables is not None:
        check_table_options(steps, report, as_json, run)
        jobs = plan_jobs(inputs, output_of(output, format_), Claims())
        _by_tables(jobs, table_settings(tables, scale, size, run))
        return
    claims, name = Claims(), model or DEFAULT_MODEL
    claims.reads_model(name)
    jobs = plan_jobs(inputs, output_of(output, format_), claims, report=report)
    settings = resample_settings(name, steps, tables, scale=scale, size=size, **run)
    process_pictures(jobs, resample_file, settings, "Resampling", report, as_json)


def _by_tables(jobs: Sequence[Job], settings: TableSettings) -> None:
    """Enlarge without a network, and print what there is to say of it."""
    records, failures = run_jobs(jobs, lambda job: resample_file_by_tables(job, settings), "Resampling")
    names = ("input", "output", "size", "enlarged to")
    if len(records) == 1:
        print_fields([*zip(names, records[0], strict=True), ("tables", settings.tables.name)])
    elif records:
        print_rows(names, records)
    if failures:
        click.get_current_context().exit(STATUS_ERROR)
