"""Nodes and networks: shapes, order, immutability, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)
from spikeunet.engine.errors import GraphError, InputError
from spikeunet.engine.testing import reference, strategies


def ones(*shape):
    return np.ones(shape, np.float32)


def small_network():
    """Input, convolution, neurons, readout."""
    return [
        Input("input"),
        Conv2d("conv", "input", ones(3, 1, 3, 3), padding=1),
        Neurons("relu", "conv", MultiThreshold()),
        Conv2d("readout", "relu", ones(2, 3, 1, 1)),
        Output("output", "readout"),
    ]


# --- Nodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", strategies.SYNAPSES)
@given(data=st.data())
def test_output_shapes_are_those_of_the_computation(kind, data):
    shape = data.draw(strategies.shapes(kind))
    values = data.draw(strategies.numbers())
    node = data.draw(strategies.SYNAPSES[kind]("node", "input", shape, values))
    picture = values.draw(shape, 0, 1)
    if type(node) in reference.STATEFUL:
        _, current = reference.STATEFUL[type(node)](node, np.zeros(shape), picture)
    else:
        current = reference.SYNAPSES[type(node)](node, picture)
    assert node.output_shape(shape) == current.shape


@pytest.mark.parametrize(
    ("node", "incoming", "outgoing"),
    [
        (Conv2d("n", "s", ones(5, 2, 3, 3)), (2, 7, 9), (5, 5, 7)),
        (Conv2d("n", "s", ones(5, 2, 3, 2), stride=(2, 3), padding=(1, 0)), (2, 7, 9), (5, 4, 3)),
        (Conv2d("n", "s", ones(4, 1, 3, 3), dilation=(2, 3), groups=2), (2, 7, 9), (4, 3, 3)),
        (ConvTranspose2d("n", "s", ones(2, 5, 3, 3), stride=2, padding=1, output_padding=1), (2, 7, 9), (5, 14, 18)),
        (ConvTranspose2d("n", "s", ones(2, 5, 2, 3), stride=(1, 3), dilation=(3, 1)), (2, 7, 9), (5, 10, 27)),
        (ConvTranspose2d("n", "s", ones(4, 3, 2, 2), stride=2, groups=2), (4, 1, 1), (6, 2, 2)),
        (AvgPool2d("n", "s"), (2, 7, 9), (2, 3, 4)),
        (AvgPool2d("n", "s", kernel_size=3, stride=(1, 2), padding=1), (2, 7, 9), (2, 7, 5)),
        (Linear("n", "s", ones(4, 126)), (2, 7, 9), (4, 1, 1)),
        (Input("n", 2), (2, 7, 9), (2, 7, 9)),
        (Neurons("n", "s"), (2, 7, 9), (2, 7, 9)),
        (Output("n", "s"), (2, 7, 9), (2, 7, 9)),
    ],
)
def test_output_shapes_by_hand(node, incoming, outgoing):
    assert node.output_shape(incoming) == outgoing


def test_concat_adds_channels():
    assert Concat("n", ("a", "b", "c")).output_shape((1, 4, 5), (20, 4, 5), (3, 4, 5)) == (24, 4, 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_become_float32(dtype):
    node = Conv2d("conv", "input", ones(2, 1, 3, 3).astype(dtype), ones(2).astype(dtype))
    assert node.weight.dtype == node.bias.dtype == np.float32


def test_missing_bias_is_zero():
    nodes = [
        Conv2d("n", "s", ones(4, 2, 1, 1), groups=2),
        ConvTranspose2d("n", "s", ones(4, 2, 1, 1), groups=2),
        Linear("n", "s", ones(4, 2)),
    ]
    for node in nodes:
        np.testing.assert_array_equal(node.bias, np.zeros(4, np.float32))


def test_nodes_are_immutable():
    weight = ones(2, 1, 3, 3)
    node = Conv2d("conv", "input", weight)
    weight[:] = 7
    assert (node.weight == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        node.weight[0, 0, 0, 0] = 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.stride = (2, 2)


def test_numbers_and_lists_become_pairs():
    node = Conv2d("conv", "input", ones(2, 1, 3, 3), stride=2, padding=[1, 0], dilation=np.int64(3))
    assert (node.stride, node.padding, node.dilation) == ((2, 2), (1, 0), (3, 3))
    assert AvgPool2d("pool", "input", kernel_size=(3, 2)).stride == (3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Input("i", 0), r"Input 'i': channels must be an integer of at least 1 \(got 0\)"),
        (lambda: Input("i", 1.0), r"channels must be an integer.*got 1\.0"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3)), r"Conv2d 'c': weight .*4-dimensional.*\(2, 1, 3\)"),
        (lambda: Conv2d("c", "i", ones(0, 1, 3, 3)), r"weight .*non-empty.*\(0, 1, 3, 3\)"),
        (lambda: Conv2d("c", "i", ones(2, 1, 0, 3)), r"weight .*non-empty.*\(2, 1, 0, 3\)"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3).astype(int)), r"weight must hold floating-point.*got int64"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3) * np.nan), "weight has values that are NaN or infinite"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), ones(3)), r"bias must have 2 values \(got 3\)"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), ones(2, 1)), r"bias .*1-dimensional.*\(2, 1\)"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), ones(2) * np.inf), "bias has values that are NaN or infinite"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), stride=0), r"stride must be an integer of at least 1 \(got 0\)"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), stride=True), r"stride must be an integer.*got True"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), stride=(1, 2, 3)), r"stride must be one integer or two"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), padding=-1), r"padding must be an integer of at least 0.*-1"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), padding="same"), r"padding must be an integer.*got 'same'"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), dilation=0.5), r"dilation must be an integer.*got 0\.5"),
        (lambda: Conv2d("c", "i", ones(2, 1, 3, 3), groups=0), r"groups must be an integer of at least 1"),
        (lambda: Conv2d("c", "i", ones(3, 1, 3, 3), groups=2), r"groups is 2, which does not divide 3 output"),
        (lambda: ConvTranspose2d("c", "i", ones(3, 1, 3, 3), groups=2), r"groups is 2, which does not divide 3 input"),
        (lambda: ConvTranspose2d("c", "i", ones(2, 3, 3, 3), ones(2)), r"bias must have 3 values \(got 2\)"),
        (
            lambda: ConvTranspose2d("c", "i", ones(2, 3, 3, 3), stride=2, output_padding=2),
            r"output_padding \(2, 2\) must be smaller than stride or dilation",
        ),
        (lambda: AvgPool2d("p", "i", kernel_size=0), r"AvgPool2d 'p': kernel_size must be an integer of at least 1"),
        (lambda: AvgPool2d("p", "i", kernel_size=2, stride=0), r"stride must be an integer of at least 1"),
        (lambda: AvgPool2d("p", "i", kernel_size=2, padding=2), r"padding \(2, 2\) must be at most half"),
        (lambda: Linear("l", "i", ones(2, 3, 1)), r"Linear 'l': weight .*2-dimensional"),
        (lambda: Linear("l", "i", ones(2, 3), ones(3)), r"bias must have 2 values \(got 3\)"),
        (lambda: Concat("c", ()), r"Concat 'c': parts must name at least one source"),
        (
            lambda: Neurons("n", "i", MultiThreshold),
            "'n': model must be a neuron model such as .*got <class",
        ),
        (lambda: Neurons("n", "i", "IF"), r"Neurons 'n': model must be a neuron model such as .*got 'IF'"),
    ],
)
def test_nodes_that_are_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()


@pytest.mark.parametrize(
    ("node", "shapes", "message"),
    [
        (Conv2d("c", "i", ones(2, 3, 1, 1)), [(4, 5, 5)], "takes 3 channels, but the source puts out 4"),
        (Conv2d("c", "i", ones(2, 1, 1, 1), groups=2), [(1, 5, 5)], "takes 2 channels, but the source puts out 1"),
        (Conv2d("c", "i", ones(2, 3, 4, 1)), [(3, 3, 5)], "kernel does not fit an input of 3x5"),
        (ConvTranspose2d("c", "i", ones(2, 3, 1, 1)), [(3, 5, 5)], "takes 2 channels, but the source puts out 3"),
        (ConvTranspose2d("c", "i", ones(2, 3, 1, 1), padding=1), [(2, 2, 5)], "kernel does not fit"),
        (AvgPool2d("p", "i", 4), [(2, 3, 5)], "kernel does not fit an input of 3x5"),
        (Linear("l", "i", ones(2, 6)), [(1, 2, 4)], "takes 6 features, but the source puts out 1x2x4"),
        (Concat("c", ("a", "b")), [(1, 2, 4), (1, 4, 2)], "parts differ in size: a 2x4, b 4x2"),
    ],
)
def test_shapes_that_are_refused(node, shapes, message):
    with pytest.raises(GraphError, match=message):
        node.output_shape(*shapes)


# --- Networks --------------------------------------------------------------------------------------------------------


@given(strategies.cases(), st.randoms())
def test_nodes_may_come_in_any_order(case, random):
    nodes = list(case.network.nodes)
    random.shuffle(nodes)
    names = [node.name for node in Network(nodes).nodes]
    for node in nodes:
        at_once = () if getattr(node, "delay", 0) else node.sources
        assert all(names.index(source) < names.index(node.name) for source in at_once)
    assert sorted(names) == sorted(node.name for node in nodes)


def test_network_knows_its_nodes():
    nodes = small_network()
    network = Network(nodes, {"task": "denoise"}, {"relu": 2})
    assert network["conv"] is nodes[1]
    assert (network.input, network.output, network.neurons) == (nodes[0], nodes[-1], (nodes[2],))
    assert network.parameters == 27 + 6
    assert dict(network.normalization) == {"relu": 2.0}
    assert repr(network) == "Network(5 nodes, 1 neuron layers, 33 parameters)"
    assert network.shapes((1, 4, 5)) == {
        "input": (1, 4, 5),
        "conv": (3, 4, 5),
        "relu": (3, 4, 5),
        "readout": (2, 4, 5),
        "output": (2, 4, 5),
    }


def test_network_is_immutable():
    metadata = {"task": "denoise"}
    network = Network(small_network(), metadata)
    metadata["task"] = "segment"
    assert network.metadata["task"] == "denoise"
    with pytest.raises(TypeError, match="does not support item assignment"):
        network.metadata["task"] = "segment"
    with pytest.raises(TypeError, match="does not support item assignment"):
        network.normalization["relu"] = 1.0


def test_replace():
    network = Network(small_network(), {"task": "denoise"}, {"relu": 2})
    other = [
        dataclasses.replace(node, model=IntegrateAndFire()) if isinstance(node, Neurons) else node
        for node in network.nodes
    ]
    changed = network.replace(other, metadata={"steps": 4})
    assert changed.neurons[0].model == IntegrateAndFire()
    assert (dict(changed.metadata), dict(changed.normalization)) == ({"steps": 4}, {"relu": 2.0})
    assert network.neurons[0].model == MultiThreshold()


@pytest.mark.parametrize(
    ("levels", "multiple"),
    [(0, 1), (1, 2), (4, 16)],
)
def test_size_multiple_of_a_u_net(levels, multiple):
    nodes, source = [Input("input")], "input"
    for level in range(levels):
        nodes += [AvgPool2d(f"pool{level}", source), Neurons(f"down{level}", f"pool{level}")]
        source = f"down{level}"
    for level in range(levels):
        up = ConvTranspose2d(f"up{level}", source, ones(1, 1, 3, 3), stride=2, padding=1, output_padding=1)
        nodes += [up, Neurons(f"relu{level}", up.name)]
        source = f"relu{level}"
    network = Network([*nodes, Conv2d("conv", source, ones(1, 1, 1, 1)), Output("output", "conv")])
    assert network.size_multiple == multiple
    assert network.shapes((1, 3 * multiple, multiple))["output"] == (1, 3 * multiple, multiple)


def with_nodes(*more, without=()):
    """The small network with some nodes more and some less."""
    return lambda: Network([node for node in small_network() if node.name not in without] + list(more))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (with_nodes(without=("output",)), r"at least one Output node \(got none"),
        (with_nodes(Neurons("relu", "conv")), "two nodes are called 'relu'"),
        (with_nodes(without=("conv",)), "'relu' reads 'conv', which is not a node"),
        (with_nodes(Concat("both", ("input", "nothing"))), "'both' reads 'nothing', which is not a node"),
        (with_nodes(AvgPool2d("pool", "conv")), "AvgPool2d 'pool' reads 'conv', a Conv2d; it can read Input"),
        (with_nodes(Neurons("more", "relu")), "Neurons 'more' reads 'relu', a Neurons; it can read Synapses"),
        (with_nodes(Neurons("more", "input")), "Neurons 'more' reads 'input', a Input; it can read Synapses"),
        (with_nodes(Concat("both", ("relu", "conv"))), "Concat 'both' reads 'conv', a Conv2d; it can read Input"),
        (with_nodes(AvgPool2d("pool", "output")), "AvgPool2d 'pool' reads 'output', a Output"),
        (with_nodes(Output("output", "relu"), without=("output",)), "Output 'output' reads 'relu', a Neurons"),
        (with_nodes(AvgPool2d("pool", "loop"), Neurons("loop", "pool")), "cycle through '(pool|loop)'"),
        (with_nodes(Concat("self", ("self",))), "cycle through 'self'"),
    ],
)
def test_networks_that_are_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_unknown_names_are_refused():
    network = Network(small_network())
    with pytest.raises(GraphError, match="no node is called 'relu9'; there are input, conv, relu"):
        network["relu9"]
    with pytest.raises(GraphError, match="normalization names no neuron layer: conv"):
        Network(small_network(), normalization={"conv": 1.0})


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 0, 4)])
def test_pictures_that_do_not_fit_are_refused(shape):
    with pytest.raises(InputError, match=f"a picture of {'x'.join(map(str, shape))} .*does not fit the network"):
        Network(small_network()).shapes(shape)


def test_what_fits_is_said_where_it_differs_from_what_was_given():
    network = Network([Input("input", 1), Conv2d("conv", "input", np.ones((1, 1, 5, 5))), Output("output", "conv")])
    with pytest.raises(InputError, match=r"1x6x4 .* kernel does not fit .*; give one of another size$"):
        network.shapes((1, 6, 4))
    with pytest.raises(InputError, match=r"2x6x6 .*; 1 channel\(s\) and sides that are multiples of 1 do$"):
        network.shapes((2, 6, 6))


def test_tensors_are_taken_for_arrays():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Conv2d(1, 2, 3)
    node = Conv2d("conv", "input", layer.weight, layer.bias)
    np.testing.assert_array_equal(node.weight, layer.weight.detach().numpy())
    assert node.bias.dtype == np.float32
    with pytest.raises(GraphError, match=r"Conv2d 'conv': weight must be an array of real numbers \(got"):
        Conv2d("conv", "input", layer.weight.bfloat16())
    with pytest.raises(GraphError, match=r"weight must be an array of real numbers \(got Conv2d\("):
        Conv2d("conv", "input", layer)


def test_rows_of_different_length_are_no_array():
    with pytest.raises(GraphError, match=r"Linear 'linear': weight must be an array .* \(got list: "):
        Linear("linear", "input", [[1.0, 2.0], [3.0]])
