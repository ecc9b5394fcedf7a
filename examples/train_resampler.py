"""Train a small network that says how to enlarge a picture, as LeRF's tables do, and make it spike.

    python examples/train_resampler.py --pictures FOLDER --out resampler.npz --minutes 30
    python examples/train_resampler.py --pictures FOLDER --out second.npz --minutes 10 --tables lerf-g

The network reads a picture and puts out correlation and inverse widths of each pixel's weights, and what to add to the
pixel itself: two stages of tables in one network, and nothing of anyone else's. With --tables it reads what the tables'
first stage makes of a picture, and takes the second one's place: three outputs. For the first quarter of the time it
then learns what the tables say. It learns from pictures that were made smaller by 2, 3 or 4, by the error of the
enlarged ones, through the weighted mean. PyTorch trains; `convert` makes it spike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from spikeunet.converters import convert
from spikeunet.engine import Concat, Conv2d, Input, MultiThreshold, Network, Neurons, Output, forward, save_model
from spikeunet.engine.pictures.picture_files import read_picture
from spikeunet.engine.resampling import MARGIN, Tables, prefiltered, read_tables, shapes_of

WIDTH = 32
SIDES = (5, 3, 3, 1)
"""Sides of the layers' kernels, each of which reads all layers before it: 9x9 pixels are seen."""
SIDES_OF_SECOND_STAGE = (7, 1, 1, 1)
"""What the patterns of the second stage's tables see in all their turns: 7x7 pixels."""
NEURON = MultiThreshold(tuple(2.0**-number for number in range(-1, 7)))
"""Eight thresholds, 2 to 1/64: in a single step a neuron says what the ReLU does, to a 64th of its scale."""
SCALES = (2, 3, 4)
CROP, BATCH = 36, 8
RATE = 2e-3
DESCRIPTION = "Enlarges gray and colour pictures, learnt from pictures of BSDS500 made smaller by 2, 3 and 4"
START = (0.0, -0.6, -0.6, 0.0)
"""Outputs before training: weights that go round, two inverse pixels wide, and pixels as they are."""


class Resampler(nn.Module):
    """(N, 1, H, W) in [0, 1] to (N, 3 or 4, H - margin, W - margin), about [-1, 1]."""

    def __init__(self, sides: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        sizes = (1, *(WIDTH * number for number in range(1, len(sides))))
        self.layers = nn.ModuleList(nn.Conv2d(size, WIDTH, side) for size, side in zip(sizes, sides, strict=True))
        self.last = nn.Conv2d(WIDTH * len(sides), outputs, 1)
        self.margin = sum(side // 2 for side in sides)
        with torch.no_grad():
            self.last.weight *= 0.1
            self.last.bias[:] = torch.tensor(START[:outputs])

    def forward(self, x: Tensor) -> Tensor:
        found = self.layers[0](x).relu()
        for layer in self.layers[1:]:
            edge = layer.kernel_size[0] // 2
            inner = found[:, :, edge : found.shape[2] - edge, edge : found.shape[3] - edge]
            found = torch.cat([inner, layer(found).relu()], 1)
        return self.last(found)


def as_network(model: Resampler) -> Network:
    """The same as a network of the engine, whose neurons are still to be chosen."""

    def arrays(layer: nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
        return layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()

    nodes, found = [Input("input", 1)], "input"
    for number, layer in enumerate(model.layers):
        nodes.append(Conv2d(f"conv{number}", found, *arrays(layer), padding=layer.kernel_size[0] // 2))
        nodes.append(Neurons(f"relu{number}", f"conv{number}"))
        if number:
            nodes.append(Concat(f"joined{number}", (found, f"relu{number}")))
        found = f"joined{number}" if number else "relu0"
    return Network([*nodes, Conv2d("last", found, *arrays(model.last)), Output("output", "last")], {"task": "resample"})


@dataclass(frozen=True)
class Examples:
    """Small pictures, or what stage 1 makes of them, large ones, and what stage 2 says, (N, C, H, W) uint8."""

    small: Tensor
    whole: Tensor
    shapes: Tensor | None


def gray_picture(path: Path) -> np.ndarray:
    """In gray, and across if it is upright, so that all are of one size."""
    samples = read_picture(path)
    if samples.ndim == 3:
        samples = np.rint(samples[..., :3] @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return samples if samples.shape[0] <= samples.shape[1] else samples.T


def smaller(picture: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, cut to a multiple of `scale`, and a smaller one of it by bicubic interpolation."""
    height, width = (side // scale * scale for side in picture.shape)
    whole = picture[:height, :width]
    small = Image.fromarray(whole).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    return whole, np.asarray(small)


def examples_of(folder: Path, tables: Tables | None) -> dict[int, Examples]:
    """By scale."""
    pictures = [gray_picture(path) for path in sorted(folder.iterdir())]
    found = {}
    for scale in SCALES:
        triples = [_example(*smaller(picture, scale), tables) for picture in pictures]
        parts = [None if each[0] is None else torch.from_numpy(np.stack(each)) for each in zip(*triples, strict=True)]
        found[scale] = Examples(*parts)
    return found


def _example(whole: np.ndarray, small: np.ndarray, tables: Tables | None) -> tuple[np.ndarray | None, ...]:
    if tables is None:
        return small[None], whole[None], None
    filtered = prefiltered(small.astype(np.int32), 1, tables)
    return filtered[None].astype(np.uint8), whole[None], np.moveaxis(shapes_of(filtered, 1, tables), 2, 0)


def enlarged(small: Tensor, found: Tensor, scale: int) -> Tensor:
    """The weighted mean of four pixels, differentiable; the outermost `scale` pixels are wrong, and not looked at."""
    height, width = small.shape[2:]
    places = [(torch.arange(n * scale) + 0.5) / scale - 0.5 for n in (height, width)]
    firsts = [place.floor().long() for place in places]
    correlation = found[:, :1].clamp(-1, 1)
    widths = (found[:, 1:3].clamp(-1, 1) + 1) * 5
    pixels = small if found.shape[1] == 3 else small + found[:, 3:]
    total = weights = 0.0
    for i in (0, 1):
        for j in (0, 1):
            rows, columns = (
                (first + k).clamp(0, n - 1) for first, k, n in zip(firsts, (i, j), (height, width), strict=True)
            )
            picked = lambda x: x[:, :, rows][:, :, :, columns]  # noqa: E731, B023
            sides = picked(widths)
            down = sides[:, :1] * (places[0] - firsts[0] - i)[:, None]
            right = sides[:, 1:] * (places[1] - firsts[1] - j)
            weight = torch.exp(-0.5 * (down**2 - 2 * picked(correlation) * down * right + right**2))
            total, weights = total + weight * picked(pixels), weights + weight
    return total / weights


def batch(data: Examples, scale: int, generator: np.random.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
    """Crops of small pictures in [0, 1] and what belongs to them; without tables turned and mirrored at random."""
    parts = []
    for _ in range(BATCH):
        index = generator.integers(len(data.small))
        top, left = (generator.integers(side - CROP + 1) for side in data.small.shape[2:])
        rows, columns = slice(top, top + CROP), slice(left, left + CROP)
        large = slice(top * scale, (top + CROP) * scale), slice(left * scale, (left + CROP) * scale)
        crops = [data.small[index][:, rows, columns], data.whole[index][:, *large]]
        if data.shapes is not None:
            crops.append(data.shapes[index][:, rows, columns])
        else:
            turns, mirrored = generator.integers(4), [2] * generator.integers(2)
            crops = [crop.rot90(turns, (1, 2)).flip(mirrored) for crop in crops]
        parts.append(crops)
    small, whole, *shapes = [torch.stack(each) for each in zip(*parts, strict=True)]
    return small / 255, whole / 255, (shapes[0].float() - 127) / 127 if shapes else None


def loss_of(model: Resampler, data: Examples, scale: int, share: float, generator: np.random.Generator) -> Tensor:
    """At first how far it is from what the tables say, if there are any; then the enlarged picture's error, in log."""
    small, whole, shapes = batch(data, scale, generator)
    found, margin = model(small), model.margin
    inner = (slice(None), slice(None), slice(margin, -margin), slice(margin, -margin))
    if shapes is not None and share < 1 / 4:
        return functional.mse_loss(found, shapes[inner])
    edge = (margin + 1) * scale
    result = enlarged(small[inner], found, scale)[:, :, scale:-scale, scale:-scale]
    return (result - whole[:, :, edge:-edge, edge:-edge]).square().mean((1, 2, 3)).add(1e-5).log().mean()


def train(model: Resampler, data: dict[int, Examples], minutes: float, seed: int) -> None:
    """For so many minutes of processor time, ever more slowly; the result is the mean of the last weights."""
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    begin, count, losses = time.process_time(), 0, []
    while (share := (time.process_time() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - share) + 1e-5
        scale = SCALES[count % len(SCALES)]
        loss = loss_of(model, data[scale], scale, share, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        losses.append(float(loss.detach()))
        count += 1
        if count % 300 == 0:
            print(f"{share:.0%} {count} {np.mean(losses[-300:]):.4f}", flush=True)
    model.load_state_dict(average.module.state_dict())
    print(f"{count} iterations")


def converted(network: Network, data: dict[int, Examples], steps: int) -> Network:
    """The spiking network, normalised on pictures that it has learnt from, their borders gone on."""
    chosen = [data[scale].small[::20, 0].numpy() / np.float32(255) for scale in SCALES]
    pictures = [np.pad(picture, MARGIN, mode="edge") for some in chosen for picture in some]
    metadata = {"task": "resample", "steps": steps, "description": DESCRIPTION}
    return convert(network, calibration=pictures, metadata=metadata, neuron=NEURON)


@click.command()
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--tables", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("resampler.npz"))
@click.option("--minutes", default=1.0, show_default=True, help="Of processor time.")
@click.option("--threads", default=1, show_default=True)
@click.option("--steps", default=1, show_default=True, help="Time steps to recommend.")
@click.option("--seed", default=0, show_default=True)
def main(pictures: Path, tables: Path | None, out: Path, minutes: float, threads: int, steps: int, seed: int) -> None:
    """Train, check that the engine computes what PyTorch does, convert, save."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    data = examples_of(pictures, None if tables is None else read_tables(tables))
    model = Resampler(SIDES, 4) if tables is None else Resampler(SIDES_OF_SECOND_STAGE, 3)
    train(model, data, minutes, seed)
    network = as_network(model)
    probe = data[2].small[:1] / 255
    with torch.no_grad():
        expected = model(functional.pad(probe, [model.margin] * 4))
    output, _ = forward(network, probe.numpy())
    inner = slice(model.margin, -model.margin)
    difference = np.abs(output - expected.numpy())[..., inner, inner].max()
    print(f"largest difference between PyTorch and the engine: {difference:.1e}")
    save_model(converted(network, data, steps), out, dtype="float16")
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
