"""What a step of a neuron costs: operations of each update, and those that each spike adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from ..errors import NeuronError
from .firing import LadderModel
from .stepped import NeuronModel


@dataclass(frozen=True)
class Arithmetic:
    """Operations of one update of one neuron; the current has been summed up already.

    Parameters
    ----------
    multiplications, additions, comparisons : int
        At every update, of a silent neuron, too. Subtractions are additions.
    spike_multiplications, spike_additions, spike_comparisons : int
        More of them for every spike that the neuron counts for: for every threshold that it crosses.
    """

    multiplications: int = 0
    additions: int = 0
    comparisons: int = 0
    spike_multiplications: int = 0
    spike_additions: int = 0
    spike_comparisons: int = 0

    @property
    def update(self) -> int:
        """Operations of every update, of all kinds together."""
        return self.multiplications + self.additions + self.comparisons

    @property
    def spike(self) -> int:
        """Operations that a spike adds, of all kinds together."""
        return self.spike_multiplications + self.spike_additions + self.spike_comparisons


NAMES = tuple(field.name for field in fields(Arithmetic))


def arithmetic_of(model: NeuronModel) -> Arithmetic | None:
    """What a step of the model costs; None of a registered model that does not declare it with `arithmetic()`.

    A ladder adds its current to its potential, compares with each of its thresholds, takes off those that it crosses,
    and multiplies with its decay if it has a leak.

    Raises
    ------
    NeuronError
        If a registered model declares anything but whole numbers under the names of `Arithmetic`.
    """
    if isinstance(model, LadderModel):
        constants = model.firing_constants()
        subtracts = int(constants.keep == 1)
        return Arithmetic(int(constants.decay != 1), 1, len(constants.compare), spike_additions=subtracts)
    declared = getattr(model, "arithmetic", None)
    if declared is None:
        return None
    found = declared() if callable(declared) else declared
    return _checked(type(model).__name__, found)


def _checked(owner: str, found: object) -> Arithmetic:
    counts = asdict(found) if isinstance(found, Arithmetic) else found
    whole = isinstance(counts, Mapping) and all(
        name in NAMES and isinstance(count, (int, np.integer)) and not isinstance(count, bool) and 0 <= count < 2**31
        for name, count in counts.items()
    )
    if not whole or not isinstance(counts, Mapping):
        raise NeuronError(f"{owner}.arithmetic: must map names out of {', '.join(NAMES)} to counts (got {found!r})")
    return Arithmetic(**{name: int(count) for name, count in counts.items()})
