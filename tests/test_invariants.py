"""What holds for every network: charge, bounds, silence, and independence of order, threads, batches and history."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spikeunet.engine import (
    AvgPool2d,
    Conv2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.neurons import level_table
from spikeunet.engine.testing import checks, strategies
from spikeunet.engine.testing.checks import run
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_array, assert_same_arrays
from spikeunet.engine.testing.neuron_checks import conserves_charge

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more

ANY_NUMBERS = st.booleans().flatmap(lambda dyadic: strategies.cases(dyadic=dyadic))
"""Also weights that no two orders of addition sum alike: the engine has to add in one order, always."""


# --- Neurons ---------------------------------------------------------------------------------------------------------


@given(strategies.cases(models=strategies.charge_conserving_models()))
def test_charge_balance(case):
    assert all(conserves_charge(node.model) for node in case.network.neurons)
    checks.charge_balance(case)


@given(ANY_NUMBERS)
def test_levels_are_sums_of_thresholds(case):
    result = run(case)
    for node in case.network.neurons:
        thresholds = level_table(node.model).values
        values = {0.0}
        for threshold in thresholds:
            values |= {value + threshold for value in values} if level_table(node.model).masks else {threshold}
        assert set(np.unique(result.spikes[node.name]).tolist()) <= values
        counts = result.spike_count[node.name]
        events = np.count_nonzero(result.spikes[node.name], axis=0)
        assert (events <= counts).all()
        assert (counts <= level_table(node.model).spikes.max() * events).all()


@given(strategies.cases(models=strategies.multi_threshold()))
def test_what_is_left_after_firing(case):
    """Where nothing was emitted at the last step, the potential does not exceed the smallest threshold."""
    result = run(case)
    for node in case.network.neurons:
        last = result.spikes[node.name][-1]
        silent = result.membrane[node.name][last == 0]
        limit = min(node.model.thresholds)
        assert (silent <= limit if node.model.strict else silent < limit).all()


@given(strategies.cases(dyadic=False))
def test_silence(case):
    checks.silence(case)


# --- Order and threads -----------------------------------------------------------------------------------------------


@given(ANY_NUMBERS)
def test_time_major_equals_layer_major(case):
    checks.orders_agree(case)


@pytest.mark.parametrize("order", ["layer", "time"])
@given(case=ANY_NUMBERS)
def test_threads_change_nothing(order, case):
    alone = run(case, order=order)
    for threads in (2, 3, None):
        assert_same(run(case, order=order, threads=threads), alone)


@pytest.mark.parametrize("seed", range(3))
def test_threads_change_nothing_in_a_large_network(seed):
    """Enough rows for several bands a thread, and channels for several blocks."""
    values = strategies.Numbers(np.random.default_rng(seed), dyadic=False, density=1.0)
    nodes = [
        Input("input", 3),
        Conv2d("conv1", "input", values.weight(48, 3, 3, 3), values.bias(48), padding=1),
        Neurons("relu1", "conv1", MultiThreshold()),
        Conv2d("conv2", "relu1", values.weight(70, 48, 3, 3) / 4, values.bias(70), padding=1),
        Neurons("relu2", "conv2", MultiThreshold()),
        Conv2d("conv3", "relu2", values.weight(3, 70, 3, 3) / 4, values.bias(3), padding=1),
        Output("output", "conv3"),
    ]
    case = strategies.Case(Network(nodes), values.draw((3, 61, 83), 0, 1), 5)
    alone = run(case)
    assert alone.total_events > 0
    for threads, order in ((2, "layer"), (5, "layer"), (1, "time"), (2, "time")):
        assert_same(run(case, threads=threads, order=order), alone)


@given(strategies.cases(), st.data())
def test_order_of_channels_within_a_step(case, data):
    """Renumber a layer's neurons, and so the order of its events: the rest of the network sees no difference."""
    values = strategies.Numbers(np.random.default_rng(0), dyadic=True, density=1.0)
    channels = case.network.input.channels
    hidden = data.draw(strategies.CHANNELS)
    order = data.draw(st.permutations(range(hidden)))
    model = data.draw(strategies.neuron_models())
    first, bias = values.weight(hidden, channels, 3, 3), values.bias(hidden)
    second = values.weight(4, hidden, 3, 3)

    def network(first, bias, second):
        nodes = [
            Input("input", channels),
            Conv2d("conv1", "input", first, bias, padding=1),
            Neurons("relu1", "conv1", model),
            Conv2d("conv2", "relu1", second, padding=1),
            Neurons("relu2", "conv2"),
            Output("output", "conv2"),
        ]
        return strategies.Case(Network(nodes), case.picture, min(case.steps, 6))

    straight = run(network(first, bias, second))
    shuffled = run(network(first[order], bias[order], second[:, order]))
    assert_same_array(shuffled.spikes["relu1"], straight.spikes["relu1"][:, order], "relu1")
    assert_same_array(shuffled.spikes["relu2"], straight.spikes["relu2"], "relu2")
    assert_same_array(shuffled.readout, straight.readout, "readout")


# --- Steps, batches, history, files ----------------------------------------------------------------------------------


@given(ANY_NUMBERS, st.data())
def test_a_shorter_run_is_the_beginning_of_a_longer_one(case, data):
    steps = data.draw(st.integers(1, case.steps))
    longer, shorter = run(case), run(dataclasses.replace(case, steps=steps))
    beginning = {name: spikes[:steps] for name, spikes in longer.spikes.items()}
    assert_same_arrays(shorter.spikes, beginning, "spikes")
    assert_same_array(shorter.readout, longer.readout[:steps], "readout")


@given(ANY_NUMBERS, st.sampled_from(("layer", "time")), st.integers(1, 3))
def test_batches_equal_single_pictures(case, order, count):
    pictures = [case.picture * np.float32(k % 2) for k in range(count)]
    batch = simulate(case.network, np.stack(pictures), case.steps, order=order, threads=2, record=RECORDS)
    single = [run(dataclasses.replace(case, picture=picture), order=order) for picture in pictures]
    for kind in ("spikes", "membrane", "spike_count"):
        stacked = {name: np.stack([getattr(one, kind)[name] for one in single]) for name in getattr(single[0], kind)}
        assert_same_arrays(getattr(batch, kind), stacked, kind)
    assert_same_array(batch.readout, np.stack([one.readout for one in single]), "readout")
    assert_same_array(batch.output, np.stack([one.output for one in single]), "output")
    for kind in ("events", "accumulates"):
        added = {name: sum(getattr(one, kind)[name] for one in single) for name in getattr(single[0], kind)}
        assert_same_arrays(getattr(batch, kind), added, kind)
    for kind in ("neurons", "macs", "dense_macs"):
        added = {name: count * value for name, value in getattr(single[0], kind).items()}
        assert getattr(batch, kind) == added


@given(ANY_NUMBERS)
def test_a_run_leaves_no_trace(case):
    """The same network on another picture of another size in between: the second run equals the first."""
    before = run(case)
    simulate(case.network, case.picture + np.float32(1), steps=3, order="time")
    assert_same(run(case), before)


@given(case=ANY_NUMBERS)
def test_saving_and_loading_changes_nothing(case, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "network.npz"
    save_model(case.network, path)
    assert_same(run(dataclasses.replace(case, network=load_model(path))), run(case))


@given(strategies.cases(kinds=("conv2d", "avg_pool2d")), st.integers(0, 1))
def test_mirrored_network_on_the_mirrored_picture(case, axis):
    """At stride one, mirroring the kernels and the picture mirrors all spikes."""
    network = case.network.replace([_mirrored(node, axis, mirror=False) for node in case.network.nodes])
    mirrored = case.network.replace([_mirrored(node, axis, mirror=True) for node in case.network.nodes])
    assume(_fits(network, case.picture.shape))
    straight = run(dataclasses.replace(case, network=network))
    flipped = run(dataclasses.replace(case, network=mirrored, picture=np.flip(case.picture, 1 + axis)))
    expected = {name: np.flip(spikes, 2 + axis) for name, spikes in straight.spikes.items()}
    assert_same_arrays(flipped.spikes, expected, "spikes")
    assert_same_array(flipped.readout, np.flip(straight.readout, 2 + axis), "readout")


def _fits(network, shape):
    """Whether the skips still have equal sizes now that the strides are one."""
    try:
        network.shapes(shape)
    except InputError:
        return False
    return True


def _mirrored(node, axis, mirror):
    if isinstance(node, Conv2d):
        weight = np.flip(node.weight, 2 + axis) if mirror else node.weight
        return dataclasses.replace(node, weight=weight, stride=(1, 1))
    return dataclasses.replace(node, stride=(1, 1)) if isinstance(node, AvgPool2d) else node


def test_constant_input_gives_the_rate():
    """An IF neuron with initial potential 1/2 rounds its input to the nearest multiple of 1 / T."""
    rates = np.linspace(0, 1, 33, dtype=np.float32).reshape(1, 3, 11)
    nodes = [
        Input("input"),
        Conv2d("conv", "input", np.ones((1, 1, 1, 1), np.float32)),
        Neurons("neurons", "conv", IntegrateAndFire(initial=0.5)),
        Conv2d("same", "neurons", np.ones((1, 1, 1, 1), np.float32)),
        Output("output", "same"),
    ]
    output = simulate(Network(nodes), rates, steps=16).output
    np.testing.assert_array_equal(output, np.floor(rates * 16 + 0.5) / 16)
