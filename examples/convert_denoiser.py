"""Convert the trained ANN to the shipped gray denoiser.

    python examples/convert_denoiser.py denoiser-ann.npz --pictures FOLDER --out denoise-gray.npz

FOLDER holds the pictures that the ANN was trained on. Needs no PyTorch. The number of steps was chosen from the curves
of benchmarks/ladder_curves.py.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from spikeunet.converters import calibration_pictures, convert
from spikeunet.engine import MultiThreshold, save_model

SIGMA = (5.0, 50.0)
METADATA = {
    "task": "denoise",
    "predicts": "noise",
    "description": "Blind denoiser of gray pictures, Gaussian noise of sigma 5 to 50",
    "steps": 2,
    "sigma": list(SIGMA),
    "training": "400 gray crops of 180x180 from BSDS500, examples/train_denoiser.py",
}


@click.command()
@click.argument("state", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--count", default=60, show_default=True, help="Calibration pictures, evenly spread over the folder.")
@click.option("--ann-psnr", type=float, help="Score of the ANN on BSD68 at sigma 25, to note in the metadata.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("denoise-gray.npz"))
def main(state: Path, pictures: Path, count: int, ann_psnr: float | None, out: Path) -> None:
    """Normalise with noisy calibration pictures and save in float16."""
    calibration = calibration_pictures(pictures, 1, sigma=np.linspace(*SIGMA, 10), limit=count)
    metadata = METADATA if ann_psnr is None else {**METADATA, "ann": {"bsd68_sigma25_psnr": ann_psnr}}
    # One scale for each layer, as the shipped network was made.
    scales = {"normalization": "connection", "percentile": 99.9, "calibration": calibration}
    network = convert(state, neuron=MultiThreshold.rounding(), metadata=metadata, **scales)
    save_model(network, out, dtype="float16")
    print(f"{out}: {network}, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
