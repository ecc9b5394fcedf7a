"""A batch in shares: each is run and gone back through by itself, and their gradients are added up in their order.

The numbers depend on how many shares there are, and not on where they are worked at: one after the other, on threads
or in any number of processes (share_processes.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network
from ...threads import on_threads
from .runs import Gradients, Run, Runner, numbers_may_leave_their_range

Array = NDArray[Any]


def divided(batch: Array, shares: int) -> list[Array]:
    """A batch in so many parts that lie one behind the other, of one size as far as possible; none is empty."""
    return np.array_split(batch, min(shares, len(batch)))


def run_shares(runner: Runner, network: Network, batch: Array) -> Run:
    """Run the shares of a batch (N, H, W, C) in this process, as many at a time as there are threads."""
    found: list[Run] = []

    def forward(share: Array) -> tuple[Run, Finding]:
        with numbers_may_leave_their_range():
            run = runner.run(network, share, len(share) / len(batch))
            return run, finding_of(run)

    def backward(pair: tuple[Run, Array]) -> Gradients:
        with numbers_may_leave_their_range():
            return pair[0].gradients(pair[1])

    def gradients(flows: Sequence[Array]) -> Gradients:
        parts = on_threads(backward, zip(found, flows, strict=True))
        return {name: added_in_order([part[name] for part in parts]) for name in parts[0]}

    runs = on_threads(forward, divided(batch, runner.settings.shares))
    found += [run for run, _ in runs]
    return joined_run([finding for _, finding in runs], gradients)


Finding = tuple[Array, int, float]
"""Of a share: its output, accumulates and part of the penalty."""


def finding_of(run: Run) -> Finding:
    """What a run of a share found."""
    return run.output, run.accumulates(), run.penalty()


def joined_run(findings: Sequence[Finding], gradients: Callable[[list[Array]], Gradients]) -> Run:
    """The run of a whole batch, from what was found of its shares; `gradients` takes what belongs to each."""
    outputs, accumulates, penalties = zip(*findings, strict=True)
    return Run(
        np.concatenate(outputs),
        lambda: sum(accumulates),
        lambda: math.fsum(penalties),
        lambda gradient: gradients(divided(gradient, len(findings))),
    )


def added_in_order(parts: Sequence[Array]) -> Array:
    """The sum of arrays of one shape: the second is added to the first, then the third, and so on."""
    total = parts[0].copy(order="K")
    for part in parts[1:]:
        total += part
    return total
