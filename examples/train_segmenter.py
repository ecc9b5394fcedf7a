"""Train the U-Nets that `spikeunet convert --task segment` turns into spiking segmentations.

    python examples/train_segmenter.py --dataset drive=FOLDER --out vessels.npz --minutes 40
    spikeunet convert vessels.npz -o vessels-snn.npz --task segment --dataset drive --calibration FOLDER/training/image

Knows the data sets em, drive and camseq01 as `spikeunet evaluate` does: their splits, classes and preprocessing. Only
the training split is looked at; part of it is held out to report scores on, unless `--held-out 0` trains on all of it.

Recipe: random crops, turned, scaled, mirrored and elastically deformed (Ronneberger et al., arXiv 1505.04597), with
changes of contrast and brightness; batch normalisation, which the conversion folds into the convolutions and without
which a set as small as these is learnt far more slowly; cross-entropy over the pixels that count, weighted by class;
the rest as in training_loop.py. Needs the extras `train` and `evaluate`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from augmentation import Distortions, distort
from spiking_unet import SpikingUNet
from torch import Tensor, nn
from training_loop import Lesson, Trainer, add_arguments

from spikeunet.converters import convert
from spikeunet.engine import SpikeunetError
from spikeunet.engine.datasets import LAYOUTS, Dataset, find_dataset
from spikeunet.engine.evaluation.scores import area_under_curve, segmentation_scores
from spikeunet.engine.learning.finetune.segmentation_data import Labelled, class_weights, read_labelled
from spikeunet.engine.pictures.metrics import confusion_matrix
from spikeunet.engine.pictures.padding import crop, pad_to_multiple

VOID = -1


@dataclass(frozen=True)
class Recipe:
    """How a data set is learnt.

    Parameters
    ----------
    channels : int
        Of the pictures, after their preprocessing.
    crop, batch : int
    distortions : Distortions
    held_out : int
        Pictures of the training split to report scores on, one of every so many where `spread`, else the last ones.
    spread : bool
    balance : float
        Of the class weights: 0 for none, 1 for median frequency balancing.
    """

    channels: int
    crop: int
    batch: int
    distortions: Distortions
    held_out: int
    spread: bool = False
    balance: float = 0.0


RECIPES = {
    "em": Recipe(1, 192, 4, Distortions(elastic=8.0, contrast=0.3, brightness=0.15), held_out=3),
    "drive": Recipe(1, 128, 8, Distortions(elastic=4.0, contrast=0.25), held_out=3, balance=0.15),
    # Frames of one drive: up stays up. Scores are on frames between those of the training split, as in the test split.
    "camseq01": Recipe(
        3,
        256,
        4,
        Distortions(turns=False, angle=5.0, scale=(0.6, 1.6), color=0.1),
        held_out=8,
        spread=True,
        balance=0.5,
    ),
}


def read_examples(dataset: Dataset, network: SpikingUNet) -> list[Labelled]:
    """Pictures as the converted network will see them, preprocessing included, and their labels, -1 where void."""
    metadata = {**LAYOUTS[dataset.name].metadata(), "task": "segment"}
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return read_labelled(dataset, convert(state, normalization="none", metadata=metadata))


def split_off(examples: list[Labelled], number: int, spread: bool) -> tuple[list[Labelled], list[Labelled]]:
    """Examples to learn from and `number` others."""
    count = len(examples)
    if not 0 <= number < count:
        raise SystemExit(f"--held-out must be from 0 to {count - 1}, one less than there are pictures (got {number})")
    places = {(2 * index + 1) * count // (2 * number) if spread else count - 1 - index for index in range(number)}
    return [e for place, e in enumerate(examples) if place not in places], [examples[place] for place in sorted(places)]


class Crops:
    """Batches of distorted crops about pixels that count; about one of a rare class as often as of a common one."""

    def __init__(self, examples: list[Labelled], recipe: Recipe, classes: int) -> None:
        self.pictures = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture, _ in examples]
        self.labels = [torch.from_numpy(labels.astype(np.float32)) for _, labels in examples]
        self.recipe = recipe
        self.places = [
            [np.flatnonzero(labels == index).astype(np.int32) for index in range(classes)] for _, labels in examples
        ]

    def draw(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Crops (batch, C, crop, crop) float32 and their labels (batch, crop, crop) int64."""
        drawn = [self._one(generator) for _ in range(self.recipe.batch)]
        return torch.stack([picture for picture, _ in drawn]), torch.stack([labels for _, labels in drawn])

    def _one(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = generator.integers(len(self.pictures))
        picture, labels = self.pictures[index], self.labels[index]
        present = [places for places in self.places[index] if len(places)]
        places = present[generator.integers(len(present))]
        row, column = divmod(int(places[generator.integers(len(places))]), labels.shape[1])
        # The pixel lies anywhere in the crop, which would otherwise always show it in its middle.
        reach = self.recipe.crop / 2
        middle = (row + generator.uniform(-reach, reach), column + generator.uniform(-reach, reach))
        centre = tuple(
            float(np.clip(place, min(reach, size / 2), max(size - reach, size / 2)))
            for place, size in zip(middle, labels.shape, strict=True)
        )
        return distort(picture, labels, self.recipe.distortions, self.recipe.crop, generator, centre)


@torch.no_grad()
def logits_of(network: nn.Module, picture: np.ndarray) -> np.ndarray:
    """(classes, H, W) float32 for a whole picture, (H, W, C) float32."""
    padded, origin = pad_to_multiple(np.ascontiguousarray(picture.transpose(2, 0, 1)), 16)
    x = torch.from_numpy(padded)[None].contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(x).float()[0].contiguous().numpy()
    return crop(scores, origin, picture.shape[:2])


def describe(network: nn.Module, examples: list[Labelled], classes: int) -> str:
    """Scores on examples; the area under the ROC curve is the mean over pictures."""
    if not examples:
        return "nothing held out"
    matrix = np.zeros((classes, classes), np.int64)
    areas = []
    for picture, labels in examples:
        scores = logits_of(network, picture)
        matrix += confusion_matrix(labels, scores.argmax(axis=0), classes)
        if classes == 2:
            areas.append(area_under_curve(labels, scores))
    found = segmentation_scores(matrix, float(np.mean(areas)) if areas else None)
    return "  ".join(f"{name} {value:.4f}" for name, value in found.items() if value is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a U-Net for segmentation with PyTorch.")
    parser.add_argument("--dataset", required=True, metavar="NAME=FOLDER", help=f"NAME is one of {', '.join(RECIPES)}")
    add_arguments(parser, out="segmenter-ann.npz", minutes=40, rate=2e-3, report=200)
    parser.add_argument("--held-out", type=int, help="pictures of the training split to report on; 0 trains on all")
    arguments = parser.parse_args()
    name = arguments.dataset.partition("=")[0]
    if name not in RECIPES:
        raise SystemExit(f"--dataset must be NAME=FOLDER, NAME one of {', '.join(RECIPES)} (got {arguments.dataset})")
    recipe, classes = RECIPES[name], len(LAYOUTS[name].classes)

    torch.manual_seed(arguments.seed)
    network = SpikingUNet(recipe.channels, classes, arguments.width, batch_norm=True)
    try:
        examples = read_examples(find_dataset(arguments.dataset, "segment", split="train"), network)
    except (SpikeunetError, OSError) as error:
        raise SystemExit(str(error)) from None
    number = recipe.held_out if arguments.held_out is None else arguments.held_out
    learnt, held_out = split_off(examples, number, recipe.spread)
    weights = torch.tensor(class_weights((labels for _, labels in learnt), classes, recipe.balance))
    print(f"{len(learnt)} pictures, {len(held_out)} held out, class weights {[round(w, 2) for w in weights.tolist()]}")

    def loss(predicted: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(predicted, labels, weights, ignore_index=VOID)

    lesson = Lesson(Crops(learnt, recipe, classes).draw, loss, lambda net: describe(net, held_out, classes))
    Trainer(network, lesson, arguments).run()


if __name__ == "__main__":
    main()
