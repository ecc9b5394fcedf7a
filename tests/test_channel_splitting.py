"""Channels computed twice in the place of dead ones, `quantize_weights(..., split=True)`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import refusals
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.converters import quantize_weights
from spikeunet.converters.channel_splitting import (
    MARGIN,
    _Effects,
    _effects,
    _input_axis,
    _pairs,
    _splittable,
    split_channels,
    staggered,
)
from spikeunet.converters.error_compensation import compensated_rows
from spikeunet.converters.input_moments import InputMoments
from spikeunet.engine import (
    Add,
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
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

ROUNDING = MultiThreshold.rounding()


def weight(generator, *shape, dead=()):
    """Channels of different weight, of which some get nothing."""
    values = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) * 0.6
    values[list(dead)] = 0
    return values.astype(np.float32)


def unet(seed=1, model=ROUNDING):
    """Two levels, dead channels in each layer, and neurons that are read once, twice and through a concatenation."""
    generator = np.random.default_rng(seed)

    def bias(count, dead):
        values = generator.uniform(0.15, 0.3, count).astype(np.float32)
        values[list(dead)] = -9
        return values

    return Network(
        [
            Input("picture", 1),
            Conv2d("stem", "picture", weight(generator, 8, 1, 3, 3, dead=(2, 5)), bias(8, (2, 5)), padding=1),
            Neurons("first", "stem", model),
            Conv2d("down", "first", weight(generator, 10, 8, 2, 2, dead=(0, 9)), bias(10, (0, 9)), stride=2),
            Neurons("deep", "down", model),
            ConvTranspose2d(
                "up", "deep", weight(generator, 10, 6, 2, 2) * 2, bias(6, (1,)), stride=2
            ),
            Neurons("second", "up", model),
            Concat("joined", ("first", "second")),
            Conv2d("across", "joined", weight(generator, 12, 14, 3, 3, dead=(3, 4)), bias(12, (3, 4)), padding=1),
            Neurons("third", "across", model),
            ConvTranspose2d("readout", "third", weight(generator, 12, 1, 3, 3), padding=1),
            Output("output", "readout"),
        ]
    )  # fmt: skip


def pictures(count=4, side=16, seed=1):
    return list(np.random.default_rng(seed).random((count, 1, side, side), np.float32))


def error(network, wanted, shown, steps=1):
    """Mean squared error of the spiking network's output beside the other one's as an ANN."""
    differences = [simulate(network, each, steps).output - forward(wanted, each)[0] for each in shown]
    return np.square(differences).mean()


def test_copies_stand_in_for_dead_channels_and_the_analog_form_stays():
    network, shown = unet(), pictures()
    found, copies = split_channels(network, shown)
    assert {name: {copy for copy, _ in pairs} for name, pairs in copies.items()} == {
        "stem": {2, 5},
        "down": {0, 9},
        "up": {1},
        "across": {3, 4},
    }
    assert [(node.name, getattr(node, "weight", node).shape) for node in found.nodes if hasattr(node, "weight")] == [
        (node.name, node.weight.shape) for node in network.nodes if hasattr(node, "weight")
    ]
    for name, pairs in copies.items():
        layer = found[name]
        rows = layer.by_output(layer.weight)
        for copy, channel in pairs:
            np.testing.assert_array_equal(rows[copy], rows[channel])
            assert layer.bias[copy] == layer.bias[channel]
    fresh = pictures(2, 24, 5)
    np.testing.assert_allclose(forward(found, fresh[0])[0], forward(network, fresh[0])[0], rtol=1e-4, atol=1e-5)
    # A quarter of a level either way is nothing to speak of.
    moved = staggered(found, copies)
    np.testing.assert_allclose(forward(moved, fresh[0])[0], forward(network, fresh[0])[0], atol=0.02)


def test_the_spiking_network_is_nearer_to_the_analog_one():
    coarse = MultiThreshold((0.5, 0.25, 0.125, 0.0625, 0.03125), initial=0.015625)
    network, shown = unet(model=coarse), pictures()
    found, copies = split_channels(network, shown)
    split = staggered(found, copies)
    fresh = pictures(4, 24, 5)
    assert error(split, network, fresh) < 0.75 * error(network, network, fresh)
    # Copies that are rounded at the same places gain nothing.
    assert error(found, network, fresh) == pytest.approx(error(network, network, fresh), rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_one_picture_is_enough_to_tell_what_matters(seed):
    """No channel is given up that seems to do little by chance."""
    network, shown = unet(seed), pictures(1)
    given_up, surely = (
        {(name, copy) for name, pairs in split_channels(network, shown * times)[1].items() for copy, _ in pairs}
        for times in (1, 200)
    )
    assert given_up <= surely


def test_two_copies_have_levels_twice_as_fine():
    shown = np.linspace(0.2, 0.7, 64, dtype=np.float32).reshape(1, 1, 64)
    network = Network(
        [
            Input("picture", 1),
            Conv2d("stem", "picture", np.float32([1, 0]).reshape(2, 1, 1, 1)),
            Neurons("first", "stem", ROUNDING),
            Conv2d("readout", "first", np.float32([[1], [1]]).reshape(1, 2, 1, 1)),
            Output("output", "readout"),
        ]
    )
    found, copies = split_channels(network, [shown])
    assert copies == {"stem": ((1, 0),)}
    errors = [np.abs(simulate(each, shown, 1).output - shown).max() for each in (network, staggered(found, copies))]
    unit = min(ROUNDING.thresholds)
    assert unit * 0.4 < errors[0] <= unit / 2
    assert errors[1] <= unit / 4 + 1e-6


def test_effects_are_those_on_the_output():
    """By mixtures of the outputs, on average; the last layer's are told exactly, its readout being linear."""
    network = unet(3)
    (shown,) = pictures(1, 12)
    effects = _effects(network, [shown] * 600, _splittable(network))
    fired = forward(network, shown, record="all")[1]["third"]
    unit = min(ROUNDING.thresholds)
    readout = network["readout"]
    for channel in range(len(fired)):
        kernel = readout.weight[channel : channel + 1]
        alone = Network(
            [
                Input("x", 1),
                ConvTranspose2d("readout", "x", kernel, padding=1),
                Output("output", "readout"),
            ]
        )
        put_out = forward(alone, fired[channel : channel + 1])[0]
        assert effects["across"].absence[channel] / 600 == pytest.approx(np.square(put_out).sum(), rel=0.3, abs=1e-9)
        active = (fired[channel] > unit / 2).astype(np.float32)
        spread = forward(replace_weights(alone, np.square(kernel)), active[None])[0].sum()
        assert effects["across"].rounding[channel] / 600 == pytest.approx(spread * unit**2 / 12, rel=0.1, abs=1e-12)


def replace_weights(network, values):
    return network.replace([replace(node, weight=values) if node.name == "readout" else node for node in network.nodes])


def swap_model(nodes, name, model):
    return [replace(node, model=model) if node.name == name else node for node in nodes]


def summed(nodes):
    beside = Conv2d("beside", "picture", weight(np.random.default_rng(5), 8, 1, 1, 1))
    swapped = [replace(node, source="sum") if node.name == "first" else node for node in nodes]
    return [*swapped, beside, Add("sum", parts=("stem", "beside"))]


def pooled(nodes):
    """The first neurons are read by a pool, too."""
    swapped = [replace(node, source="pooled.neurons") if node.name == "down" else node for node in nodes]
    swapped = [
        replace(node, weight=node.weight[..., :1, :1], stride=1) if node.name == "down" else node for node in swapped
    ]
    return [*swapped, AvgPool2d("pool", "first", 2), Neurons("pooled.neurons", "pool", ROUNDING)]


def grouped(nodes):
    """The neurons of the stem are read by groups."""
    generator = np.random.default_rng(6)
    return [
        replace(node, weight=weight(generator, 10, 4, 2, 2), groups=2) if node.name == "down" else node
        for node in nodes
    ]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("leaky", lambda nodes: swap_model(nodes, "first", LeakyIntegrateAndFire(threshold=1.0, decay=0.5))),
        ("coarse", lambda nodes: swap_model(nodes, "first", IntegrateAndFire(1.0))),
        ("signed", lambda nodes: swap_model(nodes, "first", SignedMultiThreshold.rounding())),
        ("summed", summed),
        ("pooled", pooled),
        ("grouped", grouped),
    ],
)
def test_layers_that_cannot_be_split_are_left_alone(name, change):
    network = Network(change(list(unet().nodes)))
    _, copies = split_channels(network, pictures())
    assert "stem" not in copies, name
    assert copies


def test_a_full_connection_of_pixels_is_left_alone():
    """It reads each channel at several places, with weights for each."""
    generator = np.random.default_rng(2)
    network = Network(
        [
            Input("picture", 1),
            Conv2d("stem", "picture", weight(generator, 4, 1, 3, 3, dead=(0,)), padding=1),
            Neurons("first", "stem", ROUNDING),
            Linear("hidden", "first", weight(generator, 6, 4 * 16, dead=(1,))),
            Neurons("second", "hidden", ROUNDING),
            Linear("readout", "second", weight(generator, 3, 6)),
            Output("output", "readout"),
        ]
    )
    _, copies = split_channels(network, pictures(2, 4))
    assert 1 in {copy for copy, _ in copies["hidden"]}
    assert "stem" not in copies


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10) | st.just(0.0)), min_size=1, max_size=12), st.floats(0, 3))
def test_pairs_gain_more_than_they_cost(channels, least):
    rounding, absence = np.array(channels).T
    pairs = _pairs(_Effects(rounding, absence), least)
    used = [channel for pair in pairs for channel in pair]
    assert len(set(used)) == len(used)
    for copy, channel in pairs:
        assert rounding[channel] >= least
        assert 0.75 * rounding[channel] > MARGIN * absence[copy]
    if len(channels) > 1 and least <= rounding.max() and not absence.any() and rounding.max():
        assert pairs[0][1] == np.argmax(rounding)


def test_the_axis_of_inputs():
    generator = np.random.default_rng(0)
    for count in (4, 7):
        assert _input_axis(Conv2d("a", "x", weight(generator, 4, count, 3, 3))) == 1
        assert _input_axis(ConvTranspose2d("a", "x", weight(generator, count, 4, 3, 3))) == 0
        assert _input_axis(Linear("a", "x", weight(generator, 4, count))) == 1
    assert _input_axis(Linear("a", "x", weight(generator, 1, 1))) in (0, 1)


def test_a_copy_makes_up_for_what_rounding_changes_in_its_channel():
    generator = np.random.default_rng(0)
    inputs = generator.random((400, 20)).astype(np.float32)
    moments = InputMoments.nothing(20)
    moments.add(inputs, inputs)
    rows = generator.standard_normal((6, 20)).astype(np.float32)
    rows[4:] = rows[:2]

    def lost(copies):
        codes, exponents, _ = compensated_rows(rows, moments, 4, copies)
        made = inputs @ np.ldexp(codes, exponents[:, None]).T
        difference = made[:, :2] + made[:, 4:] - 2 * inputs @ rows[:2].T
        return (difference - difference.mean(0)).var()

    assert lost(((4, 0), (5, 1))) < 0.5 * lost(())


def test_rounded_networks_lose_less_and_their_sums_are_exact():
    network, shown = unet(), pictures(8)
    shown = [(np.rint(each * 64) / 64).astype(np.float32) for each in shown]
    plain, split = (quantize_weights(network, 5, shown, split=each) for each in (False, True))
    assert split.metadata["split_channels"] == {"stem": 2, "down": 2, "up": 1, "across": 2}
    assert "split_channels" not in plain.metadata
    fresh = pictures(4, 24, 5)
    assert error(split, network, fresh) < 0.9 * error(plain, network, fresh)
    dyadic = {name: np.rint(getattr(split["stem"], name) * 512) / 512 for name in ("weight", "bias")}
    stem = replace(split["stem"], **{name: values.astype(np.float32) for name, values in dyadic.items()})
    exact = split.replace([stem if node.name == "stem" else node for node in split.nodes])
    for kernels in ("events", "integers"):
        assert_same(
            simulate(exact, shown[0], steps=2, threads=1, kernels=kernels, record=RECORDS),
            reference.simulate(exact, shown[0], 2),
        )


def test_what_cannot_be_split_is_refused():
    network, shown = unet(), pictures()
    with pytest.raises(InputError, match="splitting channels takes pictures"):
        quantize_weights(network, 8, split=True)
    with pytest.raises(InputError, match="have been split already"):
        quantize_weights(quantize_weights(network, 8, shown, split=True), 8, shown, split=True)
    nodes = [
        replace(node, model=SignedMultiThreshold.rounding()) if isinstance(node, Neurons) else node
        for node in network.nodes
    ]
    with pytest.raises(InputError, match="no channel of this network can be split"):
        quantize_weights(network.replace(nodes), 8, shown, split=True)


def test_networks_whose_errors_cannot_be_followed_back_are_refused():
    network = unet()
    late = [replace(node, delay=1) if node.name == "across" else node for node in network.nodes]
    with pytest.raises(InputError, match="no channel of this network can be split"):
        quantize_weights(network.replace(late), 8, pictures(), split=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(ConvTranspose2d, "backward")
        with pytest.raises(
            InputError, match="channels cannot be split: ConvTranspose2d 'readout' has no backward pass"
        ):
            quantize_weights(network, 8, pictures(), split=True)


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()


@pytest.mark.usefixtures("_folder")
def test_the_command_splits_channels(capsys):
    save_model(unet(), "unet.npz")
    command = ["quantize", "unet.npz", "-o", "split.npz", "--calibration", "folder", "--add-noise", "5:50"]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--split-channels"])
    assert stop.value.code == 0
    copies = load_model("split.npz").metadata["split_channels"]
    assert f"split channels  {sum(copies.values())}" in capsys.readouterr().out


@pytest.mark.usefixtures("_folder")
def test_what_a_file_says_of_its_channels_is_not_believed(capsys):
    """It may say anything there."""
    network = unet()
    save_model(network.replace(metadata={**network.metadata, "split_channels": 3}), "odd.npz")
    with pytest.raises(SystemExit) as stop:
        main(["quantize", "odd.npz", "-o", "rounded.npz"])
    assert stop.value.code == 0
    assert "split channels" not in capsys.readouterr().out


@pytest.mark.usefixtures("_folder")
def test_the_command_refuses_to_split_without_pictures(capsys):
    refused = refusals.refusal(capsys, "quantize", "gray.npz", "-o", "rounded.npz", "--split-channels")
    assert "--split-channels is about the pictures of --calibration" in refused
