"""Start several processes at once with an empty kernel cache, again and again, and look at what they leave on disk.

    python tests/stress_kernel_cache.py --processes 4 --rounds 12

In each round the processes simulate a network at T = 1, 2, 4 and 8, all cold. Then a process for each T runs again: it
must find every kernel, and all outputs of one T must be the same. --tiny has kernels of a line instead, for a fast
test.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import sys, hashlib
import numpy as np
from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.kernel_cache import cache_counts
random = np.random.default_rng(0)
weights = [random.integers(-8, 8, shape).astype(np.float32) / 16 for shape in ((16, 1, 3, 3), (1, 16, 3, 3))]
network = Network([Input("input"), Conv2d("a", "input", weights[0], padding=1), Neurons("b", "a", MultiThreshold()),
                   Conv2d("c", "b", weights[1], padding=1), Output("output", "c")])
picture = random.integers(0, 32, (1, 16, 16)).astype(np.float32) / 32
output = simulate(network, picture, steps=int(sys.argv[1])).output
print(hashlib.sha256(output.tobytes()).hexdigest(), *cache_counts())
"""

TINY = """
import sys
from spikeunet.engine.kernel_cache import cache_counts
from spikeunet.engine.kernels.compilation import compiled
def double(x):
    return x + x
kernel = compiled(double)
values = [1, 1.5, 2j, True]
print([kernel(value) for value in values[int(sys.argv[1]) % 4:] + values], *cache_counts())
"""


def start(program: str, steps: int, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, str(steps)],
        env=os.environ | {"SPIKEUNET_CACHE": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What was computed and the number of kernels compiled; the error is in the first where there was one."""
    output, errors = process.communicate()
    if process.returncode or errors:
        return f"status {process.returncode}: {errors[-300:]}", -1
    result, _, compiled, _ = output.strip().rsplit(" ", 3)
    return result, int(compiled)


def run_round(program: str, processes: int, folder: Path) -> list[str]:
    """Faults found in one round."""
    every = [2 ** (number % 4) for number in range(processes)]
    cold = [outcome(process) for process in [start(program, steps, folder) for steps in every]]
    warm = {steps: outcome(start(program, steps, folder)) for steps in sorted(set(every))}
    faults = [f"T = {steps}: {result}" for steps, (result, count) in zip(every, cold, strict=True) if count < 0]
    for steps, (result, compiled) in zip(every, cold, strict=True):
        if compiled >= 0 and result != warm[steps][0]:
            faults.append(f"T = {steps}: {result} cold, {warm[steps][0]} warm")
    faults += [f"T = {steps}: {found} compiled again" for steps, (_, found) in warm.items() if found]
    if left := list(folder.rglob("*.tmp")):
        faults.append(f"left behind: {left}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    right = 0
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            faults = run_round(TINY if options.tiny else PROGRAM, options.processes, Path(name))
        right += not faults
        for fault in faults:
            print(f"round {number}: {fault}")
    print(f"{right} of {options.rounds} rounds right")
    return 0 if right == options.rounds else 1


if __name__ == "__main__":
    sys.exit(main())
