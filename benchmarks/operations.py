"""The ledger of a run, layer by layer, its energy by each model, and the share of the run's time that counting takes.

    python benchmarks/operations.py [--model denoise-gray-fast] [--steps 1] [--csv ledger.csv] [--json neurobench.json]

Denoises a 256x256 crop of the example picture with noise of sigma 25. The share is measured at 1, 2 and 8 steps, in
turn: processor time of one thread, medians and ranges.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json import dumps
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import ENERGY_MODELS, Operations, add_noise, denoise, load_model, read_picture
from spikeunet.engine.operations.energy import readings_in
from spikeunet.engine.operations.energy_models import BY_READING
from spikeunet.engine.operations.readings import READINGS
from spikeunet.engine.simulation import integer_products, picture_run, queue_memory
from spikeunet.engine.simulation.bound_program import BoundProgram
from spikeunet.engine.simulation.counting import OperationsCounter
from spikeunet.engine.simulation.layer_run import LayerRun
from spikeunet.engine.simulation.phases import LayerBands
from spikeunet.engine.simulation.picture_run import PictureRun

COUNTING = (
    (LayerBands, "_count"),
    (LayerRun, "_count"),
    (integer_products, "count_zeros_of_planes"),
    (OperationsCounter, "add_run"),
    (OperationsCounter, "add_input"),
    (PictureRun, "_ledger"),
)
"""All that a run does for the ledger alone."""

STEPS = (1, 2, 8)


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


def uncompiled(program, picture, most_steps, carries, _workers, _threads):
    """Have all layers run band by band."""
    return BoundProgram(program, picture, most_steps, 1, carries, compiles=False)


def measure_counting(run: Callable[[int], object], repeats: int) -> None:
    """Print the median share of counting in the processor time of a run, for several numbers of steps in turn.

    Counting has to be told apart: layers are run one by one, and their bands too, by kernels of a phase each.
    """
    picture_run.take_bound = uncompiled
    queue_memory.MOST_BYTES = 0
    stopwatch = Stopwatch()
    for owner, name in COUNTING:
        setattr(owner, name, stopwatch.wrap(getattr(owner, name)))
    seconds: dict[int, list[tuple[float, float]]] = {steps: [] for steps in STEPS}
    for _ in range(1 + repeats):
        for steps, found in seconds.items():
            stopwatch.seconds, begin = 0.0, time.thread_time()
            run(steps)
            found.append((stopwatch.seconds, time.thread_time() - begin))
    for steps, found in seconds.items():
        shares = [counting / total for counting, total in found[1:]]
        counting, total = np.median(found[1:], axis=0)
        print(
            f"T = {steps}: counting takes {1e3 * counting:.1f} ms of {1e3 * total:.0f} ms, {np.median(shares):.1%} "
            f"({min(shares):.1%} to {max(shares):.1%})"
        )


def energy_table(ledger: Operations) -> str:
    """Markdown: millijoules by each model, in each reading that is true of the network, and of the ANN."""
    lines = ["| model | as MACs | as shift-adds | as accumulates | its own count | ANN |", "|---|---|---|---|---|---|"]
    for name, model in ENERGY_MODELS.items():
        estimate = ledger.energy(name)
        readings = readings_in(ledger, name) if model.charges == BY_READING else dict.fromkeys(READINGS)
        own = None if model.charges == BY_READING else estimate.spiking
        cells = [_millijoules(value) for value in (*(readings[each] for each in READINGS), own, estimate.dense)]
        left_out = f" (without {estimate.unpriced_macs:,} MACs)" if estimate.unpriced_macs else ""
        lines.append(f"| {model.title}{left_out} | " + " | ".join(cells) + " |")
    lines.append(f"\nmJ; true of this network: {ledger.reading.name}")
    return "\n".join(lines)


def _millijoules(joules: float | None) -> str:
    return "" if joules is None else f"{1e3 * joules:.4g}"


@click.command()
@click.option("--model", default="denoise-gray-fast", show_default=True)
@click.option("--steps", default=None, type=int, help="By default, the model's own.")
@click.option("--repeats", default=9, show_default=True)
@click.option("--csv", type=click.Path(dir_okay=False), help="Write the ledger by node here.")
@click.option("--json", type=click.Path(dir_okay=False), help="Write the counts under NeuroBench's names here.")
def main(model: str, steps: int | None, repeats: int, csv: str | None, json: str | None) -> None:
    """Print ledger, energy and the cost of counting."""
    network = load_model(model)
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png")[:256, :256] / 255.0
    noisy = add_noise(clean, 25, 0)
    operations = denoise(noisy, network, steps=steps, threads=1).result.operations
    print(f"{model}, 256x256; {common.machine()}")
    print(operations)
    print()
    print(energy_table(operations))
    print()
    if repeats:
        measure_counting(lambda count: denoise(noisy, network, steps=count, threads=1), repeats)
    if csv is not None:
        operations.to_csv(csv)
    if json is not None:
        Path(json).write_text(dumps(operations.to_neurobench(), indent=2) + "\n")


if __name__ == "__main__":
    main()
