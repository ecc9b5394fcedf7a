"""Peak memory follows the number of events, not steps times neurons."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="peak memory is read with the resource module, which this system lacks")

PROGRAM = """
import json, resource, sys
import numpy as np
from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, simulate

def network(bias):
    model = MultiThreshold((1.0, 0.5))
    first, second = np.zeros((64, 1, 3, 3), np.float32), np.zeros((1, 64, 1, 1), np.float32)
    return Network([
        Input("input", 1),
        Conv2d("conv1", "input", first, np.asarray(bias, np.float32), padding=1), Neurons("relu1", "conv1", model),
        Conv2d("conv2", "relu1", second), Output("output", "conv2"),
    ])

def peak():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux hands ru_maxrss on to a child: it would begin with the peak of the process that runs the tests.
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

steps = int(sys.argv[1])
active = int(sys.argv[2])
bias = np.zeros(64)
bias[:active] = 0.75
simulate(network(bias), np.zeros((1, 16, 16), np.float32), steps=steps)
before = peak()
result = simulate(network(bias), np.zeros((1, 384, 384), np.float32), steps=steps)
print(json.dumps({"bytes": peak() - before, "events": result.total_events, "neurons": result.neurons["relu1"]}))
"""


def peak_growth(steps, active):
    command = [sys.executable, "-c", PROGRAM, str(steps), str(active)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_peak_memory_follows_events():
    silent, busy = peak_growth(64, 0), peak_growth(64, 64)
    dense = 64 * silent["neurons"] * 4
    assert silent["events"] == 0
    assert busy["events"] == 64 * busy["neurons"]
    # A membrane potential and the analog current for each neuron, nothing for each step.
    assert silent["bytes"] < 5 * silent["neurons"] * 4
    # Twelve bytes for a neuron that is active in a group of eight steps: less than half of a dense float32 record.
    assert busy["bytes"] < dense / 2
    assert busy["bytes"] > 2 * silent["bytes"]
