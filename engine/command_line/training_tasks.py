"""What fine-tuning does differently for each task: its examples, its loss and its validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from click.core import ParameterSource

from ..errors import InputError
from .class_names import read_class_names
from .training_files import Row

if TYPE_CHECKING:
    from ..graph import Network
    from ..learning.finetune import Batches

Validate = Callable[["Network", int, "int | None"], Row]
"""Scores by log column of a network at a number of steps, with so many threads."""


@dataclass(frozen=True)
class TrainingTask:
    """A task's part of a training run.

    `score` is the log column of the score to show and `form` its format; `class_weights` are empty for all alike.
    """

    network: Network
    batches: Batches
    validate: Validate | None
    score: str
    form: str
    class_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class NoisyPictures:
    """Where a denoiser's noise comes from: levels of white noise to add, or folders of noisy pictures.

    `teacher` is the model, where there is one, whose ANN says what the noise is.
    """

    levels: tuple[float, float]
    validate_sigma: float
    train: Path | None = None
    validate: Path | None = None
    teacher: str | None = None

    def check(self, validate: Path | None) -> None:
        """InputError where a folder of noisy pictures stands alone or beside noise to be added."""
        for folder, option, other in (
            (self.train, "sigma", "--noisy brings its own noise; leave out --add-noise"),
            (self.validate, "validate_noise", "--validate-noisy brings its own noise; leave out --validate-noise"),
        ):
            if folder is None:
                continue
            if click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE:
                raise InputError(other)
        if self.validate is not None and validate is None:
            raise InputError("--validate-noisy needs the clean pictures of the same names; give --validate FOLDER")


def denoising_task(
    model: str, train: Path, validate: Path | None, noise: NoisyPictures, crop: int, batch: int
) -> TrainingTask:
    """Clean pictures with noise of a range of levels, or with their noisy versions; PSNR at one level, or of these."""
    from ..learning.finetune import TaughtBatches, read_pairs, read_pictures, validate_denoiser, validate_pairs
    from ..learning.finetune.data import check_crop, check_pairs
    from ..pictures.noise import check_sigma
    from ..tasks.restorers import denoiser

    noise.check(validate)
    check_sigma(noise.validate_sigma)
    network = denoiser(model)
    check_crop(crop, network.size_multiple)
    channels = network.input.channels
    teacher = None if noise.teacher is None else _teacher(noise.teacher, network, crop)
    batches = _denoising_batches(network, train, noise, crop, batch)
    if teacher is not None:
        batches = TaughtBatches(batches, teacher)
    held_out = [] if validate is None or noise.validate is not None else read_pictures(validate, channels)
    pairs = {} if validate is None or noise.validate is None else read_pairs(noise.validate, validate, channels)
    check_pairs(list(pairs.values()), list(pairs))

    def scores(current: Network, steps: int, threads: int | None) -> Row:
        if pairs:
            found = validate_pairs(current, pairs.values(), steps, threads)
        else:
            found = validate_denoiser(current, held_out, noise.validate_sigma, steps, threads)
        return {
            "validation_psnr": found.psnr,
            "validation_accumulates_per_pixel": found.accumulates_per_pixel,
        }

    return TrainingTask(network, batches, scores if held_out or pairs else None, "validation_psnr", "{:.3f} dB")


def _teacher(model: str, pupil: Network, crop: int) -> Network:
    """The network that `model` names, where it does what the one in training does; InputError otherwise."""
    from ..learning.finetune.data import check_crop
    from ..tasks.endings import bends
    from ..tasks.restorers import denoiser, prediction_in

    teacher = denoiser(model)
    check_crop(crop, teacher.size_multiple)
    for what, theirs, ours in (
        ("takes {} channel(s)", teacher.input.channels, pupil.input.channels),
        ("predicts the {}", prediction_in(teacher.metadata), prediction_in(pupil.metadata)),
        ("ends in {}", *(", ".join(bends(each.metadata)) or "no function" for each in (teacher, pupil))),
    ):
        if theirs != ours:
            said = what.format(theirs), what.format(ours)
            raise InputError("--teacher {} {}, the model {}; take one that does the same".format(model, *said))
    return teacher


def _denoising_batches(network: Network, train: Path, noise: NoisyPictures, crop: int, batch: int) -> Batches:
    from ..learning.finetune import DenoisingBatches, PairBatches, read_pairs
    from ..learning.finetune.data import read_named_pictures
    from ..tasks.restorers import prediction_in

    channels, predicts = network.input.channels, prediction_in(network.metadata)
    if noise.train is not None:
        pairs = read_pairs(noise.train, train, channels)
        return PairBatches(list(pairs.values()), crop, batch, predicts, list(pairs))
    pictures = read_named_pictures(train, channels)
    return DenoisingBatches(list(pictures.values()), noise.levels, crop, batch, predicts, list(pictures))


def segmentation_task(
    model: str,
    train: Path,
    labels: Path | None,
    validate: Path | None,
    validate_labels: Path | None,
    void: int | None,
    upright: bool,
    balance: float,
    crop: int,
    batch: int,
) -> TrainingTask:
    """Pictures with label pictures, or the split of a known data set; accuracy and mean IoU."""
    from ..datasets import find_dataset
    from ..learning.finetune import SegmentationBatches, read_labelled, validate_segmenter
    from ..learning.finetune.data import check_crop
    from ..learning.finetune.segmentation_data import class_weights
    from ..tasks.inference import class_count
    from ..tasks.segmentation import segmenter

    network = segmenter(model)
    check_crop(crop, network.size_multiple)
    dataset = find_dataset(_pair(train, labels), "segment", split="train", void=void)
    examples = read_labelled(dataset, network)
    weights = class_weights((each for _, each in examples), class_count(network), balance) if balance else ()
    names = [str(example.picture) for example in dataset.examples]
    batches = SegmentationBatches(examples, crop=crop, batch=batch, turns=not upright, names=names)
    held_out = []
    if validate is not None:
        held_out = read_labelled(find_dataset(_pair(validate, validate_labels), "segment", void=void), network)

    def scores(current: Network, steps: int, threads: int | None) -> Row:
        found = validate_segmenter(current, held_out, steps, threads)
        return {
            "validation_accuracy": found.accuracy,
            "validation_mean_iou": found.mean_iou,
            "validation_accumulates_per_pixel": found.accumulates_per_pixel,
        }

    return TrainingTask(
        network, batches, scores if held_out else None, "validation_mean_iou", "{:.4f} mean IoU", weights
    )


def classification_task(
    model: str,
    train: Path,
    validate: Path | None,
    classes: Path | None,
    shift: int,
    mirror: bool,
    balance: float,
    batch: int,
) -> TrainingTask:
    """Pictures in a folder for each class; accuracy."""
    from ..datasets import find_dataset
    from ..learning.finetune import ClassificationBatches, read_classified, validate_classifier
    from ..learning.finetune.classification_data import check_classified
    from ..learning.finetune.segmentation_data import class_weights
    from ..tasks.classification import classifier, known_classes, with_classes

    network = with_classes(classifier(model), None if classes is None else read_class_names(classes))
    known = known_classes(network)
    dataset = find_dataset(str(train), "classify", classes=known)
    examples = read_classified(dataset, network)
    names = [str(example.picture) for example in dataset.examples]
    batches = ClassificationBatches(examples, batch, shift, mirror, names)
    labels = np.array([label for _, label in examples])
    weights = class_weights([labels], known.count, balance) if balance else ()
    held_out = []
    if validate is not None:
        dataset = find_dataset(str(validate), "classify", classes=known)
        held_out = read_classified(dataset, network)
        check_classified(held_out, [str(example.picture) for example in dataset.examples])

    def scores(current: Network, steps: int, threads: int | None) -> Row:
        found = validate_classifier(current, held_out, steps, threads)
        return {
            "validation_accuracy": found.accuracy,
            "validation_accumulates_per_pixel": found.accumulates_per_pixel,
        }

    return TrainingTask(network, batches, scores if held_out else None, "validation_accuracy", "{:.2%}", weights)


_TASKS_OF_OPTIONS = {
    "sigma": ("denoise",),
    "validate_noise": ("denoise",),
    "noisy": ("denoise",),
    "validate_noisy": ("denoise",),
    "teacher": ("denoise",),
    "crop": ("denoise", "segment"),
    "labels": ("segment",),
    "validate_labels": ("segment",),
    "void": ("segment",),
    "upright": ("segment",),
    "balance": ("segment", "classify"),
    "shift": ("classify",),
    "mirror": ("classify",),
    "classes": ("classify",),
}
"""Tasks that an option has a meaning for, by the name of its parameter."""


def check_options(task: str) -> None:
    """InputError where the command line has an option that is for other tasks."""
    context = click.get_current_context()
    for option in context.command.params:
        tasks = _TASKS_OF_OPTIONS.get(option.name or "", (task,))
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and task not in tasks:
            raise InputError(f"{option.opts[0]} is for --task {' and '.join(tasks)} (got --task {task})")


def _pair(pictures: Path, labels: Path | None) -> str:
    """A data set as `find_dataset` takes it: NAME=FOLDER alone, else folders of pictures and of labels."""
    from ..datasets.dataset import split_name

    if labels is not None and split_name(str(pictures)) is not None:
        raise InputError(f"{pictures}: a data set by name has its own labels; leave out the folder {labels}")
    return str(pictures) if labels is None else f"{pictures}:{labels}"
