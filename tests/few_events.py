"""A small network that reads events, and streams of a few of them."""

from __future__ import annotations

import numpy as np

from spikeunet.engine import (
    Conv2d,
    ConvTranspose2d,
    Events,
    Input,
    IntegrateAndFire,
    Network,
    Neurons,
    Output,
    bin_events,
)

EVENT = [("t", "i8"), ("x", "i8"), ("y", "i8"), ("p", "i1")]
SHAPE = (2, 8, 10)


def weight(*shape, seed=1):
    return (np.random.default_rng(seed).integers(-4, 9, shape) / 16).astype(np.float32)


HALF = IntegrateAndFire(0.5)


def network(model=HALF, encoder=None, second=None, bias=None):
    return Network(
        [
            Input("input", 2, encoder or Events()),
            Conv2d("conv1", "input", weight(4, 2, 3, 3), bias, padding=1),
            Neurons("first", "conv1", model),
            ConvTranspose2d("up", "first", weight(4, 3, 2, 2, seed=2), stride=2),
            Neurons("second", "up", second or model),
            Conv2d("last", "second", weight(1, 3, 1, 1, seed=3)),
            Output("output", "last"),
        ]
    )


def stream(events, steps=9, shape=SHAPE):
    found = np.array([(t, x, y, p) for t, y, x, p in sorted(events)], EVENT)
    polarity = "channels" if shape[0] == 2 else "merged"
    return bin_events(found, shape, time_step=1, start=0, steps=steps, polarity=polarity)


def a_few():
    """Near a corner, in the midst, at a border; two at one step, and none at most."""
    return stream([(0, 0, 0, 1), (0, 4, 5, 0), (3, 4, 5, 1), (7, 7, 9, 1), (8, 4, 6, 0)])


def dense(events):
    return np.stack([events.levels_at(step) for step in range(events.steps)]).astype(np.float32)


def strong(model, value=2.0, bias=None):
    """One pixel, one neuron each: an event adds `value` to the potential."""
    one = np.full((1, 1, 1, 1), value, np.float32)
    nodes = [Input("input", 1, Events()), Conv2d("same", "input", one, bias), Neurons("first", "same", model)]
    return Network([*nodes, Conv2d("last", "first", np.ones_like(one)), Output("output", "last")])
