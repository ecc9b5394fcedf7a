"""Time of a training step of DSR and IDE, beside the same written with PyTorch's automatic differentiation.

    python benchmarks/learning_speed.py --data mnist=FOLDER

Same networks, batches, steps T, optimiser (Adam), numbers of threads and process, both in turn. First compares loss and
gradients of both. The other one simulates the steps densely, without recording them, and differentiates one pass over
the rates that it counted; for IDE it iterates the adjoint equation with a vector-Jacobian product until the same
tolerance. Needs the extra `train`.
"""

from __future__ import annotations

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
    from torch.nn.functional import cross_entropy, linear

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
        loss = self.loss(torch.from_numpy(batch.pictures).flatten(1), torch.from_numpy(batch.labels))
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
        depth = len(self.settings.layers)
        for index in range(1, depth + 1):
            weight, bias = self.tensors[f"fc{index}.weight"], self.tensors[f"fc{index}.bias"]
            theta = self.tensors[f"neurons{index}.threshold"]
            with torch.no_grad():
                constant = linear(inputs, weight, bias) if spikes is None else None
                potential = (1 - self.settings.alpha) * theta * torch.ones(len(inputs), len(weight))
                emitted = []
                for step in range(steps):
                    potential = potential + (linear(spikes[step], weight, bias) if constant is None else constant)
                    emitted.append((potential >= theta).float() * theta)
                    potential = potential - emitted[-1]
                spikes = torch.stack(emitted)
                counted = spikes.mean(0)
            clipped = torch.minimum(torch.clamp(linear(rates, weight, bias), min=0), theta)
            rates = clipped + (counted - clipped).detach()
        return cross_entropy(
            linear(rates, self.tensors[f"fc{depth + 1}.weight"], self.tensors[f"fc{depth + 1}.bias"]), labels
        )

    @torch.no_grad()
    def constrain(self):
        for name, tensor in self.tensors.items():
            if name.endswith("threshold"):
                tensor.clamp_(min=self.settings.floor)


class IdeTwin(Twin):
    def loss(self, inputs, labels):
        weight = self.tensors["feedback.weight"]
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


TWINS = {"dsr": DsrTwin, "ide": IdeTwin}


def difference(trainer, twin, batch):
    """Relative difference of all gradients; SystemExit where it is too large."""
    _, found = trainer.gradients(batch)
    twin.step(batch)
    expected = twin.gradients()
    norm = np.sqrt(sum(np.square(each, dtype=np.float64).sum() for each in found.values()))
    factor = min(1.0, trainer.settings.clip / norm)  # which the other one's were multiplied with
    apart = sum(np.square(found[n] * factor - g, dtype=np.float64).sum() for n, g in expected.items()) ** 0.5
    if apart > DIFFERENCE * norm * factor:
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


@click.command()
@click.option("--data", required=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--repeats", default=30, show_default=True)
def main(data, threads, repeats):
    torch.set_num_threads(threads)
    pictures, _ = read_data(data)
    print("method\tsettings\tthis\tPyTorch", flush=True)
    for steps in (5, 20):
        compare("dsr", {"layers": (256, 128), "steps": steps, "batch": 64}, pictures, threads, repeats)
    for steps in (5, 30):
        compare("ide", {"units": 400, "steps": steps, "batch": 64}, pictures, threads, repeats)


if __name__ == "__main__":
    main()
