"""Train a small Spikingformer on digits in PyTorch, read its weights, and run it by events.

    python examples/spikingformer_digits.py

takes less than a minute, most of it in training: the spiking network is then not yet what ten minutes make of it
(docs/spikingformer.md). Weights that are there already are run alone:

    python examples/spikingformer_digits.py trained/spikingformer.npz

Needs the extras `train` and `evaluate`, the latter for scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import train_spikingformer

from spikeunet.converters import read_spikingformer
from spikeunet.engine import estimate_energy, simulate

HEADS, STEPS, TESTED = 4, 4, 60
SIZES = ("--dim", "32", "--heads", str(HEADS), "--depth", "1", "--batch", "64", "--rate", "4e-3", "--threads", "1")


def trained(folder: str, minutes: float) -> Path:
    """Train the twin and the spiking network; give the file of weights."""
    arguments = ["--data", "digits", "--out", folder, "--minutes", str(minutes), *SIZES]
    train_spikingformer.train_both(train_spikingformer.parsed(arguments))
    return Path(folder, "spikingformer.npz")


def run(weights: Path, heads: int) -> None:
    """Read the weights, and run test digits: what they are taken for, and what that costs."""
    network = read_spikingformer(weights, heads)
    pictures, labels, is_test = train_spikingformer.read_digits()
    shown, wanted = np.float32(pictures[is_test][:TESTED]) / np.float32(255), labels[is_test][:TESTED]
    result = simulate(network, shown, STEPS)
    totals, macs = result.operations.totals, sum(result.dense_macs.values()) // TESTED
    share = 1 - totals["activation_sparsity"]
    print(
        f"{network}: {(result.output[:, :, 0, 0].argmax(1) == wanted).mean():.0%} of {TESTED} digits in {STEPS} steps"
    )
    print(f"  {share:.1%} of the neurons have an event in a step")
    spiking, analog = totals["synops"] // TESTED, totals["macs"] // TESTED
    energy = (1e6 * joules for joules in (estimate_energy(spiking, analog), estimate_energy(0, macs)))
    print(
        f"  {spiking:,} accumulates a digit and {analog:,} multiply-accumulates for {macs:,} of the artificial network"
    )
    print("  {:.2f} uJ for {:.2f} uJ, in operations alone, 45 nm".format(*energy))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", type=Path, help="By default they are trained.")
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--minutes", type=float, default=0.6, help="Of training.")
    args = parser.parse_args()
    if args.weights is not None:
        run(args.weights, args.heads)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(trained(folder, args.minutes), HEADS)


if __name__ == "__main__":
    main()
