"""`--model auto` and `--strength`: what is chosen for which noise, what is done with it, and what is said."""

from __future__ import annotations

import errno
import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from refusals import refusal
from skimage import data
from small_denoiser import small_denoiser

from spikeunet.engine import (
    InputError,
    PictureWarning,
    add_noise,
    denoise,
    psnr,
    read_picture,
    save_model,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.denoise_settings import denoise_settings
from spikeunet.engine.pictures.noise_estimate import NoiseEstimate
from spikeunet.engine.pictures.resizing import enlarged, shrunk
from spikeunet.engine.pictures.stabilising import Stabiliser
from spikeunet.engine.tasks.automatic import Plan, plan_for, unsuited
from spikeunet.engine.tasks.denoising import denoise_unit

CLEAN = data.camera()[100:228, 100:228]
NOISY = add_noise(CLEAN, 25, 0)
OPTIONS = {"steps": 3, "threads": 1}


def estimate(kind, level=0.0, **others):
    facts = {"sigma": (level,), "coarse": level, "slope": 0.0, "intercept": 0.0, "blockiness": 1.0, **others}
    return NoiseEstimate(kind=kind, **facts)


@pytest.mark.parametrize(
    ("channels", "kind", "model"),
    [
        *((1, kind, "denoise-gray") for kind in ("none", "white", "correlated", "unknown")),
        (1, "signal-dependent", "denoise-micrograph"),
        *((3, kind, "denoise-colour") for kind in ("none", "white", "unknown", "signal-dependent")),
        (3, "correlated", "denoise-photo"),
    ],
)
def test_the_model_is_for_the_pictures_channels_and_its_noise(channels, kind, model):
    assert plan_for(estimate(kind, 20.0, slope=5.0), channels).model == model


def test_no_noise_leaves_the_picture_as_it_is():
    plan = plan_for(estimate("none", 0.7), 1)
    assert (plan.weight, plan.text, plan.warnings) == (0, "no noise to speak of: left as it is", ())
    (said,) = plan_for(estimate("none", 0.7, coarse=11.0), 1).warnings
    assert "structure of sigma 11 of 255 at half the size, which is texture or noise" in said


@pytest.mark.parametrize(("level", "weight", "gain"), [(2, 0.41, 1), (5, 0.92, 1), (25, 1, 1), (90, 1, 0.5)])
def test_white_noise_of_any_level(level, weight, gain):
    plan = plan_for(estimate("white", level), 1)
    assert (plan.weight, plan.gain) == (pytest.approx(weight, abs=0.01), gain)
    assert [("stronger than the 50 of 255" in said) for said in plan.warnings] == [True] * (level > 50)
    assert plan.sigma == (level / 255 if level < 8 else 0)
    assert f"white noise, sigma {level:.1f} of 255: denoise-gray" in plan.text


@pytest.mark.parametrize(("quarter", "split"), [(6.0, False), (20.0, True)])
def test_every_other_pixel_is_seen_where_noise_is_coarse(quarter, split):
    plan = plan_for(estimate("correlated", coarse=2.0, in_colours=(5.0, quarter)), 3)
    assert (plan.model, plan.split) == ("denoise-photo", split)
    assert "sigma 5.0 at half the size" in plan.text


def test_a_model_that_knows_the_noise_is_preferred(monkeypatch):
    from spikeunet.engine.models import cards

    known = dict(cards.shipped_cards())
    del known["denoise-photo"]
    photo = {**known["denoise-colour"], "name": "photo"}
    known["photo"] = {**photo, "knows": {**photo["knows"], "noise": ["correlated"]}}
    monkeypatch.setattr(cards, "shipped_cards", lambda: known)
    plan = plan_for(estimate("correlated", coarse=2.0), 3)
    assert (plan.model, plan.split, plan.warnings, plan.weight) == ("photo", True, (), 1)
    assert plan_for(estimate("white", 20.0), 3).model == "denoise-colour"
    other = plan_for(estimate("correlated", coarse=2.0), 1)
    assert (other.model, other.split) == ("denoise-gray", True)
    assert "neighbouring pixels share its noise" in other.warnings[0]
    monkeypatch.setattr(cards, "shipped_cards", dict)
    with pytest.raises(InputError, match="no model that comes with the package denoises pictures of 1 channels; name"):
        plan_for(estimate("white", 20.0), 1)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(gain=0.5),
        Plan(split=True),
        Plan(weight=0.4),
        Plan(stabiliser=Stabiliser(0.02, 0.0003), gain=0.1, offset=5.0),
        Plan(halvings=1, gain=0.7),
        Plan(halvings=2),
    ],
    ids=["gain", "split", "weight", "stabiliser", "2x2", "4x4"],
)
@pytest.mark.parametrize("shape", [(17, 23), (16, 15, 3)])
def test_a_plan_takes_off_its_share_of_what_the_network_sees(plan, shape):
    """The network's noise is half of what it is shown: whatever the plan, the result can be worked out."""
    picture = np.random.default_rng(0).uniform(0.3, 0.7, shape).astype(np.float32)
    restored, result, _ = denoise_unit(picture, small_denoiser(), plan, **OPTIONS)
    small = shrunk(picture, plan.halvings)
    expected = plan.without(small, plan.shown(small) / 2)
    expected = enlarged(expected, shape, plan.halvings) if plan.halvings else expected
    np.testing.assert_allclose(restored, np.clip(expected, 0, 1), atol=2e-6)
    assert result.operations.pictures == (1 if len(shape) == 2 else 3) * (5 if plan.split else 1)


def test_means_of_pixels_and_back():
    ramp = np.add.outer(np.arange(13), np.arange(11)).astype(np.float32)
    assert shrunk(ramp, 1).shape == (7, 6)
    assert shrunk(ramp, 1)[0, 0] == ramp[:2, :2].mean()
    assert shrunk(np.dstack([ramp] * 3), 2).shape == (4, 3, 3)
    again = enlarged(shrunk(ramp, 1), ramp.shape, 1)
    np.testing.assert_allclose(again[2:-3, 2:-3], ramp[2:-3, 2:-3], atol=1e-5)
    assert shrunk(ramp, 0) is ramp


def test_few_photons_are_seen_together():
    few = plan_for(estimate("signal-dependent", 35.0, slope=30.0), 3)
    many = plan_for(estimate("signal-dependent", 15.0, slope=5.0), 3)
    assert (few.halvings, many.halvings) == (1, 0)
    assert "on the means of 2x2 pixels" in few.text
    assert plan_for(estimate("signal-dependent", 90.0, slope=500.0), 3).halvings == 2
    assert few.sigma * 255 <= 48
    known = plan_for(estimate("signal-dependent", 35.0, slope=30.0), 1)
    assert (known.model, known.halvings, known.stabiliser) == ("denoise-micrograph", 1, None)
    assert plan_for(estimate("signal-dependent", 15.0, slope=5.0), 1).plain
    # The noise of the means has a quarter of the variance.
    means = np.full((300, 300), 0.4) + np.random.default_rng(0).normal(0, np.sqrt(30 * 0.4 / 255) / 2, (300, 300))
    assert few.stabiliser.forward(means).std() == pytest.approx(1, abs=0.05)


def test_no_more_is_taken_off_than_its_share_of_what_the_noise_accounts_for():
    seen = np.full((4, 4), 0.1, np.float32)
    picture = np.full((4, 4), 0.5, np.float32)
    assert Plan(weight=0.9, sigma=0.5).without(picture, seen)[0, 0] == pytest.approx(0.5 - 0.09)
    assert Plan(weight=0.9, sigma=0.05).without(picture, seen)[0, 0] == pytest.approx(0.5 - 0.9 * 0.025)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_strength_blends_input_and_output(dtype):
    scale = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    picture = (NOISY.clip(0, 1) * scale).astype(dtype)
    results = {strength: denoise(picture, small_denoiser(), strength=strength) for strength in (0, 0.25, 1, None)}
    np.testing.assert_array_equal(results[0].picture, picture)
    np.testing.assert_array_equal(results[1].picture, results[None].picture)
    blend = 0.75 * results[1].noisy + 0.25 * results[1].restored
    np.testing.assert_allclose(results[0.25].restored, blend, atol=1e-6)
    assert results[0].result.total_events == 0 < results[0.25].result.total_events


@pytest.mark.parametrize("strength", [-0.1, 1.1, np.nan, "full", True, np.zeros(2)])
def test_strengths_that_are_none(strength):
    with pytest.raises(InputError, match="the strength must lie between 0, the picture as it is, and 1"):
        denoise(CLEAN, small_denoiser(), strength=strength)


def test_clean_pictures_come_back_as_they_are():
    colour = np.dstack([data.coffee()[:128, :128], np.full((128, 128), 9, np.uint8)])
    for picture in (CLEAN, CLEAN.astype(np.float64) / 255, CLEAN.astype(np.uint16) * 257, colour):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            denoised = denoise(picture, "auto")
        np.testing.assert_array_equal(denoised.picture, picture)
        assert denoised.picture is not picture
        assert (denoised.result.total_events, denoised.plan.estimate.kind) == (0, "none")
        assert denoised.joules() == 0


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", *arguments])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return printed.out, printed.err

    return invoke


def test_the_command_says_what_it_found_and_leaves_clean_pictures_alone(run):
    write_picture("clean.png", CLEAN)
    write_picture("other.png", CLEAN[::-1])
    out, told = run("clean.png", "-o", "out.png", "--model", "auto", "--report", "report.json")
    np.testing.assert_array_equal(read_picture("out.png"), CLEAN)
    assert told == "spikeunet: clean.png: no noise to speak of: left as it is\n"
    assert "model              none, left as it is\n" in out
    assert "noise              no noise to speak of: left as it is\n" in out
    with open("report.json") as stream:
        (picture,) = json.load(stream)["pictures"]
    assert (picture["noise"]["kind"], picture["noise"]["weight"], picture["events"]) == ("none", 0, 0)
    out, told = run("clean.png", "other.png", "-o", "folder/", "--model", "auto")
    assert told.count("left as it is") == 2
    tifffile.imwrite("stack.tif", np.stack([CLEAN, CLEAN[::-1]]), photometric="minisblack")
    out, told = run("stack.tif", "-o", "stack-out.tif", "--model", "auto")
    np.testing.assert_array_equal(tifffile.imread("stack-out.tif"), tifffile.imread("stack.tif"))
    assert told == "spikeunet: stack.tif: no noise to speak of: left as it is\n"


@pytest.mark.parametrize(
    ("found", "model", "reason"),
    [
        (estimate("white", 25.0), "denoise-gray", None),
        (estimate("white", 4.4), "denoise-colour", None),
        (estimate("white", 70.0), "denoise-colour", None),
        (estimate("correlated", 3.0), "denoise-photo", None),
        (estimate("signal-dependent", 20.0), "denoise-micrograph", None),
        (estimate("unknown"), "denoise-gray", None),
        (estimate("none", coarse=4.5), "denoise-gray", None),
        (estimate("white", 2.5, coarse=9.0), "denoise-gray", None),
        (estimate("none", blockiness=1.3), "denoise-gray", None),
        (estimate("none"), "somebodys-model.npz", None),
        (estimate("none"), "denoise-gray", "takes detail off clean pictures"),
        (estimate("white", 2.5), "denoise-gray", "is for white noise of sigma 5 to 50"),
        (estimate("white", 90.0), "denoise-colour", "is for white noise of sigma 5 to 50"),
        (estimate("correlated", 3.0), "denoise-colour", "is for white noise of sigma 5 to 50"),
        (estimate("signal-dependent", 20.0), "denoise-gray", "is for white noise of sigma 5 to 50"),
    ],
)
def test_noise_that_a_model_was_not_trained_for(found, model, reason):
    told = unsuited(found, model)
    assert told is None if reason is None else told.endswith(f"; {model} {reason}")


def test_the_command_says_where_another_model_would_do_better(run):
    write_picture("clean.png", CLEAN)
    write_picture("noisy.png", np.rint(NOISY.clip(0, 1) * 255).astype(np.uint8))
    advice = "no noise to speak of; denoise-gray takes detail off clean pictures: try --model auto\n"
    assert run("clean.png", "-o", "out.png")[1] == f"spikeunet: clean.png: {advice}"
    # Of several the first is looked at; noise that was asked for, or a model that was named, needs no advice.
    assert run("clean.png", "noisy.png", "-o", "folder/")[1].count("try --model auto") == 1
    options = ((), ("--add-noise", "25"), ("--model", "denoise-gray"), ("--strength", "0"), ("--quiet",))
    for arguments in (("noisy.png", *options[0]), *(("clean.png", *each) for each in options[1:])):
        assert run(*arguments, "-o", "out.png")[1] == ""


def test_a_picture_that_cannot_be_written_is_all_that_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_picture("clean.png", CLEAN)

    def full(*_arguments, **_named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.png")

    with monkeypatch.context() as patch:
        patch.setattr("spikeunet.engine.pictures.picture_files.write_picture", full)
        told = refusal(capsys, "denoise", "clean.png", "-o", "out.png", model=None)
    assert "No space left" in told
    assert "try --model auto" not in told
    tifffile.imwrite("cut.tif", np.stack([CLEAN] * 3), photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:-9000])
    told = refusal(capsys, "denoise", "cut.tif", "-o", "out.tif", model=None)
    assert "cut.tif" in told
    assert "try --model auto" not in told


def test_exact_increments_have_defaults_of_their_own():
    for exact, name in ((False, "denoise-colour"), (True, "denoise-colour-fast")):
        settings = denoise_settings(None, None, exact_increments=exact, order="layer", threads=1)
        assert (settings.model_for(3).name, settings.advises) == (name, not exact)


@pytest.mark.slow
def test_exact_increments_take_a_model_that_they_can_run(run):
    from spikeunet.engine import DenoiseStream

    page = data.astronaut()[100:148, 200:248]
    tifffile.imwrite("stack.tif", np.stack([page, page]), photometric="rgb")
    out, told = run("stack.tif", "-o", "out.tif", "--exact-increments")
    assert ("denoise-colour-fast" in out, "--model auto" in told) == (True, False)
    stream = DenoiseStream(exact_increments=True)
    expected = tifffile.imread("out.tif")
    for each in expected:
        np.testing.assert_array_equal(stream.push(page).picture, each)


def test_the_command_blends(run):
    save_model(small_denoiser(), "model.npz")
    write_picture("in.png", CLEAN)
    run("in.png", "-o", "none.png", "--model", "model.npz", "--strength", "0")
    np.testing.assert_array_equal(read_picture("none.png"), CLEAN)
    run("in.png", "-o", "half.png", "--model", "model.npz", "--strength", "0.5")
    np.testing.assert_allclose(read_picture("half.png"), CLEAN * 0.75, atol=0.51)


def test_a_strength_out_of_range(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_picture("in.png", CLEAN)
    assert "the strength must lie between 0" in refusal(capsys, "denoise", "in.png", "-o", "a.png", "--strength", "2")


def test_a_clean_micrograph_in_a_part_of_16_bits_comes_back_as_it_is(run):
    micrograph = (CLEAN.astype(np.uint16) * 10) + 300
    micrograph[3, 3] = 65000
    tifffile.imwrite(
        "in.tif", micrograph, resolution=(300, 200), resolutionunit="INCH", description="a cell", metadata=None
    )
    _, told = run("in.tif", "-o", "out.tif", "--model", "auto")
    assert "black is taken for" in told
    np.testing.assert_array_equal(tifffile.imread("out.tif"), micrograph)
    with tifffile.TiffFile("out.tif") as file:
        tags = file.pages[0].tags
        assert (tags["XResolution"].value[0] / tags["XResolution"].value[1], tags["ImageDescription"].value) == (
            300,
            "a cell",
        )
        assert "MaxSampleValue" not in tags  # the range was found, and is nothing that the file says


def gains(noisy, clean, model, sample_range=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)
        denoised = denoise(noisy, model, sample_range=sample_range)
    return psnr(clean, denoised.restored) - psnr(clean, denoised.noisy), denoised.plan


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [1, 25, 100])
def test_noise_of_any_level_is_no_reason_for_a_worse_picture(sigma):
    clean = data.camera()[64:320, 64:320] / 255
    gain, _ = gains(add_noise(clean, sigma, 0), clean, "auto", (0, 1))
    named, _ = gains(add_noise(clean, sigma, 0), clean, None, (0, 1))
    assert gain >= (0 if sigma == 1 else 0.5)
    assert gain > named - 0.15
    if sigma == 100:
        assert gain > named + 2


@pytest.mark.slow
@pytest.mark.parametrize(("peak", "least", "known"), [(5, 10, False), (20, 9, True), (500, 2, False)])
def test_micrographs_that_use_a_part_of_16_bits(peak, least, known, monkeypatch):
    from spikeunet.engine.models import cards

    others = {name: card for name, card in cards.shipped_cards().items() if known or name != "denoise-micrograph"}
    monkeypatch.setattr(cards, "shipped_cards", lambda: others)
    clean = data.coins()[:256, :256] / 255
    random, width = np.random.default_rng(0), 0.05 * 65535
    photons = random.poisson(peak * clean) + random.normal(0, 1, clean.shape)
    noisy = np.rint(300 + photons / (peak + 3 * peak**0.5) * width).clip(0, 65535).astype(np.uint16)
    white = 300 + peak / (peak + 3 * peak**0.5) * width
    with pytest.warns(PictureWarning, match="black is taken for"):
        denoised = denoise(noisy, "auto")
    before, after = ((each.astype(float) - 300) / (white - 300) for each in (noisy, denoised.picture))
    assert psnr(clean, after) - psnr(clean, before) > least
    assert (denoised.plan.stabiliser is None) == known
    assert denoised.plan.model == ("denoise-micrograph" if known else "denoise-gray")


def test_plans_can_be_changed():
    plan = replace(plan_for(estimate("white", 3.0), 1), weight=1.0)
    assert "of what it takes off" not in plan.text
