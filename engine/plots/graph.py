"""The graph of a network, its edges as wide as what goes along them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..graph import Input, Output
from ..pictures.fitting import smallest_size
from .axes import axes_for
from .graph_layout import Edge, Place, edges, places

if TYPE_CHECKING:
    from ..graph import Network
    from ..operations import Operations

WIDEST = 11.0
"""Points of the edge with most traffic."""
THINNEST = 0.6


def traffic(network: Network, operations: Operations, shape: tuple[int, int, int] | None = None, ax: Any = None) -> Any:
    """The layers of a network and what went between them in a run: the area of an edge is its operations.

    Parameters
    ----------
    network : Network
    operations : Operations
        The ledger of a run of it.
    shape : (C, H, W), optional
        Of the picture, which tells the layers' resolutions; by default the smallest that the network takes.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If the ledger is of another network, the picture does not fit, or matplotlib is missing.
    """
    if set(operations.neurons) != {node.name for node in network.neurons}:
        raise InputError("the operations are of another network: its layers have other names")
    given = (sum(each.channels for each in network.inputs), *smallest_size(network)) if shape is None else shape
    heights = {name: found[1] for name, found in network.shapes(given).items()}
    where = places(network, heights)
    rows = 1 + max(place.row for place in where.values())
    ax = axes_for(ax, (7.6, 1.0 + 0.27 * rows))
    _draw_edges(ax, edges(network, operations), where)
    _draw_layers(ax, network, where)
    _frame(ax, where, rows)
    return ax


def _draw_edges(ax: Any, found: list[Edge], where: dict[str, Place]) -> None:
    from matplotlib.patches import FancyArrowPatch

    most = max((edge.operations for edge in found), default=0) or 1
    for edge in found:
        begin, end = where[edge.source], where[edge.target]
        skips = _skips(begin, end)
        width = THINNEST + (WIDEST - THINNEST) * (edge.operations / most) ** 0.5
        if edge.source == edge.target:
            style = {"marker": "o", "markersize": 15, "fillstyle": "none", "color": "C0", "alpha": 0.75}
            ax.plot(begin.column, begin.row, markeredgewidth=width / 2, **style)
            continue
        ax.add_patch(
            FancyArrowPatch(
                (begin.column, begin.row),
                (end.column, end.row),
                connectionstyle=f"arc3,rad={_bend(begin, end)}",
                arrowstyle="-",
                linewidth=width,
                color="C1" if skips else "C0",
                alpha=0.75,
                zorder=1,
                capstyle="round",
            )
        )
    ax.plot([], [], color="C0", linewidth=4, label="from layer to layer")
    if any(_skips(where[edge.source], where[edge.target]) for edge in found):
        ax.plot([], [], color="C1", linewidth=4, label="skip")


def _skips(begin: Place, end: Place) -> bool:
    """Whether an edge passes other layers by."""
    return abs(end.order - begin.order) > 1


def _bend(begin: Place, end: Place) -> float:
    """Arcs of skips within an arm go round what is between."""
    return 0.35 if begin.right == end.right and _skips(begin, end) else 0.0


def _draw_layers(ax: Any, network: Network, where: dict[str, Place]) -> None:
    for name, place in where.items():
        square = isinstance(network[name], Input | Output)
        ax.plot(place.column, place.row, marker="s" if square else "o", markersize=6, color="C2" if square else "C3")
        gap = (9 + 7, "left") if place.right else (-9 - 7, "right")
        ax.annotate(
            name,
            (place.column, place.row),
            (gap[0], 0),
            textcoords="offset points",
            ha=gap[1],
            va="center",
            size="small",
        )


def _frame(ax: Any, where: dict[str, Place], rows: int) -> None:
    columns = [place.column for place in where.values()]
    spread = max(columns) - min(columns) or 1.0
    both = any(place.right for place in where.values())
    # Names stand outside of the U, or left of a column.
    ax.set_xlim(min(columns) - 0.3 * spread - 0.5, max(columns) + (0.3 if both else 0.6) * spread + 0.5)
    ax.set_ylim(rows - 0.3, -0.7)
    ax.set_axis_off()
    ax.legend(loc="lower center" if both else "lower right", frameon=False, ncols=2, bbox_to_anchor=(0.5, 1.0))
