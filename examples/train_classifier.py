"""Train a small classifier in PyTorch, convert it, and compare its accuracy at several numbers of time steps.

    python examples/train_classifier.py
    python examples/train_classifier.py --dataset mnist=FOLDER --minutes 4 --out mnist.onnx
    python examples/train_classifier.py --dataset cifar10=FOLDER --minutes 10 --out cifar10.onnx --folders pictures/

The first takes a minute: scikit-learn's digits. The network has batch norms, max pooling, residual additions and a
global average in the end; it is exported as export_torch.py does it, so that its graph comes with it. Written are
digits.onnx, digits.npz for --check, digits-model.npz, the spiking network with classes and preprocessing, and with
--folders the pictures, train and test, a folder for each class:

    spikeunet classify digits-model.npz pictures/test/7
    spikeunet evaluate digits-model.npz pictures/test --steps 1,2,4,8 --ann
    spikeunet finetune digits-model.npz --task classify --train pictures/train --steps 1 --penalty 1 -o tuned.npz

Needs the extras `train`, `onnx` and `evaluate`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import small_pictures
import torch
import torch.nn.functional as functional
from export_torch import export
from small_pictures import Labelled, Pictures
from torch import Tensor, nn
from training_loop import Lesson, Trainer, add_arguments

from spikeunet.converters import convert
from spikeunet.engine import Network, forward, save_model, simulate

STEPS = (1, 2, 4, 8)
CALIBRATION = 512
"""Training pictures to normalise with."""


@dataclass(frozen=True)
class Recipe:
    """How a data set is learnt: channels of the levels, pictures in a batch, and how they are varied.

    Parameters
    ----------
    widths : tuple of int
        Each level halves the picture.
    batch : int
    shift : int
        Pixels by which pictures are moved at most.
    mirrored : bool
        Whether left and right may be exchanged: a digit must not.
    mean, deviation : tuple of float
        By channel, of samples from 0 to 1: taken off and divided by.
    """

    widths: tuple[int, ...]
    batch: int
    shift: int
    mirrored: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


RECIPES = {
    "digits": Recipe((16, 32), 64, 1, False, (0.305,), (0.376,)),
    "mnist": Recipe((16, 32, 64), 128, 2, False, (0.1325,), (0.3105,)),
    "cifar10": Recipe((24, 48, 96, 192), 128, 4, True, (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
}


def _normed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """relu(x + two convolutions of x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_normed(width, width), nn.ReLU(), _normed(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class Classifier(nn.Sequential):
    """A stem, and for each further width max pooling, a convolution and a residual block; their means classify."""

    batch_norm = True
    """No layer dies (`training_loop`)."""

    def __init__(self, channels: int, classes: int, widths: Sequence[int]) -> None:
        levels = [nn.Sequential(_normed(channels, widths[0]), nn.ReLU())]
        for before, width in itertools.pairwise(widths):
            levels += [nn.Sequential(nn.MaxPool2d(2), _normed(before, width), nn.ReLU()), Residual(width)]
        super().__init__(*levels, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def normalised(pictures: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(N, C, H, W) float32, as the network takes them."""
    mean, deviation = (np.float32(each)[:, None, None] for each in (recipe.mean, recipe.deviation))
    return (pictures.astype(np.float32) / np.float32(255) - mean) / deviation


class Batches:
    """Batches of training pictures, moved and mirrored."""

    def __init__(self, data: Pictures, recipe: Recipe) -> None:
        edge = recipe.shift
        # Beyond the edge lies what normalised black is not: zeros, the mean.
        self.pictures = np.pad(normalised(data.pictures, recipe), ((0, 0), (0, 0), (edge, edge), (edge, edge)))
        self.labels = torch.from_numpy(data.labels)
        self.recipe, self.size = recipe, data.pictures.shape[2:]

    def draw(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = generator.integers(len(self.labels), size=self.recipe.batch)
        places = generator.integers(2 * self.recipe.shift + 1, size=(len(chosen), 2))
        mirrored = generator.integers(2, size=len(chosen)) if self.recipe.mirrored else np.zeros(len(chosen))
        drawn = [self._one(*each) for each in zip(chosen, places, mirrored, strict=True)]
        return torch.from_numpy(np.stack(drawn)), self.labels[torch.from_numpy(chosen)]

    def _one(self, index: int, place: np.ndarray, mirrored: int) -> np.ndarray:
        (top, left), (height, width) = place, self.size
        picture = self.pictures[index, :, top : top + height, left : left + width]
        return picture[:, :, ::-1] if mirrored else picture


@torch.no_grad()
def ann_accuracy(network: nn.Module, pictures: np.ndarray, labels: np.ndarray) -> float:
    found = np.concatenate([network(torch.from_numpy(part)).argmax(1).numpy() for part in _parts(pictures)])
    return float((found == labels).mean())


def accuracies(network: Network, pictures: np.ndarray, labels: np.ndarray, steps: Sequence[int]) -> list[float]:
    """Share of pictures whose largest readout is right, at each number of steps: one run serves them all."""
    right = np.zeros(len(steps), np.int64)
    for part, truth in zip(_parts(pictures), _parts(labels), strict=True):
        readout = simulate(network, part, steps=max(steps), record=("readout",)).readout
        for place, number in enumerate(steps):
            right[place] += (readout[:, number - 1, :, 0, 0].argmax(1) == truth).sum()
    return [int(number) / len(labels) for number in right]


def _parts(array: np.ndarray, size: int = 100) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]


def spiking_network(path: Path, data: Labelled, recipe: Recipe, name: str) -> Network:
    """The exported network converted, calibrated on training pictures, with all that `spikeunet classify` must know."""
    seen = normalised(data.train.pictures[:: max(1, len(data.train) // CALIBRATION)], recipe)
    facts = {
        "task": "classify",
        "classes": list(data.classes),
        "preprocessing": [{"name": "normalize", "mean": list(recipe.mean), "std": list(recipe.deviation)}],
        "steps": 4,
        "description": f"Classifier of {name}, examples/train_classifier.py",
    }
    return convert(path, calibration=list(seen), metadata=facts, check=path.with_suffix(".npz"))


def report(network: Network, ann: float, pictures: np.ndarray, labels: np.ndarray) -> None:
    """Print the accuracy of the ANN, of the converted network's analog form, and of spikes at several T."""
    analog = np.concatenate([forward(network, part)[0][:, :, 0, 0].argmax(1) for part in _parts(pictures)])
    print(f"{len(labels)} test pictures")
    print(f"ANN in PyTorch     {ann:.2%}")
    print(f"converted, analog  {float((analog == labels).mean()):.2%}")
    for steps, accuracy in zip(STEPS, accuracies(network, pictures, labels, STEPS), strict=True):
        print(f"spiking, T = {steps}     {accuracy:.2%} ({100 * (accuracy - ann):+.2f} points)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, convert and compare a small classifier.")
    parser.add_argument("--dataset", default="digits", metavar="NAME[=FOLDER]", help=f"one of {', '.join(RECIPES)}")
    add_arguments(parser, out="digits.onnx", minutes=0.5, rate=5e-3, report=500, width=None)
    parser.add_argument("--folders", type=Path, metavar="FOLDER", help="write the pictures there, by class")
    arguments = parser.parse_args()
    name, _, folder = arguments.dataset.partition("=")
    if name not in RECIPES or bool(folder) == (name == "digits"):
        raise SystemExit(f"--dataset must be digits, mnist=FOLDER or cifar10=FOLDER (got {arguments.dataset})")
    recipe = RECIPES[name]
    data = small_pictures.digits() if name == "digits" else getattr(small_pictures, name)(Path(folder))
    pictures, labels = normalised(data.test.pictures, recipe), data.test.labels

    if name != "cifar10":  # there is too little in such pictures to share out
        torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    network = Classifier(len(recipe.mean), len(data.classes), recipe.widths)

    def describe(average: nn.Module) -> str:
        # Of the training pictures: a choice by the test pictures would flatter them.
        some = slice(None, None, max(1, len(data.train) // 1000))
        score = ann_accuracy(average, normalised(data.train.pictures[some], recipe), data.train.labels[some])
        return f"{score:.2%} of training pictures"

    def loss(predicted: Tensor, truth: Tensor) -> Tensor:
        return functional.cross_entropy(predicted, truth, label_smoothing=0.1)

    out = arguments.out
    arguments.out = out.with_suffix(".state.npz")
    trainer = Trainer(network, Lesson(Batches(data.train, recipe).draw, loss, describe), arguments)
    trainer.run()
    ann = ann_accuracy(trainer.average, pictures, labels)
    export(trainer.average, torch.from_numpy(pictures[:2]), out)
    spiking = spiking_network(out, data, recipe, name)
    save_model(spiking, out.with_name(f"{out.stem}-model.npz"))
    if arguments.folders is not None:
        for part in ("train", "test"):
            small_pictures.write_folders(getattr(data, part), data.classes, arguments.folders / part)
    report(spiking, ann, pictures, labels)


if __name__ == "__main__":
    main()
