"""Only what has changed is computed, with the bits and counts of a full run."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from still_camera import BYTE_LADDER, clip, network

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Input,
    InputError,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Rate,
    Stream,
    load_model,
    read_picture,
    simulate,
)
from spikeunet.engine.increments import costs, incremental_run
from spikeunet.engine.operations.exact import total
from spikeunet.engine.results.run_counts import RunCounts
from spikeunet.engine.testing.comparison import assert_same_array, assert_same_operations


@pytest.fixture(autouse=True, scope="module")
def _always_by_increments():
    """Pictures are small: a change is a large part of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental_run, "MOST_CHANGED", 1.0)
        yield


def set_way(patch, way):
    """Have all layers that can be brought up to date in one way, whatever it costs."""
    cost = {"changes": 1e-9, "full": 1e9}.get(way)
    if cost is not None:
        patch.setattr(costs, "KEPT", -1e9 if way == "changes" else 1e9)
        for name, value in (("WALKED", 1 / cost), ("DIRTY", cost), ("VECTOR", cost)):
            patch.setattr(costs, name, value)


@pytest.fixture
def always(monkeypatch):
    """`set_way` for a test."""
    return lambda way: set_way(monkeypatch, way)


def check(stream, picture):
    """Output and counts of a picture, bit for bit; returns the result."""
    found = stream.push(picture)
    expected = simulate(stream.network, picture, stream.steps, threads=1)
    for name, output in expected.outputs.items():
        assert_same_array(found.outputs[name], output, f"output {name}")
    assert_same_operations(found.operations, expected.operations)
    return found


# --- The same as a full run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threads", "way"),
    [(1, "changes"), *(pytest.param(3, way, marks=pytest.mark.slow) for way in ("chosen", "full"))],
)
def test_the_bits_and_counts_of_a_full_run(always, way, threads):
    always(way)
    stream = Stream(network(), threads=threads, exact_increments=True)
    used = set()
    for picture in clip(threads, 8):
        used |= set(check(stream, picture).kernels["relu4"])
    if way == "changes":
        assert "changes" in used
    if way == "full":
        assert "changes" not in used


@given(
    st.integers(0, 1 << 16),
    st.integers(1, 3),
    st.sampled_from([(12, 20), (2, 34), (24, 2)]),
    st.sampled_from(["changes", "chosen"]),
)
def test_random_weights_sizes_and_changes(seed, threads, size, way):
    with pytest.MonkeyPatch.context() as patch:
        set_way(patch, way)
        stream = Stream(network(seed), threads=threads, exact_increments=True)
        for picture in clip(seed, 4, 1, *size):
            check(stream, picture)


@pytest.mark.slow
@pytest.mark.parametrize("floats", [False, True])
def test_ladders_of_other_sizes_and_weights_in_float32(always, floats):
    """A byte does not hold a change of 255 quanta; two ladders have another quantum together; sums that are rounded."""
    always("changes")
    other = MultiThreshold((2.0, 1.0, 0.5)) if floats else None
    stream = Stream(network(1, BYTE_LADDER, floats, other), threads=2, exact_increments=True)
    kernels = set()
    for number, picture in enumerate(clip(3, 6)):
        kernels.add(check(stream, 4 * picture * (-1) ** number).kernels["relu3"])
    assert (("changes",) in kernels) == (not floats)


@pytest.mark.parametrize("way", ["changes", "full"])
@pytest.mark.parametrize("read", ["relu1", "input"])
def test_a_sum_that_is_put_out(always, way, read):
    """Of which one part reads neurons or the picture itself; weights are rounded in float32."""
    always(way)
    *nodes, last, output = network().nodes
    random, channels = np.random.default_rng(5), 16 if read == "relu1" else 1
    past = Conv2d("past", read, random.standard_normal((3, channels, 3, 3)).astype(np.float32), padding=1)
    whole = Network([*nodes, last, past, Add("sum", ("past", last.name)), replace(output, source="sum")])
    stream = Stream(whole, threads=2, exact_increments=True)
    picture = next(clip(2))
    check(stream, picture)
    picture[:, 2:5, 3:6] += np.float32(0.25)
    found = check(stream, picture)
    done, synapses = stream.increments[output.name], found.operations.synapses
    assert ("picture" in found.kernels[output.name]) == (read == "input")
    assert 0 < done.dirty < done.pixels
    assert 0 < done.done < done.full
    assert done.full == sum(total(synapses[name].synops) + synapses[name].macs for name in ("past", last.name))
    check(stream, picture)
    assert stream.increments[output.name].done == 0
    for picture in clip(3, 4):
        check(stream, picture)


def test_a_sum_below_normal_numbers_is_zero():
    weights = [np.full((1, 1, 1, 1), factor * 2.0**-126, np.float32) for factor in (1.5, -1.25)]
    parts = [Conv2d(f"part{number}", "input", weight) for number, weight in enumerate(weights)]
    whole = Network([Input("input"), *parts, Add("sum", ("part0", "part1")), Output("output", "sum")])
    found = check(Stream(whole, threads=1, exact_increments=True), np.ones((1, 4, 4), np.float32))
    assert not found.output.any()


def test_a_sum_of_what_is_none_of_them_is_named():
    ones, nodes = np.ones((16, 16, 1, 1), np.float32), network().nodes
    parts = [Conv2d("last", "relu1", ones), MaxPool2d("largest", "relu1", 1), Add("both", ("last", "largest"))]
    with pytest.raises(InputError, match="'both' adds up something else than convolutions and linear layers"):
        Stream(Network([*nodes[:3], *parts, Output("o", "both")]), exact_increments=True).push(next(clip(0)))


def test_a_sum_that_neurons_take_is_named():
    ones = np.ones((16, 16, 1, 1), np.float32)
    twice = [Conv2d("shortcut", "relu1", ones), Add("twice", ("shortcut", "shortcut")), Neurons("doubled", "twice")]
    whole = Network([*network().nodes[:3], *twice, Conv2d("last", "doubled", ones), Output("o", "last")])
    with pytest.raises(InputError, match="'twice' is a sum that neurons take"):
        Stream(whole, exact_increments=True).push(next(clip(0)))


class Drawer(random_graphs.Drawer):
    """Draws networks of layers that can be brought up to date, most often."""

    def model(self):
        while not isinstance(model := super().model(), (MultiThreshold, IntegrateAndFire, LeakyIntegrateAndFire)):
            pass
        return model

    def synapses(self, name, source, shape):
        while not isinstance(
            node := super().synapses(name, source, shape), (AvgPool2d, Conv2d, ConvTranspose2d, Linear)
        ):
            pass
        return node

    def current(self, index, nodes, shapes, sizes, layers, steps):
        source = self.source(index, nodes, shapes, sizes)
        node = self.synapses(f"s{index}", source, shapes[source])
        return node.name if self.bind(node, nodes, shapes, sizes, layers, steps) else None

    def loop(self, nodes, shapes, sizes, layers):
        """None."""


@pytest.mark.slow
@settings(max_examples=2)
@given(st.integers(0, 1 << 16), st.sampled_from(["changes", "chosen"]))
def test_random_graphs(seed, way):
    """Of random_graphs.py, the first that is taken: any geometry, any ladder."""
    with pytest.MonkeyPatch.context() as patch:
        set_way(patch, way)
        for index in range(100):
            graph = Drawer([seed, index]).graph()
            stream = Stream(graph.network, threads=1 + index % 3, exact_increments=True)
            try:
                stream.push(graph.picture)
            except InputError:
                continue
            check_changes(stream, graph.picture.copy(), index)
            return


def check_changes(stream, picture, seed):
    """A few changes here and there."""
    generator = np.random.default_rng(seed)
    for _ in range(3):
        y, x = (int(generator.integers(size)) for size in picture.shape[1:])
        picture[:, y : y + 2, x] += np.float32(1 / 16)
        check(stream, picture)


@pytest.mark.slow
def test_a_clip_through_a_shipped_model():
    """A window that moves over a picture, and a still one with something that moves."""
    network = load_model("segment-street")
    whole = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png") / 255.0
    stream = Stream(network, threads=2, exact_increments=True)
    for k in range(3):
        picture = np.broadcast_to(whole[100:164, 100 + 3 * k : 196 + 3 * k], (3, 64, 96)).astype(np.float32)
        check(stream, picture)
    for k in range(4):
        moved = picture.copy()
        moved[:, 20:30, 10 + 5 * k : 20 + 5 * k] = 0.5
        check(stream, moved)
    assert sum(each.done for each in stream.increments.values()) < sum(each.full for each in stream.increments.values())


# --- What was done ---------------------------------------------------------------------------------------------------


def test_nothing_is_done_where_nothing_has_changed():
    stream = Stream(network(), threads=1, exact_increments=True)
    picture = next(clip(0))
    first = check(stream, picture)
    assert stream.increments["relu1"].dirty == stream.increments["relu1"].pixels == 12 * 20
    again = check(stream, picture)
    assert again.output is not first.output
    assert set(again.kernels.values()) == {("none",)}
    assert all((each.done, each.dirty, each.changed) == (0, 0, 0) for each in stream.increments.values())
    full = sum(int(node.synops.sum()) for node in again.operations.synapses.values()) + again.total_macs
    assert sum(each.full for each in stream.increments.values()) == full > 0


def test_the_ledger_is_worked_out_where_it_is_read(monkeypatch):
    """That of a picture is still its own when others have been shown; a batch's is the sum."""
    worked_out, work = [], RunCounts.ledger
    monkeypatch.setattr(RunCounts, "ledger", lambda counts: worked_out.append(counts) or work(counts))
    stream, pictures = Stream(network(), threads=1, exact_increments=True), list(clip(0, 3))
    found = [stream.push(picture) for picture in pictures]
    batch = simulate(stream.network, np.stack(pictures), 1, threads=1)
    assert worked_out == []
    expected = [simulate(stream.network, picture, 1, threads=1).operations for picture in pictures]
    for result, operations in zip(found, expected, strict=True):
        assert_same_operations(result.operations, operations)
    assert_same_operations(batch.operations, expected[0] + expected[1] + expected[2])
    full = [total(node.synops) + node.macs for each in expected for node in each.synapses.values()]
    assert stream.savings.full == sum(full)


def test_what_is_done_follows_the_change(always):
    always("changes")
    stream = Stream(network(), threads=1, exact_increments=True)
    picture = next(clip(0))
    stream.push(picture)
    picture[0, 3, 4] = 2
    stream.push(picture)
    first, second = stream.increments["relu1"], stream.increments["relu2"]
    assert first.dirty == 9
    assert second.dirty == 25
    assert 0 < first.changed <= 9 * 16
    assert second.done == first.changed * 9 * 12


def test_what_is_kept_is_what_is_used(always):
    """A number that is kept and wrong shows up: the comparisons above can fail."""
    always("changes")
    stream = Stream(network(), threads=1, exact_increments=True)
    picture = next(clip(0))
    check(stream, picture)
    last = stream._by_increments._increments._layers[-1]
    last.currents[:] += 1
    picture[0, 5, 5] = 3
    with pytest.raises(AssertionError):
        check(stream, picture)


def test_more_steps_and_numbers_beyond_float32_are_run_in_full():
    picture = next(clip(0))
    small = Network(
        [*network().nodes[:3], Conv2d("last", "relu1", np.ones((1, 16, 1, 1), np.float32)), Output("o", "last")]
    )
    stream = Stream(small, 8, threads=1, exact_increments=True)
    for _ in range(2):  # Each from rest.
        check(stream, picture)
        assert stream.increments == {}
    stream = Stream(network(), threads=1, exact_increments=True)
    check(stream, picture)
    check(stream, picture * np.float32(1e36))
    assert stream.increments == {}
    check(stream, picture)
    assert stream.increments


def test_cuts_are_run_in_full_until_pictures_stand_still(monkeypatch):
    """Every picture another one: full runs; the second of a new scene begins anew, the third follows changes."""
    monkeypatch.setattr(incremental_run, "MOST_CHANGED", 0.25)
    pictures = np.random.default_rng(0).random((4, 1, 12, 20)).astype(np.float32)
    shown = [pictures[0], pictures[1], pictures[2], pictures[3], pictures[3], pictures[3], pictures[0]]
    stream = Stream(network(), threads=1, exact_increments=True)
    dirty = []
    for picture in shown:
        check(stream, picture)
        dirty.append({each.dirty for name, each in stream.increments.items() if name == "relu1"})
    assert dirty == [{240}, set(), set(), set(), {240}, {0}, set()]


def test_reset_and_pictures_of_another_size():
    stream = Stream(network(), threads=1, exact_increments=True)
    picture = next(clip(0))
    check(stream, picture)
    with pytest.raises(InputError, match=r"shape \(1, 12, 20\) of the picture before \(got \(1, 12, 16\)\)"):
        stream.push(picture[..., :16])
    check(stream, picture + np.float32(0.125))
    stream.reset()
    check(stream, picture[..., :16])


# --- What cannot be --------------------------------------------------------------------------------------------------


def test_what_is_refused():
    nodes = network().nodes
    picture = next(clip(0))
    stream = Stream(network(), threads=1, exact_increments=True)
    for options, message in (
        ({"record": ("spikes",)}, "record"),
        ({"time_axis": 0}, "time_axis"),
        ({"x": picture[None]}, "single picture"),
    ):
        with pytest.raises(InputError, match=message):
            stream.push(**{"x": picture, **options})
    with pytest.raises(InputError, match="goes on from a state"):
        stream.run_until_stable(picture)
    stream.state = simulate(stream.network, picture, 1, record=("state",)).state
    with pytest.raises(InputError, match="state"):
        stream.push(picture)
    with pytest.raises(InputError, match="kernels"):
        Stream(network(), kernels="events", exact_increments=True)
    with pytest.raises(InputError, match="True or False"):
        Stream(network(), exact_increments=1)
    with pytest.raises(InputError, match="encoder"):
        Stream(Network([Input("input", 1, encoder=Rate()), *nodes[1:]]), exact_increments=True)


def test_more_than_the_memory_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(incremental_run, "machine_memory", lambda: 12 * 20 * 100)
    stream = Stream(network(), threads=1, exact_increments=True)
    with pytest.raises(InputError, match=r"pictures of 12x20 keep 0.0 GiB, and the machine has 0.0; leave exact_incr"):
        stream.push(next(clip(0)))
    monkeypatch.setattr(incremental_run, "machine_memory", lambda: None)
    check(stream, next(clip(0)))


def test_layers_that_cannot_be_brought_up_to_date_are_named():
    last = Conv2d("last", "pooled", np.ones((1, 16, 1, 1), np.float32))
    whole = Network(
        [
            *network().nodes[:3],
            MaxPool2d("largest", "relu1", 2),
            Neurons("pooled", "largest"),
            last,
            Output("o", "last"),
        ]
    )
    with pytest.raises(InputError, match="'largest' is none of a convolution"):
        Stream(whole, exact_increments=True).push(next(clip(0)))


def test_a_stream_that_runs_is_not_copied():
    stream = Stream(network(), threads=1, exact_increments=True)
    stream.push(next(clip(0)))
    with pytest.raises(TypeError, match="memory of this process"):
        copy.deepcopy(stream)
