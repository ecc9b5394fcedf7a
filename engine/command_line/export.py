"""`spikeunet export`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ..errors import InputError
from .claims import Claims
from .console import print_fields
from .jobs import check_folder
from .options import FILE
from .output import put_data
from .piped_models import MODEL


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.argument("output", metavar="OUT.nir", type=FILE)
@click.option("--size", metavar="HxW", help="Of the pictures, which NIR fixes.  [default: what the model was read for]")
@click.option("--dt", type=float, metavar="SECONDS", help="A step, for delays.  [default: that of the neurons]")
@click.option("--extensions", is_flag=True, help="Write neurons that NIR does not have, too.")
def export(model: str, output: Path, size: str | None, dt: float | None, extensions: bool) -> None:
    """Write a model as a NIR file, which other simulators and neuromorphic processors read.

    MODEL is a name out of `spikeunet models` or a model file. NIR has convolutions, matrices, sum and average pools,
    scales, and integrate-and-fire neurons; anything else is refused by its name (ConvTranspose2d, for
    one, which all shipped models have). With --extensions, multi-threshold and
    other neurons are written as IF, and their model into its metadata: `spikeunet convert OUT.nir` reads it again,
    other simulators pass over it.

    \b
    Examples:
      spikeunet export model.npz model.nir --size 34x34
      spikeunet export classifier.npz classifier.nir --size 32x32 --extensions
    """
    from spikeunet.converters.nir import is_nir, write_nir

    from ..files.model_file import read_model
    from ..models import located

    if not is_nir(output):
        raise InputError(f"a NIR file's name ends in .nir (got {str(output)!r})")
    claims = Claims()
    claims.reads_model(model)
    claims.writes("the NIR file", output)
    check_folder(output.parent)
    with located(model) as path:
        network = read_model(path)
    write_nir(network, output, None if size is None else _sides(size), dt, extensions)
    put_data({"file": str(output), "parameters": network.parameters})
    print_fields([("file", str(output)), ("parameters", f"{network.parameters:,}")])


def _sides(text: str) -> tuple[int, int]:
    """Height and width out of "HxW"."""
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if found is None:
        raise InputError(f"--size must be HxW, such as 34x34 (got {text!r:.40})")
    return int(found[1]), int(found[2])
