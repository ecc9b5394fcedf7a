"""Peak memory follows the number of events, not steps times neurons."""

import json
import platform
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

# Silent, then busy for fewer steps and for as many: each may raise the peak of what came before.
runs = [(64, 0), (16, 64), (64, 64)]
for steps, active in runs:
    simulate(network(np.where(np.arange(64) < active, 0.75, 0)), np.zeros((1, 16, 16), np.float32), steps=steps)
before = peak()
for steps, active in runs:
    bias = np.where(np.arange(64) < active, 0.75, 0)
    result = simulate(network(bias), np.zeros((1, 256, 256), np.float32), steps=steps)
    print(json.dumps({"bytes": peak() - before, "events": result.total_events, "neurons": result.neurons["relu1"]}))
"""


@pytest.mark.slow
def test_peak_memory_does_not_follow_steps():
    """Events of eight steps are kept, whatever their number."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    silent, fewer, busy = map(json.loads, done.stdout.splitlines())
    dense = 64 * silent["neurons"] * 4
    assert silent["events"] == 0
    assert busy["events"] == 64 * busy["neurons"]
    # A membrane potential and the analog current for each neuron, nothing for each step.
    assert silent["bytes"] < 5 * silent["neurons"] * 4
    # A tenth of a dense float32 record: ten bytes for a neuron that is active, its potential and its current.
    assert busy["bytes"] < dense / 10
    assert busy["bytes"] < 1.1 * fewer["bytes"], (silent, fewer, busy)


# --- Many threads ----------------------------------------------------------------------------------------------------

HEAPS = """
import ctypes, re, tempfile

library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
library.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
library.fclose.argtypes = [ctypes.c_void_p]

def heaps():
    "Bytes that the C library has from the system, used or not; it keeps a heap for each of several threads."
    with tempfile.NamedTemporaryFile() as file:
        stream = library.fopen(file.name.encode(), b"w")
        library.malloc_info(0, stream)
        library.fclose(stream)
        of_all = file.read().decode().rsplit("</heap>", 1)[1]
    sizes = re.findall('<(?:total type="mmap" count="[0-9]+"|system type="current") size="([0-9]+)"', of_all)
    return sum(map(int, sizes))
"""

ARRAYS = """
from threading import Thread
import numpy as np
from spikeunet.engine.memory import aligned_bytes

np.empty(1 << 25, np.uint8)  # From now on, glibc takes smaller arrays from its heaps.
kept, before = [], heaps()

def work():
    for number in range(64):
        array = aligned_bytes(131_072 + 40_000 * number)
        array[:] = 1
        if number % 8 == 7:
            kept.append(array)

threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(heaps() - before)
"""

SERVER = """
from threading import Barrier, Thread
import numpy as np
from spikeunet.engine import denoise

together = Barrier(8)

def work(first):
    together.wait()
    for number in (first, first + 1):
        denoise(np.zeros((16 + 16 * (number % 8), 32), np.uint8), "denoise-gray-fast", steps=1)

threads = [Thread(target=work, args=(first,)) for first in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(heaps())
"""


def of_glibc(program):
    """What a process of its own prints of glibc's heaps."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc, whose heaps these are")
    return int(subprocess.run([sys.executable, "-c", HEAPS + program], check=True, capture_output=True).stdout)


def test_large_arrays_are_not_in_the_heaps_that_the_c_library_has_for_threads():
    """There, each would pin what was given back around it: the heaps would grow by 180 MiB, 90 of them in use."""
    assert of_glibc(ARRAYS) < 8 << 20


@pytest.mark.slow
def test_threads_that_read_and_prepare_networks_leave_little_in_heaps_of_their_own():
    """As a server begins. The heaps had 280 to 380 MiB with large arrays in them, 90 without, half of it free."""
    assert of_glibc(SERVER) < 160 << 20
