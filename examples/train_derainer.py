"""Train the networks that take rain out of pictures: a small ESDNet, the same without attention, and the ANN twin.

    python examples/train_derainer.py --pictures FOLDER --out FOLDER --kind snn --minutes 90
    python examples/train_derainer.py --pack FOLDER --out pictures.npz

Recipe: random crops of 96x96, flipped and turned, of pictures that lie on the device as bytes, rain over them as heavy
as it comes (rainy_crops.py), batch 16, the mean absolute error and a fifth of 1 - SSIM, AdamW with a rate that rises
and falls by the clock, from a peak of 2e-3 to zero, the gradient's norm clipped, bfloat16 but for membranes and firing,
an average of the weights, whose batch norms' statistics are measured at the end. On a GPU what neurons do is compiled,
and forward and backward pass are replayed as one graph, where that works.

The arrays that are written are what `spikeunet convert FILE --normalization none --task derain --steps 4` takes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from derainer import BRANCH_QUANTUM, DECAY, STREAM_QUANTUM, THRESHOLD, Derainer, compile_functions, plain_functions
from rainy_crops import HELD_OUT, Crops, RainMaker, pack, read_pictures
from torch import Tensor, nn

from spikeunet.engine import add_rain
from spikeunet.engine.pictures.rain import INTENSITIES

KINDS = ("snn", "plain", "ann")
"""With attention, without it, and the artificial twin (with it)."""

NEURONS = {
    "neurons.threshold": THRESHOLD, "neurons.decay": DECAY,
    "stream.quantum": STREAM_QUANTUM, "branch.quantum": BRANCH_QUANTUM,
}  # fmt: skip

# --- Scores ----------------------------------------------------------------------------------------------------------


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (N,) of pictures within [0, 1]: 11x11 Gaussian of sigma 1.5, valid area."""
    along = torch.arange(11, device=one.device, dtype=one.dtype) - 5
    line = torch.exp(-(along**2) / 4.5)
    line = line / line.sum()
    channels = one.shape[1]

    def blurred(values: Tensor) -> Tensor:
        down = functional.conv2d(values, line.view(1, 1, 11, 1).expand(channels, 1, 11, 1), groups=channels)
        return functional.conv2d(down, line.view(1, 1, 1, 11).expand(channels, 1, 1, 11), groups=channels)

    mean, mean_other = blurred(one), blurred(other)
    spread, spread_other = blurred(one * one) - mean**2, blurred(other * other) - mean_other**2
    shared = blurred(one * other) - mean * mean_other
    above = (2 * mean * mean_other + 1e-4) * (2 * shared + 9e-4)
    below = (mean**2 + mean_other**2 + 1e-4) * (spread + spread_other + 9e-4)
    return (above / below).mean((1, 2, 3))


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """(N,) decibels."""
    return -10 * torch.log10((one - other).square().mean((1, 2, 3)).clamp(min=1e-10))


@torch.no_grad()
def validate(network: Derainer, pictures: np.ndarray, device: torch.device) -> dict[str, dict[str, float]]:
    """Mean PSNR and SSIM of the rainy and of the derained pictures, for each intensity."""
    network.eval()
    height, width = (size // 4 * 4 for size in pictures.shape[1:3])
    found = {}
    for intensity in INTENSITIES:
        rows = []
        for seed, picture in enumerate(pictures):
            clean = picture[:height, :width].astype(np.float64) / 255
            rainy = np.round(add_rain(clean, intensity, seed) * 255) / 255
            given, wanted = (
                torch.from_numpy(each.transpose(2, 0, 1)[None]).float().to(device) for each in (rainy, clean)
            )
            got = (given - network(given)).clamp(0, 1)
            rows.append([float(score(each, wanted)) for score in (psnr, ssim) for each in (given, got)])
        names = ("psnr_rainy", "psnr", "ssim_rainy", "ssim")
        found[intensity] = dict(zip(names, np.mean(rows, 0).round(4).tolist(), strict=True))
    return found


# --- Training --------------------------------------------------------------------------------------------------------


def rate_at(share: float, peak: float) -> float:
    """Learning rate after a share of the time: a short rise, then half a cosine down to zero."""
    warm = 0.04
    if share < warm:
        return peak * (0.05 + 0.95 * share / warm)
    return peak * 0.5 * (1 + math.cos(math.pi * min((share - warm) / (1 - warm), 1)))


class Trainer:
    """One network, its averaged copy and its optimiser."""

    def __init__(self, network: Derainer, arguments: argparse.Namespace, device: torch.device) -> None:
        self.network, self.device = network, device
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.parameters = list(network.parameters())
        self.average = [each.detach().clone() for each in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=arguments.rate, weight_decay=1e-4)
        self.pair = [torch.zeros(arguments.batch, 3, arguments.crop, arguments.crop, device=device) for _ in range(2)]
        self.loss = torch.zeros((), device=device)
        self.graph: Any = None

    def loss_of(self, rainy: Tensor, clean: Tensor) -> Tensor:
        """L1 and a share of 1 - SSIM."""
        got = rainy - self.network(rainy, self.dtype)
        return (got - clean).abs().mean() + 0.2 * (1 - ssim(got, clean).mean())

    def _passes(self) -> None:
        loss = self.loss_of(*self.pair)
        loss.backward()
        self.loss.copy_(loss.detach())

    def capture(self) -> None:
        """Record forward and backward pass, so that they are launched at once; eager where that fails."""
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self.optimizer.zero_grad(set_to_none=True)
                    self._passes()
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
            self.optimizer.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._passes()
            graph.replay()
            torch.cuda.synchronize()
            self.graph = graph
        except Exception as error:  # noqa: BLE001 - it is only slower without
            print(f"no graph: {str(error)[:300]}", flush=True)
            self.optimizer.zero_grad(set_to_none=True)

    def step(self, rainy: Tensor, clean: Tensor, rate: float, number: int) -> None:
        """One iteration."""
        self.pair[0].copy_(rainy)
        self.pair[1].copy_(clean)
        if self.graph is None:
            self.optimizer.zero_grad(set_to_none=True)
            self._passes()
        else:
            self.graph.replay()
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        usable = torch.isfinite(norm)
        factor = torch.where(usable, (1 / norm.clamp(min=1e-6)).clamp(max=1.0), 0.0)
        for each in gradients:
            each.copy_(torch.where(usable, each * factor, torch.zeros_like(each)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        keep = min(0.998, (1 + number) / (10 + number))
        with torch.no_grad():
            for mean, each in zip(self.average, self.parameters, strict=True):
                mean.lerp_(each, 1 - keep)

    @torch.no_grad()
    def finish(self, crops: Crops, rain: RainMaker, batches: int) -> None:
        """Take the averaged weights, and measure the statistics of the batch norms for them."""
        for each, mean in zip(self.parameters, self.average, strict=True):
            each.copy_(mean)
        norms = [each for each in self.network.modules() if isinstance(each, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.network.train()
        for _ in range(batches):
            self.network(rain(crops()))
        self.network.eval()


def save(network: Derainer, path: Path) -> None:
    """Weights in float16 where that is enough, and the numbers of the neurons; into place at the end."""
    arrays = {}
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            array = value.float().cpu().numpy()
            arrays[name] = array.astype(np.float16) if name.endswith("conv.weight") else array
    if network.steps:
        arrays |= {name: np.asarray(number, np.float32) for name, number in NEURONS.items()}
    partial = path.with_name("." + path.name)
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(partial, path)


def halve_weights(network: Derainer) -> None:
    """Round the convolutions' weights as the file holds them."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("conv.weight"):
                value.copy_(value.half().float())


def train(arguments: argparse.Namespace) -> None:
    """Train one kind and save it with its scores."""
    begin = time.monotonic()
    device = torch.device(arguments.device)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = device.type == "cuda"
    settings: dict[str, Any] = {
        "kind": arguments.kind, "width": arguments.width, "blocks": arguments.blocks,
        "attention": arguments.kind != "plain",
        "steps": 0 if arguments.kind == "ann" else arguments.steps,
    }  # fmt: skip
    shape = {name: settings[name] for name in ("width", "blocks", "steps", "attention")}
    network = Derainer(**shape).to(device, memory_format=torch.channels_last)
    pictures = read_pictures(arguments.pictures)
    learnt, held = pictures[:-HELD_OUT], pictures[-HELD_OUT:][: arguments.validation]
    crops = Crops(learnt, arguments.crop, arguments.batch, device, arguments.seed)
    rain, trainer = RainMaker(device, arguments.seed + 1), Trainer(network, arguments, device)
    fast = device.type == "cuda" and not arguments.plain
    compiled = fast and compile_functions(device)
    if fast:
        clean = crops()
        trainer.pair[0].copy_(rain(clean)), trainer.pair[1].copy_(clean)
        trainer.capture()
    ready = time.monotonic()
    until = begin + 60 * arguments.minutes - arguments.reserve
    print(f"{arguments.kind}: {len(learnt)} pictures, ready after {ready - begin:.1f} s, compiled {compiled}, "
          f"graph {trainer.graph is not None}", flush=True)  # fmt: skip
    number, curve = 0, []
    while time.monotonic() < until and (not arguments.iterations or number < arguments.iterations):
        share = (time.monotonic() - ready) / max(until - ready, 1e-9)
        clean = crops()
        trainer.step(rain(clean), clean, rate_at(share, arguments.rate), number)
        number += 1
        if number % arguments.every == 0:
            curve.append([number, round(time.monotonic() - ready, 1), round(float(trainer.loss), 5)])
            print(arguments.kind, *curve[-1], flush=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    plain_functions()
    torch.backends.cudnn.benchmark = False
    trainer.graph = None
    halve_weights(network)
    for mean in trainer.average:
        if mean.dim() == 4 and mean.shape[0] != 3 and mean.shape[1] != 3:
            mean.copy_(mean.half().float())
    trainer.finish(crops, rain, arguments.statistics)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings |= {"iterations": number, "seconds": round(time.monotonic() - begin, 1), "parameters": sum(
        each.numel() for each in trainer.parameters)}  # fmt: skip
    save(network, arguments.out / f"{arguments.kind}.npz")
    scores = validate(network, held, device)
    log = settings | {"validation": scores, "pictures": len(learnt), "curve": curve, "crop": arguments.crop,
                      "batch": arguments.batch, "rate": arguments.rate}  # fmt: skip
    (arguments.out / f"{arguments.kind}.json").write_text(json.dumps(log, indent=1))
    print(json.dumps(scores), flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder of JPEG pictures, or what --pack has made of one")
    parser.add_argument("--pack", type=Path, help="put a folder's pictures into one file, --out, and end")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="snn")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=60.0, help="for everything; the rate ends at zero")
    parser.add_argument("--reserve", type=float, default=25.0, help="seconds of these for the scores at the end")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--blocks", type=int, nargs=5, default=(1, 2, 3, 2, 2))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--statistics", type=int, default=60, help="batches for the statistics of the batch norms")
    parser.add_argument("--validation", type=int, default=20, help="pictures to validate on")
    parser.add_argument("--iterations", type=int, default=0, help="end after so many")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="no compilation and no graphs")
    return parser.parse_args()


def main() -> None:
    """Train, or pack."""
    arguments = parse()
    if arguments.pack is None:
        train(arguments)
        return
    packed = pack(arguments.pack, 20 * 2**20 - 200_000)
    with arguments.out.open("wb") as file:
        np.savez(file, **packed)


if __name__ == "__main__":
    main()
