"""Feedback networks trained by implicit differentiation: distance to the equilibrium, gradients, accuracy.

    python benchmarks/learning_ide.py --mixed --out docs/learning_ide_digits
    python benchmarks/learning_ide.py --data mnist=FOLDER --units 400 --epochs 10 --batch 64 --shift 1 \\
        --out docs/learning_ide_mnist

Trains at T = 5 and T = 30, with and without a leak, each with several seeds; then runs a trained network at many T for
the distance |a_T - f(a_T)|, whose slope over T in logarithms should be -1, and compares gradients with those of the
unrolled network by PyTorch where that is installed. Prints tables, and writes one and a plot. Needs the extra `plots`.
"""

from __future__ import annotations

import _learning as common
import click
import numpy as np
from _learning import Arm

from spikeunet.engine.learning.gradient_trainer import classification_loss
from spikeunet.engine.learning.implicit_differentiation import Equilibrium, equilibrium_rates

STEPS = (5, 30)
RUN_FOR = (5, 10, 20, 40, 80, 160, 320, 640)


def distances(trainer, test, most=200):
    """By T, mean |a_T - f(a_T)| over the first test pictures."""
    part = test.part(slice(most))
    return {steps: trainer.validate(part, steps)["distance"] for steps in RUN_FOR}


def slope_of(found):
    steps, values = (np.log(np.array(column)) for column in (list(found), list(found.values())))
    return float(np.polyfit(steps, values, 1)[0])


def gradient_error(trainer, test, most=64):
    """Largest relative difference from automatic differentiation through 300 steps to the equilibrium, in float64."""
    import torch

    part = test.part(slice(most))
    parameters = {name: array.astype(np.float64) for name, array in trainer.parameters.items()}
    inputs = part.pictures.reshape(len(part), -1).astype(np.float64)
    at = Equilibrium(parameters, inputs, equilibrium_rates(parameters, inputs))
    _, gradient = classification_loss(at.scores, part.labels)
    found, _ = at.gradients(gradient, "iteration", 1000)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
    entering = torch.nn.functional.linear(torch.tensor(inputs), tensors["enter.weight"], tensors["enter.bias"])
    rates = torch.zeros(at.rates.shape, dtype=torch.float64)
    for _ in range(300):
        rates = torch.clamp(rates @ tensors["feedback.weight"].T + entering, 0, 1)
    scores = torch.nn.functional.linear(rates, tensors["read.weight"], tensors["read.bias"])
    torch.nn.functional.cross_entropy(scores, torch.tensor(part.labels)).backward()
    return max(np.abs(found[n] - t.grad.numpy()).max() / np.abs(found[n]).max() for n, t in tensors.items())


def draw(path, lines, outcomes, title):
    plt = common.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
    for label, found in lines.items():
        left.loglog(list(found), list(found.values()), marker="o", markersize=4, label=label)
    first = max(found[RUN_FOR[0]] for found in lines.values())
    left.loglog(RUN_FOR, [first * RUN_FOR[0] / steps for steps in RUN_FOR], color="black", ls=":", label="1/T")
    left.set(xlabel="time steps", ylabel="mean |a - f(a)|", title="distance to the equilibrium")
    left.legend(fontsize=8)
    places = np.arange(len(outcomes))
    right.errorbar(places, [100 * each.mean for each in outcomes], [100 * each.spread for each in outcomes],
                   fmt="o", capsize=4)  # fmt: skip
    right.set_xticks(places, [each.arm.label.replace(", ", "\n") for each in outcomes])
    right.set(ylabel="test accuracy / %", title=title, xlim=(-0.5, len(outcomes) - 0.5))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


@click.command()
@common.data_option
@common.seeds_option
@common.out_option
@common.pictures_option
@common.mixed_option
@click.option("--units", default=64, show_default=True)
@click.option("--epochs", default=30, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rate", default=3e-3, show_default=True)
@click.option("--shift", default=0, show_default=True)
@click.option("--bound", default=0.5, show_default=True)
@click.option("--no-leak", is_flag=True, help="Leave LIF out.")
def main(data, seeds, out, pictures, mixed, units, epochs, batch, rate, shift, bound, no_leak):
    base = {"units": units, "epochs": epochs, "batch": batch, "rate": rate, "shift": shift, "bound": bound}
    kinds = ("if",) if no_leak else ("if", "lif")
    arms = [Arm(f"{kind}, T = {t}", {**base, "steps": t, "neuron": kind}) for kind in kinds for t in STEPS]
    (_, test), outcomes = common.outcomes_of("ide", arms, data, seeds, pictures, mixed)
    lines = {}
    for each in outcomes:
        found = distances(each.trainers[0], test)
        lines[f"{each.arm.label} in training (slope {slope_of(found):.2f})"] = found
        print(f"{each.arm.label}: " + ", ".join(f"{steps}: {value:.4g}" for steps, value in found.items()))
    for label in lines:
        print(label)
    try:
        print(f"gradients differ from the unrolled network's by {gradient_error(outcomes[0].trainers[0], test):.2g}")
    except ImportError:
        print("gradients were not compared: PyTorch is missing")
    common.write_table(f"{out}.csv", outcomes)
    draw(f"{out}.png", lines, outcomes, f"{data.partition('=')[0]}, {units} neurons")


if __name__ == "__main__":
    main()
