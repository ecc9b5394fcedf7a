"""Every page of docs/ has an example, and every block of Python in it runs; of the tutorials, the commands, too.

A block that cannot run has a comment above it, `<!-- not run: why -->`. What reference pages take for granted, a
picture or a network that the reader has, is in `GIVEN`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
WITH_COMMANDS = [page for page in PAGES if page.startswith("tutorials/") or page in ("index.md", "commands.md")]
"""Pages whose commands are run, too; those of the others are only held against the options that there are."""

ELSEWHERE = {"converting.md", "diagnosing.md"}
"""Pages whose blocks other tests run."""

MOST_LEFT_OUT = 6
"""Blocks of all pages that may be left out."""

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+?) -->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

PICTURE = """
import numpy as np
from spikeunet.engine import read_picture, write_picture
small = read_picture("examples/pictures/camera.png")[100:164, 200:264]
"""
NETWORK = """
import numpy as np
from spikeunet.engine import *
from small_denoiser import small_denoiser
network = small_denoiser()
"""
GIVEN = {
    "evaluation.md": PICTURE + 'write_picture("street.png", np.dstack([small] * 3))',
    "learning.md": NETWORK + "photographs = [np.random.default_rng(0).random((1, 16, 16), np.float32)]",
    "noise.md": PICTURE + 'write_picture("photograph.jpg", np.dstack([small] * 3))',
    "plots.md": "import matplotlib\nmatplotlib.use('Agg')",
    "report.md": PICTURE
    + 'write_picture("noisy.png", small)\n'
    + 'command("spikeunet report denoise-gray-fast noisy.png -o camera --add-noise 25 --quiet")',
    "operations.md": PICTURE
    + 'write_picture("picture.png", small)\nfrom spikeunet.engine import denoise\nresults = [denoise(small).result]',
    "pictures.md": PICTURE + 'import tifffile\ntifffile.imwrite("stack.tif", np.stack([small] * 2))',
    "neurons.md": NETWORK
    + "first, second, third = (np.full(shape, 0.1) for shape in ((4, 1, 3, 3), (4, 4, 3, 3), (1, 4, 3, 3)))\n"
    + "pictures = [np.random.default_rng(0).random((1, 16, 16), np.float32)]",
    "spikingformer.md": """
import numpy as np
from published_spikingformer import random_state
state, picture = random_state(dim=8, depth=1), np.random.default_rng(0).random((3, 16, 16), np.float32)
""",
    "testing.md": "from spikeunet.engine import IntegrateAndFire as MyNeuron",
    "time.md": """
import numpy as np
import spikeunet.engine
spikeunet.engine.read_events = lambda name: np.zeros(4, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")])
""",
    "twin.md": NETWORK + "x = np.zeros((1, 16, 16), np.float32)\nfrom spikeunet.engine import quantised_twin",
}
"""Code before a page's first block: what the reader has."""

RUNNER = r"""
import json, os, runpy, shlex, subprocess, sys
from spikeunet.engine.command_line import main

def command(line):
    words = shlex.split(line, comments=True)
    if words[:1] == ["cd"]:
        os.chdir(words[1])
        return
    if words[:1] == ["python"]:
        assert len(words) == 2, line
        runpy.run_path(words[1], run_name="__main__")
        return
    if words[:1] != ["spikeunet"]:
        subprocess.run(words, check=True)
        return
    try:
        main(words[1:])
    except SystemExit as stop:
        assert not stop.code, f"{line}: status {stop.code}"

for folder, parts in json.load(sys.stdin):
    os.chdir(folder)
    names = {"__name__": "__main__", "command": command}
    for where, kind, text in parts:
        print("#", where, flush=True)
        if kind == "python":
            module = type(sys)(f"page_{abs(hash(where))}")
            exec(compile(text, where, "exec"), names)
        else:
            for line in text.replace("\\\n", " ").splitlines():
                if line.strip() and not line.startswith("#"):
                    command(line)
"""


def blocks(page):
    """(line, kind, text, why it is left out) of each block between fences."""
    text = (DOCS / page).read_text("utf-8")
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start("text")) + 1, found["kind"].strip(), found["text"], found["why"]


def runnable(page):
    """What is run of a page, with what it takes for granted before it."""
    parts = [(f"{page}, given", "python", GIVEN[page])] if page in GIVEN else []
    kinds = ("python", "") if page in WITH_COMMANDS else ("python",)
    for line, kind, text, why in blocks(page):
        if kind in kinds and why is None:
            parts.append((f"{page}:{line}", kind, text))
    return parts


def run(pages, folder):
    """Run pages one after the other in one process, each in a folder that looks like a clone."""
    folders = [tempfile.mkdtemp(dir=folder) for _ in pages]
    for each in folders:
        Path(each, "examples").symlink_to(REPOSITORY / "examples")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests"), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps([(each, runnable(page)) for each, page in zip(folders, pages, strict=True)]),
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_an_example(page):
    assert list(blocks(page)) or re.search(r"^    \S", (DOCS / page).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_python_is_valid(page):
    for line, kind, text, why in blocks(page):
        if kind == "python" and why is None:
            compile(text, f"{page}:{line}", "exec")


def test_few_blocks_are_left_out_and_each_says_why():
    reasons = [(page, why) for page in PAGES for _, _, _, why in blocks(page) if why is not None]
    assert len(reasons) <= MOST_LEFT_OUT, reasons
    marks = sum((DOCS / page).read_text("utf-8").count("<!-- not run") for page in PAGES)
    assert marks == len(reasons), "a comment that stands above no block"


def test_a_block_that_fails_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "runnable", lambda _: [("here:1", "python", "1 / 0")])
    done = run(["page"], tmp_path)
    assert done.returncode == 1
    assert 'File "here:1", line 1' in done.stderr
    monkeypatch.setattr(sys.modules[__name__], "runnable", lambda _: [("here:1", "", "spikeunet info no-such-model")])
    assert "spikeunet info no-such-model: status 2" in run(["page"], tmp_path).stderr


RUN = [page for page in PAGES if page not in ELSEWHERE and runnable(page)]
TOGETHER = [RUN[first::2] for first in range(2)]
"""Pages that share a process, and with it what Python imports and what is compiled."""


@pytest.mark.slow
@pytest.mark.parametrize("pages", TOGETHER, ids=lambda pages: pages[0])
def test_what_a_page_says_runs(pages, tmp_path):
    if any("tutorials/convert" in page for page in pages):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra evaluate)")
    done = run(pages, tmp_path)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra docs)")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed (extra docs)")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    # As in a fresh checkout: what an earlier build left is not to be there.
    shutil.rmtree(REPOSITORY / ".mkdocs", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30
    fetched = re.compile(r"<(?:script|img|iframe)[^>]+src=[\"']?https?:|<link[^>]+rel=[\"']?stylesheet[^>]+https?:")
    assert [page for page in pages if fetched.search(page.read_text("utf-8"))] == []
