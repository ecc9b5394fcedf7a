"""Time of a training step of each method that follows gradients, beside the same by PyTorch's differentiation.

    python benchmarks/learning_speed.py --data mnist=FOLDER

Same networks, batches, steps T, optimiser (Adam), numbers of threads and process, both in turn. First compares loss and
gradients of both. The other one simulates the steps of DSR and IDE densely, without recording them, and differentiates
one pass over the rates that it counted; for IDE it iterates the adjoint equation with a vector-Jacobian product until
the same tolerance. Of SoftLIF it differentiates the rates. Of spike times it sorts the arrivals, finds the crossings
among running sums, and differentiates the sums up to there, in float64 as here. STDP follows no gradient. Needs the
extra `train`.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings

import click
import numpy as np

from spikeunet.engine.learning import method_named, read_data
from spikeunet.engine.learning.implicit_differentiation import TOLERANCE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch.nn.functional import conv2d, cross_entropy, linear, softplus

DIFFERENCE = 0.02
"""Largest relative one of gradients: a sum rounded otherwise moves a spike now and then."""


class Twin:
    """A method in PyTorch: the parameters of a trainer as tensors."""

    def __init__(self, trainer):
        self.settings = trainer.settings
        self.tensors = {n: torch.tensor(a, requires_grad=n in trainer.trained) for n, a in trainer.parameters.items()}
        trained = [tensor for tensor in self.tensors.values() if tensor.requires_grad]
        self.optimizer = torch.optim.Adam(trained, trainer.settings.rate)

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(torch.from_numpy(batch.pictures), torch.from_numpy(batch.labels))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([t for t in self.tensors.values() if t.requires_grad], self.settings.clip)
        self.optimizer.step()
        self.constrain()
        return loss.item()

    def gradients(self):
        return {name: tensor.grad.numpy() for name, tensor in self.tensors.items() if tensor.grad is not None}


class DsrTwin(Twin):
    def loss(self, inputs, labels):
        steps, rates, spikes = self.settings.steps, inputs, None
        convolutions, connections = len(self.settings.convolutions), len(self.settings.layers)
        names = [f"conv{i + 1}" for i in range(convolutions)] + [f"fc{i + 1}" for i in range(connections)]
        for index, name in enumerate(names, start=1):
            theta = self.tensors[f"neurons{index}.threshold"]
            with torch.no_grad():
                constant = self.current(name, inputs) if spikes is None else None
                shape = self.current(name, rates).shape if constant is None else constant.shape
                potential = (1 - self.settings.alpha) * theta * torch.ones(shape)
                emitted = []
                for step in range(steps):
                    potential = potential + (self.current(name, spikes[step]) if constant is None else constant)
                    emitted.append((potential >= theta).float() * theta)
                    potential = potential - emitted[-1]
                spikes = torch.stack(emitted)
                counted = spikes.mean(0)
            clipped = torch.minimum(torch.clamp(self.current(name, rates), min=0), theta)
            rates = clipped + (counted - clipped).detach()
        return cross_entropy(self.current(f"fc{connections + 1}", rates), labels)

    def current(self, name, value):
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if weight.ndim == 4:
            return conv2d(value, weight, bias, stride=2, padding=1)
        return linear(value.flatten(1), weight, bias)

    @torch.no_grad()
    def constrain(self):
        for name, tensor in self.tensors.items():
            if name.endswith("threshold"):
                tensor.clamp_(min=self.settings.floor)


class IdeTwin(Twin):
    def loss(self, inputs, labels):
        weight, inputs = self.tensors["feedback.weight"], inputs.flatten(1)
        entering = linear(inputs, self.tensors["enter.weight"], self.tensors["enter.bias"])
        with torch.no_grad():
            potential, spikes, total = (
                torch.zeros_like(entering),
                torch.zeros_like(entering),
                torch.zeros_like(entering),
            )
            for _ in range(self.settings.steps):
                potential = potential + linear(spikes, weight) + entering
                spikes = (potential >= 1).float()
                potential = potential - spikes
                total = total + spikes
            counted = total / self.settings.steps
        start = counted.clone().requires_grad_()
        again = torch.clamp(linear(start, weight) + entering, 0, 1)

        def solved(wanted):
            found, scale = wanted, wanted.abs().max()
            for _ in range(self.settings.solver_steps):
                other = torch.autograd.grad(again, start, found, retain_graph=True)[0] + wanted
                if (other - found).abs().max() / scale <= TOLERANCE:
                    break
                found = other
            return found

        rates = torch.clamp(linear(counted, weight) + entering, 0, 1)
        rates.register_hook(solved)
        rates = rates + (counted - rates).detach()
        return cross_entropy(linear(rates, self.tensors["read.weight"], self.tensors["read.bias"]), labels)

    @torch.no_grad()
    def constrain(self):
        weight = self.tensors["feedback.weight"]
        weight.mul_(torch.clamp(self.settings.bound / weight.norm(), max=1))


class SoftlifTwin(Twin):
    def loss(self, inputs, labels):
        model, sigma = self.settings.neuron(), self.settings.sigma
        for index in range(1, len(self.settings.widths) + 1):
            weight, bias = self.tensors[f"conv{index}.weight"], self.tensors[f"conv{index}.bias"]
            current = conv2d(inputs, weight, bias, stride=2, padding=1)
            x = (current - 1) / sigma
            rho = sigma * softplus(torch.clamp(x, min=-30))
            # Far below, rho = sigma e^x.
            logarithm = torch.where(x < -30, -x - math.log(sigma), torch.log1p(1 / rho))
            inputs = model.amplitude / (model.tau_ref + model.tau_mem * logarithm)
        return cross_entropy(
            linear(inputs.flatten(1), self.tensors["classes.weight"], self.tensors["classes.bias"]), labels
        )

    def constrain(self):
        pass


class SpikeTimesTwin(Twin):
    def loss(self, inputs, labels):
        settings, inputs = self.settings, inputs.flatten(1).double()
        times, push = torch.where(inputs > 0, 1 - inputs, torch.inf), 0
        for index in range(1, len(settings.layers) + 2):
            weight = self.tensors[f"fc{index}.weight"].double()
            push = push + settings.push * torch.clamp(settings.margin - weight.sum(1), min=0).square().sum()
            times = self.crossings(times, weight)
        late = torch.where(torch.isfinite(times), times, settings.late)
        return cross_entropy(-settings.sharpness * late, labels) + push

    def crossings(self, times, weight):
        """When potentials first reach 1: among the lines between arrivals, the first that does so in its time."""
        ordered, order = times.sort(1)
        arrived = torch.where(torch.isfinite(ordered), ordered, 0.0)
        counts = torch.isfinite(ordered).double()
        weights = weight.T[order] * counts[:, :, None]  # (N, I, J)
        slopes = weights.cumsum(1)
        found = (1 + (weights * arrived[:, :, None]).cumsum(1)) / slopes
        ends = torch.cat([ordered[:, 1:], torch.full_like(ordered[:, :1], torch.inf)], 1)
        crosses = (slopes > 0) & (found >= ordered[:, :, None]) & (found <= ends[:, :, None])
        place = crosses.double().argmax(1, keepdim=True)
        fired = crosses.any(1)
        slope = slopes.gather(1, place)[:, 0]
        time = torch.where(fired, found.gather(1, place)[:, 0], 0.0)
        # Smaller slopes count as the least one in gradients.
        least = torch.clamp(slope.detach() / self.settings.least_slope, max=1)
        time = time.detach() + least * (time - time.detach())
        return torch.where(fired, time, torch.inf)

    def constrain(self):
        pass


TWINS = {"dsr": DsrTwin, "ide": IdeTwin, "softlif": SoftlifTwin, "spike-times": SpikeTimesTwin}


def difference(trainer, twin, batch):
    """Relative difference of all gradients; SystemExit where it is too large."""
    _, found = trainer.gradients(batch)
    twin.step(batch)
    expected = twin.gradients()
    norm = np.sqrt(sum(np.square(each, dtype=np.float64).sum() for each in found.values()))
    factor = min(1.0, trainer.settings.clip / norm)  # which the other one's were multiplied with
    apart = sum(np.square(found[n] * factor - g, dtype=np.float64).sum() for n, g in expected.items()) ** 0.5
    if not apart <= DIFFERENCE * norm * factor:  # which NaN is not
        raise SystemExit(f"not the same: gradients differ by {apart / norm / factor:.3g}")
    return apart / norm / factor


def timed(step):
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def compare(name, settings, pictures, threads, repeats):
    method = method_named(name)
    trainer = method.trainer(pictures, method.settings(**settings), threads)
    apart = difference(trainer, TWINS[name](trainer), trainer.next_batch())
    twin = TWINS[name](trainer)
    pairs = []
    for _ in range(repeats + 2):
        batch = trainer.next_batch()
        pairs.append((timed(lambda b=batch: trainer.step(b)), timed(lambda b=batch: twin.step(b))))
    ours, theirs = (statistics.median(column[2:]) for column in zip(*pairs, strict=True))
    shown = ", ".join(f"{key} {value}" for key, value in settings.items())
    ratio = f"{theirs / ours:.1f} times as fast"
    print(
        f"{name}\t{shown}\t{1e3 * ours:.2f} ms\t{1e3 * theirs:.2f} ms\t{ratio}\tgradients differ by {apart:.2g}",
        flush=True,
    )


# Running sums of every neuron at every arrival take gigabytes in a batch of 64.
RUNS = (
    *(("dsr", {"layers": (256, 128), "steps": steps, "batch": 64}) for steps in (5, 20)),
    *(("dsr", {"convolutions": (16, 32), "layers": (128,), "steps": steps, "batch": 64}) for steps in (5, 20)),
    *(("ide", {"units": 400, "steps": steps, "batch": 64}) for steps in (5, 30)),
    ("softlif", {"batch": 64}),
    ("spike-times", {"layers": (300,), "batch": 16}),
)


@click.command()
@click.option("--data", required=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--repeats", default=30, show_default=True)
@click.option("--method", "methods", multiple=True, type=click.Choice(list(TWINS)), help="Of these alone.")
def main(data, threads, repeats, methods):
    torch.set_num_threads(threads)
    pictures, _ = read_data(data)
    print("method\tsettings\tthis\tPyTorch", flush=True)
    for name, settings in RUNS:
        if not methods or name in methods:
            compare(name, settings, pictures, threads, repeats)


if __name__ == "__main__":
    main()
