"""Train the U-Net that `spikeunet convert` turns into the shipped gray denoiser.

The only place, besides parity tests, where PyTorch appears. The network has the topology and the layer names of the
reference implementation of Li et al., arXiv 2307.10974 (conv1 ... conv19, convtranspose1 ... 4); it predicts the
noise of a picture whose noise level it is not told (blind, sigma drawn from 5 to 50 for each crop).

    python examples/train_denoiser.py --pictures FOLDER --out denoiser-ann.npz --minutes 70

Recipe: random crops of 128x128 with flips and rotations, batch 8, Adam with a one-cycle rate, the mean over the batch
of the logarithm of each crop's squared error (so that every noise level pulls on the weights alike), gradient norm
clipped, an exponential moving average of the weights, and bfloat16 arithmetic where the processor has it. The rate
follows the clock, so that a run of `--minutes` always ends with a rate of zero. An interrupted run goes on from its
checkpoint when the same command is given again.

The shipped weights took 90 minutes (16,201 iterations) on two processors that were busy with other work as well; the
two deepest levels were revived once, at iteration 5,500.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class SpikingUNet(nn.Module):
    """U-Net of the reference implementation: four average poolings, four transposed convolutions, concatenated skips.

    Input (N, in_channels, H, W) with H and W multiples of 16; output (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        number = 1
        previous = in_channels
        for level in range(5):
            self._add_pair(number, previous, widths[level])
            previous = widths[level]
            number += 2
        for step, level in enumerate(range(4, 0, -1), start=1):
            upsampling = nn.ConvTranspose2d(widths[level], widths[level - 1], 3, stride=2, padding=1, output_padding=1)
            self.add_module(f"convtranspose{step}", upsampling)
            self._add_pair(number, 2 * widths[level - 1], widths[level - 1])
            number += 2
        self.conv19 = nn.Conv2d(width, out_channels, 1)
        for name, _ in self.named_children():
            self.reset_layer(name)
        nn.init.normal_(self.conv19.weight, std=1e-3)

    def _add_pair(self, number: int, in_channels: int, out_channels: int) -> None:
        for offset, channels in enumerate((in_channels, out_channels)):
            self.add_module(f"conv{number + offset}", nn.Conv2d(channels, out_channels, 3, padding=1))

    def reset_layer(self, name: str) -> None:
        """Fresh weights for a layer, as at the start."""
        module = self.get_submodule(name)
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * 9 / 4)))
        else:
            nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)

    def _rectified(self, name: str, x: Tensor) -> Tensor:
        return functional.relu(self.get_submodule(name)(x), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for number in range(1, 11, 2):
            x = self._rectified(f"conv{number}", x)
            x = self._rectified(f"conv{number + 1}", x)
            if number < 9:
                skips.append(x)
                x = functional.avg_pool2d(x, 2)
        for step, number in enumerate(range(11, 19, 2), start=1):
            x = self._rectified(f"convtranspose{step}", x)
            x = torch.cat([skips.pop(), x], dim=1)
            x = self._rectified(f"conv{number}", x)
            x = self._rectified(f"conv{number + 1}", x)
        return self.conv19(x)


def read_pictures(folder: Path) -> list[np.ndarray]:
    """All gray pictures of a folder, (H, W) uint8, in the order of their names."""
    pictures = [iio.imread(path) for path in sorted(folder.iterdir())]
    if not pictures:
        raise SystemExit(f"no pictures in {folder}")
    return pictures


def draw_batch(
    pictures: list[np.ndarray], batch: int, crop: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Noisy crops and their noise, each (batch, 1, crop, crop) float32."""
    clean = np.empty((batch, 1, crop, crop), np.float32)
    for sample in clean:
        picture = pictures[generator.integers(len(pictures))]
        top, left = (generator.integers(size - crop + 1) for size in picture.shape)
        patch = np.rot90(picture[top : top + crop, left : left + crop], generator.integers(4))
        sample[0] = (patch if generator.integers(2) else patch[:, ::-1]) / np.float32(255)
    sigma = generator.uniform(5, 50, (batch, 1, 1, 1)).astype(np.float32) / 255
    noise = generator.standard_normal(clean.shape, dtype=np.float32) * sigma
    return torch.from_numpy(clean + noise), torch.from_numpy(noise)


@torch.no_grad()
def revive(network: SpikingUNet, average: SpikingUNet, optimizer: torch.optim.Optimizer, noisy: Tensor) -> list[str]:
    """Start the deep levels afresh where an upsampling layer has died, and name the layers that were reset.

    At this rate a transposed convolution may early on push all its outputs below zero; then nothing behind it learns.
    Its layers get new weights, and the convolution that reads it ignores it at first, so that the rest is not
    disturbed.
    """
    alive: dict[str, bool] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: alive.update({name: bool((output > 0).any())}))
        for name, module in network.named_children()
    ]
    network(noisy)
    for hook in hooks:
        hook.remove()
    dead = [step for step in range(1, 5) if not alive[f"convtranspose{step}"]]
    if not dead:
        return []
    last = max(dead)
    numbers = range(11 - 2 * last, 9 + 2 * last)
    names = [f"conv{number}" for number in numbers] + [f"convtranspose{step}" for step in range(1, last + 1)]
    reader = network.get_submodule(f"conv{9 + 2 * last}")
    for name in names:
        network.reset_layer(name)
    reader.weight[:, reader.in_channels // 2 :] = 0
    for parameter in [reader.weight, *(p for name in names for p in network.get_submodule(name).parameters())]:
        optimizer.state.pop(parameter, None)
    average.load_state_dict(network.state_dict())
    return names


@torch.no_grad()
def validate(network: nn.Module, pictures: list[np.ndarray], sigma: float = 25) -> float:
    """Mean PSNR in dB over held-out pictures, whose sides are cropped to multiples of 16."""
    scores = []
    for seed, picture in enumerate(pictures):
        height, width = (size // 16 * 16 for size in picture.shape)
        clean = picture[:height, :width].astype(np.float32) / 255
        noise = np.random.default_rng(seed).standard_normal(clean.shape) * sigma / 255
        noisy = torch.from_numpy((clean + noise).astype(np.float32))
        restored = (noisy - network(noisy[None, None])[0, 0]).clamp(0, 1).numpy()
        scores.append(-10 * math.log10(float(np.mean((restored - clean) ** 2, dtype=np.float64))))
    return float(np.mean(scores))


def save_atomically(path: Path, write) -> None:
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as stream:
        write(stream)
    os.replace(temporary, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the gray blind denoiser's U-Net with PyTorch.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of gray pictures, at least 128x128 each")
    parser.add_argument("--out", type=Path, default=Path("denoiser-ann.npz"))
    parser.add_argument("--minutes", type=float, default=70, help="length of the run, by the clock")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    generator = np.random.default_rng(arguments.seed)
    pictures = read_pictures(arguments.pictures)
    held_out, pictures = pictures[-8:], pictures[:-8]
    network = SpikingUNet(width=arguments.width).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=arguments.rate, fused=True)
    checkpoint = arguments.out.with_suffix(".checkpoint.pt")
    iteration, elapsed = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        iteration, elapsed = saved["iteration"], saved["elapsed"]
        generator = np.random.default_rng([arguments.seed, iteration])

    def save() -> None:
        state = {name: tensor.numpy() for name, tensor in average.state_dict().items()}
        save_atomically(arguments.out, lambda stream: np.savez(stream, **state))
        saved = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "iteration": iteration,
            "elapsed": elapsed,
        }
        save_atomically(checkpoint, lambda stream: torch.save(saved, stream))

    total = arguments.minutes * 60
    warmup = 0.03
    running = 0.0
    last = time.monotonic()
    while elapsed < total:
        done = elapsed / total
        factor = done / warmup if done < warmup else 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1 - warmup))
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * max(factor, 1e-3)
        noisy, noise = draw_batch(pictures, arguments.batch, arguments.crop, generator)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = network(noisy)
        loss = (predicted.float() - noise).square().mean((1, 2, 3)).log().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            for kept, current in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(current, 1 - decay)
        running += 0.01 * (loss.item() - running) if iteration else loss.item()
        iteration += 1
        now = time.monotonic()
        elapsed += now - last
        last = now
        if iteration % 500 == 0:
            revived = revive(network, average, optimizer, noisy)
            if revived:
                print(f"revived {', '.join(revived)}", flush=True)
            save()
            print(
                f"{iteration:6d} iterations  {elapsed / 60:5.1f} min  loss {running:.4f}  "
                f"held-out PSNR at sigma 25 {validate(average, held_out):.3f} dB",
                flush=True,
            )
    save()
    print(f"{iteration} iterations, held-out PSNR at sigma 25 {validate(average, held_out):.3f} dB")


if __name__ == "__main__":
    main()
