"""Black and white that are found among the samples: which pictures have such a range, and what is said of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from halving_command import halving_command
from skimage import data
from small_denoiser import small_denoiser

from spikeunet.engine import PictureWarning, denoise, read_frames, read_picture, write_picture
from spikeunet.engine.pictures.ranges import doubtful_range, found_range
from spikeunet.engine.tasks.automatic import Plan
from spikeunet.engine.tasks.denoising import denoise_unit

CAMERA = data.camera()[60:188, 130:258] / 255


def noise(sigma, seed=0, shape=CAMERA.shape):
    return np.random.default_rng(seed).normal(0, sigma / 255, shape)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command with half of each sample for a result; returns the lines on stderr."""
    command = halving_command(tmp_path, monkeypatch, capsys)

    return lambda *arguments, **options: command(*arguments, **options).err.splitlines()


@pytest.mark.parametrize(
    "scaled",
    [
        pytest.param(lambda unit: unit * 2 - 1, id="-1 to 1"),
        pytest.param(lambda unit: (unit - unit.mean()) / unit.std(), id="mean 0, deviation 1"),
        pytest.param(lambda unit: unit * 5, id="0 to 5"),
        pytest.param(lambda unit: unit - unit.mean(), id="mean 0"),
    ],
)
@pytest.mark.parametrize("sigma", [0, 10, 50])
def test_float_pictures_on_another_scale_are_not_clipped(scaled, sigma):
    picture = scaled(CAMERA + noise(sigma)).astype(np.float32)
    with pytest.warns(PictureWarning, match=r"between which nearly all lie, and nothing is clipped"):
        denoised = denoise(picture, small_denoiser())
    low, high = found_range(picture)
    np.testing.assert_allclose(denoised.picture, low + (picture - low) / 2, atol=1e-5)
    assert low < np.quantile(picture, 0.01)
    assert high > np.quantile(picture, 0.99)


@pytest.mark.parametrize("sigma", [1, 10, 50, 100, 200])
@pytest.mark.parametrize(
    "clean",
    [
        pytest.param(CAMERA, id="camera"),
        pytest.param(np.zeros_like(CAMERA), id="black"),
        pytest.param(np.ones_like(CAMERA), id="white"),
        pytest.param(data.retina()[:128, :128] / 255, id="black corner, colour"),
    ],
)
def test_noise_beyond_0_and_1_is_no_other_scale(clean, sigma):
    for seed in range(4):
        picture = (clean + noise(sigma, seed, clean.shape)).astype(np.float32)
        if np.quantile(picture, 0.999) - np.quantile(picture, 0.001) >= 0.5:
            assert found_range(picture) is None
        assert doubtful_range(picture) is None


def test_noise_that_neighbours_share_is_no_other_scale():
    picture = np.kron(CAMERA[:64, :64] + noise(100)[:64, :64], np.ones((3, 3))).astype(np.float32)
    assert picture.min() < -0.5
    assert found_range(picture) is None
    assert doubtful_range(picture) is None


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("sigma", [0, 15])
def test_highlights_are_no_noise(width, sigma):
    """Lamps on a picture from 0 to 1: a range is found, or it is said that they will be clipped."""
    down, across = np.mgrid[: CAMERA.shape[0], : CAMERA.shape[1]]
    lamp = 3 * np.exp(-((down - 40) ** 2 + (across - 70) ** 2) / (2 * width**2))
    picture = (CAMERA + lamp + noise(sigma)).astype(np.float32)
    assert picture.max() > 2.5
    assert found_range(picture) is not None or doubtful_range(picture) is not None


@pytest.mark.parametrize("shape", [(1, 4000), (2, 2000), (3, 1000)], ids=str)
def test_noise_of_thin_pictures_is_no_other_scale(shape):
    for seed in range(10):
        assert found_range(np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)) is None


def saturated(share, side, seed=0):
    """A picture of 12 bits in 16 with blocks of saturated pixels, of `side` pixels, in a share of it."""
    picture = np.rint((CAMERA + noise(10)).clip(0, 1) * 4000).astype(np.uint16)
    random = np.random.default_rng(seed)
    for _ in range(round(share * picture.size / side**2)):
        row, column = random.integers(0, len(picture) - side, 2)
        picture[row : row + side, column : column + side] = 65535
    return picture


@pytest.mark.parametrize("side", [1, 3])
def test_hot_pixels_decide_no_range_and_come_back_beyond_it(side):
    picture = saturated(0.005, side)
    with pytest.warns(PictureWarning, match="to 65535 .*; black is taken for 0 and white for (3|4)[0-9]{3}, between"):
        denoised = denoise(picture, small_denoiser())
    assert (denoised.picture[picture == 65535] > 30000).all()


def test_hot_pixels_are_neither_taken_for_noise_nor_spread(run):
    unit, random = data.camera()[60:316, 130:386] / 255, np.random.default_rng(0)
    picture = np.rint((unit + random.normal(0, 20 / 255, unit.shape)).clip(0, 1) * 4000).astype(np.uint16)
    hot = random.random(unit.shape) < 0.003
    picture[hot] = 65535
    tifffile.imwrite("in.tif", picture)
    assert "in.tif: white noise, sigma 1" in run("in.tif", "-o", "out.tif", model="auto")[-1]
    with pytest.warns(PictureWarning, match="black is taken for"):
        denoised = denoise(picture, "auto").picture
    np.testing.assert_array_equal(tifffile.imread("out.tif"), denoised)
    assert (denoised[hot].min() > 60000, denoised[~hot].max() < 5000) == (True, True)
    assert np.abs(denoised - unit * 4000)[~hot].mean() < 0.5 * np.abs(picture - unit * 4000)[~hot].mean()


def test_means_of_pixels_do_not_spread_what_lies_beyond():
    picture = CAMERA.astype(np.float32).copy()
    picture[20, 30] = 15
    plan = Plan(estimate=None, model="", halvings=1)
    options = {"steps": 1, "threads": 1}
    restored = denoise_unit(picture, small_denoiser(), plan, clipped=False, **options).restored
    near = np.minimum(picture, 2)
    expected = denoise_unit(near, small_denoiser(), plan, clipped=False, **options).restored
    np.testing.assert_array_equal(restored, expected + (picture - near))


def test_dead_pixels_decide_no_range():
    low, high = found_range(65535 - saturated(0.005, 1))
    assert 61000 < low < high <= 65535
    sentinels = np.where(saturated(0.005, 1) == 65535, -9999, CAMERA + noise(10)).astype(np.float32)
    low, high = found_range(sentinels)
    assert -0.2 < low < high < 1.2


def test_saturated_stars_before_a_dark_sky_decide_no_range():
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    sky = np.full((128, 128), 1000.0)
    for row, column in random.integers(0, 128, (8, 2)):
        sky += 141_000 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 1.5**2))
    picture = (sky + random.normal(0, 50, sky.shape)).clip(0, 65535).astype(np.uint16)
    assert 0.002 < (picture == 65535).mean() < 0.008
    with pytest.warns(PictureWarning, match=r"between which 9\d % lie, and nothing is clipped") as caught:
        denoised = denoise(picture, small_denoiser())
    assert len(caught) == 1
    low, high = found_range(picture)
    assert 800 < low < 1000 < high < 6500
    sky = picture <= high
    np.testing.assert_allclose(denoised.picture[sky], (low + (picture - low) / 2)[sky], atol=1)
    assert (denoised.picture[picture == 65535] > 60000).all()


TWELVE_BITS = np.rint((CAMERA + noise(10)).clip(0, 1) * 4080).astype(np.uint16)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(TWELVE_BITS, id="gray"),
        pytest.param(np.dstack([TWELVE_BITS, TWELVE_BITS[::-1], TWELVE_BITS // 2]), id="colour"),
        pytest.param((CAMERA * 6 - 2).astype(np.float32), id="float"),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".avi"])
def test_formats_of_8_bits_show_the_found_range_in_full(run, picture, suffix):
    if suffix == ".avi":
        pytest.importorskip("av")
    picture = picture.copy()
    picture[5, 5] = 65535 if picture.dtype == np.uint16 else 9
    tifffile.imwrite("in.tif", picture, photometric="rgb" if picture.ndim == 3 else "minisblack")
    low, high = found_range(picture)
    line = run("in.tif", "-o", f"out{suffix}")[0]
    assert f"{suffix} takes them for its own and clips what lies beyond: if" in line
    assert "nothing is clipped" not in line
    written = next(iter(read_frames(f"out{suffix}"))).astype(float)
    expected = ((picture - low) / (high - low) / 2 * 255).clip(0, 255)
    assert written.shape == picture.shape
    off = np.abs(written - expected)[20:, 20:]
    assert off.mean() < 3 if suffix == ".jpg" else off.max() <= 0.6
    assert written[5, 5].min() > 230


def test_formats_of_16_bits_keep_the_samples_and_their_scale(run):
    picture = TWELVE_BITS.copy()
    picture[5, 5] = 65535
    tifffile.imwrite("in.tif", picture)
    tifffile.imwrite("stack.tif", np.stack([picture] * 2), photometric="minisblack")
    for source, target in (("in.tif", "out.png"), ("in.tif", "out.tif"), ("stack.tif", "out.tif")):
        (line,) = run(source, "-o", target)
        assert "between which nearly all lie" in line
        assert "nothing is clipped: if" in line
        for written in read_frames(target):
            np.testing.assert_allclose(written[20:], (picture / 2)[20:], atol=0.6)
            assert written[5, 5] > 60000


def test_a_stack_in_8_bits_shows_the_found_range_in_full(run):
    pytest.importorskip("av")
    tifffile.imwrite("stack.tif", np.stack([TWELVE_BITS, TWELVE_BITS[::-1]]), photometric="minisblack")
    assert "takes them for its own" in run("stack.tif", "-o", "out.avi")[0]
    for written, picture in zip(read_frames("out.avi"), (TWELVE_BITS, TWELVE_BITS[::-1]), strict=True):
        np.testing.assert_allclose(written, picture / 4080 / 2 * 255, atol=0.6)


def test_transparency_is_no_part_of_a_found_range(run):
    picture = np.dstack([TWELVE_BITS, np.linspace(0, 65535, TWELVE_BITS.size).reshape(TWELVE_BITS.shape)])
    tifffile.imwrite("in.tif", picture.astype(np.uint16), photometric="minisblack", extrasamples=["unassalpha"])
    run("in.tif", "-o", "out.webp")
    written = read_picture("out.webp")
    np.testing.assert_allclose(written[64:, :, 0], TWELVE_BITS[64:] / 4080 / 2 * 255, atol=0.6)
    np.testing.assert_allclose(written[..., 1], picture[..., 1] / 257, atol=0.51)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.rint((CAMERA * 1.3).clip(0, 1) * 65535), id="blown-out sky"),
        pytest.param(np.rint((CAMERA / CAMERA.max()) ** 3 * 65535), id="dark with few lights"),
        pytest.param(np.where(data.page()[:128, :128] < 80, 0, 65535), id="two levels"),
        pytest.param(65535 - data.page()[:128, :128].astype(int) ** 2, id="text"),
    ],
)
def test_what_is_saturated_beside_others_stays_in_the_range(picture):
    assert found_range(picture.astype(np.uint16)) is None


def test_samples_farther_beyond_0_and_1_than_noise_takes_them_are_said_to_be_clipped(run):
    picture = (CAMERA + noise(5)).astype(np.float32)
    picture[20, 30] = 4
    message = "go from .* to 4, farther beyond black 0 and white 1 in places than noise takes them, and"
    with pytest.warns(PictureWarning, match=message) as caught:
        assert denoise(picture, small_denoiser()).picture.max() == 1
    assert caught[0].filename == __file__
    tifffile.imwrite("in.tif", picture)
    (line,) = run("in.tif", "-o", "out.tif")
    assert line.startswith("spikeunet: warning: in.tif: its samples go from")
    assert "--range LOW:HIGH" in line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoise(picture, small_denoiser(), sample_range=(0, 1))
    assert run("in.tif", "-o", "out.tif", "--range", "0:4") == []


def test_a_reference_of_little_contrast_is_on_the_range_of_its_picture(run):
    noisy, clean = np.rint((CAMERA + noise(25)).clip(0, 1) * 255), np.rint(CAMERA * 60 + 90)
    write_picture("in.png", noisy.astype(np.uint8))
    write_picture("clean.png", clean.astype(np.uint8))
    assert run("in.png", "-o", "out.png", "--clean", "clean.png") == []
    write_picture("clean.png", clean.astype(np.uint16))
    (line,) = run("in.png", "-o", "out.png", "--clean", "clean.png")
    assert line.startswith("spikeunet: warning: clean.png: its samples go from")
    assert line.endswith("; if it is not, scale the reference first, or the comparison will be wrong")
