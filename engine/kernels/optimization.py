"""Kernels optimised once, when all that they call has been put into them.

Numba first simplifies each function by itself, so that counts of references to arrays meet and cancel out, and then
optimises it together with what it calls. Kernels without such counts can go without the former, which the latter does
again: they are as fast, and an eighth less is to be done.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from numba.core.codegen import CPUCodeLibrary

from .exchanged import exchanged

_simplify = CPUCodeLibrary._optimize_functions


def optimized(once: bool) -> AbstractContextManager[None]:
    """How often what is compiled meanwhile is optimised."""
    return exchanged(CPUCodeLibrary, "_optimize_functions", _leave if once else _simplify)


def _leave(library: Any, module: Any) -> None:
    # All that it has to have: what it is linked into was made with it.
    module.data_layout = library._codegen._data_layout
