"""`--exact-increments`: series of pictures through the commands, the same files as without, and what that saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import refusals
import tifffile
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter
from still_camera import network
from test_frame_streams import COLOURS, moving

from spikeunet.engine import save_model, write_picture
from spikeunet.engine.command_line import main

CLIP = np.stack(moving(COLOURS))


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("clip.tif", CLIP, photometric="rgb", metadata=None)
    save_model(network(channels=3, task="denoise", steps=1), "denoise.npz")
    save_model(network(channels=3, task="segment", steps=1), "segment.npz")


@pytest.fixture
def run(capsys):
    """Run a command on the clip, which must succeed; returns the printed fields and what is on stderr."""

    def invoke(command, *arguments):
        with pytest.raises(SystemExit) as stop:
            main([command, "clip.tif", "--model", f"{command}.npz", "--threads", "1", *map(str, arguments)])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return dict(line.split(maxsplit=1) for line in printed.out.splitlines()), printed.err

    return invoke


@pytest.mark.parametrize("command", ["denoise", "segment"])
def test_the_same_pages_and_counts_and_what_was_saved(run, command):
    before, _ = run(command, "-o", "full.tif")
    fields, told = run(command, "-o", "out.tif", "--exact-increments", "--report", "report.json")
    assert Path("out.tif").read_bytes() == Path("full.tif").read_bytes()
    assert told == ""
    new = {"output", "time", "increments"}
    assert {**fields, **dict.fromkeys(new)} == {**before, **dict.fromkeys(new)}
    assert "increments" not in before
    entry = json.loads(Path("report.json").read_text())["pictures"][0]["increments"]
    assert fields["increments"] == (
        f"{entry['share']:.1%} of the accumulates done; 3 of 6 pictures in full: 2 at the start of a scene, "
        "1 with more than a quarter changed"
    )
    assert entry["share"] == entry["done"] / entry["full"] < 0.7
    assert (entry["pictures"], sum(entry["in_full"].values())) == (6, 3)


def test_preprocessing_of_the_whole_page_is_said(run):
    steps = [{"name": "rescale_intensity"}]
    save_model(network(channels=3, task="segment", steps=1, preprocessing=steps), "segment.npz")
    _, told = run("segment", "-o", "out.tif", "--exact-increments")
    about = "the model's preprocessing looks at the whole picture, and increments save little or nothing"
    assert told == f"spikeunet: clip.tif: {about}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--order", "time"), "--exact-increments chooses that itself; leave --order time out"),
        (("--tile", "8"), "--exact-increments chooses that itself; leave --tile 8 out"),
        (("--kernels", "events"), "--exact-increments chooses that itself; leave --kernels events out"),
        (("--page", "0"), "--exact-increments takes all pages; leave --page 0 out"),
        (("--steps", "2"), "clip.tif: exact increments take one step a picture, and there are 2; ask for steps 1"),
        (("--model", "other.npz", "--steps", "1"), "clip.tif: exact increments cannot be had: 'conv2' is none of"),
    ],
)
@pytest.mark.parametrize("command", ["denoise", "segment"])
def test_what_is_refused(capsys, command, arguments, message):
    save_model(small_segmenter(), "other.npz") if command == "segment" else save_model(small_denoiser(), "other.npz")
    model = () if "--model" in arguments else ("--model", f"{command}.npz")
    line = refusals.refusal(
        capsys, command, "clip.tif", "-o", "out.tif", "--exact-increments", *model, *arguments, model=None
    )
    assert line.startswith(message)


@pytest.mark.parametrize("command", ["denoise", "segment"])
def test_a_single_picture_is_none_of_a_series(capsys, command):
    write_picture("rgb.png", COLOURS)
    arguments = ("rgb.png", "-o", "out.tif", "--exact-increments", "--model", f"{command}.npz")
    line = refusals.refusal(capsys, command, *arguments, model=None)
    assert line == "rgb.png: holds one picture, and --exact-increments is for a stack, animation or video; leave it out"
