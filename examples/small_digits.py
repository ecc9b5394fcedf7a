"""A small trained network of the usual kind, for the examples: handwritten digits of 8x8 pixels, which come with
scikit-learn, and a multilayer perceptron that scikit-learn trains in a second (`pip install "spikeunet[evaluate]"`).
"""

from __future__ import annotations

import numpy as np

from spikeunet.engine import Input, Linear, Network, Neurons, Output

TEST = 360
"""The last so many digits are for testing."""


def digits():
    """Pictures (N, 1, 8, 8) float32 from 0 to 1 and their classes, to train on and to test with."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit("this example needs scikit-learn; pip install 'spikeunet[evaluate]'") from None

    found = load_digits()
    pictures = (found.images[:, None] / 16).astype(np.float32)
    return (pictures[:-TEST], found.target[:-TEST]), (pictures[-TEST:], found.target[-TEST:])


def trained_perceptron(hidden=48, seed=0):
    """A trained network with ReLUs; weights as PyTorch has them, (out, in)."""
    from sklearn.neural_network import MLPClassifier

    (pictures, labels), _ = digits()
    # It stops early: an example, and no competition.
    model = MLPClassifier((hidden,), tol=3e-3, n_iter_no_change=5, random_state=seed)
    model.fit(pictures.reshape(len(pictures), -1), labels)
    return [(weight.T, bias) for weight, bias in zip(model.coefs_, model.intercepts_, strict=True)]


def perceptron(layers):
    """The same as nodes, without normalisation: what `convert` takes."""
    (weight1, bias1), (weight2, bias2) = layers
    return Network(
        [
            Input("picture", 1),
            Linear("hidden", "picture", weight1, bias1),
            Neurons("relu1", "hidden"),
            Linear("classes", "relu1", weight2, bias2),
            Output("output", "classes"),
        ],
        {"task": "classify", "classes": [str(digit) for digit in range(10)]},
    )
