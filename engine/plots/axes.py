"""Axes to draw into, and what all plots share."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_BARS = 200
"""Bars that a chart can still tell apart; networks of more layers are cut off, and the axis says so."""


def check_plots() -> None:
    """InputError that names the extra where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib, which is missing; pip install 'spikeunet[plots]'")


def axes_for(ax: Any, size: tuple[float, float] = (6.4, 3.6)) -> Any:
    """`ax`, or the axes of a new figure of `size` inches, which no window and no global state knows of."""
    if ax is not None:
        return ax
    check_plots()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def horizontal_bars(ax: Any, names: Sequence[str], series: Mapping[str, Sequence[float | None]], label: str) -> None:
    """Groups of bars, one group a name from the top down; a value of None leaves its bar out."""
    shown = list(names)[:MOST_BARS]
    thickness = 0.8 / max(1, len(series))
    for number, (name, values) in enumerate(series.items()):
        places = [at - 0.4 + thickness * (number + 0.5) for at in range(len(shown))]
        lengths = [0.0 if value is None else float(value) for value in values[: len(shown)]]
        ax.barh(places, lengths, height=0.92 * thickness, label=name)
    ax.set_yticks(range(len(shown)), shown)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(left=0)
    left_out = len(names) - len(shown)
    ax.set_xlabel(label + (f"; {left_out} more layers are not shown" if left_out else ""))
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    if len(series) > 1:
        ax.legend()


def bar_height(names: Sequence[Any], series: int = 1) -> float:
    """Inches that `horizontal_bars` need."""
    return float(1.1 + (0.22 + 0.06 * (series - 1)) * min(len(names), MOST_BARS))


def si_ticks(axis: Any, unit: str = "") -> None:
    """Ticks such as 20 M, with SI prefixes."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(EngFormatter(unit=unit))


def step_ticks(ax: Any, label: str = "time step") -> None:
    """Whole numbers on the axis of time steps, which count from 1, or of frames, which count from 0."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(label)


def check_layer(name: str, known: Any) -> None:
    """InputError where a layer is none of those that there are."""
    if name not in known:
        from ..errors import first_few

        raise InputError(f"no layer is called {name!r}; there are {first_few(known)}")
