"""Time of a training iteration, beside the same fine-tuning written with PyTorch's automatic differentiation.

    python benchmarks/finetuning_speed.py --train FOLDER

FOLDER holds gray pictures. Same network, batch, number of steps, optimiser and threads, one process, both in turn.
First compares the loss and the gradients of both; then prints medians with the range and writes `finetuning_speed.csv`.
Needs the extra `train`.
"""

from __future__ import annotations

import csv
import statistics
import time
import warnings
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import load_model
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainer, read_pictures

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from _autograd import Twin

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 0.05
"""Largest relative differences. A sum that is rounded differently moves a potential across a threshold now and then."""


def compare(trainer, twin):
    """Relative differences of loss and gradients (norm of the difference); SystemExit where they are too large."""
    noisy, noise = trainer.batches.draw(np.random.default_rng(1))
    loss, found = trainer.gradients(noisy, noise)
    expected_loss, expected = twin.gradients(noisy, noise)
    by_loss = abs(loss - expected_loss) / expected_loss
    difference = sum(float(np.square(found[name] - expected[name], dtype=np.float64).sum()) for name in expected)
    size = sum(float(np.square(gradient, dtype=np.float64).sum()) for gradient in expected.values())
    by_gradient = (difference / size) ** 0.5
    if not (by_loss < LOSS_TOLERANCE and by_gradient < GRADIENT_TOLERANCE):
        raise SystemExit(f"not the same: loss {loss} and {expected_loss}, gradients differ by {by_gradient}")
    return by_loss, by_gradient


def timed(step):
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def measure(network, batches, settings, threads, repeats):
    """Differences, and the times of both in turn."""
    trainer, twin = Trainer(network, batches, settings, threads), Twin(network, settings, batches)
    differences = compare(trainer, twin)
    for each in (trainer, twin):
        each.step()
    pairs = [(timed(trainer.step), timed(twin.step)) for _ in range(repeats)]
    return differences, *zip(*pairs, strict=True)


def shown(seconds):
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


@click.command()
@click.option("--train", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--methods", default="flow,bptt", show_default=True)
@click.option("--steps", default="1,2,4", callback=common.whole_numbers, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--crop", default=64, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--repeats", default=9, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(folder, model, methods, steps, batch, crop, threads, repeats, out):
    """Measure seconds per training iteration."""
    torch.set_num_threads(threads)
    network = load_model(model)
    batches = DenoisingBatches(read_pictures(folder, network.input.channels), (5, 50), crop, batch)
    versions = f"PyTorch {torch.__version__}"
    print(f"{model}, batch {batch} of {crop}x{crop}, {threads} threads; {versions}; {common.machine()}")
    print("| method | T | spikeunet, s | PyTorch, s | PyTorch / spikeunet | loss differs by | gradients differ by |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for method in methods.split(","):
        for number in steps:
            settings = Settings(steps=number, method=method, rate=1e-6)
            (loss, gradient), ours, theirs = measure(network, batches, settings, threads, repeats)
            ratio = statistics.median(theirs) / statistics.median(ours)
            cells = (method, number, shown(ours), shown(theirs), f"{ratio:.2f}", f"{loss:.1e}", f"{gradient:.1e}")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            rows += [
                (method, number, name, index, second)
                for name, seconds in (("spikeunet", ours), ("PyTorch", theirs))
                for index, second in enumerate(seconds)
            ]
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "finetuning_speed.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("method", "steps", "implementation", "repeat", "seconds"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
