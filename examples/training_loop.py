"""The loop that the training scripts here share.

Adam, or Muon (muon.py), with a one-cycle rate that follows the clock, so that a run of `--minutes` always ends with a
rate of zero, or the number of `--iterations`, so that a run does not depend on how fast the machine is; bfloat16
arithmetic where the processor has it; the gradient's norm clipped; an exponential moving average of the weights, which
is what is saved. An interrupted run goes on from its checkpoint when the same command is given again.
On a GPU an iteration is one graph of CUDA, so that what is drawn there is drawn by PyTorch.
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
from dormant_channels import wake
from muon import Muon
from spiking_unet import SpikingUNet, revive
from torch import Tensor, nn

from spikeunet.engine.files.atomic import atomic_write

WARMUP = 0.03
"""Share of the time in which the rate rises."""
LEAST_FACTOR = 1e-3
"""Of the peak rate, at both ends."""
LARGEST_NORM = 1.0
"""Of a gradient."""
WAKING = 0.6
"""Share of the run after which silent channels are left alone: one that begins late has no time to learn."""
DECAY = 0.999
SETTLED = 1000
"""Iterations after which the average of a run on a GPU begins anew: its decay is fixed there."""

CPU = torch.device("cpu")
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Lesson:
    """What is learnt.

    Parameters
    ----------
    draw : function of a generator
        An input, (N, C, H, W) float32, and its target, on the trainer's device. On a GPU it is called a few times only,
        and what it did there is done again: it must draw with PyTorch alone, and copy nothing to the device.
    loss : function of an output, float32, and a target
    describe : function of a network in evaluation mode
        Scores on held-out pictures, as a text.
    wakes : bool
        Whether channels that fall silent begin anew (dormant_channels.py), in the first WAKING of the run.
    """

    draw: Callable[[np.random.Generator], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    describe: Callable[[nn.Module], str]
    wakes: bool = False


def add_arguments(
    parser: argparse.ArgumentParser, out: str, minutes: float, rate: float, report: int, width: int | None = 32
) -> None:
    """Options of every training script, with their defaults; no width where that is None."""
    parser.add_argument("--out", type=Path, default=Path(out), help="state dict, NPZ; the checkpoint lies beside it")
    parser.add_argument("--minutes", type=float, default=minutes, help="length of the run, by the clock")
    parser.add_argument("--iterations", type=at_least_one, default=0, help="length of the run, in place of --minutes")
    if width is not None:
        parser.add_argument("--width", type=int, default=width, help="channels of the first level")
    parser.add_argument("--rate", type=float, default=rate, help="peak learning rate")
    parser.add_argument("--optimizer", choices=("adam", "muon"), default="adam")
    parser.add_argument(
        "--bias-share", type=part_of_one, default=1.0, help="of the rate, what biases have with --optimizer muon"
    )
    parser.add_argument("--report", type=int, default=report, help="iterations from one report and save to the next")
    parser.add_argument("--seed", type=int, default=0)


def at_least_one(text: str) -> int:
    """A whole number of which a run can have so many iterations: with fewer it would never end."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 (got {text})")
    return number


def part_of_one(text: str) -> float:
    """A number above 0 and at most 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and not above 1 (got {text})")
    return number


def rate_factor(done: float) -> float:
    """Share of the peak rate when a share of the time is over: a linear rise, then half a cosine."""
    factor = done / WARMUP if done < WARMUP else 0.5 + 0.5 * math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))
    return max(factor, LEAST_FACTOR)


def has_bfloat16(device: torch.device) -> bool:
    """Whether such arithmetic is the device's own: a processor that has none computes several times as long."""
    if device.type != "cpu":
        return True
    return any(found and name.endswith("bf16") for name, found in torch.cpu.get_capabilities().items())


def average_decay(iteration: int) -> float:
    """Of the moving average: it moves faster in the first iterations."""
    return min(DECAY, (1 + iteration) / (10 + iteration))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average towards the network, a batch norm's statistics likewise."""
    current = network.state_dict()
    for name, kept in average.state_dict().items():
        if kept.is_floating_point():
            kept.lerp_(current[name], 1 - decay)
        else:
            kept.copy_(current[name])


class Trainer:
    """A network, its average and its optimiser, and where they are saved."""

    def __init__(
        self, network: nn.Module, lesson: Lesson, options: argparse.Namespace, device: torch.device = CPU
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network).eval()
        self.on_gpu = device.type == "cuda"
        rate = torch.tensor(options.rate, device=device) if self.on_gpu else options.rate
        if options.optimizer != "muon" and options.bias_share != 1:
            raise SystemExit(f"--bias-share is of --optimizer muon (got --optimizer {options.optimizer})")
        if options.optimizer == "muon":
            self.optimizer: torch.optim.Optimizer = Muon(self.network, rate, options.bias_share)
        else:
            self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate, fused=True, capturable=self.on_gpu)
        self.lesson = lesson
        self.options = options
        self.device = device
        self.bfloat16 = has_bfloat16(device)
        self.checkpoint = options.out.with_suffix(".checkpoint.pt")
        self.generator = np.random.default_rng(options.seed)
        self.iteration, self.elapsed = 0, 0.0
        self.loss = torch.full((), math.nan, device=device)
        self._replay: Callable[[], None] | None = None
        if self.checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        try:
            self.network.load_state_dict(saved["network"])
        except RuntimeError:
            raise SystemExit(f"{self.checkpoint}: is of another network; remove it or choose another --out") from None
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.iteration, self.elapsed = saved["iteration"], saved["elapsed"]
        self.generator = np.random.default_rng([self.options.seed, self.iteration])
        torch.manual_seed(self.options.seed + self.iteration)

    def save(self) -> None:
        """Write the averaged weights and the checkpoint."""
        state = {name: tensor.cpu().numpy() for name, tensor in self.average.state_dict().items()}
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

    def step(self, share: float) -> None:
        """One iteration, when `share` of the time is over."""
        for group in self.optimizer.param_groups:
            rate = self.options.rate * rate_factor(share)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if not self.on_gpu:
            self.input = self._learn(average_decay(self.iteration))
        else:
            self._replay = self._replay or self._captured()
            self._replay()
            if self.iteration == SETTLED:
                follow(self.average, self.network, 0.0)
        self.iteration += 1

    def _learn(self, decay: float) -> Tensor:
        """Draw, go forward and back, and move the weights; returns the input."""
        x, target = self.lesson.draw(self.generator)
        x = x.contiguous(memory_format=torch.channels_last)
        options = {"enabled": self.bfloat16, "cache_enabled": not self.on_gpu}
        with torch.autocast(self.device.type, torch.bfloat16, **options):
            predicted = self.network(x)
        loss = self.lesson.loss(predicted.float(), target)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_NORM)
        self.optimizer.step()
        follow(self.average, self.network, decay)
        with torch.no_grad():
            self.loss.copy_(torch.where(self.loss.isnan(), loss, self.loss + 0.01 * (loss - self.loss)))
        return x

    def _captured(self) -> Callable[[], None]:
        """An iteration as a graph of CUDA: thousands of small kernels are started at once."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._learn(DECAY)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad()
        with torch.cuda.graph(graph):
            self.input = self._learn(DECAY)
        return graph.replay

    def run(self) -> None:
        """Train until the time, or the number of iterations, is over; save and report now and then and at the end."""
        if self.iteration == 0 and self.lesson.wakes:
            self.input, _ = self.lesson.draw(self.generator)
            self._revive(0.0)
        last = time.monotonic()
        while (share := self._share()) < 1:
            self.step(share)
            if self.on_gpu and self.iteration % 20 == 0:
                torch.cuda.synchronize()
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if self.iteration % self.options.report == 0:
                self._revive(share)
                self.save()
                self._report()
        self.save()
        self._report()

    def _share(self) -> float:
        """Of the run that is over."""
        if self.options.iterations:
            return self.iteration / self.options.iterations
        total = self.options.minutes * 60
        return self.elapsed / total if total > 0 else 1.0

    def _revive(self, share: float) -> None:
        if self.lesson.wakes and share < WAKING:
            print(f"begun anew: {wake(self.network, self.average, self.optimizer, self.input)} channels", flush=True)
        if isinstance(self.network, SpikingUNet):
            revived = revive(self.network, self.average, self.optimizer, self.input)
            if revived:
                print(f"revived {', '.join(revived)}", flush=True)

    def _report(self) -> None:
        scores, loss = self.lesson.describe(self.average), self.loss.item()
        print(f"{self.iteration:6d} it  {self.elapsed / 60:5.1f} min  loss {loss:.4f}  {scores}", flush=True)
