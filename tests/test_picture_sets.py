"""What there is to say of pictures that belong together is said once, with a remedy that there is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from small_denoiser import small_denoiser, spiking_unet_state

from spikeunet.converters import calibration_pictures
from spikeunet.engine import save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError, PictureError, PictureWarning
from spikeunet.engine.learning.finetune import read_pictures
from spikeunet.engine.pictures.picture_set import picture_set

TWELVE_BITS = (np.random.default_rng(0).random((3, 16, 16)) * 4095).astype(np.uint16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with pictures of a camera of twelve bits in "train"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    for number, picture in enumerate(TWELVE_BITS):
        write_picture(tmp_path / "train" / f"{number}.png", picture)
    return tmp_path / "train"


def told(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run()
    assert all(each.category is PictureWarning for each in caught)
    return found, [str(each.message) for each in caught]


def test_calibration_says_once_that_white_may_be_another(folder):
    _, (line,) = told(lambda: calibration_pictures(folder, 1))
    low, high = TWELVE_BITS.min(), TWELVE_BITS.max()
    said = f"0.png and 2 others: their samples go from {low} to {high}, but white is taken for 65535 (uint16)"
    assert line.startswith(f"{folder}/{said}")
    assert line.endswith("--range LOW:HIGH, calibration_pictures(..., sample_range=(low, high))")


def test_calibration_takes_the_range_that_is_named(folder):
    pictures, lines = told(lambda: calibration_pictures(folder, 1, sample_range=(0, 4095)))
    assert not lines
    np.testing.assert_allclose(pictures[1][0], TWELVE_BITS[1] / 4095, rtol=1e-6)
    with pytest.raises(InputError, match="two numbers, black and then white"):
        calibration_pictures(folder, 1, sample_range=(5, 5))
    with pytest.raises(PictureError, match=r"0\.png: .*beyond the range from black 0 to white 10"):
        calibration_pictures(folder, 1, sample_range=(0, 10))


def test_one_bright_picture_shows_what_white_is(folder):
    write_picture(folder / "3.png", np.array([[0, 65535]], np.uint16))
    assert told(lambda: calibration_pictures(folder, 1))[1] == []


def test_what_stretches_pictures_needs_no_range(folder):
    steps = [{"name": "rescale_intensity"}]
    assert told(lambda: calibration_pictures(folder, 1, preprocessing=steps))[1] == []


def test_training_pictures_name_a_remedy_that_there_is(folder):
    _, (line,) = told(lambda: read_pictures(folder, 1))
    assert line.endswith("(uint16); if it is not, scale the pictures first, or the result will be poor")


def test_each_remark_is_said_once(folder):
    def read():
        with picture_set(stretched=True) as pictures:
            for number in range(3):
                pictures.colors(folder / f"{number}.png")
                pictures._remarks.setdefault("is odd", []).append(str(number))

    assert told(read)[1] == ["0 and 2 others: is odd"]


@pytest.mark.parametrize("command", ["convert", "diagnose"])
def test_commands_that_calibrate_have_the_option(folder, capsys, command):
    save_model(small_denoiser(), "model.npz")
    np.savez("gray.npz", **spiking_unet_state())
    arguments = {
        "convert": ["convert", "gray.npz", "-o", "made.npz", "--calibration", "train"],
        "diagnose": ["diagnose", "model.npz", "--calibrate", "train", "--steps", "1"],
    }[command]
    said = []
    for options in ([], ["--range", "0:4095"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, *options])
        assert stop.value.code == 0
        said.append(capsys.readouterr().err)
    assert said[0].count("white is taken for") == 1
    assert "--range LOW:HIGH" in said[0]
    assert "white is taken for" not in said[1]
