"""Rounding that keeps a layer's output, not its weights: what it changes of one weight, the next ones make up for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.fixed_point import rounded_rows

from .input_moments import InputMoments

Array = NDArray[Any]

DAMPING = 0.01
"""Share of the mean variance that is added to every input's: few pictures say little about rare combinations."""

_BLOCK = 64
"""Columns between two updates of all columns behind them."""


def compensated_rows(
    rows: Array, moments: InputMoments, bits: int, copies: Sequence[tuple[int, int]] = ()
) -> tuple[Array, Array, Array]:
    """Rows of weights rounded so that what they put out changes least, and what is missing on average.

    First they are fitted to what is read now, so that from it they put out what they did before, in the sense of least
    squares: what rounding has changed in earlier layers, later ones make up for (Y. Li et al., "GPTAQ", ICML 2025,
    arXiv 2504.02692, which derives the same aim column by column). Then, column by column, from the input of the
    largest variance on, what rounding changes is made up for by the weights that are not rounded yet, as the inputs'
    covariance says (E. Frantar et al., "GPTQ", ICLR 2023, section 3). Of three powers of two for a row the one is taken
    with which least of its output is lost.

    Where two rows are the same, and what reads them adds both up, the second one makes up for what rounding has changed
    in the first.

    Parameters
    ----------
    rows : (out_channels, N) float32
    moments : InputMoments
    bits : int
    copies : sequence of (row, the row that it is a copy of)

    Returns
    -------
    codes : (out_channels, N) float32
        Whole numbers.
    exponents : (out_channels,) int32
    missing : (out_channels,) float64
        Mean of the output before, less that of the rounded rows.
    """
    covariance = moments.covariance
    order, factor = _elimination(covariance)
    before, rows = rows, _fitted(rows, moments, factor, order)
    elimination = covariance, order, factor
    codes, exponents = _rounded(rows, *elimination, bits)
    if copies:
        copy, original = np.array(copies).T
        rows[copy] = 2 * rows[original] - np.ldexp(codes[original], exponents[original, None])
        codes[copy], exponents[copy] = _rounded(rows[copy], *elimination, bits)
    missing = before @ moments.mean_before - np.ldexp(codes.astype(np.float64), exponents[:, None]) @ moments.mean
    return codes + np.float32(0), exponents, missing


def _rounded(rows: Array, covariance: Array, order: Array, factor: Array, bits: int) -> tuple[Array, Array]:
    """Codes of rows, and of three exponents for each the one with which least of its output is lost."""
    _, exponents = rounded_rows(rows, bits)
    best = np.full(len(rows), np.inf)
    codes, chosen = np.zeros(rows.shape, np.float32), exponents.copy()
    for shift in (0, 1, -1):
        shifted = exponents + shift
        found = np.empty(rows.shape, np.float32)
        found[:, order] = _codes(np.ldexp(rows.astype(np.float64), -shifted[:, None])[:, order], factor, bits)
        error = rows - np.ldexp(found, shifted[:, None])
        lost = np.einsum("ri,ij,rj->r", error, covariance, error, optimize=True)
        better = lost < best
        best[better], codes[better], chosen[better] = lost[better], found[better], shifted[better]
    return codes, chosen


def _fitted(rows: Array, moments: InputMoments, factor: Array, order: Array) -> Array:
    """Rows (out_channels, N) float32 that put out from what is read now, by least squares, what they did before."""
    changed = rows @ (moments.covariance_before - moments.covariance)[:, order]
    fitted = rows.astype(np.float64)
    # The inverse of the damped covariance, in this order, is factor.T @ factor.
    fitted[:, order] += changed @ factor.T @ factor
    return fitted.astype(np.float32)


def _elimination(covariance: Array) -> tuple[Array, Array]:
    """The order of the columns, (N,), and how each one's change is made up for in it, (N, N) upper triangular."""
    variances = np.diag(covariance)
    damped = covariance + np.eye(len(covariance)) * max(DAMPING * float(variances.mean()), 1e-12)
    order = np.argsort(-variances, kind="stable")
    return order, np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T


def _codes(left: Array, factor: Array, bits: int) -> Array:
    """Codes of scaled weights, (out_channels, N), column by column."""
    most = 2 ** (bits - 1) - 1
    codes = np.empty_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        block = slice(start, min(start + _BLOCK, left.shape[1]))
        changes = _round_block(left[:, block], factor[block, block], codes[:, block], most)
        left[:, block.stop :] -= changes @ factor[block, block.stop :]
    return codes


def _round_block(left: Array, factor: Array, codes: Array, most: int) -> Array:
    """Round some columns, each in view of those before it; returns what the columns behind them have to make up for."""
    left, changes = left.copy(), np.empty_like(left)
    for column in range(left.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column]), -most, most)
        changes[:, column] = (left[:, column] - codes[:, column]) / factor[column, column]
        left[:, column + 1 :] -= np.outer(changes[:, column], factor[column, column + 1 :])
    return changes
