"""`spikeunet denoise`."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ..errors import InputError
from ..pictures.frame_writer import check_output_suffix
from ..pictures.picture_files import FORMATS, format_of
from ..tasks.denoising import DEFAULT_MODELS, default_models
from .claims import Claims
from .denoise_picture import denoise_file
from .denoise_settings import check_denoise_options, denoise_settings
from .jobs import Output, plan_jobs
from .options import FILE, FILE_NAME, exact_increments_option, no_sigma
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

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice([suffix[1:] for suffix in FORMATS], case_sensitive=False),
    help="Of the pictures in a folder or to a pipe.  [default: as IN; PNG to a pipe]",
)


@click.command()
@inputs_argument
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=FILE_NAME, help="Picture file, or folder for several."
)
@click.option(
    "--model",
    metavar="NAME",
    type=MODEL,
    help="Shipped model or model file, or auto: chosen by the noise that is found.  "
    f"[default: {DEFAULT_MODELS[1]}, of colour pictures {DEFAULT_MODELS[3]}]",
)
@steps_option
@click.option(
    "--strength",
    type=float,
    metavar="W",
    help="From 0, the picture as it is, to 1, the model's result.  [default: 1; of auto what the noise accounts for]",
)
@click.option(
    "--self-ensemble",
    type=int,
    default=1,
    metavar="N",
    help="Show each picture 2, 4 or 8 times, turned and mirrored: better, in so many times the time.  [default: 1]",
)
@click.option(
    "--add-noise", type=float, metavar="S", help="Make clean pictures noisy first: Gaussian noise of S, 0-255 scale."
)
@no_sigma
@click.option("--seed", type=click.IntRange(min=0), metavar="K", help="Seed of that noise; the next picture's is K+1.")
@click.option("--clean", metavar="REF", type=FILE, help="Clean picture, or folder, to compare with.")
@format_option
@run_options
@exact_increments_option
@json_option
def denoise(
    inputs: tuple[Path | str, ...],
    output: str,
    model: str | None,
    steps: int | None,
    strength: float | None,
    self_ensemble: int,
    add_noise: float | None,
    seed: int | None,
    format_: str | None,
    clean: Path | None,
    report: str | None,
    exact_increments: bool,
    as_json: bool,
    **run: Unpack[RunOptions],
) -> None:
    """Denoise pictures, or the pictures of a folder.

    IN is one or more picture files, or one folder: then OUT is a folder, too. Either may be - for a pipe; what is
    printed then goes to stderr. OUT's suffix decides the format: .png and
    .pgm hold 8 and 16 bits a sample, .tif also float, .jpg, .webp, .bmp and .ppm 8 bits. Samples keep their type where
    the format can hold it; transparency stays as it is; profile, resolution, EXIF and descriptions are kept where the
    format can hold them. A gray model denoises each colour channel by itself, three equal ones as one.

    Black and white are those of the sample type, 0 and 255, 65535, or 1 for float, unless the file says otherwise or
    --range names them: 0:4095 for 12 bits in 16. Where 16 bits or float use less than half of that, or float samples
    lie on another scale, the range that they use is found and said, and nothing is clipped. The result is scaled back
    to the same range; formats that do not hold the samples' type show it in full, and clip what lies beyond.

    --model auto estimates the noise first, says what it found, and chooses the model, how it sees the picture and how
    much of what it takes off is believed. Pictures without noise are left as they are; a file of a single one stays the
    same where OUT has its format. Without --model a line says where the first picture's noise is clearly not what the
    default model knows.

    --self-ensemble shows the network each picture more than once: 2 also turned by 180 degrees, 4 by each 90, 8 also
    mirrored. The mean of what it puts out is better by about 0.1 dB at 2 and 0.2 at 8, where more steps gain 0.03; time
    and operations are those of so many runs.

    A TIFF of several pages, an animated GIF, PNG or WebP, or a video (.mp4, .avi and others; extra video) goes page by
    page into a .tif, .mp4 or .avi, all pages on one range from black to white and by one model; --page takes one page.
    With --exact-increments only what is not as on the page before is computed, which pays where most of each page stays
    exactly as it was; what that saved is said at the end. It takes models of a single step without sums of branches: of
    colour pictures denoise-colour-fast where none is named.

    A noisy picture needs no word on how noisy it is. With --add-noise the input is a clean picture, which is made noisy
    first, and PSNR and SSIM compare with it unless --clean names another reference. Energy is an estimate for 45 nm
    CMOS, memory left out, in three readings of an event that meets a weight: a multiply-accumulate, a shift and an
    addition for each threshold crossed, or, where events are binary, an addition. An existing OUT is replaced; an input
    never is.

    \b
    Examples:
      spikeunet denoise noisy.png -o clean.png
      spikeunet denoise photograph.jpg -o noise-free.png --model denoise-gray
      spikeunet denoise photograph.jpg -o noise-free.png --model auto --self-ensemble 4
      spikeunet denoise set12/ -o denoised/ --add-noise 25 --report report.json
      spikeunet denoise noisy/ -o denoised/ --clean clean/ --model model.npz
      spikeunet denoise scans/ -o denoised/ --format png
      spikeunet denoise stack.tif -o denoised.tif
      spikeunet denoise still-camera.mp4 -o denoised.avi --exact-increments
      spikeunet denoise stack.tif -o eighth.png --page 7
      curl -s https://example.org/noisy.jpg | spikeunet denoise - -o - --format jpg > clean.jpg
    """
    from ..tasks.automatic import AUTO

    check_denoise_options(add_noise, seed, strength, self_ensemble)
    check_run_options(steps, run["order"], run["tile"], run["kernels"])
    if exact_increments:
        check_increments_options(run["order"], run["tile"], run["kernels"], run["page"], self_ensemble)
    claims = Claims()
    for name in default_models(exact_increments).values() if model is None or model == AUTO else [model]:
        claims.reads_model(name)
    jobs = plan_jobs(inputs, output_of(output, format_), claims, clean, report=report)
    settings = denoise_settings(
        model,
        steps,
        add_noise,
        seed,
        strength,
        exact_increments=exact_increments,
        self_ensemble=self_ensemble,
        **run,
    )
    process_pictures(jobs, denoise_file, settings, "Denoising", report, as_json)


def output_of(path: str, name: str | None) -> Output:
    """The output, whose files must have the suffix of the format that was asked for, if one was."""
    if name is None:
        return Output(path, check=check_output_suffix)

    def check(target: Path) -> None:
        if format_of(target) != format_of(f"x.{name}"):
            raise InputError(f"{target}: --format {name} is for a folder or a pipe; a file's suffix names its format")

    return Output(path, f".{name}", check)
