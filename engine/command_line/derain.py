"""`spikeunet derain`."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ..tasks.deraining import DEFAULT_MODEL
from .claims import Claims
from .denoise import format_option, output_of
from .denoise_picture import denoise_file
from .derain_settings import check_derain_options, derain_settings
from .jobs import plan_jobs
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


@click.command()
@inputs_argument
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=FILE_NAME, help="Picture file, or folder for several."
)
@click.option(
    "--model",
    metavar="NAME",
    default=DEFAULT_MODEL,
    show_default=True,
    type=MODEL,
    help="Shipped model, or model file.",
)
@steps_option
@click.option(
    "--strength",
    type=float,
    metavar="W",
    help="From 0, the picture as it is, to 1, the model's result.  [default: 1]",
)
@click.option(
    "--add-rain",
    metavar="HOW",
    help="Make clean pictures rainy first: light, medium or heavy.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="K", help="Seed of that rain; the next picture's is K+1.")
@click.option("--clean", metavar="REF", type=FILE, help="Clean picture, or folder, to compare with.")
@format_option
@run_options
@json_option
def derain(
    inputs: tuple[Path | str, ...],
    output: str,
    model: str,
    steps: int | None,
    strength: float | None,
    add_rain: str | None,
    seed: int | None,
    format_: str | None,
    clean: Path | None,
    report: str | None,
    as_json: bool,
    **run: Unpack[RunOptions],
) -> None:
    """Take the rain out of pictures, or of the pictures of a folder.

    IN is one or more picture files, or one folder: then OUT is a folder, too. Either may be - for a pipe. Formats,
    sample types, ranges, transparency, metadata and series of pages are dealt with as by `spikeunet denoise`. A colour
    model sees a gray picture as three equal channels.

    The shipped model knows streaks as rain leaves them while a shutter is open, on a scale on which they are some
    pixels wide: neither drops on the lens nor fog. With --add-rain the input is a clean picture, which is made rainy
    first, and PSNR and SSIM compare with it unless --clean names another reference.

    \b
    Examples:
      spikeunet derain rainy.jpg -o clear.png
      spikeunet derain clear.png -o derained.png --add-rain heavy
      spikeunet derain rainy/ -o derained/ --clean clean/ --report report.json
      spikeunet derain street.mp4 -o derained.mp4
    """
    check_derain_options(add_rain, seed, strength)
    check_run_options(steps, run["order"], run["tile"], run["kernels"])
    claims = Claims()
    claims.reads_model(model)
    jobs = plan_jobs(inputs, output_of(output, format_), claims, clean, report=report)
    settings = derain_settings(model, steps, add_rain, seed, strength, **run)
    process_pictures(jobs, denoise_file, settings, "Deraining", report, as_json)
