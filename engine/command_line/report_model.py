"""`spikeunet report`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from ..operations.energy import DEFAULT_ENERGY_MODEL, ENERGY_MODELS
from ..pictures.ranges import SampleRange
from .claims import Claims
from .classify_picture import ClassifySettings, classify_file
from .console import print_line
from .denoise_picture import DenoiseSettings, denoise_file
from .guard import STATUS_ERROR
from .jobs import Job, Output, plan_jobs, plan_readings
from .one_picture import Model, Record, Settings
from .options import FILE, FILE_NAME, range_option, threads_option
from .output import put_data
from .report_pages import run_with_pages
from .report_place import NUMBERS, PAGE
from .segment_picture import segment_file

if TYPE_CHECKING:
    from ..graph import Network

TOP = 5


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("picture", metavar="PICTURE", type=FILE)
@click.option("-o", "--output", metavar="DIR", required=True, type=FILE_NAME, help="Folder for the page; it is made.")
@click.option("--steps", type=int, metavar="T", help="Time steps, 1 to 1000.  [default: the model's own]")
@click.option(
    "--add-noise", type=float, metavar="S", help="Of a denoiser: make the picture noisy first, S on the 0-255 scale."
)
@click.option("--seed", type=click.IntRange(min=0), metavar="K", help="Seed of that noise.")
@click.option("--clean", metavar="REF", type=FILE, help="Of a denoiser: clean picture to compare with.")
@click.option(
    "--energy",
    type=click.Choice(sorted(ENERGY_MODELS)),
    default=DEFAULT_ENERGY_MODEL,
    show_default=True,
    help="Energy model of the page.",
)
@range_option
@threads_option
def report(
    model: str,
    picture: Path,
    output: str,
    steps: int | None,
    add_noise: float | None,
    seed: int | None,
    clean: Path | None,
    energy: str,
    sample_range: SampleRange | None,
    threads: int | None,
) -> None:
    """Show what a network does with a picture, as a page to look at.

    MODEL is a name out of `spikeunet models` or a model file, PICTURE a picture, stack or video. DIR gets report.html,
    one file that needs no network: the picture before and after, the output as it forms step by step, where each layer
    is active, events, operations and energy, and the network with what goes through it; report.json with all numbers;
    and the result itself under the picture's name, as .png, or .tif of a stack. Needs spikeunet[report].

    \b
    Examples:
      spikeunet report denoise-gray camera.png -o camera/ --add-noise 25 --steps 8
      spikeunet report segment-vessels retina.png -o retina/
      spikeunet report denoise-gray clip.tif -o clip/ --energy 45nm-8bit
    """
    from ..models import shared_model
    from ..pictures.noise import check_sigma
    from ..report import check_report
    from ..tasks.inference import DEFAULT_STEPS, check_steps, task_of

    check_report()
    check_steps(DEFAULT_STEPS if steps is None else steps)
    if seed is not None and add_noise is None:
        raise InputError(f"--seed {seed} has no meaning without --add-noise; name the noise to add")
    if add_noise is not None:
        check_sigma(add_noise)
    network = shared_model(model)
    task = task_of(network)
    if task != "denoise" and (add_noise is not None or (clean is not None and task != "derain")):
        raise InputError(f"--add-noise and --clean are for denoisers, and {model} is for {task!r}; leave them out")
    work, checked = _work(task, network)
    claims = Claims()
    claims.reads_model(model)
    jobs = _jobs(task, picture, output, claims, clean)
    chosen = Model.of(model, checked, steps)
    settings = _settings(
        task,
        {"sigma": add_noise, "seed": seed or 0},
        model_for=lambda _: chosen,
        threads=threads,
        sample_range=sample_range,
    )
    _, failures = run_with_pages(jobs, work, settings, "Reporting", Path(output), energy)
    if failures:
        click.get_current_context().exit(STATUS_ERROR)
    folder = Path(output)
    put_data({"page": str(folder / PAGE), "numbers": str(folder / NUMBERS)})
    print_line(str(folder / PAGE))


def _work(task: str, network: Network) -> tuple[Callable[[Job, Any], Record], Network]:
    """What processes a picture, and the network, which is fit for it."""
    from ..tasks.classification import classifier
    from ..tasks.deraining import derainer
    from ..tasks.restorers import denoiser
    from ..tasks.segmentation import segmenter

    known: dict[str, tuple[Callable[[Job, Any], Record], Callable[[Any], Network]]] = {
        "denoise": (denoise_file, denoiser),
        "derain": (denoise_file, derainer),
        "segment": (segment_file, segmenter),
        "classify": (classify_file, classifier),
    }
    if task not in known:
        other = "; `spikeunet resample --report DIR` makes one" if task == "resample" else ""
        raise InputError(f"a report is for models that {', '.join(known)}; this one is for {task!r}{other}")
    work, check = known[task]
    return work, check(network)


def _jobs(task: str, picture: Path, output: str, claims: Claims, clean: Path | None) -> list[Job]:
    folder = output.rstrip(os.sep) + os.sep
    if task == "classify":
        return plan_readings([picture], claims, folder)
    if not picture.is_file():
        raise InputError(f"{picture}: a report is on one picture file; `spikeunet {task} --report` takes folders")
    result = Output(folder, ".tif" if _is_series(picture) else ".png")
    return plan_jobs([picture], result, claims, clean, report=folder)


def _is_series(picture: Path) -> bool:
    from ..pictures.frames import open_frames

    with open_frames(picture) as frames:
        return bool(frames.is_series)


def _settings(task: str, noise: dict[str, Any], **shared: Any) -> Settings:
    from ..tasks.restorers import RESTORING

    if task in RESTORING:
        return DenoiseSettings(order="layer", derains=task == "derain", **noise, **shared)
    if task == "classify":
        return ClassifySettings(order="layer", top=TOP, **shared)
    return Settings(order="layer", **shared)
