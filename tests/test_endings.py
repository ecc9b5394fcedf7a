"""Functions that conversion leaves out at a network's end: a denoiser's pictures are what comes of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import refusals
from small_denoiser import one_sided_denoiser, small_denoiser

from spikeunet.engine import InputError, denoise, derain, forward, save_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainer
from spikeunet.engine.pictures.metrics import psnr
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.tasks.endings import ended

FUNCTIONS = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Clip(-0.01, 0.02)": lambda x: np.clip(x, -0.01, 0.02),
    "Clip(0.3, )": lambda x: np.maximum(x, 0.3),
}
PICTURE = np.random.default_rng(0).uniform(0, 1, (8, 12)).astype(np.float32)


def ending(*names, predicts="picture", **metadata):
    return one_sided_denoiser(conversion={"endings": list(names)}, predicts=predicts, **metadata)


def meant(output, name, predicts):
    found = FUNCTIONS[name](output)
    return np.clip(found if predicts == "picture" else PICTURE - found, 0, 1)


@pytest.mark.parametrize("predicts", ["picture", "noise"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_denoiser_ends_in_it(name, predicts):
    network = ending(name, predicts=predicts)
    put_out = simulate(network, PICTURE[None], steps=3).output[0]
    expected = meant(put_out, name, predicts)
    assert np.abs(expected - denoise(PICTURE, ending(predicts=predicts), steps=3).restored).max() > 0.01
    np.testing.assert_allclose(denoise(PICTURE, network, steps=3).restored, expected, atol=1e-6)
    seen = denoise(PICTURE, network, steps=3, watch=True).watched
    np.testing.assert_allclose(seen.by_step[-1], expected, atol=1e-6)


def test_the_mean_of_views_is_of_pictures():
    network = ending("Sigmoid")
    turned = np.ascontiguousarray(PICTURE[::-1, ::-1])
    both = [denoise(each, network).restored for each in (PICTURE, turned)]
    expected = (both[0] + both[1][::-1, ::-1]) / 2
    np.testing.assert_allclose(denoise(PICTURE, network, self_ensemble=2).restored, expected, atol=1e-6)


def test_a_derainer_ends_in_it():
    colours = np.random.default_rng(1).uniform(0, 1, (8, 8, 3)).astype(np.float32)
    network = small_denoiser(3, task="derain", conversion={"endings": ["Tanh"]}, predicts="picture")
    expected = np.tanh(colours.transpose(2, 0, 1) / 2).transpose(1, 2, 0)
    np.testing.assert_allclose(derain(colours, network).restored, expected, atol=1e-6)


def test_what_evaluate_scores_is_what_denoise_makes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean").mkdir()
    write_picture("clean/a.png", np.random.default_rng(2).integers(0, 256, (8, 12), dtype=np.uint8))
    save_model(ending("Sigmoid"), "model.npz")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "model.npz", "clean", "--steps", "1,3", "--ann", "--self-ensemble", "2", "-o", "out"])
    assert stop.value.code == 0
    with open("out/pictures.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    clean = read_picture("clean/a.png") / 255
    noisy = add_noise(clean, 25, 0)
    for row, steps in zip(rows, (1, 3), strict=False):
        found = denoise(noisy, "model.npz", steps=steps, self_ensemble=2)
        assert float(row["psnr"]) == pytest.approx(psnr(clean, found.restored))
    sides = [FUNCTIONS["Sigmoid"](forward(ending(), np.ascontiguousarray(noisy[None, ::s, ::s]))[0]) for s in (1, -1)]
    assert float(rows[2]["psnr"]) == pytest.approx(psnr(clean, (sides[0] + sides[1][:, ::-1, ::-1])[0] / 2))


def test_several_follow_each_other():
    output = np.linspace(-2, 2, 12, dtype=np.float32).reshape(1, 1, 3, 4)
    metadata = {"conversion": {"endings": ["Tanh", "Clip(0, 0.5)"]}}
    np.testing.assert_allclose(ended(output, metadata), np.clip(np.tanh(output), 0, 0.5), atol=1e-6)
    assert ended(output, {}) is output
    assert ended(output, {"conversion": "by hand"}) is output


@pytest.mark.parametrize(
    "name", ["Softmax", "LogSoftmax", "Clip(a, b)", "Clip(0)", "Clip(1.2.3, )", "sigmoid", "Erf" * 40]
)
def test_one_that_makes_no_picture_is_refused(name):
    with pytest.raises(InputError, match="which makes no picture of what it puts out: there are Sigmoid"):
        denoise(PICTURE, ending(name))


@pytest.mark.parametrize("endings", ["Sigmoid", [1], {"Sigmoid": 1}, 3])
def test_names_that_are_no_list_are_refused(endings):
    network = small_denoiser(conversion={"endings": endings})
    with pytest.raises(InputError, match="must name the functions at its end as a list"):
        denoise(PICTURE, network)


def test_fine_tuning_does_not_go_through_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batches = DenoisingBatches([PICTURE[..., None]], (25.0, 25.0), 4, 1, "picture", ["a"])
    message = "the model ends in Sigmoid, which fine-tuning does not go through; take one that puts out the picture"
    with pytest.raises(InputError, match=message):
        Trainer(ending("Sigmoid"), batches, Settings())
    Trainer(ending("Clip(0, 1)"), batches, Settings())
    Trainer(ending("Sigmoid", task="segment"), batches, Settings())
    (tmp_path / "clean").mkdir()
    write_picture("clean/a.png", np.zeros((8, 12), np.uint8))
    save_model(ending("Sigmoid"), "model.npz")
    refusal = refusals.refusal(
        capsys, "finetune", "model.npz", "--train", "clean", "--add-noise", "25", "--crop", "8", "-o", "out.npz"
    )
    assert message in refusal
    save_model(ending(), "pupil.npz")
    options = ("--train", "clean", "--add-noise", "25", "--crop", "8", "-o", "out.npz", "--teacher", "model.npz")
    refusal = refusals.refusal(capsys, "finetune", "pupil.npz", *options)
    assert "--teacher model.npz ends in Sigmoid, the model ends in no function; take one that does" in refusal


def test_convert_says_who_computes_them(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx", reason="ONNX is not installed (extra onnx)")
    from onnx_graphs import model, normal, saved

    monkeypatch.chdir(tmp_path)
    saved(
        tmp_path / "a.onnx",
        model(
            [("Conv", "xw", "c", {"pads": [1] * 4}), ("Sigmoid", "c", "y", {})],
            {"w": normal(1, 1, 3, 3)},
            ("n", 1, 8, 8),
        ),
    )
    for task, said in (
        ("denoise", "`spikeunet denoise` and evaluate compute it"),
        ("derain", "`spikeunet derain` computes it"),
        ("other", "apply it to the output"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["convert", "a.onnx", "-o", f"{task}.npz", "--normalization", "none", "--task", task])
        assert stop.value.code == 0
        assert f"Sigmoid; {said}" in capsys.readouterr().out
