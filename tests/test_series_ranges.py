"""Series of which not all pages are alike: the range and the plan that all of them get, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from halving_command import halving_command
from refusals import refusal
from skimage import data
from small_denoiser import small_denoiser

from spikeunet.engine import read_frames, save_model, write_frames
from spikeunet.engine.command_line.range_choice import _looked_at

RANDOM = np.random.default_rng(0)
CAMERA = data.camera()[60:156, 130:226] * 12.0 + 100
PAGES = [(CAMERA + RANDOM.normal(0, 180, CAMERA.shape)).clip(0).astype(np.uint16) for _ in range(2)]
BLANK = np.full(CAMERA.shape, 100, np.uint16)
DARK = RANDOM.normal(100, 3, CAMERA.shape).astype(np.uint16)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command with half of each sample for a result; returns the fields and the lines on stderr."""
    command = halving_command(tmp_path, monkeypatch, capsys)

    def invoke(*arguments, **options):
        printed = command(*arguments, **options)
        return dict(line.split(maxsplit=1) for line in printed.out.splitlines()), printed.err.splitlines()

    return invoke


def write(*pages, **options):
    tifffile.imwrite("in.tif", np.stack(pages), photometric="minisblack", **options)


def ends(fields):
    """Black and white as they are printed."""
    words = fields["range"].replace(",", "").split()
    return float(words[1]), float(words[3])


@pytest.mark.parametrize("first", [pytest.param(BLANK, id="blank"), pytest.param(DARK, id="dark")])
def test_a_blank_or_dark_first_page_decides_no_range(run, first):
    write(first, *PAGES)
    fields, lines = run("in.tif", "-o", "out.tif")
    low, high = ends(fields)
    assert fields["range"].endswith("(as found on pages 0, 1 and 2)")
    assert (low < 200, 2800 < high < 4000) == (True, True)
    told = f"black is taken for {low:g} and white for {high:g}, between which nearly all lie on pages 0, 1 and 2, and"
    assert told in lines[-1]
    assert ["page 0 goes from" in line and "next to nothing" in line for line in lines[:-1]] == [True] * (first is DARK)
    for page, restored in zip((first, *PAGES), read_frames("out.tif"), strict=True):
        np.testing.assert_allclose(restored, low + (page - low) / 2, atol=1)


@pytest.mark.parametrize("first", [pytest.param([BLANK] * 3, id="blank"), pytest.param([DARK], id="dark")])
def test_the_plan_is_that_of_the_first_page_that_is_not_nearly_even(run, first):
    write(*first, *PAGES)
    _, lines = run("in.tif", "-o", "out.tif", model="auto")
    page = len(first)
    assert f"spikeunet: in.tif: page {page}, the first that is not nearly even: white noise, sigma 1" in lines[-1]
    restored = list(read_frames("out.tif"))
    for clean, noisy, better in zip([CAMERA] * 2, PAGES, restored[page:], strict=True):
        assert np.abs(better - clean).mean() < 0.7 * np.abs(noisy - clean).mean()


def test_pages_of_8_bits_have_the_plan_of_the_first_that_is_not_nearly_even(run):
    pytest.importorskip("av")
    pages = [(page / 16).astype(np.uint8) for page in (BLANK, BLANK, *PAGES)]
    with write_frames("in.avi") as writer:
        for page in pages:
            writer.write(page)
    _, lines = run("in.avi", "-o", "out.avi", model="auto")
    assert any("page 2, the first that is not nearly even: white noise" in line for line in lines)
    write(*[BLANK.astype(np.uint8)] * 2)
    _, lines = run("in.tif", "-o", "out.tif", model="auto")
    assert not any("nearly even" in line for line in lines)


def test_channels_of_different_ranges_are_warned_of_once(run):
    dim = (100 + data.cell()[100:196, 100:196] / 4 + RANDOM.normal(0, 8, CAMERA.shape)).astype(np.uint16)
    tifffile.imwrite("in.tif", np.stack([dim, PAGES[0]] * 3)[None], imagej=True, metadata={"axes": "TZYX"})
    fields, lines = run("in.tif", "-o", "out.tif")
    assert ends(fields)[1] > 2800
    (line,) = [line for line in lines if "next to nothing of the range" in line]
    assert "denoise pages of different ranges, such as those of other channels, by themselves, with --page N" in line
    assert len(lines) == 2
    fields, lines = run("in.tif", "-o", "out.tif", "--page", 2)
    assert ends(fields)[1] < 300
    assert len(lines) == 1


def test_a_page_far_outside_the_range_found_is_warned_of_once(run):
    pages = [PAGES[0]] * 20
    pages[7] = pages[8] = PAGES[0] * 4
    assert not {7, 8} & set(_looked_at(len(pages)))
    write(*pages)
    _, lines = run("in.tif", "-o", "out.tif")
    assert len(lines) == 2
    assert lines[1].startswith("spikeunet: warning: in.tif: page 7: its samples go from ")
    assert "far outside the range from black" in lines[1]


def test_a_range_that_is_named_is_asked_for_nothing(run):
    write(DARK, *PAGES)
    fields, lines = run("in.tif", "-o", "out.tif", "--range", "0:4095")
    assert (ends(fields), lines) == ((0, 4095), [])


def test_float_pages_are_looked_at_as_well(run):
    write(*[(page / 1500 - 1).astype(np.float32) for page in (BLANK, *PAGES)])
    fields, lines = run("in.tif", "-o", "out.tif")
    low, high = ends(fields)
    assert (low < -0.8, high > 1, len(lines)) == (True, True, 1)


def test_a_damaged_page_that_is_looked_at_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "gray.npz")
    write(*PAGES, PAGES[0], compression="zlib")
    with tifffile.TiffFile("in.tif") as tiff:
        start = tiff.pages[2].dataoffsets[0]
    with open("in.tif", "r+b") as file:
        file.seek(start)
        file.write(bytes(200))
    assert refusal(capsys, "denoise", "in.tif", "-o", "out.tif").startswith("in.tif: page 2: ")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 100, 101])
def test_the_pages_looked_at_are_eight_at_most_and_neighbours_too(count):
    numbers = _looked_at(count)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(count, 8) or count == 9
    assert {0, count - 1, min(1, count - 1), max(count - 2, 0)} <= set(numbers) <= set(range(count))
