"""Sizes that are no multiples of the strides: a picture is seen as it is where the network takes it, else padded."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.converters import convert
from spikeunet.converters.calibration import calibration_pictures, check_sizes
from spikeunet.engine import (
    Add,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Input,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    denoise,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.diagnosis import diagnose
from spikeunet.engine.errors import InputError, PictureWarning
from spikeunet.engine.graph import UNCHOSEN
from spikeunet.engine.models import model_origins
from spikeunet.engine.pictures.fitting import fitting_size
from spikeunet.engine.pictures.padding import pad_to_multiple
from spikeunet.engine.pictures.picture_files import write_picture


def weights(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype(np.float32)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def relu(source):
    return Neurons(f"{source}.relu", source, UNCHOSEN)


def full_connections(**metadata):
    """A classifier of 28x28 with three poolings: 28, 14, 7, 3."""
    nodes, source = [Input("picture", 1)], "picture"
    for number in range(3):
        nodes += [
            Conv2d(f"conv{number}", source, weights(4, 4 if number else 1, 3, 3), padding=1),
            relu(f"conv{number}"),
        ]
        nodes += [MaxPool2d(f"pool{number}", f"conv{number}.relu", 2), relu(f"pool{number}")]
        source = f"pool{number}.relu"
    return Network([*nodes, Linear("classes", source, weights(3, 36)), Output("output", "classes")], metadata)


def global_average(**metadata):
    """A classifier of any size."""
    nodes = [Input("picture", 1), Conv2d("conv", "picture", weights(4, 1, 3, 3), stride=2, padding=1), relu("conv")]
    nodes += [GlobalAvgPool2d("mean", "conv.relu"), Neurons("means", "mean", UNCHOSEN)]
    return Network([*nodes, Linear("classes", "means", weights(3, 4)), Output("output", "classes")], metadata)


def odd_alone(**metadata):
    """Halves and doubles, and adds up, which odd sides alone allow."""
    nodes = [Input("picture", 3), Conv2d("conv", "picture", weights(4, 3, 3, 3), padding=1)]
    nodes += [Conv2d("down", "picture", weights(4, 3, 3, 3), stride=2, padding=1), relu("down")]
    nodes += [ConvTranspose2d("up", "down.relu", weights(4, 4, 3, 3), stride=2, padding=1)]
    nodes += [Add("sum", ("conv", "up")), relu("sum"), Conv2d("last", "sum.relu", weights(3, 4, 1, 1))]
    return Network([*nodes, Output("output", "last")], metadata)


def strided(**metadata):
    """Puts out a sixth of what it takes."""
    nodes = [Input("picture", 4), Conv2d("conv", "picture", weights(8, 4, 3, 3), stride=3, padding=1), relu("conv")]
    nodes += [Conv2d("depthwise", "conv.relu", weights(8, 1, 3, 3), groups=8, stride=2, padding=1), relu("depthwise")]
    return Network([*nodes, Conv2d("last", "depthwise.relu", weights(2, 8, 1, 1)), Output("output", "last")], metadata)


def halves_and_doubles(**metadata):
    """Takes any size, and puts out an even one."""
    nodes = [Input("picture", 1), Conv2d("down", "picture", weights(4, 1, 3, 3), stride=2, padding=1), relu("down")]
    up = ConvTranspose2d("up", "down.relu", weights(4, 1, 3, 3), stride=2, padding=1, output_padding=1)
    return Network([*nodes, up, Output("output", "up")], metadata)


def signals(**metadata):
    nodes = [Input("signal", 2), Conv1d("conv", "signal", weights(4, 2, 3), stride=2, padding=1), relu("conv")]
    return Network(
        [*nodes, Conv1d("last", "conv.relu", weights(2, 4, 3), padding=1), Output("output", "last")], metadata
    )


@pytest.mark.parametrize(
    ("network", "size", "expected"),
    [
        (full_connections(), (28, 28), (28, 28)),
        (full_connections(), (22, 22), (24, 24)),
        (full_connections(), (30, 35), (30, 35)),  # takes neither
        (full_connections(task="classify"), (22, 22), (22, 22)),
        (global_average(), (11, 9), (11, 9)),
        (odd_alone(), (19, 17), (19, 17)),
        (odd_alone(task="denoise"), (19, 17), (19, 17)),
        (odd_alone(), (20, 17), (20, 17)),
        (strided(), (20, 19), (20, 19)),
        (strided(task="denoise"), (20, 19), (24, 24)),
        (halves_and_doubles(), (19, 17), (20, 18)),
        (small_denoiser(), (18, 21), (20, 24)),
        (small_denoiser(task="other"), (18, 21), (20, 24)),
        (signals(), (1, 50), (1, 50)),
        (signals(), (1, 51), (1, 51)),
        (signals(task="denoise"), (1, 51), (1, 51)),
    ],
)
def test_the_size_in_which_a_picture_is_seen(network, size, expected):
    assert fitting_size(network, size) == expected


@pytest.mark.parametrize("name", sorted(name for name, origin in model_origins().items() if origin == "package"))
@pytest.mark.parametrize("size", [(321, 481), (37, 64), (65, 65)])
def test_shipped_networks_see_padded_pictures_whether_or_not_their_task_is_known(name, size):
    network = load_model(name)
    expected = pad_to_multiple(np.zeros(size, np.float32), network.size_multiple)[0].shape
    for seen in (network, network.replace(metadata={})):
        assert fitting_size(seen, size) == expected


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (full_connections(), (1, 28, 28)),
        (global_average(), (1, 11, 9)),
        (odd_alone(), (3, 19, 17)),
        (strided(), (4, 20, 19)),
        (signals(), (2, 1, 50)),
    ],
)
def test_calibration_sees_what_the_network_will_see(network, shape):
    pictures = [picture(*shape, seed=seed) for seed in range(3)]
    converted = convert(network, calibration=pictures, percentile=100)
    for each in pictures:
        activations = forward(converted, each, record="all")[1]
        assert max(activation.max() for activation in activations.values()) <= 1 + 1e-5
    converted = convert(network, calibration=pictures)
    for each in pictures:
        expected = forward(converted, each)[0]
        assert np.abs(simulate(converted, each, steps=64).output - expected).max() < 1e-3 * np.abs(expected).max()
    assert diagnose(converted, pictures, 4).layers[0].neurons == 3 * np.prod(
        forward(converted, pictures[0], record="all")[1][converted.neurons[0].name].shape
    )


def test_what_a_task_pads_is_calibrated_with_padded():
    pictures = [picture(4, 20, 19, seed=seed) for seed in range(3)]
    padded = [pad_to_multiple(each, 6)[0] for each in pictures]
    found = convert(strided(), calibration=pictures, metadata={"task": "denoise"})
    expected = convert(strided(), calibration=padded)
    assert dict(found.normalization) == dict(expected.normalization)
    assert all(np.array_equal(found[name].weight, expected[name].weight) for name in ("conv", "depthwise", "last"))


def test_a_denoiser_of_odd_pictures_denoises_them(tmp_path):
    network = odd_alone(task="denoise", conversion={"input_size": [19, 17]})
    noisy = np.random.default_rng(0).integers(0, 256, (19, 17, 3), np.uint8)
    assert denoise(noisy, network, steps=1).picture.shape == noisy.shape


def test_refusals_name_what_was_given_and_what_fits():
    with pytest.raises(InputError, match=r"a picture of 1x30x35 .* give one of another size"):
        convert(full_connections(), calibration=[picture(1, 30, 35)])
    with pytest.raises(InputError, match=r"multiples of 8 do"):
        full_connections().shapes((1, 20, 20))
    with pytest.raises(InputError, match=r"picture 0 is 1x26x28 .* takes 1x28x28, the size that it was exported for"):
        calibrated_as_exported(picture(1, 26, 28))


def calibrated_as_exported(given):
    check_sizes(full_connections(task="classify"), [given], [28, 28], fixed=True)


def test_signals_are_of_the_length_that_was_exported():
    check_sizes(signals(task="classify"), [picture(2, 1, 50)], [50], fixed=True)
    with pytest.raises(InputError, match=r"picture 0 is 2x1x51 .* takes 2x1x50, the size that it was exported for"):
        check_sizes(signals(task="classify"), [picture(2, 1, 51)], [50], fixed=True)


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    """A classifier of 28x28 in the folder, and pictures for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    pictures = [picture(28, 28, seed=seed) for seed in range(3)]
    for seed, each in enumerate(pictures):
        write_picture(tmp_path / "pictures" / f"{seed}.png", np.rint(each * 255).astype(np.uint8))
    save_model(convert(full_connections(), calibration=pictures, metadata={"task": "classify"}), "model.npz")
    return tmp_path


def run(*arguments):
    main([str(each) for each in arguments], standalone_mode=False)


def test_commands_take_a_picture_of_the_classifiers_size(classifier, capsys):
    run("diagnose", "model.npz", "--calibrate", "pictures", "--json", "found.json")
    assert json.loads((classifier / "found.json").read_text())["layers"][0]["neurons"] == 3 * 4 * 28 * 28
    run("quantize", "model.npz", "-o", "quantized.npz", "--calibration", "pictures")
    capsys.readouterr()
    run("info", "model.npz", "--shape", "28x28")
    shown = capsys.readouterr().out
    assert "4x14x14" in shown
    assert "pictures are not padded" in shown


def test_a_report_of_a_classifier(classifier):
    pytest.importorskip("matplotlib", reason="reports need matplotlib (extra report)")
    pytest.importorskip("jinja2", reason="reports need jinja2 (extra report)")
    run("report", "model.npz", "pictures/0.png", "-o", "report")
    assert "<svg" in (classifier / "report" / "report.html").read_text()


# --- Samples far beyond black and white -------------------------------------------------------------------------------


def test_floats_from_0_to_255_are_warned_of():
    bright = [picture(1, 8, 8, seed=seed) * 255 for seed in range(2)]
    with pytest.warns(
        PictureWarning, match="go from .* to 25.*, but networks take black for 0.*divide .* by 255"
    ) as told:
        convert(global_average(), calibration=bright)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("pictures", "options"),
    [
        ([picture(1, 8, 8) * 255], {"preprocessing": [{"name": "normalize", "mean": [0.0], "std": [0.01]}]}),
        ([picture(1, 1, 1) + 255], {}),  # features
        ([picture(1, 8, 8) * 6 - 3], {}),
    ],
)
def test_floats_that_may_be_so_are_not(pictures, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration_pictures(pictures, 1, **options)
