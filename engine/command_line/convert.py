"""`spikeunet convert`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .console import print_fields
from .jobs import check_folder, file_identity

if TYPE_CHECKING:
    from ..neurons import NeuronModel

NOISE_LEVELS = 10
"""A range of noise is spread over the calibration pictures in so many equal steps."""


@click.command()
@click.argument("state", metavar="STATE.npz", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="MODEL.npz", required=True, type=click.Path(path_type=Path), help="Model file.")
@click.option("--calibration", metavar="FOLDER", type=click.Path(path_type=Path), help="Pictures to normalise with.")
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", help="Take N of them.  [default: all]")
@click.option("--sigma", metavar="S|LOW:HIGH", help="Gaussian noise to add to them, on the 0-255 scale.")
@click.option("--architecture", default="spiking-unet", show_default=True, help="What the state dict belongs to.")
@click.option(
    "--normalization", type=click.Choice(["connection", "layer", "none"]), default="connection", show_default=True
)
@click.option("--percentile", type=float, default=99.9, show_default=True, help="Activation that becomes 1.")
@click.option(
    "--neuron", type=click.Choice(["multi-threshold", "if", "lif"]), default="multi-threshold", show_default=True
)
@click.option("--thresholds", metavar="A,B,...", help="Descending; one for if and lif.  [default: 2,1,0.5,0.25; 1]")
@click.option("--initial", type=float, default=0.0, show_default=True, help="Membrane potential before the first step.")
@click.option("--reset", type=click.Choice(["subtract", "zero"]), help="Of if and lif.  [default: subtract]")
@click.option("--decay", type=float, help="Of lif: share of the potential left after a step.  [default: 0.9]")
@click.option("--steps", type=int, metavar="T", help="Steps to recommend to whoever uses the model.")
@click.option("--task", default="denoise", show_default=True, help="What the model is for.")
@click.option("--description", help="A line about the model.")
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
def convert(
    state: Path,
    output: Path,
    calibration: Path | None,
    pictures: int | None,
    sigma: str | None,
    architecture: str,
    normalization: Any,
    percentile: float,
    neuron: str,
    thresholds: str | None,
    initial: float,
    reset: str | None,
    decay: float | None,
    steps: int | None,
    task: str,
    description: str | None,
    dtype: Any,
) -> None:
    """Convert a trained network to a spiking one.

    STATE.npz holds a PyTorch state dict: numpy.savez("STATE.npz", **{key: value.numpy() for key, value in
    model.state_dict().items()}). The calibration pictures should look like what the network will see, noise included:
    clean pictures with --sigma 5:50 for a denoiser of that range.

    \b
    Examples:
      spikeunet convert state.npz -o model.npz --calibration pictures/ --sigma 5:50
      spikeunet convert state.npz -o model.npz --calibration pictures/ --thresholds 1,0.5,0.25,0.125 --initial 0.0625
      spikeunet convert state.npz -o model.npz --normalization none --neuron if --thresholds 1
    """
    from spikeunet.converters import calibration_pictures, read_state_dict
    from spikeunet.converters import convert as convert_network

    from ..denoising import check_steps
    from ..model_file import save_model

    model = neuron_model(neuron, thresholds, initial, reset, decay)
    levels = noise_levels(sigma)
    metadata: dict[str, Any] = {"task": task}
    if description is not None:
        metadata["description"] = description
    if steps is not None:
        metadata["steps"] = check_steps(steps)
    _check_output(output, state)
    if calibration is None and (pictures is not None or sigma is not None):
        raise InputError("--pictures and --sigma have no meaning without --calibration; name a folder of pictures")
    arrays = read_state_dict(state)
    samples = None
    if calibration is not None:
        channels = convert_network(arrays, architecture, "none").input.channels
        samples = calibration_pictures(calibration, channels, levels, pictures)
        if sigma is not None:
            metadata["calibration_sigma"] = [levels[0], levels[-1]]
    network = convert_network(arrays, architecture, normalization, samples, percentile, model, metadata=metadata)
    save_model(network, output, dtype)
    print_fields(
        [
            ("model", str(output)),
            ("parameters", f"{network.parameters:,}"),
            ("neurons", repr(model)),
            ("calibration", f"{len(samples)} pictures" if samples else "none"),
        ]
    )


def neuron_model(
    kind: str, thresholds: str | None, initial: float, reset: str | None, decay: float | None
) -> NeuronModel:
    """The neuron model that the options describe; InputError or NeuronError where they do not fit together."""
    from ..neurons import IntegrateAndFire, LeakyIntegrateAndFire, MultiThreshold

    if decay is not None and kind != "lif":
        raise InputError(f"--decay {decay:g} is for --neuron lif (got --neuron {kind})")
    ladder = None if thresholds is None else _numbers("--thresholds", thresholds, ",")
    if kind == "multi-threshold":
        if reset is not None:
            raise InputError("--reset is for --neuron if and lif; multi-threshold neurons always subtract")
        return MultiThreshold(initial=initial) if ladder is None else MultiThreshold(ladder, initial)
    if ladder is not None and len(ladder) != 1:
        raise InputError(f"--neuron {kind} has one threshold (got {thresholds}); use --neuron multi-threshold")
    threshold = 1.0 if ladder is None else ladder[0]
    if kind == "if":
        return IntegrateAndFire(threshold, reset or "subtract", initial)
    return LeakyIntegrateAndFire(threshold, 0.9 if decay is None else decay, reset or "subtract", initial)


def noise_levels(sigma: str | None) -> tuple[float, ...]:
    """Levels of noise from "S" or "LOW:HIGH", lowest first; none for no noise."""
    from ..noise import check_sigma

    if sigma is None:
        return ()
    bounds = [check_sigma(value) for value in _numbers("--sigma", sigma, ":")]
    if len(bounds) == 1:
        return (bounds[0],)
    low, high = bounds[0], bounds[-1]
    if len(bounds) > 2 or low > high:
        raise InputError(f"--sigma must be a number or LOW:HIGH with LOW <= HIGH (got {sigma!r})")
    return tuple(low + (high - low) * index / (NOISE_LEVELS - 1) for index in range(NOISE_LEVELS))


def _numbers(option: str, text: str, separator: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(separator))
    except ValueError:
        raise InputError(f"{option} must be numbers with {separator!r} between them (got {text!r})") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{option} must be finite numbers (got {text!r})")
    return numbers


def _check_output(output: Path, state: Path) -> None:
    if output.suffix != ".npz":
        raise InputError(f"{output}: a model file ends in .npz; choose another name")
    if file_identity(output) == file_identity(state):
        raise InputError(f"{output}: the model would overwrite the state dict; choose another name")
    check_folder(output.parent)
