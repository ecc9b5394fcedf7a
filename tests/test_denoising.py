"""`denoise`: any size, type and number of channels; padding and cropping."""

from __future__ import annotations

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import Conv2d, Input, Network, Output
from spikeunet.engine.errors import InputError, PictureError, SpikeunetError
from spikeunet.engine.pictures.padding import crop, pad_to_multiple
from spikeunet.engine.tasks.denoising import denoise
from spikeunet.engine.tasks.inference import MAXIMUM_STEPS

SHAPES = [(1, 1), (1, 9), (5, 7), (4, 4), (16, 4), (1, 1, 3), (6, 5, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_the_picture_keeps_its_shape_and_type(shape, dtype):
    random = np.random.default_rng(0).random(shape)
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    picture = (random * white).astype(dtype)
    denoised = denoise(picture, small_denoiser())
    assert denoised.picture.dtype == dtype
    assert denoised.picture.shape == denoised.restored.shape == shape
    assert denoised.restored.dtype == np.float32
    expected = picture.astype(np.float64) / white / 2
    np.testing.assert_allclose(denoised.restored, expected, atol=1e-6)
    tolerance = 0.5001 if white > 1 else 1e-3
    np.testing.assert_allclose(denoised.picture.astype(np.float64), expected * white, atol=tolerance)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_kept(channels):
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, channels), dtype=np.uint8)
    denoised = denoise(picture, small_denoiser())
    np.testing.assert_array_equal(denoised.picture[..., -1], picture[..., -1])
    opaque = picture[..., 0] if channels == 2 else picture[..., :3]
    np.testing.assert_array_equal(denoised.picture[..., :-1].squeeze(), denoise(opaque, small_denoiser()).picture)


def test_a_gray_model_sees_each_colour_channel_by_itself():
    picture = np.random.default_rng(0).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    together = denoise(picture, small_denoiser())
    apart = [denoise(picture[..., channel], small_denoiser()) for channel in range(3)]
    np.testing.assert_array_equal(together.picture, np.dstack([each.picture for each in apart]))
    assert together.result.total_events == sum(each.result.total_events for each in apart) > 0
    assert together.result.total_accumulates == sum(each.result.total_accumulates for each in apart) > 0


def test_a_colour_model_sees_the_channels_together():
    picture = np.random.default_rng(0).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    denoised = denoise(picture, small_denoiser(3))
    assert np.abs(denoised.picture.astype(int) - picture / 2).max() <= 0.5
    assert denoised.result.output.shape == (1, 3, 12, 8)


def test_equal_channels_are_one_gray_picture_for_a_gray_model():
    gray = np.random.default_rng(0).integers(0, 256, (9, 6), dtype=np.uint8)
    alone, together = denoise(gray, small_denoiser()), denoise(np.dstack([gray] * 3), small_denoiser())
    np.testing.assert_array_equal(together.picture, np.dstack([alone.picture] * 3))
    assert together.restored.shape == together.noisy.shape == (9, 6, 3)
    assert together.result.total_events == alone.result.total_events > 0
    # A colour model that was named sees what it was made for.
    assert denoise(np.dstack([gray] * 3), small_denoiser(3)).result.output.shape == (1, 3, 12, 8)


def test_noise_beyond_the_scale_is_not_clipped_before_the_network():
    picture = np.array([[-0.5, 1.5]], np.float32)
    denoised = denoise(picture, small_denoiser())
    np.testing.assert_array_equal(denoised.restored, [[0, 0.75]])
    np.testing.assert_array_equal(denoised.noisy, picture)


def test_steps_are_those_asked_for_or_the_models_or_8():
    picture = np.zeros((4, 4), np.uint8)
    assert denoise(picture, small_denoiser(), steps=5).result.steps == 5
    assert denoise(picture, small_denoiser()).result.steps == 3
    plain = Network(
        [Input("input"), Conv2d("conv", "input", np.ones((1, 1, 1, 1), np.float32)), Output("output", "conv")]
    )
    assert denoise(picture, plain).result.steps == 8


def test_orders_and_threads_give_the_same_picture():
    picture = np.random.default_rng(0).integers(0, 256, (19, 23), dtype=np.uint8)
    first = denoise(picture, small_denoiser(), threads=1)
    for options in ({"order": "time"}, {"threads": 2}):
        other = denoise(picture, small_denoiser(), **options)
        np.testing.assert_array_equal(other.restored, first.restored)
        assert other.result.total_events == first.result.total_events


def test_the_input_array_is_left_alone():
    picture = np.full((5, 5), 0.5, np.float32)
    picture.setflags(write=False)
    denoise(picture, small_denoiser())
    assert (picture == 0.5).all()


def test_counts_per_pixel_and_energy():
    denoised = denoise(np.full((10, 10), 200, np.uint8), small_denoiser())
    result = denoised.result
    assert denoised.pixels == 100
    assert denoised.accumulates_per_pixel == result.total_accumulates / 100
    pooled = sum(int(result.accumulates[name].sum()) for name in result.accumulates if name not in result.dense_macs)
    multiplied = result.total_accumulates - pooled + result.total_macs
    assert denoised.joules() == pytest.approx(4.6e-12 * multiplied + 0.9e-12 * pooled)
    assert denoised.joules("45nm-8bit", "shift-adds") < denoised.joules("45nm-8bit") < denoised.joules()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 2), np.int64), r"uint8, uint16 or float \(got int64\)"),
        (np.zeros((2, 2), bool), r"uint8, uint16 or float \(got bool\)"),
        (np.zeros((2, 2, 5), np.uint8), r"none of them 0 \(got \(2, 2, 5\)\)"),
        (np.zeros((2, 0), np.uint8), r"none of them 0 \(got \(2, 0\)\)"),
        (np.zeros(4, np.uint8), r"none of them 0 \(got \(4,\)\)"),
        (np.full((2, 2), np.nan), r"4 of its 4 samples are NaN or infinite"),
        (np.full((2, 2), 128.0), r"must lie in \[-8, 9\] \(got 128 to 128\); scale the picture to \[0, 1\]"),
    ],
)
def test_arrays_that_are_no_picture(picture, message):
    with pytest.raises(PictureError, match=message):
        denoise(picture, small_denoiser())


@pytest.mark.parametrize("steps", [0, -1, MAXIMUM_STEPS + 1, 2.5, True, "8"])
def test_steps_out_of_range(steps):
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 to 1000 \(got"):
        denoise(np.zeros((4, 4), np.uint8), small_denoiser(), steps=steps)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small_denoiser(task="segment"), r"is for 'segment', not for denoising"),
        (small_denoiser(3), r"takes pictures of 3 channels and got a gray picture; choose a gray model"),
        (small_denoiser(steps=0), r"steps must be a whole number from 1 to 1000 \(got 0\)"),
        ("no-such-model", r"'no-such-model'"),
    ],
)
def test_models_that_do_not_fit(model, message):
    with pytest.raises(SpikeunetError, match=message):
        denoise(np.zeros((4, 4), np.uint8), model)


def test_a_model_that_changes_the_size_is_no_denoiser():
    weight = np.ones((2, 1, 3, 3), np.float32)
    shrinking = Network([Input("input"), Conv2d("conv", "input", weight, padding=1), Output("output", "conv")])
    with pytest.raises(InputError, match=r"puts out 2x1x1 for a picture of 1x1x1; a denoiser puts out what it takes"):
        denoise(np.zeros((4, 4), np.uint8), shrinking)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (16, 16), (17, 15), (33, 2)])
@pytest.mark.parametrize("multiple", [1, 2, 16])
def test_padding_and_cropping_undo_each_other(size, multiple):
    picture = np.random.default_rng(0).random((2, *size), np.float32)
    padded, origin = pad_to_multiple(picture, multiple)
    assert all(side % multiple == 0 and side - old < multiple for side, old in zip(padded.shape[1:], size, strict=True))
    np.testing.assert_array_equal(crop(padded, origin, size), picture)


def test_padding_reflects_without_repeating_the_border():
    padded, origin = pad_to_multiple(np.array([[[1, 2, 3]]], np.float32), 8)
    assert origin == (3, 2)
    np.testing.assert_array_equal(padded[0, 0], [3, 2, 1, 2, 3, 2, 1, 2])
    assert (padded == padded[0, 0]).all()
