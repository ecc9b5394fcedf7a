"""A kernel on disk is used again, unless the source of any kernel or intrinsic has changed."""

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.kernels.gather import gather_band
ones = np.ones((1, 1, 1, 1), np.float32)
network = Network([Input("input"), Conv2d("a", "input", ones), Neurons("b", "a", MultiThreshold((1.0,))),
                   Conv2d("c", "b", ones), Output("output", "c")])
simulate(network, np.ones((1, 2, 2), np.float32), steps=1)
print(sum(gather_band.stats.cache_hits.values()), sum(gather_band.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_a_changed_intrinsic_compiles_the_kernels_anew(repository, tmp_path):
    left_out = shutil.ignore_patterns("__pycache__", "*.npz")
    for package in ("engine", "converters"):
        shutil.copytree(repository / package, tmp_path / "spikeunet" / package, ignore=left_out)

    def hits_and_misses():
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
        return tuple(map(int, done.stdout.split()))

    hits, misses = hits_and_misses()
    assert (hits, misses > 0) == (0, True)
    assert hits_and_misses() == (misses, 0)
    intrinsics = tmp_path / "spikeunet" / "engine" / "kernels" / "vector_block.py"
    intrinsics.write_text(intrinsics.read_text() + "\n# changed\n")
    assert hits_and_misses() == (0, misses)
