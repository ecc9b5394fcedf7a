"""`spikeunet compile`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_fields, progress
from .guard import STATUS_ERROR, report_error
from .options import threads_option
from .output import put_data

if TYPE_CHECKING:
    from .one_picture import Model


@click.command("compile")
@click.option(
    "--model", "models", metavar="NAME", multiple=True, help="Shipped model or model file.  [default: all shipped]"
)
@click.option(
    "--steps", type=int, metavar="T", multiple=True, help="Time steps, 1 to 1000.  [default: the models' own]"
)
@click.option(
    "--order",
    "orders",
    type=click.Choice(["layer", "time"]),
    multiple=True,
    default=["layer"],
    show_default=True,
    help="Loop order.",
)
@threads_option
@click.pass_context
def compile_kernels(
    context: click.Context, models: Sequence[str], steps: Sequence[int], orders: Sequence[str], threads: int | None
) -> None:
    """Compile the kernels that models need, and keep them on disk, so that no later run has to.

    They are kept in the folder that SPIKEUNET_CACHE names, else inside the one that NUMBA_CACHE_DIR names, else in the
    user's cache folder. A folder that was filled when an image was built is used by other users, too, who need not be
    able to write there. --model, --steps and --order may be given several times.

    \b
    Examples:
      spikeunet compile
      spikeunet compile --model denoise-gray --steps 4 --steps 8
      SPIKEUNET_CACHE=/opt/spikeunet-kernels spikeunet compile
    """
    from ..kernel_cache import cache_counts, cache_folder

    planned = [(model, order) for model in _models(models, steps) for order in orders]
    for model, order in progress(planned, "Compiling"):
        _run(model, order, threads)
    loaded, compiled, kept = cache_counts()
    put_data({"compiled": compiled, "there_already": loaded, "kept": kept, "folder": _text(cache_folder())})
    print_fields([("compiled", str(compiled)), ("there already", str(loaded)), ("folder", str(cache_folder()))])
    if kept < compiled:
        report_error(f"{compiled - kept} of {compiled} kernels could not be kept; name a folder by SPIKEUNET_CACHE")
        context.exit(STATUS_ERROR)


def _text(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)


def _models(names: Sequence[str], steps: Sequence[int]) -> Iterator[Model]:
    from ..models import load_model, model_origins
    from ..tasks.inference import check_steps, recommended_steps
    from .one_picture import Model

    for number in steps:
        check_steps(number)
    for name in names or [name for name, origin in sorted(model_origins().items()) if origin == "package"]:
        network = load_model(name)
        for number in steps or [recommended_steps(network)]:
            yield Model(name, network, number)


def _run(model: Model, order: str, threads: int | None) -> None:
    """Run a network on a picture of noise, in which all layers are busy, and on a black one, in which few are."""
    import numpy as np

    from ..pictures.resizing import MOST_PIXELS
    from ..tasks.classification import seen_size
    from ..tasks.inference import run_padded

    side = max(SIDE, model.network.size_multiple)
    size = seen_size(model.network)
    if size is None or size[0] * size[1] > MOST_PIXELS:
        size = (side, side)
    noise = np.random.default_rng(0).random((1, model.network.input.channels, *size), np.float32)
    for picture in (noise, np.zeros_like(noise)):
        run_padded(model.network, picture, steps=model.steps, threads=threads, order=order)


SIDE = 128
"""Rows and columns of the pictures: what is compiled does not depend on them, as long as there are a few bands."""
