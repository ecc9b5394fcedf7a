"""What is counted is the same wherever it is shown: by Python, by the commands and by the models of energy."""

from __future__ import annotations

import json
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import (
    ENERGY_MODELS,
    Attention,
    AvgPool2d,
    Conv2d,
    Events,
    GlobalAvgPool2d,
    Input,
    InputError,
    IntegrateAndFire,
    Linear,
    MeanConv2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Rate,
    Stream,
    denoise,
    read_picture,
    save_model,
    simulate,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.operations.charges import dense_charges
from spikeunet.engine.testing import brute_force, reference
from spikeunet.engine.testing.comparison import assert_same_operations

HALF = IntegrateAndFire(0.5)
LADDER, UNEVEN = MultiThreshold(), MultiThreshold((1.0, 0.75))
PICTURE = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)


def weights(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32) / 4


@pytest.fixture
def printed(capsys):
    """Run a command and return what it printed as JSON; the exit status must be 0."""

    def invoke(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([*map(str, arguments)])
        captured = capsys.readouterr()
        assert stop.value.code == 0, captured.err
        return captured.out

    return invoke


# --- Products of an attention ----------------------------------------------------------------------------------------


def attentive():
    """A classifier of three classes with an attention of two heads, of three channels each."""
    nodes = [
        Input("picture", 3),
        Conv2d("qkv", "picture", weights(18, 3, 1, 1), np.full(18, 0.25)),
        Neurons("fired", "qkv", HALF),
        Attention("attention", "fired", heads=2),
        Neurons("attended", "attention", HALF),
        Linear("classes", "attended", weights(3, 6 * 16), np.full(3, 0.25)),
        Output("output", "classes"),
    ]
    return Network(nodes, {"task": "classify", "steps": 2})


def test_the_artificial_networks_attention_counts_everywhere(tmp_path, printed):
    network = attentive()
    expected = {"qkv": 54 * 16, "attention": 2 * 16 * 6 * 3, "classes": 18 * 16}
    macs = sum(expected.values())
    picture = np.ascontiguousarray(PICTURE.transpose(2, 0, 1)).astype(np.float32) / 256
    result = simulate(network, picture, 2)
    assert result.dense_macs == expected
    assert result.operations.totals["dense_macs"] == macs
    other = reference.simulate(network, picture, 2)
    assert other.dense_macs == expected
    assert_same_operations(result.operations, other.operations)
    for name, model in ENERGY_MODELS.items():
        if model.multiply_accumulate is not None and model.memory is None:
            assert result.operations.energy(name).dense == pytest.approx(model.joules(0, macs)), name
    save_model(network, tmp_path / "model.npz")
    write_picture(tmp_path / "picture.png", PICTURE)
    (entry,) = json.loads(printed("classify", tmp_path / "model.npz", tmp_path / "picture.png", "--json"))["pictures"]
    assert entry["dense_macs"] == macs
    assert {name: node["dense_macs"] for name, node in entry["synapses"].items()} == expected
    assert entry["dense_energy_joules"] == pytest.approx(macs * 4.6e-12)
    found = json.loads(printed("info", tmp_path / "model.npz", "--shape", "4x4", "--json"))
    assert found["dense_macs"] == macs


def test_what_an_attention_reads_in_the_artificial_network():
    """Two activations for each product, and no weight."""
    ledger = simulate(attentive(), np.ones((3, 4, 4), np.float32), 1).operations
    charges = list(dense_charges(ledger))
    weights_read = sum(c.number for c in charges if c.part == "weight memory")
    assert weights_read == 54 * 16 + 18 * 16 + 18 * 16 + 3  # with the biases
    activations = sum(c.number for c in charges if c.part == "event memory")
    assert activations == 54 * 16 + 18 * 16 + 2 * 2 * 16 * 6 * 3 + 6 * 16 + 6 * 16 + 3


def test_a_pool_of_the_picture_reads_no_weights():
    nodes = [
        Input("picture", 1),
        AvgPool2d("pool", "picture", 2),
        Neurons("fired", "pool", HALF),
        Conv2d("last", "fired", weights(1, 1, 1, 1)),
        Output("output", "last"),
    ]
    ledger = simulate(Network(nodes), np.ones((1, 4, 4), np.float32), 1).operations
    (pool,) = (node for node in ledger.synapses.values() if node.kind == "AvgPool2d")
    assert (pool.macs, pool.weight_reads) == (16, 0)
    model = ENERGY_MODELS["spikingjelly"]
    of_last = ledger.synapses["last"].weight_reads + ledger.synapses["last"].bias_reads
    assert ledger.energy("spikingjelly").parts["weight memory"] == pytest.approx(of_last * model.memory.joules(1, 32))


# --- Input that changes ----------------------------------------------------------------------------------------------

FRAMES = np.random.default_rng(1).integers(0, 5, (4, 1, 6, 6)).astype(np.float32) / 4


def convolving():
    """A layer that reads the picture, with a bias, and one that reads events."""
    nodes = [
        Input("picture", 1),
        Conv2d("first", "picture", weights(4, 1, 3, 3), np.full(4, 0.25)),
        Neurons("fired", "first", HALF),
        Conv2d("last", "fired", weights(1, 4, 1, 1), np.full(1, 0.25)),
        Output("output", "last"),
    ]
    return Network(nodes)


@pytest.mark.parametrize("order", ["layer", "time"])
def test_an_input_that_changes_is_counted_each_time_that_it_does(order):
    network = convolving()
    shown = FRAMES[[0, 1, 1, 0, 2]]
    found = simulate(network, shown, time_axis=0, order=order).operations
    assert_same_operations(found, reference.simulate(network, shown, 5).operations)
    one = simulate(network, shown[0], 5).operations
    (first, last), (alone, after) = found.synapses.values(), one.synapses.values()
    assert (found.shown, one.shown) == (4, 1)
    assert (first.macs, first.weight_reads) == (4 * alone.macs, 4 * alone.weight_reads)
    assert (first.bias_reads, alone.bias_reads) == (4 * 64, 64)
    assert last.bias_reads == after.bias_reads == 5 * 16
    assert found.totals["dense_macs"] == 4 * one.totals["dense_macs"] == 4 * (36 + 4) * 16
    for model in ("45nm", "45nm-binary", "lemaire", "spikingjelly", "yan"):
        dense, of_one = found.energy(model).dense, one.energy(model).dense
        assert dense is of_one is None or dense == pytest.approx(4 * of_one, rel=1e-12), model
    assert "4 inputs shown" in str(found)
    assert "shown" not in str(one)
    assert json.loads(found.to_json())["shown"] == 4


def test_inputs_of_a_batch_are_counted_clip_by_clip():
    network = convolving()
    still, moving = np.stack([FRAMES[0]] * 4), FRAMES
    together = simulate(network, np.stack([still, moving]), time_axis=1).operations
    alone = [simulate(network, clip, time_axis=0).operations for clip in (still, moving)]
    assert (together.shown, together.pictures) == (5, 2)
    assert_same_operations(together, sum(alone))


def test_the_first_steps_of_a_run_whose_input_changed_are_not_known():
    changing = simulate(convolving(), FRAMES, time_axis=0).operations
    assert changing.first_steps(4).totals == changing.totals
    with pytest.raises(InputError, match=r"was computed 4 times, .*run the first 2 by themselves"):
        changing.first_steps(2)
    stable = Stream(convolving()).run_until_stable(FRAMES[0], tolerance=0.0, patience=8, most_steps=3)
    with pytest.raises(InputError, match="was computed 3 times"):
        stable.operations.first_steps(1)
    still = np.stack([FRAMES[0]] * 4)
    found = simulate(convolving(), still, time_axis=0).operations.first_steps(2)
    assert found.totals == simulate(convolving(), FRAMES[0], 2).operations.totals


def test_runs_that_go_on():
    """A picture that is shown on is computed in each run, and the artificial network's account has it once."""
    network, picture = convolving(), FRAMES[0]
    one, stream = simulate(network, picture, 3).operations.totals, Stream(network)
    stable = stream.run_until_stable(picture, tolerance=0.0, patience=8, most_steps=3).operations
    found = stable.totals
    assert (found["macs"], found["dense_macs"]) == (3 * one["macs"], one["dense_macs"])
    assert (stable.shown, stable.computed) == (1, 3)
    assert "inputs shown" not in str(stable)
    assert found["bias_reads"] == one["bias_reads"] + 2 * 64
    assert found["weight_reads"] == one["weight_reads"] + 2 * one["macs"]
    assert found["synops"] == one["synops"]
    stream.reset()
    first, second = (stream.push(frame).operations for frame in FRAMES[:2])
    whole = simulate(network, FRAMES[:2], time_axis=0).operations
    assert_same_operations(first.followed_by(second, another_input=True), whole)
    again = first.followed_by(second)
    assert (again + again).shown == 2
    assert (again + again).computed == 4
    assert again.totals["dense_macs"] == first.totals["dense_macs"]


def test_the_first_steps_of_runs_that_went_on_without_an_analog_input():
    """What an encoder puts out is none, so nothing was computed that counts for all steps."""
    nodes = [
        Input("picture", 1, encoder=Rate()),
        Conv2d("first", "picture", weights(4, 1, 3, 3)),
        Neurons("fired", "first", HALF),
        Conv2d("last", "fired", weights(1, 4, 1, 1), np.full(1, 0.25)),
        Output("output", "last"),
    ]
    stream = Stream(Network(nodes), steps=2)
    first, second = (stream.push(FRAMES[0]).operations for _ in range(2))
    assert first.totals["synops"]
    assert_same_operations(first.followed_by(second).first_steps(2), first)
    with pytest.raises(InputError, match=r"2 inputs were shown, .*run the first 2 by themselves"):
        first.followed_by(second, another_input=True).first_steps(2)


# --- NeuroBench's names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8)], ids=["colour", "gray"])
def test_figures_of_a_picture_are_those_of_the_picture_that_was_given(tmp_path, printed, shape):
    """A gray model sees the three colours of a picture as pictures of its own."""
    colours = 3 if len(shape) == 3 else 1
    save_model(small_denoiser(), tmp_path / "model.npz")
    model, pictures = tmp_path / "model.npz", tmp_path / "pictures"
    pictures.mkdir()
    drawn = np.random.default_rng(2)
    for number in range(2):
        write_picture(pictures / f"{number}.png", drawn.integers(0, 256, shape).astype(np.uint8))
    alone = [denoise(read_picture(path), model).result.operations for path in sorted(pictures.iterdir())]
    assert [ledger.pictures for ledger in alone] == [colours] * 2
    found = json.loads(printed("denoise", pictures, "-o", tmp_path / "out", "--model", model, "--json"))[str(model)]
    both, effective = sum(alone), sum(int(ledger.totals["synops_effective"]) for ledger in alone)
    pools = sum(int(n.synops_effective.sum()) for n in both.synapses.values() if not n.weights)
    counts = found["SynapticOperations"]
    assert found == {"pictures": 2, **both.to_neurobench(pictures=2)}
    assert counts["Effective_MACs"] + counts["Effective_ACs"] == (
        (effective - pools + both.totals["macs_effective"]) / 2
    )
    assert found["MembraneUpdates"] == both.totals["neuron_updates"] / 2
    run = ("denoise", pictures / "0.png", "-o", tmp_path / "0.png", "--model", model, "--report", "-")
    (entry,) = json.loads(printed(*run))["pictures"]
    assert entry["neurobench"] == alone[0].to_neurobench(pictures=1)
    run = ("evaluate", model, pictures, "--output", tmp_path / "rows", "--json")
    (row,) = json.loads(printed(*run))
    assert (row["pictures"], row["neurobench"]["MembraneUpdates"]) == (2, found["MembraneUpdates"])
    dense = row["neurobench"]["SynapticOperations"]["Dense"]
    assert dense == pytest.approx(found["SynapticOperations"]["Dense"])
    assert dense * row["mean"]["density"] > row["mean"]["events"]


def test_pages_of_a_series_are_pictures(tmp_path, printed):
    save_model(small_denoiser(), tmp_path / "model.npz")
    pages = np.random.default_rng(3).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    iio.imwrite(tmp_path / "pages.tif", pages, photometric="rgb")
    run = ("denoise", tmp_path / "pages.tif", "-o", tmp_path / "out.tif", "--model", tmp_path / "model.npz", "--json")
    (found,) = json.loads(printed(*run)).values()
    assert found["pictures"] == 3


@pytest.mark.parametrize("pictures", [0, -1, 1.0, True])
def test_numbers_of_pictures_that_are_none(pictures):
    ledger = simulate(convolving(), FRAMES[0], 1).operations
    with pytest.raises(InputError, match="pictures must be a whole number, 1 or more"):
        ledger.to_neurobench(pictures=pictures)


def test_a_number_of_pictures_of_numpy():
    ledger = simulate(convolving(), FRAMES[0], 1).operations
    found = ledger.to_neurobench(pictures=np.int64(2))
    assert json.dumps(found) == json.dumps(ledger.to_neurobench(pictures=2))


# --- Layers without a bias -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [None, 0.0, -0.0])
def test_a_layer_whose_biases_are_all_zero_has_none(tmp_path, printed, bias):
    def made(*numbers):
        return [None if bias is None else np.full(number, bias, np.float32) for number in numbers]

    first, second, last = made(4, 4, 1)
    nodes = [
        Input("picture", 1),
        Conv2d("first", "picture", weights(4, 1, 3, 3), first),
        Neurons("fired", "first", HALF),
        Conv2d("second", "fired", weights(4, 4, 3, 3), second),
        Neurons("again", "second", HALF),
        Conv2d("last", "again", weights(1, 4, 1, 1), last),
        Output("output", "last"),
    ]
    network = Network(nodes)
    numbers = 4 * 9 + 16 * 9 + 4
    run = reference.simulate(network, FRAMES[0], 3)
    ledger = simulate(network, FRAMES[0], 3).operations
    assert_same_operations(ledger, run.operations)
    assert ledger.totals["bias_reads"] == run.count_reads()["bias_reads"] == 0
    assert ledger.totals["parameter_bytes"] == 4 * numbers
    assert ledger.to_neurobench()["ParameterCount"] == network.parameters == numbers
    for model in ("lemaire", "spikingjelly"):
        estimate = ledger.energy(model)
        assert (estimate.parts.get("biases", 0), estimate.dense_parts.get("biases", 0)) == (0, 0)
    save_model(network, tmp_path / "model.npz")
    found = json.loads(printed("info", tmp_path / "model.npz", "--json"))
    assert found["parameters"] == sum(node["parameters"] for node in found["nodes"]) == numbers
    # One that is not zero is a bias of all channels.
    driven = network.replace([replace(n, bias=np.float32([0, 0, 0, 0.25])) if n.name == "second" else n for n in nodes])
    more = simulate(driven, FRAMES[0], 3).operations
    assert_same_operations(more, reference.simulate(driven, FRAMES[0], 3).operations)
    assert (more.totals["bias_reads"], driven.parameters) == (3 * 4 * 2 * 2, numbers + 4)


# --- Readings of events ----------------------------------------------------------------------------------------------


def reading(encoder, *layers):
    """A network behind an encoder, or an analog input: by layer its neurons, and what it reads these by."""
    nodes = [Input("picture", 1, encoder=encoder), Conv2d("first", "picture", weights(1, 1, 1, 1), np.ones(1))]
    source = "first"
    for number, (model, kind) in enumerate(layers):
        nodes.append(Neurons(f"fired{number}", source, model))
        source = f"read{number}"
        pool = kind is AvgPool2d
        nodes.append(kind(source, f"fired{number}", 1 if pool else np.full((1, 1, 1, 1), 2, np.float32)))
    return Network([*nodes, Output("output", source)])


@pytest.mark.parametrize(
    ("network", "name", "said"),
    [
        (reading(None, (HALF, Conv2d)), "accumulate", "binary: accumulates"),
        (reading(None, (LADDER, Conv2d)), "multiply-accumulate", "graded: multiply-accumulates; shift-adds, too"),
        (reading(None, (UNEVEN, Conv2d)), "multiply-accumulate", "graded: multiply-accumulates; no shift-adds"),
        (
            reading(None, (LADDER, Conv2d), (HALF, Conv2d)),
            "mixed",
            "graded: multiply-accumulates, those that are binary accumulates; shift-adds, too",
        ),
        (
            reading(Events(most=3), (HALF, Conv2d)),
            "mixed",
            "graded: multiply-accumulates, those that are binary accumulates; shift-adds, too",
        ),
        (reading(Events(), (HALF, Conv2d)), "accumulate", "binary: accumulates"),
        (reading(None, (UNEVEN, AvgPool2d), (HALF, Conv2d)), "accumulate", "binary: accumulates"),
        (reading(None, (LADDER, AvgPool2d)), "accumulate", "meet no weights: accumulates"),
    ],
)
def test_info_and_the_ledger_read_events_alike(tmp_path, printed, network, name, said):
    save_model(network, tmp_path / "model.npz")
    (line,) = (row for row in printed("info", tmp_path / "model.npz").splitlines() if row.startswith("events"))
    assert line.split(maxsplit=1)[1] == said
    shown = {"time_axis": 0} if network.encoded else {"steps": 2}
    ledger = simulate(network, np.ones((2, 1, 2, 2) if network.encoded else (1, 2, 2), np.float32), **shown).operations
    assert ledger.reading.name == name
    if "shift-adds" in said:
        assert ("no shift-adds" in said) == (ledger.readings["shift-adds"] is None)


def test_a_network_that_fires_nothing(tmp_path, printed):
    nodes = [Input("picture", 1), Conv2d("first", "picture", weights(1, 1, 1, 1)), Output("output", "first")]
    save_model(Network(nodes), tmp_path / "model.npz")
    rows = [line.split() for line in printed("info", tmp_path / "model.npz").splitlines()]
    assert ["events", "none"] in rows


# --- A mean of a convolution -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), 1), ((2, 3), (0, 1)), ((1, 1), 0)])
def test_a_mean_of_a_convolution_is_one_of_the_artificial_network(kernel, padding):
    first = [Input("picture", 1), Conv2d("first", "picture", weights(2, 1, 1, 1)), Neurons("fired", "first", HALF)]
    whole = [*first, Conv2d("conv", "fired", weights(3, 2, *kernel), padding=padding), Neurons("again", "conv", HALF)]
    whole += [GlobalAvgPool2d("mean", "again"), Output("output", "mean")]
    short = [*first, MeanConv2d("mean", "fired", weights(3, 2, *kernel), padding=padding), Output("output", "mean")]
    found, expected = (simulate(Network(nodes), FRAMES[0], 2).operations for nodes in (short, whole))
    assert found.synapses["mean"].dense_macs == expected.synapses["conv"].dense_macs
    assert found.totals["dense_macs"] == expected.totals["dense_macs"]
    assert found.synapses["mean"].dense_macs == brute_force.count_dense_macs(short[3], (2, 6, 6), (3, 1, 1))
