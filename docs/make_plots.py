"""Draw the gallery of spikeunet.engine.plots: docs/plots_*.png.

python docs/make_plots.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeunet.engine import denoise, load_model, plots, read_picture, simulate

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parent / "examples" / "pictures" / "camera.png"
STEPS = 8
PROBES = {"relu1": [(0, 64, 64), (1, 64, 64), (2, 64, 64), (3, 64, 64)]}


def noisy_part():
    """The middle of the example picture with noise of sigma 25, and without."""
    clean = read_picture(PICTURE)[128:256, 160:288].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, 25 / 255, clean.shape)
    return clean, (clean + noise).astype(np.float32)


def psnr_by_step(clean, noisy, network):
    """PSNR in dB after each step, and the ledger of the run."""
    done = denoise(noisy, network, steps=STEPS, sample_range=(0, 1), watch=True)
    errors = np.square(done.watched.by_step - clean, dtype=np.float64).mean(axis=(1, 2))
    return -10 * np.log10(errors), done.result.operations


def gallery():
    """Axes by name."""
    network, converted = load_model("denoise-gray-fast"), load_model("denoise-gray-converted")
    clean, noisy = noisy_part()
    result = simulate(network, noisy[None], 2 * STEPS, record=("spikes",))
    traces = simulate(network, noisy[None], 2 * STEPS, probes=PROBES)
    quality, ledger = psnr_by_step(clean, noisy, network)
    return {
        "raster": plots.raster(result, "relu10"),
        "potentials": plots.potentials(traces, "relu1"),
        "activity": plots.activity(result, ["relu1", "relu5", "relu10", "relu18"]),
        "quality": plots.quality(quality),
        "quality_operations": plots.quality_against_operations(quality, ledger),
        "operations": plots.operations(ledger),
        "energy": plots.energy(ledger),
        "traffic": plots.traffic(network, ledger),
        "thresholds": plots.thresholds(network),
        "normalization": plots.normalization(network, converted),
        "filters": plots.filters(network, "conv1"),
    }


def main():
    """Draw them."""
    for name, ax in gallery().items():
        path = HERE / f"plots_{name}.png"
        ax.figure.savefig(path, dpi=72)
        print(path)


if __name__ == "__main__":
    main()
