"""Rain over clean pictures, `derain`, and `spikeunet derain` on real files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import refusals
from small_denoiser import small_denoiser
from small_derainer import esdnet_state

from spikeunet.converters import convert
from spikeunet.engine import InputError, add_noise, add_rain, derain, load_model, psnr, read_picture, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.diagnosis import diagnose
from spikeunet.engine.pictures.picture_files import write_picture
from spikeunet.engine.pictures.rain import INTENSITIES

HALVES = small_denoiser(3, task="derain")
"""Takes half of the picture off, exactly."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    save_model(HALVES, "halves.npz")
    save_model(small_denoiser(), "denoiser.npz")
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """Run the command and return its exit status and what it printed on stdout and stderr."""

    def invoke(*arguments, model="halves.npz"):
        with pytest.raises(SystemExit) as stop:
            main(["derain", *map(str, arguments), "--model", model])
        return (stop.value.code, *capsys.readouterr())

    return invoke


# --- Rain ------------------------------------------------------------------------------------------------------------


def gray_field(*shape):
    return np.full(shape, 0.3)


def test_rain_is_that_of_its_seed():
    clean = gray_field(40, 50, 3)
    rainy = add_rain(clean, "medium", 3)
    np.testing.assert_array_equal(rainy, add_rain(clean, "medium", 3))
    assert not np.array_equal(rainy, add_rain(clean, "medium", 4))
    assert (rainy.dtype, rainy.shape) == (np.float32, clean.shape)
    np.testing.assert_array_equal(rainy[..., 0], rainy[..., 2])  # streaks have no colour
    np.testing.assert_array_equal(add_rain(np.uint8(np.round(255 * clean)), "light", 0).shape, clean.shape)


def test_a_heavier_rain_covers_more():
    clean = gray_field(120, 160)
    covered = [np.mean([(add_rain(clean, how, seed) > 0.31).mean() for seed in range(4)]) for how in INTENSITIES]
    assert 0.01 < covered[0] < covered[1] / 1.5 < covered[2] / 1.5**2 < 0.5
    assert add_rain(clean, "heavy", 0).min() >= np.float32(0.3)  # light of the sky is brighter than this


def test_streaks_lie_along_one_slant():
    """Each streak is long in one direction: down, give or take the slant."""
    rain = add_rain(np.zeros((200, 200)), "light", 1).astype(np.float64)
    down = np.mean([np.abs(rain[1:] - np.roll(rain[:-1], shift, 1)).mean() for shift in (-1, 0, 1)])
    across = np.abs(rain[:, 1:] - rain[:, :-1]).mean()
    assert down < across


@pytest.mark.parametrize(
    ("picture", "how", "seed", "message"),
    [
        (gray_field(4, 4), "drizzle", 0, r"rain is light, medium, heavy \(got 'drizzle'\)"),
        (gray_field(4, 4), "light", -1, r"seed of the rain must be an integer of at least 0 \(got -1\)"),
        (gray_field(4), "light", 0, r"must be \(H, W\) or \(H, W, C\) to rain on \(got the shape \(4,\)\)"),
    ],
)
def test_what_cannot_rain_is_refused(picture, how, seed, message):
    with pytest.raises(InputError, match=message):
        add_rain(picture, how, seed)


# --- In Python -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_every_kind_of_picture(dtype, channels):
    shape = (9, 11, channels) if channels else (9, 11)
    picture = np.random.default_rng(0).random(shape)
    largest = 1 if dtype is np.float32 else np.iinfo(dtype).max
    picture = (picture * largest).astype(dtype)
    found = derain(picture, HALVES)
    assert (found.picture.dtype, found.picture.shape) == (picture.dtype, picture.shape)
    colors = slice(None) if channels in (0, 1, 3) else slice(0, channels - 1)
    seen, got = (each[..., colors] if channels else each for each in (picture, found.picture))
    np.testing.assert_allclose(got, seen / 2, atol=0.5 if largest > 1 else 1e-6)
    if channels in (2, 4):
        np.testing.assert_array_equal(found.picture[..., -1], picture[..., -1])


def test_a_gray_picture_is_seen_as_three_equal_channels():
    picture = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    colour = derain(np.repeat(picture[..., None], 3, axis=2), HALVES, watch=True)
    gray = derain(picture, HALVES, watch=True)
    np.testing.assert_allclose(gray.restored, colour.restored.mean(2), atol=1e-7)
    assert gray.result.total_events == colour.result.total_events
    assert (gray.watched.picture.shape, gray.watched.by_step.shape) == ((8, 8), (3, 8, 8))
    np.testing.assert_allclose(gray.watched.by_step[-1], gray.restored, atol=1e-7)


def test_strength_lies_between_the_picture_and_the_result():
    picture = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(derain(picture, HALVES, strength=0.5).restored, 0.75 * picture, atol=1e-6)


def test_other_models_are_refused():
    with pytest.raises(InputError, match=r"is for 'denoise', not for deraining; .* use `spikeunet denoise`"):
        derain(np.zeros((8, 8, 3)), small_denoiser(3))


# --- The command -----------------------------------------------------------------------------------------------------


def test_a_file_with_rain(run, folder):
    status, printed, complaints = run("good.png", "-o", "out.png", "--add-rain", "heavy", "--seed", 7)
    assert (status, complaints) == (0, "")
    clean = read_picture("good.png") / 255
    rainy = add_rain(clean, "heavy", 7)
    expected = np.clip(rainy - rainy / 2, 0, 1)
    np.testing.assert_allclose(read_picture("out.png"), 255 * expected, atol=0.501)
    fields = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert fields["PSNR"] == f"{psnr(clean, rainy):.2f} -> {psnr(clean, expected):.2f} dB"


def test_a_folder_a_reference_and_a_report(run, folder):
    for name, value in (("a", 100), ("b", 200)):
        for place in ("rainy", "clean"):
            (folder / place).mkdir(exist_ok=True)
            write_picture(f"{place}/{name}.png", np.full((12, 12, 3), value, np.uint8))
    status, _, _ = run("rainy", "-o", "out/", "--clean", "clean", "--report", "report.json")
    assert status == 0
    assert read_picture("out/a.png").max() == 50
    entries = json.loads((folder / "report.json").read_text("utf-8"))["pictures"]
    assert [each["psnr_before"] for each in entries] == [None, None]  # of equal pictures there is none
    assert all("rain" not in each for each in entries)
    status, _, _ = run("clean", "-o", "out/", "--add-rain", "light", "--seed", 1, "--report", "report.json")
    entries = json.loads((folder / "report.json").read_text("utf-8"))["pictures"]
    assert [(each["rain"], each["noise_seed"]) for each in entries] == [("light", 1), ("light", 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "3"), "--seed 3 has no meaning without --add-rain; name the rain to add"),
        (("--add-rain", "drizzle"), "rain is light, medium, heavy (got 'drizzle')"),
        (("--strength", "2"), "the strength must lie between 0, the picture as it is, and 1 (got 2.0)"),
        (("--steps", "0"), "steps must be a whole number from 1 to 1000 (got 0)"),
        (("--model", "denoiser.npz"), "is for 'denoise', not for deraining"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(run, folder, options, message):
    with_model = "denoiser.npz" if "--model" in options else "halves.npz"
    given = () if "--model" in options else options
    status, printed, complaints = run("good.png", "-o", "out.png", *given, model=with_model)
    assert (status, printed, complaints.count("\n")) == (2, "", 1)
    assert message in complaints
    assert not (folder / "out.png").exists()


def test_noise_is_still_noise(run, folder, capsys):
    """The same machinery: what denoises is not touched by it."""
    with pytest.raises(SystemExit) as stop:
        main(["denoise", "good.png", "-o", "out.png", "--add-noise", "25", "--model", "denoiser.npz"])
    assert stop.value.code == 0
    noisy = add_noise(read_picture("good.png") / 255, 25, 0)
    np.testing.assert_allclose(read_picture("out.png"), 255 * np.clip(noisy / 2, 0, 1), atol=0.501)


def convert_command(capsys, *options):
    np.savez("trained.npz", **esdnet_state())
    with pytest.raises(SystemExit) as stop:
        main(["convert", "trained.npz", "-o", "model.npz", "--task", "derain", *options])
    return (stop.value.code, *capsys.readouterr())


def test_a_trained_derainer_keeps_its_neurons(folder, capsys):
    status, printed, _ = convert_command(capsys, "--normalization", "none", "--steps", "4")
    assert status == 0
    assert "LeakyIntegrateAndFire(threshold=0.15, decay=0.5, reset='zero'" in printed
    network = load_model("model.npz")
    assert (network.metadata["task"], network.metadata["steps"]) == ("derain", 4)
    models = {type(node.model).__name__ for node in network.neurons}
    assert models == {"LeakyIntegrateAndFire", "SignedMultiThreshold"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--normalization", "none", "--neuron", "if"), "was trained with its neurons"),
        (("--normalization", "none", "--thresholds", "1,0.5"), "was trained with its neurons"),
        (("--calibration", "pictures"), "take normalization 'none'"),
        (("--normalization", "none", "--check", "check.npz"), "the check compares artificial networks"),
        (
            ("--calibration", "pictures", "--tune"),
            "--tune has no meaning for a network that was trained with its neurons",
        ),
    ],
)
def test_a_trained_derainer_gets_no_other_neurons(folder, capsys, options, message):
    (folder / "pictures").mkdir()
    write_picture("pictures/plain.png", np.full((16, 16, 3), 90, np.uint8))
    np.savez("check.npz", inputs=np.zeros((1, 3, 8, 8), np.float32), outputs=np.zeros((1, 3, 8, 8), np.float32))
    status, printed, complaints = convert_command(capsys, *options)
    assert (status, printed, complaints.count("\n")) == (2, "", 1)
    assert message in complaints
    assert not (folder / "model.npz").exists()


def test_a_trained_derainer_is_held_against_no_artificial_network():
    network = convert(esdnet_state(), normalization="none")
    with pytest.raises(InputError, match="was trained with its neurons: it comes of no artificial network"):
        diagnose(network, [np.zeros((3, 8, 8), np.float32)], 1)
