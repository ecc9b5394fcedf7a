"""One result for the pictures of a batch, which were run one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .lazy_result import LazyResult, joined_ledger
from .result import Result, joined_kernels
from .state import State, joined


def of_batch(results: Sequence[Result], seconds: float) -> Result:
    """One result for pictures of a batch, in so many seconds: arrays stacked, counts added."""
    first = results[0]
    return LazyResult(
        ledger=joined_ledger(results),
        outputs=_stacked([result.outputs for result in results]),
        steps=first.steps,
        seconds=seconds,
        kernels=joined_kernels(*results),
        recorded={kind: _stacked([result.recorded[kind] for result in results]) for kind in first.recorded},
    )


def _stacked(values: Sequence[Any]) -> Any:
    """What several pictures have, stacked; one picture's is not copied, because a readout of many steps is large."""
    if isinstance(values[0], State):
        return joined(values)
    if isinstance(values[0], Mapping):
        return {name: _stacked([each[name] for each in values]) for name in values[0]}
    return values[0][None] if len(values) == 1 else np.stack(values)
