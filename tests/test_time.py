"""Input that changes from step to step, and runs that go on where others have stopped."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from spikeunet.engine import (
    Add,
    Concat,
    Conv2d,
    Input,
    InputError,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    RangeError,
    RefractoryLeakyIntegrateAndFire,
    State,
    Stream,
    bin_events,
    simulate,
)
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_operations
from spikeunet.engine.testing.strategies import cases

LADDER = MultiThreshold((1.0, 0.5, 0.25))
EVERYTHING = (*RECORDS, "state")


def weight(generator, *shape):
    return (generator.integers(-8, 9, shape) / 16).astype(np.float32)


def network():
    """With a second layer that reads the picture and events, synapses with a state of their own, and a delay."""
    generator = np.random.default_rng(1)
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(generator, 4, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Concat("both", ("relu1", "input")),
            Conv2d("conv2", "both", weight(generator, 4, 6, 3, 3), padding=1),
            Neurons("relu2", "conv2", LeakyIntegrateAndFire(0.5, decay=0.5)),
            MaxPool2d("pool", "relu2", 2),
            Neurons("pooled", "pool", LADDER),
            Conv2d("last", "pooled", weight(generator, 1, 4, 1, 1)),
            Output("output", "last"),
        ]
    )


def recurrent():
    """A layer that reads itself, a step later."""
    generator = np.random.default_rng(2)
    return Network(
        [
            Input("input", 2),
            Conv2d("conv", "input", weight(generator, 3, 2, 1, 1)),
            Conv2d("back", "relu", weight(generator, 3, 3, 3, 3), padding=1, delay=1),
            Add("sum", ("conv", "back")),
            Neurons("relu", "sum", LADDER),
            Conv2d("last", "relu", weight(generator, 1, 3, 1, 1)),
            Output("output", "last"),
        ]
    )


def frames(steps, *shape, seed=3):
    return (np.random.default_rng(seed).integers(0, 33, (steps, *shape)) / 32).astype(np.float32)


@given(case=cases(), data=st.data())
def test_changing_input_equals_the_reference_bit_for_bit(case, data):
    order = data.draw(st.permutations(range(case.steps)), label="order")
    shown = np.stack([np.roll(case.picture, step // 2, axis=-1) for step in order])
    try:
        expected = reference.simulate(case.network, shown, case.steps)
    except reference.InexactError:
        reject()
    found = simulate(case.network, shown, record=RECORDS, threads=1, time_axis=0)
    assert_same(found, expected)


@given(case=cases(), data=st.data())
def test_a_run_in_two_parts_is_one_run(case, data):
    """Spikes, counts, output and what is carried on; of a picture or of several."""
    steps = case.steps + 1
    first = data.draw(st.integers(1, steps - 1), label="first")
    order = data.draw(st.sampled_from(("layer", "time")), label="order")
    is_batch = data.draw(st.booleans(), label="batch")
    shown = np.stack([case.picture, case.picture[..., ::-1]]) if is_batch else case.picture
    whole = simulate(case.network, shown, steps, record=EVERYTHING, threads=1)
    one = simulate(case.network, shown, first, record=EVERYTHING, threads=1, order=order)
    two = simulate(case.network, shown, steps - first, record=EVERYTHING, threads=2, state=one.state)
    assert_goes_on(whole, one, two)


def assert_goes_on(whole, one, two):
    for name, spikes in whole.spikes.items():
        np.testing.assert_array_equal(np.concatenate([one.spikes[name], two.spikes[name]], axis=-4), spikes)
    for name, membrane in whole.membrane.items():
        np.testing.assert_array_equal(two.membrane[name], membrane)
    for name, output in whole.outputs.items():
        np.testing.assert_array_equal(two.outputs[name], output)
        np.testing.assert_array_equal(
            np.concatenate([one.readouts[name], two.readouts[name]], -4), whole.readouts[name]
        )
    for name, layer in whole.operations.neurons.items():
        parts = one.operations.neurons[name], two.operations.neurons[name]
        for kind in ("events", "spikes", "updates"):
            joined = np.concatenate([getattr(part, kind) for part in parts])
            np.testing.assert_array_equal(joined, getattr(layer, kind))
    for name, node in whole.operations.synapses.items():
        parts = one.operations.synapses[name], two.operations.synapses[name]
        for source, events in node.sources.items():
            for kind in ("synops", "synops_binary", "synops_effective"):
                joined = np.concatenate([getattr(part.sources[source], kind) for part in parts])
                np.testing.assert_array_equal(joined, getattr(events, kind))
    assert_same_states(two.state, whole.state)


def assert_same_states(found, expected):
    assert (found.steps, found.averaged) == (expected.steps, expected.averaged)
    for kind in ("neurons", "synapses", "readouts", "arriving"):
        first, second = getattr(found, kind), getattr(expected, kind)
        assert first.keys() == second.keys()
        for name in second:
            np.testing.assert_array_equal(first[name], second[name], err_msg=f"{kind} {name}")


@pytest.mark.parametrize("make", [network, recurrent])
@pytest.mark.parametrize("cut", [1, 3, 8])
def test_frames_in_two_parts(make, cut):
    shown, net = frames(9, 2, 4, 6), make()
    whole = simulate(net, shown, record=EVERYTHING, time_axis=0, threads=1)
    one = simulate(net, shown[:cut], record=EVERYTHING, time_axis=0, threads=2)
    two = simulate(net, shown[cut:], record=EVERYTHING, time_axis=0, state=one.state)
    assert_goes_on(whole, one, two)
    assert whole.total_events > 0
    assert_same(whole, reference.simulate(net, shown, 9))


@pytest.mark.parametrize("make", [network, recurrent])
def test_batches(make):
    shown, net = frames(3, 4, 2, 4, 6), make()
    first = simulate(net, shown, record=EVERYTHING, time_axis=1)
    turned = simulate(net, shown.swapaxes(0, 1), record=EVERYTHING, time_axis=0)
    again = simulate(net, shown, record=EVERYTHING, time_axis=1, state=first.state)
    np.testing.assert_array_equal(turned.output, first.output)
    for index in range(3):
        alone = simulate(net, shown[index], record=EVERYTHING, time_axis=0)
        assert_same_states(first.state.of_picture(index), alone.state)
        after = simulate(net, shown[index], record=EVERYTHING, time_axis=0, state=alone.state)
        assert_same_states(again.state.of_picture(index), after.state)
        np.testing.assert_array_equal(again.output[index], after.output)


def test_frames_that_stay_the_same_are_computed_once():
    picture, net = frames(1, 2, 4, 6)[0], network()
    constant = simulate(net, picture, 12, record=RECORDS)
    shown = simulate(net, np.stack([picture] * 12), record=RECORDS, time_axis=0)
    assert_same(shown, constant)
    assert_same_operations(shown.operations, constant.operations)
    changing = simulate(net, np.concatenate([frames(2, 2, 4, 6), picture[None], picture[None]]), time_axis=0)
    assert changing.macs == {name: 3 * macs for name, macs in constant.macs.items()}


@pytest.mark.parametrize("model", [LADDER, RefractoryLeakyIntegrateAndFire(0.5, decay=0.5, initial=0.25)])
def test_a_run_leaves_nothing_behind_for_the_next(model):
    """Whatever is used again of its memory: potentials, neurons that rest, synapses with a state, the state itself."""

    def make():
        return Network([replace(node, model=model) if node.name == "relu2" else node for node in network().nodes])

    net, shown = make(), frames(9, 2, 4, 6)
    for steps, record in ((9, EVERYTHING), (1, ()), (1, "membrane"), (9, EVERYTHING), (1, EVERYTHING), (2, "state")):
        found, expected = (simulate(each, shown[0], steps, record=record, threads=1) for each in (net, make()))
        assert_same_operations(found.operations, expected.operations)
        np.testing.assert_array_equal(found.output, expected.output)
        for name in expected.membrane if "membrane" in record else ():
            np.testing.assert_array_equal(found.membrane[name], expected.membrane[name])
        if "state" in record:
            assert_same_states(found.state, expected.state)


def test_sums_beyond_float32_of_what_another_run_has_left():
    """Where the run's own steps could not get there."""
    large, one = np.full((1, 1, 1, 1), 2.0**110, np.float32), np.ones((1, 1, 1, 1), np.float32)
    net = Network(
        [
            Input("input", 1),
            Conv2d("conv", "input", large),
            Neurons("neurons", "conv", LADDER),
            Conv2d("last", "neurons", one),
            Output("output", "last"),
        ]
    )
    picture = np.ones((1, 1, 1), np.float32)
    state = simulate(net, picture, 1, record="state", threads=1).state
    full = {"neurons": np.full((1, 1, 1, 1), np.finfo(np.float32).max)}
    with pytest.raises(RangeError, match="a membrane potential of 'neurons' leaves the range of float32"):
        simulate(net, picture, 1, state=replace(state, neurons=full), threads=1)


def test_output_of_the_last_steps_alone():
    shown, net = frames(6, 2, 4, 6), network()
    first = simulate(net, shown[:4], record="state", time_axis=0).state
    whole = simulate(net, shown, record="readout", time_axis=0)
    found = simulate(net, shown[4:], time_axis=0, state=first.without_readouts())
    np.testing.assert_array_equal(found.output * 2, whole.readout[5] - whole.readout[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_axis": 1}, r"time_axis must be 0 of an x with 4 axes \(got 1\)"),
        ({"time_axis": True}, r"time_axis must be 0 of an x with 4 axes \(got True\)"),
        ({"time_axis": 0.0}, r"time_axis must be 0 of an x with 4 axes \(got 0.0\)"),
        ({"time_axis": np.zeros(1, int)}, r"time_axis must be 0 of an x with 4 axes \(got array\(\[0\]\)\)"),
        ({"time_axis": 0, "record": None}, r"record can name spikes, .* \(got None\)"),
        ({"time_axis": 0, "record": [[]]}, r"record can name spikes, .* \(got \[\]\)"),
        ({"time_axis": 0, "steps": 3}, r"steps must be 4, as many as x has along time_axis or in events.*\(got 3\)"),
        (
            {"time_axis": 0, "tile": 2},
            r"tile cannot be had with time_axis, state, traces, probes or encoders \(got",
        ),
        ({"time_axis": 0, "state": 3}, r"state must be the state of a result.*\(got int\)"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate(network(), frames(4, 2, 4, 6), **options)


def test_states_that_are_refused():
    net, picture = network(), frames(1, 2, 4, 6)[0]
    state = simulate(net, picture, 1, record="state").state
    with pytest.raises(InputError, match="state was not recorded"):
        _ = simulate(net, picture, 1).state
    with pytest.raises(InputError, match=r"state.neurons must name relu of this network \(got pooled, relu1, relu2\)"):
        simulate(recurrent(), picture, 1, state=state)
    with pytest.raises(InputError, match=r"state.neurons\['relu1'\] must be float32 .*\(1, 4, 8, 6\)"):
        simulate(net, np.zeros((2, 8, 6), np.float32), 1, state=state)
    with pytest.raises(InputError, match=r"state.neurons\['relu1'\] must be float32 .*\(1, 1, 4, 4, 6\)"):
        simulate(net, picture[None], 1, state=state)
    broken = dict(state.neurons) | {"relu1": np.full_like(state.neurons["relu1"], np.nan)}
    with pytest.raises(InputError, match=r"state.neurons\['relu1'\] has values that are NaN"):
        simulate(net, picture, 1, state=State(1, 1, broken, state.synapses, state.readouts, state.arriving))


@pytest.mark.parametrize("level", [8, 255])
def test_levels_that_no_neuron_has(level):
    """They would be counted, and hand on zeros: of a network whose neurons have more thresholds, perhaps."""
    net, picture = recurrent(), frames(1, 2, 4, 6)[0]
    state = simulate(net, picture, 1, record="state").state
    arriving = {"relu": np.full_like(state.arriving["relu"], 7)}
    assert simulate(net, picture, 1, state=replace(state, arriving=arriving)).accumulates["back"] > 0
    arriving["relu"][0, 0, 0] = level
    with pytest.raises(InputError, match=rf"state.arriving\['relu'\] must hold levels from 0 to 7.*\(got {level}\)"):
        simulate(net, picture, 1, state=replace(state, arriving=arriving))


@pytest.mark.parametrize("steps", [-1, True, 1.5, "3", None])
def test_states_of_no_number_of_steps(steps):
    with pytest.raises(InputError, match=r"state.steps must be a whole number, 0 or more \(got "):
        State(steps, 0, {}, {}, {}, {})


def test_steps_of_a_state_may_be_numbers_of_numpy():
    net, picture = network(), frames(1, 2, 4, 6)[0]
    state = simulate(net, picture, 1, record="state").state
    same = replace(state, steps=np.int64(1), averaged=np.uint8(1))
    assert type(same.steps) is type(same.averaged) is int
    np.testing.assert_array_equal(simulate(net, picture, 2, state=same).output, simulate(net, picture, 3).output)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"encoders": 3}, r"state.encoders must map names of nodes to arrays \(got int\)"),
        ({"encoders": {"input": np.zeros(3, np.float32)}}, r"state.encoders must name nothing of .*\(got input\)"),
        ({"neurons": None}, r"state.neurons must map names of nodes to arrays \(got NoneType\)"),
        ({"neurons": {1: 2, "a": 3}}, r"state.neurons must name .*\(got 1, a\)"),
        ({"arriving": {"relu": np.ma.zeros((3, 4, 6), np.uint8)}}, r"must be uint8 of the shape .*\(got MaskedArray\)"),
    ],
)
def test_parts_of_states_that_are_refused(changed, message):
    picture = frames(1, 2, 4, 6)[0]
    state = simulate(recurrent(), picture, 1, record="state").state
    with pytest.raises(InputError, match=message):
        simulate(recurrent(), picture, 1, state=replace(state, **changed))


def test_subnormal_numbers_of_a_state_count_as_zeros():
    """Of neurons that are computed with gradual underflow, too."""
    smallest = np.float32(2.0**-126)
    model = RefractoryLeakyIntegrateAndFire(float(smallest), decay=1.0)
    one = np.ones((1, 1, 1, 1), np.float32)
    net = Network(
        [
            Input("input", 1),
            Conv2d("conv", "input", one),
            Neurons("neurons", "conv", model),
            Conv2d("last", "neurons", one),
            Output("output", "last"),
        ]
    )
    picture = np.full((1, 1, 1), smallest)
    state = simulate(net, np.zeros_like(picture), 1, record="state").state
    tiny = {"neurons": state.neurons["neurons"] - np.float32(2.0**-140)}
    assert tiny["neurons"].any()
    assert simulate(net, picture, 1, state=state).total_events == 1
    assert simulate(net, picture, 1, state=replace(state, neurons=tiny)).total_events == 1


# --- Streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [network, recurrent])
def test_streams_carry_on(make):
    """The output of each input is that of its own steps; a stream that goes on with a kept state does the same."""
    shown, net = frames(3, 2, 4, 6), make()
    whole = simulate(net, np.repeat(shown, 2, axis=0), record=("readout", "state"), time_axis=0)
    readouts = whole.readout[1::2]
    expected = np.diff(readouts, axis=0, prepend=np.zeros_like(readouts[:1])) / 2
    stream = Stream(net, steps=2, threads=1)
    np.testing.assert_array_equal(stream.push(shown[0]).output, expected[0])
    kept = stream.state
    np.testing.assert_array_equal(stream.push(shown[1], record="spikes").output, expected[1])
    stream.state = kept
    np.testing.assert_array_equal(stream.push(shown[1]).output, expected[1])
    with pytest.raises(InputError, match=r"state\.neurons"):
        stream.push(np.zeros((2, 8, 6), np.float32))
    np.testing.assert_array_equal(stream.push(shown[2]).output, expected[2])
    stream.reset()
    np.testing.assert_array_equal(stream.push(shown[:1], time_axis=0).output, whole.readout[0])


@pytest.mark.parametrize("labels", [False, True])
def test_until_the_answer_is_stable(labels):
    picture, net = frames(1, 2, 4, 6)[0], network()
    outputs = [simulate(net, picture, steps).output for steps in (2, 4, 6, 8, 10, 12)]
    tolerance = 0.0 if labels else 0.2
    result = Stream(net, steps=2).run_until_stable(picture, tolerance, patience=2, most_steps=12, labels=labels)
    changes = [np.abs(after - before).max() for before, after in pairwise(outputs)]
    stable = [True] * 5 if labels else [change <= tolerance for change in changes]
    ends = [4 + 2 * k for k in range(5) if k and stable[k - 1] and stable[k]]
    assert result.state.steps == min(ends, default=12)
    np.testing.assert_array_equal(result.output, outputs[result.state.steps // 2 - 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("most_steps", value) for value in (1, 2000, "64", 4.0, None)),
        *(("patience", value) for value in (0, 1.5, "1", True, None)),
        *(("tolerance", value) for value in (-1.0, np.nan, "0", None, True, np.zeros(2))),
        *(("labels", value) for value in ("no", 3, None)),
    ],
)
def test_stopping_that_is_refused(name, value):
    """And the state stays as it was."""
    stream, picture = Stream(network(), steps=2), frames(1, 2, 4, 6)[0]
    kept = stream.push(picture).state
    with pytest.raises(InputError, match=rf"{name} must be .* \(got "):
        stream.run_until_stable(picture, **{name: value})
    with pytest.raises(InputError, match="x has values that are NaN"):
        stream.run_until_stable(np.full_like(picture, np.nan))
    assert stream.state is kept


@pytest.mark.parametrize("steps", [0, True, "2", 2.0, None])
def test_streams_of_no_number_of_steps(steps):
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 to 100000 \(got "):
        Stream(network(), steps=steps)


def test_streams_with_a_state_that_is_none():
    stream = Stream(network())
    stream.state = 3
    with pytest.raises(InputError, match=r"state must be the state of a result.*\(got int\)"):
        stream.push(frames(1, 2, 4, 6)[0])


# --- Traces ----------------------------------------------------------------------------------------------------------


def test_traces_of_chosen_neurons():
    picture, net = frames(1, 2, 4, 6)[0], network()
    sites = {"relu1": [(3, 0, 5), (0, 3, 0)], "pooled": np.array([[2, 1, 2]])}
    found = simulate(net, picture, 5, probes=sites)
    for step in range(5):
        membrane = simulate(net, picture, step + 1, record="membrane").membrane
        for name, chosen in sites.items():
            expected = [membrane[name][tuple(site)] for site in chosen]
            np.testing.assert_array_equal(found.traces[name]["membrane"][step], expected)
    np.testing.assert_array_equal(found.output, simulate(net, picture, 5).output)
    batch = simulate(net, picture[None], 5, probes=sites).traces["relu1"]["membrane"]
    np.testing.assert_array_equal(batch[0], found.traces["relu1"]["membrane"])


def test_traces_by_the_names_of_variables():
    """Of all neurons the same bits as of probed ones; a layer that has no variable of a name is left out."""
    picture, nodes = frames(1, 2, 4, 6)[0], network().nodes
    model = RefractoryLeakyIntegrateAndFire(0.5, decay=0.5, initial=0.25)
    net = Network([replace(node, model=model) if node.name == "relu2" else node for node in nodes])
    whole = simulate(net, picture, 5, record=("traces", "membrane"))
    sites = {"relu1": [(3, 0, 5), (0, 3, 0)], "relu2": [(1, 2, 1)]}
    probed = simulate(net, picture, 5, probes=sites)
    assert list(whole.traces) == ["relu1", "relu2", "pooled"]
    assert list(whole.traces["relu2"]) == list(probed.traces["relu2"]) == ["v", "rest"]
    for name, chosen in sites.items():
        for variable, values in probed.traces[name].items():
            channels, rows, columns = np.transpose(chosen)
            np.testing.assert_array_equal(whole.traces[name][variable][:, channels, rows, columns], values)
    for name, variables in whole.traces.items():
        np.testing.assert_array_equal(next(iter(variables.values()))[-1], whole.membrane[name])
    one = simulate(net, picture[None], 5, record="traces.rest")
    assert {name: list(variables) for name, variables in one.traces.items()} == {"relu2": ["rest"]}
    np.testing.assert_array_equal(one.traces["relu2"]["rest"][0], whole.traces["relu2"]["rest"])
    silent = Network([Input("input", 2), Conv2d("out", "input", np.ones((1, 2, 1, 1))), Output("output", "out")])
    assert simulate(silent, picture, 2, record="traces").traces == {}
    some = simulate(net, picture, 5, record=("traces.v",), probes={"relu2": [(1, 2, 1)]}).traces
    assert {name: list(variables) for name, variables in some.items()} == {"relu2": ["v"]}
    for options, message in (
        (
            {"record": "traces.current"},
            r"record can name .*, traces, traces.membrane, traces.v, traces.rest \(got tr",
        ),
        ({"record": "rest"}, r"traces.rest \(got rest\)"),
        ({"record": "traces", "probes": {}}, r"probes must name at least one Neurons node \(got {}\)"),
        ({"record": "traces.v", "probes": sites}, r"names relu1, whose neurons .* variable v, .* \(got membrane\)"),
        ({"record": "traces", "tile": 2}, "tile cannot be had with time_axis, state, traces, probes"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(net, picture, 5, **options)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        (3, r"probes must map names of Neurons nodes to neurons \(got int\)"),
        ({"conv1": [(0, 0, 0)]}, r"probes can name relu1, relu2, pooled \(got conv1\)"),
        ({"relu1": [(0, 0)]}, r"must list \(channel, row, column\) of neurons"),
        ({"relu1": [(0.0, 0, 0)]}, r"must list \(channel, row, column\) of neurons"),
        ({"relu1": [(0, 4, 0)]}, r"names the neuron \(0, 4, 0\) of a layer of the shape \(4, 4, 6\)"),
    ],
)
def test_probes_that_are_refused(probes, message):
    with pytest.raises(InputError, match=message):
        simulate(network(), frames(1, 2, 4, 6)[0], 1, probes=probes)
    with pytest.raises(InputError, match="no traces were recorded"):
        _ = simulate(network(), frames(1, 2, 4, 6)[0], 1).traces


def test_recordings_are_not_overwritten_by_the_next_run():
    nodes = [
        Input("input"),
        Conv2d("conv", "input", np.ones((1, 1, 1, 1), np.float32)),
        Neurons("relu", "conv", LADDER),
    ]
    net = Network([*nodes, Conv2d("last", "relu", np.ones((1, 1, 1, 1), np.float32)), Output("output", "last")])
    first = simulate(net, np.full((1, 1, 1), 0.125, np.float32), 3, record=EVERYTHING)
    simulate(net, np.full((1, 1, 1), -1, np.float32), 3, record=EVERYTHING)
    assert first.membrane["relu"] == first.state.neurons["relu"][0] == 0.125
    assert first.output == np.float32(0.25) / np.float32(3)
    assert first.readout[-1] == first.state.readouts["output"] == 0.25


def test_a_stream_takes_events_part_after_part():
    events = np.zeros(6, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")])
    events["x"], events["t"], events["p"] = np.arange(6), 1000 * np.arange(6), 1
    binned = bin_events(events, (2, 4, 6), time_step=1000, steps=6)
    weight = np.full((1, 2, 1, 1), 0.625, np.float32)
    net = Network(
        [
            Input("camera", 2, encoder=binned.encoder),
            Conv2d("conv1", "camera", weight),
            Neurons("relu1", "conv1", IntegrateAndFire(0.5)),
            Conv2d("readout", "relu1", np.ones((1, 1, 1, 1))),
            Output("output", "readout"),
        ]
    )
    stream, whole = Stream(net), simulate(net, binned)
    parts = [stream.push(binned[first : first + 2]) for first in (0, 2, 4)]
    assert [part.steps for part in parts] == [2, 2, 2]
    np.testing.assert_array_equal(np.concatenate([part.events["relu1"] for part in parts]), whole.events["relu1"])
