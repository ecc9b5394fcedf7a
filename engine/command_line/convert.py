"""`spikeunet convert`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError
from .claims import Claims
from .console import print_fields
from .jobs import check_folder, check_model_suffix, tell_skipped
from .model_metadata import TASKS
from .neuron_options import OPTIONS, neuron_model, numbers, trained_neurons
from .options import FILE, no_sigma, range_option
from .output import put_data
from .piped_models import MODEL_FILE
from .preprocessing_options import preprocessing_options, with_preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikeunet.converters import Weights

    from ..graph import Network
    from ..pictures.ranges import SampleRange

NOISE_LEVELS = 10
"""A range of noise is spread over the calibration pictures in so many equal steps."""


@click.command()
@click.argument("state", metavar="WEIGHTS", type=FILE)
@click.option("-o", "--output", metavar="MODEL.npz", required=True, type=MODEL_FILE, help="Model file; - for stdout.")
@click.option("--calibration", metavar="FOLDER", type=FILE, help="Pictures to normalise with.")
@click.option("--pictures", type=click.IntRange(min=1), metavar="N", help="Take N of them.  [default: all]")
@click.option("--add-noise", "sigma", metavar="S|LOW:HIGH", help="Gaussian noise to add to them, 0-255 scale.")
@no_sigma
@range_option
@click.option("--entry", metavar="NAME", help="Of a checkpoint: the dictionary to take, such as params_ema.")
@click.option(
    "--architecture",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="spiking-unet, unet, wnet, dncnn, resnet ... (docs/converting.md); auto tells by keys and shapes.",
)
@click.option(
    "--normalization",
    type=click.Choice(["channel", "connection", "layer", "none"]),
    default="channel",
    show_default=True,
    help="What has a scale of its own: each channel, each layer, or what layers read together.",
)
@click.option(
    "--scales",
    type=click.Choice(["least-squares", "percentile", "iteration"]),
    help="How scales are chosen (docs/converting.md).  [default: least-squares; percentile where one is given]",
)
@click.option("--percentile", type=float, help="Activation that becomes 1, of --scales percentile.  [default: 99.9]")
@click.option(
    "--neuron",
    metavar="MODEL",
    default="multi-threshold",
    show_default=True,
    help=f"{', '.join(OPTIONS)}, or the name of a registered model (docs/neurons.md).",
)
@click.option(
    "--thresholds",
    metavar="A,B,...",
    help="Descending; one for all but multi-threshold and signed-multi-threshold.  [default: seven from 1 to 1/64; 1]",
)
@click.option(
    "--initial",
    type=float,
    help="Membrane potential before the first step.  [default: half the smallest threshold if multi-threshold, else 0]",
)
@click.option(
    "--reset",
    type=click.Choice(["subtract", "zero"]),
    help="Of if, lif and refractory-lif.  [default: subtract; zero for refractory-lif]",
)
@click.option(
    "--decay", type=float, help="Of lif and refractory-lif: share of the potential left after a step.  [default: 0.9]"
)
@click.option("--gamma", type=int, metavar="N", help="Of burst: most spikes in a step, 1 to 255.  [default: 5]")
@click.option("--period", type=int, metavar="N", help="Of refractory-lif: steps of rest after a spike.  [default: 2]")
@click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="Of a registered neuron model; may be given several times.  [default: its own]",
)
@click.option("--dt", type=float, metavar="SECONDS", help="Of a NIR file: a step.")
@click.option(
    "--integration",
    type=click.Choice(["exponential", "euler"]),
    default="exponential",
    show_default=True,
    help="Of a NIR file: how membranes follow their equations.",
)
@click.option("--heads", type=click.IntRange(min=1), metavar="N", help="Of a Spikingformer's attention.")
@click.option("--tau", type=float, metavar="STEPS", help="Of a Spikingformer's neurons.  [default: 2]")
@click.option("--tune", is_flag=True, help="Search thresholds, initial potential and scales for the least error.")
@click.option(
    "--accumulates", type=float, metavar="N", help="Of --tune: for each pixel at most; it then chooses the steps, too."
)
@click.option("--steps", type=int, metavar="T", help="Steps to fit the scales for, and to recommend to users.")
@click.option(
    "--task",
    type=click.Choice(TASKS),
    help="What the model is for; other is for Python alone.  [default: what --metadata says, or denoise]",
)
@click.option(
    "--predicts",
    type=click.Choice(["noise", "picture"]),
    help="What a denoiser puts out: the noise in a picture, or the picture without it.  [default: noise]",
)
@click.option("--epsilon", type=float, metavar="E", help="Of all batch norms; no state dict holds it.  [default: 1e-5]")
@click.option("--dataset", metavar="NAME", help="Take classes, colours and preprocessing from this known data set.")
@preprocessing_options
@click.option("--metadata", metavar="FILE", type=FILE, help="JSON object of classes, palette, and the like.")
@click.option(
    "--check",
    metavar="FILE.npz",
    type=FILE,
    help="Inputs and outputs of your framework to compare with.  [default: FILE.npz beside FILE.onnx, if it is such]",
)
@click.option("--no-check", is_flag=True, help="Do not look for FILE.npz beside FILE.onnx to compare with.")
@click.option("--force", is_flag=True, help="Convert even if the check finds other outputs.")
@click.option("--description", help="A line about the model.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "exact"]), default="float32", show_default=True)
def convert(
    state: Path,
    output: Path,
    calibration: Path | None,
    pictures: int | None,
    sigma: str | None,
    sample_range: SampleRange | None,
    entry: str | None,
    architecture: str,
    normalization: Any,
    scales: Any,
    percentile: float | None,
    neuron: str,
    thresholds: str | None,
    initial: float | None,
    reset: str | None,
    decay: float | None,
    gamma: int | None,
    period: int | None,
    parameters: tuple[str, ...],
    tune: bool,
    accumulates: float | None,
    dt: float | None,
    integration: str,
    steps: int | None,
    heads: int | None,
    tau: float | None,
    task: str | None,
    predicts: str | None,
    epsilon: float | None,
    dataset: str | None,
    metadata: Path | None,
    check: Path | None,
    no_check: bool,
    force: bool,
    description: str | None,
    dtype: Any,
    **preprocessing: Any,
) -> None:
    """Convert a trained network to a spiking one.

    WEIGHTS is a network of any feed-forward topology as an ONNX file (.onnx; examples/export_torch.py writes one out of
    PyTorch, with a FILE.npz to check), a spiking network as a NIR file (.nir), or holds a state dict of an
    architecture known by name, which is told by keys and shapes unless --architecture says it: a file of PyTorch (.pt,
    .pth), whose pickles are read but never executed, safetensors, NPZ or Keras. Of a checkpoint the weights are taken,
    and which is printed; --entry takes others. The calibration pictures should look like what the network will see,
    noise included: clean pictures with --add-noise 5:50 for a denoiser of that range.

    --check compares the converted network's analog form with the arrays "inputs" and "outputs" of a file, and refuses
    a network that was misunderstood; FILE.npz beside FILE.onnx is taken by itself if it holds these and nothing else.
    Functions at the end for which there are no neurons (Sigmoid, Softmax) are left out, which is printed.

    --tune tries out settings on the middles of some calibration pictures, and takes those with which the spiking
    output is closest to the analog one's at --steps (1 by default), or within so many --accumulates a pixel.

    --classes, --resize, --crop, --mean and --std say what a classifier's outputs are called and what is done to a
    picture first; they are kept in the model, and calibration pictures, which may lie in a folder for each class, go
    through it, too.

    A Spikingformer (arXiv 2304.11954), told by its keys, spikes already: it is read as it is and not normalised. No
    file holds the number of --heads.

    What a state dict leaves open is printed: whether the output is the noise, the batch norms' epsilon, and what the
    architecture takes for granted.

    \b
    Examples:
      spikeunet convert network.onnx -o model.npz --calibration pictures/ --check network.npz --task classify
      spikeunet convert resnet.onnx -o resnet.npz --calibration train/ --task classify --classes train/ --resize 64x64
      spikeunet convert state.pth -o model.npz --calibration pictures/ --add-noise 5:50
      spikeunet convert state.pth -o model.npz --calibration pictures/ --add-noise 25 --tune --steps 1
      spikeunet convert state.pth -o model.npz --calibration pictures/ --thresholds 2,1,0.5,0.25 --initial 0
      spikeunet convert state.pth -o model.npz --calibration pictures/ --epsilon 1e-3 --predicts picture
      spikeunet convert state.pth -o model.npz --normalization none --neuron if --thresholds 1
      spikeunet convert derainer.npz -o derain.npz --normalization none --task derain --steps 4
      spikeunet convert network.nir -o model.npz --dt 1e-4
      spikeunet convert spikingformer.pth -o model.npz --heads 12 --dataset cifar10
      spikeunet convert state.pth -o model.npz --calibration pictures/ --neuron burst --gamma 5 --thresholds 0.25
      spikeunet convert state.pth -o vessels.npz --calibration drive/training/image/ --task segment --dataset drive
    """
    from spikeunet.converters import calibration_pictures
    from spikeunet.converters import convert as convert_network
    from spikeunet.converters.batch_norm import EPSILON

    from ..files.model_file import save_model
    from ..tasks.inference import check_steps
    from .assumptions import assumptions
    from .convert_spiking import reader_of_spiking
    from .convert_tuned import check_tunable, tuned
    from .model_metadata import check_facts, check_task, given_metadata, with_prediction

    read, ahead = reader_of_spiking(click.get_current_context().params, dt, integration, heads, tau)
    if read is not None:
        _check_output(output, state, calibration, metadata, check, preprocessing["classes"])
        read()
        return
    model = neuron_model(neuron, thresholds, initial, parameters, reset=reset, decay=decay, gamma=gamma, period=period)
    levels = noise_levels(sigma)
    given = given_metadata(task, dataset, metadata)
    facts = with_preprocessing(with_prediction(given, predicts), **preprocessing)
    if description is not None:
        facts["description"] = description
    if steps is not None:
        facts["steps"] = check_steps(steps)
    check_facts(facts)
    check = _check_file(state, check, no_check)
    _check_output(output, state, calibration, metadata, check, preprocessing["classes"])
    check_tunable(tune, calibration, accumulates)
    about_pictures = {"--pictures": pictures, "--add-noise": sigma, "--range": sample_range}
    _check_combinations(force, check, calibration, about_pictures)
    weights = _found(state, entry, epsilon, ahead)
    _check_calibration(normalization, calibration)
    held: dict[str, Any] = {
        "batch_norm_epsilon": EPSILON if epsilon is None else epsilon,
        "check": check or False,
        "force": force,
    }
    plain = convert_network(weights, architecture, "none", **held)
    samples = None
    if calibration is not None:
        channels = plain.input.channels
        steps_before = facts.get("preprocessing", ())
        samples = calibration_pictures(calibration, channels, levels, pictures, steps_before, sample_range)
        tell_skipped(calibration)
        if sigma is not None:
            facts["calibration_sigma"] = [levels[0], levels[-1]]
    trained = trained_neurons(plain, tune=tune)
    options = {
        "normalization": normalization,
        "scales": scales,
        "percentile": percentile,
        "neuron": None if trained else model,
    }
    if tune:
        best = tuned(plain, samples or [], steps, accumulates)
        options, model, facts["steps"] = best.options, best.neuron, best.steps
    network = convert_network(weights, architecture, calibration=samples, **options, metadata=facts, **held)
    check_task(network)
    save_model(network, output, dtype)
    _tell(
        output,
        network,
        trained or repr(model),
        samples,
        assumptions(network, predicts or given.get("predicts"), epsilon),
    )


def _tell(
    output: Path,
    network: Network,
    neurons: str,
    samples: Sequence[NDArray[np.float32]] | None,
    assumed: list[tuple[str, str]],
) -> None:
    """Print what was made, of how much, and what was taken for granted."""
    from .assumptions import doubts, scales_chosen

    doubtful = doubts(network, samples)
    put_data(
        {
            "model": str(output),
            "parameters": network.parameters,
            "calibration_pictures": len(samples or ()),
            "neurons": neurons,
            "metadata": dict(network.metadata),
            "assumed": dict(assumed),
            "doubts": [text for _, text in doubtful],
        }
    )
    print_fields(
        [
            ("model", str(output)),
            ("parameters", f"{network.parameters:,}"),
            ("neurons", neurons),
            ("calibration", f"{len(samples)} pictures" if samples else "none"),
            ("scales", scales_chosen(network)),
            *assumed,
            *doubtful,
        ]
    )


def _check_combinations(
    force: bool, check: Path | None, calibration: Path | None, about_pictures: Mapping[str, Any]
) -> None:
    """InputError for an option without the one that gives it a meaning."""
    if force and check is None:
        raise InputError("--force has no meaning without --check FILE or a check's file beside it; leave it out")
    given = [name for name, value in about_pictures.items() if value is not None]
    if calibration is None and given:
        raise InputError(f"{given[0]} has no meaning without --calibration; name a folder of pictures")


def _check_calibration(normalization: str, calibration: Path | None) -> None:
    """InputError where pictures are needed."""
    if calibration is None and normalization != "none":
        raise InputError(
            f"--normalization {normalization} needs calibration pictures, such as the network will see; "
            "name a folder of them by --calibration, or take --normalization none"
        )


def noise_levels(sigma: str | None) -> tuple[float, ...]:
    """Levels of noise from "S" or "LOW:HIGH", lowest first; none for no noise."""
    from ..pictures.noise import check_sigma

    if sigma is None:
        return ()
    bounds = [check_sigma(value) for value in numbers("--add-noise", sigma, ":")]
    if len(bounds) == 1:
        return (bounds[0],)
    low, high = bounds[0], bounds[-1]
    if len(bounds) > 2 or low > high:
        raise InputError(f"--add-noise must be a number or LOW:HIGH with LOW <= HIGH (got {sigma!r})")
    return tuple(low + (high - low) * index / (NOISE_LEVELS - 1) for index in range(NOISE_LEVELS))


def _found(state: Path, entry: str | None, epsilon: float | None, ahead: Weights | None) -> Any:
    """What a file holds: a network, or weights, which may have been read; InputError where an option has no meaning."""
    from spikeunet.converters.onnx import is_onnx, read_onnx
    from spikeunet.converters.state_dict import find_weights

    from .assumptions import check_epsilon

    if not is_onnx(state):
        weights = find_weights(ahead or state, entry)
        check_epsilon(epsilon, weights.arrays)
        return weights
    given = click.get_current_context().get_parameter_source("architecture")
    meant = {"--entry": entry, "--epsilon": epsilon, "--architecture": given is ParameterSource.COMMANDLINE or None}
    for option in (name for name, value in meant.items() if value is not None):
        raise InputError(f"{option} has no meaning for an ONNX file, which says it itself; leave it out")
    return read_onnx(state)


def _check_file(state: Path, check: Path | None, no_check: bool) -> Path | None:
    """The file to compare with: the one named, else the one that the exporter wrote beside an ONNX file."""
    from spikeunet.converters.onnx import examples_beside, is_onnx

    if no_check and check is not None:
        raise InputError("--check and --no-check contradict each other; leave one of them out")
    return check if no_check or check is not None or not is_onnx(state) else examples_beside(state)


def _check_output(
    output: Path,
    state: Path,
    calibration: Path | None,
    metadata: Path | None,
    check: Path | None,
    classes: Path | None,
) -> None:
    check_model_suffix(output)
    claims = Claims()
    claims.reads("the state dict", state)
    claims.reads("the check", *([] if check is None else [check]))
    claims.reads("the picture", *([] if calibration is None else [calibration]))
    claims.reads("the names of the classes", *([] if classes is None else [classes]))
    claims.reads("the metadata", *([] if metadata is None else [metadata]))
    claims.writes("the model", output)
    check_folder(output.parent)
