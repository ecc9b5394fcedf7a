"""The foveal pit's cells: kernels, the pursuit against one with whole kernels, and pictures out of coefficients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeunet.engine import Foveal, InputError
from spikeunet.engine.encoders.foveal import places
from spikeunet.engine.encoders.ganglion_cells import CELLS, norms, responses, spread_out

GRIDS = (Foveal(), Foveal(8, 2, 3, 5, 7), Foveal(8, 0, 1, 0, 4))


@pytest.fixture
def picture():
    return np.random.default_rng(3).random((2, 9, 12))


def whole_kernels(shape, encoder):
    """(n, C * H * W) unit kernels, cut at the edge, and (kind, site) of each."""
    channels, height, width = shape
    kernels, cells = [], []
    for kind, (name, cell) in enumerate(CELLS.items()):
        half, distance = cell.size // 2, getattr(encoder, name)
        for channel, y, x in np.ndindex(shape):
            if distance and y in places(height, distance) and x in places(width, distance):
                padded = np.zeros((channels, height + 2 * half, width + 2 * half))
                padded[channel, y : y + cell.size, x : x + cell.size] = cell.kernel()
                cut = padded[:, half : half + height, half : half + width].ravel()
                kernels.append(cut / np.linalg.norm(cut))
                cells.append((kind, (channel * height + y) * width + x))
    return np.array(kernels), cells


def pursuit(picture, encoder):
    """(kind, site, coefficient) in the order of the ranks."""
    kernels, cells = whole_kernels(picture.shape, encoder)
    left = kernels @ (picture - picture.mean(axis=(1, 2), keepdims=True)).ravel()
    found = []
    while left.max() > 1e-9:
        chosen = int(left.argmax())
        found.append((*cells[chosen], left[chosen]))
        left -= left[chosen] * (kernels @ kernels[chosen])
        left[[cells.index(each[:2]) for each in found]] = -np.inf
    return found


@pytest.mark.parametrize("name", CELLS)
def test_a_kernel_is_centred_has_the_sum_0_and_the_norm_1(name):
    cell = CELLS[name]
    kernel = cell.kernel()
    assert kernel.shape == (cell.size, cell.size)
    assert abs(kernel.sum()) < 1e-12
    assert np.linalg.norm(kernel) == pytest.approx(1, abs=1e-12)
    for turned in (kernel[::-1], kernel[:, ::-1], kernel.T):
        np.testing.assert_array_equal(turned, kernel)
    middle = (cell.size // 2, cell.size // 2)
    assert np.unravel_index((cell.sign * kernel).argmax(), kernel.shape) == middle
    # The definition with its gains, 10 for both Gaussians, each taken times the other's sum.
    y, x = np.mgrid[-middle[0] : middle[0] + 1, -middle[1] : middle[1] + 1]
    centre, surround = (
        10 / (2 * np.pi * s**2) * np.exp(-(x**2 + y**2) / (2 * s**2))
        for s in (cell.deviation, cell.deviation * cell.ratio)
    )
    expected = cell.sign * (surround.sum() * centre - centre.sum() * surround)
    np.testing.assert_allclose(kernel, expected / np.linalg.norm(expected), atol=1e-12)


@pytest.mark.parametrize("encoder", GRIDS)
def test_ranks_are_those_of_a_pursuit_with_whole_kernels(encoder, picture):
    found, expected = encoder.ranked(picture), pursuit(picture, encoder)
    assert list(zip(found.cells.tolist(), found.sites.tolist(), strict=True)) == [each[:2] for each in expected]
    np.testing.assert_allclose(found.values, [value for *_, value in expected], atol=1e-12)


@pytest.mark.parametrize("encoder", GRIDS)
def test_every_coefficient_brings_the_picture_nearer(encoder, picture):
    """By its square, as of unit kernels."""
    found = encoder.ranked(picture)
    errors = np.array([((found.picture(first) - picture) ** 2).sum() for first in range(len(found) + 1)])
    assert errors[0] == pytest.approx(picture[0].size * picture.var(axis=(1, 2)).sum())
    np.testing.assert_allclose(-np.diff(errors), found.values**2, atol=1e-12)


def test_a_share_is_the_first_ranks(picture):
    every = Foveal().ranked(picture)
    some = dataclasses.replace(Foveal(), share=0.1).ranked(picture)
    cells = 2 * sum(len(places(9, distance)) * len(places(12, distance)) for distance in (1, 1, 4, 5))
    assert len(some) == np.ceil(np.float32(0.1) * cells)
    np.testing.assert_array_equal(some.values, every.values[: len(some)])
    assert (Foveal(share=0.1).times(picture.astype(np.float32)) >= 0).sum() <= len(some)


def test_times_follow_the_first_cell_of_each_place(picture):
    shown = picture.astype(np.float32)
    encoder = Foveal(4)
    sites = list(dict.fromkeys(encoder.ranked(shown).sites.tolist()))
    times = np.full(shown.size, -1)
    for rank, site in enumerate(sites):
        times[site] = rank * 4 // len(sites)
    np.testing.assert_array_equal(encoder.times(shown).ravel(), times)
    seen = encoder.seen_by_network("input", shown)
    assert seen.ravel()[sites[0]] == seen.max() == 1
    np.testing.assert_array_equal(seen > 0, encoder.times(shown) >= 0)


def test_brightness_and_contrast_change_nothing(picture):
    first, other = Foveal().ranked(picture), Foveal().ranked(64 * picture + 3)
    np.testing.assert_array_equal(first.sites, other.sites)
    np.testing.assert_allclose(64 * first.values, other.values)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (300, 2), (3, 4, 4)])
def test_flat_pictures_of_any_size_say_nothing(shape):
    found = Foveal().ranked(np.full(shape, 0.3))
    assert len(found) == 0
    np.testing.assert_allclose(found.picture(), np.full(found.shape, 0.3))
    assert (Foveal().times(np.full(found.shape, 0.3, np.float32)) < 0).all()
    assert not Foveal().seen_by_network("input", np.zeros(found.shape, np.float32)).any()


def test_filters_are_unit_kernels_at_every_pixel(picture):
    cells = [CELLS["off_midget"], CELLS["on_parasol"]]
    kernels, _ = whole_kernels((1, 9, 12), Foveal(8, 1, 0, 0, 1))
    channel = picture[0] - picture[0].mean()
    expected = (kernels @ channel.ravel()).reshape(2, 9, 12)
    np.testing.assert_allclose([responses(cell, channel) for cell in cells], expected, atol=1e-12)
    np.testing.assert_allclose(Foveal(8, 1, 0, 0, 1).filtered(picture)[0], expected.max(axis=0), atol=1e-12)
    np.testing.assert_allclose(spread_out(cells[1], channel).ravel(), channel.ravel() @ kernels[108:], atol=1e-12)
    assert norms(cells[0], 9, 12)[4, 5] == pytest.approx(
        np.linalg.norm(np.subtract(*(np.outer(profile, profile) for profile in cells[0].profiles)))
    )


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((1, 1, 2, 2)), r"must be \(C, H, W\), or \(H, W\) gray \(got shape \(1, 1, 2, 2\)\)"),
        (np.zeros((0, 3)), "got shape"),
        ([[None]], "must be an array of real numbers"),
        ([[np.nan, 1.0]], "finite"),
    ],
)
def test_pictures_that_are_refused(picture, message):
    with pytest.raises(InputError, match=message):
        Foveal().ranked(picture)


@pytest.mark.parametrize("first", [-1, 10**6, 1.5, True])
def test_counts_that_are_refused(first, picture):
    with pytest.raises(InputError, match="first must be a whole number from 0 to"):
        Foveal().ranked(picture).picture(first)
