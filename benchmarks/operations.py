"""The ledger of a run, layer by layer, its energy by each model, and the share of the run's time that counting takes.

    python benchmarks/operations.py [--model denoise-gray] [--steps 8] [--csv ledger.csv]

Denoises a 256x256 crop of the example picture with noise of sigma 25. Processor time of one thread, the least of
several runs.
"""

from __future__ import annotations

import time
from pathlib import Path

import _common as common
import click

from spikeunet.engine import ENERGY_MODELS, add_noise, denoise, load_model, read_picture
from spikeunet.engine.simulation import layer_run

COUNTERS = ("count_levels", "count_uneven_rows", "count_zeros_of_rows")


class Stopwatch:
    """Processor time spent in the functions that it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, function):
        def timed(*arguments):
            begin = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - begin

        return timed


@click.command()
@click.option("--model", default="denoise-gray", show_default=True)
@click.option("--steps", default=None, type=int, help="By default, the model's own.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--csv", type=click.Path(dir_okay=False), help="Write the ledger by node here.")
def main(model: str, steps: int | None, repeats: int, csv: str | None) -> None:
    """Print ledger, energy and the cost of counting."""
    network = load_model(model)
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png")[:256, :256] / 255.0
    noisy = add_noise(clean, 25, 0)
    stopwatch = Stopwatch()
    for name in COUNTERS:
        setattr(layer_run, name, stopwatch.wrap(getattr(layer_run, name)))
    runs = []
    for _ in range(repeats + 1):
        stopwatch.seconds, begin = 0.0, time.thread_time()
        operations = denoise(noisy, network, steps=steps, threads=1).result.operations
        runs.append((time.thread_time() - begin, stopwatch.seconds))
    total, counting = min(runs[1:])
    print(f"{model}, 256x256; {common.machine()}")
    print(operations)
    print()
    for name in ENERGY_MODELS:
        print(operations.energy(name))
    print()
    print(f"counting {1e3 * counting:.1f} ms of {1e3 * total:.0f} ms, {counting / total:.1%} (one thread)")
    if csv is not None:
        operations.to_csv(csv)


if __name__ == "__main__":
    main()
