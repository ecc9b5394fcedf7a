"""What the frames of a series took, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from .axes import axes_for, si_ticks, step_ticks


def timeline(values: Mapping[str, Sequence[float]], label: str = "operations", ax: Any = None) -> Any:
    """One or more numbers over the frames of a stream or series, such as events or operations of each `Result`.

    Parameters
    ----------
    values : mapping of str to sequence of float
        By name, a number for each frame.
    label : str
        What they count.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If there are no values, or matplotlib is missing.
    """
    if not values or not all(map(len, values.values())):
        raise InputError("a timeline needs at least one number for each frame")
    ax = axes_for(ax)
    for name, numbers in values.items():
        ax.plot(range(len(numbers)), [float(number) for number in numbers], marker=".", label=name)
    step_ticks(ax, "frame")
    ax.set_ylabel(label)
    # Numbers that hardly differ would otherwise lie on the upper edge.
    ax.set_ylim(0, 1.05 * max(float(max(numbers)) for numbers in values.values()) or 1)
    si_ticks(ax.yaxis)
    ax.grid(alpha=0.3)
    if len(values) > 1:
        ax.legend()
    return ax
