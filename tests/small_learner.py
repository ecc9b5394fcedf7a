"""A training method for the tests of what all of them share: softmax regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikeunet.engine import Input, Linear, Network, Output, save_model, simulate
from spikeunet.engine.learning import GradientSettings, GradientTrainer, LabelledPictures, Method, option
from spikeunet.engine.learning.gradient_trainer import classification_loss

SIDE = 4


@dataclass(frozen=True)
class SoftmaxSettings(GradientSettings):
    epochs: int = option(3, "Times that every picture is learnt from.", least=1)
    scale: float = option(0.1, "Of the first weights.", least=0)
    parts: tuple[int, ...] = option((1, 2), "Nothing.", least=1)
    flipped: bool = option(False, "Look at the negative.")


class SoftmaxTrainer(GradientTrainer[SoftmaxSettings]):
    settings_type = SoftmaxSettings

    def __init__(self, pictures, settings, threads=None):
        super().__init__(pictures, settings, threads)
        shape = (len(pictures.classes), int(np.prod(pictures.shape)))
        weight = self.generator.normal(0, settings.scale, shape).astype(np.float32)
        self.parameters = {"fc.weight": weight, "fc.bias": np.zeros(shape[0], np.float32)}

    def gradients(self, batch):
        inputs = batch.pictures.reshape(len(batch), -1)
        # Something that only the generator's state decides.
        inputs = inputs + self.generator.normal(0, 0.01, inputs.shape).astype(np.float32)
        scores = inputs @ self.parameters["fc.weight"].T + self.parameters["fc.bias"]
        figures, gradient = classification_loss(scores, batch.labels)
        return figures, {"fc.weight": gradient.T @ inputs, "fc.bias": gradient.sum(0)}

    def network(self):
        weight, bias = (self.parameters[f"fc.{part}"] for part in ("weight", "bias"))
        return Network([Input("input", 1), Linear("fc", "input", weight, bias), Output("output", "fc")], self.facts())

    def validate(self, pictures):
        output = simulate(self.network(), pictures.pictures, steps=1).output[:, :, 0, 0]
        return {"accuracy": float((output.argmax(1) == pictures.labels).mean())}

    def save(self, path):
        save_model(self.network(), path)


TRAINER = SoftmaxTrainer
METHOD = Method("softmax", "Softmax regression.", "small_learner")


def bright_pictures(number=40, seed=0):
    """Pictures 4x4 of two classes: the upper or the lower half is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    pictures = random.random((number, 1, SIDE, SIDE)).astype(np.float32) * np.float32(0.5)
    for picture, label in zip(pictures, labels, strict=True):
        picture[0, 2 * label : 2 * label + 2] += np.float32(0.5)
    return LabelledPictures(pictures, labels, ("above", "below"))
