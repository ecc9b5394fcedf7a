"""Peak memory of `spikeunet denoise` on a stack of 16 bits, beside that on its first page alone.

python benchmarks/series_memory.py [--pages 100] [--side 1024]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spikeunet.engine import write_frames

MEASURED = """
import resource, sys
from spikeunet.engine.command_line import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def write_stack(path, pages, side):
    """Pages of a smooth picture with noise, each another one."""
    generator, (y, x) = np.random.default_rng(0), np.mgrid[:side, :side] / side
    with write_frames(path, count=pages) as writer:
        for page in range(pages):
            clean = 30_000 + 20_000 * np.sin(9 * x + page / 10) * np.cos(7 * y)
            writer.write((clean + generator.normal(0, 3_000, (side, side))).clip(0, 65_535).astype(np.uint16))


def measure(source, target):
    """Peak resident memory in MB, and seconds, of a process of its own."""
    command = [sys.executable, "-c", MEASURED, "denoise", str(source), "-o", str(target), "--range", "0:65535"]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1]) / 1024, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.tif")
        for pages in (1, options.pages):
            source = Path(folder, f"{pages}.tif")
            write_stack(source, pages, options.side)
            if pages == 1:
                measure(source, target)  # compiles kernels, where that has not been done
            peak, seconds = measure(source, target)
            print(f"{pages} pages of {options.side}x{options.side}, 16 bits: peak {peak:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
