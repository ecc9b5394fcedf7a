"""Fine-tuning of denoisers on noisy pictures beside their clean versions."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import refusals
import tifffile
from PIL import Image

from spikeunet.engine import InputError
from spikeunet.engine.command_line import main
from spikeunet.engine.learning.finetune import PairBatches, read_pairs, validate_denoiser, validate_pairs
from spikeunet.engine.pictures.noise import add_noise

ARGUMENTS = (
    "finetune", "gray.npz", "--train", "clean", "-o", "tuned.npz", "--crop", "8", "--batch", "2",
    "--iterations", "4", "--interval", "2", "--steps", "2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Clean pictures, and the same with noise that goes beyond black and white."""
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    random = np.random.default_rng(0)
    for folder in ("clean", "noisy"):
        Path(folder).mkdir()
    for name, shape in (("a", (24, 16)), ("b", (16, 32))):
        picture = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(picture).save(f"clean/{name}.png")
        noisy = picture / 255 + random.normal(0, 0.2, shape)
        tifffile.imwrite(f"noisy/{name}.tif", noisy.astype(np.float32))


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([*ARGUMENTS, *arguments])
    return stop.value.code


def test_pairs_are_found_by_name_and_unclipped():
    pairs = read_pairs(Path("noisy"), Path("clean"), 1)
    assert list(pairs) == [str(Path("noisy", "a.tif")), str(Path("noisy", "b.tif"))]
    noisy, clean = pairs[str(Path("noisy", "a.tif"))]
    assert noisy.shape == clean.shape == (24, 16, 1)
    assert noisy.min() < 0 <= clean.min() < clean.max() <= 1 < noisy.max()


@pytest.mark.parametrize("predicts", ["noise", "picture"])
def test_crops_of_both_are_of_the_same_place(predicts):
    place = np.arange(20 * 24, dtype=np.float32).reshape(20, 24, 1)
    batches = PairBatches([(2 * place, place)], crop=8, batch=16, predicts=predicts)
    noisy, target = batches.draw(np.random.default_rng(1))
    assert noisy.shape == target.shape == (16, 8, 8, 1)
    np.testing.assert_array_equal(noisy, 2 * target)
    # Turned and mirrored: neighbours are one or a row apart, either way.
    steps = {tuple(np.sort(np.abs([each[0, 1, 0] - each[0, 0, 0], each[1, 0, 0] - each[0, 0, 0]]))) for each in target}
    assert steps == {(1, 24)}
    assert len({each[0, 0, 0] for each in target}) > 8


def test_training_on_pairs_writes_a_model_and_scores():
    assert run("--noisy", "noisy", "--validate", "clean", "--validate-noisy", "noisy") == 0
    with open("tuned.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["iteration"] for row in rows] == ["0", "2", "4"]
    assert all(np.isfinite(float(row["validation_psnr"])) for row in rows)


def test_validation_of_pairs_is_that_of_added_noise():
    from spikeunet.engine import load_model

    network = load_model("gray.npz")
    clean = [pair[1] for pair in read_pairs(Path("noisy"), Path("clean"), 1).values()]
    noisy = [add_noise(each[..., 0], 25, seed)[..., None] for seed, each in enumerate(clean)]
    expected = validate_denoiser(network, clean, 25, steps=2, threads=1)
    assert validate_pairs(network, zip(noisy, clean, strict=True), steps=2, threads=1) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--noisy", "noisy", "--add-noise", "5"), "--noisy brings its own noise; leave out --add-noise"),
        (("--validate-noisy", "noisy"), "--validate-noisy needs the clean pictures of the same names; give --validate"),
        (
            ("--validate", "clean", "--validate-noisy", "noisy", "--validate-noise", "9"),
            "--validate-noisy brings its own noise; leave out --validate-noise",
        ),
        (("--noisy", "nowhere"), "nowhere: no such folder of pictures; check the path"),
        (("--noisy", "noisy", "--task", "segment"), r"--noisy is for --task denoise \(got --task segment\)"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, message, capsys):
    assert re.search(message, refusals.refusal(capsys, *ARGUMENTS, *arguments))


def test_a_picture_alone_is_refused(capsys):
    Path("noisy/b.tif").unlink()
    said = refusals.refusal(capsys, *ARGUMENTS, "--noisy", "noisy")
    assert said == "clean: b has no picture of that name in noisy; name both alike"


def test_two_pictures_of_one_name_are_refused(capsys):
    Image.new("L", (16, 24)).save("noisy/a.png")
    said = refusals.refusal(capsys, *ARGUMENTS, "--noisy", "noisy")
    assert said == "noisy: a.png and a.tif have the same name; leave one out"


def test_sizes_that_differ_are_refused(capsys):
    tifffile.imwrite("noisy/b.tif", np.zeros((16, 24), np.float32))
    assert re.search(
        r"b\.tif is 16x24x1, its clean picture 16x32x1", refusals.refusal(capsys, *ARGUMENTS, "--noisy", "noisy")
    )


def test_samples_that_are_no_numbers_are_refused():
    nan = np.full((16, 16, 1), np.nan, np.float32)
    with pytest.raises(InputError, match="training picture 0 or its clean picture holds NaN or infinite samples"):
        PairBatches([(nan, np.zeros_like(nan))], crop=8)
