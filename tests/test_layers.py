"""Every kind of layer: shapes, values and gradients, files and copies, what it reads and reaches, what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import layer_examples
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_examples import ALL, EXAMPLES
from model_files import assert_same_network

from spikeunet.engine import (
    BurstNeuron,
    Conv2d,
    Input,
    IntegrateAndFire,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Scale,
    SignedMultiThreshold,
    forward,
    layers,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.graph import Projection, Rows, Synapses
from spikeunet.engine.layers.registry import OWN
from spikeunet.engine.simulation.memory import layer_state
from spikeunet.engine.testing import product_targets, reference, strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same

PROJECTIONS = [(kind, number) for kind, number in ALL if issubclass(kind, Projection)]

every_kind = pytest.mark.parametrize(("kind", "number"), ALL)
every_projection = pytest.mark.parametrize(("kind", "number"), PROJECTIONS)


def example_of(kind, number):
    return EXAMPLES[kind][number]


def batch(shape, pictures=2, dtype=np.float64, seed=1):
    """(N, H, W, C)."""
    return np.random.default_rng(seed).standard_normal((pictures, *shape[1:], shape[0])).astype(dtype)


def channels_first(values):
    return values.transpose(0, 3, 1, 2)


def test_every_kind_has_an_example():
    assert set(EXAMPLES) == set(OWN)


# --- Values and gradients --------------------------------------------------------------------------------------------


@every_kind
def test_values_are_pytorchs(kind, number):
    pytest.importorskip("torch")
    example = example_of(kind, number)
    picture = channels_first(batch(example.shape, 1, np.float32))[0]
    expected = layer_examples.of_torch(example, picture[None])[0].detach().numpy()[0]
    found = forward(example.network, picture)[0]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@every_projection
def test_output_shapes_are_those_of_the_values(kind, number):
    example = example_of(kind, number)
    value = batch(example.shape)
    channels, height, width = example.node.output_shape(example.shape)
    assert example.node.forward((value,)).shape == (2, height, width, channels)
    assert example.node.channels_out(example.shape[0]) in (0, channels)


@every_projection
def test_parts_that_follow_one_another_are_one(kind, number):
    example = example_of(kind, number)
    value = batch(example.shape)
    parts = tuple(np.ascontiguousarray(part) for part in np.array_split(value, 2, axis=3) if part.size)
    np.testing.assert_array_equal(example.node.forward(parts), example.node.forward((value,)))


@every_projection
def test_gradients_are_pytorchs(kind, number):
    pytest.importorskip("torch")
    import torch

    example = example_of(kind, number)
    value = batch(example.shape)
    output, tensor, weights = layer_examples.of_torch(example, np.ascontiguousarray(channels_first(value)))
    gradient = np.random.default_rng(2).standard_normal(output.shape)
    output.backward(torch.tensor(gradient))
    into, found = example.node.backward((value,), np.ascontiguousarray(gradient.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(channels_first(into), tensor.grad.numpy(), rtol=1e-5, atol=1e-5)
    assert sorted(found) == sorted(example.node.arrays)
    for name, expected in zip(example.node.arrays, weights, strict=True):
        np.testing.assert_allclose(found[name], expected.grad.numpy(), rtol=1e-4, atol=1e-4)


@every_projection
def test_gradients_are_differences(kind, number):
    """In three random directions; of what is linear, exact whatever their size."""
    example = example_of(kind, number)
    node, value, random = example.node, batch(example.shape), np.random.default_rng(3)
    current = node.forward((value,))
    gradient = random.standard_normal(current.shape)
    into, found = node.backward((value,), gradient)
    assert node.backward((value,), gradient, into_input=False)[0] is None
    for _ in range(3):
        step = 1e-4 * random.standard_normal(value.shape)
        change = (node.forward((value + step,)) - node.forward((value - step,))) / 2
        np.testing.assert_allclose((into * step).sum(), (gradient * change).sum(), rtol=1e-4, atol=1e-7)
        for name in node.arrays if node.homogeneous else ():
            step = random.standard_normal(getattr(node, name).shape).astype(np.float32)
            others = {other: np.zeros_like(getattr(node, other)) for other in node.arrays}
            change = dataclasses.replace(node, **{**others, name: step}).forward((value,))
            np.testing.assert_allclose((found[name] * step).sum(), (gradient * change).sum(), rtol=1e-4, atol=1e-4)


def test_a_batch_norm_is_a_scale():
    torch = pytest.importorskip("torch")
    norm = torch.nn.BatchNorm2d(5, eps=1e-3).eval()
    with torch.no_grad():
        for array in (norm.running_mean, norm.weight, norm.bias):
            array.normal_()
        norm.running_var.uniform_(0.1, 4)
        picture = torch.randn(1, 5, 3, 7)
        expected = norm(picture).numpy()[0]
    arrays = [array.detach().numpy() for array in (norm.running_mean, norm.running_var, norm.weight, norm.bias)]
    node = Scale.batch_norm("norm", "input", *arrays, epsilon=1e-3)
    network = Network([Input("input", 5), node, Output("output", "norm")])
    np.testing.assert_allclose(forward(network, picture.numpy()[0])[0], expected, rtol=1e-5, atol=1e-5)
    plain = Scale.batch_norm("norm", "input", [0.0] * 3, [1.0] * 3, epsilon=0)
    assert (plain.weight.tolist(), plain.bias.tolist()) == ([1, 1, 1], [0, 0, 0])


# --- Max pooling through time ----------------------------------------------------------------------------------------


def step_by_step(node, value, steps):
    """What a max pool puts out at each step, of (steps * pictures, H, W, C)."""
    rule = reference.STATEFUL[MaxPool2d]
    by_step = value.reshape(steps, -1, *value.shape[1:])
    found = []
    for picture in range(by_step.shape[1]):
        state = np.zeros(by_step[0, 0].transpose(2, 0, 1).shape)
        for step in range(steps):
            state, current = rule(node, state, by_step[step, picture].transpose(2, 0, 1))
            found.append((step, picture, current.transpose(1, 2, 0)))
    return np.stack([current for _, _, current in sorted(found, key=lambda each: each[:2])])


@pytest.mark.parametrize("variant", ["lateral-inhibition", "gated"])
@pytest.mark.parametrize("geometry", [(2, None, 0), (3, 2, 1), ((4, 2), 1, (2, 1))])
def test_max_pooling_through_time(variant, geometry):
    node, steps = MaxPool2d("pool", "source", *geometry, variant=variant), 4
    value = batch((2, 3, 5), 2 * steps)
    np.testing.assert_allclose(node.forward_in_time((value,), steps), step_by_step(node, value, steps), atol=1e-12)
    random = np.random.default_rng(4)
    gradient = random.standard_normal(node.forward_in_time((value,), steps).shape)
    into = node.backward_in_time((value,), gradient, steps)
    for _ in range(3):
        step = 1e-6 * random.standard_normal(value.shape)
        change = (step_by_step(node, value + step, steps) - step_by_step(node, value - step, steps)) / 2
        np.testing.assert_allclose((into * step).sum(), (gradient * change).sum(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "models",
    [st.just(MultiThreshold((1.0, 0.5, 0.25))), pytest.param(strategies.neuron_models(), marks=pytest.mark.slow)],
    ids=["ladder", "all"],
)
@settings(max_examples=15)
@given(
    st.data(),
    st.sampled_from([(2, None, 0), (3, 1, 1), (2, 1, 1), ((3, 4), (2, 1), (1, 2))]),
    st.sampled_from((1, 8, 11)),
    st.integers(0, 99),
)
def test_what_a_max_pool_has_put_out_is_the_largest_sum(models, data, geometry, steps, seed):
    """At every step, of what the window's neurons have emitted until then; exactly."""
    model = data.draw(models)
    values = strategies.Numbers(np.random.default_rng(seed), dyadic=True, density=1.0)
    pool = MaxPool2d("pool", "neurons", *geometry)
    nodes = [Input("input", 2), Conv2d("conv", "input", values.weight(5, 2, 3, 3), values.bias(5), padding=1)]
    network = Network([*nodes, Neurons("neurons", "conv", model), pool, Output("output", "pool")])
    result = simulate(network, values.draw((2, 5, 6), 0, 1.5), steps, record=RECORDS, threads=2)
    sums = result.spikes["neurons"].astype(np.float64).cumsum(0)
    np.testing.assert_array_equal(result.readout, np.stack([largest(pool, part) for part in sums]))


def largest(pool, values):
    """Maximum of each window, what lies outside left out."""
    shape = pool.output_shape(values.shape)
    found = np.zeros(shape)
    for channel, y, x in np.ndindex(*shape):
        top, left = (
            k * s - p for k, s, p in zip((y, x), pool.stride, pool.padding, strict=True)
        )  # which may be below 0
        rows = slice(max(top, 0), max(top + pool.kernel_size[0], 0))
        columns = slice(max(left, 0), max(left + pool.kernel_size[1], 0))
        found[channel, y, x] = values[channel, rows, columns].max()
    return found


def test_neurons_with_a_kernel_of_their_own_behind_a_max_pool(monkeypatch):
    """Of their potentials, those of channels that fill a block up are never written, nor looked at."""
    empty = layer_state.aligned_empty
    monkeypatch.setattr(layer_state, "aligned_empty", lambda size: _filled(empty(size)))
    pool = MaxPool2d("pool", "first", 2)
    nodes = [Input("input", 3), Scale("scale", "input", np.ones(3, np.float32)), Neurons("first", "scale"), pool]
    neurons = Neurons("second", "pool", BurstNeuron(0.5, 3))
    network = Network([*nodes, neurons, Scale("last", "second", np.ones(3, np.float32)), Output("output", "last")])
    picture = np.full((3, 4, 6), 0.75, np.float32)
    assert_same(
        simulate(network, picture, 9, record=RECORDS, threads=1),
        reference.simulate(network, picture, 9),
    )


def _filled(array):
    array[:] = np.nan
    return array


# --- What is read, and what is reached -------------------------------------------------------------------------------


@every_projection
def test_fan_out_by_brute_force(kind, number):
    example = example_of(kind, number)
    node, shape = example.node, example.shape
    fan, outgoing = node.fan_out(shape), node.output_shape(shape)
    every = np.broadcast_to(np.outer(fan.rows, fan.columns) * fan.channels, shape)
    np.testing.assert_array_equal(every, product_targets.targets(node, shape, outgoing))
    nonzero = node.nonzero_weights()
    zero = node.zero_fan_out(shape, nonzero) if nonzero.size else None
    if zero is not None:
        met = zero.zeros[zero.row_classes[:, None], zero.column_classes].transpose(2, 0, 1)
        np.testing.assert_array_equal(every - met, product_targets.effective_targets(node, shape, outgoing))


@pytest.mark.parametrize("align_corners", [True, False])
def test_fan_out_of_enlarged_pictures_of_any_size(align_corners):
    """Places that fall on an input must not be rounded off it: sizes 8, 19 and 22 times 7 were."""
    node_of = EXAMPLES[type(example_of(*_enlarged()).node)][1].node
    for size in (1, 2, 3, 5, 8, 19, 22):
        for factor in (1, 2, 3, 5, 7):
            node = dataclasses.replace(node_of, scale_factor=(factor, 1), align_corners=align_corners)
            expected = product_targets.targets(node, (1, size, 1), (1, size * factor, 1))
            np.testing.assert_array_equal(node.fan_out((1, size, 1)).rows, expected[0, :, 0])


def _enlarged():
    return next((kind, number) for kind, number in ALL if kind.__name__ == "Upsample")


@every_projection
def test_rows_that_are_read_are_those_that_matter(kind, number):
    """Whatever stands in the others; and the currents of some rows are those of all."""
    example = example_of(kind, number)
    node, shape = example.node, example.shape
    value = batch(shape, 1, np.float32)
    whole, height = node.forward((value,)), node.output_shape(shape)[1]
    gathered = node.gathered(value)  # of what is added up over all rows, there are no others
    for first, last in ((a, b) for a in range(height) for b in range(a + 1, height + 1)):
        low, high = node.input_rows(first, last, shape)
        assert 0 <= low <= high <= shape[1]
        spoiled = np.full_like(value, 1e6)
        spoiled[:, low:high] = value[:, low:high]
        if gathered is None:
            found = node.forward((spoiled,))[:, first:last]
            np.testing.assert_allclose(found, whole[:, first:last], rtol=1e-5, atol=1e-5)
        if high > low and computes_itself(node):
            found = first_step(node, np.ascontiguousarray(value[:, low:high]), Rows(first, last, low, shape, gathered))
            every = first_step(node, value, Rows(0, height, 0, shape, gathered))
            np.testing.assert_array_equal(found, every[:, first:last])
            np.testing.assert_allclose(found, whole[:, first:last], rtol=1e-5, atol=1e-5)


def computes_itself(node):
    """Whether its current is made of values, and not by kernels, which are looked at further down."""
    few = isinstance(node, Conv2d) and (node.groups < node.in_channels or node.groups < 4)
    return type(node).current is not Synapses.current and not few


def first_step(node, values, rows):
    """The current of a step, from a fresh state where there is one."""
    _, _, width = node.output_shape(rows.incoming)
    state = np.zeros((rows.last - rows.first, width, values.shape[3], node.state_values), np.float32)
    return node.current(values, rows, state if node.state_values else None)


# --- Simulated -------------------------------------------------------------------------------------------------------

MODELS = (MultiThreshold(), IntegrateAndFire(0.5), BurstNeuron(0.25, 3), SignedMultiThreshold((1.0, 0.5)))


@st.composite
def simulated(draw, kind, most_steps=9):
    """A network of an example, with numbers of which no sum is rounded, or any."""
    example = draw(st.sampled_from(EXAMPLES[kind]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    model = draw(st.sampled_from(MODELS))
    weight = random.integers(-8, 17, (example.shape[0], example.shape[0])).astype(np.float32) / 16
    network = example.spiking(model, weight)
    picture = random.integers(-4, 17, example.shape).astype(np.float32) / 16
    return network, picture, draw(st.integers(1, most_steps))


# Each kind compiles kernels of its own; random graphs have all of them, in both orders, on several threads, in tiles.
SIMULATED = [kind for kind in OWN if kind.__name__ in ("MaxPool2d", "Scale")]


@pytest.mark.parametrize("kind", SIMULATED)
@settings(max_examples=6)
@given(data=st.data())
def test_tiles_threads_orders_and_batches_change_nothing(kind, data):
    network, picture, steps = data.draw(simulated(kind))
    expected = simulate(network, picture, steps, record=RECORDS, threads=1)
    for options in ({"order": "time"}, {"threads": 3}, {"tile": 1}, {"tile": 2, "threads": 2}, {"kernels": "events"}):
        assert_same(simulate(network, picture, steps, record=RECORDS, **options), expected)
    two = simulate(network, np.stack([picture[:, ::-1], picture]), steps, record=RECORDS)
    np.testing.assert_array_equal(two.readout[1], expected.readout)
    np.testing.assert_array_equal(two.spikes["neurons"][1], expected.spikes["neurons"])


@every_kind
def test_delays_carry_events_to_the_next_step(kind, number):
    """What neurons behind a delay receive is what those without one received a step earlier."""
    example = example_of(kind, number)
    network = example.spiking(IntegrateAndFire(0.25))
    parts = [node for node in network.nodes if isinstance(node, Projection) and node.source not in ("input", "neurons")]
    late = network.replace([dataclasses.replace(node, delay=1) if node in parts else node for node in network.nodes])
    picture = np.abs(batch(example.shape, 1, np.float32, seed=5))[0].transpose(2, 0, 1)
    steps = 5
    silent = [getattr(node, "bias", np.zeros(1)) * 0 for node in parts]
    quiet = [
        {node.name: dataclasses.replace(node, bias=zero) for node, zero in zip(nodes, silent, strict=True)
         if "bias" in node.arrays}
        for nodes in (parts, [late[node.name] for node in parts])
    ]  # fmt: skip
    early, late = (
        each.replace([changed.get(node.name, node) for node in each.nodes])
        for each, changed in zip((network, late), quiet, strict=True)
    )
    first, second = (simulate(each, picture, steps, record=RECORDS) for each in (early, late))
    np.testing.assert_array_equal(second.spikes["source"], first.spikes["source"])
    np.testing.assert_array_equal(second.spikes["neurons"][0], 0)
    np.testing.assert_array_equal(second.spikes["neurons"][1:], first.spikes["neurons"][:-1])


# --- Files and copies ------------------------------------------------------------------------------------------------


@every_kind
def test_files_and_copies_are_the_same_network(kind, number, tmp_path):
    network = example_of(kind, number).spiking()
    delayed = network.replace(
        [
            dataclasses.replace(node, delay=1) if isinstance(node, Projection) and node.source == "source" else node
            for node in network.nodes
        ]
    )
    for each in (network, delayed):
        save_model(each, tmp_path / "model.npz")
        for other in (load_model(tmp_path / "model.npz"), copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert_same_network(other, each)
            assert type(other["node"]) is kind
            with pytest.raises(dataclasses.FrozenInstanceError):
                other["node"].name = "another"
            for name in getattr(other["node"], "arrays", ()):
                assert not getattr(other["node"], name).flags.writeable


def test_channels_that_the_picture_decides():
    """Flattened features beside others, and in a sum: as many as there are pixels."""
    nodes = [
        Input("input"),
        layers.Flatten("flat", "input"),
        Neurons("features", "flat"),
        layers.GlobalAvgPool2d("mean", "input"),
        Neurons("means", "mean"),
        layers.Concat("both", ("features", "means")),
        layers.Scale("scale", "both", np.ones(7, np.float32)),
        layers.Scale("same", "both", np.ones(7, np.float32)),
        layers.Add("sum", ("scale", "same")),
        Output("output", "sum"),
    ]
    network = Network(nodes)
    assert {name: network.channels[name] for name in ("flat", "mean", "both", "scale", "sum")} == {
        "flat": 0, "mean": 1, "both": 0, "scale": 7, "sum": 7
    }  # fmt: skip
    unknown = network.replace([nodes[0], nodes[1], layers.Add("sum", ("flat", "wide")), Output("output", "sum"),
                               Conv2d("wide", "input", np.ones((6, 1, 3, 2), np.float32))])  # fmt: skip
    assert unknown.channels["sum"] == 6
