"""What `denoise`, `segment` and `classify` share: the options of a run, and all that follows its planning."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TypedDict, TypeVar

import click

from ..binding.kernel_choice import CHOICES
from ..errors import InputError
from ..pictures.ranges import SampleRange
from .guard import STATUS_ERROR
from .jobs import Job, run_jobs
from .one_picture import Record, Settings
from .options import FILE_NAME, INPUT, grouped, range_option, threads_option
from .pipes import PIPE, PipedOutput
from .report import print_neurobench, write_report
from .report_pages import run_with_pages
from .report_place import page_folder
from .summary import print_records

SettingsOf = TypeVar("SettingsOf", bound=Settings)

inputs_argument = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=INPUT)

steps_option = click.option("--steps", type=int, metavar="T", help="Time steps, 1 to 1000.  [default: the model's own]")

run_options = grouped(
    range_option,
    click.option(
        "--page",
        type=click.IntRange(min=0),
        metavar="N",
        help="One page of a stack, animation or video, counted from 0.  [default: all]",
    ),
    threads_option,
    click.option(
        "--order", type=click.Choice(["layer", "time"]), default="layer", show_default=True, help="Loop order."
    ),
    click.option(
        "--tile", type=click.IntRange(min=1), metavar="N", help="Rows of a picture at a time.  [default: by its size]"
    ),
    click.option(
        "--kernels",
        type=click.Choice(CHOICES),
        default="auto",
        show_default=True,
        help="Which kernels may run the layers, for comparison: the result is the same.",
    ),
    click.option(
        "--report",
        type=FILE_NAME,
        metavar="FILE|DIR",
        help="Write every count of every picture as JSON, to a FILE that has a suffix, or to stdout (-), alone there; "
        "or make a folder DIR with a page to look at, report.html, and report.json (needs spikeunet[report]).",
    ),
)


class RunOptions(TypedDict):
    """What the options of a run say but where the report goes: fields of `Settings`."""

    sample_range: SampleRange | None
    page: int | None
    threads: int | None
    order: str
    tile: int | None
    kernels: str


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the counts as JSON under the names of NeuroBench's metrics, in place of the usual text.",
)


def check_increments_options(
    order: str, tile: int | None, kernels: str, page: int | None, self_ensemble: int = 1
) -> None:
    """InputError where an option has no meaning with --exact-increments, before anything is read."""
    given = {
        "--order": None if order == "layer" else order,
        "--tile": tile,
        "--kernels": None if kernels == "auto" else kernels,
        "--page": page,
        "--self-ensemble": None if self_ensemble == 1 else self_ensemble,
    }
    why = {"--page": "takes all pages", "--self-ensemble": "keeps what was seen of the page before, in one view"}
    for option, value in given.items():
        if value is not None:
            said = why.get(option, "chooses that itself")
            raise InputError(f"--exact-increments {said}; leave {option} {value} out")


def check_run_options(steps: int | None, order: str, tile: int | None, kernels: str) -> None:
    """InputError where an option of a run is out of range, before anything is read."""
    from ..binding import allowed_kernels
    from ..simulation.simulate import check_tile
    from ..tasks.inference import DEFAULT_STEPS, check_steps

    check_steps(DEFAULT_STEPS if steps is None else steps)
    check_tile(tile, order)
    allowed_kernels(kernels)


def process_pictures(
    jobs: Sequence[Job],
    work: Callable[[Job, SettingsOf], Record],
    settings: SettingsOf,
    description: str,
    report: str | None,
    as_json: bool = False,
) -> None:
    """Do every job, report and print what came of them; exit with status 2 where a picture failed.

    Parameters
    ----------
    jobs : sequence of Job
    work : function of a job and the settings
        Processes one picture and writes what was asked for, if anything.
    settings : Settings
    description : str
        Of the progress bar.
    report : str or None
        File for the JSON report; "-" for stdout, where nothing else is printed then; or a folder for pages.
    as_json : bool
        Whether to print the counts under NeuroBench's names.

    Raises
    ------
    InputError
        If both are to be printed.
    """
    if as_json and report == PIPE:
        raise InputError("--report - and --json are both to be alone on stdout; give the report a file's name")
    folder = page_folder(report)
    if folder is not None:
        records, failures = run_with_pages(jobs, work, settings, description, folder)
    else:
        records, failures = run_jobs(jobs, lambda job: work(job, settings), description)
        if report is not None and records:
            write_report(report, settings, records, failures)
    if report != PIPE:
        # Where a picture goes to stdout, nothing else may.
        piped = any(isinstance(job.target, PipedOutput) for job in jobs)
        with redirect_stdout(sys.stderr) if piped else nullcontext():
            (print_neurobench if as_json else print_records)(records)
    if failures:
        click.get_current_context().exit(STATUS_ERROR)
