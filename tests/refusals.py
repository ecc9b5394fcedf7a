"""What the tests of bad input share: a folder of good files, and a call that must be refused without a trace."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import write_picture


def fill_folder():
    """Good pictures, a folder of them, an empty one and three models, in the working folder."""
    for path, content in _good_files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    Path("empty").mkdir()


@functools.cache
def _good_files():
    """What is in each file: hundreds of tests have them."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _write_good_files()
        return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def _write_good_files():
    random = np.random.default_rng(0)
    shapes = {"good": (12, 16), "other": (12, 16), "large": (20, 16), "rgb": (12, 16, 3)}
    Path("folder").mkdir()
    for name, shape in {**shapes, "folder/a": (12, 16), "folder/b": (12, 16)}.items():
        write_picture(f"{name}.png", random.integers(0, 256, shape, dtype=np.uint8))
    save_model(small_denoiser(), "gray.npz")
    save_model(small_denoiser(3), "colour.npz")
    save_model(small_denoiser(task="segment"), "segment.npz")


def contents():
    """Every file with its bytes, every folder with None."""
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refusal(capsys, *arguments, model="gray.npz"):
    """Run the command, which must fail with status 2 and leave every file as it was; returns its one line."""
    before = contents()
    options = ["--model", model] if arguments[0] == "denoise" and model is not None else []
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), *options])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("spikeunet: error: ")
    assert printed.err.count("\n") == 1
    assert contents() == before
    return printed.err.removeprefix("spikeunet: error: ").strip()
