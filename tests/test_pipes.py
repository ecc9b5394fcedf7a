"""Pictures through pipes, the format of the pictures of a folder, and the files of a folder that are left out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from refusals import fill_folder
from small_segmenter import small_segmenter

from spikeunet.engine import denoise, read_picture, save_model, segment
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.labels import read_labels


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill_folder()


@pytest.fixture
def run(monkeypatch, capfdbinary):
    """Run the command with a content of stdin; returns its status and what it wrote to stdout and stderr."""

    def invoke(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            main([*map(str, arguments)])
        printed = capfdbinary.readouterr()
        return stop.value.code, printed.out, printed.err.decode()

    return invoke


GRAY = ("--model", "gray.npz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout_is_not_the_fault_of_the_picture_that_was_read():
    command = [sys.executable, "-m", "spikeunet", "denoise", "good.png", "-o", "-", *GRAY]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "spikeunet: error: good.png: stdout: No space left on device\n"


@pytest.mark.parametrize("name", ["png", "TIF", "jpg", "pgm"])
def test_a_picture_through_a_pipe(run, name):
    status, written, told = run("denoise", "-", "-o", "-", "--format", name, *GRAY, stdin=Path("good.png").read_bytes())
    assert (status, told.splitlines()[:2]) == (0, ["input              -", "output             -"])
    run("denoise", "good.png", "-o", f"out.{name.lower()}", *GRAY)
    assert written == Path(f"out.{name.lower()}").read_bytes()


def test_stdin_to_a_file_and_a_file_to_stdout(run):
    status, told, errors = run("denoise", "-", "-o", "out.png", *GRAY, stdin=Path("good.png").read_bytes())
    assert (status, errors) == (0, "")
    assert told.startswith(b"input              -\noutput             out.png\n")
    expected = denoise(read_picture("good.png"), "gray.npz").picture
    np.testing.assert_array_equal(read_picture("out.png"), expected)
    options = ("--report", "report.json", "--clean", "other.png")
    _, written, told = run("denoise", "good.png", "-o", "-", *options, *GRAY)
    assert written == Path("out.png").read_bytes()
    assert "PSNR" in told
    entry = json.loads(Path("report.json").read_text())["pictures"][0]
    assert (entry["input"], entry["output"]) == ("good.png", "-")


def test_a_file_may_be_called_like_a_pipe(run):
    Path("good.png").rename("-")
    assert run("denoise", "./-", "-o", "out.png", *GRAY)[0] == 0
    assert read_picture("out.png").shape == (12, 16)


def test_labels_through_a_pipe(run):
    save_model(small_segmenter(3), "three.npz")
    content = Path("good.png").read_bytes()
    status, written, told = run(
        "segment", "-", "-o", "-", "--overlay", "seen.png", "--model", "three.npz", stdin=content
    )
    assert (status, told.count("classes")) == (0, 1)
    labels = segment(read_picture("good.png"), "three.npz").labels
    Path("labels.png").write_bytes(written)
    np.testing.assert_array_equal(read_labels("labels.png"), labels)
    assert read_picture("seen.png").shape == (12, 16, 3)


REFUSED = {
    "no picture": (("-", "-o", "out.png"), b"no picture", "-: not a PNG, JPEG"),
    "nothing": (("-", "-o", "out.png"), b"", "-: the file is empty"),
    "another input": (("-", "good.png", "-o", "out"), b"", "- is the picture from stdin and must be the only input"),
    "a folder for it": (("-", "-o", "empty"), b"", "empty: a picture from stdin has no name to get in a folder"),
    "references": (("-", "-o", "out.png", "--clean", "folder"), b"", "no name to find its reference by"),
    "a folder to it": (("folder", "-o", "-"), b"", "- is stdout, which takes one picture; name a folder"),
    "two for stdout": (("good.png", "-o", "-", "--report", "-"), b"", "cannot both go to stdout; name a file"),
    "alpha": (("alpha.png", "-o", "-", "--format", "jpg"), b"", "stdout.jpg: .jpg cannot hold transparency"),
    "format": (("good.png", "-o", "-", "--format", "gif"), b"", "'gif' is not one of 'png', 'tif'"),
    "format of a file": (
        ("good.png", "-o", "out.tif", "--format", "png"),
        b"",
        "out.tif: --format png is for a folder",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_pipes_that_make_no_sense(run, kind):
    arguments, stdin, message = REFUSED[kind]
    from spikeunet.engine import write_picture

    write_picture("alpha.png", np.zeros((4, 4, 4), np.uint8))
    before = sorted(Path().rglob("*"))
    status, written, told = run("denoise", *arguments, *GRAY, stdin=stdin)
    assert (status, written, told.count("\n")) == (2, b"", 1)
    assert message in told
    assert sorted(Path().rglob("*")) == before


def test_a_folder_in_another_format(run):
    assert run("denoise", "folder", "-o", "out", "--format", "tif", *GRAY)[::2] == (0, "")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.tif", "b.tif"]
    assert run("denoise", "good.png", "-o", "out/", "--format", "jpeg", *GRAY)[0] == 0
    assert Path("out/good.jpeg").read_bytes().startswith(b"\xff\xd8")


def test_what_a_folder_has_besides_is_told_in_one_line(run):
    for name in ("notes.txt", "raw.cr2", ".hidden.png", ".DS_Store", "z.gif"):
        Path("folder", name).touch()
    Path("folder/more").mkdir()
    status, _, told = run("denoise", "folder", "-o", "out", *GRAY)
    named = ".hidden.png (hidden), more (a folder), notes.txt (no picture by its suffix)"
    assert (status, told) == (0, f"spikeunet: skipped 5 of folder: {named}, and 2 more\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes are POSIX")
def test_a_reader_that_went_away():
    theirs, ours = os.pipe()
    os.close(theirs)
    command = [sys.executable, "-m", "spikeunet", "denoise", "good.png", "-o", "-", "--model", "gray.npz"]
    done = subprocess.run(command, stdout=ours, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(ours)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_a_folder_of_calibration_has_besides_is_told(tmp_path, monkeypatch, capsys):
    from small_denoiser import spiking_unet_state

    from spikeunet.engine import write_picture
    from spikeunet.engine.command_line import main

    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    write_picture("pictures/a.png", np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8))
    Path("pictures/raw.cr2").touch()
    np.savez("state.npz", **spiking_unet_state())
    with pytest.raises(SystemExit) as stop:
        main(["convert", "state.npz", "-o", "model.npz", "--calibration", "pictures"])
    told = "spikeunet: skipped 1 of pictures: raw.cr2 (no picture by its suffix)\n"
    assert (stop.value.code, told in capsys.readouterr().err) == (0, True)
