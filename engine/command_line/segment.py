"""`spikeunet segment`."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ..tasks.segmentation import DEFAULT_MODEL
from .claims import Claims
from .jobs import Output, plan_jobs
from .one_picture import Model, Settings
from .options import FILE_NAME, exact_increments_option
from .picture_command import (
    RunOptions,
    check_increments_options,
    check_run_options,
    inputs_argument,
    json_option,
    process_pictures,
    run_options,
    steps_option,
)
from .piped_models import MODEL
from .segment_picture import (
    OVERLAY,
    PROBABILITIES,
    check_labels_suffix,
    check_overlay_format,
    check_probabilities_suffix,
    segment_file,
)


@click.command()
@inputs_argument
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=FILE_NAME, help="Label picture, or folder for several."
)
@click.option(
    "--model", metavar="NAME", type=MODEL, default=DEFAULT_MODEL, show_default=True, help="Shipped model or model file."
)
@steps_option
@click.option("--overlay", metavar="OUT", type=FILE_NAME, help="Also the picture with its classes' colours over it.")
@click.option("--probabilities", metavar="OUT", type=FILE_NAME, help="Also each class's probability, as NPZ.")
@run_options
@exact_increments_option
@json_option
def segment(
    inputs: tuple[Path | str, ...],
    output: str,
    model: str,
    steps: int | None,
    overlay: str | None,
    probabilities: str | None,
    report: str | None,
    exact_increments: bool,
    as_json: bool,
    **run: Unpack[RunOptions],
) -> None:
    """Tell the class of each pixel of pictures, or of the pictures of a folder.

    IN is one or more picture files of any size, or one folder: then every OUT is a folder, too. A label picture is an
    indexed PNG: a sample is the number of a class, and the palette shows the classes' colours. --overlay writes colour
    pictures, --probabilities NPZ files with `probabilities` (classes, height, width) float32 and `classes`. IN and OUT
    may be - for a pipe; what is printed then goes to stderr.

    A TIFF of several pages, an animated GIF, PNG or WebP, or a video (.mp4, .avi and others; extra video) is read page
    by page; labels then go to a .tif of as many pages, with the palette, and an overlay to a .tif, .mp4 or .avi. With
    --exact-increments only what is not as on the page before is computed, which pays where most of each page stays
    exactly as it was; what that saved is said at the end. It takes models of a single step.

    Shipped models are segment-street for street scenes, segment-vessels for photographs of the retina, and
    segment-membranes for electron micrographs. Names and colours of the classes, and what is done to a picture first,
    stand in the model's metadata. Black and white are those of the sample type, unless the file says otherwise or
    --range names them: 0:4095 for 12 bits in 16. An existing OUT is replaced; an input never is.

    \b
    Examples:
      spikeunet segment street.jpg -o labels.png --overlay seen.jpg
      spikeunet segment retina.png -o vessels.png --model segment-vessels
      spikeunet segment clip.mp4 -o labels.tif --overlay seen.mp4 --exact-increments
      spikeunet segment slices/ -o labels/ --probabilities maps/ --report report.json --model segment-membranes
    """
    from ..tasks.segmentation import segmenter

    check_run_options(steps, run["order"], run["tile"], run["kernels"])
    if exact_increments:
        check_increments_options(run["order"], run["tile"], run["kernels"], run["page"])
    extras = {}
    if overlay is not None:
        extras[OVERLAY] = Output(overlay, ".png", check_overlay_format)
    if probabilities is not None:
        extras[PROBABILITIES] = Output(probabilities, ".npz", check_probabilities_suffix)
    claims = Claims()
    claims.reads_model(model)
    labels = Output(output, ".png", check_labels_suffix)
    jobs = plan_jobs(inputs, labels, claims, extras=extras, report=report)
    chosen = Model.of(model, segmenter(model), steps)
    settings = Settings(model_for=lambda _: chosen, exact_increments=exact_increments, **run)
    process_pictures(jobs, segment_file, settings, "Segmenting", report, as_json)
