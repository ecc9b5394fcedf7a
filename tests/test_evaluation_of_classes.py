"""`spikeunet evaluate` of classifiers on a folder for each class: scores, matrices, files, and what is refused."""

from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import refusals
from small_classifier import SIDE, picture_of_class, small_classifier, write_classes

from spikeunet.engine import classify, forward, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.datasets import Classes, find_dataset
from spikeunet.engine.errors import InputError
from spikeunet.engine.evaluation import one_picture as worker
from spikeunet.engine.evaluation.scores import classification_scores, pooled_pictures
from spikeunet.engine.pictures.picture_files import read_picture, write_picture

NAMES = [f"level {index}" for index in range(7)]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(small_classifier(7, classes=NAMES), "seven.npz")
    write_classes("test", NAMES, number=2, wrong={(1, 0), (6, 1)})
    worker._network.cache_clear()


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    return stop.value.code


def rows_of(name):
    with open(Path("out", name), newline="") as stream:
        return list(csv.DictReader(stream))


def test_scores_are_those_of_the_pictures(capsys):
    metrics = pytest.importorskip("sklearn.metrics")
    assert run("seven.npz", "test", "--steps", "1,3", "--ann", "-o", "out") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    rows, results = rows_of("pictures.csv"), json.loads(Path("out/results.json").read_text())
    assert [row["method"] for row in rows[:3]] == ["spiking", "spiking", "ANN"]
    assert [row["picture"] for row in rows[::3]] == [f"{name}/{index}.png" for name in NAMES for index in range(2)]
    spiking = [row for row in rows if row["steps"] == "3"]
    true, scores = [int(row["label"]) for row in spiking], []
    for row in spiking:
        picture = read_picture(f"test/{row['picture']}")
        found = classify(picture, "seven.npz", steps=3)
        assert (int(row["predicted"]), int(row["events"])) == (found.label, found.result.total_events)
        assert float(row["accuracy"]) == (found.label == int(row["label"]))
        scores.append(found.scores)
    assert true == sorted(list(range(7)) * 2)
    entry = next(each for each in results["summary"] if each["steps"] == 3)
    pooled = entry["pooled"]
    assert pooled["accuracy"] == 12 / 14
    assert pooled["accuracy"] == pytest.approx(metrics.accuracy_score(true, np.argmax(scores, axis=1)))
    assert pooled["top5"] == pytest.approx(metrics.top_k_accuracy_score(true, scores, k=5))
    assert pooled["confusion"] == metrics.confusion_matrix(true, np.argmax(scores, axis=1)).tolist()
    assert pooled["class_accuracy"] == [1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5]
    assert entry["mean"]["accuracy"] == pytest.approx(12 / 14)
    ann = forward(small_classifier(7), read_picture("test/level 1/0.png")[None].astype(np.float32) / 255)[0]
    assert (
        int(next(row for row in rows if row["picture"] == "level 1/0.png" and row["method"] == "ANN")["predicted"])
        == ann.argmax()
    )


def test_the_matrix_is_printed_and_written(capsys):
    assert run("seven.npz", "test", "-o", "out") == 0
    table, matrix = capsys.readouterr().out.split("\n\n")
    assert "accuracy\ttop-5" in table
    title, header, *lines = matrix.splitlines()
    assert title.startswith("test, 3 steps: true classes by row")
    assert header.split("\t") == ["class", *NAMES]
    assert lines[1].split("\t") == ["level 1", "0", "1", "1", "0", "0", "0", "0"]
    cells = {(row["class"], row["taken_for"]): row["pictures"] for row in rows_of("confusion.csv")}
    assert len(cells) == 49
    assert (cells["level 1", "level 2"], cells["level 6", "level 0"], cells["level 6", "level 6"]) == ("1", "1", "1")
    if Path("out/confusion.png").exists():
        assert read_picture("out/confusion.png").ndim == 3
    assert not Path("out/journal.jsonl").exists()


def test_many_classes_are_not_printed_cell_by_cell(monkeypatch, capsys):
    monkeypatch.setattr("spikeunet.engine.command_line.confusion.MOST_SHOWN", 6)
    assert run("seven.npz", "test") == 0
    assert "most often level 6 for level 0 1 times, level 1 for level 2 1 times" in capsys.readouterr().out


def test_pooling_by_hand():
    scores = np.float32([0.1, 0.9, 0.3, 0.4, 0.5, 0.6])
    assert classification_scores(1, scores, 6)["accuracy"] == 1.0
    assert classification_scores(2, scores, 6)["top5"] == 1.0
    assert classification_scores(0, scores, 6) == {"accuracy": 0, "top5": 0, "label": 0, "predicted": 1, "classes": 6}
    assert classification_scores(0, scores[:5], 5)["top5"] is None
    pooled = pooled_pictures([classification_scores(label, scores, 6) for label in (1, 0, 2)])
    assert (pooled["accuracy"], pooled["top5"]) == (1 / 3, 2 / 3)
    assert pooled["class_accuracy"] == [0.0, 1.0, 0.0, None, None, None]


def test_the_limit_spreads_over_the_classes(capsys):
    assert run("seven.npz", "test", "--limit", 7, "-o", "out") == 0
    assert [row["label"] for row in rows_of("pictures.csv")] == list("0123456")


def test_folders_called_by_numbers_where_the_model_has_no_names(capsys):
    save_model(small_classifier(3), "three.npz")
    write_classes("numbers", ["0", "1", "2"], number=1)
    Path("numbers/2").rename("numbers/02")
    assert run("three.npz", "numbers", "-o", "out") == 0
    assert {row["picture"]: row["label"] for row in rows_of("pictures.csv")} == {
        "0/0.png": "0", "02/0.png": "2", "1/0.png": "1",
    }  # fmt: skip
    # Names from elsewhere are in the order of the outputs.
    write_classes("named", ["a", "b", "c"], number=1)
    Path("names.txt").write_text("c\nb\na\n")
    assert run("three.npz", "named", "--classes", "names.txt", "-o", "out") == 0
    assert {row["picture"]: row["label"] for row in rows_of("pictures.csv")} == {
        "a/0.png": "2", "b/0.png": "1", "c/0.png": "0",
    }  # fmt: skip
    capsys.readouterr()


def test_other_names_are_another_evaluation(monkeypatch, capsys):
    """What was finished with other labels is not taken for finished."""
    write_picture("test/level 3/9.png", np.zeros((SIDE + 1, SIDE), np.uint8))
    assert run("seven.npz", "test", "-o", "out") == 2
    assert "level 3/9.png: the picture has 9x8 pixels" in capsys.readouterr().err
    Path("names.txt").write_text("\n".join(reversed(NAMES)))
    assert run("seven.npz", "test", "--classes", "names.txt", "-o", "out") == 2
    assert "left this journal, and differs in classes;" in capsys.readouterr().err


def test_what_is_left_out_is_said(capsys):
    write_picture("test/loose.png", picture_of_class(0, 7))
    Path("test/level 2/readme.txt").write_text("text")
    Path("test/.hidden").mkdir()
    assert run("seven.npz", "test") == 0
    assert capsys.readouterr().err.splitlines() == [
        "spikeunet: skipped 1 pictures of test in no class's folder: loose.png",
        "spikeunet: skipped 1 of test/level 2: readme.txt (no picture by its suffix)",
    ]


def test_only_dark_pictures_are_doubted(capsys):
    for name, samples in (("low", [86, 189]), ("dark", [0, 16])):
        write_picture(f"test/level 2/{name}.png", np.tile(np.uint8(samples), (SIDE, SIDE // 2)))
    assert run("seven.npz", "test") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "level 2/dark.png: its samples go from 0 to 16" in line


def spoil(how):
    if how == "an empty class":
        Path("test/level 3").rename("away")
        Path("test/level 3").mkdir()
    elif how == "no classes":
        Path("empty").mkdir()
    elif how in ("another class", "several classes"):
        Path("test/level 7").mkdir()
        if how == "several classes":
            Path("test/level 8").mkdir()
    elif how == "two numbers of one class":
        save_model(small_classifier(7), "seven.npz")
        write_classes("numbers", ["1", "01"], number=1)
    elif how == "no names":
        save_model(small_classifier(7), "seven.npz")
    elif how == "two spellings of one name":
        for form in ("NFC", "NFD"):
            Path("test", unicodedata.normalize(form, "café")).mkdir()


REFUSED = {
    "an empty class": (["test"], "test/level 3: no pictures in this folder"),
    "no classes": (["empty"], "empty: has no folders; a classifier's pictures lie in a folder for each class"),
    "one class's folder": (["test/level 1"], "test/level 1: has no folders; a classifier's pictures"),
    "another class": (["test"], "test: level 7 is no class: the model knows level 0, level 1, level 2"),
    "several classes": (["test"], "test: level 7, level 8 are no classes: the model knows level 0"),
    "two numbers of one class": (["numbers"], "numbers/1: is the same class 1 as numbers/01; put their pictures"),
    "no names": (["test"], "the model does not name its 7 classes; call the folders 0 to 6 by its outputs, or name"),
    "two spellings of one name": (["test"], "test: has two folders called café, spelt otherwise"),
    "missing": (["nowhere"], "nowhere: No such file or directory; give a folder of folders of pictures"),
    "another task's data set": (
        ["drive=test"],
        "the data set drive is for the task 'segment', the model for 'classify'",
    ),
    "void": (["test", "--void", "1"], "void 1 is for label pictures; a classifier's pictures have a class each"),
    "names of a denoiser": (["test", "--classes", "test"], "names of classes are for classifiers"),
    "onto the names": (["test", "--classes", "out/results.json", "-o", "out"], "would overwrite the names of the"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_bad_input_is_one_line(capsys, how):
    spoil(how)
    model = "seven.npz"
    if how == "names of a denoiser":
        refusals.fill_folder()
        model = "gray.npz"
    Path("out").mkdir()
    Path("out/results.json").write_text(json.dumps(NAMES))
    arguments, message = REFUSED[how]
    assert message in refusals.refusal(capsys, "evaluate", model, *arguments)


def test_labels_need_classes():
    with pytest.raises(InputError, match="say which classes there are"):
        find_dataset("test", "classify")
    found = find_dataset("test", "classify", classes=Classes(7, tuple(NAMES)))
    assert [example.label for example in found.examples] == [label for label in range(7) for _ in range(2)]
    assert [example.index for example in found.examples] == list(range(14))
