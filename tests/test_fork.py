"""Processes that are forked while other threads of the program hold locks, compile, or simulate."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

BEGIN = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
import numpy as np

def forked(work, seconds=60):
    "Status of a child process that does some work; 'hangs' where it does not end."
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"
"""

LOCKS = """
from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock
from spikeunet.engine.threads import LOCK

for lock in (LOCK, global_compiler_lock, ffi.lib._lock):
    held, wanted = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            wanted.wait(60)
            time.sleep(0.05)

    def use():
        with lock:
            pass

    other = threading.Thread(target=hold, daemon=True)
    other.start()
    held.wait(60)
    wanted.set()
    assert forked(use, 5) == 0, lock
    other.join()
    with lock:
        pass
"""

PROPERTY = """
from spikeunet.engine.lazy import lazy_property

class Slow:
    @lazy_property
    def found(self):
        begun.set()
        ended.wait(60)
        return 1

begun, ended = threading.Event(), threading.Event()
other = threading.Thread(target=lambda: Slow().found, daemon=True)
other.start()
begun.wait(60)

def use():
    ended.set()
    assert Slow().found == 1

assert forked(use, 5) == 0
ended.set()
"""

SIMULATION = """
from spikeunet.engine import clear_caches, denoise
from spikeunet.engine.layers.dense import convolution
from spikeunet.engine.threads import limited_blas, on_threads, using_threads

picture = np.random.default_rng(0).integers(0, 255, (16, 24), np.uint8)

def denoised():
    return denoise(picture, "denoise-gray-fast", steps=1, threads=2).picture

expected = denoised()
stopped, runs = threading.Event(), [0]

def simulate():
    while not stopped.is_set():
        denoised()
        runs[0] += 1
        if runs[0] % 3 == 0:
            clear_caches()

def use():
    assert (denoised() == expected).all()
    with limited_blas(1), using_threads(2):
        assert on_threads(lambda item: item + 1, range(9)) == list(range(1, 10))

other = threading.Thread(target=simulate)
other.start()
for attempt in range(int(sys.argv[1])):
    status = forked(use)
    if status:
        stopped.set()
        other.join()
        raise SystemExit(f"attempt {attempt}: {status}")
    time.sleep(0.002 * (attempt % 7))
stopped.set()
other.join()
assert runs[0]
"""


def check(program: str, *arguments: str) -> None:
    command = [sys.executable, "-c", BEGIN + program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("program", [LOCKS, PROPERTY], ids=["locks", "property"])
def test_locks_that_another_thread_holds(program):
    check(program)


@pytest.mark.slow
def test_forks_beside_a_thread_that_simulates():
    check(SIMULATION, "10")
