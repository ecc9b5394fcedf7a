"""Weights of few bits: rounding, the command, and that simulating them is exact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import refusals
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from model_files import assert_same_network, small_network
from small_denoiser import small_denoiser

from spikeunet.converters import quantize_weights
from spikeunet.engine import (
    Concat,
    Conv2d,
    ConvTranspose2d,
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
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError
from spikeunet.engine.fixed_point import incoming_quantum, rounded_rows, weight_bits
from spikeunet.engine.graph import CurrentSum, Weighted
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same
from spikeunet.engine.testing.strategies import Case, cases

BITS = st.integers(2, 8)


def rounded_layers(network):
    """Weighted nodes that read spikes alone, whose values have a unit."""
    weighted = (node for node in network.nodes if isinstance(node, Weighted))
    return [node for node in weighted if incoming_quantum(network, node) is not None]


@st.composite
def rows_of_weights(draw):
    """(out_channels, N) float32 of any size, spread over many orders of magnitude or not."""
    seed, spread = draw(st.integers(0, 2**16)), draw(st.sampled_from((0, 1, 30)))
    size = draw(st.sampled_from((1.0, 1e-3, 1e-40, 3e38, 0.0)))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 50))
    random = np.random.default_rng(seed)
    values = random.uniform(-1, 1, shape) * 2.0 ** -random.uniform(0, spread, shape) * size
    return values.astype(np.float32)


# --- The numbers -----------------------------------------------------------------------------------------------------


@given(rows_of_weights(), BITS)
def test_codes_are_small_integers_no_further_than_half_a_step(rows, bits):
    codes, exponents = rounded_rows(rows, bits)
    most = 2 ** (bits - 1) - 1
    assert (codes == np.rint(codes)).all()
    assert np.abs(codes).max() <= most
    assert not np.signbit(codes[codes == 0]).any()
    scaled = np.ldexp(rows.astype(np.float64), -exponents[:, None])
    error = np.abs(codes - scaled)
    cut_off = (np.abs(scaled) > most) | (np.abs(np.ldexp(np.rint(scaled), exponents[:, None])) > np.finfo("f4").max)
    assert (error[~cut_off] <= 0.5).all()
    assert (np.sign(codes) * np.sign(rows) >= 0).all()
    assert np.isfinite(np.ldexp(codes, exponents[:, None])).all()


@given(rows_of_weights(), BITS)
def test_no_other_power_of_two_without_cut_off_is_better(rows, bits):
    codes, exponents = rounded_rows(rows, bits)
    most = 2 ** (bits - 1) - 1
    for row, found, exponent in zip(rows.astype(np.float64), codes, exponents, strict=True):
        largest = np.abs(row).max()
        if not 1e-30 < largest < 1e30:
            continue
        least = next(k for k in range(-160, 160) if most * 2.0**k >= largest)
        assert exponent in (least, least - 1)
        errors = [
            np.square(np.clip(np.rint(row / 2.0**k), -most, most) * 2.0**k - row).sum() for k in (least, least - 1)
        ]
        assert np.square(found * 2.0**exponent - row).sum() == pytest.approx(min(errors), rel=1e-3, abs=1e-70)


def test_the_finer_scale_is_taken_where_it_is_better():
    on_the_grid, between = (rounded_rows(np.float32([[1.0, *[small] * 400]]), 4) for small in (0.25, 0.1))
    assert on_the_grid[1].tolist() == [-2]
    assert on_the_grid[0][0, :2].tolist() == [4, 1]
    assert between[1].tolist() == [-3]
    assert between[0][0, :2].tolist() == [7, 1]


def test_rows_do_not_depend_on_one_another():
    rows = np.random.default_rng(0).normal(0, 1, (40, 5000)).astype(np.float32)
    codes, exponents = rounded_rows(rows, 8)
    for row, code, exponent in zip(rows, codes, exponents, strict=True):
        alone, power = rounded_rows(row[None], 8)
        np.testing.assert_array_equal(alone[0], code)
        assert power == exponent


def one_layer(weight, bias, model=None, kind=Conv2d, **options):
    weight = np.float32(weight)
    channels = len(weight) if kind is ConvTranspose2d else weight.shape[1]
    first = np.full((channels, 1, 1, 1), 0.3, np.float32)
    nodes = [
        Input("input"),
        Conv2d("first", "input", first),
        Neurons("spikes", "first", model or MultiThreshold.rounding()),
        kind("layer", "spikes", weight, np.float32(bias), **options),
        Output("output", "layer"),
    ]
    return Network(nodes)


def test_a_channel_worked_out_by_hand():
    weight = np.float32([[1.0, -0.5, 0.1, 0.0], [2.0**-9, 0, 0, 0], [0, 0, 0, 0]])[..., None, None]
    rounded = quantize_weights(one_layer(weight, [0.3, 0.3, 0.3]))["layer"]
    # 1 / 127 lies below 2**-6; 0.1 is 6.4 of these; of the unit of the sums, 2**-12, 0.3 is 1228.8
    assert rounded.weight[0].ravel().tolist() == [1.0, -0.5, 6 / 64, 0.0]
    assert rounded.bias[0] == 1229 / 2**12
    # 2**-9 / 127 lies below 2**-15
    assert rounded.weight[1, 0, 0, 0] == 2.0**-9
    assert rounded.bias[1] == np.rint(0.3 * 2.0**21) / 2.0**21
    assert rounded.weight[2].ravel().tolist() == [0, 0, 0, 0]
    # no weights: 16 significant bits, and 0.3 lies above 2**-2
    assert rounded.bias[2] == np.rint(0.3 * 2.0**17) / 2.0**17


def test_channels_of_transposed_convolutions_and_their_groups():
    weight = np.random.default_rng(0).normal(0, 1, (4, 3, 2, 2)) * np.array([1, 100, 0.01])[:, None, None]
    network = quantize_weights(one_layer(weight, np.zeros(6), kind=ConvTranspose2d, groups=2))
    rounded = network["layer"].weight.astype(np.float64)
    for group in (slice(0, 2), slice(2, 4)):
        for channel in range(3):
            before, after = weight[group, channel], rounded[group, channel]
            assert np.square(after - before).sum() < 1e-3 * np.square(before).sum()


@given(cases(dyadic=False), BITS)
def test_any_network_is_representable_and_the_rest_untouched(case, bits):
    layers = {node.name: incoming_quantum(case.network, node) for node in rounded_layers(case.network)}
    assume(layers)
    network = quantize_weights(case.network, bits)
    assert network.metadata["weight_bits"] == bits
    assert set(network.metadata["weight_snr_db"]) == set(layers)
    assert network.normalization == case.network.normalization
    for before, after in zip(case.network.nodes, network.nodes, strict=True):
        if before.name not in layers:
            assert after is before
            continue
        assert weight_bits(after) <= bits
        _, exponents = rounded_rows(before.by_output(before.weight), bits)
        used = after.by_output(after.weight).any(1)
        units = after.bias / np.ldexp(layers[before.name], exponents)
        assert (units[used] == np.rint(units[used])).all()
        error = np.abs(after.bias - before.bias)
        assert (error <= np.ldexp(layers[before.name], exponents) / 2)[used].all()
        assert (error <= np.abs(before.bias) / 2**16)[~used].all()


@given(cases(dyadic=False), BITS)
def test_rounding_twice_changes_nothing(case, bits):
    assume(rounded_layers(case.network))
    once = quantize_weights(case.network, bits)
    assert quantize_weights(once, bits) is once
    unrecorded = quantize_weights(once.replace(metadata={}), bits)
    assert_same_network(unrecorded.replace(metadata=once.metadata), once)


@given(cases(dyadic=False), BITS)
def test_rounded_networks_survive_in_a_file(tmp_path_factory, case, bits):
    assume(rounded_layers(case.network))
    network = quantize_weights(case.network, bits)
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(network, path)
    assert_same_network(load_model(path), network)
    assert quantize_weights(load_model(path), bits).metadata == network.metadata


def spoiled(case):
    """The case with weights and biases of any float32 numbers where spikes alone are read."""
    random = np.random.default_rng(0)
    layers = {node.name for node in rounded_layers(case.network)}

    def change(node):
        if node.name not in layers:
            return node
        weight, bias = (array * (1 + random.random(array.shape) / 2) for array in (node.weight, node.bias))
        return dataclasses.replace(node, weight=weight, bias=bias)

    return dataclasses.replace(case, network=case.network.replace(map(change, case.network.nodes)))


LADDERS = st.sampled_from((MultiThreshold.rounding(), MultiThreshold((2.0, 1.0, 0.5), 0.25), IntegrateAndFire(0.5)))


@settings(max_examples=8)
@given(cases(models=LADDERS, most_layers=3), BITS)
def test_simulation_equals_the_reference_bit_for_bit(case, bits):
    assume(rounded_layers(case.network))
    case = spoiled(case)
    network = quantize_weights(case.network, bits)
    try:
        expected = reference.simulate(network, case.picture, case.steps)
    except reference.InexactError:
        # Sums of parts that have units of their own need not fit into float32.
        assert any(isinstance(node, CurrentSum) for node in network.nodes)
        reject()
    assert_same(simulate(network, case.picture, case.steps, threads=1, record=RECORDS), expected)


def test_a_larger_network_equals_the_reference_bit_for_bit():
    random = np.random.default_rng(1)
    layers = [("input", 2, 32), ("n1", 32, 48), ("n2", 48, 48), ("n3", 48, 3)]
    nodes = [Input("input", 2)]
    for index, (source, inputs, outputs) in enumerate(layers, 1):
        weight = random.normal(0, 0.1, (outputs, inputs, 3, 3))
        weight = np.rint(weight * 64) / 64 if index == 1 else weight
        bias = np.rint(random.normal(0, 0.1, outputs) * 64) / 64 if index == 1 else random.normal(0, 0.1, outputs)
        nodes.append(Conv2d(f"c{index}", source, weight, bias, padding=1))
        nodes.append(Neurons(f"n{index}", f"c{index}", MultiThreshold.rounding()))
    network = quantize_weights(Network([*nodes[:-1], Output("output", "c4")]))
    assert list(network.metadata["weight_snr_db"]) == ["c2", "c3", "c4"]
    assert all(30 < ratio < 50 for ratio in network.metadata["weight_snr_db"].values())
    case = Case(network, (np.rint(random.random((2, 20, 24)) * 64) / 64).astype(np.float32), 4)
    expected = reference.simulate(network, case.picture, case.steps)
    assert expected.spike_count["n3"].any()
    for threads in (1, 2):
        assert_same(simulate(network, case.picture, case.steps, threads=threads, record=RECORDS), expected)


# --- Which layers, and what is written down --------------------------------------------------------------------------


def test_layers_that_read_the_picture_stay():
    network = small_denoiser()
    rounded = quantize_weights(network)
    assert list(rounded.metadata["weight_snr_db"]) == ["up1"]
    assert rounded["conv1"] is network["conv1"]
    assert rounded["conv2"] is network["conv2"]
    assert rounded["up1"].stride == (4, 4)


def test_fewer_bits_follow_more_and_are_kept():
    network = small_denoiser()
    eight, four = quantize_weights(network), quantize_weights(network, 4)
    assert eight.metadata["weight_snr_db"]["up1"] > four.metadata["weight_snr_db"]["up1"] + 15
    assert quantize_weights(four, 8) is four
    assert quantize_weights(eight, 4).metadata["weight_bits"] == 4


def test_a_ratio_of_none_where_nothing_was_rounded():
    network = quantize_weights(one_layer([[[[0.5]], [[0.25]]]], [0.0]))
    assert dict(network.metadata) == {"weight_bits": 8, "weight_snr_db": {"layer": None}}


@pytest.mark.parametrize("odd", [3, {"up1": "high"}, None, {"up1": None}, ["up1"]])
def test_odd_metadata_is_replaced(odd):
    network = quantize_weights(small_denoiser(weight_snr_db=odd, weight_bits="many"))
    assert network.metadata["weight_bits"] == 8
    assert isinstance(network.metadata["weight_snr_db"]["up1"], float)


@pytest.mark.parametrize("bits", [1, 9, 0, -8, 8.0, True, "8", None])
def test_bits_out_of_range(bits):
    with pytest.raises(InputError, match="weights can have 2 to 8 bits, the sign included"):
        quantize_weights(small_denoiser(), bits)


@pytest.mark.parametrize("model", [MultiThreshold((2.0, 1.0, 0.3)), IntegrateAndFire(0.1)])
def test_networks_without_a_layer_to_round(model):
    with pytest.raises(InputError, match="no layer's weights can be rounded: none reads spikes alone"):
        quantize_weights(small_network(model))


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err) == (0, "")
    return printed.out


@pytest.mark.usefixtures("folder")
def test_the_command(capsys):
    printed = run(capsys, "quantize", "gray.npz", "-o", "out.npz", "--bits", "6")
    fields, table = printed.split("\n\n")
    before, after = (Path(name).stat().st_size for name in ("gray.npz", "out.npz"))
    assert fields.splitlines() == ["model      out.npz", f"file size  {before:,} -> {after:,} bytes"]
    expected = quantize_weights(small_denoiser(), 6)
    ratio = expected.metadata["weight_snr_db"]["up1"]
    assert table.splitlines() == [
        "layer\tweights\tbits\tSNR / dB", "conv1\t36\t-\t-", f"up1\t256\t6\t{ratio:.1f}", "conv2\t5\t-\t-",
    ]  # fmt: skip
    assert_same_network(load_model("out.npz"), expected)


@pytest.mark.usefixtures("folder")
def test_rounding_a_rounded_file_gives_the_same_bytes(capsys):
    run(capsys, "quantize", "gray.npz", "-o", "out.npz")
    run(capsys, "quantize", "out.npz", "-o", "again.npz")
    assert Path("out.npz").read_bytes() == Path("again.npz").read_bytes()


@pytest.mark.usefixtures("folder")
def test_info_shows_the_bits(capsys):
    assert "weights        2 bits in 1 layer, float32 in 2 layers" in run(capsys, "info", "gray.npz")
    run(capsys, "quantize", "gray.npz", "-o", "out.npz")
    printed = run(capsys, "info", "out.npz")
    assert "weights        8 bits in 1 layer, 2 bits in 1 layer, float32 in 1 layer" in printed
    assert "up1\tConvTranspose2d\tpooling1\t4x4x4x4, 8 bits, stride 4\t256" in printed
    assert "conv1\tConv2d\tinput\t4x1x3x3, padding 1\t36" in printed


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gray.npz", "-o", "gray.npz"], "gray.npz: the rounded model would overwrite the model gray.npz; choose"),
        (["gray.npz", "-o", "link.npz"], "link.npz: the rounded model would overwrite the model gray.npz; choose"),
        (["gray.npz", "-o", "out.txt"], "out.txt: a model file ends in .npz; choose another name"),
        (["gray.npz", "-o", "nowhere/out.npz"], "nowhere: No such file or directory; make the output folder first"),
        (["none.npz", "-o", "out.npz"], "none.npz: no such file; check the path"),
        (["gray.npz", "-o", "out.npz", "--bits", "9"], "weights can have 2 to 8 bits, the sign included (got 9)"),
        (["gray.npz", "-o", "out.npz", "--bits", "many"], "'many' is not a valid integer"),
        (["gray.npz"], "Missing option '-o'"),
        (["odd.npz", "-o", "out.npz"], "no layer's weights can be rounded"),
    ],
)
def test_refused_commands(capsys, arguments, message):
    Path("link.npz").symlink_to("gray.npz")
    save_model(small_network(), "odd.npz")
    assert message in refusals.refusal(capsys, "quantize", *arguments)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_error_of_a_channel_of_ones_goes_into_the_bias(padding):
    """Where what a convolution reads is silent but for the ones, it gives the shift that it stands for."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(4, 3, 3, 3))
    weight[:, 2] *= 0.02  # of the ones: hardly more than the quantum of the others
    network = Network(
        [
            Input("input", 2),
            Conv2d("first", "input", random.normal(size=(2, 2, 1, 1))),
            Neurons("relu", "first", MultiThreshold.rounding()),
            Conv2d("one", "relu", np.zeros((1, 2, 1, 1)), [1.0]),
            Neurons("ones", "one", MultiThreshold.rounding()),
            Concat("both", ("relu", "ones")),
            Conv2d("read", "both", weight, padding=padding),
            Output("output", "read"),
        ]
    )
    rounded = quantize_weights(network, 8)
    shift = forward(network, np.zeros((2, 5, 5)))[0][:, 2, 2]
    found = forward(rounded, np.zeros((2, 5, 5)))[0][:, 2, 2]
    quantum = 2.0 ** (np.ceil(np.log2(np.abs(weight).max((1, 2, 3)) / 127))) / 64
    assert (np.abs(found - shift) <= quantum / 2).all()
    assert quantize_weights(rounded, 8) is rounded
