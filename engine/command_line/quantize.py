"""`spikeunet quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .claims import Claims
from .console import print_fields, print_line, print_rows
from .jobs import check_folder, check_model_suffix
from .output import put_data
from .piped_models import MODEL, MODEL_FILE

if TYPE_CHECKING:
    from ..graph import Network


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("-o", "--output", metavar="OUT.npz", required=True, type=MODEL_FILE, help="Model file; - for stdout.")
@click.option("--bits", type=int, metavar="N", default=8, show_default=True, help="Bits of a weight, 2 to 8.")
def quantize(model: str, output: Path, bits: int) -> None:
    """Round a model's weights to integers of few bits, so that its sums are exact.

    MODEL is a name out of `spikeunet models` or a model file. Every layer that reads nothing but spikes gets weights
    that are integers times a power of two of their output channel; layers that read the picture stay as they are. The
    table shows the ratio of the weights to what rounding changed in them, in dB.

    \b
    Examples:
      spikeunet quantize model.npz -o model8.npz
      spikeunet quantize model.npz --bits 4 -o small.npz
    """
    from spikeunet.converters import quantize_weights

    from ..files.model_file import read_model, save_model
    from ..models import located

    check_model_suffix(output)
    claims = Claims()
    claims.reads_model(model)
    claims.writes("the rounded model", output)
    check_folder(output.parent)
    with located(model) as path:
        network = quantize_weights(read_model(path), bits)
        size = path.stat().st_size
    save_model(network, output)
    written = output.stat().st_size
    layers = _rows(network)
    put_data({"model": str(output), "bytes_before": size, "bytes": written, "weight_snr_db": _ratios(network)})
    print_fields([("model", str(output)), ("file size", f"{size:,} -> {written:,} bytes")])
    print_line()
    print_rows(["layer", "weights", "bits", "SNR / dB"], layers)


def _ratios(network: Network) -> dict[str, float | None]:
    return dict(network.metadata["weight_snr_db"])


def _rows(network: Network) -> list[list[str]]:
    from ..fixed_point import weight_bits
    from ..graph import Weighted

    ratios = network.metadata["weight_snr_db"]
    rows = []
    for node in network.nodes:
        if isinstance(node, Weighted):
            ratio = ratios.get(node.name)
            bits = weight_bits(node) if node.name in ratios else None
            rows.append([node.name, str(node.weight.size), str(bits or "-"), "-" if ratio is None else f"{ratio:.1f}"])
    return rows
