"""What a run of one picture has, in whichever order it takes layers, rows and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..binding import Program
from ..threads import WorkerThreads
from .lazy_result import LazyResult
from .ledger_plan import plan_of
from .recording import Recorder
from .result import sorted_kernels
from .run_counts import RunCounts


@dataclass(eq=False)
class Run:
    """Simulation of one picture, (C, H, W), or of one that changes, (T, C, H, W).

    `kernels` notes by layer which ones computed its currents. Where a run is `in_tiles`, layers are run some rows at a
    time.
    """

    program: Program
    picture: NDArray[np.float32]
    steps: int
    record: frozenset[str]
    workers: WorkerThreads

    in_tiles = False

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.program, self.steps, self.record)
        self.counts = RunCounts(plan_of(self.program), self.steps, self.in_tiles)
        self.kernels: dict[str, set[str]] = defaultdict(set)

    def result(self, outputs: dict[str, NDArray[np.float32]], kept: Mapping[str, object]) -> LazyResult:
        """What has come of it: outputs, and what is kept besides recordings."""
        return LazyResult(
            ledger=self.counts.ledger,
            outputs=outputs,
            steps=self.steps,
            seconds=0.0,
            kernels=sorted_kernels(self.kernels),
            recorded={**self.recorder.recorded, **kept},
        )
