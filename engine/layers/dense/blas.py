"""Matrix products, shared out between this package's own threads.

BLAS libraries have threads of their own, which wait for one another at the end of every product. Where other work runs
on the machine that costs more than it gains, so here a BLAS call runs on one thread and the products of a layer are cut
into pieces for several. The pieces do not depend on the number of threads, and neither do the results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...threads import on_threads

Array = NDArray[Any]

_PIECES = 4
_SMALLEST_PIECE = 64
"""Rows of a product in a piece, at least."""


def multiply(left: Array, right: Array) -> Array:
    """`left @ right`, (M, N) from (M, K) and (K, N); either may be a transposed view."""
    total = np.empty((left.shape[0], right.shape[1]), left.dtype)
    count = max(1, min(_PIECES, len(left) // _SMALLEST_PIECE))
    edges = [len(left) * piece // count for piece in range(count + 1)]

    def work(piece: int) -> None:
        rows = slice(edges[piece], edges[piece + 1])
        np.matmul(left[rows], right, out=total[rows])

    on_threads(work, range(count))
    return total


def _gemm(dtype: np.dtype[Any]) -> Any:
    # Imported here because SciPy would slow down the start of programs that only simulate.
    from scipy.linalg import blas

    return blas.sgemm if dtype == np.float32 else blas.dgemm


# What NumPy's own `@` cannot do is to accumulate in place. BLAS thinks in columns: transposed views make it read and
# write C-contiguous memory without a copy.


def add_product(left: Array, right: Array, total: Array, beta: float = 1.0) -> None:
    """Set total = left @ right + beta * total, in place; what `total` holds is not read where beta is 0.

    (M, N) from (M, K) and (K, N), all C-contiguous and of one type, float32 or float64.
    """
    _gemm(total.dtype)(1.0, right.T, left.T, beta, total.T, overwrite_c=1)


def add_transposed_product(left: Array, right: Array, total: Array) -> None:
    """Set total = left.T @ right + total, in place; (M, N) from (K, M) and (K, N)."""
    _gemm(total.dtype)(1.0, right.T, left.T, 1.0, total.T, trans_b=1, overwrite_c=1)
