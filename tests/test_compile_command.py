"""Kernels compiled ahead, used by others who cannot write them, as in a container; and what the command says of it."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.messages import shown_messages


def spikeunet(*arguments, prefix=(), **changes):
    command = [*prefix, sys.executable, "-m", "spikeunet.engine.command_line", *map(str, arguments)]
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
    """Arguments that denoise a small picture by a small model."""
    save_model(small_denoiser(), tmp_path / "model.npz")
    write_picture(tmp_path / "in.png", np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8))
    return ["denoise", tmp_path / "in.png", "--model", tmp_path / "model.npz", "-o", tmp_path / "out.png"]


@pytest.mark.slow
def test_kernels_compiled_ahead_are_all_that_is_needed_and_may_be_read_only(job, tmp_path):
    cache = tmp_path / "kernels"
    done = spikeunet("compile", "--model", tmp_path / "model.npz", SPIKEUNET_CACHE=cache)
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


@pytest.mark.slow
def test_without_a_home_folder_kernels_go_to_a_private_temporary_one(job, tmp_path):
    done = without_capabilities(*job, HOME="/proc/nope", TMPDIR=tmp_path, XDG_CACHE_HOME="")
    assert done.returncode == 0
    assert done.stderr.startswith("spikeunet: kernels cannot be kept in /proc/nope/.cache/spikeunet (")
    assert done.stderr.count("\n") == 1
    (private,) = tmp_path.glob("spikeunet-cache-*")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    done = without_capabilities(*job, HOME="/proc/nope", TMPDIR=tmp_path, XDG_CACHE_HOME="")
    assert (done.returncode, done.stderr) == (0, "")


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


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="the script drops root's capabilities")
def test_the_faults_that_were_handed_over(shared_cases, job, tmp_path):
    """On a copy of the package, whose folder the script changes."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not there")
    engine, package = (Path(sys.modules[name].__file__).parent for name in ("spikeunet.engine", "spikeunet"))
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(engine, tmp_path / "site" / "spikeunet" / "engine", ignore=left_out)
    # The package itself, too: one without a file would lose to the one that is installed.
    shutil.copy(package / "__init__.py", tmp_path / "site" / "spikeunet")
    (tmp_path / "bin").mkdir()
    start = f"#!/bin/bash\nexport PYTHONPATH={tmp_path / 'site'}\nexec {sys.executable} -P "
    (tmp_path / "site" / "spikeunet" / "engine" / "kernels" / "__pycache__").mkdir()
    # A small network, because each run but one compiles.
    small = f'-m spikeunet.engine.command_line "$@" --model {tmp_path / "model.npz"} --steps 1\n'
    for name, rest in (("python", '"$@"\n'), ("spikeunet", small)):
        (tmp_path / "bin" / name).write_text(start + rest)
        (tmp_path / "bin" / name).chmod(0o755)
    script = ["bash", str(shared_cases / "kernel_cache.sh"), str(tmp_path / "bin")]
    environment = {name: value for name, value in os.environ.items() if name != "SPIKEUNET_CACHE"}
    done = subprocess.run(
        script, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=280
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    for line in lines:
        status, _, words = line.partition(": exit ")[2].partition(", ")
        assert status == "0" or (status == "2" and words.startswith("spikeunet: error: NUMBA_")), line
