"""Hypothesis strategies: random networks with pictures, small and dyadic so that no sum is ever rounded in float32.

Structure (layers, sizes, geometry, neurons) is drawn by Hypothesis and shrinks; the many weights come from a seeded
generator, which keeps the examples fast. Weights, biases, pictures, thresholds and initial potentials are multiples of
1/16 and pooling windows have 1, 2, 4, 8 or 16 elements, so that currents are multiples of 1/256.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)

settings.register_profile("spikeunet", max_examples=40, deadline=None, print_blob=True)
settings.load_profile("spikeunet")  # no deadline: the first example may have to compile kernels

THOROUGH = settings(max_examples=400)
"""For tests that are marked slow."""

LARGEST_SIDE = 16
"""Transposed convolutions stop growing pictures here, to keep examples fast."""

CHANNELS = st.integers(1, 5) | st.sampled_from((7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40))
"""Most of them no multiple of a vector's 8 or 16 float32 numbers."""

STEPS = st.integers(1, 20)
"""Crosses any chunk of 8, 4, 2 or 1 steps that an engine may work in."""

SIDES = st.integers(1, 12)


@dataclass(frozen=True)
class Case:
    """A network, a picture (C, H, W) float32 that fits it, and a number of steps."""

    network: Network
    picture: np.ndarray
    steps: int

    def __repr__(self):
        shapes = self.network.shapes(self.picture.shape)
        nodes = "\n".join(f"  {_describe(node)} -> {shapes[node.name]}" for node in self.network.nodes)
        return f"Case(steps={self.steps}, picture={self.picture.shape}, nodes:\n{nodes})"

    def _repr_pretty_(self, printer, cycle):
        """What Hypothesis prints of a failing example."""
        printer.text(repr(self))


def _describe(node):
    shown = {name: value.shape if isinstance(value, np.ndarray) else value for name, value in vars(node).items()}
    return f"{type(node).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"


# --- Numbers ---------------------------------------------------------------------------------------------------------


@dataclass
class Numbers:
    """Source of weights and pictures: dyadic, or any float32 numbers of the same size."""

    generator: np.random.Generator
    dyadic: bool
    density: float

    def draw(self, shape, low, high):
        """Array of the given shape with values from `low` to `high`."""
        if self.dyadic:
            return self.generator.integers(16 * low, 16 * high + 1, shape).astype(np.float32) / np.float32(16)
        return self.generator.uniform(low, high, shape).astype(np.float32)

    def weight(self, *shape):
        """Weights from -1/2 to 1/2, some of them zero."""
        kept = self.generator.random(shape) < self.density
        return np.where(kept, self.draw(shape, -0.5, 0.5), np.float32(0))

    def bias(self, channels):
        """Biases from -1/4 to 1/2: more often positive, so that most layers have something to say."""
        return self.draw(channels, -0.25, 0.5)


@st.composite
def numbers(draw, dyadic=True):
    """A seeded source of weights; the all-zero net, where nothing can go wrong, is not worth shrinking to."""
    seed = draw(st.integers(0, 2**16), label="seed")
    return Numbers(np.random.default_rng(seed), dyadic, draw(st.sampled_from((1.0, 0.5)), label="density"))


def sixteenths(low, high):
    """Multiples of 1/16 from `low` to `high`."""
    return st.integers(int(16 * low), int(16 * high)).map(lambda n: n / 16)


# --- Neuron models ---------------------------------------------------------------------------------------------------


def binary_ladders():
    """Thresholds that halve from each to the next: the case of the closed form."""
    return st.builds(
        lambda smallest, count: tuple(smallest / 16 * 2**k for k in reversed(range(count))),
        st.sampled_from((1, 2, 4, 3)),
        st.integers(1, 5),
    )


def general_ladders():
    """Any descending thresholds."""
    steps = st.lists(st.integers(1, 32), min_size=1, max_size=8, unique=True)
    return steps.map(lambda values: tuple(value / 16 for value in sorted(values, reverse=True)))


def multi_threshold():
    """Multi-threshold neurons."""
    return st.builds(
        MultiThreshold, binary_ladders() | general_ladders(), initial=sixteenths(-1, 1), strict=st.booleans()
    )


def _single_threshold(model, **more):
    resets = st.sampled_from(("subtract", "zero"))
    options = {"threshold": sixteenths(1 / 16, 2), "reset": resets, "strict": st.booleans()}
    return st.builds(model, **options, initial=sixteenths(-1, 1), **more)


def integrate_and_fire():
    """Integrate-and-fire neurons."""
    return _single_threshold(IntegrateAndFire)


def leaky_integrate_and_fire():
    """Leaky neurons whose decay is a power of two."""
    return _single_threshold(LeakyIntegrateAndFire, decay=st.sampled_from((0.5, 0.0, 1.0)))


def neuron_models():
    """Any neuron model."""
    return multi_threshold() | integrate_and_fire() | leaky_integrate_and_fire()


def charge_conserving_models():
    """Neuron models without leak that are reset by subtraction."""
    subtracting = integrate_and_fire().map(
        lambda model: IntegrateAndFire(model.threshold, initial=model.initial, strict=model.strict)
    )
    return multi_threshold() | subtracting


# --- Synapses: each strategy gives a node that fits the source's shape ------------------------------------------------


@st.composite
def _groups(draw, in_channels):
    divisors = [k for k in range(1, in_channels + 1) if in_channels % k == 0]
    return draw(st.just(1) | st.sampled_from(divisors), label="groups")


@st.composite
def _out_channels(draw, groups):
    """Output channels, a multiple of the groups."""
    wanted = draw(CHANNELS, label="out channels")
    return groups * max(1, round(wanted / groups))


@st.composite
def conv2d(draw, name, source, shape, values):
    """Convolution with any kernel, stride, padding, dilation and groups that suit the shape."""
    channels, *sides = shape
    padding = [draw(st.integers(0, 3), label="padding") for _ in sides]
    dilation = [draw(st.integers(1, 3), label="dilation") for _ in sides]
    stride = [draw(st.integers(1, 3), label="stride") for _ in sides]
    largest = [min(4, (n + 2 * p - 1) // d + 1) for n, p, d in zip(sides, padding, dilation, strict=True)]
    kernel = [draw(st.integers(1, k), label="kernel") for k in largest]
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(out_channels, channels // groups, *kernel)
    return Conv2d(name, source, weight, values.bias(out_channels), stride, padding, dilation, groups)


@st.composite
def conv_transpose2d(draw, name, source, shape, values):
    """Transposed convolution with any geometry that suits the shape."""
    channels, *sides = shape
    kernel = [draw(st.integers(1, 4), label="kernel") for _ in sides]
    dilation = [draw(st.integers(1, 2), label="dilation") for _ in sides]
    stride = [draw(st.integers(1, 3 if 3 * n <= LARGEST_SIDE else 1), label="stride") for n in sides]
    extra = [draw(st.integers(0, max(s, d) - 1), label="extra") for s, d in zip(stride, dilation, strict=True)]
    geometry = zip(sides, stride, dilation, kernel, extra, strict=True)
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in geometry]
    padding = [draw(st.integers(0, min(3, (n - 1) // 2)), label="padding") for n in full]
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(channels, out_channels // groups, *kernel)
    bias = values.bias(out_channels)
    return ConvTranspose2d(name, source, weight, bias, stride, padding, extra, dilation, groups)


@st.composite
def avg_pool2d(draw, name, source, shape, values):
    """Average pool whose window's area is a power of two."""
    _, *sides = shape
    kernel = [draw(st.sampled_from([k for k in (2, 1, 4) if k <= n + 2 * (k // 2)]), label="window") for n in sides]
    least = [max(0, -((n - k) // 2)) for n, k in zip(sides, kernel, strict=True)]
    padding = [draw(st.integers(p, k // 2), label="padding") for p, k in zip(least, kernel, strict=True)]
    stride = [draw(st.integers(1, 4), label="stride") for _ in sides]
    return AvgPool2d(name, source, kernel, stride, padding)


@st.composite
def linear(draw, name, source, shape, values):
    """Full connection; few outputs, because the inputs are many."""
    features = draw(st.integers(1, 20), label="features")
    return Linear(name, source, values.weight(features, int(np.prod(shape))), values.bias(features))


SYNAPSES = {"conv2d": conv2d, "conv_transpose2d": conv_transpose2d, "avg_pool2d": avg_pool2d, "linear": linear}


# --- Networks --------------------------------------------------------------------------------------------------------


@st.composite
def cases(draw, models=None, dyadic=True, kinds=tuple(SYNAPSES), most_layers=4):
    """A random feed-forward network with skips and concatenations, a picture that fits it, and steps.

    Parameters
    ----------
    models : strategy of neuron models, or None for any
    dyadic : bool
        Whether every number is a multiple of 1/16.
    kinds : names of synapses from SYNAPSES
    most_layers : int
        Largest number of neuron layers.
    """
    models = neuron_models() if models is None else models
    values = draw(numbers(dyadic))
    picture_shape = (draw(CHANNELS, label="channels"), draw(SIDES, label="height"), draw(SIDES, label="width"))
    nodes, readable = [Input("input", picture_shape[0])], {"input": picture_shape}
    for index in range(draw(st.integers(0, most_layers), label="layers")):
        synapses = draw(_synapses(str(index), nodes, readable, values, kinds))
        neurons = Neurons(f"neurons{index}", synapses.name, draw(models, label="model"))
        nodes += [synapses, neurons]
        readable[neurons.name] = synapses.output_shape(readable[synapses.source])
    read_out = draw(_synapses("_readout", nodes, readable, values, kinds))
    nodes.append(read_out)
    if draw(st.integers(0, 4), label="neurons on the readout") == 1:
        nodes.append(Neurons("neurons_readout", read_out.name, draw(models, label="model")))
    network = Network([*nodes, Output("output", read_out.name)])
    return Case(network, values.draw(picture_shape, -0.5, 1.5), draw(_steps(network), label="steps"))


@st.composite
def _synapses(draw, suffix, nodes, readable, values, kinds):
    """A node that reads the newest layer, an older one, or a concatenation made for it (and added to `nodes`)."""
    names = list(readable)
    source = names[-1 - draw(st.integers(0, len(names) - 1), label="source")]
    same_size = [name for name in names if readable[name][1:] == readable[source][1:]]
    if draw(st.booleans(), label="concatenate"):
        parts = draw(st.lists(st.sampled_from(same_size), min_size=1, max_size=2), label="parts")
        concat = Concat(f"concat{suffix}", (*parts, source))
        readable[concat.name] = concat.output_shape(*(readable[part] for part in concat.parts))
        nodes.append(concat)
        source = concat.name
    kind = draw(st.sampled_from(kinds), label="kind")
    return draw(SYNAPSES[kind](f"{kind}{suffix}", source, readable[source], values))


def _steps(network):
    """Fewer steps where a leak halves the smallest digit of the membrane potential at each."""
    leaky = any(0 < getattr(node.model, "decay", 1) < 1 for node in network.neurons)
    return st.integers(1, 8) if leaky else STEPS
