"""How noisy a picture is: levels of white noise, noise that grows with the signal, JPEG's blocks, clean pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data
from threadpoolctl import threadpool_limits

from spikeunet.engine import InputError, PictureError, add_noise, estimate_noise
from spikeunet.engine.pictures.noise_level import white_noise
from spikeunet.engine.pictures.noise_structure import blockiness, signal_dependence
from spikeunet.engine.pictures.stabilising import Stabiliser

CAMERA = data.camera()[100:356, 100:356] / 255
COLOUR = data.astronaut()[:192, 100:292] / 255


def photons(picture, peak, seed=0):
    return np.random.default_rng(seed).poisson(peak * picture) / peak


def compressed(picture, quality):
    stream = io.BytesIO()
    Image.fromarray(np.rint(picture * 255).clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("sigma", [2, 5, 15, 25, 50, 100])
def test_white_noise_is_measured(sigma):
    found = estimate_noise(add_noise(CAMERA, sigma, 0))
    assert found.kind == "white"
    assert found.level == pytest.approx(sigma, rel=0.06, abs=0.5)
    assert estimate_noise(add_noise(COLOUR, sigma, 1)).level == pytest.approx(sigma, rel=0.06, abs=0.8)


@pytest.mark.parametrize(
    "name", ["camera", "coins", "moon", "page", "brick", "astronaut", "chelsea", "coffee", "cell", "grass"]
)
def test_clean_pictures_have_no_noise_to_speak_of(name):
    found = estimate_noise(getattr(data, name)())
    assert (found.kind, found.level < 1.5) == ("none", True)


def test_noise_upon_fine_texture_is_seen_where_it_stands_out():
    """Nearly all of `grass` is texture as strong as weak noise; stronger noise shows."""
    grass = data.grass() / 255
    assert estimate_noise(add_noise(grass, 1, 0)).kind == "none"
    for sigma in (6, 10, 25):
        found = estimate_noise(add_noise(grass, sigma, 0))
        assert found.kind == "white"
        assert found.level == pytest.approx(sigma, rel=0.15)


def test_the_scale_is_that_of_the_range_whatever_the_type():
    noisy = np.clip(add_noise(CAMERA, 10, 0), 0, 1)
    expected = estimate_noise(noisy.astype(np.float64))
    sixteen = np.rint(noisy * 60000).astype(np.uint16)
    for picture, limits in (
        (sixteen, (0, 60000)),
        (noisy * 5 - 2, (-2, 3)),
        (noisy * 50 - 20, (-20, 30)),
        (np.dstack([noisy] * 3), None),
        (np.dstack([noisy, np.ones_like(noisy)]), None),
    ):
        found = estimate_noise(picture, sample_range=limits)
        assert found.level == pytest.approx(expected.level, abs=0.05)
        assert len(found.sigma) == 1


@pytest.mark.parametrize("scale", [300, 65535])
def test_the_range_that_is_used_is_found(scale):
    noisy = add_noise(CAMERA, 10, 0) * scale + 7
    found = estimate_noise(noisy)
    low, high = np.quantile(noisy, (0.001, 0.999))
    assert found.level == pytest.approx(10 * scale / (high - low), rel=0.05)
    assert found.kind == "white"


def test_how_hot_a_pixel_is_does_not_matter():
    """Beyond a range that was found, as `denoise` sees it."""
    noisy = np.rint(add_noise(CAMERA, 10, 0) * 4000 + 500).astype(np.uint16)
    places = np.random.default_rng(0).integers(0, len(noisy), (2, 12))
    found = []
    for value in (30000, 60000):
        noisy[tuple(places)] = value
        found.append(estimate_noise(noisy))
    assert found[0] == found[1]
    assert (found[0].kind, found[0].level) == ("white", pytest.approx(10, rel=0.2))


def test_noise_that_grows_with_the_signal_is_told_apart():
    found = estimate_noise(photons(CAMERA, 30))
    assert (found.kind, found.correlated) == ("signal-dependent", False)
    # The variance of photons is sample / peak, on the 0-255 scale.
    assert found.slope == pytest.approx(255 / 30, rel=0.1)
    assert abs(found.intercept) < 40


def test_what_jpeg_leaves_of_noise_is_correlated():
    photograph = np.tile(data.camera()[:256, :256] / 255, (1, 1))
    blocks = compressed(photograph, 30)
    assert blockiness(blocks) > 1.12 > 1.1 > blockiness(photograph)
    assert blockiness(blocks[3:, 5:]) == pytest.approx(blockiness(blocks), rel=0.1)  # wherever the blocks begin
    found = estimate_noise(compressed(add_noise(CAMERA, 8, 0), 40))
    assert (found.kind, found.correlated) == ("correlated", True)
    assert "JPEG blocks" in found.text


def test_strong_noise_that_neighbours_share_is_correlated():
    noise = np.random.default_rng(0).standard_normal((258, 258))
    shared = (noise[:-2] + 2 * noise[1:-1] + noise[2:]) / 4
    shared = (shared[:, :-2] + 2 * shared[:, 1:-1] + shared[:, 2:]) / 4
    assert estimate_noise(CAMERA + shared / shared.std() * 30 / 255).kind == "correlated"


@pytest.mark.parametrize(("sigma", "kind"), [(0, "none"), (4, "none"), (8, "white"), (12, "white")])
def test_only_weak_noise_is_taken_for_texture_where_no_place_is_smooth(sigma, kind):
    down, across = np.mgrid[:128, :128]
    waves = 127 + 50 * np.sin(1.3 * across) * np.sin(1.1 * down + 0.2 * across) + 20 * np.sin(0.9 * down)
    noisy = add_noise(waves / 255, sigma, 0)
    assert white_noise(noisy * 255).smooth == 0
    assert estimate_noise(noisy, (0, 1)).kind == kind


def blurred(noise):
    """Noise (H, W, 3) that neighbours share, by a binomial of three by three, with the level it had."""
    down = (np.roll(noise, 1, 0) + 2 * noise + np.roll(noise, -1, 0)) / np.sqrt(6)
    return (np.roll(down, 1, 1) + 2 * down + np.roll(down, -1, 1)) / np.sqrt(6)


@pytest.mark.parametrize(("sigma", "coarse"), [(5, False), (15, True)])
def test_noise_that_neighbours_share_is_seen_in_the_colours(sigma, coarse):
    """Texture is in all channels alike, noise is not."""
    for clean in (COLOUR, data.chelsea()[:256, :256] / 255):
        assert estimate_noise(clean).in_colours < (2.0, 5.0)
        noise = blurred(np.random.default_rng(0).standard_normal(clean.shape)) * sigma / 255
        found = estimate_noise(np.clip(clean + noise, 0, 1))
        assert (found.kind, found.in_colours_alone) == ("correlated", True)
        assert found.text.startswith(f"noise that neighbouring pixels share, sigma {found.in_colours[0]:.1f} at half")
        assert (found.in_colours[1] >= 14) == coarse
        # The same in all channels is a black-and-white picture's, of which colours tell nothing.
        gray = np.repeat(np.clip(clean.mean(2) + noise[..., 0], 0, 1)[..., None], 3, axis=2)
        assert estimate_noise(gray).in_colours == (0, 0)
        white = estimate_noise(np.clip(add_noise(clean, 2 * sigma, 0), 0, 1))
        assert (white.kind, white.in_colours_alone) == ("white", False)


def test_what_has_a_single_shade_does_not_count():
    """A round field of view, and bars above and below."""
    noisy = np.rint(np.clip(add_noise(data.camera()[128:384, 128:384] / 255, 10, 0), 0, 1) * 255).astype(np.uint8)
    across, down = np.meshgrid(np.arange(256) - 128, np.arange(256) - 128)
    expected = estimate_noise(noisy)
    assert expected.level == pytest.approx(10, rel=0.1)
    for hidden in (np.hypot(across, down) > 120, np.abs(down) > 80, np.abs(down) > 110):
        found = estimate_noise(np.where(hidden, 0, noisy).astype(np.uint8))
        assert found.kind == "white"
        assert found.level == pytest.approx(expected.level, rel=0.1)


@pytest.mark.parametrize("size", [(256, 256), (190, 190), (512, 512)], ids=str)
def test_what_is_drawn_has_no_noise(size):
    """Between letters most is of a single shade, and their edges are no noise."""
    page = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(page)
    for line in range(16):
        draw.text((5, 5 + 15 * line), f"The quick brown fox jumps over {line}", fill="black")
    draw.ellipse((100, 100, 200, 200), fill=(200, 30, 60))
    drawn = np.asarray(page.resize(size, Image.LANCZOS))
    assert estimate_noise(drawn).kind == "none"
    assert estimate_noise(drawn[..., 1]).kind == "none"


@pytest.mark.parametrize("name", ["chelsea", "immunohistochemistry", "astronaut"])
@pytest.mark.parametrize("step", [16, 32, 51])
def test_what_rounding_to_few_shades_leaves_is_no_noise_of_the_colours(name, step):
    found = estimate_noise(getattr(data, name)()[:384, :256] // step * step)
    assert (found.kind, found.in_colours) == ("none", (0, 0))


def test_a_drawn_board_of_8_pixels_was_not_compressed():
    down, across = np.mgrid[:256, :256] // 8
    found = estimate_noise(np.clip(add_noise((down + across) % 2.0, 5, 0), 0, 1))
    assert (found.kind, "JPEG" in found.text) == ("white", False)


@pytest.mark.parametrize("shade", [0, 255])
def test_texture_within_surroundings_of_a_single_shade_is_no_noise(shade):
    texture = data.grass()
    texture[:102] = texture[-102:] = shade
    assert estimate_noise(texture).kind == "none"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_two_shades_have_no_noise(dtype):
    dots = np.random.default_rng(0).random((64, 64)) < data.camera()[128:192, 128:192] / 255
    found = estimate_noise((dots * (255 if dtype is np.uint8 else 1)).astype(dtype))
    assert (found.kind, found.level, found.coarse) == ("none", 0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (5, 80), (23, 23), (7, 7, 3), (30, 30, 1)])
def test_small_and_even_pictures(shape):
    assert estimate_noise(np.full(shape, 7, np.uint8)).kind in ("unknown", "none")
    assert estimate_noise(np.zeros(shape, np.float32)).level == 0


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.full((30, 30), np.nan), PictureError, "900 of its 900 samples are NaN or infinite"),
        (np.zeros((2, 30, 30, 3), np.uint8), PictureError, "must have the shape"),
        (np.zeros((30, 30), np.int32), PictureError, "must be uint8, uint16 or float"),
    ],
)
def test_what_is_no_picture_is_refused(picture, error, message):
    with pytest.raises(error, match=message):
        estimate_noise(picture)
    with pytest.raises(InputError, match="the lower one first"):
        estimate_noise(np.zeros((30, 30), np.uint8), sample_range=(0, 0))


def test_large_pictures_are_looked_at_in_parts():
    large = np.random.default_rng(0).normal(0.5, 20 / 255, (1100, 1300)).astype(np.float32)
    large[:, 600:602] = 0.9
    assert estimate_noise(large).level == pytest.approx(20, rel=0.05)
    assert estimate_noise(large[:60]).level == pytest.approx(20, rel=0.1)


def test_a_picture_gives_the_same_estimate_every_time_and_with_any_threads():
    noisy = add_noise(COLOUR, 12, 3)
    expected = estimate_noise(noisy)
    for threads in (1, 2, 7):
        with threadpool_limits(threads):
            assert estimate_noise(noisy.copy()) == expected


def test_the_level_is_in_the_samples_own_unit():
    noise = np.random.default_rng(0).normal(1000, 30, (100, 100))
    assert white_noise(noise).level == pytest.approx(30, rel=0.05)
    assert signal_dependence([noise[:20, :20]]) is None


@pytest.mark.parametrize(("slope", "offset", "sigma"), [(1.0, 0.0, 0.0), (2.5, 100.0, 4.0), (0.01, -1.0, 0.02)])
def test_stabilised_noise_is_alike_everywhere_and_comes_back_unbiased(slope, offset, sigma):
    random = np.random.default_rng(0)
    stabiliser = Stabiliser(slope, sigma**2 - slope * offset)
    for count in (3, 20, 200):
        samples = slope * random.poisson(count, 200_000) + offset + random.normal(0, 1, 200_000) * sigma
        stable = stabiliser.forward(samples)
        assert stable.std() == pytest.approx(1, abs=0.08)
        assert stabiliser.inverse(stable.mean()) == pytest.approx(slope * count + offset, abs=0.05 * slope * count**0.5)


def test_noise_that_black_cuts_off_does_not_grow_with_the_signal():
    random = np.random.default_rng(0)
    clean = np.linspace(0, 90, 256)[None, :] * np.ones((256, 1))
    noisy = np.rint(np.clip(clean + random.normal(0, 40, clean.shape), 0, 255)).astype(np.uint8)
    assert estimate_noise(noisy).kind == "white"
