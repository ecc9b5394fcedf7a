"""Means over windows: added up event by event, or from planes of levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..kernels.entries import host_compresses
from ..kernels.pooling import POOL_CHANNELS
from ..kernels.tables import PlaneLayout, PoolGeometry, PoolTables
from ..layers.avg_pool2d import AvgPool2d
from ..lazy import lazy_property
from .integer_plan import PooledLevels, pooled_levels
from .kernel_choice import PLANES
from .layer import Layer


@dataclass(frozen=True, eq=False)
class PoolLayer(Layer):
    """A layer that averages."""

    node: AvgPool2d

    @property
    def dense_kernels(self) -> str | None:
        # Where processors do not compress vectors, means of planes are slower than those of events.
        return PLANES if self.takes_planes and host_compresses() else None

    @property
    def takes_planes(self) -> bool:
        """Whether means can be added up from planes of levels, in integers."""
        whole = self.pooled_levels is not None and self.padded_channels % POOL_CHANNELS == 0
        return bool(self.spiking) and whole and PLANES in self.kernels

    @lazy_property
    def pooled_levels(self) -> PooledLevels | None:
        """What means are made of, where they are sums of integers."""
        if any(kernel > 2 * size for kernel, size in zip(self.node.kernel_size, self.incoming[1:], strict=True)):
            return None  # the kernel for planes would read little but padding
        return pooled_levels(math.prod(self.node.kernel_size), self.sources)

    @lazy_property
    def pool_geometry(self) -> PoolGeometry:
        """What the pooling kernel takes.

        Of a window, the padding is the distance from its first input row, and may be below 0.
        """
        sizes = (*self.incoming[1:], self.outgoing[2])
        geometry = PoolGeometry(*self.node.kernel_size, *self.node.stride, *self.node.padding, *sizes)
        if self.window is None:
            return geometry
        shift = self.window.inputs[0] - self.window.rows[0] * geometry.stride_y
        return geometry._replace(padding_y=geometry.padding_y + shift)

    @lazy_property
    def pool_tables(self) -> PoolTables:
        """What the kernel takes that averages levels that are spread out."""
        assert self.pooled_levels is not None
        geometry, (channels, _, width) = self.pool_geometry, self.incoming
        reached = (geometry.output_width - 1) * geometry.stride_x - geometry.padding_x + geometry.kernel_width
        row = (geometry.padding_x + max(width, reached)) * channels
        return PoolTables(geometry, PlaneLayout(geometry.padding_x * channels, row, channels), self.pooled_levels.scale)
