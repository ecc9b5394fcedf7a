"""Learning rates over the run, as factors of the largest one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import InputError

SCHEDULES = ("cosine", "step", "constant")


@dataclass(frozen=True)
class Schedule:
    """Factor of the learning rate at each iteration, after a linear warm-up.

    Parameters
    ----------
    kind : "cosine", "step" or "constant"
        Half a cosine from 1 to `last`; steps by `factor`, evenly spaced; or 1 throughout.
    warmup : float
        Share of the run, from 0 to below 1, in which the rate rises from 0.
    last : float
        Factor at the end of a cosine.
    drops : int
        Number of steps.
    factor : float
        Of each step.

    Raises
    ------
    InputError
        If the kind is unknown or a number out of range.
    """

    kind: str = "cosine"
    warmup: float = 0.0
    last: float = 0.01
    drops: int = 2
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise InputError(f"schedule must be one of {', '.join(SCHEDULES)} (got {self.kind!r})")
        if not 0 <= self.warmup < 1:
            raise InputError(f"the warm-up must be a share of the run from 0 to below 1 (got {self.warmup})")
        if not (0 <= self.last <= 1 and self.drops >= 1 and 0 < self.factor <= 1):
            raise InputError(
                f"a schedule's last and factor must lie in (0, 1] and its drops be at least 1 (got {self.last}, "
                f"{self.factor}, {self.drops})"
            )

    def __call__(self, iteration: int, iterations: int) -> float:
        """Factor at `iteration` (0, 1, ...) of `iterations`."""
        warm = self.warmup * iterations
        if iteration < warm:
            return (iteration + 1) / (warm + 1)
        done = (iteration - warm) / max(1.0, iterations - warm)
        if self.kind == "cosine":
            return self.last + (1 - self.last) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, done)))
        if self.kind == "step":
            return float(self.factor ** int(done * (self.drops + 1)))
        return 1.0
