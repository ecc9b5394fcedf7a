"""What fuzzing found in metadata and journals: values of types that nobody expects there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from model_files import text_array, write_changed
from small_denoiser import small_denoiser, spiking_unet_state
from small_segmenter import small_segmenter

from spikeunet.engine import Network, load_model, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError, ModelFileError
from spikeunet.engine.evaluation.journal import Journal
from spikeunet.engine.evaluation.picture_task import Outcome
from spikeunet.engine.files.json_text import MAXIMUM_DEPTH, format_json, parse_json
from spikeunet.engine.learning.finetune.checkpoint import read_checkpoint
from spikeunet.engine.pictures.preprocessing import check_preprocessing
from spikeunet.engine.tasks.inference import model_for, task_of


@pytest.mark.parametrize("task", [["segment"], {"segment": 1}, None, 1.5])
def test_a_task_that_is_no_name(task):
    network = small_segmenter()
    odd = Network(network.nodes, {**network.metadata, "task": task})
    assert isinstance(task_of(odd), str)
    with pytest.raises(InputError, match=r"is for .*, not for"):
        model_for("segment", odd)


@pytest.mark.parametrize("name", [["rgb2gray"], {}, None])
def test_a_preprocessing_step_whose_name_is_none(name):
    with pytest.raises(InputError, match="must have one of the names"):
        check_preprocessing([{"name": name}])


class _Task:
    key = ("set", 0)

    def digests(self):
        return {}


@pytest.mark.parametrize("change", [("events", "wrong"), ("rows", []), ("sha256", None), ("key", {})])
def test_a_changed_line_of_a_journal_costs_its_picture_alone(tmp_path, change):
    path = tmp_path / "journal.jsonl"
    tasks = [_Task(), _Task()]
    tasks[1].key = ("set", 1)
    with Journal(path, {"seed": 0}) as journal:
        for task in tasks:
            journal.add(Outcome(task, [{"events": 3, "psnr": 0.1 + 0.2}]))
    with Journal(path, {"seed": 0}) as journal:
        assert [journal.finished(task) is not None for task in tasks] == [True, True]
    header, line, other = path.read_text().splitlines()
    content = json.loads(line)
    (content["rows"][0] if change[0] == "events" else content).update([change])
    path.write_text(f"{header}\n{json.dumps(content)}\n{other}\n")
    with Journal(path, {"seed": 0}) as journal:
        assert [journal.finished(task) for task in tasks] == [None, [{"events": 3, "psnr": 0.1 + 0.2}]]
        journal.add(Outcome(tasks[0], [{"events": 4, "psnr": 0.2}]))
    with Journal(path, {"seed": 0}) as journal:
        assert journal.finished(tasks[0]) == [{"events": 4, "psnr": 0.2}]


@pytest.mark.parametrize("line", [b"\xff", b"[]", b"1", b"{}", b"[" * 100_000, b"\0\0\0"])
def test_a_line_of_a_journal_that_is_none_costs_no_other(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    with Journal(path, {"seed": 0}) as journal:
        journal.add(Outcome(_Task(), [{"events": 3}]))
    header, whole = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([header, line, whole, b""]))
    with Journal(path, {"seed": 0}) as journal:
        assert journal.finished(_Task()) == [{"events": 3}]


# --- Strict JSON -----------------------------------------------------------------------------------------------------


def nested(depth):
    return "[" * depth + "1" + "]" * depth


BROKEN = {
    "infinity": ('{"a": 1e999}', "inf is no finite number"),
    "minus infinity": ('{"a": [-1e999]}', "-inf is no finite number"),
    "NaN": ('{"a": NaN}', "NaN is no JSON"),
    "word for infinity": ('{"a": Infinity}', "Infinity is no JSON"),
    "half of a character in a key": ('{"\\ud800": 1}', "'\\\\ud800' holds half of a character"),
    "half of a character": ('{"a": {"b": ["\\udc00x"]}}', "'\\\\udc00x' holds half of a character"),
    "a key twice": ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands there twice"),
    "a key twice within": ('{"a": [{"b": 1, "b": 1}]}', "the key 'b' stands there twice"),
    "deep": (f'{{"a": {nested(MAXIMUM_DEPTH)}}}', f"nested more than {MAXIMUM_DEPTH} deep"),
    "deeper": (nested(500), f"nested more than {MAXIMUM_DEPTH} deep"),
    "deepest": ("[" * 100_000, f"nested more than {MAXIMUM_DEPTH} deep"),
    "long number": (f'{{"a": {"9" * 5000}}}', "Exceeds the limit"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_json_that_readers_disagree_on_is_refused(kind):
    text, message = BROKEN[kind]
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(text)
    assert str(caught.value).isprintable()


def test_json_is_read_as_it_stands():
    value = {"a": [1, -0.5, None, True, "größer 😀"], "": {}, "b": [[]]}
    assert parse_json(format_json(value)) == value
    assert parse_json(nested(MAXIMUM_DEPTH))
    with pytest.raises(ValueError, match="inf is no finite number"):
        format_json({"a": float("inf")})


@pytest.mark.parametrize("key", ["metadata", "topology", "normalization"])
@pytest.mark.parametrize("kind", BROKEN)
def test_model_files_hold_strict_json(tmp_path, kind, key):
    save_model(small_denoiser(), tmp_path / "model.npz")
    write_changed(tmp_path / "model.npz", {key: text_array(BROKEN[kind][0])})
    with pytest.raises(ModelFileError, match=f"{key} is broken JSON .{BROKEN[kind][1]}"):
        load_model(tmp_path / "model.npz")


@pytest.mark.parametrize("kind", BROKEN)
def test_checkpoints_and_journals_hold_strict_json(tmp_path, kind):
    np.savez(tmp_path / "c.npz", state=text_array(BROKEN[kind][0]))
    with pytest.raises(ModelFileError, match=f"is no checkpoint, or is damaged .{BROKEN[kind][1]}"):
        read_checkpoint(tmp_path / "c.npz", None)
    (tmp_path / "j.jsonl").write_text(BROKEN[kind][0] + "\n")
    with pytest.raises(InputError, match="is no journal of an evaluation"):
        Journal(tmp_path / "j.jsonl", {})


def test_metadata_that_cannot_be_read_again_is_not_written(tmp_path):
    for value in ({"\ud800": 1}, {"a": "\udfff"}, json.loads(nested(MAXIMUM_DEPTH + 1))):
        with pytest.raises(InputError, match="metadata must consist of JSON values"):
            save_model(small_denoiser(odd=value), tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


# --- On the terminal -------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the command, which must fail with one line and leave nothing behind."""
    monkeypatch.chdir(tmp_path)

    def refused(*arguments):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
        assert sorted(tmp_path.rglob("*")) == before
        return printed.err

    return refused


def test_escapes_in_metadata_do_not_reach_the_terminal(tmp_path, capsys):
    save_model(small_denoiser(**{"\x1b[2Jgone": "\x1b]0;title\x07", "\u202eabc\n": {"\x9b": 1}}), tmp_path / "m.npz")
    with pytest.raises(SystemExit) as stop:
        main(["info", str(tmp_path / "m.npz")])
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(line.isprintable() or "\t" in line for line in printed.splitlines())
    assert "\x1b" not in printed
    assert ["\\x1b[2Jgone", "\\x1b]0;title\\x07"] in [line.split() for line in printed.splitlines()]
    assert "\\u202eabc\\n" in printed


@pytest.mark.parametrize("kind", ["infinity", "half of a character in a key", "a key twice", "deeper"])
def test_models_with_broken_metadata_are_refused_before_anything_is_written(refused, kind):
    save_model(small_denoiser(), "model.npz")
    write_changed(Path("model.npz").resolve(), {"metadata": text_array(BROKEN[kind][0])})
    assert "metadata is broken JSON" in refused("info", "model.npz")
    write_picture("in.png", np.zeros((8, 8), np.uint8))
    assert "metadata is broken JSON" in refused(
        "denoise", "in.png", "-o", "out.png", "--model", "model.npz", "--report", "report.json"
    )


@pytest.mark.parametrize("kind", BROKEN)
def test_a_metadata_file_holds_strict_json(refused, kind):
    np.savez("state.npz", **spiking_unet_state())
    Path("facts.json").write_text(BROKEN[kind][0])
    options = ("-o", "model.npz", "--normalization", "none", "--metadata", "facts.json")
    assert "facts.json: is not a JSON file" in refused("convert", "state.npz", *options)


def test_a_description_that_is_no_text_is_refused_at_once(refused):
    np.savez("state.npz", **spiking_unet_state())
    options = ("-o", "model.npz", "--normalization", "none", "--description", os.fsdecode(b"caf\xe9"))
    assert "'caf\\udce9' holds half of a character" in refused("convert", "state.npz", *options)


def test_what_a_model_file_lacks_is_listed_in_a_readable_line(tmp_path):
    save_model(small_denoiser(), tmp_path / "model.npz")
    more = {f"weights/layer{number}.weight": np.zeros(1, np.float32) for number in range(400)}
    write_changed(tmp_path / "model.npz", more)
    with pytest.raises(ModelFileError, match=r"unexpected arrays: weights/layer0.weight, .* and 392 more") as caught:
        load_model(tmp_path / "model.npz")
    assert len(str(caught.value)) < 500
