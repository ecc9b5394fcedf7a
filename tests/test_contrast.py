"""Preprocessing, PSNR and SSIM against scikit-image, whose rules they follow; it comes with the extra `test`."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine.pictures.contrast import equalized, luminance, stretched
from spikeunet.engine.pictures.metrics import psnr, ssim
from spikeunet.engine.pictures.preprocessing import preprocess

SHAPES = [(40, 56, 1), (41, 33, 3), (7, 5, 3), (1, 9, 1), (64, 64, 3)]


def picture_of(shape, kind):
    """Noise, few values with gray and black pixels among them, a ramp in a narrow range, or an even picture."""
    random = np.random.default_rng(sum(shape))
    values = random.random(shape)
    if kind == "flat":
        values = np.full(shape, 0.25)
    elif kind == "few":
        values = np.rint(values * 3) / 3 * (random.random(shape[:2]) < 0.8)[..., None]
    elif kind == "narrow":
        values = 0.4 + 0.02 * np.linspace(0, 1, values.size).reshape(shape) + 1e-3 * values
    return values.astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "few", "narrow", "flat"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"clip_limit": 0.0078125}, {"kernel_size": 3, "clip_limit": 0.3, "nbins": 77},
                                     {"kernel_size": 6, "clip_limit": 0.0, "nbins": 1 << 14}], ids=str)  # fmt: skip
def test_equalisation_is_scikit_images_to_the_bit(shape, kind, options):
    from skimage.exposure import equalize_adapthist

    picture = picture_of(shape, kind)
    expected = equalize_adapthist(picture[..., 0] if shape[2] == 1 else picture, **options)
    found = equalized(picture, **options)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.reshape(shape))


@pytest.mark.parametrize("kind", ["noise", "few", "narrow", "flat"])
def test_the_other_steps_are_scikit_images_to_the_bit(kind):
    from skimage import color, exposure

    picture = picture_of((41, 33, 3), kind)
    np.testing.assert_array_equal(luminance(picture)[..., 0], color.rgb2gray(picture))
    np.testing.assert_array_equal(stretched(picture), exposure.rescale_intensity(picture, out_range=(0.0, 1.0)))
    np.testing.assert_array_equal(
        preprocess(picture, [{"name": "adjust_gamma", "gamma": 0.8333333333333334, "gain": 0.9}]),
        exposure.adjust_gamma(picture, 0.8333333333333334, 0.9),
    )


@pytest.mark.parametrize("shape", [(11, 11), (41, 33), (64, 48, 3)], ids=str)
def test_psnr_and_ssim_are_scikit_images(shape):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    random = np.random.default_rng(0)
    clean = np.rint(random.random(shape) * 255) / 255
    for sigma in (0.002, 0.1, 1.0):
        noisy = np.clip(clean + random.normal(0, sigma, shape), 0, 1)
        assert psnr(clean, noisy) == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=1.0), abs=1e-10)
        expected = structural_similarity(
            clean * 255, noisy * 255, data_range=255.0, channel_axis=2 if len(shape) == 3 else None,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert ssim(clean, noisy) == pytest.approx(expected, abs=1e-12)
