"""See digits as the foveal pit does, learn to tell them apart by firing rates, and run the network by spikes.

    python examples/foveal_digits.py

takes half a minute. Digits are enlarged three times; off-centre midget cells are the network's first neurons. The same
by command, with a model file that `spikeunet classify` runs:

    spikeunet train softlif --data digits --enlarge 3 --cells off-midget --shift 1 --epochs 8 -o digits.npz

Needs the extra `evaluate`, which brings scikit-learn's digits.
"""

from __future__ import annotations

import numpy as np

from spikeunet.engine import Foveal, simulate
from spikeunet.engine.learning import LabelledPictures, read_data, train
from spikeunet.engine.learning.softlif import SoftLIFSettings, SoftLIFTrainer, rates
from spikeunet.engine.pictures.resizing import resize

TESTED = 100
NOISE = (0.0, 0.2, 0.4)


def enlarged(data: LabelledPictures) -> LabelledPictures:
    """Digits of three times the size."""
    height, width = (3 * side for side in data.shape[1:])
    planes = resize(np.moveaxis(data.pictures[:, 0], 0, 2), height, width)
    return LabelledPictures(np.moveaxis(planes, 2, 0)[:, None], data.labels, data.classes)


def show_ranks(picture: np.ndarray) -> None:
    """How near the picture comes by the first coefficients of midget cells."""
    ranked = Foveal(8, off_parasol=0, on_parasol=0).ranked(picture)
    for share in (0.0, 0.05, 0.1, 0.25, 1.0):
        error = ranked.picture(round(share * len(ranked))) - picture
        print(f"  first {share:4.0%} of {len(ranked)} coefficients: off by {np.sqrt((error**2).mean()):.3f}")


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> str:
    """Share of pictures whose largest output is right."""
    return f"{(outputs[:, :, 0, 0].argmax(axis=1) == labels).mean():.0%}"


def main() -> None:
    pictures, test = (enlarged(data) for data in read_data("digits"))
    print("a digit out of what midget cells say, in rank order")
    show_ranks(pictures.pictures[0])
    trainer = SoftLIFTrainer(pictures, SoftLIFSettings(epochs=8, cells="off-midget", shift=1))
    train(trainer, observe=lambda row: print(f"  epoch {row['epoch']:g}: loss {row['loss']:.3f}"))
    network, clean = trainer.network(), test.pictures[:TESTED]
    for sigma in NOISE:
        noisy = clean + np.float32(sigma) * np.random.default_rng(0).standard_normal(clean.shape, np.float32)
        result = simulate(network, noisy, trainer.settings.steps)
        spikes = sum(int(layer.spikes.sum()) for layer in result.operations.neurons.values()) / TESTED
        by_rates, by_spikes = (accuracy(each, test.labels[:TESTED]) for each in (rates(network, noisy), result.output))
        print(f"noise {sigma}: {by_rates} by rates, {by_spikes} by spikes, {spikes:,.0f} of them a picture")


if __name__ == "__main__":
    main()
