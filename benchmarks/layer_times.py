"""Where the time of a run goes: layer by layer and kernel by kernel, and the share that counting takes.

    python benchmarks/layer_times.py [--model denoise-gray] [--size 256] [--steps 1] [--repeats 25] [--csv FILE]

A run's layers are bound to compiled kernels with all of their arguments (see engine/simulation/bands), apart from a
few, which are named and not timed. Here these are called one by one, on one thread, band by band and layer by layer as
in a run; of each kernel the shortest time of all repeats counts. Products a second are those of a layer in
which every neuron fires, over the kernel that computes its current: what a dense kernel does, and what one that goes
from event to event saves.

Counting is all that a run does for the ledger alone: the kernels that count, what the last phase of a layer takes for
counting levels, and the Python of it, which is timed in runs as they are. Needs no data.
"""

# Nobody else needs to see what layers are bound to.
# ruff: noqa: SLF001

from __future__ import annotations

import csv as csv_module
import ctypes
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import _common as common
import click
from _peer_pictures import noisy_picture

from spikeunet.engine import load_model, simulate
from spikeunet.engine.kernels.count import count_levels
from spikeunet.engine.results.run_counts import RunCounts
from spikeunet.engine.simulation import picture_run
from spikeunet.engine.simulation.bands.bound_program import BoundGroup, BoundProgram
from spikeunet.engine.simulation.picture_run import PictureRun

CURRENTS = (
    "gather_band",
    "gather_in_step",
    "gather_picture",
    "gather_picture_blocks",
    "dot_band",
    "pool_planes",
    "pool_events",
)
COUNTING = ("count_uneven_sources", "count_zeros_of_planes", "count_zeros_of_sources")
COUNTING_IN_PYTHON = ((PictureRun, "_add_inputs"), (BoundGroup, "counted"), (RunCounts, "add_compiled"))
LEVELS = "of finish_band: count_levels"


@dataclass(frozen=True)
class LayerTimes:
    """Milliseconds of one layer, by kernel, in the order in which they are called."""

    layer: str
    kernels: str
    shape: str
    dense_macs: int
    milliseconds: dict[str, float]

    @property
    def total(self) -> float:
        return sum(value for name, value in self.milliseconds.items() if name != LEVELS)

    @property
    def products(self) -> float:
        """G products a second."""
        spent = sum(self.milliseconds.get(name, 0.0) for name in CURRENTS)
        return self.dense_macs / spent / 1e6 if spent else math.nan


class NamedGroups:
    """Keeps which kernel each bound call is of, and the program that was bound last."""

    def __init__(self) -> None:
        self.names: dict[tuple[int, int], str] = {}
        self.bound: BoundProgram | None = None
        bound_call, take_bound = BoundGroup._bound_call, picture_run.take_bound

        def named(group, kernel, arguments):
            found = bound_call(group, kernel, arguments)
            self.names[found] = kernel.__name__
            return found

        def kept(*arguments):
            self.bound = take_bound(*arguments)
            return self.bound

        BoundGroup._bound_call, picture_run.take_bound = named, kept


def milliseconds(calls: Sequence[tuple[int, int]], bands: Sequence[int], repeats: int) -> list[float]:
    """The shortest time of each call, over all bands; calls of a band follow each other."""
    functions = [(ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(each), block) for each, block in calls]
    best = [math.inf] * len(functions)
    for _ in range(repeats):
        spent = [0.0] * len(functions)
        for band in bands:
            for number, (function, block) in enumerate(functions):
                begin = time.perf_counter()
                function(block, band)
                spent[number] += time.perf_counter() - begin
        best = [min(pair) for pair in zip(best, spent, strict=True)]
    return [1e3 * value for value in best]


def layer_times(named: NamedGroups, steps: int, repeats: int) -> list[LayerTimes]:
    """Each layer of the program that was run last, by kernel."""
    group, found = named.bound.group(steps), []
    calls = group._calls[0]
    for index, layer in enumerate(group.layers):
        shape = "x".join(map(str, layer.outgoing))
        macs = steps * sum(part.dense_macs for part in layer.parts)
        if not group.compiled[index]:
            found.append(LayerTimes(layer.name, "called from Python", shape, macs, {}))
            continue
        choice, spent = group._progress[0].choices[index], {}
        bands = range(int(calls.shares[choice, index][-1]))
        for of_layer, which in ((calls.once[choice, index], [-1]), (calls.phases[choice, index], bands)):
            bound = [(int(call["function"]), int(call["block"])) for call in of_layer if call["function"]]
            times = milliseconds(bound, which, repeats)
            for call, time_of_call in zip(bound, times, strict=True):  # of a sum, some are called for each part
                spent[named.names[call]] = spent.get(named.names[call], 0.0) + time_of_call
        if layer.levels is not None:
            spent[LEVELS] = counting_of_levels(group, index, repeats)
        kernels = ", ".join(sorted(group.kernels(index)))
        found.append(LayerTimes(layer.name, kernels, shape, macs, spent))
    return found


def counting_of_levels(group: BoundGroup, index: int, repeats: int) -> float:
    """Milliseconds that counting a layer's levels takes within its last phase."""
    layer, queue = group.layers[index], group.queues[group.layers[index].name]
    words = queue.levels[: queue.levels.size // 8 * 8 // queue.levels.itemsize].view("u8")
    words = words[: queue.active * queue.levels.itemsize // 8]
    counts, best = group._fired[index, 0].copy(), math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        count_levels(words, layer.levels.kinds, counts)
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best


def counting_in_python(run, repeats: int) -> tuple[float, float]:
    """Milliseconds of a run, and of the Python in it that counts: medians."""
    spent = 0.0

    def timed(function):
        def call(*arguments):
            nonlocal spent
            begin = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent += time.perf_counter() - begin

        return call

    for kind, name in COUNTING_IN_PYTHON:
        setattr(kind, name, timed(getattr(kind, name)))
    found = []
    for _ in range(repeats):
        spent, begin = 0.0, time.perf_counter()
        run()
        found.append((time.perf_counter() - begin, spent))
    return 1e3 * median(total for total, _ in found), 1e3 * median(part for _, part in found)


@click.command()
@click.option("--model", default="denoise-gray", show_default=True)
@click.option("--size", default=256, show_default=True, help="Rows and columns of the picture.")
@click.option("--steps", default="1", type=click.Choice(["1", "2", "4", "8"]), show_default=True)
@click.option("--repeats", default=25, show_default=True)
@click.option("--csv", type=click.Path(dir_okay=False), help="Write the times by layer here.")
def main(model: str, size: int, steps: str, repeats: int, csv: str | None) -> None:
    """Time kernels and counting."""
    named, network = NamedGroups(), load_model(model)
    picture = noisy_picture(size, network.input.channels)

    def run():
        simulate(network, picture, int(steps), threads=1)

    for _ in range(3):
        run()
    layers = layer_times(named, int(steps), repeats)
    whole, python = counting_in_python(run, repeats)
    print(f"{model}, {size}x{size}, T = {steps}, one thread; {common.machine()}\n")
    print("| layer | puts out | kernels | ms | G products a second | of which |\n|---|---|---|---|---|---|")
    for each in layers:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in each.milliseconds.items())
        times = f"{each.total:.3f} | {each.products:.0f}" if each.milliseconds else "- | -"
        print(f"| {each.layer} | {each.shape} | {each.kernels} | {times} | {parts} |")
    kernels = sum(each.total for each in layers)
    counting = sum(each.milliseconds.get(name, 0.0) for each in layers for name in (*COUNTING, LEVELS))
    print(f"\nkernels {kernels:.2f} ms, a run {whole:.2f} ms (median)")
    if left_out := [each.layer for each in layers if not each.milliseconds]:
        print(f"not in the kernels' times, nor in those of counting: {', '.join(left_out)}")
    print(
        f"counting {counting + python:.2f} ms, {(counting + python) / whole:.1%} of a run: kernels {counting:.2f}, "
        f"Python {python:.2f}"
    )
    if csv is not None:
        with open(csv, "w", newline="") as file:
            writer = csv_module.writer(file)
            writer.writerow(["layer", "kernel", "milliseconds"])
            writer.writerows((each.layer, *pair) for each in layers for pair in asdict(each)["milliseconds"].items())


if __name__ == "__main__":
    main()
