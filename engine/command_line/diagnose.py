"""`spikeunet diagnose`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from .claims import Claims
from .console import print_fields, print_line, print_rows, progress
from .conversion import noise_levels
from .jobs import check_folder, tell_skipped
from .options import FILE, INPUT, no_sigma, range_option, threads_option
from .piped_models import MODEL
from .pipes import PIPE
from .training_files import CURVE_SUFFIXES, can_plot

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis
    from ..pictures.ranges import SampleRange

PICTURES = 4


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("--calibrate", metavar="FOLDER", required=True, type=FILE, help="Pictures to run.")
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", default=PICTURES, show_default=True)
@click.option("--add-noise", "sigma", metavar="S|LOW:HIGH", help="Gaussian noise to add to them, 0-255 scale.")
@no_sigma
@range_option
@click.option("--steps", type=int, metavar="T", help="Time steps, 1 to 1000.  [default: the model's own]")
@click.option(
    "--json",
    "report",
    metavar="[FILE]",
    is_flag=False,
    flag_value=PIPE,
    type=INPUT,
    help="Write the table as JSON; without a file, to stdout, alone there.",
)
@click.option("--plot", metavar="FILE", type=FILE, help="Draw it; .png, .svg or .pdf (needs spikeunet[plots]).")
@threads_option
def diagnose(
    model: str,
    calibrate: Path,
    pictures: int,
    sigma: str | None,
    sample_range: SampleRange | None,
    steps: int | None,
    report: Path | str | None,
    plot: Path | None,
    threads: int | None,
) -> None:
    """Show where a converted model loses quality, layer by layer.

    MODEL is a name out of `spikeunet models` or a model file. It runs on pictures of the folder, such as it is made
    for, noise included, beside its analog form (the ANN: the same weights with ReLUs for neurons). For each layer: how
    far the rates are off, what of that is the layer's own, how far that alone puts the output off, how many neurons
    emit all they can (saturated) or nothing though they should (silent), and the charge that is left at the end, in
    smallest thresholds. Then the layer that loses most, and what to change. docs/diagnosing.md explains the table.

    \b
    Examples:
      spikeunet diagnose model.npz --calibrate pictures/ --add-noise 25
      spikeunet diagnose denoise-gray --calibrate pictures/ --add-noise 25 --steps 2 --json found.json --plot found.png
    """
    from spikeunet.converters import calibration_pictures

    from ..diagnosis import diagnose as diagnosed
    from ..files.json_text import format_json
    from ..models import load_model
    from ..tasks.inference import DEFAULT_STEPS, check_steps

    _check_outputs(model, calibrate, report if isinstance(report, Path) else None, plot)
    levels = noise_levels(sigma)
    network = load_model(model)
    count = check_steps(network.metadata.get("steps", DEFAULT_STEPS) if steps is None else steps)
    before = network.metadata.get("preprocessing", ())
    samples = calibration_pictures(calibrate, network.input.channels, levels, pictures, before, sample_range)
    tell_skipped(calibrate)
    found = diagnosed(network, progress(samples, "diagnosing"), count, threads)
    if isinstance(report, Path):
        _write(report, found)
    if plot is not None:
        draw(plot, found, f"{model}, T = {count}")
    if report == PIPE:
        click.echo(format_json(found.as_json(), indent=2))
    else:
        _print(model, found)


def _check_outputs(model: str, calibrate: Path, report: Path | None, plot: Path | None) -> None:
    claims = Claims()
    claims.reads_model(model)
    claims.reads("the picture", calibrate)
    for what, path in (("the report", report), ("the plot", plot)):
        if path is not None:
            claims.writes(what, path)
            check_folder(path.parent)
    if plot is not None and plot.suffix.lower() not in CURVE_SUFFIXES:
        raise InputError(f"{plot}: a plot ends in {', '.join(CURVE_SUFFIXES)}; choose another name")
    if plot is not None and not can_plot():
        raise InputError("--plot needs matplotlib, which is missing; pip install 'spikeunet[plots]'")


def _print(model: str, found: Diagnosis) -> None:
    header = [
        "layer",
        "neurons",
        "activation",
        "error / %",
        "own / %",
        "output / %",
        "saturated / %",
        "silent / %",
        "residual",
    ]
    rows = []
    for layer in found.layers:
        shares = (layer.error, layer.own_error, layer.effect, layer.saturated, layer.silent)
        percent = [f"{100 * share:.3f}" for share in shares]
        rows.append([layer.name, str(layer.neurons), f"{layer.activation:.4f}", *percent, f"{layer.residual:.3f}"])
    print_rows(header, rows)
    print_line()
    print_fields(
        [
            ("model", model),
            ("pictures", f"{found.pictures}, {found.steps} step{'s' * (found.steps > 1)}"),
            ("output", f"{found.error:.3%} off the ANN's"),
            ("accumulates", f"{found.accumulates_per_pixel:,.0f} per pixel"),
            ("loses most", f"{found.worst.name}, which alone puts the output {found.worst.effect:.3%} off"),
            *(("advice", text) for text in found.advice),
        ]
    )


def _write(path: Path, found: Diagnosis) -> None:
    from ..files.atomic import atomic_write
    from ..files.json_text import format_json

    with atomic_write(path) as stream:
        stream.write((format_json(found.as_json(), indent=2) + "\n").encode())


def draw(path: Path, found: Diagnosis, title: str) -> None:
    """Errors, shares of neurons and residual charge by layer, as a picture whose format the suffix names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..files.atomic import atomic_write

    names = [layer.name for layer in found.layers]
    panels = {
        "error / %": {
            "all": [100 * layer.error for layer in found.layers],
            "the layer's own": [100 * layer.own_error for layer in found.layers],
        },
        "output off\nby it alone / %": {"": [100 * layer.effect for layer in found.layers]},
        "neurons / %": {
            "saturated": [100 * layer.saturated for layer in found.layers],
            "silent, active in the ANN": [100 * layer.silent for layer in found.layers],
        },
        "residual charge\n/ thresholds": {"": [layer.residual for layer in found.layers]},
    }
    # Names of layers stand upright below the last panel and must not take the room of the others.
    height = 8.0 + 0.08 * max(map(len, names))
    figure = Figure(figsize=(max(7.0, 0.28 * len(names)), height), layout="constrained")
    FigureCanvasAgg(figure)
    for position, (label, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(len(panels), 1, position)
        for name, values in curves.items():
            axes.plot(range(len(names)), values, marker=".", label=name)
        axes.set_ylabel(label)
        axes.update_datalim([(0, 0)])  # margins are shares of what is shown: from 0, and with room for markers
        axes.autoscale_view()
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(names)), names if position == len(panels) else [], rotation=90)
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend()
    figure.suptitle(f"{title}: output {found.error:.2%} off the ANN's")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=110)
    with atomic_write(path) as stream:
        stream.write(buffer.getbuffer())
