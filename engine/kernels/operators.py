"""What operators of numbers, arrays and tuples give, looked up once for their types.

Numba asks a dozen functions in turn, wherever an operator occurs, whether they take such operands; the first ones try
all loops that NumPy has for it. The answer depends on the types alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from numba import types

from .exchanged import exchanged

_PLAIN = (types.Number, types.Boolean, types.Array, types.Record, types.BaseTuple)

_found: dict[tuple[Any, ...], Any] = {}
"""Signatures, by operator, context of the types, and types of the operands. An operator's type is kept alive by this:
it knows which function a signature stands for."""

_resolve = types.Function.get_call_type


def operators_looked_up() -> AbstractContextManager[None]:
    """What is compiled meanwhile looks operators up."""
    return exchanged(types.Function, "get_call_type", _signature)


def _signature(operation: Any, context: Any, operands: Any, named: Any) -> Any:
    if named or not all(isinstance(operand, _PLAIN) for operand in operands):
        return _resolve(operation, context, operands, named)
    key = (operation, context, *operands)
    found = _found.get(key)
    if found is None:
        found = _resolve(operation, context, operands, named)
        # Overloads are compiled anew for other options.
        if operation.get_impl_key(found) is operation.typing_key:
            _found[key] = found
    return found
