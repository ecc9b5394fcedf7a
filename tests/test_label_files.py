"""Label pictures and masks as people have them: what they mean is what is read, and what is open is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from small_segmenter import small_segmenter

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.datasets import Example, find_dataset, read_example_labels
from spikeunet.engine.errors import InputError, PictureError
from spikeunet.engine.learning.finetune import read_labelled
from spikeunet.engine.pictures.labels import class_indices, read_labels, write_labels
from spikeunet.engine.pictures.picture_files import write_picture

TRUTH = np.random.default_rng(4).random((9, 14)) < 0.4
TRUTH[0, :2] = False, True


def read(path, mask=None, classes=2, void=None):
    example = Example("p.png", 0, Path("p.png"), path, mask)
    return read_example_labels(example, TRUTH.shape, classes, void)


def indexed(path, indices, *colors):
    image = Image.fromarray(np.asarray(indices, np.uint8), "P")
    image.putpalette([sample for color in colors for sample in color])
    image.save(path)


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)

WRITERS = {
    "gray.png": lambda path: Image.fromarray(TRUTH * np.uint8(255)).save(path),
    "deep.png": lambda path: Image.fromarray(TRUTH * np.uint16(65535)).save(path),
    "numbers.png": lambda path: Image.fromarray(TRUTH.astype(np.uint8)).save(path),
    "one_bit.png": lambda path: Image.fromarray(TRUTH).save(path),
    "indexed.png": lambda path: indexed(path, TRUTH, BLACK, WHITE),
    "coloured.png": lambda path: indexed(path, TRUTH, RED, BLACK),
    "gray.tif": lambda path: tifffile.imwrite(path, TRUTH * np.uint8(255)),
    "bool.tif": lambda path: tifffile.imwrite(path, TRUTH),
    "deep.tif": lambda path: tifffile.imwrite(path, TRUTH * np.uint16(65535)),
    "one_bit.tif": lambda path: Image.fromarray(TRUTH).save(path),
    "gray.gif": lambda path: Image.fromarray(TRUTH * np.uint8(255)).save(path),
    # Encoders order a palette as they like: here white comes first.
    "white_first.gif": lambda path: indexed(path, ~TRUTH, WHITE, BLACK),
    "one_bit.gif": lambda path: Image.fromarray(TRUTH).save(path),
    "gray.bmp": lambda path: Image.fromarray(TRUTH * np.uint8(255)).save(path),
    "gray.pgm": lambda path: Image.fromarray(TRUTH * np.uint8(255)).save(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_labels_of_two_classes_whatever_holds_them(tmp_path, name):
    WRITERS[name](tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), TRUTH)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "coloured.png"])
def test_masks_whatever_holds_them(tmp_path, name):
    WRITERS[name](tmp_path / name)
    write_picture(tmp_path / "zero.png", np.zeros(TRUTH.shape, np.uint8))
    np.testing.assert_array_equal(read(tmp_path / "zero.png", tmp_path / name), np.where(TRUTH, 0, -1))


REFUSED = {
    "white_is_zero.tif": (
        lambda path: tifffile.imwrite(path, TRUTH.astype(np.uint8), photometric="miniswhite"),
        "a TIFF whose white is 0 leaves open whether the stored numbers count",
    ),
    "bool_by_another.tif": (
        lambda path: tifffile.imwrite(path, TRUTH, software="other"),
        "a TIFF whose white is 0 leaves open whether the stored numbers count",
    ),
    "white_first.png": (
        lambda path: indexed(path, ~TRUTH, WHITE, BLACK),
        "its palette shows class 0 white and class 1 black, which is mostly a mistake; save it as gray",
    ),
    "coloured.gif": (lambda path: indexed(path, TRUTH, BLACK, RED), "a GIF with colours does not say which is which"),
    "several.gif": (
        lambda path: Image.fromarray(TRUTH * np.uint8(255)).save(
            path, save_all=True, append_images=[Image.fromarray(~TRUTH * np.uint8(255))]
        ),
        "holds 2 pictures; save the one to use as a file of its own",
    ),
    "torn.gif": (lambda path: path.write_bytes(b"GIF89a\1"), r"torn.gif: cannot be read as a picture \("),
    "gray_and_white.png": (
        lambda path: Image.fromarray(np.where(TRUTH, 255, 1).astype(np.uint8)).save(path),
        "gray_and_white.png: labels 1 and 255 could both be class 1; name the void label",
    ),
    "both_whites.png": (
        lambda path: Image.fromarray(np.where(TRUTH, 255, 65535).astype(np.uint16)).save(path),
        "labels 255 and 65535 could both be class 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_leave_something_open_are_refused(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises((InputError, PictureError), match=message):
        read(tmp_path / name)


def test_a_void_label_says_what_white_is(tmp_path):
    Image.fromarray(np.where(TRUTH, 255, 1).astype(np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", void=255), np.where(TRUTH, -1, 1))
    np.testing.assert_array_equal(read(tmp_path / "a.png", void=1), np.where(TRUTH, 1, -1))
    np.testing.assert_array_equal(class_indices(np.array([[0, 255]]), 2), [[0, 1]])
    with pytest.raises(InputError, match="label 255 is not one of the classes 0 to 2"):
        class_indices(np.array([[0, 255]]), 3)


def test_a_mask_that_jpeg_has_blurred_is_refused(tmp_path):
    write_picture(tmp_path / "mask.jpg", TRUTH * np.uint8(255))
    write_picture(tmp_path / "zero.png", np.zeros(TRUTH.shape, np.uint8))
    with pytest.raises(PictureError, match=r"mask.jpg: a mask is black where nothing is scored, and JPEG blurs that"):
        read(tmp_path / "zero.png", tmp_path / "mask.jpg")


def test_three_classes_keep_white_first(tmp_path):
    write_labels(tmp_path / "a.png", TRUTH * 2, [WHITE, BLACK, RED])
    np.testing.assert_array_equal(read(tmp_path / "a.png", classes=3), TRUTH * 2)


@pytest.mark.parametrize(
    "name", ["mask_0_255.png", "mask_0_65535.png", "mask_as_drive.gif", "mask_bool_by_tifffile.tif"]
)
def test_cases(shared_cases, name):
    with Image.open(shared_cases / "mask_0_255.png") as image:
        truth = np.asarray(image) > 0
    example = Example("p.png", 0, Path("p.png"), shared_cases / name, shared_cases / name)
    assert 0.1 < truth.mean() < 0.9
    np.testing.assert_array_equal(read_example_labels(example, truth.shape, 2), np.where(truth, 1, -1))
    np.testing.assert_array_equal(class_indices(read_labels(shared_cases / name), 2), truth)


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """DRIVE as its makers distribute it, with two small pictures in each split, a line of vessel in each."""
    for part, kind, first in (("training", "training", 21), ("test", "test", 1)):
        root = tmp_path / "DRIVE" / part
        for folder in ("images", "1st_manual", "2nd_manual", "mask"):
            (root / folder).mkdir(parents=True)
        for number in range(first, first + 2):
            picture = np.full((20, 24, 3), 30, np.uint8)
            picture[number % 20] = 200
            inside = np.zeros((20, 24), np.uint8)
            inside[:, 2:22] = 255
            tifffile.imwrite(root / "images" / f"{number:02}_{kind}.tif", picture, photometric="rgb", compression="lzw")
            write_gif(root / "1st_manual" / f"{number:02}_manual1.gif", (picture[..., 0] > 100) * np.uint8(255))
            write_gif(root / "2nd_manual" / f"{number:02}_manual2.gif", np.zeros((20, 24), np.uint8))
            write_gif(root / "mask" / f"{number:02}_{kind}_mask.gif", inside)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "DRIVE"


def write_gif(path, samples):
    Image.fromarray(samples).save(path)


def test_drive_as_it_is_distributed(drive, tmp_path):
    test = find_dataset(f"drive={drive}", "segment")
    (first, _) = test.examples
    assert first == Example(
        "01_test.tif",
        0,
        drive / "test/images/01_test.tif",
        drive / "test/1st_manual/01_manual1.gif",
        drive / "test/mask/01_test_mask.gif",
    )
    assert find_dataset("drive", "segment", tmp_path).examples == test.examples
    both = find_dataset("drive", "segment", tmp_path, "all")
    assert [example.name for example in both.examples] == [
        "21_training.tif",
        "22_training.tif",
        "01_test.tif",
        "02_test.tif",
    ]
    labels = [each for _, each in read_labelled(both, small_segmenter(2, 3))]
    for number, each in zip((21, 22, 1, 2), labels, strict=True):
        truth = np.zeros((20, 24), int)
        truth[number % 20] = 1
        truth[:, [0, 1, 22, 23]] = -1
        np.testing.assert_array_equal(each, truth)


def test_what_is_missing_of_drive_is_named(drive):
    (drive / "test/1st_manual/02_manual1.gif").unlink()
    with pytest.raises(
        InputError, match=r"1st_manual: has no label pictures for 02_test.tif, which would be called 02_"
    ):
        find_dataset(f"drive={drive}", "segment")
    (drive / "test" / "image").mkdir()
    with pytest.raises(InputError, match="has the folders image and images, either of which may hold the pictures"):
        find_dataset(f"drive={drive}", "segment")


def test_drive_is_evaluated_as_it_is_distributed(drive, capsys):
    pytest.importorskip("sklearn")
    save_model(small_segmenter(2, 3), "model.npz")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "model.npz", "drive", "--data", "."])
    assert stop.value.code == 0
    header, line = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    found = dict(zip(header, line, strict=True))
    assert (found["pictures"], found["accuracy"], found["F1"]) == ("2", "1.0000", "1.0000")


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_training_and_calibration_name_the_file_that_does_not_fit(tmp_path, monkeypatch, capsys):
    from small_denoiser import small_denoiser

    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "gray.npz")
    save_model(small_segmenter(), "two.npz")
    for folder in ("pictures", "labels"):
        Path(folder).mkdir()
    for name, size in (("a", 80), ("b", 40)):
        write_picture(f"pictures/{name}.png", np.full((size, 80), 90, np.uint8))
        write_picture(f"labels/{name}.png", np.zeros((size, 80), np.uint8))
    message = "pictures/b.png is 40x80x1 (height x width x channels); crops of 64 with 1 channels do not fit"
    assert message in refused(capsys, "finetune", "gray.npz", "--train", "pictures", "-o", "out.npz")
    segment = ("--task", "segment", "--labels", "labels")
    assert message in refused(capsys, "finetune", "two.npz", "--train", "pictures", *segment, "-o", "out.npz")
    assert not Path("out.npz").exists()


def test_calibration_names_the_file_that_does_not_fit(tmp_path):
    from spikeunet.converters.calibration import calibration_pictures

    write_picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    write_picture(tmp_path / "b.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"/b.png has 3 channels, but the network takes 2"):
        calibration_pictures(tmp_path, 2)
    with pytest.raises(InputError, match=r"calibration picture 1 has 3 channels, but the network takes 2"):
        calibration_pictures([np.zeros((2, 8, 8)), np.zeros((3, 8, 8))], 2)
