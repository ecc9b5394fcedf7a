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


@pytest.mark.parametrize("change", [("events", "wrong"), ("rows", []), ("sha256", None)])
def test_a_changed_line_of_a_journal_is_refused(tmp_path, change):
    path = tmp_path / "journal.jsonl"
    Journal(path, {"seed": 0}).add(Outcome(_Task(), [{"events": 3, "psnr": 0.1 + 0.2}]))
    Journal(path, {"seed": 0})
    header, line = path.read_text().splitlines()
    content = json.loads(line)
    (content["rows"][0] if change[0] == "events" else content).update([change])
    path.write_text(f"{header}\n{json.dumps(content)}\n")
    with pytest.raises(InputError, match="is no journal of an evaluation"):
        Journal(path, {"seed": 0})
