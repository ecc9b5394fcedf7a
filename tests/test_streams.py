"""The command where standard streams are closed, broken, or in an encoding that lacks characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import read_picture, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.guard import guarded

ODD = os.fsdecode(b"caf\xe9 \xff\n.png")
"""A name of bytes that are no UTF-8, with a line break."""

ESCAPED = r"caf\udce9 \udcff\n.png"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "gray.npz")
    write_picture("in.png", np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8))


def shell(line, **variables):
    """Run `spikeunet` with a line of arguments and redirections."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = f"exec {sys.executable} -m spikeunet {line}"
    return subprocess.run(
        command, shell=True, capture_output=True, timeout=120, check=False, env=environment | variables
    )


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(closed):
    done = shell(f"denoise in.png -o out.png --model gray.npz {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_picture("out.png").shape == (8, 12)
    assert (b"accumulates" in done.stdout) == (closed == "2>&-")
    done = shell(f"info no.npz {closed}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_result_cannot_go_to_a_closed_stdout():
    done = shell("denoise in.png -o out.png --model gray.npz --report - >&-")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"stdout is closed" in done.stderr
    assert not Path("out.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes for a name")
def test_names_that_are_no_text_are_escaped_everywhere(capsys):
    Path("folder").mkdir()
    for name in (ODD, "b\u00e4.png"):
        Path("in.png").copy(Path("folder", name)) if hasattr(Path, "copy") else Path("folder", name).write_bytes(
            Path("in.png").read_bytes()
        )
    Path("folder", ODD.replace(".png", ".bmp")).write_text("no picture")
    with pytest.raises(SystemExit):
        main(["denoise", "folder", "-o", "out", "--model", "gray.npz", "--report", "report.json"])
    printed = capsys.readouterr()
    assert [line.split("\t")[0] for line in printed.out.splitlines()] == ["picture", "b\u00e4.png", ESCAPED, "mean"]
    assert rf"folder/{ESCAPED.replace('.png', '.bmp')}: not a PNG" in printed.err
    report = json.loads(Path("report.json").read_text())
    names = [picture["input"] for picture in report["pictures"]]
    assert names == ["folder/b\u00e4.png", f"folder/{ESCAPED}"]
    assert report["failures"][0]["input"] == f"folder/{ESCAPED.replace('.png', '.bmp')}"
    json.dumps(report, ensure_ascii=False).encode()
    with pytest.raises(SystemExit) as stop:
        main(["denoise", f"folder/{ODD}", "-o", ODD, "--model", "gray.npz"])
    assert (stop.value.code, Path(ODD).exists()) == (0, True)
    assert f"output             {ESCAPED}" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_an_encoding_without_the_character():
    Path("in.png").rename("\u68ee.png")
    done = shell("denoise \u68ee.png -o out.png --model gray.npz", PYTHONIOENCODING="latin-1", LC_ALL="C.UTF-8")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"input              \\u68ee.png" in done.stdout


def test_an_interruption_is_one_line(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert guarded(interrupted) == 130
    assert capsys.readouterr().err == "spikeunet: interrupted\n"


def test_the_streams_are_as_before_afterwards(monkeypatch, capsys):
    errors = sys.stdout.errors
    assert guarded(lambda: None) == 0
    assert sys.stdout.errors == errors
    monkeypatch.setattr(sys, "stderr", None)
    assert guarded(lambda: sys.stderr.write("lost")) == 4
    assert sys.stderr is None
