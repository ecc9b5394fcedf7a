"""What fuzzing found in metadata and journals: values of types that nobody expects there."""

from __future__ import annotations

import json

import pytest
from small_segmenter import small_segmenter

from spikeunet.engine import Network
from spikeunet.engine.errors import InputError
from spikeunet.engine.evaluation.journal import Journal
from spikeunet.engine.evaluation.picture_task import Outcome
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
