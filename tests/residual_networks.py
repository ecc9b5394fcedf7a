"""Random networks of all kinds of layers, sums of currents and signed neurons among them, with any float32 weights."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    Linear,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    Scale,
    SignedMultiThreshold,
    SumPool2d,
    Upsample,
)

MODELS = (MultiThreshold.rounding(), MultiThreshold.rounding(), SignedMultiThreshold.rounding())


class Builder:
    """Nodes, and the shapes of those that can be read; `random` is a `random.Random` or one of Hypothesis's.

    With `dyadic`, all numbers are multiples of 1/16, and means are over as many pixels as a power of two.
    """

    def __init__(self, random, shape=(2, 4, 6), dyadic=False):
        self.random = random
        self.dyadic = dyadic
        self.numbers = np.random.default_rng(random.randrange(1 << 30))
        self.nodes = [Input("input", shape[0])]
        self.shapes = {"input": shape}

    def weight(self, *shape):
        drawn = self.numbers.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))
        return (np.rint(16 * drawn) / 16 if self.dyadic else drawn).astype(np.float32)

    def picture(self, shape):
        drawn = self.numbers.standard_normal(shape)
        return (np.rint(16 * drawn) / 16 if self.dyadic else drawn).astype(np.float32)

    def name(self, prefix):
        return f"{prefix}{len(self.nodes)}"

    def source(self):
        """One readable node, or several of one size joined."""
        name = self.random.choice(list(self.shapes))
        alike = [other for other, shape in self.shapes.items() if shape[1:] == self.shapes[name][1:]]
        if self.random.random() < 0.6 or len(alike) == 1:
            return name, self.shapes[name]
        parts = tuple(self.random.choice(alike) for _ in range(self.random.randint(2, 3)))
        self.nodes.append(Concat(self.name("concat"), parts))
        channels = sum(self.shapes[part][0] for part in parts)
        return self.nodes[-1].name, (channels, *self.shapes[name][1:])

    def projection(self):
        """Any kind that fits what it reads, and the shape that it puts out."""
        source, shape = self.source()
        fitting = [kind for kind in self.kinds(source, shape) if kind is not None]
        return self.added(self.random.choice(fitting)(), shape)

    def added(self, node, shape):
        self.nodes.append(node)
        return node, node.output_shape(shape)

    def kinds(self, source, shape):
        channels, height, width = shape
        name, weight, out = self.name("synapses"), self.weight, self.random.randint(1, 5)
        large, small = height * width > 1, channels * height * width < 300
        yield lambda: Conv2d(name, source, weight(out, channels, 3, 3), weight(out), padding=1)
        yield lambda: Conv2d(name, source, weight(2 * channels, 1, 1, 1), weight(2 * channels), groups=channels)
        yield lambda: Linear(name, source, weight(out, channels * height * width), weight(out))
        yield lambda: Scale(name, source, weight(channels), weight(channels))
        yield lambda: Upsample(name, source, 1)
        yield (lambda: Conv1d(name, source, weight(out, channels, 1), weight(out))) if height == 1 else None
        yield (lambda: Flatten(name, source)) if large and small else None
        mean = large and not (self.dyadic and (height * width).bit_count() > 1)
        yield (lambda: GlobalAvgPool2d(name, source)) if mean else None
        yield (lambda: AvgPool2d(name, source, 2, 1, 1)) if large else None
        yield (lambda: MaxPool2d(name, source, 2, 1, 1)) if large else None
        yield (lambda: SumPool2d(name, source, 2, 1, 1)) if large else None
        yield (lambda: PixelShuffle(name, source, 2)) if channels % 4 == 0 and small else None
        yield (lambda: Upsample(name, source, 2, "bilinear")) if large and small else None
        yield (lambda: ConvTranspose2d(name, source, weight(channels, out, 2, 2), weight(out), 2)) if small else None

    def like(self, shape):
        """Another node that puts out this shape."""
        source = self.random.choice([name for name, found in self.shapes.items() if found[1:] == shape[1:]] or [None])
        name = self.name("part")
        if source is None:
            return None
        if self.shapes[source] == shape and self.random.random() < 0.7:
            kinds = (lambda: Scale(name, source, self.weight(shape[0])), lambda: MaxPool2d(name, source, 1))
            return self.added(self.random.choice(kinds)(), shape)[0]
        given = self.shapes[source]
        return self.added(Conv2d(name, source, self.weight(shape[0], given[0], 1, 1)), given)[0]

    def synapses(self):
        node, shape = self.projection()
        if self.random.random() < 0.5:
            return node, shape
        parts = [node, *filter(None, (self.like(shape) for _ in range(self.random.randint(0, 2))))]
        if self.random.random() < 0.2:
            parts.append(node)
        self.nodes.append(Add(self.name("sum"), tuple(part.name for part in parts)))
        return self.nodes[-1], shape

    def population(self):
        node, shape = self.synapses()
        self.nodes.append(Neurons(self.name("neurons"), node.name, self.random.choice(MODELS)))
        self.shapes[self.nodes[-1].name] = shape

    def network(self, populations):
        for _ in range(populations):
            self.population()
        read_out = self.synapses()[0].name
        return Network([*self.nodes, Output("output", read_out)])


@st.composite
def networks(draw, most=5, shape=(2, 4, 6), dyadic=False):
    """A network and a picture of the given shape for it."""
    builder = Builder(draw(st.randoms(use_true_random=False)), shape, dyadic)
    network = builder.network(draw(st.integers(1, most)))
    return network, builder.picture(shape)
