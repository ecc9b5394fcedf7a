"""Accuracy of networks trained on the spike representation over time steps, beside the ANN with clipped activations.

    python benchmarks/learning_dsr.py --mixed --out docs/learning_dsr_digits
    python benchmarks/learning_dsr.py --data mnist=FOLDER --layers 256,128 --epochs 10 --batch 64 --shift 1 --few \\
        --out docs/learning_dsr_mnist
    python benchmarks/learning_dsr.py --data cifar10=FOLDER --pictures 10000 --convolutions 16,32,64 --epochs 8 \\
        --rate 3e-3 --shift 2 --few --out docs/learning_dsr_cifar10

Thresholds that are trained, one for each population, beside fixed ones; neurons that fire at half the threshold
(alpha = 0.5) beside those that fire at the whole one, at the fewest steps. Each arm with several seeds (of first
weights and order), tested after the last epoch. Prints a table, and writes it and a plot. Needs the extra `plots`.
"""

from __future__ import annotations

import _learning as common
import click
import numpy as np
from _learning import Arm

from spikeunet.engine import simulate

STEPS = (5, 10, 20)


def arms(base, start, few):
    found = [Arm("ANN, clipped", {**base, "steps": 0})]
    found += [Arm(f"trained, T = {steps}", {**base, "steps": steps}) for steps in STEPS]
    found.append(Arm(f"alpha = 1, T = {STEPS[0]}", {**base, "steps": STEPS[0], "alpha": 1.0}))
    fixed = {**base, "train_thresholds": False}
    found += [Arm(f"fixed at 1, T = {steps}", {**fixed, "steps": steps}) for steps in STEPS]
    if few:
        return found
    for steps in STEPS:
        far = {**base, "steps": steps, "threshold": start}
        found.append(Arm(f"trained from {start:g}, T = {steps}", far))
        found.append(Arm(f"fixed at {start:g}, T = {steps}", {**far, "train_thresholds": False}))
        found.append(Arm(f"lif, T = {steps}", {**base, "steps": steps, "neuron": "lif"}))
    return found


def check_engine(outcome, test, most=100):
    """SystemExit unless the engine's spikes are those that the trainer counts."""
    trainer, pictures = outcome.trainers[0], test.pictures[:most]
    result = simulate(trainer.network(), pictures, steps=trainer.settings.steps, record=("spikes",), threads=1)
    counted, _ = representations(trainer, pictures)
    for name, rates in counted.items():
        emitted = result.spikes[name].mean(axis=1)  # leaky neurons' representations are other means
        emitted = emitted[..., 0, 0] if rates.ndim == 2 else emitted.transpose(0, 2, 3, 1)
        if trainer.settings.neuron == "if" and not np.allclose(emitted, rates, rtol=1e-5, atol=1e-6):
            raise SystemExit(f"{outcome.arm.label}: other spikes in the engine")


def representations(trainer, pictures):
    """By population, o and r."""
    tape = trainer.represent(pictures)
    if isinstance(tape.values, dict):
        return {name: tape.values[name] for name in tape.driven}, tape.driven
    names = [f"neurons{index}" for index in range(1, len(tape.values))]
    return dict(zip(names, tape.values[1:], strict=True)), dict(zip(names, tape.driven, strict=True))


def representation_error(outcome, test, most=200):
    """Mean over the neurons of |o - clip(r, 0, theta)| as a share of theta: how far spikes are from what is trained."""
    errors = []
    for trainer in outcome.trainers:
        counted, driven = representations(trainer, test.pictures[:most])
        for name, rates in counted.items():
            theta = trainer.parameters[f"{name}.threshold"][0]
            errors.append(np.abs(rates - np.clip(driven[name], 0, theta)).mean() / theta)
    return float(np.mean(errors))


def draw(path, rows, title):
    """`rows`: label, mean accuracy and standard deviation of each arm, the ANN's first."""
    plt = common.pyplot()
    figure, axes = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
    (_, ann, _), *others = rows
    axes.axhline(100 * ann, color="black", linewidth=1, label="ANN, clipped")
    axes.axhspan(100 * (ann - 0.01), 100 * ann, color="black", alpha=0.08, linewidth=0, label="within a point of it")
    lines = {}
    for arm, mean, spread in others:
        label, _, steps = arm.partition(", T = ")
        lines.setdefault(label, []).append((int(steps), 100 * mean, 100 * spread))
    for place, (label, points) in enumerate(lines.items()):
        steps, means, spreads = (np.array(column) for column in zip(*sorted(points), strict=True))
        moved = steps * 1.015 ** (place - len(lines) / 2)
        style = "-" if label.startswith("trained") else "--"
        axes.errorbar(moved, means, spreads, marker="o", markersize=4, capsize=3, linestyle=style, label=label)
    axes.set(xscale="log", xlabel="time steps", ylabel="test accuracy / %", title=title)
    axes.set_xticks(STEPS, [str(number) for number in STEPS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)


@click.command()
@common.data_option
@common.seeds_option
@common.out_option
@common.pictures_option
@common.mixed_option
@click.option("--layers", default="128", show_default=True)
@click.option("--convolutions", default="", help="Channels, with commas between them.")
@click.option("--pool", default="stride", show_default=True)
@click.option("--epochs", default=30, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rate", default=3e-3, show_default=True)
@click.option("--shift", default=0, show_default=True)
@click.option("--start", default=4.0, show_default=True, help="Of thresholds far from where they should be.")
@click.option("--few", is_flag=True, help="Leave out LIF and thresholds far off.")
@click.option("--only", help="Arms whose names begin so; their tables can be put together and redrawn.")
@click.option("--redraw", is_flag=True, help="Draw the table that an earlier run wrote.")
def main(
    data, seeds, out, pictures, mixed, layers, convolutions, pool, epochs, batch, rate, shift, start, few, only, redraw
):
    title = f"{data.partition('=')[0]}, " + (f"convolutions {convolutions}, " if convolutions else "")
    title += f"full connections {layers}"
    if redraw:
        draw(f"{out}.png", common.read_table(f"{out}.csv"), title)
        return
    widths, channels = (tuple(map(int, filter(None, text.split(",")))) for text in (layers, convolutions))
    base = {"layers": widths, "epochs": epochs, "batch": batch, "rate": rate, "shift": shift}
    base |= {"convolutions": channels, "pool": pool}
    chosen = [arm for arm in arms(base, start, few) if only is None or arm.label.startswith(only)]
    (_, test), outcomes = common.outcomes_of("dsr", chosen, data, seeds, pictures, mixed)
    spiking = [each for each in outcomes if each.arm.settings["steps"]]
    for each in spiking:
        check_engine(each, test)
    print("the engine's spikes are those that were counted, in every arm")
    for each in spiking:
        theta = np.mean([trainer.parameters["neurons1.threshold"][0] for trainer in each.trainers])
        print(
            f"{each.arm.label}: {representation_error(each, test):.4f} thetas from the clips, first theta {theta:.2f}"
        )
    common.write_table(f"{out}.csv", outcomes)
    draw(f"{out}.png", common.read_table(f"{out}.csv"), title)


if __name__ == "__main__":
    main()
