"""Which kernels a run has used."""

from __future__ import annotations

from spikeunet.engine import Result
from spikeunet.engine.binding import kernel_choice


def goes_beside_events(result: Result) -> bool:
    """Whether the kernels "events" alone would have computed the current of a layer in another way."""
    without_choice = {kernel_choice.EVENTS, kernel_choice.PICTURE, kernel_choice.VALUES}
    return any(not without_choice.issuperset(used) for used in result.kernels.values())
