"""Kernels compiled ahead, used by others who cannot write them, as in a container; and what the command says of it."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, Network, Neurons, Output, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.messages import shown_messages


def spikeunet(*arguments, prefix=(), program=("-m", "spikeunet.engine.command_line"), **changes):
    command = [*prefix, sys.executable, *map(str, (*program, *arguments))]
    environment = {name: value for name, value in os.environ.items() if name != "SPIKEUNET_CACHE"}
    environment |= {name: str(value) for name, value in changes.items()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def without_capabilities(*arguments, **changes):
    """As `spikeunet`, but that root is not above permissions."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root is above permissions, and setpriv (util-linux) is not there to change that")
        prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    return spikeunet(*arguments, prefix=prefix, **changes)


@pytest.fixture
def job(tmp_path):
    """Arguments that denoise a small picture by a model of one layer: each kind of layer has kernels of its own."""
    half = np.full((1, 1, 1, 1), 0.5, np.float32)
    layer = [Conv2d("conv1", "input", 2 * half), Neurons("relu1", "conv1"), Conv2d("conv2", "relu1", half)]
    save_model(
        Network([Input("input"), *layer, Output("output", "conv2")], {"task": "denoise"}), tmp_path / "model.npz"
    )
    write_picture(tmp_path / "in.png", np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8))
    return ["denoise", tmp_path / "in.png", "--model", tmp_path / "model.npz", "--steps", 1, "-o", tmp_path / "out.png"]


@pytest.mark.slow
def test_kernels_compiled_ahead_are_all_that_is_needed_and_may_be_read_only(job, tmp_path):
    cache = tmp_path / "kernels"
    done = spikeunet("compile", "--model", tmp_path / "model.npz", "--steps", 1, SPIKEUNET_CACHE=cache)
    assert (done.returncode, done.stderr) == (0, "")
    printed = dict(line.split(maxsplit=1) for line in done.stdout.replace("there already", "already").splitlines())
    kernels = sorted(cache.rglob("*.kernel"))
    assert printed == {"compiled": str(len(kernels)), "already": "0", "folder": str(cache)}
    for path in (*cache.rglob("*"), cache):
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0
        path.chmod(path.stat().st_mode & ~0o222)
    before = {path: path.stat().st_mtime_ns for path in kernels}
    # Another user of the image: without a home folder, and without a place to write kernels.
    done = without_capabilities(*job, SPIKEUNET_CACHE=cache, HOME="/proc/nope", TMPDIR=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in sorted(cache.rglob("*.kernel"))} == before
    assert list(tmp_path.glob("spikeunet-cache-*")) == []


KERNEL = """
from spikeunet.engine.command_line.messages import shown_messages
from spikeunet.engine.kernels.compilation import compiled

def double(x):
    return x + x

with shown_messages():
    kernel = compiled(double)
    assert kernel(21) == 42
print(sum(kernel.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_without_a_home_folder_kernels_go_to_a_private_temporary_one(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    options = {"program": [tmp_path / "kernel.py"], "HOME": "/proc/nope", "TMPDIR": tmp_path, "XDG_CACHE_HOME": ""}
    done = without_capabilities(**options)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert done.stderr.startswith("spikeunet: kernels cannot be kept in /proc/nope/.cache/spikeunet (")
    assert done.stderr.count("\n") == 1
    (private,) = tmp_path.glob("spikeunet-cache-*")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    done = without_capabilities(**options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_bad_arguments_are_refused_before_anything_is_compiled(capsys, tmp_path):
    for arguments, message in (
        (["--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
        (["--model", "nothing"], "no model is called 'nothing'"),
        (["--order", "random"], "'random' is not one of"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["compile", *arguments])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
        assert message in printed.err


@pytest.mark.parametrize("terminal", [False, True])
def test_messages_are_lines_on_stderr_and_news_only_on_a_terminal(terminal, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    log = logging.getLogger("spikeunet.engine.some.part")
    with shown_messages():
        log.info("compiling")
        log.warning("of a\nfolder")
    log.warning("after the command")
    news = "spikeunet: compiling\n" if terminal else ""
    assert capsys.readouterr().err == f"{news}spikeunet: of a\\nfolder\n"
