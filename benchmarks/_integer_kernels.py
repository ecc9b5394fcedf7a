"""Layers with integer weights, run from event to event and with dot products of bytes: times, rates, and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from _random_events import Clock, inputs_of

from spikeunet.engine.binding import Layer, allowed_kernels
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels.dot import host_dots
from spikeunet.engine.simulation.bands.layer_run import LayerRun
from spikeunet.engine.simulation.currents import Inputs, events, part, plane_products
from spikeunet.engine.simulation.memory.layer_state import LayerState
from spikeunet.engine.threads import WorkerThreads

EVENTS = "events"
QUADS = "event-integers"
"""The kernels from event to event, in float32 and in integers; the other kinds multiply planes of levels."""

WHOLE = "all layers"

LABELS = {
    EVENTS: "event-driven, float32",
    QUADS: "event-driven, integers",
    "vnni": "VNNI: planes + dot",
    "amx": "AMX: planes + dot",
}
_STYLES = {EVENTS: ("tab:blue", "o"), QUADS: ("tab:red", "D"), "vnni": ("tab:orange", "s"), "amx": ("tab:green", "^")}


@dataclass(frozen=True)
class Timed:
    """One kind of kernels on one layer at one activity, in seconds.

    `unpack` is spent in unpacking or spreading out, `add` in the gather or dot kernel. `accumulates` are those that the
    events cause, `products` those of a layer in which every neuron fires, which is what dot kernels compute.
    """

    layer: str
    weights: str
    activity: float
    kind: str
    unpack: float
    add: float
    accumulates: int
    products: int

    @property
    def seconds(self) -> float:
        """Of both kernels."""
        return self.unpack + self.add

    @property
    def accumulate_rate(self) -> float:
        """G accumulates a second that the events cause."""
        return self.accumulates / self.seconds / 1e9

    @property
    def product_rate(self) -> float:
        """G products a second of a dot kernel alone."""
        return self.products / self.add / 1e9

    def record(self) -> dict[str, object]:
        """For a CSV file."""
        products = "" if self.kind in (EVENTS, QUADS) else self.product_rate
        return asdict(self) | {"accumulate_rate": self.accumulate_rate, "product_rate": products}


def kinds() -> tuple[str, ...]:
    """Those that this processor has, without the portable kernels, which are never chosen."""
    quads = [QUADS] if QUADS in host_kernels() else []
    return (EVENTS, *quads, *(kind for kind in reversed(host_dots()) if kind != "portable"))


def one_kind(layer: Layer, kind: str) -> Layer:
    """A copy of a layer, without neurons, that takes one kind whatever fires.

    Without neurons, what the kernels write are currents, so that nothing but sums is measured.
    """
    return replace(layer, neurons=None, kernels=allowed_kernels(kind))


def run_layer(layer: Layer, inputs: Inputs, steps: int) -> tuple[float, float, np.ndarray]:
    """Seconds of unpacking and of adding up on one thread, and the sums of all steps; of a layer without neurons."""
    state = LayerState(layer)
    planes = ((plane_products, name) for name in ("fill_planes", "find_fours"))
    unpacks = ((events, "decode_rows"), *planes, (events, "decode_quanta"))
    adds = ((part, "gather_band"), (part, "gather_in_step"), (plane_products, "dot_band"))
    run = LayerRun(state, [inputs], steps)
    with Clock(*unpacks, *adds) as clock:
        run.run(WorkerThreads(1))
    unpack, add = (sum(clock.seconds[name] for name in {name for _, name in kernels}) for kernels in (unpacks, adds))
    return unpack, add, state.readout


def measure_layer(layer: Layer, steps: int, activities: Iterable[float], repeats: int) -> Iterator[Timed]:
    """All kinds at all activities; medians of runs in turn, after one of each that must give the same bits."""
    layers = {kind: one_kind(layer, kind) for kind in kinds()}
    for activity in activities:
        inputs, events, _ = inputs_of(layer, steps, activity)
        _check_sums({kind: run_layer(layers[kind], inputs, steps)[2] for kind in layers}, layer.node.name)
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in layers}
        for _ in range(repeats):
            for kind, seconds in found.items():
                seconds.append(run_layer(layers[kind], inputs, steps)[:2])
        fan = layer.fan_out.total(1) / np.prod(layer.incoming[1:])
        for kind, seconds in found.items():
            unpack, add = (statistics.median(part) for part in zip(*seconds, strict=True))
            yield Timed(
                layer=layer.node.name,
                weights="x".join(map(str, layer.node.weight.shape)),
                activity=activity,
                kind=kind,
                unpack=unpack,
                add=add,
                accumulates=int(events * fan),
                products=layer.dense_macs * steps,
            )


def _check_sums(sums: dict[str, np.ndarray], name: str) -> None:
    for kind, found in sums.items():
        if not np.array_equal(found, sums[EVENTS]):
            raise SystemExit(f"{name}: the sums of {kind} differ from those of the event-driven kernels")


def whole_network(rows: Sequence[Timed]) -> list[Timed]:
    """Sums over all layers."""
    sums = []
    for activity, kind in dict.fromkeys((row.activity, row.kind) for row in rows):
        chosen = [row for row in rows if (row.activity, row.kind) == (activity, kind)]
        totals = {name: sum(getattr(row, name) for row in chosen) for name in ("unpack", "add", "accumulates")}
        products = sum(row.products for row in chosen)
        sums.append(Timed(WHOLE, "", activity, kind, **totals, products=products))
    return sums


def crossing(activities: Sequence[float], events: Sequence[float], dots: Sequence[float]) -> float:
    """Activity from which on the dot kernels take less time, interpolated in logarithms.

    activities, ascending; `events` and `dots`, seconds. 0 where they always do, infinite where they do not at the end.
    """
    advantage = np.log(np.asarray(events) / np.asarray(dots))
    slower = np.flatnonzero(advantage <= 0)
    if slower.size == 0:
        return 0.0
    last = int(slower[-1])
    if last == len(activities) - 1:
        return float("inf")
    logarithms, part = np.log(activities), slice(last, last + 2)
    return float(np.exp(np.interp(0.0, advantage[part], logarithms[part])))


def crossing_of(rows: Sequence[Timed], layer: str, kind: str) -> float:
    """`crossing` of a layer, with the event-driven kernels in integers where there are any."""
    events = QUADS if any(row.kind == QUADS for row in rows) else EVENTS
    times = {name: [row.seconds for row in rows if (row.layer, row.kind) == (layer, name)] for name in (events, kind)}
    return crossing(sorted({row.activity for row in rows}), times[events], times[kind])


def percent(activity: float) -> str:
    """An activity in two digits."""
    return f"{float(f'{100 * activity:.2g}'):g} %"


def crossing_in_words(activity: float, activities: Sequence[float]) -> str:
    """A crossing, or on which side of the activities it is."""
    if activity == 0:
        return f"below {percent(min(activities))}"
    return f"beyond {percent(max(activities))}" if activity == float("inf") else percent(activity)


def table_lines(rows: Sequence[Timed], peaks: dict[str, float]) -> Iterator[str]:
    """A line for each layer and kind."""
    activities = sorted({row.activity for row in rows})
    times = " | ".join(f"{percent(activity)} active" for activity in activities)
    yield f"| layer | weights | kernels | {times} | dot: G products/s | of peak | faster from |"
    yield "|---" * (6 + len(activities)) + "|"
    for layer, kind in dict.fromkeys((row.layer, row.kind) for row in rows):
        of_kind = [row for row in rows if (row.layer, row.kind) == (layer, kind)]
        cells = [layer, of_kind[0].weights, kind]
        cells += [f"{1e3 * row.seconds:.3g} ({row.accumulate_rate:.1f})" for row in of_kind]
        if kind in (EVENTS, QUADS):
            cells += ["", "", ""]
        else:
            rate = statistics.median(row.product_rate for row in of_kind)
            begin = crossing_in_words(crossing_of(rows, layer, kind), activities)
            cells += [f"{rate:.0f}", f"{rate / peaks[kind]:.0%}", begin]
        yield "| " + " | ".join(cells) + " |"


def representative_layers(rows: Sequence[Timed]) -> list[str]:
    """Of layers with as many channels before as behind: one with the fewest, one in between, one with the most."""
    square: dict[int, str] = {}
    for row in rows:
        outputs, inputs, *_ = map(int, row.weights.split("x"))
        if outputs == inputs:
            square.setdefault(outputs, row.layer)
    names = [square[channels] for channels in sorted(square)] or list(dict.fromkeys(row.layer for row in rows))
    return list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))


def plot_integers(rows: Sequence[Timed], names: Sequence[str], title: str, path: Path) -> None:
    """Time against activity, a panel for each of these layers, with the activities from which on dot kernels win."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, panels = plt.subplots(
        1, len(names), figsize=(4 * len(names), 4.4), sharey=True, layout="constrained", squeeze=False
    )
    for axes, name in zip(panels[0], names, strict=True):
        of_layer = [row for row in rows if row.layer == name]
        activities = sorted({row.activity for row in of_layer})
        for kind in dict.fromkeys(row.kind for row in of_layer):
            color, marker = _STYLES[kind]
            times = [1e3 * row.seconds for row in of_layer if row.kind == kind]
            axes.loglog(activities, times, color=color, marker=marker, markersize=5, label=LABELS[kind])
            if kind in (EVENTS, QUADS):
                continue
            place = crossing_of(rows, name, kind)
            if 0 < place < float("inf"):
                height = float(np.exp(np.interp(np.log(place), np.log(activities), np.log(times))))
                axes.plot([place], [height], "o", color="black", markerfacecolor="white", markersize=8, zorder=5)
                axes.annotate(
                    percent(place), (place, height), xytext=(7, -14), textcoords="offset points", fontsize="small"
                )
        axes.set_xticks(activities, [percent(activity) for activity in activities])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.grid(which="both", color="0.9")
        axes.set(title=f"{name}, {of_layer[0].weights}", xlabel="neurons that fire")
    panels[0][0].set_ylabel("ms on one core")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=120)
    plt.close(figure)
