"""A trained Spikingformer in the engine: accuracy beside PyTorch's and its ANN twin's, and what both compute.

    python benchmarks/spikingformer.py trained --data digits
    python benchmarks/spikingformer.py trained --data cifar10_jpeg.npz

The folder is what `examples/train_spikingformer.py` writes. Every test picture is run through the engine; so many as
--torch says through PyTorch, too, the twin and the spiking network. Operations are means over the test pictures. Prints
Markdown tables. Needs the extra `train` and the data set.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
import numpy as np

from spikeunet.converters import read_spikingformer
from spikeunet.engine import estimate_energy, simulate
from spikeunet.engine.testing import check_binary_inputs

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))

BATCH = 50
PARTS = {
    "first convolution, of the picture": ("block0_conv",),
    "tokeniser": ("patch_embed",),
    "attention: q, k, v and projection": ("qkv_conv", "proj_conv"),
    "attention: q (k^T v)": ("attn.attn",),
    "perceptron": ("mlp",),
}
"""Parts of the network by what is in the names of their nodes, the first that fits; "head" is what begins with it."""


def part_of(name):
    """The part that a node belongs to."""
    if name.startswith("head"):
        return "head"
    return next(part for part, words in PARTS.items() if any(word in name for word in words))


def twin_macs(network, size):
    """Multiply-accumulates of the twin by part: the spiking network's layers once, the last perceptron and one head."""
    shapes = network.shapes((network.input.channels, *size))
    found = dict.fromkeys([*PARTS, "head"], 0)
    for node in network.nodes:
        if hasattr(node, "dense_macs") and hasattr(node, "source") and not node.name.startswith("head"):
            found[part_of(node.name)] += node.dense_macs(shapes[node.source])
    first = next(node for node in network.nodes if node.name == "block.0.mlp.mlp1_conv")
    hidden, dim = first.weight.shape[:2]
    tokens = int(np.prod(shapes[first.name][1:]))
    found["perceptron"] += tokens * hidden * dim
    found["head"] = dim * int(shapes["output"][0])
    return found


def run(network, pictures, steps):
    """Outputs of each picture at each number of steps, (N, T, classes), mean operations by part, and seconds each."""
    outputs, ledger, begin = [], None, time.perf_counter()
    for first in range(0, len(pictures), BATCH):
        result = simulate(network, pictures[first : first + BATCH], steps, record={"readout"})
        outputs.append(result.readout[..., 0, 0])
        ledger = result.operations if ledger is None else ledger + result.operations
    seconds = (time.perf_counter() - begin) / len(pictures)
    return np.concatenate(outputs), ledger, seconds


def operations_table(network, ledger, pictures, trained, size):
    """Rows of operations a picture, by part: the spiking network's, of its first `trained` steps, beside the twin's."""
    macs, spiking = dict.fromkeys([*PARTS, "head"], 0.0), dict.fromkeys([*PARTS, "head"], 0.0)
    for name, node in ledger.synapses.items():
        macs[part_of(name)] += node.macs / pictures
        spiking[part_of(name)] += float(node.synops[:trained].sum()) / pictures
    twin = twin_macs(network, size)
    rows = [[part, f"{macs[part]:,.0f}", f"{spiking[part]:,.0f}", f"{twin[part]:,}"] for part in twin]
    total = [sum(macs.values()), sum(spiking.values()), sum(twin.values())]
    rows.append(["in all", *(f"{each:,.0f}" for each in total)])
    energy = [estimate_energy(round(total[1]), round(total[0])), estimate_energy(0, total[2])]
    rows.append(["45 nm, float32, operations alone", "", *(f"{1e6 * each:.2f} uJ" for each in energy)])
    return rows


def table(head, rows):
    """Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def of_torch(folder, settings, pictures, classes):
    """What the twin and the spiking network put out in PyTorch, in float32, (N, classes) each."""
    import torch
    from spikingformer_network import Spikingformer
    from train_spikingformer import stored

    found = {}
    for name, steps in (("twin", 0), ("spikingformer", settings["steps"])):
        sizes = (settings[key] for key in ("dim", "heads", "depth", "ratio"))
        model = Spikingformer(pictures.shape[1], classes, *sizes, steps)
        model.load_state_dict(stored(folder, name), strict=False)
        with torch.no_grad():
            parts = (torch.from_numpy(part) for part in np.array_split(pictures, max(1, len(pictures) // BATCH)))
            found[name] = np.concatenate([model.eval()(part).numpy() for part in parts])
    return found


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", required=True, help="digits, an archive of JPEGs (.npz), or a folder of MNIST.")
@click.option("--pictures", type=int, help="Of the test set; by default all.")
@click.option("--torch", "compared", type=int, help="Compare so many with PyTorch.  [default: all]")
@click.option("--steps", default=8, help="Run for so many; accuracy is shown for 1, 2, 4 ... up to them.")
def main(folder, data, pictures, compared, steps):
    """Run all."""
    from train_spikingformer import read_data

    settings = json.loads((folder / "log.json").read_text("utf-8"))["settings"]
    network = read_spikingformer(folder / "spikingformer.npz", settings["heads"])
    found, labels, is_test, _ = read_data(data)
    shown, labels = np.float32(found[is_test][:pictures]) / np.float32(255), labels[is_test][:pictures]
    first = next(node.name for node in network.nodes if node.name.endswith(("block0_conv", "embed.proj_conv")))
    shares = check_binary_inputs(network, shown[:BATCH], settings["steps"], analog=[first])
    print(f"all that {len(shares)} layers read of {min(BATCH, len(shown))} pictures is 0 or 1, ", end="")
    print(f"1 in {100 * min(shares.values()):.1f} to {100 * max(shares.values()):.1f} %\n")
    outputs, ledger, seconds = run(network, shown, steps)
    powers = [number for number in (1, 2, 3, 4, 6, 8, 12, 16) if number <= steps]
    right = [f"{100 * (outputs[:, number - 1].argmax(1) == labels).mean():.2f} %" for number in powers]
    print(table(["steps", *map(str, powers)], [["engine", *right]]), "\n")
    trained = settings["steps"]
    head = ["a picture", "multiply-accumulates", f"accumulates in {trained} steps", "twin's multiply-accumulates"]
    print(table(head, operations_table(network, ledger, len(shown), trained, shown.shape[2:])), "\n")
    print(f"{network.parameters:,} parameters, {seconds * 1e3:.1f} ms a picture and {steps} steps\n")
    if compared != 0:
        theirs = of_torch(folder, settings, shown[:compared], outputs.shape[2])
        spiking = theirs["spikingformer"]
        ours, count = outputs[:compared, trained - 1] / trained, len(spiking)
        same = (ours.argmax(1) == spiking.argmax(1)).mean()
        near = np.abs(ours - spiking).max(1) < 1e-4
        scores = {"engine": ours, "PyTorch": spiking, "ANN twin": theirs["twin"]}
        rows = [[name, f"{100 * (each.argmax(1) == labels[:compared]).mean():.2f} %"] for name, each in scores.items()]
        print(table(["", f"right of {count}"], rows))
        print(
            f"\nthe engine and PyTorch name the same class for {100 * same:.2f} % of the pictures; their outputs are "
        )
        print(
            f"within 1e-4 for {100 * near.mean():.1f} %: in the others a potential lies at a threshold but for rounding"
        )


if __name__ == "__main__":
    main()
