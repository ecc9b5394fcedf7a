"""Data sets on disk: known layouts, splits, folders of one's own, labels and masks."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from small_segmenter import small_segmenter

from spikeunet.engine.datasets import LAYOUTS, Example, find_dataset, read_example_labels
from spikeunet.engine.errors import InputError, PictureError, SpikeunetError
from spikeunet.engine.pictures.labels import classes_of, palette_of
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.pictures.preprocessing import check_preprocessing
from spikeunet.engine.tasks.segmentation import segmenter


def fill(folder, names, shape=(4, 6), value=0):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(encoded(Path(name).suffix, shape, value))


@functools.cache
def encoded(suffix, shape, value):
    """A picture of one colour as a file."""
    return iio.imwrite("<bytes>", np.full(shape, value, np.uint8), extension=suffix)


@pytest.fixture
def data(tmp_path):
    fill(tmp_path / "denoise" / "set12", ["02.png", "01.png"])
    numbers = [f"{number}.png" for number in range(30)]
    fill(tmp_path / "em" / "image", numbers)
    fill(tmp_path / "em" / "label", numbers, value=255)
    for part, first in (("training", 21), ("test", 1)):
        names = [f"{number:02}.png" for number in range(first, first + 3)]
        for kind in ("image", "label", "mask"):
            fill(tmp_path / "drive" / part / kind, names, value=255)
    frames = [f"frame_{number:05}.png" for number in range(7959, 7959 + 24, 2)]
    for kind in ("image", "label"):
        fill(tmp_path / "camseq01" / kind, frames)
    return tmp_path


def names_of(dataset):
    return [example.name for example in dataset.examples]


def test_denoising_sets_are_in_order_of_names(data):
    found = find_dataset("set12", "denoise", data)
    assert names_of(found) == ["01.png", "02.png"]
    assert [(example.index, example.reference) for example in found.examples] == [(0, None), (1, None)]
    assert find_dataset("set12", "denoise", data / "denoise").examples == found.examples
    assert find_dataset(f"set12={data}/denoise/set12", "denoise").examples == found.examples


def test_slices_are_in_order_of_numbers(data):
    test, train = (find_dataset("em", "segment", data, split) for split in ("test", "train"))
    assert names_of(test) == [f"{number}.png" for number in range(24, 30)]
    assert names_of(train) == [f"{number}.png" for number in range(24)]
    assert len(find_dataset("em", "segment", data, "all").examples) == 30
    assert test.examples[0].reference == data / "em" / "label" / "24.png"


def test_photographs_have_masks_and_folders_for_their_splits(data):
    test, train, both = (find_dataset("drive", "segment", data, split) for split in ("test", "train", "all"))
    assert names_of(test) == ["01.png", "02.png", "03.png"]
    assert names_of(train) == ["21.png", "22.png", "23.png"]
    assert set(names_of(both)) == {*names_of(test), *names_of(train)}
    assert [example.index for example in both.examples] == list(range(6))
    assert test.examples[1].mask == data / "drive" / "test" / "mask" / "02.png"


def test_every_fifth_frame_is_for_testing(data):
    test, train = (find_dataset("camseq01", "segment", data, split) for split in ("test", "train"))
    assert names_of(test) == ["frame_07967.png", "frame_07977.png"]
    assert len(train.examples) == 10
    assert not {*names_of(test)} & {*names_of(train)}
    assert (test.void, train.void) == (11, 11)


def test_folders_of_ones_own(tmp_path):
    fill(tmp_path / "in", ["b.png", "a.jpg"])
    fill(tmp_path / "out", ["a.png", "b.png", "c.png"])
    fill(tmp_path / "where", ["a.png", "b.png"])
    pair = find_dataset(f"{tmp_path}/in:{tmp_path}/out", "segment", void=9)
    assert names_of(pair) == ["a.jpg", "b.png"]
    assert [example.reference.name for example in pair.examples] == ["a.png", "b.png"]
    assert (pair.void, pair.split, pair.name) == (9, "all", f"{tmp_path}/in")
    triple = find_dataset(f"{tmp_path}/in:{tmp_path}/out:{tmp_path}/where", "segment")
    assert triple.examples[0].mask == tmp_path / "where" / "a.png"
    lone = find_dataset(f"{tmp_path}/in", "denoise")
    assert [example.reference for example in lone.examples] == [None, None]


def test_a_folder_may_have_an_equals_sign(tmp_path):
    fill(tmp_path / "sigma=25", ["a.png"])
    assert names_of(find_dataset(f"{tmp_path}/sigma=25", "denoise")) == ["a.png"]


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("set12", "segment", r"set12 is for the task 'denoise', the model for 'segment'; choose another"),
        ("em", "denoise", r"em is for the task 'segment', the model for 'denoise'"),
        ("bsd68", "denoise", r"holds no folder bsd68; name it as bsd68=FOLDER"),
        ("set13", "denoise", r"no data set and no folder is called 'set13'; known are set12, bsd68"),
        ("set13=.", "denoise", r"no data set is called 'set13'; there are set12"),
        ("em=nowhere", "segment", r"No such file or directory; give a folder of the data set em"),
        ("a::b", "segment", r"a data set is NAME, NAME=FOLDER, PICTURES:REFERENCES"),
        ("a:b:c:d", "segment", r"a data set is NAME, NAME=FOLDER"),
        ("pictures", "segment", r"pictures: segmentation needs label pictures; give PICTURES:LABELS"),
        ("pictures:labels", "segment", r"labels: has no label pictures for a.png; one is needed"),
        ("pictures:labels", "denoise", r"labels: has no clean references for a.png; one is needed"),
        ("pictures:doubled", "segment", r"doubled: has 2 label pictures for a.png; one is needed"),
        ("pictures:nowhere", "segment", r"No such file or directory; give a folder of label pictures"),
        ("pictures:pictures:labels", "segment", r"labels: has no masks for a.png; one is needed"),
        ("empty", "denoise", r"empty: no pictures in this folder"),
        ("em=unnumbered", "segment", r"a.png: pictures of this data set are called by their numbers"),
        ("em=short", "segment", r"short: the data set em has no pictures in the split 'test'"),
        ("drive=short", "segment", r"No such file or directory; give a folder of pictures"),
    ],
)
def test_data_sets_that_are_not_there(data, monkeypatch, text, task, message):
    monkeypatch.chdir(data)
    Path("empty").mkdir()
    fill(Path("pictures"), ["a.png"])
    fill(Path("labels"), ["b.png"])
    fill(Path("doubled"), ["a.tif", "a.bmp"])
    for folder, name in (("unnumbered", "a.png"), ("short", "1.png")):
        fill(Path(folder) / "image", [name])
        fill(Path(folder) / "label", [name])
    with pytest.raises((SpikeunetError, OSError), match=message):
        find_dataset(text, task, data)


def test_a_name_needs_a_folder_and_a_split_is_known(data):
    with pytest.raises(InputError, match=r"say where the data set em is: --data FOLDER that holds it, or em=FOLDER"):
        find_dataset("em", "segment")
    with pytest.raises(InputError, match=r"split must be one of test, train, all \(got 'dev'\)"):
        find_dataset("em", "segment", data, "dev")


def test_labels_void_and_mask(tmp_path):
    write_picture(tmp_path / "labels.png", np.uint8([[0, 1, 2, 7]]))
    write_picture(tmp_path / "mask.png", np.uint8([[0, 255, 1, 255]]))
    example = Example("p.png", 0, tmp_path / "p.png", tmp_path / "labels.png", tmp_path / "mask.png")
    np.testing.assert_array_equal(read_example_labels(example, (1, 4), 3, void=7), [[-1, 1, 2, -1]])
    with pytest.raises(PictureError, match=r"labels.png: is 1x4, but .*p.png is 4x1; they must agree"):
        read_example_labels(example, (4, 1), 3, void=7)
    with pytest.raises(InputError, match=r"labels.png: label 7 is not one of the classes 0 to 2; name the void label"):
        read_example_labels(example, (1, 4), 3)
    write_picture(tmp_path / "mask.png", np.zeros((1, 4), np.uint8))
    with pytest.raises(InputError, match=r"labels.png: no pixel counts, all are void or outside the mask"):
        read_example_labels(example, (1, 4), 3, void=7)
    write_picture(tmp_path / "mask.png", np.zeros((1, 5), np.uint8))
    with pytest.raises(PictureError, match=r"mask.png: is 1x5, but"):
        read_example_labels(example, (1, 4), 3, void=7)


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.task == "segment"])
def test_layouts_make_good_metadata(name):
    layout = LAYOUTS[name]
    metadata = layout.metadata()
    assert classes_of(metadata, len(layout.classes)) == layout.classes
    assert palette_of(metadata, len(layout.classes)) == layout.palette
    check_preprocessing(metadata.get("preprocessing", ()))
    segmenter(small_segmenter(len(layout.classes), **metadata))


def test_the_real_data_sets(shared_data):
    counts = {"set12": 12, "bsd68": 68, "cbsd68": 68, "em": 6, "drive": 20, "camseq01": 20}
    for name, count in counts.items():
        assert len(find_dataset(name, LAYOUTS[name].task, shared_data).examples) == count
    train = {"em": 24, "drive": 20, "camseq01": 81}
    for name, count in train.items():
        dataset = find_dataset(name, "segment", shared_data, "train")
        assert len(dataset.examples) == count
        example = dataset.examples[-1]
        size = read_picture(example.picture).shape[:2]
        labels = read_example_labels(example, size, len(LAYOUTS[name].classes), dataset.void)
        assert set(Counter(labels.ravel().tolist())) <= {-1, *range(len(LAYOUTS[name].classes))}
