"""PSNR, SSIM, the noise protocol and the energy models against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spikeunet.engine.errors import InputError
from spikeunet.engine.operations.energy import ENERGY_MODELS, estimate_energy
from spikeunet.engine.pictures.metrics import class_ious, confusion_matrix, psnr, ssim
from spikeunet.engine.pictures.noise import add_noise


def slow_ssim(first, second):
    """SSIM of two (H, W) pictures on the 0-255 scale, window by window."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(first.shape[0] - 10):
        for x in range(first.shape[1] - 10):
            a, b = (picture[y : y + 11, x : x + 11] * 255 for picture in (first, second))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + low) / (mean_a**2 + mean_b**2 + low)
            values.append(luminance * (2 * covariance + high) / (variance_a + variance_b + high))
    return np.mean(values)


def pair(shape):
    random = np.random.default_rng(0)
    clean = random.random(shape)
    return clean, np.clip(clean + random.normal(0, 0.1, shape), 0, 1)


@pytest.mark.parametrize("size", [(11, 11), (11, 17), (20, 13)])
def test_ssim_is_the_mean_over_the_valid_area(size):
    clean, noisy = pair(size)
    assert ssim(clean, noisy) == pytest.approx(slow_ssim(clean, noisy), rel=1e-9)


def test_ssim_of_colour_is_the_mean_over_channels():
    clean, noisy = pair((14, 15, 3))
    expected = np.mean([slow_ssim(clean[..., channel], noisy[..., channel]) for channel in range(3)])
    assert ssim(clean, noisy) == pytest.approx(expected, rel=1e-9)


def test_psnr_is_its_definition():
    clean, noisy = pair((8, 9, 3))
    error = np.mean((255 * clean - 255 * noisy) ** 2)
    assert psnr(clean, noisy) == pytest.approx(10 * math.log10(255**2 / error))


def test_psnr_of_float32_and_without_rounding():
    clean = np.full((4, 4), 0.5, np.float32)
    assert psnr(clean, clean + np.float32(0.25 / 255)) == pytest.approx(20 * math.log10(255 / 0.25), abs=1e-3)


def test_equal_pictures():
    picture = np.random.default_rng(0).random((11, 11))
    assert psnr(picture, picture) == math.inf
    assert ssim(picture, picture) == pytest.approx(1)


def test_pictures_that_cannot_be_compared():
    with pytest.raises(InputError, match="differ in shape: 4x4 and 4x5"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"are empty \(shape 0x4\)"):
        psnr(np.zeros((0, 4)), np.zeros((0, 4)))
    with pytest.raises(InputError, match=r"at least 11x11 pixels \(got 10x20\)"):
        ssim(np.zeros((10, 20)), np.zeros((10, 20)))


def test_noise_is_the_protocols():
    clean = np.random.default_rng(9).random((6, 7))
    expected = clean + np.random.default_rng(3).normal(0, 25 / 255, (6, 7))
    noisy = add_noise(clean, 25, 3)
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(noisy, expected.astype(np.float32))


def test_noise_is_not_clipped():
    noisy = add_noise(np.ones((50, 50)), 50, 0)
    assert noisy.max() > 1.3


@pytest.mark.parametrize("sigma", [-1, 256, math.nan, math.inf])
def test_sigma_out_of_range(sigma):
    with pytest.raises(InputError, match=r"sigma must lie between 0 and 255, on the 0-255 scale \(got"):
        add_noise(np.zeros((2, 2)), sigma, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_seed_out_of_range(seed):
    with pytest.raises(InputError, match=r"noise seed must be an integer of at least 0 \(got"):
        add_noise(np.zeros((2, 2)), 25, seed)


def test_energy_of_operations():
    assert estimate_energy(1000) == pytest.approx(0.9e-9)
    assert estimate_energy(1000, 10) == pytest.approx(0.9e-9 + 46e-12)
    assert all(model.source and model.name == name for name, model in ENERGY_MODELS.items())
    with pytest.raises(InputError, match="no energy model is called '7nm'; there are 45nm"):
        estimate_energy(1, model="7nm")


def test_psnr_is_that_of_the_mean_squared_error():
    reference, picture = np.random.default_rng(1).random((2, 7, 5, 3))
    error = np.mean((255 * (reference - picture)) ** 2)
    assert psnr(reference, picture) == pytest.approx(10 * np.log10(255**2 / error), rel=1e-12)


def test_confusion_and_overlap_by_hand():
    labels = np.array([[0, 0, 1], [1, 3, -1]])
    predicted = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
    matrix = confusion_matrix(labels, predicted, 4)
    np.testing.assert_array_equal(matrix, [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert class_ious(matrix) == [1 / 3, 2 / 3, None, 0.0]


def test_confusion_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = np.random.default_rng(0).integers(0, 5, (2, 30, 40))
    np.testing.assert_array_equal(
        confusion_matrix(labels, predicted.astype(np.uint8), 6),
        metrics.confusion_matrix(labels.ravel(), predicted.ravel(), labels=range(6)),
    )
