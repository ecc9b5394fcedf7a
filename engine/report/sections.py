"""What a page shows of the numbers: a few in large, charts with the tables behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import plots
from ..operations.readings import MIXED
from ..pictures.fitting import fitting_size
from ..plots.axes import axes_for, bar_height
from ..quantity import quantity as quantity_text
from .charts import svg

if TYPE_CHECKING:
    from .content import Content


WIDE = 9.4
"""Inches of charts that take the width of the page."""


def quantity(value: float, unit: str = "") -> str:
    """A number and its prefix, which no line break parts."""
    return quantity_text(value, unit).replace(" ", "\N{NO-BREAK SPACE}")


@dataclass(frozen=True)
class Card:
    """A number in large, and what it says."""

    label: str
    value: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart: its key and place in the page, title, SVG, what it says, and the table behind it."""

    key: str
    title: str
    text: str
    drawing: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    wide: bool = False


READINGS_TEXT = (
    "An event that meets a weight is a multiply-accumulate, a shift and an addition for each threshold crossed, or, "
    "where events are binary, an addition. Shown are the readings that are true of this network."
)


def cards(content: Content, found: Mapping[str, Any]) -> list[Card]:
    """The numbers that are asked for first."""
    energy, result = found["energy"], content.result
    shown = []
    if content.psnr is not None:
        before, after = content.psnr
        shown.append(Card("PSNR", f"{after:.2f} dB", f"from {before:.2f} dB"))
    dense = found["dense_macs_per_pixel"]
    share = f"{found['operations_per_pixel'] / dense:.1%} of the ANN's {quantity(dense)}" if dense else ""
    count = found["operations_per_pixel"]
    shown.append(Card("Operations per pixel", quantity(count) if count >= 1 else f"{count:.3g}", share))
    of_dense = energy["dense_joules"]
    mixed = "accumulates where they are binary, else multiply-accumulates"
    text = f"events as {mixed if energy['reading'] == MIXED else energy['reading']}, by {energy['model']}"
    text += "" if of_dense is None else f"; the ANN {quantity(of_dense, 'J')}"
    shown.append(Card("Energy", quantity(energy["spiking_joules"], "J"), text))
    shown.append(Card("Density", f"{result.density:.3f}", "events per neuron and step"))
    steps = f"{result.steps} time step{'s' * (result.steps > 1)}"
    shown.append(Card("Time", f"{result.seconds:.2f} s", f"{steps}, {quantity(found['totals']['events'])} events"))
    return shown


def charts(content: Content, found: Mapping[str, Any]) -> dict[str, Chart]:
    """All charts that there are numbers for, by key."""
    if not content.ran:
        return {}
    return {chart.key: chart for chart in (*_over_time(content, found), *_by_layer(content, found))}


def _chart(
    key: str, title: str, text: str, draw: Callable[[], Any], header: str, rows: Any, wide: bool = False
) -> Chart:
    return Chart(key, title, text, svg(key, title, draw), header.split("|"), [list(row) for row in rows], wide)


def _over_time(content: Content, found: Mapping[str, Any]) -> list[Chart]:
    ledger, rows, shown = content.result.operations, found["by_step"], []
    if content.frames:
        shown.append(_timeline(content))
    if len(rows) < 2:
        return shown
    table = [[str(row["step"]), f"{row['events']:,}", f"{row['operations']:,}", _psnr(row["psnr"])] for row in rows]
    header = "step|events|operations|PSNR / dB"
    shown.append(
        _chart(
            "activity",
            "Activity over the steps",
            "Share of all neurons that fire at each step.",
            lambda: plots.activity(content.result),
            header,
            table,
        )
    )
    if content.quality is not None and any(row["psnr"] is not None for row in rows):
        values = [float("nan") if row["psnr"] is None else row["psnr"] for row in rows]
        shown.append(
            _chart(
                "quality",
                "Quality against operations",
                "PSNR after each step, by the operations made until then.",
                lambda: plots.quality_against_operations(values, ledger),
                "step|operations until then|PSNR / dB",
                [[str(row["step"]), f"{row['operations_until']:,}", _psnr(row["psnr"])] for row in rows],
            )
        )
    return shown


def _psnr(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _timeline(content: Content) -> Chart:
    frames = content.frames
    values = {"operations": [each.operations for each in frames]}
    rows = [
        [str(number), f"{each.events:,}", f"{each.operations:,}", f"{each.density:.4f}", f"{each.seconds:.3f}"]
        for number, each in enumerate(frames)
    ]
    return _chart(
        "timeline",
        "Timeline",
        "Operations of each frame; the table has its events, density and seconds.",
        lambda: plots.timeline(values, "operations", axes_for(None, (WIDE, 3.4))),
        "frame|events|operations|density|seconds",
        rows,
        wide=True,
    )


def _by_layer(content: Content, found: Mapping[str, Any]) -> list[Chart]:
    ledger, layers, energy = content.result.operations, found["layers"], found["energy"]
    neurons = [
        [each["name"], f"{each['neurons']:,}", f"{each['events']:,}", f"{each['density']:.4f}"] for each in layers
    ]
    shape = None if content.inputs is None else content.inputs.shape
    return [
        _chart(
            "energy",
            "Energy",
            f"By {energy['model']}, {energy['scope']}: {energy['source']}. The reading that is true of the network is "
            f"{energy['reading']}.",
            lambda: plots.energy(ledger, content.energy_model),
            "reading|energy",
            [[name, quantity(value, "J")] for name, value in energy["bars"].items()],
        ),
        _chart(
            "traffic",
            "The network, and what goes through it",
            "An edge is as wide as the square root of its operations; a skip passes other layers by.",
            lambda: plots.traffic(content.network, ledger, _padded(content, shape)),
            "from|to|through|operations",
            [[each["source"], each["target"], each["synapses"], f"{each['operations']:,}"] for each in found["edges"]],
            wide=True,
        ),
        _operations(content, found),
        _chart(
            "events",
            "Events by layer",
            "A neuron fires at most one event in a step.",
            lambda: plots.events(ledger),
            "layer|neurons|events|density",
            neurons,
        ),
        _chart(
            "density",
            "Density by layer",
            "Events per neuron and step: the sparser a layer, the less the next one has to do.",
            lambda: plots.densities(ledger),
            "layer|neurons|events|density",
            neurons,
        ),
    ]


def _operations(content: Content, found: Mapping[str, Any]) -> Chart:
    ledger, synapses = content.result.operations, found["synapses"]
    readings = [name for name, of in found["readings"].items() if of["operations"] is not None]
    return _chart(
        "operations",
        "Operations by layer",
        READINGS_TEXT,
        lambda: plots.operations(ledger, axes_for(None, (WIDE, bar_height(synapses, len(readings))))),
        "|".join(("layer", "kind", *readings, "MACs of the input", "MACs of the ANN")),
        [
            [
                each["name"],
                each["kind"],
                *(_whole(each["operations"][name]) for name in readings),
                _whole(each["macs"]),
                _whole(each["dense_macs"]),
            ]
            for each in synapses
        ],
        wide=True,
    )


def _whole(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _padded(content: Content, shape: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    """The picture's shape as the network takes it."""
    if shape is None:
        return None
    return shape[0], *fitting_size(content.network, shape[1:])
