"""Denoisers whose output is the clean picture: what convert is told is honoured wherever an output is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import unets
from small_denoiser import small_denoiser, spiking_unet_state

from spikeunet.converters import convert
from spikeunet.engine import Conv2d, Input, Network, Output, denoise, load_model, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.assumptions import doubts
from spikeunet.engine.command_line.training_tasks import NoisyPictures, denoising_task
from spikeunet.engine.errors import InputError, StateDictError
from spikeunet.engine.evaluation import evaluate, plan_evaluation
from spikeunet.engine.learning.finetune import DenoisingBatches, validate_denoiser
from spikeunet.engine.learning.finetune.checkpoint import fingerprint


def three_quarters(**metadata):
    """Puts out three quarters of what it takes, exactly."""
    weight = np.full((1, 1, 1, 1), 0.75, np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", weight), Output("output", "conv")]
    return Network(nodes, {"task": "denoise", "steps": 1, **metadata})


PICTURE = np.arange(64, dtype=np.float32).reshape(8, 8) / 64


@pytest.mark.parametrize(
    ("metadata", "share"), [({}, 0.25), ({"predicts": "noise"}, 0.25), ({"predicts": "picture"}, 0.75)]
)
def test_denoise_takes_the_output_for_what_the_metadata_say(metadata, share):
    np.testing.assert_array_equal(denoise(PICTURE, three_quarters(**metadata)).picture, np.float32(share) * PICTURE)


def test_colours_stay_in_their_places():
    picture = np.random.default_rng(0).integers(0, 65, (8, 8, 3)).astype(np.float32) / 64
    np.testing.assert_array_equal(
        denoise(picture, three_quarters(predicts="picture")).picture, np.float32(0.75) * picture
    )


@pytest.mark.parametrize("predicts", ["clean", ["noise"], None, 1])
def test_other_predictions_are_refused(predicts):
    with pytest.raises(InputError, match="must say that it predicts noise or picture"):
        denoise(PICTURE, three_quarters(predicts=predicts))
    with pytest.raises(InputError, match="a denoiser predicts noise or picture"):
        DenoisingBatches([PICTURE[..., None]], (5, 50), crop=4, predicts=predicts)


def test_evaluation_scores_what_denoise_gives(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    (tmp_path / "set").mkdir()
    write_picture(tmp_path / "set" / "a.png", picture)
    scores = {}
    for predicts in ("noise", "picture"):
        save_model(three_quarters(predicts=predicts), tmp_path / "model.npz")
        plan = plan_evaluation(tmp_path / "model.npz", [str(tmp_path / "set")], sigmas=[1e-3], ann=True)
        found = evaluate(plan)
        scores[predicts] = [row["psnr"] for row in found.rows]
    share = {"noise": 0.75, "picture": 0.25}
    for predicts, lost in share.items():
        expected = -20 * np.log10(lost * np.sqrt(np.mean((picture / 255) ** 2)))
        np.testing.assert_allclose(scores[predicts], expected, atol=0.05)


def test_training_aims_at_what_the_denoiser_puts_out():
    clean = np.random.default_rng(0).random((8, 8, 1)).astype(np.float32)
    drawn = {
        predicts: DenoisingBatches([clean], (25, 25), crop=8, batch=2, predicts=predicts).draw(np.random.default_rng(1))
        for predicts in ("noise", "picture")
    }
    np.testing.assert_array_equal(drawn["noise"][0], drawn["picture"][0])
    np.testing.assert_allclose(drawn["picture"][1] + drawn["noise"][1], drawn["noise"][0], atol=1e-6)
    assert set(drawn["picture"][1].ravel()) <= set(clean.ravel())


def test_validation_scores_what_denoise_gives():
    flat = np.full((8, 8, 1), 0.5, np.float32)
    for predicts, lost in (("noise", 0.75), ("picture", 0.25)):
        found = validate_denoiser(three_quarters(predicts=predicts), [flat], 0.0, 1).psnr
        assert found == pytest.approx(-20 * np.log10(lost * 0.5), abs=1e-3)


def test_fine_tuning_takes_the_prediction_from_the_model(tmp_path):
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", np.zeros((8, 8), np.uint8))
    for predicts in ("noise", "picture"):
        save_model(three_quarters(predicts=predicts), tmp_path / "model.npz")
        task = denoising_task(
            str(tmp_path / "model.npz"), tmp_path / "pictures", None, NoisyPictures((5, 50), 25.0), 8, 2
        )
        assert task.batches.predicts == predicts


def test_a_checkpoint_is_of_one_prediction():
    assert fingerprint(three_quarters(predicts="noise")) == fingerprint(three_quarters())
    assert fingerprint(three_quarters(predicts="picture")) != fingerprint(three_quarters())


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `spikeunet convert` on a small state dict; returns the model's metadata and the lines that were printed."""
    monkeypatch.chdir(tmp_path)

    def run(*options, status=0, state=None):
        np.savez("state.npz", **(spiking_unet_state() if state is None else state))
        with pytest.raises(SystemExit) as stop:
            main(["convert", "state.npz", "-o", "model.npz", "--normalization", "none", *options])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err.count("\n")) == (status, 1 if status else 0)
        if status:
            assert not Path("model.npz").exists()
            return printed.err
        lines = (line.split(maxsplit=1) for line in printed.out.splitlines())
        return load_model(Path("model.npz").resolve()).metadata, dict(lines)

    return run


def norms(channels):
    parts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1e-3}
    return {f"bn1.{name}": np.full(channels, value, np.float32) for name, value in parts.items()}


def test_what_is_assumed_is_said_and_stored(run):
    metadata, printed = run(state=spiking_unet_state() | norms(2))
    assert metadata["predicts"] == "noise"
    assert metadata["conversion"]["batch_norm_epsilon"] == 1e-5
    assert printed["assumed"] == (
        "the output is the noise (--predicts); epsilon of 1 batch norms 1e-05 (--epsilon); pooling average; "
        "concatenation skip first"
    )


def test_what_is_said_is_not_assumed(run):
    metadata, printed = run("--predicts", "picture", "--epsilon", "1e-3", state=spiking_unet_state() | norms(2))
    assert metadata["predicts"] == "picture"
    assert metadata["conversion"]["batch_norm_epsilon"] == 1e-3
    assert printed["assumed"] == "pooling average; concatenation skip first"
    expected = convert(spiking_unet_state() | norms(2), normalization="none", batch_norm_epsilon=1e-3)["conv1"].weight
    np.testing.assert_array_equal(load_model(Path("model.npz").resolve())["conv1"].weight, expected)


def test_changes_of_the_state_dict_are_said(run):
    state = {f"_orig_mod.{key}": array for key, array in spiking_unet_state().items() if key != "conv7.bias"}
    _, printed = run(state=state)
    assert printed["biases"] == "0 in 1 layers that have none: conv7"
    assert printed["keys"] == "'_orig_mod.' taken off each"


def test_a_metadata_file_may_say_what_is_predicted(run):
    Path("facts.json").write_text(json.dumps({"predicts": "picture"}))
    metadata, printed = run("--metadata", "facts.json")
    assert metadata["predicts"] == "picture"
    assert "--predicts" not in printed["assumed"]
    assert run("--metadata", "facts.json", "--predicts", "noise")[0]["predicts"] == "noise"


def test_options_without_meaning_are_refused(run):
    assert "--epsilon 0.001 has no meaning: the state dict has no batch norms" in run("--epsilon", "1e-3", status=2)
    state = spiking_unet_state() | norms(2)
    assert "epsilon of batch norm must be positive (got 0.0)" in run("--epsilon", "0", status=2, state=state)
    assert "--predicts noise is for --task denoise" in run("--predicts", "noise", "--task", "segment", status=2)
    Path("facts.json").write_text(json.dumps({"predicts": ["picture"]}))
    assert "must say that it predicts noise or picture" in run("--metadata", "facts.json", status=2)


def test_info_says_what_an_older_model_predicts(tmp_path, capsys):
    for metadata, expected in (({}, "noise, as the file says nothing else"), ({"predicts": "picture"}, "picture")):
        save_model(small_denoiser(**metadata), tmp_path / "model.npz")
        with pytest.raises(SystemExit):
            main(["info", str(tmp_path / "model.npz")])
        lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip())
        assert lines["predicts"] == expected


@pytest.mark.parametrize(
    ("share", "predicts", "brightness", "looks"),
    [
        (0.9, "noise", 0.5, "picture"),
        (0.0, "noise", 0.5, None),
        (0.9, "picture", 0.5, None),
        (0.05, "picture", 0.5, "noise"),
        (-0.1, "noise", 0.5, None),
        (0.9, "noise", 0.01, None),
        (0.9, None, 0.5, None),
    ],
)
def test_an_output_that_does_not_look_like_what_it_is_said_to_be(share, predicts, brightness, looks):
    weight = np.full((1, 1, 1, 1), share, np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", weight), Output("output", "conv")]
    network = Network(nodes, {} if predicts is None else {"predicts": predicts})
    lines = doubts(network, [np.full((1, 6, 6), brightness, np.float32)])
    assert doubts(network, None) == []
    if looks is None:
        assert lines == []
    else:
        ((label, text),) = lines
        assert label == "doubtful"
        assert text.endswith(f"for a picture of mean 0.500 looks like the {looks} (--predicts {looks})")


def test_a_segmentation_predicts_neither():
    network = convert(unets.random_state(outputs=3), normalization="none", metadata={"task": "segment"})
    assert "predicts" not in network.metadata
    with pytest.raises(StateDictError, match="epsilon"):
        convert(unets.random_state(), normalization="none", batch_norm_epsilon=-1)


def test_an_output_of_another_size_is_no_denoisers():
    nodes = [Input("input"), Conv2d("conv", "input", np.ones((3, 1, 2, 2)), stride=2), Output("output", "conv")]
    lines = doubts(Network(nodes, {"predicts": "noise"}), [np.zeros((1, 6, 6), np.float32)])
    says = "this is no denoiser: it puts out 3x3x3 for a picture of 1x6x6; say what it is for (--task classify)"
    assert lines == [("doubtful", says)]
