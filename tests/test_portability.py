"""The same spikes where vector registers are narrower: 8 lanes (AVX2) and 4 (SSE), with Numba's processor options.

And in integers, where a processor multiplies bytes but does not compress vectors.
"""

import os
import platform
import subprocess
import sys

import pytest

from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels.processor import host_lanes

AVX2 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

PROGRAM = """
import dataclasses
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_samples as samples
from golden_network import GOLDEN_MODELS, golden_network, read_golden
from still_camera import clip, network
from spikeunet.engine import Stream, simulate
from spikeunet.engine.kernels.processor import host_lanes
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_operations

assert host_lanes() == int(sys.argv[3]), host_lanes()
# Eight steps: another number would need most kernels for a second size of groups of steps, too.
name = "multi_threshold_color_32x64"
golden = read_golden(Path(sys.argv[2]), name)
result = simulate(golden_network(golden.weights, GOLDEN_MODELS[name]), golden.picture, golden.steps,
                  record=("spikes", "membrane", "readout"))
for layer, spikes in golden.records["spikes"].items():
    np.testing.assert_array_equal(result.spikes[layer], spikes)
    np.testing.assert_array_equal(result.membrane[layer], golden.records["membrane"][layer])
np.testing.assert_array_equal(result.readout, golden.readout)
# Without AVX2, what runs a layer asks for no instructions that only one family of processors has.
from spikeunet.engine.kernels.decode import decode_rows
from spikeunet.engine.kernels.finish import finish_band
from spikeunet.engine.kernels.gather import gather_band
from spikeunet.engine.kernels.gather_in_step import gather_in_step
kernels = decode_rows, gather_band, gather_in_step, finish_band
code = [text for kernel in kernels for text in kernel.inspect_llvm().values()]
assert code
assert any("llvm.x86" in each for each in code) == (host_lanes() > 4)

# The same neurons, whose kernels are there by now, and numbers of which no sum is rounded, as the reference wants them.
small = network(model=GOLDEN_MODELS[name])
first = dataclasses.replace(small.nodes[1], weight=np.round(small.nodes[1].weight * 16) / 16)
last = dataclasses.replace(small.nodes[-2], source="relu2", weight=small.nodes[-2].weight[:, :12])
shortened = small.replace([small.nodes[0], first, *small.nodes[2:5], last, small.nodes[-1]])
stream = Stream(shortened, threads=1, exact_increments=True)
for picture in clip(0, 3):
    picture = np.round(picture * 64) / 64
    found, expected = stream.push(picture), reference.simulate(stream.network, picture, stream.steps)
    np.testing.assert_array_equal(found.output, expected.output)
    assert_same_operations(found.operations, expected.operations)
    assert stream.increments

samples.test_products_of_rows("tables", 640, 2)
samples.test_walks_of_rows(640, 128)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors named here are x86-64")
@pytest.mark.parametrize(
    ("processor", "features", "lanes"), [("haswell", AVX2, 8), ("generic", "", 4)], ids=["8 lanes", "4 lanes"]
)
def test_narrower_registers(processor, features, lanes, repository, golden_folder, tmp_path):
    """Golden vectors, increments and samples, in one process: most of its time compiles kernels, which they share."""
    if host_lanes() == lanes:
        pytest.skip(f"this processor itself has registers of {lanes} lanes, with which all other tests run")
    command = [sys.executable, "-c", PROGRAM, str(repository / "tests"), str(golden_folder), str(lanes)]
    options = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "SPIKEUNET_CACHE": str(tmp_path)}
    done = subprocess.run(command, env=os.environ | options, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


INTEGERS = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_integer_kernels as kernels
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine import simulate
from spikeunet.engine.testing.comparison import assert_same_operations

assert " ".join(host_kernels()) == sys.argv[2], host_kernels()
picture = (np.random.default_rng(4).integers(0, 65, (2, 12, 14)) / 32).astype(np.float32)
network = kernels.network()
results = [simulate(network, picture, 2, threads=1, kernels=kind) for kind in ("events", sys.argv[3])]
assert [sum(used == (sys.argv[3],) for used in found.kernels.values()) for found in results] == [0, 5]
np.testing.assert_array_equal(results[0].output, results[1].output)
assert_same_operations(results[0].operations, results[1].operations)
assert np.count_nonzero(results[0].output)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors named here are x86-64")
@pytest.mark.parametrize(
    ("processor", "features", "found", "kind"),
    [
        ("cascadelake", f"{AVX512},+avx512vnni", "event-integers vnni portable", "vnni"),
        ("haswell", AVX2, "event-integers portable", "event-integers"),
    ],
)
def test_integers_on_other_processors(processor, features, found, kind, repository, tmp_path):
    if kind not in host_kernels():
        pytest.skip("this processor has no such instructions")
    options = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "SPIKEUNET_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", INTEGERS, str(repository / "tests"), found, kind]
    done = subprocess.run(command, env=os.environ | options, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
