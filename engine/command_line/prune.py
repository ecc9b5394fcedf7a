"""`spikeunet prune`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .claims import Claims
from .console import print_fields, print_line, print_rows, progress
from .conversion import noise_levels
from .jobs import check_folder, check_model_suffix, tell_skipped
from .options import FILE, range_option
from .output import put_data
from .piped_models import MODEL, MODEL_FILE

if TYPE_CHECKING:
    from spikeunet.converters import Pruning

    from ..graph import Network
    from ..pictures.ranges import SampleRange


def _a_number(_context: click.Context, _option: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("must be a number (got nan)")
    return value


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("-o", "--output", metavar="OUT.npz", required=True, type=MODEL_FILE, help="Model file; - for stdout.")
@click.option(
    "--calibration", metavar="FOLDER", type=FILE, required=True, help="Pictures like those that the network will see."
)
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", help="Take N of them.  [default: all]")
@click.option("--add-noise", "sigma", metavar="S|LOW:HIGH", help="Gaussian noise to add to them, 0-255 scale.")
@click.option("--steps", type=int, metavar="T", help="Time steps, 1 to 1000.  [default: the model's own]")
@click.option(
    "--most",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    default=0.0,
    show_default=True,
    callback=_a_number,
    help="Leave out channels of whose neurons so many fire, too.",
)
@range_option
def prune(
    model: str,
    output: Path,
    calibration: Path,
    pictures: int | None,
    sigma: str | None,
    steps: int | None,
    most: float,
    sample_range: SampleRange | None,
) -> None:
    """Leave out a model's channels whose neurons never fire, and all weights that lead there and away.

    MODEL is a name out of `spikeunet models` or a model file. It is run on the pictures, which should be many and look
    like all that the network will see, noise included. Of a picture on which nothing would fire in what is left out,
    the pruned model makes the same spikes and the same output, bit for bit, with fewer operations: events are no longer
    added to potentials that never reach a threshold.

    With --most, a channel may fire now and then: 0.0001 leaves out those of whose neurons, over all pictures, at most
    one in ten thousand fires. What the output changes by on the pictures is said.

    Prune behind `spikeunet quantize`: where weights have few bits, channels that fire most come first, too, which is
    faster and changes no sum.

    \b
    Examples:
      spikeunet prune model.npz -o smaller.npz --calibration pictures/ --add-noise 5:50
      spikeunet prune model.npz -o smaller.npz --calibration pictures/ --add-noise 0:100 --most 0.0001
    """
    from spikeunet.converters import calibration_pictures, prune_channels

    from ..files.model_file import read_model, save_model
    from ..models import located
    from ..tasks.inference import check_steps, recommended_steps

    check_model_suffix(output)
    claims = Claims()
    claims.reads_model(model)
    claims.reads_examples(calibration)
    claims.writes("the pruned model", output)
    check_folder(output.parent)
    levels = noise_levels(sigma)
    with located(model) as path:
        network = read_model(path)
        size = path.stat().st_size
    count = recommended_steps(network) if steps is None else check_steps(steps)
    preprocessing = network.metadata.get("preprocessing", ())
    shown = calibration_pictures(calibration, network.input.channels, levels, pictures, preprocessing, sample_range)
    tell_skipped(calibration)
    pruned, found = prune_channels(network, shown, count, most, lambda each: progress(each, "running"))
    save_model(pruned, output)
    _tell(output, size, network, pruned, found)


def _tell(output: Path, size: int, network: Network, pruned: Network, found: Pruning) -> None:
    """Print what was left out, and what that saves."""
    from ..graph import Weighted

    def sums(of: Network) -> tuple[int, int]:
        weights = sum(node.weight.size for node in of.nodes if isinstance(node, Weighted))
        return sum(of.channels[node.name] for node in of.neurons), weights

    written = output.stat().st_size
    (channels_before, weights_before), (channels, weights) = sums(network), sums(pruned)
    saved = 1 - found.accumulates / found.accumulates_before if found.accumulates_before else 0.0
    put_data(
        {
            "model": str(output),
            "bytes_before": size,
            "bytes": written,
            "pictures": found.pictures,
            "channels_before": channels_before,
            "channels": channels,
            "weights_before": weights_before,
            "weights": weights,
            "accumulates_before": found.accumulates_before,
            "accumulates": found.accumulates,
            "output_change": found.change if math.isfinite(found.change) else None,
            "layers": {name: list(pair) for name, pair in found.channels.items()},
        }
    )
    print_fields(
        [
            ("model", str(output)),
            ("file size", f"{size:,} -> {written:,} bytes"),
            ("pictures", f"{found.pictures:,}"),
            ("channels", f"{channels_before:,} -> {channels:,}"),
            ("weights", f"{weights_before:,} -> {weights:,}"),
            ("accumulates", f"{found.accumulates_before:,} -> {found.accumulates:,} ({saved:.1%} fewer)"),
            ("output", f"changes by {found.change:.2g} of itself" if found.change else "the same, bit for bit"),
        ]
    )
    if found.channels:
        print_line()
        print_rows(["layer", "channels", "left"], [[name, str(a), str(b)] for name, (a, b) in found.channels.items()])
