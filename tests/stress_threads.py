"""Many threads of one program simulate at once, while what is idle is given up again and again; a script, too.

    python tests/stress_threads.py [--threads 12] [--seconds 60] [--limits 0,100000,1000000000]

Each thread runs networks that it shares with the others, of several sizes, in turn; every result is compared with the
one that a single thread has found. Python switches threads as often as it can, and idle memory, prepared networks and
models are kept up to a limit that is too small for them, or given up by `clear_caches` at any moment.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import numpy as np
from test_bound_program import unet

from spikeunet.engine import clear_caches, denoise, forward, simulate
from spikeunet.engine.memory import BLOCKS
from spikeunet.engine.models import kept_models
from spikeunet.engine.simulation.bands import bound_program, layer_run

MODEL = "denoise-gray-fast"
SIZES = ((8, 8), (8, 12), (12, 8))
POOLS = (bound_program.IDLE, layer_run.IDLE, BLOCKS)

Job = Callable[[], np.ndarray]


@contextmanager
def limited(most_bytes: int) -> Iterator[None]:
    """Keep no more idle memory of each kind than this, and one model; let threads take turns all the time."""
    before, models, interval = [pool.most_bytes for pool in POOLS], kept_models._MOST, sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    kept_models._MOST = 1
    for pool in POOLS:
        pool.most_bytes = most_bytes
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        kept_models._MOST = models
        for pool, most in zip(POOLS, before, strict=True):
            pool.most_bytes = most


def jobs() -> list[Job]:
    """Everything that threads of a server would do at the same time."""
    generator = np.random.default_rng(0)
    networks = [unet(seed=seed) for seed in range(3)]
    found: list[Job] = []
    for network, size in itertools.product(networks, SIZES):
        pixels = generator.integers(0, 65, (2, *size)).astype(np.float32) / 32
        found.append(lambda network=network, pixels=pixels: simulate(network, pixels, steps=1, threads=1).output)
        found.append(lambda network=network, pixels=pixels: simulate(network, pixels, steps=1, threads=2).output)
    few = generator.random((2, 8, 8)).astype(np.float32)
    found += [
        lambda: denoise(few[0], MODEL, steps=1, threads=2).picture,
        lambda: simulate(networks[0], few, steps=1, threads=2, tile=4).output,
        lambda: simulate(networks[0], few, steps=1, threads=1, record=("spikes",)).output,
        lambda: forward(networks[0], few)[0],
        lambda: simulate(networks[0].replace(), few, steps=1, threads=2).output,
    ]
    return found


def stress(threads: int, seconds: float, most: int = 1 << 60) -> tuple[int, list[BaseException]]:
    """How many runs there were in some time, `most` at most, and what went wrong."""
    work = jobs()
    expected = [job() for job in work]
    numbers, errors, end = itertools.count(), [], time.monotonic() + seconds

    def run(first: int) -> None:
        # Each thread begins elsewhere, and all go through all jobs.
        for index in itertools.islice(itertools.cycle(range(len(work))), first, None):
            number = next(numbers)
            if errors or number >= most or time.monotonic() > end:
                return
            try:
                if number % 200 == 199:
                    clear_caches()
                np.testing.assert_array_equal(work[index](), expected[index])
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

    others = [threading.Thread(target=run, args=(first,)) for first in range(threads)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    return next(numbers) - threads, errors


@click.command()
@click.option("--threads", default=12, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="For each limit.")
@click.option("--limits", default="0,100000,1000000000", show_default=True, help="Bytes of each kind of idle memory.")
def main(threads: int, seconds: float, limits: str) -> None:
    """Run until something fails or the time is over."""
    for limit in map(int, limits.split(",")):
        with limited(limit):
            runs, errors = stress(threads, seconds)
        print(f"{threads} threads, at most {limit} bytes idle: {runs} runs, {len(errors)} errors")
        if errors:
            raise errors[0]


if __name__ == "__main__":
    main()
