"""Bad input to the command: exit status 2, one line that says what is wrong, nothing lost and nothing left behind."""

from __future__ import annotations

import errno
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from refusals import fill_folder, refusal
from small_denoiser import spiking_unet_state

from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import read_picture, write_picture


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill_folder()


@pytest.fixture
def refused(capsys):
    return functools.partial(refusal, capsys)


def test_the_good_picture_is_good(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["denoise", "good.png", "-o", "out.png", "--model", "gray.npz"])
    assert stop.value.code == 0
    assert read_picture("out.png").shape == (12, 16)


CALLS = {
    "missing file": (["missing.png", "-o", "out.png"], "missing.png: No such file or directory"),
    "missing of several": (["good.png", "missing.png", "-o", "out"], "missing.png: No such file or directory"),
    "empty folder": (["empty", "-o", "out"], "empty: no pictures in this folder; pictures end with .png"),
    "folder and file": (
        ["folder", "good.png", "-o", "out"],
        "folder: a folder must be the only input; give files, or one",
    ),
    "no input": (["-o", "out.png"], "Missing argument 'IN...'; see spikeunet denoise --help"),
    "no output": (["good.png"], "Missing option '-o' / '--output'; see spikeunet denoise --help"),
    "unknown option": (["good.png", "-o", "out.png", "--fast"], "No such option"),
    "unknown suffix": (["good.png", "-o", "out.gif"], "out.gif: unknown picture suffix '.gif'; use one of .png, .tif"),
    "no suffix": (["good.png", "-o", "out"], "out: unknown picture suffix ''; use one of .png"),
    "alpha into JPEG": (
        ["alpha.png", "-o", "out.jpg"],
        "out.jpg: .jpg cannot hold transparency; use one of .png, .tif",
    ),
    "colour into PGM": (["rgb.png", "-o", "out.pgm"], "out.pgm: .pgm cannot hold colour; use one of"),
    "steps 0": (["good.png", "-o", "out.png", "--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
    "steps -3": (
        ["good.png", "-o", "out.png", "--steps", "-3"],
        "steps must be a whole number from 1 to 1000 (got -3)",
    ),
    "steps 1001": (["good.png", "-o", "out.png", "--steps", "1001"], "steps must be a whole number from 1 to 1000"),
    "steps 2.5": (
        ["good.png", "-o", "out.png", "--steps", "2.5"],
        "Invalid value for '--steps': '2.5' is not a valid int",
    ),
    "sigma -1": (
        ["good.png", "-o", "out.png", "--add-noise", "-1"],
        "sigma must lie between 0 and 255, on the 0-255 scale",
    ),
    "sigma nan": (
        ["good.png", "-o", "out.png", "--add-noise", "nan"],
        "sigma must lie between 0 and 255, on the 0-255 scale",
    ),
    "sigma 1e9": (["good.png", "-o", "out.png", "--add-noise", "1e9"], "(got 1000000000.0)"),
    "seed -1": (
        ["good.png", "-o", "out.png", "--add-noise", "1", "--seed", "-1"],
        "Invalid value for '--seed': -1 is not in",
    ),
    "sigma that is there": (
        ["good.png", "-o", "out.png", "--sigma", "25"],
        "--sigma does not exist: noise is not told",
    ),
    "sigma without a number": (
        ["good.png", "-o", "out.png", "--sigma"],
        "--add-noise S adds noise, to try it on clean",
    ),
    "seed alone": (["good.png", "-o", "out.png", "--seed", "1"], "--seed 1 has no meaning without --add-noise"),
    "threads 0": (
        ["good.png", "-o", "out.png", "--threads", "0"],
        "Invalid value for '--threads': 0 is not in the range",
    ),
    "order": (["good.png", "-o", "out.png", "--order", "random"], "'random' is not one of 'layer', 'time'"),
    "missing reference": (["good.png", "-o", "out.png", "--clean", "no.png"], "no.png: No such file or directory"),
    "larger reference": (
        ["good.png", "-o", "out.png", "--clean", "large.png"],
        "large.png: the clean reference is 20x16 gray, but good.png is 12x16 gray; they must agree",
    ),
    "colour reference": (
        ["good.png", "-o", "out.png", "--clean", "rgb.png"],
        "rgb.png: the clean reference is 12x16 colour, but good.png is 12x16 gray; they must agree",
    ),
    "one reference for two": (["folder", "-o", "out", "--clean", "good.png"], "need a folder of clean references"),
    "unmatched reference": (
        ["good.png", "-o", "out.png", "--clean", "folder"],
        "folder: has no clean references for good",
    ),
    "output is input": (
        ["good.png", "-o", "good.png"],
        "good.png: the output of good.png would overwrite the input good.png; choose",
    ),
    "output is reference": (
        ["good.png", "-o", "other.png", "--clean", "other.png"],
        "would overwrite the clean reference other.png",
    ),
    "output links to input": (
        ["good.png", "-o", "link.png"],
        "link.png: the output of good.png would overwrite the input good.png",
    ),
    "folder onto itself": (
        ["folder", "-o", "folder"],
        "folder/a.png: the output of folder/a.png would overwrite the input folder/a.png",
    ),
    "two of one name": (
        ["good.png", "folder/good.png", "-o", "out"],
        "out/good.png: the output of good.png would overwrite the output of folder/good.png; choose",
    ),
    "missing output folder": (
        ["good.png", "-o", "no/out.png"],
        "no: No such file or directory; make the output folder first",
    ),
    "missing folder of folder": (
        ["folder", "-o", "no/out"],
        "no: No such file or directory; make the output folder first",
    ),
    "file as output folder": (
        ["folder", "-o", "other.png"],
        "several pictures need a folder to go to, and this is a file",
    ),
    "a picture's name for two": (
        ["good.png", "other.png", "-o", "out.png"],
        "out.png: several pictures need a folder to go to, and this is a picture's or a video's name; name another, or",
    ),
    "a video's name for a folder": (["folder", "-o", "out.AVI"], "or out.AVI/ for a folder of this name"),
    "file above output": (
        ["good.png", "-o", "other.png/out.png"],
        "other.png: Not a directory; make the output folder",
    ),
    "report is input": (
        ["good.png", "-o", "out.png", "--report", "good.png"],
        "good.png: the report would overwrite the input",
    ),
    "report is output": (
        ["good.png", "-o", "out.png", "--report", "out.png"],
        "out.png: the report would overwrite the output",
    ),
    "report's folder is nowhere": (["good.png", "-o", "out.png", "--report", "no/pages/"], "no: No such file or"),
    "report's folder is a file": (["good.png", "-o", "out.png", "--report", "rgb.png/"], "rgb.png: Not a directory"),
    "report nowhere": (
        ["good.png", "-o", "out.png", "--report", "no/report"],
        "no: No such file or directory; make the",
    ),
    "report is model": (
        ["good.png", "-o", "out.png", "--report", "gray.npz"],
        "the report would overwrite the model gray.npz",
    ),
}


PAGES = ("report's folder is nowhere", "report's folder is a file", "report nowhere")


@pytest.mark.parametrize("kind", CALLS)
def test_calls_that_make_no_sense(refused, kind):
    arguments, message = CALLS[kind]
    if kind in PAGES:
        for package in ("jinja2", "matplotlib"):
            pytest.importorskip(package, reason="pages need the extra report")
    Path("link.png").symlink_to("good.png")
    if "folder/good.png" in arguments:
        write_picture("folder/good.png", np.zeros((4, 4), np.uint8))
    if "alpha.png" in arguments:
        write_picture("alpha.png", np.zeros((4, 4, 4), np.uint8))
    assert message in refused("denoise", *arguments)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-model", "no model is called 'no-such-model'"),
        ("missing.npz", "missing.npz: no such file; check the path"),
        ("good.png", "good.png: is no model file, which ends in .npz"),
        ("./good.png", "good.png: is not an NPZ file, or is truncated or damaged"),
        ("segment.npz", "the model 'segment.npz' is for 'segment', not for denoising; choose another"),
        ("colour.npz", "the model takes pictures of 3 channels and got a gray picture; choose a gray model"),
        ("truncated.npz", "truncated.npz: is not an NPZ file, or is truncated or damaged"),
    ],
)
def test_models_that_do_not_fit(refused, model, message):
    data = Path("gray.npz").read_bytes()
    Path("truncated.npz").write_bytes(data[: len(data) // 2])
    assert message in refused("denoise", "good.png", "-o", "out.png", model=model)


IN_VAIN = {
    "denoise": ("denoise", "folder", "--model", "segment.npz"),
    "derain": ("derain", "folder", "--model", "gray.npz"),
    "segment": ("segment", "folder", "--model", "gray.npz", "--overlay", "seen/", "--probabilities", "maps/"),
    "resample": ("resample", "folder", "--scale", "2", "--model", "gray.npz"),
    "report": ("report", "segment.npz", "good.png", "--add-noise", "3"),
    "no picture": ("denoise", "broken", "--model", "gray.npz"),
    "no picture for a page": ("denoise", "broken", "--model", "gray.npz", "--report", "pages/"),
    "no picture for a report": ("report", "gray.npz", "broken/a.png"),
    "no picture to evaluate": ("evaluate", "gray.npz", "broken"),
}


@pytest.mark.parametrize("kind", IN_VAIN)
def test_an_output_folder_is_made_for_what_is_written_to_it_and_not_before(refused, kind):
    """`refused` compares what is in the working folder, folders included."""
    if "report" in IN_VAIN[kind] or "--report" in IN_VAIN[kind]:
        for package in ("jinja2", "matplotlib"):
            pytest.importorskip(package, reason="pages need the extra report")
    Path("broken").mkdir()
    Path("broken/a.png").write_bytes(b"no picture")
    refused(*IN_VAIN[kind], "-o", "out/", model=None)


def test_an_output_folder_may_be_made_for_some_pictures_and_stays_where_it_was_empty_before(capsys):
    Path("folder/broken.png").write_bytes(b"no picture")
    for place, status in (("folder", 2), ("empty", 2)):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", place, "-o", f"of-{place}", "--model", "gray.npz"])
        assert stop.value.code == status
    assert sorted(path.name for path in Path("of-folder").iterdir()) == ["a.png", "b.png"]
    assert not Path("of-empty").exists()
    Path("broken").mkdir()
    Path("broken/a.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit):
        main(["denoise", "broken", "-o", "empty", "--model", "gray.npz"])
    assert Path("empty").is_dir()


def test_an_output_folder_that_may_not_be_written_to(refused, monkeypatch):
    # The super-user may write anywhere, so that permissions alone would not show it.
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and str(path) == "empty"))
    assert refused("denoise", "good.png", "-o", "empty/out.png") == "empty: the output folder is not writable"
    assert refused("denoise", "folder", "-o", "empty") == "empty: the output folder is not writable"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_an_output_folder_without_permission(refused):
    Path("empty").chmod(0o500)
    assert refused("denoise", "good.png", "-o", "empty/out.png") == "empty: the output folder is not writable"


class FullDisk:
    """A stream that takes a hundred bytes."""

    def __init__(self, stream):
        self.stream, self.written = stream, 0

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def write(self, data):
        self.written += len(data)
        if self.written > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.stream.write(data)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_full_disk_keeps_the_old_output(refused, monkeypatch, suffix):
    from spikeunet.engine.files import atomic

    Path(f"out{suffix}").write_text("what was there")

    def opened(*arguments, **options):
        return FullDisk(open(*arguments, **options))

    monkeypatch.setattr(atomic, "open", opened, raising=False)
    message = f"out{suffix}: No space left on device"
    assert refused("denoise", "good.png", "-o", f"out{suffix}") == message


def test_a_bad_picture_in_a_folder_does_not_stop_the_others(capsys):
    Path("folder/aa.png").write_text("no picture")
    with pytest.raises(SystemExit) as stop:
        main(["denoise", "folder", "-o", "out", "--model", "gray.npz", "--report", "report.json"])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.err.startswith("spikeunet: error: folder/aa.png: not a PNG, JPEG, TIFF")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]
    report = json.loads(Path("report.json").read_text())
    assert [picture["input"] for picture in report["pictures"]] == ["folder/a.png", "folder/b.png"]
    assert [failure["input"] for failure in report["failures"]] == ["folder/aa.png"]


def test_names_with_control_characters_stay_on_one_line(refused):
    assert refused("denoise", "no\nsuch\x1b[31m.png", "-o", "out.png").startswith(
        "no\\nsuch\\x1b[31m.png: No such file"
    )


def test_only_text_that_utf8_knows_reaches_stderr(refused):
    name = os.fsdecode(b"no-\xff.png")
    assert refused("denoise", name, "-o", "out.png") == "no-\\udcff.png: No such file or directory"


CONVERSIONS = {
    "missing": (["missing.npz", "-o", "m.npz", "--normalization", "none"], "missing.npz: no such file; check the path"),
    "not a state dict": (["gray.npz", "-o", "m.npz", "--normalization", "none"], "is a model of spikeunet already"),
    "no calibration": (
        ["unet.npz", "-o", "m.npz"],
        "needs calibration pictures, such as the network will see; name a folder of them by --calibration",
    ),
    "empty calibration": (
        ["unet.npz", "-o", "m.npz", "--calibration", "empty"],
        "empty: holds no pictures for calibration",
    ),
    "suffix": (["state.npz", "-o", "model.bin"], "model.bin: a model file ends in .npz; choose another name"),
    "onto itself": (
        ["gray.npz", "-o", "gray.npz"],
        "gray.npz: the model would overwrite the state dict gray.npz; choose",
    ),
    "nowhere": (["gray.npz", "-o", "no/m.npz"], "no: No such file or directory; make the output folder first"),
    "thresholds": (["gray.npz", "-o", "m.npz", "--thresholds", "1;2"], "--thresholds must be numbers with ',' between"),
    "ascending": (["gray.npz", "-o", "m.npz", "--thresholds", "1,2"], "must be positive and strictly descending"),
    "NaN threshold": (
        ["gray.npz", "-o", "m.npz", "--thresholds", "nan"],
        "--thresholds must be finite numbers (got 'nan')",
    ),
    "two for IF": (
        ["gray.npz", "-o", "m.npz", "--neuron", "if", "--thresholds", "2,1"],
        "--neuron if has one threshold",
    ),
    "decay": (
        ["gray.npz", "-o", "m.npz", "--decay", "0.5"],
        "--decay 0.5 is for --neuron lif and refractory-lif (got --neuron multi-threshold)",
    ),
    "gamma": (["gray.npz", "-o", "m.npz", "--neuron", "if", "--gamma", "3"], "--gamma 3 is for --neuron burst (got"),
    "no burst": (
        ["gray.npz", "-o", "m.npz", "--neuron", "burst", "--gamma", "256"],
        "BurstNeuron.gamma: must be a whole number from 1 to 255 (got 256)",
    ),
    "reset": (
        ["gray.npz", "-o", "m.npz", "--reset", "zero"],
        "--reset zero is for --neuron if and lif and refractory-lif (got --neuron multi-threshold)",
    ),
    "sigma": (
        ["gray.npz", "-o", "m.npz", "--add-noise", "50:5"],
        "--add-noise must be a number or LOW:HIGH with LOW <= HIGH",
    ),
    "sigma alone": (
        ["gray.npz", "-o", "m.npz", "--add-noise", "5:50"],
        "--add-noise has no meaning without --calibration; name a folder",
    ),
    "steps": (["gray.npz", "-o", "m.npz", "--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
    "architecture": (
        ["state.npz", "-o", "m.npz", "--architecture", "vit", "--normalization", "none"],
        "unknown architecture 'vit'; there are auto, spiking-unet",
    ),
    "wrong keys": (
        ["state.npz", "-o", "m.npz", "--architecture", "spiking-unet", "--normalization", "none"],
        "conv1.weight",
    ),
    "keys of nothing": (
        ["state.npz", "-o", "m.npz", "--normalization", "none"],
        "looks like none of the architectures known by name; there are spiking-unet, unet",
    ),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_conversions_that_make_no_sense(refused, kind):
    arguments, message = CONVERSIONS[kind]
    np.savez("state.npz", **{"layer.weight": np.zeros((2, 2), np.float32)})
    np.savez("unet.npz", **spiking_unet_state())
    assert message in refused("convert", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "no-such-model"], "no model is called 'no-such-model'"),
        (["info", "gray.npz", "--shape", "0x5"], "--shape must be HEIGHTxWIDTH, for instance 256x256 (got '0x5')"),
        (["info", "gray.npz", "--shape", "large"], "--shape must be HEIGHTxWIDTH, for instance 256x256 (got 'large')"),
        (["convert", "state.npz", "-o", "m.npz", "--sigma", "5:50"], "--sigma does not exist"),
        (["finetune", "gray.npz", "--train", "folder", "-o", "m.npz", "--sigma=5:50"], "--sigma does not exist"),
        (["evaluate", "gray.npz", "folder", "--sigma", "25"], "--sigma does not exist"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_other_commands(refused, arguments, message):
    assert message in refused(*arguments)


EMPTY = {
    "input": ("denoise", "", "-o", "out.png"),
    "output": ("denoise", "good.png", "-o", ""),
    "report": ("denoise", "good.png", "-o", "out.png", "--report", ""),
    "reference": ("denoise", "good.png", "-o", "out.png", "--clean", ""),
    "overlay": ("segment", "good.png", "-o", "out.png", "--overlay", ""),
    "state": ("convert", "", "-o", "m.npz"),
    "calibration": ("convert", "state.npz", "-o", "m.npz", "--calibration", ""),
    "log": ("finetune", "gray.npz", "--train", "folder", "-o", "m.npz", "--log", ""),
    "results": ("evaluate", "gray.npz", "folder", "-o", ""),
    "data": ("evaluate", "gray.npz", "folder", "--data", ""),
    "model to round": ("quantize", "gray.npz", "-o", ""),
}


@pytest.mark.parametrize("what", EMPTY)
def test_an_empty_name_is_not_the_current_folder(refused, what):
    assert "the name is empty, which is no file and no folder" in refused(*EMPTY[what])
