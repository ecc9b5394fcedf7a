"""The networks of the engine written in PyTorch, and their fine-tuning by automatic differentiation.

Written as one would in PyTorch: channels-last tensors, the library's own convolutions, Adam, mean squared error and
gradient clipping; spikes as an autograd function with a surrogate's slope; accumulated spiking flow as its authors do
it, with the spiking run outside of the graph, step by step, and one differentiable pass over what it put out.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from spikeunet.engine import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Neurons, Output
from spikeunet.engine.learning.finetune import Trainable


class Spike(torch.autograd.Function):
    """A step forward; backward the triangle, as wide as the threshold is high."""

    @staticmethod
    def forward(context, distance, theta):
        context.save_for_backward(distance)
        context.theta = theta
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(context, gradient):
        (distance,) = context.saved_tensors
        return gradient * (1 - (distance / context.theta).abs()).clamp_(min=0) / context.theta, None


class Flow(torch.autograd.Function):
    """Forward what the spiking run put out; backward a ReLU's derivative."""

    @staticmethod
    def forward(context, accumulated, emitted):
        context.save_for_backward(accumulated > 0)
        return emitted

    @staticmethod
    def backward(context, gradient):
        return gradient * context.saved_tensors[0], None


class Twin:
    """A network of multi-threshold neurons with subtraction in PyTorch, and the state of its training."""

    def __init__(self, network, settings, batches):
        self.network = network
        self.settings = settings
        self.batches = batches
        self.generator = np.random.default_rng(settings.seed)
        self.tensors = {name: _tensor(array) for name, array in Trainable(network).parameters().items()}
        rate, betas = settings.rate * settings.schedule(0, settings.iterations), (settings.momentum, 0.999)
        self.optimizer = torch.optim.Adam(self.tensors.values(), lr=rate, betas=betas, fused=True)
        self.loss = float("nan")

    def step(self):
        """Train on one batch."""
        noisy, noise = (_pictures(array) for array in self.batches.draw(self.generator))
        output = self._flow(noisy) if self.settings.method == "flow" else self._through_time(noisy)
        loss = functional.mse_loss(output, noise)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.tensors.values(), self.settings.clip)
        self.optimizer.step()
        self.loss = float(loss.detach())

    def gradients(self, noisy, noise):
        """Loss, and gradients by parameter, of a batch (N, H, W, C)."""
        noisy, noise = _pictures(noisy), _pictures(noise)
        output = self._flow(noisy) if self.settings.method == "flow" else self._through_time(noisy)
        loss = functional.mse_loss(output, noise)
        self.optimizer.zero_grad()
        loss.backward()
        return float(loss.detach()), {name: tensor.grad.numpy() for name, tensor in self.tensors.items()}

    def _flow(self, x):
        steps = self.settings.steps
        potential, emitted = {}, {}

        def fire(node, current):
            v = potential.setdefault(node.name, torch.full_like(current, node.model.initial)).add_(current)
            out = torch.zeros_like(v)
            for theta in node.model.thresholds:
                crossed = (v > theta).to(v.dtype).mul_(theta)
                v -= crossed
                out += crossed
            emitted[node.name] = emitted[node.name].add_(out) if node.name in emitted else out.clone()
            return out

        with torch.no_grad():
            for _ in range(steps):
                self._walk(x, fire)
        return self._walk(steps * x, lambda node, current: Flow.apply(current, emitted[node.name]), steps) / steps

    def _through_time(self, x):
        potential = {}

        def fire(node, current):
            v = potential[node.name] + current if node.name in potential else node.model.initial + current
            out = torch.zeros_like(v)
            for theta in node.model.thresholds:
                emitted = Spike.apply(v - theta, theta) * theta
                v, out = v - emitted, out + emitted
            potential[node.name] = v
            return out

        return sum(self._walk(x, fire) for _ in range(self.settings.steps)) / self.settings.steps

    def _walk(self, x, fire, bias_times=1):
        """The readout's current, where `fire(node, current)` says what Neurons emit."""
        values = {}
        for node in self.network.nodes:
            incoming = [values[source] for source in node.sources]
            if isinstance(node, Input):
                values[node.name] = x
            elif isinstance(node, Concat):
                values[node.name] = torch.cat(incoming, 1)
            elif isinstance(node, Neurons):
                values[node.name] = fire(node, incoming[0])
            elif isinstance(node, AvgPool2d):
                values[node.name] = functional.avg_pool2d(incoming[0], node.kernel_size, node.stride, node.padding)
            elif not isinstance(node, Output):
                values[node.name] = self._convolved(node, incoming[0], bias_times)
        return values[self.network.output.source]

    def _convolved(self, node, x, bias_times):
        weight, bias = self.tensors[f"{node.name}.weight"], self.tensors[f"{node.name}.bias"]
        bias = bias * bias_times if bias_times != 1 else bias
        if isinstance(node, ConvTranspose2d):
            extra = (node.output_padding, node.groups, node.dilation)
            return functional.conv_transpose2d(x, weight, bias, node.stride, node.padding, *extra)
        if not isinstance(node, Conv2d):
            raise SystemExit(f"no PyTorch twin of {type(node).__name__} nodes here")
        return functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)


def _tensor(array):
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    tensor = tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
    return tensor.clone().requires_grad_()


def _pictures(batch):
    """(N, H, W, C) as a channels-last tensor (N, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
