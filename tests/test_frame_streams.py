"""Denoise and segment one frame after the other: the same as frame by frame, by increments or until it is stable."""

from __future__ import annotations

import numpy as np
import pytest
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter
from still_camera import network

from spikeunet.engine import (
    DenoiseStream,
    InputError,
    PictureWarning,
    SegmentStream,
    Stream,
    denoise,
    segment,
    simulate,
)
from spikeunet.engine.testing.comparison import assert_same_array, assert_same_operations

RANDOM = np.random.default_rng(0)
STILL = RANDOM.integers(0, 256, (11, 19), dtype=np.uint8)
COLOURS = RANDOM.integers(0, 256, (11, 19, 3), dtype=np.uint8)
DENOISER = network(channels=3, task="denoise", steps=1)
SEGMENTER = network(outputs=3, task="segment", steps=1)


def moving(still=STILL):
    """Frames of an odd size, which are padded: one pixel moves, then nothing, then all of it changes, and stays."""
    frames = [still.copy() for _ in range(3)]
    frames[0][5, 7], frames[1][5, 8] = 255, 255
    frames[2][5, 8] = 255
    return [*frames, still[::-1], still[::-1], still[::-1]]


def check(stream, frames, alone):
    """Frame by frame what `alone` makes of them; returns what of each was done."""
    shares = []
    for frame in frames:
        before, found, expected = stream.savings, stream.push(frame), alone(frame)
        for name in ("picture", "restored", "labels", "scores"):
            if hasattr(expected, name):
                assert_same_array(getattr(found, name), getattr(expected, name), name)
        assert_same_operations(found.result.operations, expected.result.operations)
        done, full = stream.savings.done - before.done, stream.savings.full - before.full
        assert full == found.result.total_accumulates + found.result.total_macs
        shares.append(done / full)
    return shares


def test_a_clip_is_denoised_by_increments_as_frame_by_frame():
    stream = DenoiseStream(DENOISER, threads=1, exact_increments=True)
    assert stream.savings.text == "no picture has been run"
    shares = check(stream, moving(COLOURS), lambda frame: denoise(frame, DENOISER, threads=1))
    assert shares[0] == shares[3] == 1
    # What is kept is of a picture long ago: most has changed since, and what has not need not be done anew.
    assert 0.5 < shares[4] <= 1
    assert 0 < shares[1] < 1
    assert shares[2] == shares[5] == 0
    savings = stream.savings
    assert savings.in_full == {
        "at the start of a scene": 2,
        "with more than a quarter changed": 1,
    }
    assert savings.text.startswith(f"{savings.share:.1%} of the accumulates done; 3 of 6 pictures in full: 2 at the")
    assert all(each.done == 0 for each in stream.increments[0].values())


@pytest.mark.slow
def test_a_gray_model_sees_each_colour_by_itself_and_three_equal_ones_as_one():
    gray = network(outputs=1, task="denoise", steps=1)
    frames = [*moving(COLOURS)[:3], np.repeat(STILL[..., None], 3, axis=2), COLOURS]
    stream = DenoiseStream(gray, threads=1, exact_increments=True)
    shares = check(stream, frames, lambda frame: denoise(frame, gray, threads=1))
    assert len(stream.increments) == 3
    assert shares[1] < 1
    assert stream.savings.pictures == 3 * 4 + 1


def test_a_clip_is_segmented_by_increments_as_frame_by_frame():
    stream = SegmentStream(SEGMENTER, threads=1, exact_increments=True)
    assert not stream.whole_frame
    shares = check(stream, moving()[:3], lambda frame: segment(frame, SEGMENTER, threads=1))
    assert 0 < shares[1] < 1
    assert shares[2] == 0


def test_preprocessing_that_looks_at_the_whole_frame_changes_all_of_it():
    steps = [{"name": "rescale_intensity"}]
    model = network(outputs=3, task="segment", steps=1, preprocessing=steps)
    stream = SegmentStream(model, threads=1, exact_increments=True)
    assert stream.whole_frame
    frame = np.clip(STILL, 10, 200)
    bright = frame.copy()
    bright[3, 3] = 255  # the brightest sample becomes white, and all others darker
    check(stream, [frame, bright], lambda each: segment(each, model, threads=1))
    assert stream.savings.in_full["with more than a quarter changed"] == 1


def test_a_found_range_and_a_plan_are_those_of_the_first_frame():
    dark = (STILL.astype(np.uint16) * 3)[..., None]
    stream = DenoiseStream(small_denoiser(), steps=1, threads=1)
    with pytest.warns(PictureWarning, match="nearly all lie"):
        first = stream.push(dark)
    second = stream.push(dark // 2)  # no warning: nothing is looked for
    np.testing.assert_allclose(second.noisy, first.noisy / 2, atol=1 / 747)
    auto = DenoiseStream("auto", threads=1)
    flat = np.full((64, 64), 100, np.uint8)
    assert auto.push(flat).plan is auto.push(flat).plan


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_each_frame_until_it_is_stable(tolerance):
    model = small_denoiser()
    padded = np.pad(STILL, ((0, 1), (0, 1)), mode="reflect")[None] / np.float32(255)
    expected = Stream(model, threads=1).run_until_stable(padded, tolerance, 2, 20)
    found = DenoiseStream(model, 20, threads=1, tolerance=tolerance, patience=2).push(STILL)
    assert found.result.steps == expected.steps == expected.state.steps
    whole = simulate(model, padded, found.result.steps, "time", threads=1)
    for name, node in whole.operations.synapses.items():
        other = found.result.operations.synapses[name]
        np.testing.assert_array_equal(other.synops, node.synops)
        assert (other.dense_synops, other.dense_macs) == (node.dense_synops, node.dense_macs)
        assert other.macs == node.macs * whole.steps  # computed every step
    for name, layer in whole.operations.neurons.items():
        np.testing.assert_array_equal(found.result.operations.neurons[name].spikes, layer.spikes)
    if not tolerance:
        assert_same_array(found.picture, denoise(STILL, model, found.result.steps, 1, "time").picture, "picture")


def test_segment_until_few_labels_change():
    model = small_segmenter(3)
    found = SegmentStream(model, threads=1, tolerance=1.0).push(STILL)
    assert found.result.steps == 2
    assert_same_array(found.labels, segment(STILL, model, 2, 1, "time").labels, "labels")
    assert SegmentStream(model, threads=1, tolerance=0.0, patience=50).push(STILL).result.steps == 8


def test_what_is_refused():
    stream = DenoiseStream(DENOISER, threads=1, exact_increments=True)
    stream.push(COLOURS)
    for other in (COLOURS[:8], COLOURS.astype(np.uint16)):
        with pytest.raises(InputError, match=r"frames must have the shape and type of the first one, \(11, 19, 3\) ui"):
            stream.push(other)
    stream.reset()
    assert stream.savings.pictures == 0
    stream.push(COLOURS[:8])
    with pytest.raises(InputError, match="take one step a picture, and there are 2; ask for steps 1"):
        SegmentStream(SEGMENTER, 2, exact_increments=True).push(STILL)
    with pytest.raises(InputError, match="'conv2' is none of a convolution"):
        DenoiseStream(small_denoiser(), 1, exact_increments=True).push(STILL)
    for options, message in (
        ({"exact_increments": 1}, "True or False"),
        ({"exact_increments": True, "tolerance": 0.1}, r"tolerance \(0.1\) several"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"tolerance": 0.1, "patience": 0}, "patience must be"),
        ({"model": "auto", "tolerance": 0.1}, "a model that is named"),
        ({"model": "segment-street"}, "not for denoising"),
        ({"strength": 2}, "strength"),
        ({"steps": 0}, "steps"),
    ):
        with pytest.raises(InputError, match=message):
            DenoiseStream(**{"model": DENOISER, **options})
