"""Time of a training iteration on threads, on threads that have a share of the batch each, and in processes.

    python benchmarks/finetuning_processes.py --train FOLDER

FOLDER holds gray pictures. Same network, batches and settings, all in turn; with as many threads or processes as are
asked for, by default all processors. Compares the weights after the last iteration first: those of shares must be the
same, bit for bit, wherever they were worked at. Prints medians with the range and writes `finetuning_processes.csv`.
"""

from __future__ import annotations

import csv
import dataclasses
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import LeakyIntegrateAndFire, Neurons, load_model
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainer, read_pictures
from spikeunet.engine.threads import available_processors

ONE, THREADS, SHARES, PROCESSES = "one thread", "threads", "a share for each thread", "processes"


def with_leaky_neurons(network):
    """The network with neurons whose steps are gone through one by one."""
    model = LeakyIntegrateAndFire(decay=0.9)
    return network.replace(
        [dataclasses.replace(n, model=model) if isinstance(n, Neurons) else n for n in network.nodes]
    )


def trainers(network, batches, settings, workers):
    """The ways to train."""
    shares = dataclasses.replace(settings, shares=workers)
    return {
        ONE: Trainer(network, batches, settings, threads=1),
        THREADS: Trainer(network, batches, settings, threads=workers),
        SHARES: Trainer(network, batches, shares, threads=workers),
        PROCESSES: Trainer(network, batches, shares, threads=1, processes=workers),
    }


def measure(network, batches, settings, workers, repeats):
    """Seconds of each iteration by way, the first one left out; SystemExit where shares found other numbers."""
    with ExitStack() as stack:
        ways = trainers(network, batches, settings, workers)
        for trainer in ways.values():
            stack.enter_context(trainer).step()
        times = {name: [] for name in ways}
        for _ in range(repeats):
            for name, trainer in ways.items():
                begin = time.perf_counter()
                trainer.step()
                times[name].append(time.perf_counter() - begin)
        here, there = ways[SHARES].parameters, ways[PROCESSES].parameters
        if any((there[name] != array).any() for name, array in here.items()):
            raise SystemExit("shares found other numbers in processes than on threads")
        return times


def shown(seconds):
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


@click.command()
@click.option("--train", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--models", default="denoise-gray-converted,half-size-gray-converted", show_default=True)
@click.option("--methods", default="flow 1,flow 4,bptt 2", show_default=True, help="Each with its steps.")
@click.option("--batch", default=8, show_default=True)
@click.option("--crop", default=64, show_default=True)
@click.option("--workers", type=int, help="Threads or processes.  [default: all processors]")
@click.option("--repeats", default=7, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(folder, models, methods, batch, crop, workers, repeats, out):
    """Measure seconds per training iteration."""
    workers = workers or available_processors()
    print(f"Batch {batch} of {crop}x{crop}, {workers} threads or processes; NumPy {np.__version__}; {common.machine()}")
    print(f"| model | method | T | {ONE}, s | {THREADS} | {SHARES} | {PROCESSES} |\n|---|---|---|---|---|---|---|")
    rows = []
    for model in models.split(","):
        network = load_model(model)
        batches = DenoisingBatches(read_pictures(folder, network.input.channels), (5, 50), crop, batch)
        cases = [(each.split(), network) for each in methods.split(",")]
        cases.append((("bptt", "4", "leaky"), with_leaky_neurons(network)))
        for (method, steps, *kind), net in cases:
            settings = Settings(steps=int(steps), method=method, rate=1e-6)
            times = measure(net, batches, settings, workers, repeats)
            cells = (" ".join([model, *kind]), method, steps, *map(shown, times.values()))
            print("| " + " | ".join(cells) + " |", flush=True)
            rows += [(*cells[:3], way, index, s) for way, seconds in times.items() for index, s in enumerate(seconds)]
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "finetuning_processes.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("model", "method", "steps", "way", "repeat", "seconds"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
