"""Gradients of both methods against finite differences of the smooth networks in tests/smooth.py, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import smooth

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
    SignedMultiThreshold,
)
from spikeunet.engine.learning.finetune import Surrogate, Trainable, flow_gradients, run_through_time, time_gradients
from spikeunet.engine.learning.finetune.flow import FlowTape

KINDS = ("triangle", "fast-sigmoid", "arctan", "rectangle")
LADDER = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)
STEPS = 3
SHAPE = (2, 7, 6)


def weight(*shape):
    return np.zeros(shape, np.float32)


def chain(*synapses, model=LADDER):
    """Synapses with neurons between them, and a convolution to read out."""
    nodes, source = [Input("input", SHAPE[0])], "input"
    for index, make in enumerate(synapses):
        node = make(f"synapses{index}", source)
        nodes += [node, Neurons(f"neurons{index}", node.name, model)]
        source = f"neurons{index}"
    channels = 2 if isinstance(nodes[-2], AvgPool2d) else nodes[-2].out_channels
    return Network([*nodes, Conv2d("read", source, weight(2, channels, 1, 1)), Output("output", "read")])


def conv(out, into, *kernel, **options):
    return lambda name, source: Conv2d(name, source, weight(out, into // options.get("groups", 1), *kernel), **options)


def transposed(into, out, *kernel, **options):
    groups = options.get("groups", 1)
    return lambda name, source: ConvTranspose2d(name, source, weight(into, out // groups, *kernel), **options)


def pool(name, source):
    return AvgPool2d(name, source, (2, 3), (2, 1), (1, 1))


def full(out, into):
    return lambda name, source: Linear(name, source, weight(out, into))


def skips():
    """Concatenations of unequal width, nested, with the analog input among them, and a pooling layer in between."""
    return Network(
        [
            Input("input", 2),
            Conv2d("a", "input", weight(3, 2, 3, 3), padding=1),
            Neurons("neurons_a", "a", LADDER),
            AvgPool2d("pool", "neurons_a", 1),
            Neurons("pooled", "pool", LADDER),
            Conv2d("b", "pooled", weight(1, 3, 3, 3), padding=1),
            Neurons("neurons_b", "b", LADDER),
            Concat("inner", ("neurons_b", "input")),
            Concat("outer", ("neurons_a", "inner", "neurons_b")),
            Conv2d("c", "outer", weight(2, 7, 2, 2)),
            Neurons("neurons_c", "c", LADDER),
            Neurons("more_c", "c", IntegrateAndFire(0.5)),
            Concat("both", ("neurons_c", "more_c")),
            Conv2d("read", "both", weight(2, 4, 1, 1)),
            Output("output", "read"),
        ]
    )


NETWORKS = {
    "convolution": lambda: chain(conv(3, 2, 3, 3, padding=1), conv(2, 3, 3, 2)),
    "strided": lambda: chain(conv(3, 2, 3, 2, stride=(2, 1), padding=(1, 0)), conv(2, 3, 2, 2, stride=2)),
    "dilated": lambda: chain(conv(3, 2, 2, 3, dilation=(3, 2), padding=(2, 3)), conv(2, 3, 3, 1, dilation=(1, 4))),
    "grouped": lambda: chain(conv(4, 2, 3, 3, groups=2, padding=1), conv(6, 4, 1, 2, groups=2)),
    "transposed": lambda: chain(
        transposed(2, 3, 3, 3, stride=2, padding=1, output_padding=1), transposed(3, 2, 2, 3, stride=(1, 2))
    ),
    "grouped transposed": lambda: chain(
        transposed(2, 4, 3, 2, groups=2, dilation=2), transposed(4, 2, 1, 3, groups=2, stride=2)
    ),
    "pooling": lambda: chain(conv(2, 2, 3, 3, padding=1), pool),
    "linear": lambda: chain(full(5, 84), full(3, 5)),
    "linear after convolution": lambda: chain(conv(2, 2, 3, 3), full(4, 40)),
    "skips": skips,
    "strict": lambda: chain(conv(3, 2, 3, 3), model=MultiThreshold((0.7, 0.3, 0.2), strict=False)),
    "one step to zero": lambda: chain(conv(3, 2, 3, 3), model=IntegrateAndFire(0.4, reset="zero")),
    "integrate and fire": lambda: chain(conv(3, 2, 3, 3), conv(2, 3, 2, 2), model=IntegrateAndFire(0.4, initial=0.1)),
    "leaky": lambda: chain(conv(3, 2, 3, 3), conv(2, 3, 2, 2), model=LeakyIntegrateAndFire(0.4, 0.6)),
    "leaky to zero": lambda: chain(conv(3, 2, 3, 3), model=LeakyIntegrateAndFire(0.4, 0.6, "zero", initial=-0.1)),
}


class Problem:
    """A network with random parameters, two pictures and a linear loss."""

    def __init__(self, make, scales="none"):
        self.random = np.random.default_rng(0)
        self.trainable = Trainable(make(), scales, initial=True)
        fan = {"weight": 0.4, "bias": 0.2, "initial": 0.1, "log_scale": 0.2}
        self.parameters = {
            name: array + self.random.normal(0.1, fan[name.rpartition(".")[2]], array.shape)
            for name, array in self.trainable.parameters(np.float64).items()
        }
        self.pictures = self.random.uniform(0, 1, (2, *SHAPE))
        shape = self.trainable.source.shapes(SHAPE)["output"]
        self.direction = self.random.standard_normal((2, *shape))
        self.batch = self.pictures.transpose(0, 2, 3, 1)
        self.gradient = self.direction.transpose(0, 2, 3, 1)

    def loss(self, run, parameters):
        """Sum over the pictures of `run(network, picture, index)` times the direction."""
        network = self.trainable.network(parameters)
        outputs = [run(network, picture, index) for index, picture in enumerate(self.pictures)]
        return sum(float((output * by).sum()) for output, by in zip(outputs, self.direction, strict=True))

    def check(self, gradients, run, step=1e-6):
        """Compare gradients with central differences along a random direction, in which all elements take part."""
        found = self.trainable.pull_back(self.parameters, gradients)
        assert sorted(found) == sorted(self.trainable.trained)
        largest = 0.0
        for name, array in self.parameters.items():
            direction = self.random.choice([-1.0, 1.0], array.shape)
            moved = step * direction
            sides = [self.loss(run, {**self.parameters, name: array + sign * moved}) for sign in (1, -1)]
            numeric = (sides[0] - sides[1]) / (2 * step)
            norm = np.linalg.norm(found[name])
            assert abs((found[name] * direction).sum() - numeric) < 1e-6 * max(norm, 1e-2), name
            largest = max(largest, norm)
        assert largest > 0.1


def check_through_time(problem, surrogate):
    network = problem.trainable.network(problem.parameters)
    tape = run_through_time(network, problem.batch, STEPS, surrogate)
    base = [smooth.time_output(network, picture, STEPS, surrogate) for picture in problem.pictures]
    expected = np.stack([output for output, _ in base]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(tape.output, expected, rtol=1e-12, atol=1e-12)

    def run(changed, picture, index):
        frozen = base[index][1] if surrogate.detach_reset else None
        return smooth.time_output(changed, picture, STEPS, surrogate, frozen)[0]

    problem.check(time_gradients(network, tape, problem.gradient), run)


@pytest.mark.parametrize("name", NETWORKS)
def test_through_time_equals_finite_differences(name):
    check_through_time(Problem(NETWORKS[name]), Surrogate("fast-sigmoid", smooth=True))


@pytest.mark.parametrize("name", ["skips", "integrate and fire", "leaky to zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_surrogates_equal_finite_differences(name, kind):
    """Each network and each kind through the reset and detached from it."""
    detached = (len(name) + KINDS.index(kind)) % 2 == 0
    check_through_time(Problem(NETWORKS[name]), Surrogate(kind, 0.8, detach_reset=detached, smooth=True))


def check_flow(problem):
    network = problem.trainable.network(problem.parameters)
    runs = [smooth.flow_values(network, picture, STEPS) for picture in problem.pictures]
    spiking = [node.name for node in network.neurons]

    def stacked(part, name):
        return np.stack([run[part][name] for run in runs]).transpose(0, 2, 3, 1)

    values = {name: stacked(1, name) for name in ("input", *spiking)}
    charged = {name: stacked(2, name) for name in spiking}
    tape = FlowTape(STEPS, values, charged, np.zeros(0), 0)
    found = flow_gradients(network, tape, problem.gradient)
    problem.check(found, lambda changed, picture, _: smooth.flow_values(changed, picture, STEPS)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_flow_equals_finite_differences(name):
    check_flow(Problem(NETWORKS[name]))


@pytest.mark.parametrize("scales", ["none", "channel"])
def test_flow_through_signed_neurons_equals_finite_differences(scales):
    check_flow(Problem(lambda: chain(conv(3, 2, 3, 3), conv(2, 3, 2, 2), model=SignedMultiThreshold()), scales))


SCALED = ["strided", "grouped", "transposed", "grouped transposed", "linear after convolution", "skips", "two readers"]


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("scales", ["layer", "channel"])
def test_threshold_scales_equal_finite_differences(name, scales):
    """Each network with both kinds of scales and by both methods, in turns."""
    problem = Problem(NETWORKS.get(name, two_readers), scales)
    if (scales == "layer") == (SCALED.index(name) % 2 == 0):
        check_flow(problem)
    else:
        check_through_time(problem, Surrogate("arctan", smooth=True))


def two_readers():
    """Layers that are scaled, pooled together, and a readout that also feeds neurons, so that its scale is fixed."""
    return Network(
        [
            Input("input", 2),
            Conv2d("a", "input", weight(3, 2, 3, 3), padding=1),
            Neurons("neurons_a", "a", LADDER),
            Conv2d("b", "neurons_a", weight(2, 3, 1, 1)),
            Neurons("neurons_b", "b", LADDER),
            Concat("joined", ("neurons_a", "neurons_b")),
            AvgPool2d("pool", "joined", 2),
            Neurons("pooled", "pool", LADDER),
            Conv2d("read", "pooled", weight(2, 5, 1, 1)),
            Neurons("unread", "read", LADDER),
            Output("output", "read"),
        ]
    )


def test_a_readout_without_neurons_before_it():
    network = Network([Input("input", 2), Conv2d("read", "input", weight(2, 2, 3, 3)), Output("output", "read")])
    check_flow(Problem(lambda: network))
    check_through_time(Problem(lambda: network), Surrogate(smooth=True))


def test_scales_are_fixed_where_nothing_could_undo_them():
    names = Trainable(two_readers(), "layer").parameters()
    assert [name for name in names if name.endswith("log_scale")] == ["a.log_scale", "b.log_scale"]
    network = two_readers()
    pooled = [node for node in network.nodes if node.name not in ("read", "unread", "output")]
    network = Network([*pooled, AvgPool2d("last", "pooled", 1), Output("output", "last")])
    assert not [name for name in Trainable(network, "layer").parameters() if name.endswith("log_scale")]
