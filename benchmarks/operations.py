"""The ledger of a run, layer by layer, and its energy by each model; layer_times.py says what counting costs.

    python benchmarks/operations.py [--model denoise-gray-fast] [--steps 1] [--csv ledger.csv] [--json neurobench.json]

Denoises a 256x256 crop of the example picture with noise of sigma 25.
"""

from __future__ import annotations

from json import dumps
from pathlib import Path

import _common as common
import click

from spikeunet.engine import ENERGY_MODELS, Operations, add_noise, denoise, load_model, read_picture
from spikeunet.engine.operations.energy import readings_in
from spikeunet.engine.operations.energy_models import BY_READING
from spikeunet.engine.operations.readings import READINGS


def energy_table(ledger: Operations) -> str:
    """Markdown: millijoules by each model, in each reading that is true of the network, and of the ANN."""
    lines = ["| model | as MACs | as shift-adds | as accumulates | its own count | ANN |", "|---|---|---|---|---|---|"]
    for name, model in ENERGY_MODELS.items():
        estimate = ledger.energy(name)
        readings = readings_in(ledger, name) if model.charges == BY_READING else dict.fromkeys(READINGS)
        own = None if model.charges == BY_READING else estimate.spiking
        cells = [_millijoules(value) for value in (*(readings[each] for each in READINGS), own, estimate.dense)]
        left_out = f" (without {estimate.unpriced_macs:,} MACs)" if estimate.unpriced_macs else ""
        lines.append(f"| {model.title}{left_out} | " + " | ".join(cells) + " |")
    lines.append(f"\nmJ; true of this network: {ledger.reading.name}")
    return "\n".join(lines)


def _millijoules(joules: float | None) -> str:
    return "" if joules is None else f"{1e3 * joules:.4g}"


@click.command()
@click.option("--model", default="denoise-gray-fast", show_default=True)
@click.option("--steps", default=None, type=int, help="By default, the model's own.")
@click.option("--csv", type=click.Path(dir_okay=False), help="Write the ledger by node here.")
@click.option("--json", type=click.Path(dir_okay=False), help="Write the counts under NeuroBench's names here.")
def main(model: str, steps: int | None, csv: str | None, json: str | None) -> None:
    """Print ledger and energy."""
    network = load_model(model)
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png")[:256, :256] / 255.0
    noisy = add_noise(clean, 25, 0)
    operations = denoise(noisy, network, steps=steps, threads=1).result.operations
    print(f"{model}, 256x256; {common.machine()}")
    print(operations)
    print()
    print(energy_table(operations))
    print()
    if csv is not None:
        operations.to_csv(csv)
    if json is not None:
        Path(json).write_text(dumps(operations.to_neurobench(), indent=2) + "\n")


if __name__ == "__main__":
    main()
