"""The same spikes where vector registers are narrower: 8 lanes (AVX2) and 4 (SSE), with Numba's processor options."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from golden_network import GOLDEN_MODELS, golden_network, read_golden
from spikeunet.engine import simulate
from spikeunet.engine.kernels.vector_block import host_lanes

assert host_lanes() == int(sys.argv[3]), host_lanes()
name = "multi_threshold_gray_48x32"
golden = read_golden(Path(sys.argv[2]), name)
result = simulate(golden_network(golden.weights, GOLDEN_MODELS[name]), golden.picture, golden.steps,
                  record=("spikes", "membrane", "readout"))
for layer, spikes in golden.records["spikes"].items():
    np.testing.assert_array_equal(result.spikes[layer], spikes)
    np.testing.assert_array_equal(result.membrane[layer], golden.records["membrane"][layer])
np.testing.assert_array_equal(result.readout, golden.readout)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors named here are x86-64")
@pytest.mark.parametrize(
    ("processor", "features", "lanes"),
    [("haswell", "+avx,+avx2,+fma,+sse4.2,+popcnt", 8), ("nehalem", "+sse4.2,+popcnt", 4)],
    ids=["8 lanes", "4 lanes"],
)
def test_golden_vectors_on_narrower_registers(processor, features, lanes, repository, golden_folder, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(repository / "tests"), str(golden_folder), str(lanes)]
    options = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=os.environ | options, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
