"""`spikeunet convert`."""

from __future__ import annotations

from typing import Any

import click

from .conversion import Conversion
from .model_metadata import TASKS
from .neuron_options import OPTIONS
from .options import FILE, no_sigma, range_option
from .piped_models import MODEL_FILE
from .preprocessing_options import preprocessing_options


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
def convert(**given: Any) -> None:
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
    Conversion.of(given).run()
