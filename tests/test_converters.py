"""State dicts: what is read, what is refused, and what the converted network looks like."""

from __future__ import annotations

import re

import numpy as np
import pytest
import unets
from golden_network import GOLDEN_MODELS, golden_network, read_golden

from spikeunet.converters import ARCHITECTURES, convert, fold_batch_norm, read_state_dict
from spikeunet.engine import (
    Concat,
    Conv2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError, StateDictError


def refused(state, **options):
    with pytest.raises(StateDictError) as caught:
        convert(state, normalization="none", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- Architecture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 3, "outputs": 3, "last_kernel": 3},
        {"width": 5, "outputs": 12},
        {"width": 3, "uneven": True, "last_kernel": 5},
    ],
)
def test_shapes_follow_from_the_weights(options):
    state = unets.random_state(**options)
    network = convert(state, normalization="none")
    assert network.input.channels == options.get("channels", 1)
    assert network.size_multiple == 16
    assert network.shapes((network.input.channels, 32, 48))["output"] == (options.get("outputs", 1), 32, 48)
    assert network.parameters == sum(array.size for array in state.values())
    assert len(network.neurons) == 26
    assert all(node.model == MultiThreshold.rounding() for node in network.neurons)


def test_skips_come_first_in_concatenations():
    network = convert(unets.random_state(), normalization="none")
    parts = [node.parts for node in network.nodes if isinstance(node, Concat)]
    assert parts == [(f"relu{2 * (4 - index)}", f"relu_convtranpose{index + 1}") for index in range(4)]


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_golden_networks_are_rebuilt(golden_folder, name):
    golden = read_golden(golden_folder, name)
    expected = golden_network(golden.weights, GOLDEN_MODELS[name])
    found = convert(golden.weights, normalization="none", neuron=GOLDEN_MODELS[name])
    assert [(type(node), node.name, node.sources) for node in found.nodes] == [
        (type(node), node.name, node.sources) for node in expected.nodes
    ]
    output, activations = forward(found, golden.picture, record="all")
    expected_output, expected_activations = forward(expected, golden.picture, record="all")
    np.testing.assert_array_equal(output, expected_output)
    assert activations.keys() == expected_activations.keys()


def test_options_reach_the_network():
    neuron = IntegrateAndFire(0.5, initial=0.25)
    pictures = unets.random_pictures()
    network = convert(
        unets.random_state(), calibration=pictures, percentile=99, neuron=neuron, metadata={"task": "denoise"}
    )
    assert all(node.model == neuron for node in network.neurons)
    assert network.metadata["task"] == "denoise"
    assert network.metadata["conversion"] == {
        "normalization": "channel",
        "architecture": "spiking-unet",
        "recognised": True,
        "pooling": "average",
        "concatenation": "skip first",
        "scales": "percentile",
        "percentile": 99.0,
        "calibration_pictures": 2,
    }


def handmade():
    weight = np.ones((2, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("first", "input", weight), Neurons("a", "first", MultiThreshold((1.0,)))]
    nodes += [Conv2d("last", "a", np.ones((1, 2, 1, 1), np.float32)), Output("output", "last")]
    return Network(nodes, {"task": "test"})


def test_a_network_built_by_hand_is_normalised():
    network = convert(handmade(), calibration=[np.full((4, 4), 0.5)], percentile=100)
    assert network.normalization == {"a": 0.5}
    assert network["a"].model == MultiThreshold((1.0,))
    assert network.metadata["task"] == "test"
    assert network["first"].weight.max() == 2
    assert convert(handmade(), normalization="none", neuron=MultiThreshold())["a"].model == MultiThreshold()


def unchosen(seed=0):
    """A network with neurons that were given no model."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((4, 1, 3, 3)), generator.standard_normal((1, 4, 1, 1))
    nodes = [Input("input"), Conv2d("first", "input", weights[0].astype(np.float32), padding=1)]
    nodes += [Neurons("a", "first"), Conv2d("last", "a", weights[1].astype(np.float32)), Output("output", "last")]
    return Network(nodes)


def test_neurons_that_nobody_chose_round_and_those_that_were_chosen_stay():
    network = unchosen()
    assert convert(network, normalization="none")["a"].model == MultiThreshold.rounding()
    for chosen in (MultiThreshold(), IntegrateAndFire(0.5)):
        assert convert(network.with_neurons(chosen), normalization="none")["a"].model == chosen
        assert convert(network, normalization="none", neuron=chosen)["a"].model == chosen


def test_a_network_is_converted_as_well_as_a_state_dict_in_one_step():
    """Neurons as they are in a network that was written by hand, against the paper's: SNR after one step."""
    picture = np.random.default_rng(1).random((1, 16, 16)).astype(np.float32)
    network = unchosen()
    expected = forward(network, picture)[0]

    def ratio(neuron):
        converted = convert(network, calibration=[picture], neuron=neuron, percentile=100)
        error = simulate(converted, picture, steps=1).output - expected
        return 10 * np.log10(np.square(expected).mean() / np.square(error).mean())

    assert ratio(None) > ratio(MultiThreshold()) + 20


def test_other_architectures_can_be_registered(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "handmade", lambda state, epsilon: handmade())
    network = convert({"x": np.ones(1)}, "handmade", normalization="none")
    assert network["first"].out_channels == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "vit"}, "unknown architecture 'vit'; there are auto, spiking-unet, unet, wnet"),
        ({"normalization": "batch"}, "unknown normalization 'batch'; use one of channel, connection, layer, none"),
        ({"percentile": 0}, "percentile must lie above 0"),
        ({"percentile": 100.5}, "at most at 100"),
        ({"percentile": float("nan")}, "percentile"),
        ({"percentile": "99"}, "percentile"),
        ({"scales": "median"}, "unknown scales 'median'; use one of least-squares, percentile"),
        (
            {"scales": "iteration", "percentile": 99},
            "percentile 99 has no meaning for scales",
        ),
        ({"normalization": "none", "percentile": 99}, "percentile 99 has no meaning for normalization 'none'"),
        (
            {"normalization": "none", "scales": "iteration"},
            "scales 'iteration' has no meaning for normalization 'none'",
        ),
        ({}, "'channel' needs calibration pictures.*pass calibration=PICTURES"),
        ({"normalization": "layer"}, "'layer' needs calibration pictures"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        convert(unets.random_state(), **options)


# --- State dicts -----------------------------------------------------------------------------------------------------


def test_files_and_mappings_are_alike(tmp_path):
    state = unets.random_state()
    np.savez(tmp_path / "ann.npz", **state)
    np.savez_compressed(tmp_path / "small.npz", **state)
    for source in (state, tmp_path / "ann.npz", str(tmp_path / "small.npz")):
        found = read_state_dict(source)
        assert found.keys() == state.keys()
        assert all((found[key] == array).all() for key, array in state.items())


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_float_types_are_read(dtype):
    state = {key: array.astype(dtype) for key, array in unets.random_state().items()}
    network = convert(state, normalization="none")
    np.testing.assert_array_equal(network["conv3"].weight, state["conv3.weight"].astype(np.float32))


@pytest.mark.parametrize(
    "prefixes",
    [
        ["_orig_mod."],
        ["module."],
        ["model."],
        ["net."],
        ["module.", "_orig_mod."],
        ["model.", "net."],
        ["_fsdp_wrapped_module."],
    ],
)
def test_what_wrappers_put_before_keys_is_taken_off_and_noted(prefixes):
    state = unets.random_state()
    wrapped = {f"{''.join(prefixes)}{key}": array for key, array in state.items()}
    network, expected = (convert(some, normalization="none") for some in (wrapped, state))
    np.testing.assert_array_equal(network["conv5"].weight, expected["conv5"].weight)
    assert sorted(network.metadata["conversion"]["prefixes"]) == sorted(prefixes)
    assert "prefixes" not in expected.metadata["conversion"]


def test_layers_that_were_compiled_one_by_one_are_found():
    state = unets.random_state()
    odd = {key.replace("conv3.", "conv3._orig_mod."): array for key, array in state.items()}
    network = convert(odd, normalization="none")
    np.testing.assert_array_equal(network["conv3"].weight, state["conv3.weight"])
    assert network.metadata["conversion"]["prefixes"] == ["_orig_mod."]


def test_faults_are_named_as_they_are_without_the_prefix():
    state = {f"model.{key}": array for key, array in unets.random_state().items() if key != "conv4.weight"}
    assert refused(state).endswith("missing: conv4.weight ('model.' taken off the keys)")


def test_an_architecture_whose_keys_share_a_part_gets_them_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setitem(ARCHITECTURES, "own", lambda state, epsilon: seen.append(set(state)) or handmade())
    network = convert({"net.0.weight": np.ones(1), "net.0.bias": np.ones(1)}, "own", normalization="none")
    assert seen == [{"net.0.weight", "net.0.bias"}]
    assert "prefixes" not in network.metadata["conversion"]


def test_layers_without_biases_get_zeros_and_are_named():
    state = unets.random_state()
    zeroed = state | {f"{name}.bias": np.zeros_like(state[f"{name}.bias"]) for name in ("conv3", "convtranspose2")}
    without = {key: array for key, array in state.items() if key not in ("conv3.bias", "convtranspose2.bias")}
    found, expected = (convert(some, normalization="none") for some in (without, zeroed))
    picture = unets.random_pictures(sizes=((16, 16),))[0]
    np.testing.assert_array_equal(forward(found, picture)[0], forward(expected, picture)[0])
    assert found.metadata["conversion"]["zero_biases"] == ["conv3", "convtranspose2"]
    assert "zero_biases" not in expected.metadata["conversion"]


def test_a_network_without_any_bias_is_converted():
    state = {key: array for key, array in unets.random_state().items() if key.endswith("weight")}
    network = convert(state, normalization="none")
    assert not any(network[name].bias.any() for name in ("conv1", "conv19", "convtranspose4"))
    assert len(network.metadata["conversion"]["zero_biases"]) == 23


def test_counts_of_averaged_networks_are_left_out():
    assert "n_averaged" not in read_state_dict(unets.random_state() | {"n_averaged": np.asarray(7)})


def test_another_architecture_is_called_that_in_one_readable_line():
    state = {f"blocks.{number}.attention.projection.weight": np.ones((1, 1)) for number in range(300)}
    message = refused(state, architecture="spiking-unet")
    assert message.startswith("the state dict looks like another architecture than 'spiking-unet', 0 of whose 23 keys")
    assert "23 missing: conv1.weight, conv10.weight, " in message
    assert "300 unexpected: " in message
    assert "and 292 more" in message
    assert len(message) < 1200


def test_names_of_any_length_stay_readable():
    state = unets.random_state() | {"x" * 60_000: np.ones(1)}
    assert len(refused(state)) < 300
    assert len(refused(unets.random_state() | {"x" * 60_000: np.zeros(1, int)})) < 300


def test_all_unfit_keys_are_listed():
    state = unets.random_state()
    del state["conv4.weight"], state["convtranspose2.bias"]
    state |= {"conv20.weight": np.zeros((1, 1, 1, 1)), "fc.bias": np.zeros(1)}
    state["conv6.weight"] = np.zeros((8, 9, 3, 3))
    state["conv8.bias"] = np.zeros(3)
    state["convtranspose1.weight"] = np.zeros((32, 16, 2, 2))
    state["conv17.weight"] = np.zeros((2, 4, 3, 2))
    state["conv18.weight"] = np.zeros((2, 2))
    assert refused(state) == (
        "the state dict does not fit the architecture 'spiking-unet': "
        "missing: conv4.weight; 2 unexpected: conv20.weight, fc.bias; "
        "5 misshapen: conv6.weight (expected (out, 8, odd, odd), got (8, 9, 3, 3)), "
        "conv8.bias (expected (16,), got (3,)), "
        "convtranspose1.weight (expected (32, out, 3, 3), got (32, 16, 2, 2)), "
        "conv17.weight (expected (out, 4, odd, odd), got (2, 4, 3, 2)), "
        "conv18.weight (expected (out, 2, odd, odd), got (2, 2))"
    )


def test_skips_of_another_width_are_misshapen():
    state = unets.random_state()
    state["convtranspose3.weight"] = np.zeros((8, 5, 3, 3))
    state["convtranspose3.bias"] = np.zeros(5)
    assert "misshapen: conv15.weight (expected (out, 9, odd, odd), got (4, 8, 3, 3))" in refused(state)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.full((4,), np.nan), "conv3.bias (NaN or infinite)"),
        (np.float32([1, np.inf, 0, 0]), "conv3.bias (NaN or infinite)"),
        (np.full((4,), 1e39), "conv3.bias (beyond the range of float32)"),
        (np.zeros(4, int), "conv3.bias (dtype int64)"),
        (np.asarray([None] * 4), "conv3.bias (dtype object)"),
        (np.zeros(4, complex), "conv3.bias (dtype complex128)"),
    ],
)
def test_unusable_arrays_are_refused(value, problem):
    assert problem in refused(unets.random_state() | {"conv3.bias": value, "conv1.bias": np.zeros(2, bool)})
    assert "conv1.bias (dtype bool)" in refused(unets.random_state() | {"conv1.bias": np.zeros(2, bool)})


class OnAnAccelerator:
    def __array__(self, *arguments, **options):
        raise TypeError("can't convert device tensor to numpy")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the state dict is empty"),
        (3, "a path or a mapping of arrays (got int)"),
        (
            {"state_dict": {"conv1.weight": np.zeros(1)}, "epoch": 3},
            "the state dict looks like none of the architectures known by name; there are spiking-unet, unet, ",
        ),
        (
            {name: {"conv1.weight": np.zeros(1)} for name in ("generator", "critic")},
            "the state dict holds several state dicts: generator, critic; say which (--entry NAME, entry=)",
        ),
        ({"x": {"epoch": 3}, "lr": 0.5}, "the state dict holds no weights but a dictionary of x, lr; save model.st"),
        ({1: np.zeros(1)}, "keys of a state dict are strings (got 1)"),
        ({"conv1.weight": OnAnAccelerator()}, "conv1.weight is no array (can't convert device tensor"),
        ({"conv1.weight": [[1.0], [1.0, 2.0]]}, "conv1.weight is no array"),
        ("nowhere.npz", "nowhere.npz: no such file"),
    ],
)
def test_unusable_state_dicts_are_refused(state, message):
    assert message in refused(state)


def test_damaged_files_and_pickles_are_refused(tmp_path):
    path = tmp_path / "ann.npz"
    np.savez(path, **unets.random_state())
    path.write_bytes(path.read_bytes()[:-100])
    assert re.search("truncated or damaged.*save the state dict again", refused(path))
    np.savez(path, x=np.asarray([{}]))
    assert "Python objects, which are never loaded" in refused(path)


# --- Batch norms -----------------------------------------------------------------------------------------------------


def batch_norm(channels, seed=0, affine=True):
    generator = np.random.default_rng(seed)
    parts = {"running_mean": generator.standard_normal(channels), "running_var": generator.random(channels) + 0.1}
    if affine:
        parts |= {"weight": generator.standard_normal(channels), "bias": generator.standard_normal(channels)}
    return {**{name: value.astype(np.float32) for name, value in parts.items()}, "num_batches_tracked": np.asarray(7)}


def with_batch_norm(state, name, parts):
    return state | {f"{name}.{part}": value for part, value in parts.items()}


def normalized(current, parts, epsilon):
    """Batch norm in evaluation mode, by its definition, on (C, H, W)."""
    mean, variance = (parts[name][:, None, None] for name in ("running_mean", "running_var"))
    result = (current - mean) / np.sqrt(variance.astype(np.float64) + epsilon)
    return result * parts["weight"][:, None, None] + parts["bias"][:, None, None]


def test_folding_equals_the_batch_norm():
    state, parts = unets.random_state(), batch_norm(2)
    network = convert(with_batch_norm(state, "bn1", parts), normalization="none", batch_norm_epsilon=1e-3)
    picture = unets.random_pictures(sizes=((32, 32),))[0]
    weight, bias = state["conv1.weight"], state["conv1.bias"]
    alone = [Input("input"), Conv2d("conv1", "input", weight, bias, padding=1), Output("output", "conv1")]
    current = forward(Network(alone), picture)[0]
    found = forward(network, picture, record=["relu1"])[1]["relu1"]
    np.testing.assert_allclose(found, np.maximum(normalized(current, parts, 1e-3), 0), atol=1e-5)


def test_folding_a_transposed_convolution_scales_its_second_axis():
    state, parts = unets.random_state(), batch_norm(16, affine=False)
    folded = fold_batch_norm(with_batch_norm(state, "bn_convtranspose1", parts), ["convtranspose1"], 1e-5)
    gain = 1 / np.sqrt(parts["running_var"].astype(np.float64) + 1e-5)
    expected = state["convtranspose1.weight"] * gain[None, :, None, None]
    np.testing.assert_allclose(folded["convtranspose1.weight"], expected, rtol=1e-12)
    expected = (state["convtranspose1.bias"] - parts["running_mean"]) * gain
    np.testing.assert_allclose(folded["convtranspose1.bias"], expected, rtol=1e-5)


def test_a_convolution_before_a_batch_norm_may_lack_its_bias():
    state = unets.random_state()
    zero = state | {"conv2.bias": np.zeros(2, np.float32)}
    del state["conv2.bias"]
    found, expected = (
        convert(with_batch_norm(some, "bn2", batch_norm(2)), normalization="none") for some in (state, zero)
    )
    np.testing.assert_array_equal(found["conv2"].bias, expected["conv2"].bias)
    assert "zero_biases" not in found.metadata["conversion"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"running_mean": None}, "bn2 (missing running_mean)"),
        ({"weight": None}, "bn2 (has only one of weight and bias)"),
        ({"running_var": np.float32([-1, 1])}, "bn2 (running_var is negative)"),
        ({"running_var": np.ones(3)}, "bn2 (expected shape (2,), got running_var (3,))"),
    ],
)
def test_unfit_batch_norms_are_refused(change, message):
    parts = {name: value for name, value in (batch_norm(2) | change).items() if value is not None}
    assert message in refused(with_batch_norm(unets.random_state(), "bn2", parts))


def test_batch_norms_without_a_layer_are_unexpected():
    assert "unexpected: bn40.bias" in refused(with_batch_norm(unets.random_state(), "bn40", batch_norm(2)))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan")])
def test_an_unusable_epsilon_is_refused(epsilon):
    assert "epsilon of batch norm must be positive" in refused(unets.random_state(), batch_norm_epsilon=epsilon)


def test_the_epsilon_of_the_training_gives_back_its_function(shared_cases):
    """Batch norms that undo themselves with epsilon 1e-3; PyTorch's 1e-5 makes another network of them."""
    picture = unets.random_pictures(sizes=((32, 32),))[0]
    plain = forward(convert(shared_cases / "state_plain.npz", normalization="none"), picture)[0]
    norms = shared_cases / "state_batch_norm_eps_1e-3.npz"
    right = convert(norms, normalization="none", batch_norm_epsilon=1e-3)
    wrong = convert(norms, normalization="none")
    scale = np.abs(plain).max()
    assert np.abs(forward(right, picture)[0] - plain).max() < 0.02 * scale
    assert np.abs(forward(wrong, picture)[0] - plain).max() > scale
    assert right.metadata["conversion"] == wrong.metadata["conversion"] | {"batch_norm_epsilon": 1e-3}
    assert wrong.metadata["conversion"]["batch_norms"] == 22


def test_a_compiled_network_is_the_same(shared_cases):
    picture = unets.random_pictures(sizes=((16, 16),))[0]
    outputs = [
        forward(convert(shared_cases / f"state_{name}.npz", normalization="none"), picture)[0]
        for name in ("plain", "compiled")
    ]
    np.testing.assert_array_equal(*outputs)


# --- Files and objects of PyTorch ------------------------------------------------------------------------------------


class Tensor:
    """Like a parameter of PyTorch: no array before it is detached."""

    def __init__(self, values, dtype="torch.float32"):
        self.values, self.dtype = values, dtype

    def __array__(self, *arguments, **options):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def test_parameters_are_detached():
    state = unets.random_state()
    found = convert({key: Tensor(array) for key, array in state.items()}, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])


def test_bfloat16_of_an_npz_file_is_called_by_its_name():
    assert "dtype |V2; save bfloat16 as value.float()" in refused({"conv1.weight": np.zeros(3, "V2")})


def test_a_network_of_pytorch_is_no_state_dict():
    class Module:
        def state_dict(self):
            pytest.fail("called")

    assert "(got Module); pass its state_dict()" in refused(Module())
