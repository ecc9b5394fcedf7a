"""Roofline of the spike-driven kernels, layer by layer.

    python benchmarks/kernels.py                       # table, kernels.csv, kernels.png
    python benchmarks/kernels.py --linearity           # besides: time against events and against pixels
    python benchmarks/kernels.py --scaling             # besides: two threads against one
    python benchmarks/kernels.py --integers            # instead: dot products of bytes; integers.csv, integers.png

For each layer of a model, bound to a picture of the given size, random events of several activities (each neuron fires
at each step with that probability) are gathered on one thread: accumulates a second in the gather kernel alone and in
the layer with decoding, firing and compacting, beside the core's peaks measured in the same run. The bound is what
second-level-cache bandwidth allows: each weight row is read once for all steps of a neuron that fires. Medians of
thread time.

With `--integers` the weights are rounded to 8 bits, and each layer's sums are computed from event to event and with
each kind of dot kernel that the processor has, all on the same events; see README.md.
"""

from __future__ import annotations

import csv
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import _common as common
import click
import numpy as np
from _integer_kernels import (
    EVENTS,
    Timed,
    measure_layer,
    plot_integers,
    representative_layers,
    table_lines,
    whole_network,
)
from _peaks import Peaks, measure_peaks, product_peaks
from _random_events import Clock, inputs_of

from spikeunet.converters import quantize_weights
from spikeunet.engine import Network, load_model, read_picture, simulate
from spikeunet.engine.binding import Layer, Program, allowed_kernels, build_program
from spikeunet.engine.memory import aligned_bytes
from spikeunet.engine.simulation.bands.layer_run import LayerRun
from spikeunet.engine.simulation.currents import Inputs, part
from spikeunet.engine.simulation.memory.layer_state import LayerState
from spikeunet.engine.simulation.memory.queue_memory import block_bytes, empty_queue
from spikeunet.engine.threads import WorkerThreads

_ACTIVITIES, _INTEGER_ACTIVITIES = "0.01,0.03,0.1,0.3", "0.003,0.01,0.03,0.1,0.3,0.6"


@dataclass(frozen=True)
class Measured:
    """One layer at one activity; rates in G accumulates a second and GB/s on one core."""

    layer: str
    weights: str
    activity: float
    accumulates: int
    gather: float
    whole: float
    weight_bytes: float
    bound: float

    @property
    def share(self) -> float:
        """Of the bound."""
        return self.gather / self.bound


def timed(layer: Layer, inputs: Inputs, steps: int, repeats: int) -> tuple[float, float]:
    """Median seconds of the gather kernel and of the whole layer, from event to event whatever its weights are."""
    layer = replace(layer, kernels=allowed_kernels(EVENTS))  # a copy, which is bound anew
    memory = None if layer.neurons is None else empty_queue(layer, steps, aligned_bytes(block_bytes(layer, steps)))
    whole, kernel = [], []
    for _ in range(repeats + 1):
        run = LayerRun(LayerState(layer), [inputs], steps, events=memory)
        begin = time.thread_time()
        run.run(WorkerThreads(1))
        whole.append(time.thread_time() - begin)
        run = LayerRun(LayerState(layer), [inputs], steps, events=memory)
        with Clock((part, "gather_band"), (part, "gather_in_step")) as clock:
            run.run(WorkerThreads(1))
        kernel.append(sum(clock.seconds.values()))
    return statistics.median(kernel[1:]), statistics.median(whole[1:])


def measure(layer: Layer, steps: int, activity: float, repeats: int, peaks: Peaks) -> Measured:
    """One layer, one activity."""
    inputs, events, active = inputs_of(layer, steps, activity)
    fan = layer.fan_out.total(1) / np.prod(layer.incoming[1:])
    kernel, whole = timed(layer, inputs, steps, repeats)
    bound = min(peaks.second_cache / 4 * events / max(active, 1), peaks.multiply_adds)
    return Measured(
        layer=layer.node.name,
        weights="x".join(map(str, layer.node.weight.shape)),
        activity=activity,
        accumulates=int(events * fan),
        gather=events * fan / kernel / 1e9,
        whole=events * fan / whole / 1e9,
        weight_bytes=active * fan * 4 / kernel / 1e9,
        bound=bound,
    )


def linearity(program: Program, network, steps: int, repeats: int) -> tuple[list, list]:
    """(accumulates, seconds) of a layer at rising activity, and (pixels, seconds a step) of pictures of rising size."""
    layer = max(program.layers, key=lambda layer: layer.dense_macs)
    by_events = []
    for activity in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
        inputs, events, _ = inputs_of(layer, steps, activity)
        by_events.append((events, timed(layer, inputs, steps, repeats)[1]))
    by_pixels = []
    for side in (64, 128, 256, 384, 512, 768, 1024):
        picture = np.random.default_rng(0).random((network.input.channels, side, side), np.float32)
        simulate(network, picture, steps, threads=1)
        seconds = []
        for _ in range(repeats):
            begin = time.thread_time()
            simulate(network, picture, steps, threads=1)
            seconds.append((time.thread_time() - begin) / steps)
        by_pixels.append((side * side, statistics.median(seconds)))
    return by_events, by_pixels


def scaling(network, side: int, repeats: int) -> list[tuple[int, float, float]]:
    """(steps, seconds on one thread, on two): wall-clock medians of interleaved runs on a part of a picture."""
    picture = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png")[:side, :side] / 255
    picture = picture[None].astype(np.float32)
    rows = []
    for steps in (1, 2, 8):
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(repeats + 1):
            for threads, values in seconds.items():
                values.append(simulate(network, picture, steps, threads=threads).seconds)
        rows.append((steps, *(statistics.median(values[1:]) for values in seconds.values())))
    return rows


def plot_roofline(rows: list[Measured], peaks: Peaks, title: str, path: Path) -> None:
    """Bars by layer, a group for each activity, with the bound."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    layers = list(dict.fromkeys(row.layer for row in rows))
    activities = list(dict.fromkeys(row.activity for row in rows))
    figure, axes = plt.subplots(figsize=(12, 5), layout="constrained")
    for number, activity in enumerate(activities):
        found = {row.layer: row for row in rows if row.activity == activity}
        places = np.arange(len(layers)) + (number - len(activities) / 2 + 0.5) * 0.8 / len(activities)
        axes.bar(places, [found[name].gather for name in layers], 0.8 / len(activities), label=f"{activity:.0%} active")
        axes.plot(places, [found[name].bound for name in layers], "k_", markersize=6)
    axes.axhline(peaks.multiply_adds, color="gray", linestyle="--", label="peak of multiply-adds")
    axes.set_xticks(np.arange(len(layers)), layers, rotation=60, ha="right")
    axes.set(ylabel="G accumulates/s on one core\n(marks: bound by the second-level cache)", title=title)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_linearity(by_events: list, by_pixels: list, path: Path) -> None:
    """Time against events and against pixels, with straight lines through the last points."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    names = ("thousand events in one layer", "thousand pixels"), ("ms", "ms a step, whole network")
    for axes, points, x_name, y_name in zip(panels, (by_events, by_pixels), *names, strict=True):
        x, y = np.array(points).T
        x /= 1e3
        axes.plot(x, y * 1e3, "o")
        slope, offset = np.polyfit(x, y, 1)
        axes.plot(x, (slope * x + offset) * 1e3, "-", linewidth=0.8)
        axes.set(xlabel=x_name, ylabel=y_name, xlim=0, ylim=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_rows(path: Path, rows: list[dict]) -> None:
    """A CSV file."""
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def compare_integers(
    network: Network, title: str, size: int, steps: int, activities: list[float], repeats: int
) -> list[Timed]:
    """Times of all layers with integer weights; prints a table of them."""
    peaks = product_peaks(repeats)
    if not peaks:
        raise click.UsageError("--integers needs a processor with AVX-512 VNNI or AMX")
    print(f"{title}; {common.machine()}")
    for kind, peak in peaks.items():
        print(f"peak of one core, {kind}: {peak:.0f} G products of bytes a second with all numbers in registers")
    program = build_program(network, (network.input.channels, size, size))
    rows: list[Timed] = []
    for layer in program.layers:
        if getattr(layer, "integers", None) is not None:
            rows += measure_layer(layer, steps, activities, repeats)
    if not rows:
        raise click.UsageError("--integers needs a network with layers whose sums are exact in integers; this has none")
    print("milliseconds of unpack + gather, or planes + dot (G accumulates/s that events cause)\n")
    print("\n".join(table_lines([*rows, *whole_network(rows)], peaks)))
    return rows


@click.command()
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--size", default=256, show_default=True, help="Side of the picture.")
@click.option("--steps", default=1, show_default=True, help="1, 2, 4 or 8 steps at once.")
@click.option("--activities", help=f"By default {_ACTIVITIES}; with --integers {_INTEGER_ACTIVITIES}.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--linearity", "with_linearity", is_flag=True, help="Time against events and against pixels.")
@click.option("--scaling", "with_scaling", is_flag=True, help="Two threads against one.")
@click.option("--integers", is_flag=True, help="Instead: dot products of bytes beside the event-driven kernels.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Of --integers; else OUT/integers.png.")
def main(
    model: str,
    size: int,
    steps: int,
    activities: str | None,
    repeats: int,
    with_linearity: bool,
    with_scaling: bool,
    integers: bool,
    out: Path,
    plot: Path | None,
) -> None:
    """Measure the kernels."""
    if steps not in (1, 2, 4, 8):
        raise click.BadParameter("must be 1, 2, 4 or 8", param_hint="--steps")
    if integers and (with_linearity or with_scaling):
        raise click.UsageError("--integers goes without --linearity and --scaling")
    default = _INTEGER_ACTIVITIES if integers else _ACTIVITIES
    shares = [float(part) for part in (activities or default).split(",")]
    out.mkdir(parents=True, exist_ok=True)
    network = load_model(model)
    title = f"{model}, {size}x{size}, {steps} step(s) at once, one thread"
    if integers:
        title += ", weights rounded to 8 bits"
        times = compare_integers(quantize_weights(network), title, size, steps, shares, repeats)
        write_rows(out / "integers.csv", [row.record() | {"steps": steps} for row in times])
        plot_integers(times, representative_layers(times), title, plot or out / "integers.png")
        return
    program = build_program(network, (network.input.channels, size, size))
    peaks = measure_peaks(repeats)
    print(f"{title}; {common.machine()}")
    print(f"peaks of one core: {peaks.multiply_adds:.0f} G multiply-adds/s; GB/s of weight rows from the first-level")
    print(f"cache {peaks.first_cache:.0f}, from the second {peaks.second_cache:.0f}, from beyond {peaks.beyond:.0f}\n")
    print("| layer | weights | active | G accumulates | gather G/s | layer G/s | weights GB/s | bound G/s | of bound |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for layer in program.layers:
        if not layer.node.arrays or any(source.analog for source in layer.sources):
            continue
        for activity in shares:
            row = measure(layer, steps, activity, repeats, peaks)
            rows.append(row)
            numbers = (f"{row.accumulates / 1e9:.3f}", f"{row.gather:.1f}", f"{row.whole:.1f}")
            numbers += (f"{row.weight_bytes:.0f}", f"{row.bound:.1f}", f"{row.share:.0%}")
            print("|", " | ".join((row.layer, row.weights, f"{activity:.0%}", *numbers)), "|", flush=True)
    write_rows(out / "kernels.csv", [asdict(row) | {"steps": steps, "share": row.share} for row in rows])
    plot_roofline(rows, peaks, title, out / "kernels.png")
    if with_linearity:
        by_events, by_pixels = linearity(program, network, steps, repeats)
        points = [("events", *point) for point in by_events] + [("pixels", *point) for point in by_pixels]
        write_rows(
            out / "linearity.csv", [dict(zip(("what", "number", "seconds"), point, strict=True)) for point in points]
        )
        plot_linearity(by_events, by_pixels, out / "linearity.png")
    if with_scaling:
        print("\n| steps | one thread, s | two threads, s | ratio |\n|---|---|---|---|")
        found = scaling(network, size, repeats)
        for number, one, two in found:
            print(f"| {number} | {one:.3f} | {two:.3f} | {one / two:.2f} |")
        write_rows(out / "scaling.csv", [dict(zip(("steps", "one", "two"), row, strict=True)) for row in found])


if __name__ == "__main__":
    main()
