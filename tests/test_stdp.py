"""STDP: competitions against a slow twin, convolutions, the front end, motion, files, training and its checkpoints."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_learner import bright_pictures

from spikeunet.engine import InputError, ModelFileError
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import method_named, train
from spikeunet.engine.learning.stdp import (
    StdpFilters,
    StdpRule,
    difference_of_gaussians,
    flow_grid,
    frame_differences,
    latencies,
    load_stdp_model,
    random_filters,
    save_stdp_model,
    still_pictures,
)
from spikeunet.engine.learning.stdp.filters import drawn_patches, pooled, readout
from spikeunet.engine.learning.stdp.model import read


def compete_slowly(patch, weights, thresholds, rule, rate, threshold_rate):
    """One patch, as the equations say; changes weights (J, I) and thresholds, says who won."""
    potential = [0.0] * len(weights)
    for time, source in sorted((time, source) for source, time in enumerate(patch) if math.isfinite(time)):
        potential = [v + w[source] for v, w in zip(potential, weights, strict=True)]
        beyond = [v - t for v, t in zip(potential, thresholds, strict=True)]
        winner = int(np.argmax(beyond))
        if beyond[winner] < 0:
            continue
        for index, arrival in enumerate(patch):
            before = min(arrival, rule.silent)
            if before <= time:
                change = rate * math.exp(-(time - before) / rule.window)
            else:
                change = -rate * math.exp(-(before - time) / rule.window)
            weights[winner][index] = min(max(weights[winner][index] + change, 0), 1)
        for neuron in range(len(thresholds)):
            thresholds[neuron] -= threshold_rate * (time - rule.wanted)
            others = -threshold_rate / (len(thresholds) - 1) if len(thresholds) > 1 else 0
            thresholds[neuron] = max(thresholds[neuron] + (threshold_rate if neuron == winner else others), rule.least)
        return winner
    return -1


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_competitions_are_those_of_the_slow_twin(seed, neurons):
    random = np.random.default_rng(seed)
    filters = random_filters(random, neurons, 2, 2, threshold=1.5)
    patches = np.where(random.random((6, 2, 2, 2)) < 0.7, random.random((6, 2, 2, 2)), np.inf)
    weights, thresholds = filters.weights.reshape(neurons, 8).tolist(), filters.thresholds.tolist()
    rule = StdpRule(window=0.3)
    expected = [compete_slowly(p.ravel().tolist(), weights, thresholds, rule, 0.1, 0.5) for p in patches]
    assert filters.learn(patches, rule, 0.1, 0.5).tolist() == expected
    np.testing.assert_allclose(filters.weights.reshape(neurons, 8), weights, atol=1e-12)
    np.testing.assert_allclose(filters.thresholds, thresholds, atol=1e-12)


def test_only_the_winner_learns_and_one_alone():
    filters = StdpFilters(np.array([[1.0, 0.2], [0.2, 1.0]]).reshape(2, 1, 1, 2), np.array([1.0, 1.0]))
    # Not square, which learning does not mind.
    winners = filters.learn(np.array([0.1, 0.5]).reshape(1, 1, 1, 2), StdpRule(window=1.0), 0.1, 0.0)
    assert winners.tolist() == [0]
    np.testing.assert_allclose(filters.weights[0, 0, 0], [1.0, 0.2 - 0.1 * np.exp(-0.4)])
    assert filters.weights[1, 0, 0].tolist() == [0.2, 1.0]


@pytest.mark.parametrize("inhibit", [False, True])
def test_convolutions_spike_when_sums_of_weights_reach_the_threshold(inhibit):
    random = np.random.default_rng(4)
    filters = random_filters(random, 3, 2, 2, threshold=2.0)
    times = np.where(random.random((3, 2, 5, 4)) < 0.8, random.random((3, 2, 5, 4)), np.inf)
    found, operations = filters.respond(times, inhibit)
    windows = np.lib.stride_tricks.sliding_window_view(times, (2, 2), axis=(2, 3))
    expected, counted = np.full(found.shape, np.inf), 0
    for place in np.ndindex(3, 4, 3):
        patch = windows[place[0], :, place[1], place[2]].ravel()
        sums = np.zeros(3)
        for source in np.argsort(patch):
            if not np.isfinite(patch[source]) or (inhibit and np.isfinite(expected[place]).any()):
                break
            sums += filters.weights.reshape(3, -1)[:, source]
            counted += 3
            new = (sums >= filters.thresholds) & np.isinf(expected[place])
            if inhibit and new.any():
                new = np.arange(3) == np.argmax(np.where(new, sums - filters.thresholds, -np.inf))
            expected[place][new] = patch[source]
    np.testing.assert_array_equal(found, expected)
    assert operations == counted
    assert 0 < np.isfinite(found).mean() < 1


def test_contrast_is_split_into_on_and_off():
    picture = np.zeros((1, 1, 15, 15))
    picture[0, 0, 7, 7] = 1
    found = difference_of_gaussians(picture)[0]
    assert found.shape == (2, 15, 15)
    assert found[0].argmax() == 7 * 15 + 7
    assert found[1, 7, 7] == 0
    assert (found[0] * found[1] == 0).all()
    np.testing.assert_allclose(difference_of_gaussians(1 - picture)[0][::-1], found, atol=1e-9)
    assert not difference_of_gaussians(np.full((1, 1, 9, 9), 0.3)).any()
    with pytest.raises(InputError, match="wider"):
        difference_of_gaussians(picture, 4, 1)


def test_bright_spikes_early_and_black_never():
    assert latencies(np.array([0.0, 0.25, 1.0])).tolist() == [np.inf, 0.75, 0.0]
    assert latencies(np.array([0.05, 0.06]), 0.05).tolist() == [np.inf, 0.94]


def moving_square(down, right):
    clip = np.zeros((1, 4, 16, 16))
    for frame in range(4):
        clip[0, frame, 5 + down * frame :, 5 + right * frame :][:5, :5] = 1
    return clip


def test_frame_differences_show_which_way_it_goes():
    clip = moving_square(0, 1)
    split = frame_differences(clip)
    assert split.shape == (1, 3, 2, 16, 16)
    assert split[0, 0, 0].nonzero()[1].tolist() == [10] * 5
    assert split[0, 0, 1].nonzero()[1].tolist() == [5] * 5
    np.testing.assert_array_equal(frame_differences(clip, "absolute")[:, :, 0], split.sum(axis=2))
    np.testing.assert_array_equal(frame_differences(clip, "signed")[:, :, 0] * 2 - 1, split[:, :, 0] - split[:, :, 1])
    assert still_pictures(clip, "split", "early").shape == (1, 1, 2, 16, 16)
    assert still_pictures(clip, "raw", "late").shape == (1, 4, 1, 16, 16)
    with pytest.raises(InputError, match="motion must be"):
        still_pictures(clip, "sideways")
    with pytest.raises(InputError, match="two frames"):
        still_pictures(clip[:, :1])


@pytest.mark.parametrize(("down", "right", "channel"), [(0, 1, 0), (0, -1, 1), (1, 0, 2), (-1, 0, 3)])
def test_the_flow_grid_has_a_channel_for_each_direction(down, right, channel):
    # What is smooth has a gradient wherever it moves.
    rows, columns = np.mgrid[:24, :24]
    frames = [np.exp(-((rows - 12 - down * t) ** 2 + (columns - 12 - right * t) ** 2) / 18) for t in range(2)]
    grid = flow_grid(np.array(frames)[None], 4)
    assert grid.shape == (1, 1, 4, 6, 6)
    assert grid[0, 0, :, 2:4, 2:4].sum(axis=(1, 2)).argmax() == channel


def test_filters_behind_the_flow_grid_tell_directions_where_thresholds_do_not_wait():
    """Flow has one speed, so inputs spike at once; waiting for a later time silences all neurons."""
    pytest.importorskip("sklearn")
    random, directions = np.random.default_rng(1), np.arange(24) % 4
    rows, columns = np.mgrid[:16, :16]
    clips = np.zeros((24, 2, 16, 16))
    for clip, direction in zip(clips, directions, strict=True):
        y, x = random.uniform(6, 9, 2)
        for frame in range(2):
            down, right = frame * np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[direction]
            clip[frame] = np.exp(-((rows - y - down) ** 2 + (columns - x - right) ** 2) / 12)
    times = latencies(still_pictures(clips, "flow", "early", 4)[:, 0], 0.05)
    spiking = {}
    for wanted in (0.0, 0.7):
        filters = random_filters(np.random.default_rng(0), 8, 4, 3, 2.0)
        for _ in range(12):
            patches = drawn_patches(times[:16], 3, 4, random)
            patches = patches[np.isfinite(patches).any(axis=(1, 2, 3))]
            winners = filters.learn(patches, StdpRule(window=1.0, wanted=wanted), 0.1, 0.1)
        spiking[wanted] = (winners >= 0).mean()
        if not wanted:
            features = pooled(filters.respond(times)[0], 1)
    assert spiking[0.0] == 1
    assert spiking[0.7] < 0.5
    scores = read(readout(features[:16], directions[:16], 4, 0), features[16:])
    assert (scores.argmax(axis=1) == directions[16:]).all()


def test_patches_lie_in_their_pictures_and_pooling_adds_up_cells():
    random = np.random.default_rng(0)
    times = random.random((2, 3, 6, 5))
    patches = drawn_patches(times, 3, 4, random)
    windows = np.lib.stride_tricks.sliding_window_view(times, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    for index, patch in enumerate(patches):
        assert (windows[index // 4] == patch).all(axis=(2, 3, 4)).any()
    found = np.full((1, 5, 5, 2), np.inf)
    found[0, 0, 0, 1], found[0, 4, 4, 0] = 0.25, 1.0
    values = pooled(found, 2).reshape(2, 2, 2)
    assert values[0, 0].tolist() == [0, 0.75 + 1 / 64]
    assert values[1, 1].tolist() == [1 / 64, 0]


def trainer(**settings):
    method = method_named("stdp")
    small = {
        "filters": 4,
        "side": 3,
        "cells": 2,
        "threshold": 3.0,
        "batch": 8,
        "epochs": 2,
        "front": "plain",
        "threshold_rate": 0.05,
    }
    return method.trainer(bright_pictures(32), method.settings(**{**small, **settings}), 1)


def test_filters_learn_without_labels_and_resume_exactly(tmp_path):
    pytest.importorskip("sklearn")
    whole, begun, resumed = trainer(), trainer(), trainer()
    course = train(whole, bright_pictures(20, 1))
    assert course[-1]["validation_accuracy"] >= 0.9
    assert course[-1]["undecided"] < course[0]["undecided"]
    begun.step()
    begun.checkpoint(tmp_path / "run.npz")
    resumed.resume(tmp_path / "run.npz")
    train(resumed)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(array, resumed.parameters[name])
    labels = bright_pictures(32).labels[::-1].copy()
    other = trainer()
    object.__setattr__(other.pictures, "labels", labels)
    train(other)
    np.testing.assert_array_equal(other.parameters["filters"], whole.parameters["filters"])


def test_files_keep_models(tmp_path):
    pytest.importorskip("sklearn")
    one = trainer()
    one.step()
    one.save(tmp_path / "stdp.npz")
    model, again = one.model(), load_stdp_model(tmp_path / "stdp.npz")
    pictures = one.pictures.pictures
    np.testing.assert_array_equal(again.scores(pictures), model.scores(pictures))
    assert (again.scores(pictures).argmax(1) == one.pictures.labels).mean() > 0.9
    model.readout.pop("bias")
    save_stdp_model(model, tmp_path / "damaged.npz")
    with pytest.raises(ModelFileError, match=r"is damaged .*bias missing"):
        load_stdp_model(tmp_path / "damaged.npz")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(ModelFileError, match="holds no filters"):
        load_stdp_model(tmp_path / "other.npz")


def test_filters_larger_than_pictures_are_refused():
    with pytest.raises(InputError, match="must fit pictures of 4x4"):
        trainer(side=5)


def test_neurons_that_nothing_makes_spike_are_refused():
    with pytest.raises(InputError, match="no neuron spiked in 64 patches at iteration 1"):
        trainer(threshold=30.0).step()


def test_the_command_trains(tmp_path):
    pytest.importorskip("sklearn")
    out = tmp_path / "digits.npz"
    options = ["--pictures", "64", "--epochs", "1", "--filters", "8", "--side", "3", "--cells", "2", "--threshold", "4"]
    main(["train", "stdp", "--data", "digits", *options, "-o", str(out)], standalone_mode=False)
    assert load_stdp_model(out).facts["task"] == "classify"


def test_optical_flow_names_the_extra_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.registration", None)
    with pytest.raises(InputError, match=r"optical flow needs scikit-image.*spikeunet\[flow\]"):
        still_pictures(np.zeros((1, 2, 8, 8)), "flow")
