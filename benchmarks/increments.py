"""A still camera: pictures of which a part changes, by exact increments, in full, and as an ANN in 8 bits.

A square out of another picture moves by two pixels from frame to frame over a picture that stands still; the same four
frames come to and fro, and everybody runs each of them in turn. Times are medians of processor time on one thread,
which on a machine that is shared is steadier than the clock. Outputs and counts are compared with those of full runs,
bit for bit, before anything is timed.

    python benchmarks/increments.py FOLDER [--plot docs/increments.png] [--csv docs/increments.csv] [--no-peers]

FOLDER has pictures of a street (CamSeq01's `image`); the first and the middle one by name are taken.

    python benchmarks/increments.py --clip FILE... [--models NAME...] [--frames N]

runs videos or stacks by increments and in full, page by page as `spikeunet denoise` and `segment` do.
"""

from __future__ import annotations

import argparse
import csv
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from spikeunet.engine import (
    DenoiseStream,
    Network,
    SegmentStream,
    Stream,
    load_model,
    read_frames,
    read_picture,
    simulate,
)
from spikeunet.engine.testing.comparison import assert_same_array, assert_same_operations

MODELS = ("segment-street", "denoise-gray")
SHARES = (0.01, 0.05, 0.2)
SIZE = (352, 480)
FRAMES = 4


def street(folder: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures, (channels, H, W) float32: the first one, and the one in the middle."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".png", ".jpg", ".tif"})
    found = []
    for path in (paths[0], paths[len(paths) // 2]):
        picture = read_picture(path) / 255.0
        rows, columns = (np.arange(size) * extent // size for size, extent in zip(SIZE, picture.shape, strict=False))
        picture = picture[rows][:, columns].astype(np.float32)
        found.append(picture.mean(axis=2)[None] if channels == 1 else picture.transpose(2, 0, 1))
    return np.ascontiguousarray(found[0]), np.ascontiguousarray(found[1])


def clip(folder: Path, channels: int, share: float) -> list[np.ndarray]:
    """Frames in which a square of this share of the pixels has moved."""
    still, other = street(folder, channels)
    side = round((share * SIZE[0] * SIZE[1]) ** 0.5)
    frames = []
    for number in range(FRAMES):
        frame, left = still.copy(), 120 + 2 * number
        frame[:, 80 : 80 + side, left : left + side] = other[:, 120 : 120 + side, 200 : 200 + side]
        frames.append(frame)
    return frames


def check(stream: Stream, frames: list[np.ndarray]) -> None:
    """AssertionError where increments and full runs differ."""
    for frame in frames:
        found, expected = stream.push(frame), simulate(stream.network, frame, 1, threads=1)
        assert_same_array(found.output, expected.output, "output")
        assert_same_operations(found.operations, expected.operations)


def timed(runs: dict, frames: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Milliseconds of processor time of a frame, medians of rounds in which each takes its turn."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    to_and_fro = cycle([*range(len(frames)), *range(len(frames) - 2, 0, -1)])
    for number in islice(to_and_fro, rounds):
        for name, run in runs.items():
            begin = time.process_time()
            run(frames[number])
            spent[name].append(time.process_time() - begin)
    return {name: 1000 * float(np.median(times)) for name, times in spent.items()}


def peers(network: Network) -> dict:
    """The ANN in 8 bits, by name."""
    from _peer_int8 import Int8Ann
    from _peer_openvino import OpenVinoAnn

    return {"ONNX Runtime, 8 bits": Int8Ann(network, 1).run, "OpenVINO, 8 bits": OpenVinoAnn(network, 1, "int8").run}


def measure(name: str, folder: Path, others: bool, rounds: int) -> tuple[list[dict], list[dict]]:
    """A row for each share of changed pixels, and one for each layer of each."""
    network = load_model(name)
    others_of = peers(network) if others else {}
    rows, layers = [], []
    for share in SHARES:
        frames = clip(folder, network.input.channels, share)
        stream = Stream(network, threads=1, exact_increments=True)
        check(stream, frames)
        runs = {"increments": stream.push, "full": lambda frame: simulate(network, frame, 1, threads=1), **others_of}
        for run in runs.values():
            run(frames[-2])
        row = {"model": name, "changed": share, **timed(runs, frames, rounds)}
        row["ratio"] = row["increments"] / row["full"]
        of_layers = stream.increments
        row["accumulates"] = sum(each.done for each in of_layers.values()) / sum(
            each.full for each in of_layers.values()
        )
        rows.append(row)
        print(", ".join(f"{key} {value:.3g}" if isinstance(value, float) else str(value) for key, value in row.items()))
        for layer, each in of_layers.items():
            shares = {"levels": each.changed / each.neurons, "pixels": each.dirty / each.pixels}
            layers.append({"model": name, "changed": share, "layer": layer, "kernels": each.kernels, **shares})
    return rows, layers


def measure_clip(name: str, path: Path, most: int) -> dict:
    """Processor time of a frame by increments and in full, medians; AssertionError where the results differ."""
    make = SegmentStream if load_model(name).metadata.get("task") == "segment" else DenoiseStream
    streams = {"increments": make(name, threads=1, exact_increments=True), "full": make(name, threads=1)}
    spent: dict[str, list[float]] = {each: [] for each in streams}
    changed, before = [], None
    for frame in islice(read_frames(path), most):
        results = {}
        for each, stream in streams.items():
            begin = time.process_time()
            results[each] = stream.push(frame)
            spent[each].append(time.process_time() - begin)
        found, expected = results["increments"], results["full"]
        assert_same_array(found.result.output, expected.result.output, "output")
        assert_same_operations(found.result.operations, expected.result.operations)
        if before is not None:
            changed.append(float((frame != before).reshape(*frame.shape[:2], -1).any(axis=2).mean()))
        before = frame
    # The first frames compile kernels, or take memory.
    times = {each: 1000 * float(np.median(seconds[2:])) for each, seconds in spent.items()}
    savings = streams["increments"].savings
    row = {"clip": path.name, "model": name, "frames": len(changed) + 1, "changed": float(np.median(changed)), **times}
    print(", ".join(f"{key} {value:.3g}" if isinstance(value, float) else str(value) for key, value in row.items()))
    print(f"  {savings.text}")
    return row


def plot(rows: list[dict], layers: list[dict], path: Path) -> None:
    """Times, and what changes layer by layer."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(MODELS), figsize=(11, 7), constrained_layout=True)
    for column, model in enumerate(MODELS):
        of_model = [row for row in rows if row["model"] == model]
        labels = [f"{100 * row['changed']:g} %" for row in of_model]
        names = [name for name in of_model[0] if name not in {"model", "changed", "ratio", "accumulates"}]
        for number, name in enumerate(names):
            places = np.arange(len(labels)) + (number - (len(names) - 1) / 2) * 0.8 / len(names)
            axes[0, column].bar(places, [row[name] for row in of_model], 0.8 / len(names), label=name)
        axes[0, column].set_xticks(range(len(labels)), labels)
        axes[0, column].set(title=model, xlabel="pixels that change", ylabel="ms a frame, one thread")
        for share, label in zip(SHARES, labels, strict=True):
            found = [row for row in layers if (row["model"], row["changed"]) == (model, share)]
            (line,) = axes[1, column].plot([100 * row["levels"] for row in found[:-1]], label=f"{label}, levels")
            axes[1, column].plot([100 * row["pixels"] for row in found], "--", color=line.get_color(), label="pixels")
        axes[1, column].set(xlabel="layer", ylabel="%, changed levels and dirty pixels", ylim=(0, 100))
    axes[0, 1].legend(fontsize=8)
    axes[0, 1].set_ylim(top=1.5 * axes[0, 1].get_ylim()[1])
    axes[1, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """The table, the file of the layers and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--clip", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--frames", type=int, default=60, help="of each clip, the first ones")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--csv", type=Path, help="shares of each layer")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    for clip_path in options.clip or ():
        for model in options.models:
            measure_clip(model, clip_path, options.frames)
    if options.folder is None:
        return
    rows, layers = [], []
    for model in MODELS:
        found = measure(model, options.folder, not options.no_peers, options.rounds)
        rows += found[0]
        layers += found[1]
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(layers[0]))
            writer.writeheader()
            writer.writerows({**row, **{key: f"{row[key]:.4f}" for key in ("levels", "pixels")}} for row in layers)
    if options.plot:
        plot(rows, layers, options.plot)


if __name__ == "__main__":
    main()
