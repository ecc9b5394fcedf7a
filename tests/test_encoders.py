"""Encoders of an Input: the same spikes as by their definition, in both orders, in parts, batches and threads."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_time import EVERYTHING, assert_goes_on, frames, weight

from spikeunet.engine import (
    ENERGY_MODELS,
    Concat,
    Conv2d,
    Delta,
    Events,
    EventStream,
    Foveal,
    GraphError,
    Input,
    InputError,
    Latency,
    ModelFileError,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    RankOrder,
    Rate,
    bin_events,
    forward,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.command_line.info import _settings
from spikeunet.engine.files.encoders import decode_encoder, encode_encoder
from spikeunet.engine.learning.finetune.passes import refuse_untrainable
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_operations
from spikeunet.engine.testing.strategies import cases

ENCODERS = (Rate(seed=3), Rate("poisson", 2.0, 5), Latency(4), RankOrder(3), Delta(0.125, 2), Foveal(3, on_parasol=0))
LADDER = MultiThreshold((1.0, 0.5, 0.25))


def network(encoder, second=None):
    """A small one; `second` is the encoder of a second input."""
    generator = np.random.default_rng(1)
    nodes = [Input("input", 2, encoder), Input("beside", 1, second)]
    return Network(
        [
            *nodes,
            Concat("both", ("input", "beside")),
            Conv2d("conv1", "both", weight(generator, 4, 3, 3, 3), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Conv2d("last", "relu1", weight(generator, 1, 4, 1, 1)),
            Output("output", "last"),
        ]
    )


def inputs(shown):
    """Of the three channels of an array those of each input."""
    return {"input": shown[..., :2, :, :], "beside": shown[..., 2:, :, :]}


def encoded(case, encoder):
    """The network of a case with an encoder, and what is shown at each step, from 0 to 1."""
    nodes = [dataclasses.replace(n, encoder=encoder) if isinstance(n, Input) else n for n in case.network.nodes]
    picture = np.clip(np.abs(case.picture), 0, 1)
    shown = np.stack([np.roll(picture, step // 2, axis=-1) if encoder.takes_changes else picture for step in range(7)])
    return case.network.replace(nodes), shown[: case.steps + 1]


@pytest.mark.slow
@settings(max_examples=5)
@given(case=cases(), encoder=st.sampled_from(ENCODERS), cut=st.integers(1, 6))
def test_encoded_input_equals_the_reference_bit_for_bit(case, encoder, cut):
    """In one run and in two parts."""
    net, shown = encoded(case, encoder)
    try:
        expected = reference.simulate(net, shown, len(shown))
    except reference.InexactError:
        reject()
    whole = simulate(net, shown, record=EVERYTHING, threads=1, time_axis=0)
    assert_same(whole, expected)
    cut = min(cut, len(shown) - 1)
    one = simulate(net, shown[:cut], record=EVERYTHING, order="time", threads=2, time_axis=0)
    two = simulate(net, shown[cut:], record=EVERYTHING, threads=1, time_axis=0, state=one.state)
    assert_goes_on(whole, one, two)


@given(
    encoder=st.sampled_from((*ENCODERS, Rate(gain=0.25))),
    second=st.sampled_from((None, Rate(seed=1), Delta(0.25), Latency(4))),
    cut=st.integers(1, 8),
    order=st.sampled_from(("layer", "time")),
    threads=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_beside_another_input(encoder, second, cut, order, threads, seed):
    """Of either kind, in one run and in two parts: an analog input that changes cuts the steps into groups of one."""
    net, shown = network(encoder, second), frames(9, 3, 4, 6, seed=seed)
    shown[:, :2] = shown[:, :2] if encoder.takes_changes else shown[0, :2]
    shown[:, 2:] = shown[:, 2:] if second is None or second.takes_changes else shown[0, 2:]
    expected = reference.simulate(net, shown, 9)
    whole = simulate(net, inputs(shown), record=EVERYTHING, time_axis=0)
    assert_same(whole, expected)
    assert expected.operations.inputs["input"].events.sum() > 0
    assert expected.count_reads().items() <= whole.operations.totals.items()
    one = simulate(net, inputs(shown[:cut]), record=EVERYTHING, time_axis=0, order=order, threads=threads)
    two = simulate(net, inputs(shown[cut:]), record=EVERYTHING, time_axis=0, state=one.state, threads=threads)
    assert_goes_on(whole, one, two)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_pictures_of_a_batch(encoder):
    """Each with random numbers of its own, whose number in the batch tells them apart."""
    net, shown = network(encoder), np.stack([frames(1, 3, 4, 6)[0]] * 2)
    found = simulate(net, inputs(shown), 6, record=EVERYTHING)
    expected = [reference.simulate(net, shown[index], 6, picture=index) for index in range(2)]
    np.testing.assert_array_equal(found.output, [each.output for each in expected])
    assert_same_operations(found.operations, expected[0].operations + expected[1].operations)
    assert isinstance(encoder, Rate) == bool((found.output[0] != found.output[1]).any())
    again = simulate(net, inputs(shown), 6, record=EVERYTHING, state=found.state)
    twelve = simulate(net, inputs(shown), 12)
    np.testing.assert_array_equal(again.output, twelve.output)


def test_rates_are_those_of_the_picture():
    picture = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    levels = Rate(seed=9).levels(np.broadcast_to(picture, (1000, 1, 8, 8)), 0, 0, {})
    assert np.abs(levels.mean(axis=0) - picture).max() < 0.08
    assert not levels[:, picture == 0].any()
    assert levels[:, picture == 1].all()
    counts = Rate("poisson", 6.0).levels(np.broadcast_to(picture, (1000, 1, 8, 8)), 0, 0, {})
    assert np.abs(counts.mean(axis=0) - 6 * picture).max() < 0.4
    assert np.abs(counts.var(axis=0) - 6 * picture).max() < 1.5


def test_other_seeds_steps_and_pictures_draw_other_numbers():
    shown = np.full((2, 1, 8, 8), 0.5, np.float32)
    first = Rate().levels(shown, 0, 0, {})
    np.testing.assert_array_equal(first[1:], Rate().levels(shown[1:], 1, 0, {}))
    others = [first[1], *(Rate(seed=1).levels(shown, 0, 0, {})), Rate().levels(shown, 0, 1, {})[0]]
    assert all((other != first[0]).any() for other in others)


def test_times_of_one_spike():
    picture = np.array([[[1.0, 0.76, 0.75, 0.5, 0.01, 0.0]]], np.float32)
    assert Latency(4).times(picture).tolist() == [[[0, 0, 1, 2, 3, -1]]]
    ties = np.array([[[0.5, 0.0, 1.0]], [[0.5, 1.0, 0.25]]], np.float32)
    assert RankOrder(5).times(ties).tolist() == [[[2, -1, 0]], [[3, 1, 4]]]
    assert RankOrder(2).times(ties).tolist() == [[[0, -1, 0]], [[1, 0, 1]]]
    assert RankOrder(2).times(np.zeros((1, 1, 2), np.float32)).tolist() == [[[-1, -1]]]


def test_what_delta_emits_adds_up_to_what_is_shown():
    shown, memory = np.repeat(frames(5, 1, 4, 6), 8, axis=0), {}
    encoder = Delta(1 / 32)
    emitted = encoder.level_table().emit[encoder.levels(shown, 0, 0, memory)]
    assert np.abs(emitted).max() == 1 / 32
    graded = Delta(1 / 32, 127)
    exact = graded.level_table().emit[graded.levels(shown, 0, 0, {})]
    np.testing.assert_array_equal(exact.cumsum(axis=0), shown)
    assert not exact[1:8].any()


def test_artificial_networks_see_the_picture():
    shown = frames(1, 3, 4, 6)[0]
    plain, _ = forward(network(None), inputs(shown))
    for encoder in (Rate(), Latency()):
        np.testing.assert_array_equal(forward(network(encoder), inputs(shown))[0], plain)
    scaled = shown.copy()
    scaled[:2] *= 0.5
    np.testing.assert_array_equal(
        forward(network(Rate(gain=0.5)), inputs(shown))[0], forward(network(None), inputs(scaled))[0]
    )
    for encoder in (RankOrder(), Delta(), Events()):
        with pytest.raises(InputError, match=f"{type(encoder).__name__} of Input 'input' has no analog form"):
            forward(network(encoder), inputs(shown))


@pytest.mark.parametrize("encoder", [*ENCODERS, Events(3), Events(signed=True), None])
def test_model_files_keep_encoders(tmp_path, encoder):
    save_model(network(encoder), tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz")["input"].encoder == encoder
    if encoder is not None:
        assert decode_encoder(encode_encoder(encoder)) == encoder


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "Rate", "kind": "bernoulli", "gain": 1}, "Rate must have the fields kind, gain, seed"),
        ({"type": "Rat"}, "unknown encoder 'Rat'; known are Rate, Latency, RankOrder, Foveal, Delta, Events"),
        ({"type": "Latency", "window": 0}, "Latency.window: must be a whole number from 1"),
        ({"type": "Latency", "window": 1.5}, "Latency.window: expected a whole number"),
        ({"type": "Events", "most": 3, "signed": 1}, "Events.signed: expected true or false"),
        (None, "a encoder must be an object with a type"),
    ],
)
def test_model_files_that_are_refused(value, message):
    with pytest.raises((ModelFileError, GraphError), match=message):
        decode_encoder(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rate("gauss"), "Rate.kind: must be one of bernoulli, poisson"),
        (lambda: Rate(gain=1.5), "Rate.gain: must be a number above 0 and at most 1 "),
        (lambda: Rate("poisson", 65), "Rate.gain: must be a number above 0 and at most 64"),
        (lambda: Rate(seed=-1), "Rate.seed: must be a whole number from 0"),
        (lambda: Rate(gain="1"), "Rate.gain: must be a number"),
        (lambda: RankOrder(True), "RankOrder.window: must be a whole number"),
        (lambda: Foveal(on_midget=1.5), "Foveal.on_midget: must be a whole number from 0 to 65536"),
        (lambda: Foveal(8, 0, 0, 0, 0), "Foveal.off_midget: must not be 0 where that of all other kinds"),
        (lambda: Foveal(share=0), "Foveal.share: must be a number above 0 and at most 1"),
        (lambda: Delta(0.0), "Delta.threshold: must be a number above 0"),
        (lambda: Delta(float("nan")), "Delta.threshold: must be a number above 0"),
        (lambda: Delta(most=128), "Delta.most: must be a whole number from 1 to 127"),
        (lambda: Events(256), "Events.most: must be a whole number from 1 to 255"),
        (lambda: Events(128, signed=True), "Events.most: must be a whole number from 1 to 127"),
        (lambda: Input("input", 1, "rate"), "encoder must be None or one of Rate, Latency"),
        (lambda: Input("input", 1, Rate), "encoder must be None or one of Rate, Latency"),
    ],
)
def test_parameters_that_are_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()


@pytest.mark.parametrize(
    ("encoder", "change", "options", "message"),
    [
        (Rate(), 2.0, {}, r"x of Input 'input' must lie from 0 to 1 for Rate \(got 0 to 2\)"),
        (Latency(), -1.0, {}, r"must lie from 0 to 1 for Latency \(got -1 to 0\)"),
        (Delta(1 / 32), 2.0**20, {}, "must stay below 1.67772e.07 thresholds of Delta"),
        (Rate(), 0.5, {"tile": 2}, r"tile cannot be had with time_axis, state, traces, probes or encoders"),
        (Latency(), 0.5, {"time_axis": 0, "steps": None}, "must stay the same over time for Latency"),
        (Events(), 0.5, {}, r"x of Input 'input' must be what bin_events returns.*\(got ndarray\)"),
    ],
)
def test_input_that_is_refused(encoder, change, options, message):
    shown = np.zeros((2, 3, 4, 6), np.float32)
    shown[1, 0] = change
    options = {"steps": 3} | options
    x = inputs(shown if "time_axis" in options else shown[1])
    with pytest.raises(InputError, match=message):
        simulate(network(encoder), x, **options)


def test_fine_tuning_is_refused():
    with pytest.raises(InputError, match=r"encoders cannot be fine-tuned \(Input 'input' has Rate\)"):
        refuse_untrainable(network(Rate()))


# --- Spikes that come as such ----------------------------------------------------------------------------------------


def recording(count=60, last=700, seed=1):
    """Events of a camera of 6x4 pixels."""
    generator = np.random.default_rng(seed)
    events = np.zeros(count, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    for name, high in (("x", 6), ("y", 4), ("p", 2)):
        events[name] = generator.integers(0, high, count)
    events["t"] = np.sort(generator.integers(0, last, count))
    return events


def counted(events, shape, step_of, steps, polarity):
    """Counts (T, C, H, W), event by event."""
    counts = np.zeros((steps, *shape), int)
    for event, step in zip(events, step_of, strict=True):
        channel = int(event["p"]) if polarity == "channels" else 0
        counts[step, channel, event["y"], event["x"]] += -1 if polarity == "signed" and not event["p"] else 1
    return counts


@pytest.mark.parametrize("polarity", ["channels", "signed", "merged"])
@pytest.mark.parametrize("most", [1, 3])
def test_events_in_steps_equal_the_reference(polarity, most):
    events, channels = recording(), 2 if polarity == "channels" else 1
    stream = bin_events(events, (channels, 4, 6), time_step=80, start=0, steps=10, polarity=polarity, most=most)
    counts = counted(events, (channels, 4, 6), events["t"] // 80, 10, polarity)
    shown = np.clip(counts, -most, most).astype(np.float32)
    assert stream.clipped == np.abs(counts - shown).sum()
    net = Network(
        [
            Input("input", channels, stream.encoder),
            Conv2d("conv1", "input", weight(np.random.default_rng(1), 4, channels, 3, 3), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Conv2d("last", "relu1", weight(np.random.default_rng(2), 1, 4, 1, 1)),
            Output("output", "last"),
        ]
    )
    whole = simulate(net, stream, record=EVERYTHING)
    assert_same(whole, reference.simulate(net, shown, 10))
    assert whole.operations.inputs["input"].events.tolist() == np.count_nonzero(shown, axis=(1, 2, 3)).tolist()
    assert_same(simulate(net, [stream.queue(0, 8), stream.queue(8, 2)], record=RECORDS, order="time"), whole)
    one = simulate(net, stream[:3], record=EVERYTHING)
    assert_goes_on(whole, one, simulate(net, stream[3:], record=EVERYTHING, state=one.state))
    batch = simulate(net, [stream, stream], record=RECORDS)
    np.testing.assert_array_equal(batch.readout[1], whole.readout)


def test_events_beside_an_array_that_changes():
    events, shown = recording(), frames(9, 3, 4, 6)
    stream = bin_events(events, (2, 4, 6), count=7)
    assert stream.steps == 9
    shown[:, :2] = counted(events, (2, 4, 6), np.arange(60) // 7, 9, "channels") > 0
    net = network(stream.encoder)
    found = simulate(net, {"input": stream, "beside": shown[:, 2:]}, time_axis=0, record=RECORDS)
    assert_same(found, reference.simulate(net, shown, 9))
    held = simulate(net, {"input": stream, "beside": shown[0, 2:]}, record=RECORDS)
    shown[:, 2] = shown[0, 2]
    assert_same(held, reference.simulate(net, shown, 9))
    with pytest.raises(InputError, match=r"as many steps \(got 8 of arrays and 9 of events\)"):
        simulate(net, {"input": stream, "beside": shown[:8, 2:]}, time_axis=0)


def test_no_events_at_all():
    stream = bin_events(recording()[:0], (2, 4, 6), time_step=10, steps=3)
    found = simulate(network(stream.encoder), {"input": stream, "beside": np.zeros((1, 4, 6), np.float32)})
    assert (found.steps, found.operations.inputs["input"].events.sum()) == (3, 0)


def changed(**fields):
    events = recording().astype([("x", "i8"), ("y", "i8"), ("t", "f8"), ("p", "i1")])
    for name, value in fields.items():
        events[name][5] = value
    return events


@pytest.mark.parametrize(
    ("events", "options", "message"),
    [
        (changed(x=6), {}, r"x of events must be from 0 to 5 for this shape \(event 5 has 6\)"),
        (changed(y=-1), {}, r"y of events must be from 0 to 3 for this shape \(event 5 has -1\)"),
        (changed(t=1e9), {}, r"t of events must ascend \(event 6 has .* after 1000000000.0\); sort them"),
        (changed(t=np.nan), {}, "t of events has values that are NaN"),
        (changed(p=2), {}, r"p of events must be 0 and 1, or -1 and 1 \(got 0, 1, 2\)"),
        (recording()[["x", "y", "t"]], {}, "fields x, y, t and p .*without p"),
        (np.zeros((3, 4)), {}, r"structured array .*got float64, shape \(3, 4\)"),
        ([1, 2], {}, r"structured array .*\(got list\)"),
        (recording(), {"shape": (1, 4, 6)}, r"shape must be \(2, H, W\) for the polarity 'channels'"),
        (recording(), {"polarity": "both"}, "polarity must be one of channels, signed, merged"),
        (recording(), {"time_step": 0}, "time_step must be a positive number in the unit of t"),
        (recording(), {"time_step": None}, "either time_step or count must be given"),
        (recording(), {"count": 5}, r"either time_step or count must be given \(got 80 and 5\)"),
        (recording(), {"time_step": 1e-4}, r"need .* steps of 0.0001, the limit is 100000"),
        (recording(), {"start": 1e6}, "start must not be after the first event"),
        (recording(), {"steps": 2}, "events come after the last of 2 steps, of 9 needed"),
        (recording(), {"most": 256}, None),
    ],
)
def test_events_that_are_refused(events, options, message):
    options = {"shape": (2, 4, 6), "time_step": 80} | options
    with pytest.raises((InputError, GraphError), match=message):
        bin_events(events, **options)


def test_negative_times_are_refused():
    events = recording()
    events["t"] -= 10_000
    with pytest.raises(InputError, match="t of events must not be negative"):
        bin_events(events, (2, 4, 6), count=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "needs first"),
        ({"first": np.array([0, 2, 1])}, "needs first"),
        ({"levels": np.zeros(3, np.uint8)}, "needs first"),
        ({"sites": np.array([0, 48])}, "sites of an EventStream must ascend within a step, from 0 to 47"),
        ({"sites": np.array([3, 3]), "first": np.array([0, 2, 2])}, "must ascend within a step"),
        ({"levels": np.array([1, 2], np.uint8)}, "levels of an EventStream must be from 1 to 1"),
    ],
)
def test_streams_that_contradict_themselves(change, message):
    """No kernel sees a level or a place that there is not."""
    first, sites, levels = np.array([0, 1, 2]), np.array([4, 3]), np.ones(2, np.uint8)
    fields = {"shape": (2, 4, 6), "steps": 2, "encoder": Events(), "first": first, "sites": sites, "levels": levels}
    assert len(EventStream(**fields)) == 2
    with pytest.raises(InputError, match=message):
        EventStream(**fields | change)


def test_the_ledger_lists_encoded_inputs():
    """By node, step and threshold, as a table and as JSON."""
    shown = inputs(frames(1, 3, 4, 6)[0])
    ledger = simulate(network(Rate("poisson", 2.0)), shown, 3).operations
    events, spikes = (getattr(ledger.inputs["input"], name) for name in ("events", "spikes"))
    rows = {by: [row for row in ledger.rows(by) if row["node"] == "input"] for by in ("node", "step", "threshold")}
    assert rows["node"] == [{"node": "input", "kind": "Input", "events": events.sum(), "spikes": spikes.sum()}]
    assert [row["events"] for row in rows["step"]] == events.tolist()
    assert sum(row["spikes"] for row in rows["threshold"]) == spikes.sum() == (spikes @ np.ones(spikes.shape[1])).sum()
    by_source = [row for row in ledger.rows("threshold") if row.get("source") == "input"]
    assert sum(row["synops_binary"] for row in by_source) == ledger.synapses["conv1"].synops_binary.sum()
    assert f"input input: {events.sum()} events" in str(ledger)
    assert json.loads(ledger.to_json())["inputs"]["input"]["events_by_step"] == events.tolist()
    assert (ledger + ledger).inputs["input"].events.tolist() == (2 * events).tolist()
    assert ledger.totals["events"] == ledger.neurons["relu1"].events.sum()


@pytest.mark.parametrize(("encoder", "binary"), [(Rate(), True), (Delta(0.25), True), (Rate("poisson", 2.0), False)])
def test_energy_of_encoded_input(encoder, binary):
    """Its events are read as what they are: binary ones as accumulates, counts as multiply-accumulates."""
    ledger = simulate(network(encoder), inputs(frames(1, 3, 4, 6)[0]), 3).operations
    first, synapses = ledger.first_steps(2), ledger.synapses["conv1"]
    arrived, effective = int(synapses.synops.sum()), int(synapses.synops_effective.sum())
    assert ledger.reading.name == ("mixed" if binary else "multiply-accumulate")
    assert ledger.reading.accumulates == (arrived if binary else 0)
    assert ledger.reading.operations == ledger.totals["synops"] > arrived
    assert ledger.readings["shift-adds"].operations == ledger.totals["synops_binary"]
    assert ledger.to_neurobench()["SynapticOperations"]["Effective_ACs"] == (effective if binary else 0)
    assert all(ledger.energy(name).spiking > 0 for name in ENERGY_MODELS)
    row = next(row for row in ledger.rows() if row["node"] == "conv1")
    assert row["event_reads"] == ledger.inputs["input"].events.sum()
    assert first.inputs["input"].events.tolist() == ledger.inputs["input"].events[:2].tolist()
    assert first.reading.operations == first.totals["synops"]


def test_info_shows_encoders(tmp_path):
    net = network(Latency(5))
    assert [_settings(net, node) for node in net.inputs] == ["Latency(window=5)", ""]


def test_streams_that_do_not_fit_are_refused():
    stream = bin_events(recording(), (2, 4, 6), count=7)
    beside = np.zeros((1, 4, 6), np.float32)
    for encoder, value, message in (
        (Events(2), stream, r"was binned for Events\(most=1, signed=False\), but its encoder is Events\(most=2"),
        (Events(), [], "has no queues"),
        (Events(), [1], r"EventQueues \(got int\)"),
        (Events(), bin_events(recording(), (1, 4, 6), count=7, polarity="merged"), "must have 2 channels"),
        (Events(), [stream, stream[:3]], "as many steps and one size"),
        (Events(), [bin_events(recording(), (2, 4, 6), time_step=400, most=9).queue(0, 2)], "its encoder knows levels"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(network(encoder), {"input": value, "beside": beside})
    with pytest.raises(InputError, match=r"steps must be 9, as many as x has .*\(got 3\)"):
        simulate(network(Events()), {"input": stream, "beside": beside}, 3)
