"""What a layer reads in a group of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.layer import Source
from ...events import EventQueue


@dataclass(eq=False)
class Inputs:
    """What a layer reads in a group of steps.

    Parameters
    ----------
    queues : list of (Source, EventQueue)
        Each spiking source with its queue.
    picture : (H, W, C) float32
        The analog input.
    in_place : bool
        Whether the picture has all channels that the layer reads, zeros where those are spikes: of a layer that reads
        several inputs. Otherwise it is what each of the layer's analog sources is.
    """

    queues: list[tuple[Source, EventQueue]]
    picture: NDArray[np.float32]
    in_place: bool = False

    def picture_offsets(self, layer: Layer) -> list[int]:
        """Where the picture's channels begin among those that are read, as often as it comes."""
        return [0] if self.in_place else [source.channel_offset for source in layer.analog]


def inputs_of(layer: Layer, queues: list[tuple[Source, EventQueue]], picture: NDArray[np.float32]) -> Inputs:
    """What a layer that is no sum reads: its queues, and what it takes of the joined pictures, (H, W, C) float32."""
    parts = {source.name: source.of_picture(picture) for source in layer.analog}
    if len(parts) < 2:
        return Inputs(queues, next(iter(parts.values()), picture))
    whole = np.zeros((*picture.shape[:2], layer.incoming[0]), np.float32)
    for source in layer.analog:
        whole[..., source.place] = parts[source.name]
    return Inputs(queues, whole, in_place=True)
