"""A kernel on disk is used again, unless the source of any kernel or intrinsic, or of a user's neuron, has changed."""

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
from spikeunet.engine.kernels.float_mode import read_mode
read_mode()
print(sum(read_mode.stats.cache_hits.values()), sum(read_mode.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_a_changed_intrinsic_compiles_the_kernels_anew(repository, tmp_path):
    left_out = shutil.ignore_patterns("*.npz")
    # The package itself, too: one without a file would lose to the one that is installed.
    shutil.copytree(repository / "engine" / "package", tmp_path / "spikeunet")
    for package in ("engine", "converters"):
        shutil.copytree(repository / package, tmp_path / "spikeunet" / package, ignore=left_out)

    def hits_and_misses():
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "SPIKEUNET_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
        return tuple(map(int, done.stdout.split()))

    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    intrinsics = tmp_path / "spikeunet" / "engine" / "kernels" / "vectors.py"
    intrinsics.write_text(intrinsics.read_text() + "\n# changed\n")
    assert hits_and_misses() == (0, 1)


NEURON = """
import sys
from dataclasses import dataclass
import numba, numpy as np
from spikeunet.engine import register_neuron
from spikeunet.engine.binding import stepper
import helper

SHIFT = 1.0

@numba.njit
def risen(v):
    return v + SHIFT

@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Mine:
    initial: float = 0.0
    def state(self):
        return {"v": self.initial}
    def levels(self):
        return 0.0, 1.0
    @staticmethod
    def step(current, v):
        return (1 if v > 0.5 else 0), risen(v + current) * helper.FACTOR

words = np.zeros(1, np.uint64)
run = stepper.stepper_of(Mine(), "neurons", 1)
run.run(np.ones(1, np.float32), words, (1, 1, 1, 1), (state := np.zeros(1, np.float32),), (0, 1, True, 0, 0),
        np.zeros(0, np.uint16))
stats = stepper._kernel(stepper.step_band, run.registration, False).stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), state[0])
"""


@pytest.mark.slow
def test_a_changed_neuron_is_compiled_anew(tmp_path):
    """Also where only what it refers to has changed: a constant, or one of another module."""
    script, helper = tmp_path / "mine.py", tmp_path / "helper.py"

    def hits_misses_and_state(text, factor):
        script.write_text(text)
        helper.write_text(f"FACTOR = {factor}\n")
        environment = os.environ | {"SPIKEUNET_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return tuple(map(float, done.stdout.split()))

    assert hits_misses_and_state(NEURON, 1.0) == (0, 1, 2)
    assert hits_misses_and_state(NEURON.replace("SHIFT = 1.0", "SHIFT = 3.0"), 1.0) == (0, 1, 4)
    assert hits_misses_and_state(NEURON.replace("SHIFT = 1.0", "SHIFT = 3.0"), 2.0) == (0, 1, 8)
    # What was compiled before is still there, and still right, wherever in its file a neuron stands.
    assert hits_misses_and_state("# moved\n" + NEURON, 1.0) == (1, 0, 2)
