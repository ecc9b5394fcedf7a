"""What the benchmark scripts share: pictures, noise, one run for all numbers of steps, options, the machine's name."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from spikeunet.engine import Network, forward, simulate
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.pictures.padding import crop, pad_to_multiple
from spikeunet.engine.pictures.picture_files import read_picture
from spikeunet.engine.tasks.restorers import prediction_in, restore
from spikeunet.engine.threads import available_processors


@dataclass(frozen=True)
class Noisy:
    """A clean picture, (H, W) or (H, W, C) float in [0, 1], and its noisy version."""

    name: str
    clean: np.ndarray
    noisy: np.ndarray


def noisy_pictures(folder: Path, sigma: float, limit: int | None = None) -> Iterator[Noisy]:
    """Pictures of a folder in the order of their names, with noise whose seed is the picture's index."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not paths:
        raise SystemExit(f"no pictures in {folder}")
    for seed, path in enumerate(paths[:limit]):
        clean = read_picture(path) / 255.0
        yield Noisy(path.name, clean, add_noise(clean, sigma, seed))


def restored_by_steps(network: Network, noisy: np.ndarray, steps: Sequence[int]) -> dict[int, tuple[np.ndarray, int]]:
    """Restored picture and accumulates for each number of steps, all from one run.

    What happens at step t does not depend on later steps, so the running sum after step t is that of a run of t steps.
    """
    padded, origin = _padded(network, noisy)
    result = simulate(network, padded, steps=max(steps), record=("readout",))
    accumulates = np.cumsum(sum(result.accumulates.values()))
    restored = {}
    for number in steps:
        output = crop(result.readout[number - 1] / np.float32(number), origin, noisy.shape[:2])
        restored[number] = (_restored(network, noisy, output), int(accumulates[number - 1]))
    return restored


def restored_by_ann(network: Network, noisy: np.ndarray) -> np.ndarray:
    """Restored picture of the ANN: the same weights with ReLU in place of the neurons."""
    padded, origin = _padded(network, noisy)
    output, _ = forward(network, padded)
    return _restored(network, noisy, crop(output, origin, noisy.shape[:2]))


def _padded(network: Network, noisy: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    planes = np.ascontiguousarray(np.atleast_3d(noisy).transpose(2, 0, 1))
    return pad_to_multiple(planes, network.size_multiple)


def _restored(network: Network, noisy: np.ndarray, output: np.ndarray) -> np.ndarray:
    return restore(noisy, output[None], prediction_in(network.metadata))


def macs_per_pixel(network: Network) -> float:
    """The ANN's multiply-accumulates for each pixel."""
    side = network.size_multiple
    result = simulate(network, np.zeros((network.input.channels, side, side), np.float32), steps=1)
    return sum(result.dense_macs.values()) / side**2


def whole_numbers(_context: click.Context, _parameter: click.Parameter, value: str) -> list[int]:
    """An option's whole numbers with commas between them."""
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of whole numbers with commas between them") from None


def machine() -> str:
    """Processor, number of processors this process may use, system."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {available_processors()} processors, {platform.system()} {platform.machine()}"
