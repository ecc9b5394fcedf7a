"""What a terminal shows: tables, and messages beside a progress bar."""

from __future__ import annotations

import io
import re

import pytest

from spikeunet.engine.command_line.console import print_rows, progress
from spikeunet.engine.command_line.guard import remark
from spikeunet.engine.quantity import quantity

HEADER = ("picture", "size", "steps", "events", "density", "operations", "per pixel", "45nm MAC J", "seconds")
NUMBERS = ("512x512x1", "1", "22040669", "0.2636", "7633477475", "29119", "0.00722", "1.83")


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes a named stream a terminal of so many columns."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def make(stream, columns):
        # With a buffer, as the streams of a process have.
        written = io.BytesIO()
        text = io.TextIOWrapper(written, "utf-8", write_through=True)
        text.isatty = lambda: True
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(f"sys.{stream}", text)
        return written

    return make


def lines(written):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue().decode()).split("\n")


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
def test_no_number_of_a_table_is_folded(terminal, columns):
    written = terminal("stdout", columns)
    print_rows(HEADER, [("a rather long name of a picture.png", *NUMBERS)])
    assert any(all(number in line.split() for number in NUMBERS) for line in lines(written))


def test_a_table_that_fits_is_left_as_it_is(terminal):
    written = terminal("stdout", 200)
    print_rows(HEADER, [("a.png", *NUMBERS)])
    assert [re.split(" {2,}", line.strip()) for line in lines(written)[:2]] == [list(HEADER), ["a.png", *NUMBERS]]


def test_a_message_has_a_line_of_its_own_beside_a_progress_bar(terminal):
    written = terminal("stderr", 80)
    for _ in progress([1, 2], "Denoising"):
        remark("spikeunet: error: b.png: no picture")
    shown = [line.split("\r")[-1] for line in lines(written)]
    assert shown.count("spikeunet: error: b.png: no picture") == 2


def test_a_bar_within_another_one(terminal):
    written = terminal("stderr", 80)
    assert [(a, b) for a in progress([1, 2], "Denoising") for b in progress([3], "stack.tif")] == [(1, 3), (2, 3)]
    assert list(progress(iter("ab"), "clip.mp4", None)) == ["a", "b"]
    shown = " ".join(lines(written))
    assert all(name in shown for name in ("Denoising", "stack.tif", "clip.mp4"))


def test_nobody_reads_stderr(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    remark("spikeunet: error: b.png: no picture")


def test_quantities_have_three_digits_and_a_prefix():
    values = {0: "0 J", 13.52e9: "13.5 GJ", 1.25: "1.25 J", 7.28e-7: "728 nJ", 9e-12: "9e-12 J"}
    assert {value: quantity(value, "J") for value in values} == values
