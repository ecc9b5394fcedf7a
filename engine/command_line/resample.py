"""`spikeunet resample`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, PictureError
from ..pictures.picture_files import FORMATS, format_of
from ..pictures.ranges import SampleRange
from .claims import Claims
from .console import print_fields, print_rows
from .guard import STATUS_ERROR
from .jobs import Job, Output, plan_jobs, run_jobs
from .options import FILE, FILE_NAME, INPUT, range_option, threads_option
from .piped_models import MODEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures.picture_files import PictureFile
    from ..resampling import Spiking, Tables


@dataclass(frozen=True, eq=False)
class _Settings:
    """What the options say, for all pictures of a call; `size` is height and width."""

    tables: Tables | None
    spiking: Spiking | None
    scale: float | None
    size: tuple[int, int] | None
    sample_range: SampleRange | None
    page: int | None
    threads: int | None


def _named_size(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """WIDTHxHEIGHT as height and width."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 1024x768")
    return int(found[2]), int(found[1])


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=INPUT)
@click.option(
    "-o", "--output", metavar="OUT", required=True, type=FILE_NAME, help="Picture file, or folder for several."
)
@click.option(
    "--tables",
    metavar="FOLDER",
    type=FILE,
    help="LeRF's tables, LUTft_s1_sr0.npy and others.  [default: none, but a spiking network]",
)
@click.option("--scale", type=float, metavar="S", help="Enlarge by S, 1 to 64, not necessarily a whole number.")
@click.option(
    "--size", metavar="WxH", callback=_named_size, help="Width and height of the result, in place of --scale."
)
@click.option(
    "--model",
    metavar="NAME",
    type=MODEL,
    help="Shipped model, or model file; with --tables in place of their second stage.  [default: resample-small]",
)
@click.option("--steps", type=int, metavar="T", help="Its time steps, 1 to 1000.  [default: the model's own]")
@click.option(
    "--format",
    "format_",
    type=click.Choice([suffix[1:] for suffix in FORMATS], case_sensitive=False),
    help="Of the pictures in a folder or to a pipe.  [default: as IN; PNG to a pipe]",
)
@range_option
@click.option("--page", type=click.IntRange(min=0), metavar="N", help="One page of a stack, animation or video.")
@threads_option
def resample(
    inputs: tuple[Path | str, ...],
    output: str,
    tables: Path | None,
    scale: float | None,
    size: tuple[int, int] | None,
    model: str | None,
    steps: int | None,
    format_: str | None,
    sample_range: SampleRange | None,
    page: int | None,
    threads: int | None,
) -> None:
    """Enlarge pictures by learned resampling (LeRF, arXiv 2407.09935).

    A small spiking network sharpens the picture and says in which direction each pixel reaches how far; the result is
    the mean that is weighted so. With --tables LeRF's own look-up tables say it, which are their authors' and do not
    come with this package: FOLDER holds those of LeRF-G or LeRF-L, nine files, as published. Each colour channel is
    enlarged by itself, transparency linearly; samples keep their type, and profile, EXIF and descriptions are kept
    where the format can hold them. 8 bits are looked up as they are, others with 16 bits.

    \b
    Examples:
      spikeunet resample small.png --scale 2 -o large.png
      spikeunet resample small.png --size 1024x768 -o large.png
      spikeunet resample pictures/ --scale 2.5 -o enlarged/ --tables lerf-g/
    """
    from ..resampling import DEFAULT_MODEL
    from ..resampling.resample import check_scale

    if (scale is None) == (size is None):
        raise InputError("name either --scale or --size")
    if scale is not None:
        check_scale(scale)
    if steps is not None and model is None and tables is not None:
        raise InputError(f"--steps {steps} has no meaning for --tables without --model; leave it out")
    if model is None and tables is None:
        model = DEFAULT_MODEL
    claims = Claims()
    if model is not None:
        claims.reads_model(model)
    method = _method(tables, model, steps)
    jobs = plan_jobs(inputs, _output(output, format_), claims)
    settings = _Settings(*method, scale, size, sample_range, page, threads)
    records, failures = run_jobs(jobs, lambda job: _resample_file(job, settings), "Resampling")
    if records:
        _print(records, settings, model)
    if failures:
        click.get_current_context().exit(STATUS_ERROR)


def _output(path: str, name: str | None) -> Output:
    if name is None:
        return Output(path)

    def check(target: Path) -> None:
        if format_of(target) != format_of(f"x.{name}"):
            raise InputError(f"{target}: --format {name} is for a folder or a pipe; a file's suffix names its format")

    return Output(path, f".{name}", check)


def _method(folder: Path | None, model: str | None, steps: int | None) -> tuple[Tables | None, Spiking | None]:
    """Tables, or a network, or tables and a network in place of their second stage."""
    from ..resampling import read_tables, resampler
    from ..resampling.resample import check_method

    spiking = None if model is None else resampler(model, steps)
    if folder is None or (spiking is not None and spiking.is_whole):
        check_method(folder, spiking)
    tables = None if folder is None else read_tables(folder)
    return tables, spiking


def _resample_file(job: Job, settings: _Settings) -> tuple[str, str, str, str]:
    """Read, enlarge and write one picture; names of input and output, and both sizes."""
    from ..pictures.picture_files import check_channels, warn_of, write_picture
    from ..pictures.ranges import type_range
    from ..resampling import resample as enlarge

    source = _loaded(job, settings)
    samples = source.samples
    check_channels(job.output, 1 if samples.ndim == 2 else samples.shape[2])
    warn_of(job.source, source, stretched=True)
    limits = source.sample_range or type_range(samples.dtype)
    found = enlarge(
        samples,
        settings.scale,
        settings.tables,
        size=settings.size,
        spiking=settings.spiking,
        sample_range=limits,
        threads=settings.threads,
    )
    write_picture(job.output, found, sample_range=limits, metadata=source.metadata)
    return str(job.source), str(job.output), _size(samples.shape), _size(found.shape) + _saved_as(job, found)


def _loaded(job: Job, settings: _Settings) -> PictureFile:
    """The one picture of a file, or its page; PictureError where there are several and none was named."""
    from .series import opened_frames

    with opened_frames(job.source) as frames:
        if frames.is_series and settings.page is None:
            number = "several" if frames.count is None else str(frames.count)
            raise PictureError(f"{job.source}: holds {number} pictures; take one with --page N")
        return frames.page(settings.page or 0, settings.sample_range)


def _saved_as(job: Job, found: NDArray[Any]) -> str:
    """Sample type of the output where its format does not hold that of the result, else nothing."""
    dtypes = format_of(job.output).dtypes_for(1 if found.ndim == 2 else found.shape[2])
    return "" if found.dtype.name in dtypes else f", saved as {dtypes[0]}"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _print(records: list[tuple[str, str, str, str]], settings: _Settings, model: str | None) -> None:
    if len(records) > 1:
        print_rows(["input", "output", "from", "to"], records)
        return
    source, target, before, after = records[0]
    fields = [("input", source), ("output", target), ("width x height", f"{before} -> {after}")]
    if settings.tables is not None:
        fields.append(("tables", settings.tables.name))
    if settings.spiking is not None:
        fields += [("model", str(model)), ("steps", str(settings.spiking.steps))]
    print_fields(fields)
