"""Train the networks that take rain out of pictures: a small ESDNet, the same without attention, and the ANN twin.

    python examples/train_derainer.py --pictures FOLDER --out FOLDER --kind snn --minutes 90
    python examples/train_derainer.py --pack FOLDER --out pictures.npz

The network is built after ESDNet (T. Song et al., IJCAI 2024): three levels of residual blocks, each of two
convolutions that read the spikes of leaky integrate-and-fire neurons (threshold 0.15, decay 1/2, reset to zero), batch
norm scaled by the threshold (tdBN), and attention over time, channels and places. What differs, so that an engine can
run it event by event and step by step:

- the stream of numbers that the blocks add to is carried by graded signed spikes of 7 bits, which keep what they round
  off for the next step (`Relay`), and so does what attention reads. No convolution but the first and the last reads
  anything but binary spikes; the shortcut has no convolution.
- attention at a step knows that step alone: one gate for the step, one for each channel, from the means over the
  picture, and one for each pixel, from its channels. There is no ReLU behind it.
- what encoder and decoder bring is reduced to the width of the level at all levels; no refinement block; the readout
  is the rain, which is taken off the picture.

Rain is drawn here, too: see `RainMaker`. `spikeunet.engine.pictures` draws the same kind with NumPy.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

THRESHOLD = 0.15
DECAY = 0.5
ALPHA = 1 / math.sqrt(2)
STREAM_QUANTUM = 1 / 128
BRANCH_QUANTUM = 1 / 256
MOST_LEVELS = 127

HELD_OUT = 40
"""The last pictures by name are not learnt from."""

KINDS = ("snn", "plain", "ann")
"""With attention, without it, and the artificial twin (with it)."""

# --- Rain ------------------------------------------------------------------------------------------------------------

DEPTHS = (
    # length (pixels), width (pixels), opacity, streaks that begin in a pixel of light rain
    ((24.0, 40.0), (1.0, 1.6), 0.75, 1.2e-4),
    ((14.0, 26.0), (0.7, 1.1), 0.55, 5e-4),
    ((7.0, 15.0), (0.5, 0.8), 0.40, 2e-3),
)
"""Near drops are few, long, wide and bright; far ones many, short, thin and faint."""

INTENSITIES = {"light": 1.0, "medium": 2.5, "heavy": 6.0}
"""How many times as many streaks as in light rain."""

MARGIN = 32
"""Pixels around the picture in which streaks begin, too."""

SLANT, JITTER = 35.0, 3.0
"""Degrees from the vertical, of a picture and between its depths."""


def rain_numpy(clean: np.ndarray, intensity: str, seed: int) -> np.ndarray:
    """A rainy picture (H, W, 3) float64 within [0, 1] of a clean one; the same for the same seed."""
    generator = np.random.default_rng(seed)
    height, width = (size + 2 * MARGIN for size in clean.shape[:2])
    down, right = np.fft.fftfreq(height, 1 / height)[:, None], np.fft.fftfreq(width, 1 / width)[None]
    slant = generator.uniform(-SLANT, SLANT)
    streaks = np.zeros((height, width))
    for lengths, widths, opacity, density in DEPTHS:
        angle = np.deg2rad(slant + generator.uniform(-JITTER, JITTER))
        length, sigma = generator.uniform(*lengths), generator.uniform(*widths) / 2
        share = density * INTENSITIES[intensity] * generator.uniform(0.7, 1.3)
        along = down * np.cos(angle) + right * np.sin(angle)
        across = right * np.cos(angle) - down * np.sin(angle)
        streak = np.exp(-0.5 * (across / sigma) ** 2) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
        drops = (generator.random((height, width)) < share) * generator.uniform(0.4, 1, (height, width)) * opacity
        streaks += np.fft.irfft2(np.fft.rfft2(streak) * np.fft.rfft2(drops), (height, width))
    covered = np.clip(streaks, 0, 0.9)[MARGIN:-MARGIN, MARGIN:-MARGIN, None]
    light = generator.uniform(0.8, 1)
    veils = generator.random() < 0.5
    return np.clip(clean + covered * (light - clean if veils else 0.8 * light), 0, 1)


class RainMaker:
    """Rain for whole batches on a device.

    Each picture has a slant; each of three depths has a length, a width and a density; streaks are lines, blurred across,
    that begin anywhere. Light of the sky, as much as a streak covers, takes the place of the picture's (half of the
    pictures), or is added to it.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers between two."""
        return torch.rand(shape, device=self.device, generator=self.generator) * (high - low) + low

    def __call__(self, clean: Tensor) -> Tensor:
        """Rainy pictures (B, 3, H, W) of clean ones; how heavy the rain is, is drawn from light to heavy."""
        batch, _, height, width = clean.shape
        height, width = height + 2 * MARGIN, width + 2 * MARGIN
        down = torch.fft.fftfreq(height, 1 / height, device=self.device)[:, None]
        right = torch.fft.fftfreq(width, 1 / width, device=self.device)[None]
        slant, times = self.uniform(-SLANT, SLANT, batch, 1, 1), 6 ** self.uniform(-0.15, 1.05, batch, 1, 1)
        spectrum = torch.zeros((), device=self.device)
        for lengths, widths, opacity, density in DEPTHS:
            angle = torch.deg2rad(slant + self.uniform(-JITTER, JITTER, batch, 1, 1))
            length, sigma = self.uniform(*lengths, batch, 1, 1), self.uniform(*widths, batch, 1, 1) / 2
            share = density * times * self.uniform(0.7, 1.3, batch, 1, 1)
            along = down * angle.cos() + right * angle.sin()
            across = right * angle.cos() - down * angle.sin()
            streak = torch.exp(-0.5 * (across / sigma) ** 2) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
            drops = (self.uniform(0, 1, batch, height, width) < share) * self.uniform(0.4, 1, batch, height, width)
            spectrum = spectrum + torch.fft.rfft2(streak) * torch.fft.rfft2(drops * opacity)
        covered = torch.fft.irfft2(spectrum, s=(height, width)).clamp(0, 0.9)
        covered = covered[:, None, MARGIN:-MARGIN, MARGIN:-MARGIN]
        light = self.uniform(0.8, 1, batch, 1, 1, 1)
        veils = self.uniform(0, 1, batch, 1, 1, 1) < 0.5
        return (clean + covered * torch.where(veils, light - clean, 0.8 * light)).clamp(0, 1)


# --- Spikes ----------------------------------------------------------------------------------------------------------


def lif_forward(current: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and potentials before the reset, both (T, M), of currents (T, M)."""
    potential = torch.zeros_like(current[0], dtype=torch.float32)
    spikes, reached = [], []
    for each in current.unbind(0):
        potential = DECAY * potential + each.float()
        fired = potential >= THRESHOLD
        reached.append(potential)
        spikes.append(fired.to(current.dtype))
        potential = torch.where(fired, 0.0, potential)
    return torch.stack(spikes), torch.stack(reached)


def lif_backward(gradient: Tensor, reached: Tensor) -> Tensor:
    """Gradient of the currents: a triangle of height 1 / threshold and half-width threshold; the reset is detached."""
    found: list[Tensor] = []
    later = torch.zeros_like(reached[0])
    for each, potential in zip(reversed(gradient.unbind(0)), reversed(reached.unbind(0)), strict=True):
        slope = (1 - (potential - THRESHOLD).abs() / THRESHOLD).clamp(min=0) / THRESHOLD
        later = each.float() * slope + DECAY * torch.where(potential >= THRESHOLD, 0.0, later)
        found.append(later.to(gradient.dtype))
    return torch.stack(found[::-1])


def relay_forward(current: Tensor, quantum: float) -> Tensor:
    """Graded signed spikes (T, M): each the nearest of 255 levels to what has come in and not gone out."""
    potential = torch.zeros_like(current[0], dtype=torch.float32)
    emitted = []
    for each in current.unbind(0):
        potential = potential + each.float()
        quanta = potential / quantum
        up = (torch.ceil(quanta - 0.5)).clamp(0, MOST_LEVELS)
        below = (torch.ceil(-quanta - 0.5)).clamp(0, MOST_LEVELS)
        level = (up - below) * quantum
        potential = potential - level
        emitted.append(level.to(current.dtype))
    return torch.stack(emitted)


class _Functions:
    """The three above, compiled where that works."""

    lif_forward, lif_backward, relay_forward = (
        staticmethod(lif_forward), staticmethod(lif_backward), staticmethod(relay_forward),
    )  # fmt: skip


def compile_functions(device: torch.device) -> bool:
    """Fuse what the neurons do, and try it; False where that fails."""
    try:
        compiled = [torch.compile(each, dynamic=True) for each in (lif_forward, lif_backward, relay_forward)]
        for size in (4096, 8192):
            for dtype in (torch.bfloat16, torch.float32):
                current = torch.randn(4, size, device=device).to(dtype)
                spikes, reached = compiled[0](current)
                compiled[1](spikes, reached)
                if not torch.equal(compiled[2](current, STREAM_QUANTUM), relay_forward(current, STREAM_QUANTUM)):
                    return False
                compiled[2](current, BRANCH_QUANTUM)
                if not torch.equal(spikes, lif_forward(current)[0]):
                    return False
    except Exception as error:  # noqa: BLE001 - whatever is missing there, training goes on without
        print(f"not compiled: {str(error)[:300]}", flush=True)
        return False
    _Functions.lif_forward, _Functions.lif_backward, _Functions.relay_forward = map(staticmethod, compiled)  # type: ignore[assignment]
    return True


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, current: Tensor) -> Tensor:
        spikes, reached = _Functions.lif_forward(current)
        context.save_for_backward(reached)
        return spikes

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Functions.lif_backward(gradient.contiguous(), *context.saved_tensors)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, current: Tensor, quantum: float) -> Tensor:
        return _Functions.relay_forward(current, quantum)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _by_step(values: Tensor, steps: int) -> Tensor:
    """(T, M) of (T x N, C, H, W), channels last."""
    return values.permute(0, 2, 3, 1).reshape(steps, -1)


def _as_pictures(values: Tensor, like: Tensor) -> Tensor:
    count, channels, height, width = like.shape
    return values.reshape(count, height, width, channels).permute(0, 3, 1, 2)


class Neurons(nn.Module):
    """Leaky integrate-and-fire neurons, or a ReLU."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, current: Tensor) -> Tensor:
        """What is emitted, (T x N, C, H, W)."""
        if not self.steps:
            return F.relu(current)
        return _as_pictures(_Fire.apply(_by_step(current, self.steps)), current)


class Relay(nn.Module):
    """Graded signed spikes, or the identity."""

    def __init__(self, steps: int, quantum: float) -> None:
        super().__init__()
        self.steps, self.quantum = steps, quantum

    def forward(self, current: Tensor) -> Tensor:
        """What is emitted, (T x N, C, H, W)."""
        if not self.steps:
            return current
        return _as_pictures(_Round.apply(_by_step(current, self.steps), self.quantum), current)


# --- The network -----------------------------------------------------------------------------------------------------


class NormedConvolution(nn.Module):
    """A convolution and batch norm, whose scale begins as `scale`."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, spikes: Tensor) -> Tensor:
        """Current, of the type of `spikes`."""
        return self.norm(F.conv2d(spikes, self.conv.weight.to(spikes.dtype), None, self.conv.stride, self.conv.padding))


class Attention(nn.Module):
    """Gates for the step, for each place and for each channel; a row of the matrix for each of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels + 2, channels) * 0.02)
        self.bias = nn.Parameter(torch.full((channels + 2,), 2.0))

    def forward(self, values: Tensor) -> Tensor:
        """Gated values (T x N, C, H, W)."""
        means = values.float().mean((2, 3))
        kept = torch.sigmoid(F.linear(means, self.weight, self.bias))
        step, channels = kept[:, :1], kept[:, 2:]
        place = F.conv2d(values, self.weight[1:2, :, None, None].to(values.dtype)) + self.bias[1].to(values.dtype)
        return values * torch.sigmoid(place) * (step * channels).to(values.dtype)[..., None, None]


class Block(nn.Module):
    """stream + attention(conv(spikes(conv(spikes(stream)))))."""

    def __init__(self, channels: int, steps: int, unit: float, attention: bool) -> None:
        super().__init__()
        self.neurons, self.branch, self.stream = (
            Neurons(steps), Relay(steps, BRANCH_QUANTUM), Relay(steps, STREAM_QUANTUM),
        )  # fmt: skip
        self.first = NormedConvolution(channels, channels, 3, scale=unit)
        self.second = NormedConvolution(channels, channels, 3, scale=0.2 * unit)
        self.attention = Attention(channels) if attention else None

    def forward(self, stream: Tensor) -> Tensor:
        """The stream behind the block."""
        found = self.second(self.neurons(self.first(self.neurons(stream))))
        if self.attention is not None:
            found = self.attention(self.branch(found))
        return self.stream(stream + found)


class Derainer(nn.Module):
    """The rain of pictures (N, 3, H, W) within [0, 1], H and W multiples of 4; steps = 0 for the artificial network."""

    def __init__(self, width: int = 24, blocks: tuple[int, ...] = (1, 2, 3, 2, 2), steps: int = 4,
                 attention: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.steps = steps
        unit = ALPHA * THRESHOLD if steps else 1.0
        one, two, three = width, 2 * width, 4 * width

        def level(channels: int, number: int) -> nn.Sequential:
            return nn.Sequential(*(Block(channels, steps, unit, attention) for _ in range(number)))

        self.neurons, self.stream = Neurons(steps), Relay(steps, STREAM_QUANTUM)
        self.embed = nn.Conv2d(3, one, 3, padding=1)
        self.encoder1, self.down1 = level(one, blocks[0]), NormedConvolution(one, two, 3, 2, unit)
        self.encoder2, self.down2 = level(two, blocks[1]), NormedConvolution(two, three, 3, 2, unit)
        self.middle = level(three, blocks[2])
        self.up2, self.join2 = NormedConvolution(three, two, 3, 1, unit), NormedConvolution(2 * two, two, 1, 1, unit)
        self.decoder2 = level(two, blocks[3])
        self.up1, self.join1 = NormedConvolution(two, one, 3, 1, unit), NormedConvolution(2 * one, one, 1, 1, unit)
        self.decoder1 = level(one, blocks[4])
        self.readout = nn.Conv2d(one, 3, 3, padding=1)
        nn.init.normal_(self.readout.weight, std=0.01)
        nn.init.zeros_(self.readout.bias)

    def forward(self, pictures: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Rain (N, 3, H, W) float32; streams and spikes are held in `dtype`."""
        count, steps = len(pictures), max(self.steps, 1)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        first = F.conv2d(pictures, self.embed.weight, self.embed.bias, padding=1).to(dtype)
        stream1 = self.encoder1(self.stream(first.repeat(steps, 1, 1, 1)))
        spikes1 = self.neurons(stream1)
        stream2 = self.encoder2(self.stream(self.down1(spikes1)))
        spikes2 = self.neurons(stream2)
        deepest = self.middle(self.stream(self.down2(spikes2)))
        joined = self.decoder2(self._joined(deepest, spikes2, self.up2, self.join2))
        joined = self.decoder1(self._joined(joined, spikes1, self.up1, self.join1))
        mean = joined.float().reshape(steps, count, *joined.shape[1:]).mean(0)
        return F.conv2d(mean, self.readout.weight, self.readout.bias, padding=1)

    def _joined(self, deeper: Tensor, spikes: Tensor, up: NormedConvolution, join: NormedConvolution) -> Tensor:
        larger = F.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False)
        risen = self.neurons(up(self.neurons(larger)))
        return self.stream(join(torch.cat([risen, spikes], 1)))


# --- Pictures --------------------------------------------------------------------------------------------------------


def pack(folder: Path, most: int) -> dict[str, np.ndarray]:
    """The bytes of a folder's JPEG pictures one after the other, evenly chosen so that they take at most `most` bytes.

    The last ones by name, which are held out, are all there.
    """
    paths = sorted(folder.glob("*.jpg"))
    held, rest = paths[-HELD_OUT:], paths[:-HELD_OUT]
    left = most - sum(path.stat().st_size for path in held)
    chosen = list(rest)
    while sum(path.stat().st_size for path in chosen) > left:
        chosen = [rest[i] for i in np.linspace(0, len(rest) - 1, len(chosen) - 1).astype(int)]
    files = [path.read_bytes() for path in chosen + held]
    offsets = np.cumsum([0, *map(len, files)])
    return {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offset": offsets}


def decoded(jpeg: bytes) -> np.ndarray:
    """(H, W, 3) uint8, wider than high."""
    try:
        from PIL import Image

        picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    except ImportError:
        import imageio.v3 as iio

        picture = np.asarray(iio.imread(jpeg, extension=".jpg"))
    return picture if picture.shape[1] >= picture.shape[0] else picture.transpose(1, 0, 2)


def read_pictures(place: Path) -> np.ndarray:
    """(N, H, W, 3) uint8: a packed file, or a folder; all cut to the smallest of them."""
    if place.is_dir():
        files = [path.read_bytes() for path in sorted(place.glob("*.jpg"))]
    else:
        with np.load(place) as packed:
            jpeg, offset = packed["jpeg"].tobytes(), packed["offset"]
        files = [jpeg[begin:end] for begin, end in zip(offset[:-1], offset[1:], strict=True)]
    pictures = [decoded(each) for each in files]
    height, width = (min(each.shape[axis] for each in pictures) for axis in (0, 1))
    return np.stack([each[:height, :width] for each in pictures])


class Crops:
    """Random crops, flipped and turned, of pictures that lie on the device as bytes."""

    def __init__(self, pictures: np.ndarray, size: int, batch: int, device: torch.device, seed: int) -> None:
        self.pictures = torch.from_numpy(pictures).to(device)
        self.size, self.batch, self.device = size, batch, device
        self.generator = torch.Generator(device).manual_seed(seed)

    def _integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, device=self.device, generator=self.generator)

    def __call__(self) -> Tensor:
        """(B, 3, size, size) float32 within [0, 1]."""
        count, height, width, _ = self.pictures.shape
        along = torch.arange(self.size, device=self.device)[None]
        lines = []
        for whole in (height, width):
            forward = self._integers(2, self.batch, 1).bool()
            places = torch.where(forward, along, self.size - 1 - along)
            lines.append(places + self._integers(whole - self.size + 1, self.batch, 1))
        which = self._integers(count, self.batch)[:, None, None]
        crops = self.pictures[which, lines[0][:, :, None], lines[1][:, None, :]].permute(0, 3, 1, 2)
        half = self.batch // 2
        return torch.cat([crops[:half], crops[half:].transpose(2, 3)]).float() / 255


# --- Scores ----------------------------------------------------------------------------------------------------------


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (N,) of pictures within [0, 1]: 11x11 Gaussian of sigma 1.5, valid area."""
    along = torch.arange(11, device=one.device, dtype=one.dtype) - 5
    line = torch.exp(-(along**2) / 4.5)
    line = line / line.sum()
    channels = one.shape[1]

    def blurred(values: Tensor) -> Tensor:
        down = F.conv2d(values, line.view(1, 1, 11, 1).expand(channels, 1, 11, 1), groups=channels)
        return F.conv2d(down, line.view(1, 1, 1, 11).expand(channels, 1, 1, 11), groups=channels)

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
            rainy = np.round(rain_numpy(clean, intensity, seed) * 255) / 255
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
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        usable = torch.isfinite(norm)
        for each in gradients:
            each.copy_(torch.where(usable, each, torch.zeros_like(each)))
        torch._foreach_mul_(gradients, torch.where(usable, (1 / norm.clamp(min=1e-6)).clamp(max=1.0), 0.0))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        keep = min(0.998, (1 + number) / (10 + number))
        with torch.no_grad():
            torch._foreach_mul_(self.average, keep)
            torch._foreach_add_(self.average, [each.detach() for each in self.parameters], alpha=1 - keep)

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


def save(network: Derainer, path: Path, settings: dict[str, Any]) -> None:
    """Weights in float16 where that is enough, and the settings as JSON; into place at the end."""
    arrays = {}
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            array = value.float().cpu().numpy()
            arrays[name] = array.astype(np.float16) if name.endswith("conv.weight") else array
    arrays["settings"] = np.array(json.dumps(settings))
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
        "kind": arguments.kind, "width": arguments.width, "blocks": arguments.blocks, "attention": arguments.kind != "plain",
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
    _Functions.lif_forward, _Functions.lif_backward, _Functions.relay_forward = (
        staticmethod(lif_forward), staticmethod(lif_backward), staticmethod(relay_forward),
    )  # fmt: skip
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
    save(network, arguments.out / f"{arguments.kind}.npz", settings)
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
