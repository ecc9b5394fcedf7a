"""No output of any command replaces an input or another output."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from refusals import contents, fill_folder, refusal

from spikeunet.engine import write_picture
from spikeunet.engine.command_line import claims as module
from spikeunet.engine.command_line.claims import Claims
from spikeunet.engine.errors import InputError


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def claimed(*read, written=()):
    claims = Claims()
    for path in read:
        claims.reads("the input", Path(path))
    for path in written:
        claims.writes("an output", Path(path))
    return claims


@pytest.mark.parametrize(
    "path",
    [
        "pictures/a.png",
        "./pictures/../pictures/a.png",
        "link.png",
        "hard.png",
        "elsewhere/a.png",
        "pictures/.hidden.PNG",
    ],
)
def test_an_input_is_known_by_all_its_names(path):
    Path("pictures").mkdir()
    for name in ("a.png", ".hidden.PNG"):
        Path("pictures", name).touch()
    Path("link.png").symlink_to("pictures/a.png")
    Path("elsewhere").symlink_to("pictures")
    os.link("pictures/a.png", "hard.png")
    with pytest.raises(InputError, match=r"the curve would overwrite the input pictures/\.?\w+\.\w+; choose another"):
        claimed("pictures").writes("the curve", Path(path))


def test_other_files_in_a_folder_of_pictures_may_be_replaced():
    Path("pictures").mkdir()
    for name in ("a.png", "tuned.csv"):
        Path("pictures", name).touch()
    claimed("pictures").writes("the log", Path("pictures/tuned.csv"))
    claimed("pictures").writes("the curve", Path("pictures/new.png"))


@pytest.mark.parametrize("path", ["out.png", "./out.png", "link.png"])
def test_two_outputs_to_one_place(path):
    Path("link.png").symlink_to("out.png")
    with pytest.raises(InputError, match="the report would overwrite an output; choose another name"):
        claimed(written=["out.png"]).writes("the report", Path(path))


def test_names_that_differ_in_case_are_one_file_where_the_folder_says_so(monkeypatch):
    claimed(written=["out.png"]).writes("the report", Path("OUT.png"))
    monkeypatch.setattr(module, "_ignores_case", lambda folder: True)
    with pytest.raises(InputError, match="would overwrite an output"):
        claimed(written=["new/caf\u00e9.png"]).writes("the report", Path("new/CAFE\u0301.png"))
    claimed(written=["out.png"]).writes("the report", Path("out2.png"))


def test_whether_a_folder_ignores_case_leaves_nothing_behind():
    assert not module._ignores_case(Path("new/folder"))
    assert list(Path().iterdir()) == []


def test_a_device_is_nobodys():
    claimed("/dev/null", written=["/dev/null"]).writes("the log", Path("/dev/null"))


@pytest.fixture
def refused(capsys):
    fill_folder()
    Path("pictures").mkdir()
    for name in ("a", "tuned", "other"):
        write_picture(f"pictures/{name}.png", np.zeros((8, 8), np.uint8))
    Path("set/test/labels").mkdir(parents=True)
    write_picture("set/test/labels/one.png", np.zeros((8, 8), np.uint8))
    np.savez("state.npz", weight=np.zeros(1))
    Path("facts.npz").write_text("{}")
    Path("results").mkdir()
    os.link("folder/a.png", "results/results.json")
    return functools.partial(refusal, capsys)


TUNE = ("finetune", "gray.npz", "--train", "pictures")
SEGMENT = ("finetune", "segment.npz", "--task", "segment", "-o", "new.npz")
COMMANDS = {
    "the default curve": (*TUNE, "-o", "pictures/tuned.npz"),
    "a curve": (*TUNE, "-o", "new.npz", "--curve", "pictures/other.png"),
    "a log": (*TUNE, "-o", "new.npz", "--log", "pictures/other.png"),
    "a validation picture": (*TUNE, "--validate", "folder", "-o", "new.npz", "--log", "folder/a.png"),
    "a label": (*SEGMENT, "--train", "pictures", "--labels", "folder", "--curve", "folder/a.png"),
    "a picture of a data set": (*SEGMENT, "--train", "drive=set", "--log", "set/test/labels/one.png"),
    "metadata": ("convert", "state.npz", "-o", "facts.npz", "--metadata", "facts.npz"),
    "another picture of the references": ("denoise", "folder/a.png", "-o", "pictures/other.png", "--clean", "pictures"),
    "a report onto another input": ("denoise", "folder", "-o", "out", "--report", "folder/b.png"),
    "results": ("evaluate", "gray.npz", "folder", "-o", "results"),
    "probabilities": ("segment", "good.png", "-o", "o.png", "--model", "segment.npz", "--probabilities", "segment.npz"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_every_command_spares_its_inputs(refused, what):
    before = contents()
    assert " would overwrite the " in refused(*COMMANDS[what])
    assert contents() == before


def test_a_model_by_name_is_spared_too(refused, monkeypatch):
    Path("models").mkdir()
    Path("gray.npz").rename("models/mine.npz")
    monkeypatch.setenv("SPIKEUNET_MODELS", "models")
    line = refused("denoise", "good.png", "-o", "out.png", "--report", "models/mine.npz", model="mine")
    assert "the report would overwrite the model models/mine.npz" in line
