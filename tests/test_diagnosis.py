"""`diagnose`: each layer's rates beside the ANN's activations, and the command that prints, writes and draws them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import (
    Concat,
    Conv2d,
    Input,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    SignedMultiThreshold,
    save_model,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.diagnosis import LARGEST_SIDE, diagnose
from spikeunet.engine.errors import InputError

ROUNDING = MultiThreshold.rounding((1.0, 0.5, 0.25, 0.125))


def chain(first=ROUNDING, second=ROUNDING, factor=1.0):
    """Two populations that read one input channel by channel; the second one's activations times `factor`."""

    def identity(name, source, by=1.0):
        return Conv2d(name, source, np.full((1, 1, 1, 1), by, np.float32))

    nodes = [Input("input"), identity("a", "input"), Neurons("first", "a", first)]
    nodes += [identity("b", "first", factor), Neurons("second", "b", second), identity("read", "second")]
    return Network([*nodes, Output("output", "read")])


def picture(*values):
    return np.float32(values).reshape(1, 1, -1)


def test_figures_worked_out_by_hand():
    """0.3 is emitted as 0.25, 3 as all thresholds together, 1.875, and 0.05 not at all."""
    found = diagnose(chain(), [picture(-1, 0.05, 0.3, 3)], 1)
    first, second = found.layers
    squares = 0.05**2 + 0.3**2 + 3**2
    assert first.neurons == 4
    assert first.activation == pytest.approx(np.sqrt(squares / 4))
    assert first.error == pytest.approx(np.sqrt((0.05**2 + 0.05**2 + 1.125**2) / squares))
    assert first.own_error == pytest.approx(first.error)
    assert first.cut_off == pytest.approx(1.125**2 / (0.05**2 + 0.05**2 + 1.125**2), rel=1e-5)
    assert (first.saturated, first.silent) == (1 / 4, 1 / 3)
    assert first.residual == pytest.approx((0.05 + 0.05 + 1.125) / 3 / 0.125, rel=1e-5)
    assert second.error == pytest.approx(found.error)
    assert second.error == pytest.approx(first.error)
    assert second.own_error == 0  # it hands on exactly what it is given
    assert (first.effect, second.effect) == (pytest.approx(found.error), 0)
    assert found.worst is first
    assert "first: 25.00% of its neurons emit all they can" in found.advice[0]


def test_coarse_stairs_are_told_from_saturation():
    found = diagnose(chain(second=MultiThreshold((1.0,), initial=0.5)), [picture(0.25, 0.75, 1.25, 0.25)], 1)
    assert found.worst.name == "second"
    assert found.worst.saturated == 0.5  # at 1, which are not what is wrong
    assert "second: it rounds too coarsely, to multiples of 1;" in found.advice[0]


def test_what_is_exact_needs_no_change():
    found = diagnose(chain(), [picture(0.25, 0.75, 1.25, 0), picture(-1, 0.5, 1, 1.5)], 3)
    assert (found.pictures, found.error) == (2, 0)
    assert found.advice == ("nothing: the output is 0.00% off",)


def test_neurons_that_leak_are_held_against_their_response():
    found = diagnose(chain(first=LeakyIntegrateAndFire(0.5)), [picture(0.2, 0.7, 1.3)], 4)
    assert found.layers[0].own_error == pytest.approx(found.layers[0].error)  # it is given none by others
    assert found.layers[0].effect > 0


def test_the_layer_that_loses_most_is_the_one_that_the_output_feels():
    """The first one rounds coarsely, relative to its activations, but hardly reaches the output."""
    weight = np.float32([0.05, 1.0]).reshape(2, 1, 1, 1)
    nodes = [Input("input"), Conv2d("a", "input", weight[:1]), Neurons("small", "a", ROUNDING)]
    nodes += [Conv2d("b", "input", weight[1:]), Neurons("large", "b", ROUNDING), Concat("both", ("small", "large"))]
    network = Network([*nodes, Conv2d("read", "both", np.ones((1, 2, 1, 1), np.float32)), Output("output", "read")])
    found = diagnose(network, [np.random.default_rng(0).random((1, 8, 8), np.float32)], 1)
    small, large = found.layers
    assert small.own_error > 5 * large.own_error
    assert found.worst is large
    assert np.hypot(small.effect, large.effect) == pytest.approx(found.error, rel=0.3)


def test_errors_that_are_tried_out_reach_nobody_else():
    """Signed neurons hand on a current that another layer reads as well."""
    weight = np.ones((1, 1, 1, 1), np.float32)
    nodes = [
        Input("input"),
        Conv2d("a", "input", weight),
        Neurons("signed", "a", SignedMultiThreshold.rounding((1.0,))),
    ]
    nodes += [Neurons("exact", "a", MultiThreshold.rounding((1.0, 0.5, 0.25))), Concat("both", ("signed", "exact"))]
    read = Conv2d("read", "both", np.float32([0, 1]).reshape(1, 2, 1, 1))
    found = diagnose(Network([*nodes, read, Output("output", "read")]), [picture(0.25, 0.75, 1.5)], 1)
    assert found.layers[0].own_error > 0.1
    assert [layer.effect for layer in found.layers] == [0, 0]


def test_the_middle_of_large_pictures():
    large = np.zeros((1, LARGEST_SIDE + 40, LARGEST_SIDE + 20), np.float32)
    large[:, 20:-20, 10:-10] = 0.3
    assert diagnose(chain(), [large], 1).layers[0].neurons == LARGEST_SIDE**2
    assert diagnose(chain(), [large], 1).layers[0].activation == pytest.approx(0.3)


def test_nothing_to_diagnose():
    with pytest.raises(InputError, match=r"at least one picture \(got none\)"):
        diagnose(chain(), [], 1)
    weight = np.ones((1, 1, 1, 1), np.float32)
    plain = Network([Input("input"), Conv2d("a", "input", weight), Output("output", "a")])
    with pytest.raises(InputError, match="has no neurons to diagnose"):
        diagnose(plain, [picture(1)], 1)


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for index in range(2):
        samples = np.random.default_rng(index).integers(0, 256, (16, 24), np.uint8)
        write_picture(tmp_path / "pictures" / f"{index}.png", samples)
    save_model(small_denoiser(), "model.npz")
    return tmp_path


def run(*arguments):
    main([str(each) for each in ("diagnose", *arguments)], standalone_mode=False)


def test_the_command_prints_and_writes(files, capsys):
    run("model.npz", "--calibrate", "pictures", "--add-noise", 25, "--json", "found.json")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[1:4]] == ["relu1", "pooling1", "relu_up1"]
    report = json.loads((files / "found.json").read_text())
    assert (report["steps"], report["pictures"]) == (3, 2)  # the model's own steps
    assert [layer["name"] for layer in report["layers"]] == ["relu1", "pooling1", "relu_up1"]
    assert lines[1][5] == f"{100 * report['layers'][0]['effect']:.3f}"
    assert lines[1][3] == f"{100 * report['layers'][0]['error']:.3f}"
    assert report["worst"] in [layer["name"] for layer in report["layers"]]


def test_the_command_draws(files):
    pytest.importorskip("matplotlib", reason="plots are an extra")
    run("model.npz", "--calibrate", "pictures", "--plot", "found.svg")
    assert (files / "found.svg").read_bytes()[:5] == b"<?xml"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--calibrate", "nowhere"), "nowhere: no such folder of calibration pictures"),
        (("--calibrate", "pictures", "--plot", "found.bmp"), "found.bmp: a plot ends in .png, .svg, .pdf"),
        (("--calibrate", "pictures", "--json", "model.npz"), "model.npz: the report would overwrite the model"),
        (
            ("--calibrate", "pictures", "--json", "a.png", "--plot", "a.png"),
            "a.png: the plot would overwrite",
        ),
        (("--calibrate", "pictures", "--steps", "0"), "steps must be a whole number from 1 to 1000"),
        (("--calibrate", "pictures", "--add-noise", "x"), "--add-noise"),
    ],
)
def test_what_the_command_refuses(files, options, message):
    before = sorted(files.iterdir())
    with pytest.raises(InputError, match=message):
        run("model.npz", *options)
    assert sorted(files.iterdir()) == before
