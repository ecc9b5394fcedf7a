"""What is no array of numbers, wherever one is taken: a named error that says what was given."""

from __future__ import annotations

import numpy as np
import pytest
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import (
    PictureError,
    SpikeunetError,
    add_noise,
    denoise,
    forward,
    psnr,
    segment,
    simulate,
    ssim,
    write_picture,
)

GOOD = np.random.default_rng(0).random((12, 16))
MASKED = np.ma.masked_greater(GOOD, 0.5)

CALLS = {
    "denoise": lambda value: denoise(value, small_denoiser()),
    "segment": lambda value: segment(value, small_segmenter()),
    "overlay": lambda value: segment(GOOD, small_segmenter()).overlay(value),
    "write_picture": lambda value: write_picture("never.tif", value),
    "add_noise": lambda value: add_noise(value, 25, 0),
    "psnr": lambda value: psnr(value, GOOD),
    "ssim": lambda value: ssim(GOOD, value),
    "simulate": lambda value: simulate(small_denoiser(), value),
    "forward": lambda value: forward(small_denoiser(), value),
}


class Stubborn:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it lies on another device")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"must be an array of real numbers \(got None\)"),
        ([[1.0, 2.0], [3.0]], r"must be an array of real numbers \(got list: .*inhomogeneous"),
        (np.array([[1, None]], object), r"must be an array of real numbers \(got ndarray of object\)"),
        ("camera.png", r"must be an array of real numbers \(got 'camera.png'\)"),
        ([["a", "b"]], r"must be an array of real numbers \(got list of <U1\)"),
        (np.array([["2020-01-01"]], "datetime64[D]"), r"must be an array of real numbers \(got ndarray of datetime64"),
        (Stubborn(), r"must be an array of real numbers \(got Stubborn: it lies on another device\)"),
        (MASKED, rf"{MASKED.mask.sum()} values of .* are masked, and all are needed; replace them with \.filled"),
        ([MASKED], r"are masked, and all are needed"),
        (np.zeros((12, 16), complex), r"got ndarray of complex128"),
    ],
    ids=["None", "ragged", "objects", "text", "texts", "dates", "stubborn", "masked", "list of masked", "complex"],
)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_array_of_numbers(tmp_path, monkeypatch, call, value, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpikeunetError, match=message):
        CALLS[call](value)
    assert not list(tmp_path.iterdir())


def test_a_masked_array_without_masked_values_is_an_array():
    picture = np.ma.masked_array(GOOD, mask=False)
    np.testing.assert_array_equal(denoise(picture, small_denoiser()).picture, denoise(GOOD, small_denoiser()).picture)


def test_whole_numbers_are_compared_on_their_own_scale():
    first, second = (np.random.default_rng(seed).integers(0, 256, (12, 16), dtype=np.uint8) for seed in (0, 1))
    assert psnr(first, second) == psnr(first / 255, second / 255) < 12
    assert ssim(first, second) == ssim(first / 255, second / 255)
    assert psnr(first.astype(np.uint16) * 257, second) == pytest.approx(psnr(first, second))
    np.testing.assert_array_equal(add_noise(first, 25, 0), add_noise(first / 255, 25, 0))
    for call in (lambda: psnr(first.astype(int), second), lambda: add_noise(first.astype(int), 25, 0)):
        with pytest.raises(
            SpikeunetError, match=r"must be float from 0 to 1, uint8 or uint16 \(got int64\); convert it"
        ):
            call()


def test_transparency_beyond_its_scale(tmp_path):
    picture = np.dstack([GOOD, GOOD + 0.5])
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\]"):
        denoise(picture, small_denoiser())
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\]"):
        write_picture(tmp_path / "a.tif", picture)
