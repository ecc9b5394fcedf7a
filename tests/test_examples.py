"""The examples in cells run as scripts, and as notebooks."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"
KINDS = (
    "anytime",
    "convert",
    "count",
    "denoise",
    "event_camera",
    "finetune",
    "own_layer",
    "own_neuron",
    "segment",
    "still_camera",
)
NEED_DIGITS = ("anytime", "convert", "count", "finetune")


def run(*arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_there_is_an_example_of_each_kind():
    found = [path.stem for path in EXAMPLES.glob("*.py") if path.read_text("utf-8").startswith("# %% [markdown]")]
    assert sorted(found) == sorted(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_an_example_says_what_it_does_before_it_does_it(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("# %%") >= 4
    ast.parse(text)


def test_the_repository_holds_no_notebooks():
    tracked = [path for path in REPOSITORY.rglob("*.ipynb") if EXAMPLES / "notebooks" not in path.parents]
    assert [path for path in tracked if ".venv" not in path.parts] == []


RUNNER = """
import os, runpy, sys
for script in sys.argv[1:]:
    name = os.path.basename(script).removesuffix(".py")
    os.chdir(os.path.join(os.path.dirname(os.getcwd()), name))
    print("#", name, flush=True)
    runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("names", [NEED_DIGITS, tuple(name for name in KINDS if name not in NEED_DIGITS)], ids="-".join)
def test_examples_run(names, tmp_path):
    """One after the other in one process, which imports everything once, each in a folder of its own."""
    if names == NEED_DIGITS:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra evaluate)")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "pictures").symlink_to(EXAMPLES / "pictures")
    scripts = [EXAMPLES / f"{name}.py" for name in names]
    done = run("-W", "error", "-c", RUNNER, *scripts, folder=tmp_path / names[0])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    printed = dict(part.split("\n", 1) for part in done.stdout.removeprefix("# ").split("\n# "))
    assert all(printed[name] for name in names)


@pytest.mark.slow
def test_examples_become_notebooks_and_one_is_run(tmp_path):
    for package in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra notebooks)")
    import nbformat

    done = run(EXAMPLES / "make_notebooks.py", "--out", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in KINDS:
        notebook = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert all(not cell.get("outputs") for cell in notebook.cells)
        assert {cell.cell_type for cell in notebook.cells} == {"code", "markdown"}
    done = run(EXAMPLES / "make_notebooks.py", "own_neuron", "--execute", "--out", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(tmp_path / "own_neuron.ipynb", as_version=4)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "the same after saving: True" in printed
