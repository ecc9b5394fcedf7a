"""Quality against time steps and against operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .axes import axes_for, si_ticks, step_ticks

if TYPE_CHECKING:
    from ..operations import Operations


def quality(values: Sequence[float], label: str = "PSNR / dB", analog: float | None = None, ax: Any = None) -> Any:
    """Quality of the output after each step.

    Parameters
    ----------
    values : sequence of float
        After step 1, 2, ..., T: PSNR, accuracy, IoU. Such as are not finite are left out.
    label : str
        What they are.
    analog : float, optional
        That of the artificial network, a line.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If there are no values, or matplotlib is missing.
    """
    ax = axes_for(ax)
    numbers = _checked(values)
    ax.plot(range(1, len(numbers) + 1), numbers, marker="o", markersize=4, label="spiking network")
    step_ticks(ax)
    return _finished(ax, label, analog)


def quality_against_operations(
    values: Sequence[float],
    operations: Operations,
    label: str = "PSNR / dB",
    analog: float | None = None,
    ax: Any = None,
) -> Any:
    """Quality of the output after each step against the operations (`synops`) that were made until then.

    Parameters
    ----------
    values : sequence of float
        After step 1, 2, ..., T.
    operations : Operations
        The ledger of the run, of as many steps.
    label : str
        What the values are.
    analog : float, optional
        That of the artificial network, a point at its multiply-accumulates.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If there are not as many values as steps, or matplotlib is missing.
    """
    ax = axes_for(ax)
    numbers = _checked(values)
    if len(numbers) != operations.steps:
        raise InputError(f"values must be {operations.steps}, one for each step of the run (got {len(numbers)})")
    ax.plot(operations_until(operations), numbers, marker="o", markersize=4, label="spiking network")
    macs = sum(node.dense_macs for node in operations.synapses.values())
    if analog is not None and macs:
        ax.plot([macs], [analog], marker="s", linestyle="none", label="artificial network")
    ax.set_xlabel("operations")
    ax.set_xlim(left=0)
    si_ticks(ax.xaxis)
    return _finished(ax, label, None)


def operations_until(operations: Operations) -> list[int]:
    """Synaptic operations of a run until after each step, T integers."""
    found, total = [], 0
    for step in range(operations.steps):
        total += sum(int(node.synops[step]) for node in operations.synapses.values())
        found.append(total)
    return found


def _checked(values: Sequence[float]) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(f"values must be a list of numbers, one for each step (got {values!r:.80})")
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _finished(ax: Any, label: str, analog: float | None) -> Any:
    ax.set_ylabel(label)
    ax.grid(alpha=0.3)
    if analog is not None:
        ax.axhline(analog, linestyle="--", color="gray", label="artificial network")
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend()
    return ax
