"""`denoise(..., self_ensemble=N)`: a picture seen turned and mirrored, and the mean of what the network puts out."""

from __future__ import annotations

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from refusals import refusal
from small_denoiser import one_sided_denoiser, small_denoiser

from spikeunet.engine import InputError, derain, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.tasks.denoising import denoise

VIEWS = {
    1: [(0, False)],
    2: [(0, False), (2, False)],
    4: [(turns, False) for turns in range(4)],
    8: [(turns, mirrored) for turns in range(4) for mirrored in (False, True)],
}
"""By number of views, quarter turns, and whether the picture is mirrored then."""


def seen(picture, turns, mirrored):
    turned = np.rot90(picture, turns)
    return np.flip(turned, 1) if mirrored else turned


def unseen(picture, turns, mirrored):
    return np.rot90(np.flip(picture, 1) if mirrored else picture, -turns)


@pytest.mark.parametrize("shape", [(8, 12), (5, 7), (1, 9), (9, 6, 3)], ids=str)
@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("predicts", ["noise", "picture"])
def test_the_result_is_the_mean_of_the_views(shape, views, predicts):
    picture = np.random.default_rng(0).uniform(0.2, 0.8, shape).astype(np.float32)
    network = one_sided_denoiser(predicts=predicts)
    apart = [denoise(np.ascontiguousarray(seen(picture, *view)), network) for view in VIEWS[views]]
    assert all(each.restored.min() > 0 and each.restored.max() < 1 for each in apart)  # nothing is clipped
    together = denoise(picture, network, self_ensemble=views)
    expected = np.mean([unseen(each.restored, *view) for each, view in zip(apart, VIEWS[views], strict=True)], axis=0)
    np.testing.assert_allclose(together.restored, expected, atol=2e-6)
    assert together.result.total_accumulates == sum(each.result.total_accumulates for each in apart) > 0
    assert together.result.total_events == sum(each.result.total_events for each in apart)
    if views > 1:
        assert np.abs(together.restored - apart[0].restored).max() > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_with_all_views_no_side_matters(channels):
    picture = np.random.default_rng(0).random((8, 16) if channels == 1 else (8, 16, 3)).astype(np.float32)
    network = one_sided_denoiser(channels)
    expected = denoise(picture, network, self_ensemble=8).restored
    for view in VIEWS[8]:
        found = denoise(np.ascontiguousarray(seen(picture, *view)), network, self_ensemble=8).restored
        np.testing.assert_allclose(unseen(found, *view), expected, atol=1e-5)


def test_a_single_view_is_what_was_always_done():
    picture = np.random.default_rng(0).integers(0, 256, (9, 6), dtype=np.uint8)
    network = one_sided_denoiser()
    np.testing.assert_array_equal(
        denoise(picture, network, self_ensemble=1).restored, denoise(picture, network).restored
    )


def test_what_else_is_asked_for_holds_of_the_mean():
    """Transparency, the type, the range that is found, strength, and every other pixel of `auto`."""
    random = np.random.default_rng(0)
    network = one_sided_denoiser()
    picture = random.integers(0, 256, (9, 6, 4), dtype=np.uint8)
    found = denoise(picture, network, self_ensemble=4)
    np.testing.assert_array_equal(found.picture[..., 3], picture[..., 3])
    assert found.picture.dtype == np.uint8
    half = denoise(picture, network, self_ensemble=4, strength=0.5)
    np.testing.assert_allclose(half.restored, (found.restored + found.noisy) / 2, atol=1e-6)
    narrow = random.integers(700, 2700, (16, 16), dtype=np.uint16)
    with pytest.warns(UserWarning, match="range"):
        assert denoise(narrow, network, self_ensemble=2).picture.shape == (16, 16)


@pytest.mark.parametrize("views", [0, 3, 16, -1, 2.0, True, "8", None])
def test_numbers_of_views_that_are_none(views):
    with pytest.raises(InputError, match="self-ensemble must be 1, 2, 4 or 8"):
        denoise(np.zeros((8, 8)), small_denoiser(), self_ensemble=views)


def test_rain_falls_down():
    """Networks that take rain off are not shown pictures upside down."""
    with pytest.raises(TypeError, match="self_ensemble"):
        derain(np.zeros((8, 8, 3)), self_ensemble=2)


def run(*arguments):
    main(["denoise", *arguments], standalone_mode=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(one_sided_denoiser(), "model.npz")
    random = np.random.default_rng(0)
    iio.imwrite("in.png", random.integers(0, 256, (16, 12), dtype=np.uint8))
    tifffile.imwrite("stack.tif", random.integers(0, 256, (3, 16, 12), dtype=np.uint8), photometric="minisblack")
    return tmp_path


def test_the_command(folder, capsys):
    run("in.png", "-o", "out.png", "--model", "model.npz", "--self-ensemble", "8", "--report", "report.json")
    assert "mean of 8 views" in capsys.readouterr().out
    expected = denoise(iio.imread("in.png"), "model.npz", self_ensemble=8)
    np.testing.assert_array_equal(iio.imread("out.png"), expected.picture)
    (entry,) = json.loads((folder / "report.json").read_text())["pictures"]
    assert entry["self_ensemble"] == 8
    assert entry["accumulates"] == expected.result.total_accumulates


def test_every_page_of_a_series(folder, capsys):
    run("stack.tif", "-o", "out.tif", "--model", "model.npz", "--self-ensemble", "2", "--report", "-")
    found = iio.imread("out.tif")
    for page, denoised in zip(iio.imread("stack.tif"), found, strict=True):
        np.testing.assert_array_equal(denoised, denoise(page, "model.npz", self_ensemble=2).picture)
    assert json.loads(capsys.readouterr().out)["pictures"][0]["self_ensemble"] == 2


def test_a_picture_that_is_left_as_it_is_was_not_seen_at_all(folder, capsys):
    iio.imwrite("clean.png", np.full((64, 64), 128, np.uint8))
    run("clean.png", "-o", "out.png", "--model", "auto", "--self-ensemble", "8")
    run("in.png", "-o", "out.png", "--model", "model.npz", "--strength", "0", "--self-ensemble", "8")
    assert "self-ensemble" not in capsys.readouterr().out


def test_what_is_refused(folder, capsys):
    assert "(got 3)" in refusal(capsys, "denoise", "in.png", "-o", "out.png", "--self-ensemble", "3")
    both = ("--self-ensemble", "2", "--exact-increments")
    assert "leave --self-ensemble 2 out" in refusal(capsys, "denoise", "stack.tif", "-o", "out.tif", *both)


@pytest.mark.slow
def test_shipped_denoisers_gain_by_it():
    from skimage import data

    clean = data.camera()[64:320, 64:320] / 255
    noisy = add_noise(clean, 25, 0)
    errors = [
        float(np.square(denoise(noisy, "denoise-gray", steps=1, self_ensemble=views).restored - clean).mean())
        for views in VIEWS
    ]
    assert errors == sorted(errors, reverse=True)
    assert 10 * np.log10(errors[0] / errors[-1]) > 0.1
