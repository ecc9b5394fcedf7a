"""The specification itself: against the golden vectors, PyTorch, hand-worked neurons and counts by another road."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from golden_network import GOLDEN_MODELS, golden_network, read_golden
from hypothesis import given
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
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)
from spikeunet.engine.testing import product_targets, reference, reference_synapses, strategies


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_reproduces_golden_vectors(golden_folder, name):
    golden = read_golden(golden_folder, name)
    network = golden_network(golden.weights, GOLDEN_MODELS[name])
    result = reference.simulate(network, golden.picture, golden.steps)
    for kind, layers in golden.records.items():
        for layer, values in layers.items():
            np.testing.assert_array_equal(getattr(result, kind)[layer], values, f"{kind} of {layer}")
    np.testing.assert_array_equal(result.readout, golden.readout)


# --- Synapses --------------------------------------------------------------------------------------------------------


@st.composite
def synapses(draw, kind):
    """A node of the given kind and a dyadic input that fits it."""
    shape = draw(strategies.shapes(kind).filter(lambda shape: np.prod(shape) < 300))
    values = draw(strategies.numbers())
    return draw(strategies.SYNAPSES[kind]("node", "input", shape, values)), values.draw(shape, -1, 1)


@given(synapses("conv2d"))
def test_conv2d_is_pytorchs(case):
    torch = pytest.importorskip("torch")
    node, x = case
    expected = torch.nn.functional.conv2d(
        torch.tensor(x).double(), torch.tensor(node.weight).double(), torch.tensor(node.bias).double(), *_options(node)
    )
    np.testing.assert_array_equal(reference_synapses.conv2d(node, x), expected.numpy())


@given(synapses("conv_transpose2d"))
def test_conv_transpose2d_is_pytorchs(case):
    torch = pytest.importorskip("torch")
    node, x = case
    stride, padding, dilation, groups = _options(node)
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x).double(),
        torch.tensor(node.weight).double(),
        torch.tensor(node.bias).double(),
        stride,
        padding,
        node.output_padding,
        groups,
        dilation,
    )
    np.testing.assert_array_equal(reference_synapses.conv_transpose2d(node, x), expected.numpy())


@given(synapses("avg_pool2d"))
def test_avg_pool2d_is_pytorchs(case):
    torch = pytest.importorskip("torch")
    node, x = case
    expected = torch.nn.functional.avg_pool2d(torch.tensor(x), node.kernel_size, node.stride, node.padding)
    np.testing.assert_array_equal(reference_synapses.avg_pool2d(node, x), expected.numpy())


@given(synapses("linear"))
def test_linear_is_pytorchs(case):
    torch = pytest.importorskip("torch")
    node, x = case
    expected = torch.nn.functional.linear(torch.tensor(x.ravel()), torch.tensor(node.weight), torch.tensor(node.bias))
    np.testing.assert_array_equal(reference_synapses.linear(node, x)[:, 0, 0], expected.numpy())


def _options(node):
    return node.stride, node.padding, node.dilation, node.groups


def test_conv2d_by_hand():
    node = Conv2d("conv", "input", np.float32([[[[1, 2], [3, 4]]]]), np.float32([0.5]))
    np.testing.assert_array_equal(reference_synapses.conv2d(node, np.float32([[[1, 0, 2], [0, 1, 0]]])), [[[5.5, 7.5]]])


def test_conv_transpose2d_by_hand():
    node = ConvTranspose2d("up", "input", np.float32([[[[1, 2]]]]), stride=(1, 2), output_padding=(0, 1))
    np.testing.assert_array_equal(
        reference_synapses.conv_transpose2d(node, np.float32([[[1, 3]]])), [[[1, 2, 3, 6, 0]]]
    )


def test_avg_pool2d_counts_padding_as_zeros():
    node = AvgPool2d("pool", "input", kernel_size=2, stride=2, padding=1)
    np.testing.assert_array_equal(reference_synapses.avg_pool2d(node, np.full((1, 2, 2), 4.0)), np.full((1, 2, 2), 1.0))


# --- Neurons ---------------------------------------------------------------------------------------------------------


def run_neuron(model, currents):
    """Values emitted and membrane potentials of a single neuron."""
    membrane, emitted, membranes = np.full((1, 1, 1), model.initial), [], []
    for current in currents:
        membrane, value, _ = reference.fire(model, membrane, np.full((1, 1, 1), float(current)))
        emitted.append(value.item())
        membranes.append(membrane.item())
    return emitted, membranes


@pytest.mark.parametrize(
    ("model", "currents", "emitted", "membranes"),
    [
        (MultiThreshold(), (2, 1.75, 5, -9), (1.75, 1.75, 3.75, 0), (0.25, 0.25, 1.5, -7.5)),
        (MultiThreshold(strict=False), (2, 0.25), (2, 0.25), (0, 0)),
        (MultiThreshold((1, 0.75), initial=0.5), (1.5, 0), (1.75, 0), (0.25, 0.25)),
        (IntegrateAndFire(), (0.5, 0.5, 2.5), (0, 1, 1), (0.5, 0, 1.5)),
        (IntegrateAndFire(reset="zero"), (0.5, 0.75, 2.5), (0, 1, 1), (0.5, 0, 0)),
        (IntegrateAndFire(strict=True), (0.5, 0.5, 0.5), (0, 0, 1), (0.5, 1, 0.5)),
        (IntegrateAndFire(2.0, initial=1.0), (1, -4), (2, 0), (0, -4)),
        (LeakyIntegrateAndFire(decay=0.5), (0.75, 0.5, 0.75, 0), (0, 0, 1, 0), (0.75, 0.875, 0.1875, 0.09375)),
        (LeakyIntegrateAndFire(decay=0.0, reset="zero"), (0.75, 0.75, 1.5), (0, 0, 1), (0.75, 0.75, 0)),
    ],
)
def test_neurons_by_hand(model, currents, emitted, membranes):
    assert run_neuron(model, currents) == (list(emitted), list(membranes))


@given(st.integers(1, 5), st.sampled_from((0.0625, 0.25, 0.5)), st.integers(-200, 200).map(lambda n: n / 64))
def test_closed_form_of_a_binary_ladder(count, quantum, potential):
    model = MultiThreshold(tuple(quantum * 2**k for k in reversed(range(count))))
    (emitted,), _ = run_neuron(model, [potential])
    assert emitted == quantum * np.clip(np.ceil(potential / quantum) - 1, 0, 2**count - 1)


# --- Counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", strategies.SYNAPSES)
@given(data=st.data())
def test_targets_are_the_products_that_are_made(kind, data):
    """With all weights one and no bias, an event of value one alone reaches so many targets."""
    node, x = data.draw(synapses(kind))
    ones = {name: np.ones_like(getattr(node, name)) * (name == "weight") for name in node.arrays}
    outgoing = node.output_shape(x.shape)
    made = product_targets.targets(node, x.shape, outgoing)
    for _ in range(4):
        site = tuple(data.draw(st.integers(0, size - 1)) for size in x.shape)
        alone = np.zeros(x.shape)
        alone[site] = 1.0
        if isinstance(node, MaxPool2d):
            # Of several that have put out the same, the first one is let through; of one alone, there is no question.
            plain = dataclasses.replace(node, variant="lateral-inhibition")
            current = reference.STATEFUL[MaxPool2d](plain, np.zeros(x.shape), alone)[1]
        else:
            current = reference.SYNAPSES[type(node)](dataclasses.replace(node, **ones), alone)
        assert made[site] == np.count_nonzero(current)


def test_dense_macs_by_hand():
    image = np.zeros((4, 5, 6), np.float32)
    convolution = Conv2d("conv", "input", np.zeros((8, 2, 3, 3), np.float32), stride=2, padding=1, groups=2)
    transposed = ConvTranspose2d("conv", "input", np.zeros((4, 3, 3, 3), np.float32), stride=2, groups=2)
    full = Linear("conv", "input", np.zeros((7, 120), np.float32))
    assert _macs(convolution, image) == 8 * 3 * 3 * 2 * 9
    assert _macs(transposed, image) == 5 * 6 * 4 * 3 * 9
    assert _macs(full, image) == 7 * 120


def test_macs_leave_padding_out():
    """A 3x3 kernel with padding 1 on 2x2 pixels meets each of the four pixels from all four positions."""
    node = Conv2d("conv", "input", np.zeros((5, 1, 3, 3), np.float32), padding=1)
    network = Network([Input("input"), node, Output("output", "conv")])
    result = reference.simulate(network, np.zeros((1, 2, 2), np.float32), 3)
    assert (result.macs, result.dense_macs) == ({"conv": 4 * 4 * 5}, {"conv": 4 * 9 * 5})


def test_accumulates_by_hand():
    """A concatenation of the analog input and a layer of neurons: events count at each step, the input once."""
    one = np.ones((1, 1, 1, 1), np.float32)
    neurons = Neurons("neurons", "identity", IntegrateAndFire())
    both = Concat("both", ("input", "neurons"))
    node = Conv2d("conv", "both", np.ones((3, 2, 2, 2), np.float32))
    network = Network([Input("input"), Conv2d("identity", "input", one), neurons, both, node, Output("output", "conv")])
    picture = np.float32([[[1, 0, 0], [0.5, 0.5, 0.5]]])
    result = reference.simulate(network, picture, 2)
    np.testing.assert_array_equal(result.events["neurons"], [1, 4])
    np.testing.assert_array_equal(result.accumulates["conv"], [3, 3 * (1 + 1 + 2 + 1)])
    assert result.macs == {"identity": 6, "conv": 3 * 2 * 4}


def _macs(node, image):
    network = Network([Input("input", 4), node, Neurons("neurons", "conv"), Output("output", "conv")])
    return reference.simulate(network, image, 1).dense_macs["conv"]


# --- Exactness -------------------------------------------------------------------------------------------------------


@given(strategies.cases())
def test_strategies_draw_networks_that_float32_holds(case):
    """`simulate` of the reference raises where float32 would round."""
    reference.simulate(case.network, case.picture, case.steps)


def test_rounding_is_noticed():
    with pytest.raises(AssertionError, match="not exact in float32"):
        reference.exact_float32(np.array([1 / 3]))
