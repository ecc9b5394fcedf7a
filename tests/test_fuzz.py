"""A fixed sample of what tests/fuzz.py tries at length."""

from __future__ import annotations

import functools
import subprocess
import sys

import fuzz
import fuzz_inputs
import numpy as np
import pytest

from spikeunet.engine.errors import PictureError, SpikeunetError

SAMPLE = {
    "model": 300,
    "state-dict": 200,
    "weights": 300,
    "onnx": 400,
    "nir": 150,
    "picture": 400,
    "command-line": 30,
    "calibration": 30,
    "segmentation": 60,
    "checkpoint": 150,
    "finetune": 60,
    "learnt": 150,
    "kill": 30,
}
TARGETS = fuzz.targets()


@functools.cache
def target(name):
    return TARGETS[name]()


def test_every_target_is_sampled():
    pytest.importorskip("sklearn", reason="scores of segmentations need scikit-learn (extra evaluate)")
    pytest.importorskip("onnx", reason="graphs need the package onnx (extra onnx)")
    pytest.importorskip("nir", reason="graphs need the package nir (extra nir)")
    # "weights" has files of all formats; there is a target for each besides.
    assert set(SAMPLE) == {name for name in TARGETS if not name.startswith("weights-")}


@pytest.mark.parametrize("name", SAMPLE)
def test_sample(name, tmp_path, monkeypatch):
    if name not in TARGETS:
        pytest.skip(f"{name}: needs scikit-learn (extra evaluate), onnx (extra onnx) or nir (extra nir)")
    monkeypatch.chdir(tmp_path)
    if name == "weights":  # whose audit hook would stay in this process
        command = [sys.executable, fuzz.__file__, name, "--inputs", str(SAMPLE[name]), "--seed", "1"]
        subprocess.run(command, check=True)
        return
    report = fuzz.fuzz(target(name), SAMPLE[name], seed=1)
    assert report.findings == []
    assert report.ends.total() == SAMPLE[name]
    assert len(report.ends) >= 2, "all inputs ended alike: the damage does not reach far"


def test_inputs_depend_on_the_seed_alone():
    for name in set(TARGETS) - {"kill"}:
        first, second = (target(name).make(np.random.default_rng([3, 4])) for _ in range(2))
        assert first == second


@pytest.mark.parametrize(
    ("attempt", "kind"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: fuzz.refused(SpikeunetError("")), "FindingError"),
        (lambda _: fuzz.time.sleep(5), "HangError"),
    ],
)
def test_findings_are_found(attempt, kind, monkeypatch):
    monkeypatch.setattr(fuzz, "LONGEST", 0.1)
    report = fuzz.fuzz(fuzz.Target(lambda _: b"", attempt), 1, seed=0)
    assert list(report.ends) == [f"FINDING {kind}"]
    assert len(report.findings) == 1


def test_memory_is_watched(monkeypatch):
    monkeypatch.setattr(fuzz, "LARGEST_GROWTH", -1)
    report = fuzz.fuzz(fuzz.Target(lambda _: b"", lambda _: "read"), 1, seed=0)
    assert list(report.ends) == ["FINDING memory"]


def test_control_characters_in_a_message_are_escaped():
    error = PictureError("a\nb\x07c\u2028d é")
    assert str(error) == "a\\nb\\x07c\\u2028d é"


def test_damage_is_damage():
    content = bytes(range(256))
    damaged = [fuzz_inputs.damage(content, np.random.default_rng(seed)) for seed in range(50)]
    assert sum(each != content for each in damaged) > 45
