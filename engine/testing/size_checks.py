"""What a kind of layer says of sizes, as a check (see layer_checks.py)."""

from __future__ import annotations

from fractions import Fraction

from ..errors import SpikeunetError
from ..graph import Projection, Shape
from .comparison import require
from .layer_probes import describe

MORE_ROWS = 16
"""That are added to a size, times the denominator of the size factor: more than nearly any stride."""


def rows_put_out(node: Projection, shape: Shape) -> None:
    """`size_factor` says how many rows and columns are put out for each one that is read."""
    factor = Fraction(node.size_factor)
    more = MORE_ROWS * factor.denominator
    channels, height, width = shape
    try:
        _, rows, columns = node.output_shape((channels, height + more, width + more))
    except SpikeunetError:
        return  # It reads this size alone.
    _, fewer_rows, fewer_columns = node.output_shape(shape)
    for what, count in (("rows", rows - fewer_rows), ("columns", columns - fewer_columns)):
        require(
            count in (0, factor * more),  # none where as many are put out of any size
            f"{describe(node)}: size_factor {factor} says that {more} more {what} give {factor * more} more; by "
            f"output_shape() they give {count}",
        )
