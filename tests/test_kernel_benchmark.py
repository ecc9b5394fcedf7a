"""What benchmarks/kernels.py --integers compares gives the same sums, and its figures are what they are said to be."""

from __future__ import annotations

import csv
import re
import subprocess
import sys

import _integer_kernels as integer_kernels
import kernels
import numpy as np
import pytest
from _integer_kernels import EVENTS, Timed, crossing, crossing_in_words, table_lines
from _random_events import Clock, inputs_of, random_queue

from spikeunet.engine import Conv2d, Input, InputError, MultiThreshold, Network, Neurons, Output, save_model
from spikeunet.engine.binding import build_program
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels import dot
from spikeunet.engine.simulation.currents import part, plane_products

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # kernels are compiled


def network():
    generator = np.random.default_rng(0)
    first, second = (generator.integers(-127, 128, (40, channels, 3, 3)).astype(np.float32) for channels in (1, 40))
    neurons = MultiThreshold((1.0, 0.5, 0.25))
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", first, padding=1),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", second, padding=1),
            Neurons("relu2", "conv2", neurons),
            Conv2d("conv3", "relu2", second[:1], padding=1),
            Output("output", "conv3"),
        ]
    )


@pytest.fixture
def second_layer(monkeypatch):
    """A layer that reads spikes; portable kernels in place of those of this processor."""
    monkeypatch.setattr(integer_kernels, "kinds", lambda: (EVENTS, "portable"))
    return build_program(network(), (1, 9, 20)).layers[1]


@pytest.mark.parametrize("steps", [1, 2])
def test_masks_say_which_channels_fire(steps):
    queue, events = random_queue(40, 3, 5, steps, 0.4)
    dense = queue.dense_levels()
    assert events == np.count_nonzero(dense)
    assert events > 0.3 * dense.size
    bits = np.unpackbits(queue.masks, axis=2, bitorder="little")
    np.testing.assert_array_equal(bits[..., :40].transpose(2, 0, 1), dense.any(axis=0))
    assert not bits[..., 40:].any()


@pytest.mark.parametrize(("kind", "kernel"), [(EVENTS, "gather_band"), ("portable", "dot_band")])
def test_the_way_that_is_asked_for_is_taken(kind, kernel, second_layer):
    inputs, _, _ = inputs_of(second_layer, 1, 0.01)
    with Clock((part, "gather_band"), (part, "gather_in_step"), (plane_products, "dot_band")) as clock:
        _, add, sums = integer_kernels.run_layer(integer_kernels.one_kind(second_layer, kind), inputs, 1)
    assert [name for name, seconds in clock.seconds.items() if seconds > 0] == [kernel]
    assert add > 0
    assert sums.any()


def test_a_way_that_the_processor_does_not_have():
    features = frozenset({"amx", "vnni"}) - set(dot.host_dots())
    for kind in features:
        with pytest.raises(InputError, match="this processor has no"):
            integer_kernels.one_kind(None, kind)


def test_clocks_are_taken_away():
    kernel = part.gather_band
    with Clock((part, "gather_band")):
        assert part.gather_band is not kernel
    assert part.gather_band is kernel


def test_what_is_measured(second_layer):
    rows = list(integer_kernels.measure_layer(second_layer, 1, [0.1, 1.0], 1))
    assert [(row.activity, row.kind) for row in rows] == [
        (0.1, EVENTS),
        (0.1, "portable"),
        (1.0, EVENTS),
        (1.0, "portable"),
    ]
    # Where all fire, events cause all products but those of the kernel's taps beyond the border.
    inside = 40 * 40 * (3 * 9 - 2) * (3 * 20 - 2)
    for row in rows:
        assert (row.layer, row.weights) == ("conv2", "40x40x3x3")
        assert row.products == 40 * 40 * 9 * 9 * 20
        assert row.accumulates == pytest.approx(inside * row.activity, rel=0.1 if row.activity < 1 else 0)


def test_other_sums_end_the_script():
    with pytest.raises(SystemExit, match="conv2: the sums of amx differ"):
        integer_kernels._check_sums({EVENTS: np.zeros(2), "vnni": np.zeros(2), "amx": np.ones(2)}, "conv2")


@pytest.mark.parametrize(
    ("events", "dots", "expected"),
    [
        ([1, 10, 100], [10, 10, 10], 0.1),
        ([1, 10, 100], [31.622777, 31.622777, 31.622777], 0.31622777),
        ([5, 10, 100], [4, 4, 4], 0.0),
        ([1, 2, 3], [4, 4, 4], float("inf")),
        # Faster, slower, faster: what counts is the end.
        ([5, 1, 100], [4, 10, 10], 0.31622777),
    ],
)
def test_crossing(events, dots, expected):
    assert crossing([0.01, 0.1, 1.0], events, dots) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("activity", "words"), [(0.0, "below 0.3 %"), (0.0461, "4.6 %"), (float("inf"), "beyond 60 %")]
)
def test_crossing_in_words(activity, words):
    assert crossing_in_words(activity, [0.003, 0.6]) == words


def timed(layer, weights, activity, kind, add):
    return Timed(layer, weights, activity, kind, 0.001, add, int(1e9 * activity), 10**9)


ROWS = [
    timed(layer, weights, activity, kind, 0.009 * (activity if kind == EVENTS else 0.1))
    for layer, weights in [("a", "64x32x3x3"), ("b", "64x64x3x3"), ("c", "32x32x1x1"), ("d", "8x32x3x3")]
    for activity in (0.01, 0.1, 1.0)
    for kind in (EVENTS, "vnni")
]


def test_table():
    header, _, events, dots, *_ = table_lines(ROWS, {"vnni": 2000.0})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, events, dots)]
    assert cells[0][3:6] == ["1 % active", "10 % active", "100 % active"]
    # 1 ms of unpacking and 9 ms of 1 G accumulates at 100 %.
    assert cells[1] == ["a", "64x32x3x3", "events", "1.09 (9.2)", "1.9 (52.6)", "10 (100.0)", "", "", ""]
    assert cells[2] == ["a", "64x32x3x3", "vnni", "1.9 (5.3)", "1.9 (52.6)", "1.9 (526.3)", "1111", "56%", "10 %"]


def test_sums_over_layers():
    whole = integer_kernels.whole_network(ROWS)
    assert len(whole) == 6
    assert whole[0].seconds == pytest.approx(4 * ROWS[0].seconds)
    assert (whole[0].accumulates, whole[0].products) == (4 * ROWS[0].accumulates, 4 * 10**9)


def test_representative_layers():
    assert integer_kernels.representative_layers(ROWS) == ["c", "b"]
    assert integer_kernels.representative_layers([row for row in ROWS if row.layer in "ad"]) == ["a", "d"]


@pytest.mark.skipif(len(integer_kernels.kinds()) == 1, reason="this processor has no such instructions")
def test_command(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    save_model(network(), tmp_path / "net.npz")
    options = ["--integers", "--model", str(tmp_path / "net.npz"), "--size", "16", "--repeats", "1"]
    plot = tmp_path / "integers.png"
    arguments = [*options, "--activities", "0.1,0.5", "--out", str(tmp_path / "out"), "--plot", str(plot)]
    kernels.main.main(arguments, standalone_mode=False)
    with open(tmp_path / "out" / "integers.csv") as stream:
        rows = list(csv.DictReader(stream))
    kinds = integer_kernels.kinds()
    # The first layer reads the picture.
    assert [(row["layer"], row["kind"]) for row in rows] == [
        (name, kind) for name in ("conv2", "conv3") for _ in "12" for kind in kinds
    ]
    assert plot.stat().st_size > 0
    printed = capsys.readouterr().out
    assert printed.count("peak of one core") == len({*kinds} - {"events", "event-integers"})
    assert all(kind in host_kernels() for kind in kinds[1:])


@pytest.mark.parametrize("model", ["denoise-tiny", "denoise-colour"])
def test_the_times_of_layers_say_what_counting_takes(repository, model):
    """In a process of its own, whose classes the script changes."""
    command = [sys.executable, "benchmarks/layer_times.py", "--model", model, "--size", "32", "--repeats", "1"]
    found = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    assert "stem.neurons |" in found
    assert re.search(
        r"^counting [0-9.]+ ms, [0-9.]+% of a run: kernels [0-9.]+, Python 0\.[0-9]*[1-9]", found, re.MULTILINE
    )
