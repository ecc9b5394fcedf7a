"""`spikeunet quantize`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .claims import Claims
from .console import print_fields, print_line, print_rows, progress
from .conversion import noise_levels
from .jobs import check_folder, check_model_suffix, tell_skipped
from .options import FILE, range_option
from .output import put_data
from .piped_models import MODEL, MODEL_FILE

if TYPE_CHECKING:
    from ..graph import Network
    from ..pictures.ranges import SampleRange


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("-o", "--output", metavar="OUT.npz", required=True, type=MODEL_FILE, help="Model file; - for stdout.")
@click.option("--bits", type=int, metavar="N", default=8, show_default=True, help="Bits of a weight, 2 to 8.")
@click.option("--calibration", metavar="FOLDER", type=FILE, help="Pictures on which outputs are to change least.")
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", help="Take N of them.  [default: all]")
@click.option("--add-noise", "sigma", metavar="S|LOW:HIGH", help="Gaussian noise to add to them, 0-255 scale.")
@click.option("--split-channels", "split", is_flag=True, help="Compute twice what matters most, in place of the least.")
@range_option
def quantize(
    model: str,
    output: Path,
    bits: int,
    calibration: Path | None,
    pictures: int | None,
    sigma: str | None,
    split: bool,
    sample_range: SampleRange | None,
) -> None:
    """Round a model's weights to integers of few bits, so that its sums are exact.

    MODEL is a name out of `spikeunet models` or a model file. Every layer that reads nothing but spikes gets weights
    that are integers times a power of two of their output channel; layers that read the picture stay as they are. The
    table shows the ratio of the weights to what rounding changed in them, in dB.

    With --calibration, weights are not rounded to the nearest integer each, but so that the layers' outputs change
    least on the middles of these pictures, which should look like what the network will see, noise included: weights
    make up for one another, and later layers for earlier ones (docs/finetuning.md). With --split-channels, too, copies
    of the channels whose rounding costs most take the place of those that hardly do anything; the network keeps its
    size, and makes more events.

    \b
    Examples:
      spikeunet quantize model.npz -o model8.npz
      spikeunet quantize model.npz -o model8.npz --calibration pictures/ --pictures 32 --add-noise 5:50
      spikeunet quantize model.npz -o model8.npz --calibration pictures/ --add-noise 5:50 --split-channels
      spikeunet quantize model.npz --bits 4 -o small.npz
    """
    from spikeunet.converters import calibration_pictures, quantize_weights

    from ..files.model_file import read_model, save_model
    from ..models import located

    check_model_suffix(output)
    claims = Claims()
    claims.reads_model(model)
    if calibration is not None:
        claims.reads_examples(calibration)
    claims.writes("the rounded model", output)
    check_folder(output.parent)
    levels = noise_levels(sigma)
    about_pictures = {"--pictures": pictures, "--add-noise": sigma, "--range": sample_range}
    _check_combinations(calibration, about_pictures | {"--split-channels": split or None})
    with located(model) as path:
        network = read_model(path)
        size = path.stat().st_size
    samples: list[Any] = []
    if calibration is not None:
        steps_before = network.metadata.get("preprocessing", ())
        samples = calibration_pictures(
            calibration, network.input.channels, levels, pictures, steps_before, sample_range
        )
        tell_skipped(calibration)
    network = quantize_weights(network, bits, samples, lambda layers: progress(layers, "rounding"), split)
    save_model(network, output)
    written = output.stat().st_size
    layers = _rows(network)
    data = {"model": str(output), "bytes_before": size, "bytes": written, "weight_snr_db": _ratios(network)}
    fields = [("model", str(output)), ("file size", f"{size:,} -> {written:,} bytes")]
    if split:
        copies = network.metadata["split_channels"]
        data["split_channels"] = copies
        fields.append(("split channels", str(sum(copies.values()))))
    put_data(data)
    print_fields(fields)
    print_line()
    print_rows(["layer", "weights", "bits", "SNR / dB"], layers)


def _check_combinations(calibration: Path | None, about_pictures: Mapping[str, Any]) -> None:
    """InputError where an option says something of pictures and there are none."""
    for option, value in about_pictures.items():
        if value is not None and calibration is None:
            raise InputError(f"{option} is about the pictures of --calibration; name their folder by it")


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
