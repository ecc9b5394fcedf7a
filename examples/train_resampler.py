"""Train a small network that says how to resample, as the second stage of LeRF's tables does, and make it spike.

    python examples/train_resampler.py --tables FOLDER --pictures FOLDER --out resampler.npz --minutes 1

The network reads what the tables' first stage makes of a picture, and puts out correlation and inverse widths of each
pixel's weights: a 7x7 convolution, which sees what the tables' patterns see in all their turns, three 1x1 convolutions
each of which reads all before it, and a linear readout, which is clipped. For the first quarter of the time it learns
what the tables say; then it enlarges pictures that were made smaller by 2, 3 or 4, and learns from the error of the
result, through the weighted mean. PyTorch trains; `convert` makes it spike.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from spikeunet.converters import convert
from spikeunet.engine import Concat, Conv2d, Input, Network, Neurons, Output, forward, save_model
from spikeunet.engine.pictures.picture_files import read_picture
from spikeunet.engine.resampling import MARGIN, Tables, prefiltered, read_tables, shapes_of

WIDTH = 32
SIZES = (WIDTH, 2 * WIDTH, 3 * WIDTH)
SIDE = 7
SCALES = (2, 3, 4)
PICTURES = 100
"""So many are learnt from, evenly spread over the folder."""


class Resampler(nn.Module):
    """(N, 1, H, W) in [0, 1] to (N, 3, H - 6, W - 6), about [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, WIDTH, SIDE)
        self.dense = nn.ModuleList(nn.Conv2d(size, WIDTH, 1) for size in SIZES)
        self.last = nn.Conv2d(4 * WIDTH, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.first(x).relu()
        for layer in self.dense:
            found = torch.cat([found, layer(found).relu()], 1)
        return self.last(found)


def as_network(model: Resampler) -> Network:
    """The same as a network of the engine, whose neurons are still to be chosen."""

    def arrays(layer: nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
        return layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()

    nodes = [Input("input", 1), Conv2d("first", "input", *arrays(model.first), padding=SIDE // 2)]
    nodes.append(Neurons("relu0", "first"))
    found = "relu0"
    for number, layer in enumerate(model.dense, 1):
        nodes += [Conv2d(f"dense{number}", found, *arrays(layer)), Neurons(f"relu{number}", f"dense{number}")]
        nodes.append(Concat(f"joined{number}", (found, f"relu{number}")))
        found = f"joined{number}"
    return Network([*nodes, Conv2d("last", found, *arrays(model.last)), Output("output", "last")], {"task": "resample"})


def smaller(picture: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, cut to a multiple of `scale`, and a smaller one of it by bicubic interpolation."""
    height, width = (side // scale * scale for side in picture.shape)
    whole = picture[:height, :width]
    small = Image.fromarray(whole).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    return whole, np.asarray(small)


def examples_of(folder: Path, tables: Tables) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """By scale: what stage 1 makes of small pictures, what stage 2 says of it, and the large pictures, in [0, 1].

    (N, 1, h, w), (N, 3, h, w) from -1 to 1, and (N, 1, H, W).
    """
    paths = sorted(folder.iterdir())[:: len(list(folder.iterdir())) // PICTURES or 1][:PICTURES]
    found = {}
    for scale in SCALES:
        triples = [_example(*smaller(read_picture(path), scale), tables) for path in paths]
        found[scale] = tuple(torch.from_numpy(np.stack(each)) for each in zip(*triples, strict=True))
    return found


def _example(whole: np.ndarray, small: np.ndarray, tables: Tables) -> tuple[np.ndarray, ...]:
    filtered = prefiltered(small.astype(np.int32), 1, tables)
    shapes = (shapes_of(filtered, 1, tables).astype(np.float32) - 127) / 127
    pictures = (each.astype(np.float32)[None] / 255 for each in (filtered, whole))
    return next(pictures), np.moveaxis(shapes, 2, 0), next(pictures)


def enlarged(filtered: Tensor, shapes: Tensor, scale: int) -> Tensor:
    """The weighted mean of four pixels, differentiable; the outermost `scale` pixels are wrong, and not looked at."""
    height, width = filtered.shape[2:]
    places = [(torch.arange(n * scale) + 0.5) / scale - 0.5 for n in (height, width)]
    firsts = [place.floor().long() for place in places]
    correlation = shapes[:, :1].clamp(-1, 1)
    widths = (shapes[:, 1:].clamp(-1, 1) + 1) * 5
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
            total, weights = total + weight * picked(filtered), weights + weight
    return total / weights


def batch(data: tuple[Tensor, Tensor, Tensor], crop: int, scale: int, size: int, generator: np.random.Generator):
    """Crops of small pictures and what belongs to them, all turned and mirrored in the same way."""
    filtered, shapes, whole = data
    parts = []
    for _ in range(size):
        index = generator.integers(len(filtered))
        top, left = (generator.integers(side - crop + 1) for side in filtered.shape[2:])
        rows, columns = slice(top, top + crop), slice(left, left + crop)
        large = slice(top * scale, (top + crop) * scale), slice(left * scale, (left + crop) * scale)
        parts.append((filtered[index][:, rows, columns], shapes[index][:, rows, columns], whole[index][:, *large]))
    return [torch.stack(each) for each in zip(*parts, strict=True)]


def train(model: Resampler, data: dict[int, tuple[Tensor, Tensor, Tensor]], minutes: float, seed: int) -> None:
    """First by what the tables say, then by the enlarged picture."""
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    begin, count, margin = time.process_time(), 0, SIDE // 2
    while (share := (time.process_time() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - share) + 1e-5
        scale = SCALES[count % 3]
        filtered, shapes, whole = batch(data[scale], 36, scale, 8, generator)
        found = model(filtered)
        inner = (slice(None), slice(None), slice(margin, -margin), slice(margin, -margin))
        if share < 1 / 4:
            loss = functional.mse_loss(found, shapes[inner])
        else:
            edge = (margin + 1) * scale
            result = enlarged(filtered[inner], found, scale)[:, :, scale:-scale, scale:-scale]
            loss = (result - whole[:, :, edge:-edge, edge:-edge]).square().mean((1, 2, 3)).add(1e-5).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if count % 50 == 0:
            print(f"{share:.0%} {count} {float(loss):.4f}", flush=True)
        count += 1
    print(f"{count} iterations")


def converted(network: Network, data: dict[int, tuple[Tensor, Tensor, Tensor]], steps: int) -> Network:
    """The spiking network, normalised on pictures that it has learnt from, their borders gone on."""
    pictures = [data[scale][0][index, 0].numpy() for scale in SCALES for index in range(0, PICTURES, 5)]
    pictures = [np.pad(picture, MARGIN, mode="edge") for picture in pictures]
    return convert(network, calibration=pictures, metadata={"task": "resample", "steps": steps})


@click.command()
@click.option("--tables", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("resampler.npz"))
@click.option("--minutes", default=1.0, show_default=True, help="Of processor time.")
@click.option("--threads", default=1, show_default=True)
@click.option("--steps", default=4, show_default=True, help="Time steps to recommend.")
@click.option("--seed", default=0, show_default=True)
def main(tables: Path, pictures: Path, out: Path, minutes: float, threads: int, steps: int, seed: int) -> None:
    """Train, check that the engine computes what PyTorch does, convert, save."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    data = examples_of(pictures, read_tables(tables))
    model = Resampler()
    train(model, data, minutes, seed)
    network = as_network(model)
    probe = data[2][0][:1]
    with torch.no_grad():
        expected = model(functional.pad(probe, (3, 3, 3, 3))).numpy()
    output, _ = forward(network, probe.numpy())
    print(f"largest difference between PyTorch and the engine: {np.abs(output - expected).max():.1e}")
    save_model(converted(network, data, steps), out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
