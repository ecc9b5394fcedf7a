"""Architectures are told apart by keys and shapes, and what does not fit is refused in one line."""

from __future__ import annotations

import re

import numpy as np
import pytest
import unets
from small_derainer import esdnet_state
from test_dncnn import random_state as dncnn_state

from spikeunet.converters import ARCHITECTURES, Blueprint, convert
from spikeunet.engine import load_model
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError, StateDictError

torch = pytest.importorskip("torch", reason="PyTorch makes the state dicts")
import torch_networks as networks  # noqa: E402


def picture_of(channels, height, width, seed=1):
    return np.random.default_rng(seed).random((channels, height, width), np.float32)


def conversion(network):
    return network.metadata["conversion"]


# --- They are told apart ---------------------------------------------------------------------------------------------

STATES = {
    "spiking-unet": unets.random_state,
    "unet": lambda: networks.arrays(networks.UNet(width=2, levels=2)),
    "wnet": lambda: networks.arrays(networks.WNet(widths=(2, 3))),
    "lwnet-unet": lambda: networks.arrays(networks.LittleUNet(widths=(2, 3))),
    "dncnn": dncnn_state,
    "fdncnn": lambda: networks.arrays(networks.FFDNet(blocks=False)),
    "ffdnet": lambda: networks.arrays(networks.FFDNet()),
    "vgg": lambda: networks.arrays(networks.VGG()),
    "resnet": lambda: networks.arrays(networks.ResNet()),
    "mlp": lambda: networks.arrays(networks.perceptron()),
    "esdnet": esdnet_state,
}


def refused(state, architecture="auto"):
    with pytest.raises(StateDictError) as caught:
        convert(state, architecture, "none")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", STATES)
def test_each_is_recognised_with_and_without_prefixes(name):
    state = STATES[name]()
    wrapped = {f"module.{key}": array for key, array in state.items()}
    assert conversion(convert(state, normalization="none"))["architecture"] == name
    found = conversion(convert(wrapped, "auto", "none"))
    assert found["architecture"] == name
    assert "module." in found.get("prefixes", ["module."] if name == "mlp" else [])


def test_every_architecture_has_a_test_here():
    assert {*STATES, "ircnn"} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", STATES)
def test_another_architecture_is_named(name):
    other = "mlp" if name != "mlp" else "unet"
    assert f"is not of the architecture '{other}' but of '{name}'; say so" in refused(STATES[name](), other)


def test_what_keys_do_not_tell_apart_is_refused():
    """KAIR's IRCNN and a DnCNN of seven layers have the same keys and shapes, but other dilations."""
    state = networks.arrays(networks.randomized(networks.Chain()))
    message = refused(state)
    assert "fits several architectures, which compute different things: 'dncnn', 'ircnn'; say which" in message
    picture = picture_of(1, 24, 24)
    plain, dilated = (forward(convert(state, name, "none"), picture)[0] for name in ("dncnn", "ircnn"))
    assert np.abs(plain - dilated).max() > 0.1 * np.abs(plain).max()


def test_a_registered_architecture_takes_part(monkeypatch):
    from spikeunet.converters.architectures import ARCHITECTURES as known

    monkeypatch.setitem(known, "my-stack", known["mlp"])
    message = refused(STATES["mlp"]())
    assert "'mlp', 'my-stack'; say which (--architecture, architecture=)" in message


def test_a_blueprint_of_ones_own_is_recognised(monkeypatch):
    def walk(layers):
        layers.assume(output="the picture, sharper")
        value = layers.input(layers.size("stem", 1))
        value = layers.relu("fired", layers.convolution("stem", value, norm="norm"))
        layers.finish(layers.convolution("head", value, kernel=1))

    monkeypatch.setitem(ARCHITECTURES, "own", Blueprint("own", "a network of one's own", walk))
    state = {
        "stem.weight": np.ones((2, 1, 3, 3)),
        "head.weight": np.ones((1, 2, 1, 1)),
        "norm.running_mean": np.ones(2),
    }
    message = refused(state)
    assert "batch norms in the state dict do not fit: norm (missing running_var)" in message
    found = convert(state | {"norm.running_var": np.ones(2)}, normalization="none")
    assert conversion(found)["architecture"] == "own"
    assert [node.name for node in found.nodes] == ["input", "stem", "fired", "head", "output"]


def without(state, *keys):
    return {key: array for key, array in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "unet",
            lambda state: without(state, "down1.maxpool_conv.1.double_conv.1.running_var"),
            "batch norms in the state dict do not fit: down1.maxpool_conv.1.double_conv.1 (missing running_var)",
        ),
        (
            "unet",
            lambda state: without(state, "outc.conv.weight"),
            "the architecture 'unet': missing: outc.conv.weight",
        ),
        (
            "unet",
            lambda state: state | {"attention.weight": np.ones((2, 2))},
            "does not fit the architecture 'unet': unexpected: attention.weight",
        ),
        (
            "wnet",
            lambda state: state | {"unet2.first.block.0.weight": np.ones((2, 3, 3, 3), np.float32)},
            "unet2.first.block.0.weight (expected (out, 4, odd, odd), got (2, 3, 3, 3))",
        ),
        (
            "resnet",
            lambda state: state | {"conv1.weight": np.ones((4, 3, 3, 3), np.float32)},
            "conv1.weight (expected (out, 3, 7, 7), got (4, 3, 3, 3))",
        ),
        (
            "resnet",
            lambda state: state | {"fc.weight": np.ones((7, 15), np.float32)},
            "fc.weight (expected (out, 16), got (7, 15))",
        ),
        (
            "resnet",
            lambda state: without(state, *(key for key in state if key.startswith("layer2.0.downsample"))),
            "layer2.0.add (adds 8 and 4 channels)",
        ),
        (
            "mlp",
            lambda state: state | {"2.weight": np.ones((7, 8), np.float32)},
            "2.weight (expected (out, 9), got (7, 8))",
        ),
        (
            "vgg",
            lambda state: {key.replace("features.3", "features.5"): array for key, array in state.items()},
            "features.0.weight (is followed by 4 modules without arrays, not by a ReLU and perhaps",
        ),
    ],
)
def test_what_is_wrong_with_nearly_fitting_ones(name, change, message):
    for architecture in (name, "auto"):
        found = refused(change(STATES[name]()), architecture)
        assert message in found


def test_near_architectures_are_listed_where_none_fits():
    state = {f"down{number}.conv.weight": np.ones((2, 2, 3, 3)) for number in range(1, 5)}
    state |= {f"up{number}.up.weight": np.ones((2, 2, 2, 2), np.float32) for number in range(1, 5)}
    message = refused(state)
    assert message.startswith("the state dict looks like none of the architectures known by name; nearest are 'unet' (")
    assert "% of the keys)" in message
    assert "examples/export_torch.py" in message


def test_what_a_file_is_not_names_the_file(tmp_path):
    np.savez(tmp_path / "state.npz", **{"encoder.weight": np.ones((2, 2, 2), np.float32)})
    for architecture in ("auto", "vgg"):
        with pytest.raises(StateDictError) as caught:
            convert(tmp_path / "state.npz", architecture, "none")
        assert str(caught.value).startswith(f"{tmp_path / 'state.npz'}: the state dict ")


def test_full_connections_of_several_names_have_no_order():
    state = {"encoder1.weight": np.ones((3, 4)), "encoder2.weight": np.ones((3, 3)), "decoder1.weight": np.ones((4, 3))}
    assert "full connections have several names ('encoder', 'decoder')" in refused(state, "mlp")


def test_ambiguous_norms_and_a_bad_epsilon_are_refused():
    with pytest.raises(StateDictError, match=re.escape("epsilon of batch norm must be positive (got 0)")):
        convert(STATES["resnet"](), normalization="none", batch_norm_epsilon=0)


def test_the_command_says_what_it_took_the_file_for(capsys, tmp_path):
    np.savez(tmp_path / "ann.npz", **STATES["wnet"]())
    arguments = ["convert", str(tmp_path / "ann.npz"), "--normalization", "none", "-o", str(tmp_path / "model.npz")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    printed = " ".join(capsys.readouterr().out.split())
    assert "architecture wnet, recognised by keys and shapes: the W-Net of agaldran/lwnet" in printed
    for assumed in (
        "pooling max, 2x2",
        "concatenation upsampled first",
        "order batch norm behind the ReLU",
        "output logits",
        "doubtful this is no denoiser: logits; say what it is for (--task segment, --task classify)",
        "second reads the picture, then the first one's logits",
    ):
        assert assumed in printed


# --- Whatever the keys and shapes ------------------------------------------------------------------------------------


def changed(state, random):
    """A state dict with a few of its arrays dropped, renamed, doubled or of another shape."""
    state = dict(state)
    for _ in range(random.integers(1, 4)):
        key = str(random.choice(sorted(state)))
        array = state.pop(key)
        other = str(random.choice(sorted(state))) if state else key
        match random.integers(6):
            case 0:
                pass
            case 1:
                state[key.replace(str(random.integers(4)), str(random.integers(12)))] = array
            case 2:
                state[f"{key}.{key}"] = state[key] = array
            case 3:
                sizes = [max(0, size + int(random.integers(-2, 3))) for size in array.shape]
                state[key] = np.ones(sizes, np.float32)
            case 4:
                state[key] = np.moveaxis(array, 0, -1) if array.ndim else array[None]
            case _:
                state[key], state[other] = state.get(other, array), array
    return state


@pytest.mark.parametrize("name", STATES)
def test_changed_state_dicts_are_converted_or_refused(name):
    random = np.random.default_rng(list(STATES).index(name))
    messages = []
    for _ in range(30):
        try:
            network = convert(changed(STATES[name](), random), random.choice(["auto", name]), "none")
        except StateDictError as error:
            messages.append(str(error))
        else:
            assert network.neurons
    assert messages
    assert not any("\n" in message for message in messages)


@pytest.mark.timeout(60)
def test_keys_of_thousands_of_parts_take_no_time():
    state = {f"{'a.' * 20_000}{number}.weight": np.ones((2, 2, 1), np.float32) for number in range(4)}
    assert len(refused(state)) < 2000


@pytest.mark.parametrize("architecture", ["auto", "spiking-unet"])
def test_networks_deeper_than_pictures_can_be_halved_are_refused(architecture):
    one = np.ones((1, 1, 3, 3), np.float32)
    names = [*(f"conv{number}" for number in range(1, 124)), *(f"convtranspose{number}" for number in range(1, 31))]
    state = {f"{name}.weight": np.ones((1, 2, 3, 3), np.float32) if name in joining(30) else one for name in names}
    message = refused(state, architecture)
    assert "makes a network that is none" in message


def joining(depth):
    return {f"conv{2 * depth + 1 + 2 * level}" for level in range(1, depth + 1)}


def test_full_connections_are_checked_by_their_features():
    random = np.random.default_rng(0)
    state = {"0.weight": random.normal(size=(3, 64)), "2.weight": random.normal(size=(2, 3))}
    features = random.random((4, 64), np.float32)
    outputs = np.maximum(features @ state["0.weight"].T, 0) @ state["2.weight"].T
    network = convert(state, normalization="none", check=(features, outputs))
    assert network.metadata["conversion"]["relative_error"] < 1e-5
    pictures = features.reshape(4, 1, 8, 8)
    assert convert(state, normalization="none", check=(pictures, outputs)).nodes
    with pytest.raises(InputError, match="does not fit the network"):
        convert(state, normalization="none", check=(features[:, :63], outputs))
    with pytest.raises(InputError, match="all outputs of the check are 0, which a silent network has, too"):
        convert(state, normalization="none", check=(features * 0, outputs * 0))
    narrow = torch.from_numpy(features).bfloat16(), torch.from_numpy(outputs)
    assert convert(state, normalization="none", check=narrow, force=True).nodes


@pytest.mark.parametrize("options", [(), ("--mean", "0.5", "--std", "0.25")])
def test_that_no_mean_is_taken_off_is_said_unless_one_is(capsys, tmp_path, options):
    np.savez(tmp_path / "ann.npz", **STATES["resnet"]())
    arguments = ["convert", str(tmp_path / "ann.npz"), "--normalization", "none", "-o", str(tmp_path / "model.npz")]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--task", "classify", *options])
    assert not ended.value.code
    assert ("pictures from 0 to 1, no mean taken off (--mean, --std)" in capsys.readouterr().out) == (not options)
    assert "mean" not in load_model(tmp_path / "model.npz").metadata["conversion"].get("input", "")
