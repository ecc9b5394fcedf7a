"""Which layers compiled calls run: those all of whose phases are kernels (see phases.py)."""

from __future__ import annotations

from ...binding import Layer
from ...binding.kernel_choice import VALUES
from ...binding.pool_layer import PoolLayer
from ...events import channel_type


def is_compiled(layer: Layer) -> bool:
    """Whether compiled calls run a layer of this kind, with what it reads and fires."""
    if layer.parts != (layer,) or layer.own_kernels == VALUES or any(source.delay for source in layer.sources):
        return False
    if len({channel_type(source.channels) for source in layer.spiking}) > 1:
        return False
    analog = [source.analog for source in layer.sources]
    ladder = layer.neurons is not None and layer.stepper is None and layer.levels is not None and layer.levels.masks
    if layer.neurons is not None and not ladder:
        return False
    if all(analog):
        return ladder and not isinstance(layer, PoolLayer)
    if any(analog) or not all(source.levels is not None and source.levels.masks for source in layer.sources):
        return False
    return ladder or not isinstance(layer, PoolLayer)
