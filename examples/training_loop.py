"""The loop that the training scripts here share.

Adam with a one-cycle rate that follows the clock, so that a run of `--minutes` always ends with a rate of zero;
bfloat16 arithmetic where the processor has it; the gradient's norm clipped; an exponential moving average of the
weights, which is what is saved. An interrupted run goes on from its checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spiking_unet import SpikingUNet, revive
from torch import Tensor, nn

from spikeunet.engine.files.atomic import atomic_write

WARMUP = 0.03
"""Share of the time in which the rate rises."""
LEAST_FACTOR = 1e-3
"""Of the peak rate, at both ends."""
LARGEST_NORM = 1.0
"""Of a gradient."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Lesson:
    """What is learnt.

    Parameters
    ----------
    draw : function of a generator
        An input, (N, C, H, W) float32, and its target.
    loss : function of an output, float32, and a target
    describe : function of a network in evaluation mode
        Scores on held-out pictures, as a text.
    """

    draw: Callable[[np.random.Generator], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    describe: Callable[[nn.Module], str]


def add_arguments(
    parser: argparse.ArgumentParser, out: str, minutes: float, rate: float, report: int, width: int | None = 32
) -> None:
    """Options of every training script, with their defaults; no width where that is None."""
    parser.add_argument("--out", type=Path, default=Path(out), help="state dict, NPZ; the checkpoint lies beside it")
    parser.add_argument("--minutes", type=float, default=minutes, help="length of the run, by the clock")
    if width is not None:
        parser.add_argument("--width", type=int, default=width, help="channels of the first level")
    parser.add_argument("--rate", type=float, default=rate, help="peak learning rate")
    parser.add_argument("--report", type=int, default=report, help="iterations from one report and save to the next")
    parser.add_argument("--seed", type=int, default=0)


def rate_factor(done: float) -> float:
    """Share of the peak rate when a share of the time is over: a linear rise, then half a cosine."""
    factor = done / WARMUP if done < WARMUP else 0.5 + 0.5 * math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))
    return max(factor, LEAST_FACTOR)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, iteration: int) -> None:
    """Move the average towards the network, faster in the first iterations; a batch norm's statistics likewise."""
    decay = min(0.999, (1 + iteration) / (10 + iteration))
    current = network.state_dict()
    for name, kept in average.state_dict().items():
        if kept.is_floating_point():
            kept.lerp_(current[name], 1 - decay)
        else:
            kept.copy_(current[name])


class Trainer:
    """A network, its average and its optimiser, and where they are saved."""

    def __init__(self, network: SpikingUNet, lesson: Lesson, options: argparse.Namespace) -> None:
        self.network = network.to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=options.rate, fused=True)
        self.lesson = lesson
        self.options = options
        self.checkpoint = options.out.with_suffix(".checkpoint.pt")
        self.generator = np.random.default_rng(options.seed)
        self.iteration, self.elapsed, self.loss = 0, 0.0, math.nan
        if self.checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        try:
            self.network.load_state_dict(saved["network"])
        except RuntimeError:
            raise SystemExit(f"{self.checkpoint}: is of another network; remove it or choose another --out") from None
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.iteration, self.elapsed = saved["iteration"], saved["elapsed"]
        self.generator = np.random.default_rng([self.options.seed, self.iteration])

    def save(self) -> None:
        """Write the averaged weights and the checkpoint."""
        state = {name: tensor.numpy() for name, tensor in self.average.state_dict().items()}
        with atomic_write(self.options.out) as stream:
            np.savez(stream, **state)
        saved = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "elapsed": self.elapsed,
        }
        with atomic_write(self.checkpoint) as stream:
            torch.save(saved, stream)

    def step(self, share: float) -> Tensor:
        """One iteration, when `share` of the time is over; returns its input."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * rate_factor(share)
        x, target = self.lesson.draw(self.generator)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.network(x)
        loss = self.lesson.loss(predicted.float(), target)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_NORM)
        self.optimizer.step()
        follow(self.average, self.network, self.iteration)
        self.loss = loss.item() if math.isnan(self.loss) else self.loss + 0.01 * (loss.item() - self.loss)
        self.iteration += 1
        return x

    def run(self) -> None:
        """Train until the time is over; save and report now and then and at the end."""
        total = self.options.minutes * 60
        last = time.monotonic()
        while self.elapsed < total:
            x = self.step(self.elapsed / total)
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if self.iteration % self.options.report == 0:
                revived = revive(self.network, self.average, self.optimizer, x)
                if revived:
                    print(f"revived {', '.join(revived)}", flush=True)
                self.save()
                self._report()
        self.save()
        self._report()

    def _report(self) -> None:
        scores = self.lesson.describe(self.average)
        print(f"{self.iteration:6d} it  {self.elapsed / 60:5.1f} min  loss {self.loss:.4f}  {scores}", flush=True)
