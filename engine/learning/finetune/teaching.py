"""Learning from a teacher: what an artificial network puts out stands in place of the clean picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dense import forward
from ...errors import InputError
from ...graph import Network
from .checkpoint import fingerprint
from .data import Batches

Array = NDArray[Any]


class TaughtBatches:
    """The examples of other batches, with what a teacher's artificial network (ANN) puts out as their targets.

    Clean pictures are not needed, and what conversion and rounding cost is all that is learnt (distillation: Hinton,
    Vinyals and Dean 2015, arXiv 1503.02531).

    Parameters
    ----------
    batches : Batches
        Where the inputs come from.
    teacher : Network
        Of one input and one output; run as an ANN, `dense.forward`.

    Raises
    ------
    InputError
        If the teacher has several inputs or outputs.
    """

    def __init__(self, batches: Batches, teacher: Network) -> None:
        if len(teacher.inputs) != 1 or len(teacher.outputs) != 1:
            raise InputError(
                f"a teacher must have one input and one output (got {len(teacher.inputs)} and {len(teacher.outputs)})"
            )
        self.batches = batches
        self.teacher = teacher

    @property
    def fingerprint(self) -> str:
        """Digest of the teacher, which tells training runs apart."""
        return fingerprint(self.teacher)

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """Inputs (N, H, W, C) float32, and the teacher's outputs (N, H', W', O) float32."""
        inputs, _ = self.batches.draw(generator)
        outputs, _ = forward(self.teacher, inputs.transpose(0, 3, 1, 2))
        return inputs, np.ascontiguousarray(outputs.transpose(0, 2, 3, 1))
