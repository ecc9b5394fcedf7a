"""A small ESDNet, the same without attention, and the artificial twin, in PyTorch; train_derainer.py trains them.

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
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

THRESHOLD = 0.15
DECAY = 0.5
ALPHA = 1 / math.sqrt(2)
STREAM_QUANTUM = 1 / 128
BRANCH_QUANTUM = 1 / 256
MOST_LEVELS = 127


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


def plain_functions() -> None:
    """Give the compiled ones up, whose numbers may round otherwise."""
    _Functions.lif_forward, _Functions.lif_backward, _Functions.relay_forward = (
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
    def forward(_context: Any, current: Tensor, quantum: float) -> Tensor:
        return _Functions.relay_forward(current, quantum)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> tuple[Tensor, None]:
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
            return functional.relu(current)
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
        return self.norm(
            functional.conv2d(spikes, self.conv.weight.to(spikes.dtype), None, self.conv.stride, self.conv.padding)
        )


class Attention(nn.Module):
    """Gates for the step, for each place and for each channel; a row of the matrix for each of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels + 2, channels) * 0.02)
        self.bias = nn.Parameter(torch.full((channels + 2,), 2.0))

    def forward(self, values: Tensor) -> Tensor:
        """Gated values (T x N, C, H, W)."""
        means = values.float().mean((2, 3))
        kept = torch.sigmoid(functional.linear(means, self.weight, self.bias))
        step, channels = kept[:, :1], kept[:, 2:]
        place = functional.conv2d(values, self.weight[1:2, :, None, None].to(values.dtype)) + self.bias[1].to(
            values.dtype
        )
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
        first = functional.conv2d(pictures, self.embed.weight, self.embed.bias, padding=1).to(dtype)
        stream1 = self.encoder1(self.stream(first.repeat(steps, 1, 1, 1)))
        spikes1 = self.neurons(stream1)
        stream2 = self.encoder2(self.stream(self.down1(spikes1)))
        spikes2 = self.neurons(stream2)
        deepest = self.middle(self.stream(self.down2(spikes2)))
        joined = self.decoder2(self._joined(deepest, spikes2, self.up2, self.join2))
        joined = self.decoder1(self._joined(joined, spikes1, self.up1, self.join1))
        mean = joined.float().reshape(steps, count, *joined.shape[1:]).mean(0)
        return functional.conv2d(mean, self.readout.weight, self.readout.bias, padding=1)

    def _joined(self, deeper: Tensor, spikes: Tensor, up: NormedConvolution, join: NormedConvolution) -> Tensor:
        larger = functional.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False)
        risen = self.neurons(up(self.neurons(larger)))
        return self.stream(join(torch.cat([risen, spikes], 1)))
