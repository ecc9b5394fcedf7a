"""What a step may not use, because compiled it gives other numbers than in plain Python.

Addition, subtraction, multiplication, division, `//`, `%`, comparisons, `abs`, `min`, `max`, `int` and the functions of
`math` that round correctly (`sqrt`, `floor`, `ceil`, `fabs`, `copysign`, ...) give the same bits everywhere. `exp`,
`log`, `sin` and the like call the same C library in both. What is refused here does something else when compiled: a
constant power becomes multiplications or a root, and some functions Python has algorithms of its own for.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..errors import NeuronError

_REMEDIES = {
    "**": "multiply, or take math.sqrt",
    "pow": "multiply, or take math.sqrt",
    "math.pow": "multiply, or take math.sqrt",
    "operator.pow": "multiply, or take math.sqrt",
    "operator.ipow": "multiply, or take math.sqrt",
    "math.hypot": "take math.sqrt(x * x + y * y)",
    "math.dist": "take math.sqrt(x * x + y * y)",
    "math.gamma": "take it out of the step",
    "math.lgamma": "take it out of the step",
    "math.ldexp": "multiply",
    "math.fsum": "add",
    "math.prod": "multiply",
    "sum": "add",
    "round": "take math.floor(x + 0.5)",
}
_IN_NUMPY = "take the function of math, or plain numbers"
_EXACT_IN_NUMPY = {
    "abs", "absolute", "bool_", "ceil", "copysign", "fabs", "float64", "floor", "int64", "isfinite", "isinf", "isnan",
    "maximum", "minimum", "sign", "sqrt", "trunc",
}  # fmt: skip


def check_exact(name: str, function: Callable[..., Any]) -> None:
    """NeuronError where the step of the model `name` uses what is not the same when compiled."""
    for used, line in _used(getattr(function, "py_func", function), set()):
        remedy = _REMEDIES.get(used)
        if used.startswith("numpy.") and used.removeprefix("numpy.") not in _EXACT_IN_NUMPY:
            remedy = _IN_NUMPY
        if remedy is not None:
            raise NeuronError(
                f"{name}: the step uses {used} at line {line}, which compiled gives other numbers than plain Python; "
                f"{remedy}"
            )


def _used(function: Any, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Names of what a function, and the functions that it calls, are made of, each with its line."""
    if id(function) in seen or not isinstance(function, FunctionType):
        return
    seen.add(id(function))
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    held = {name: cell.cell_contents for name, cell in cells.items()}
    names = {**vars(builtins), **function.__globals__, **held}
    for value, line in _looked_up(function.__code__, names):
        if isinstance(value, str):
            yield value, line
            continue
        yield _name_of(value), line
        yield from _used(getattr(value, "py_func", value), seen)


def _looked_up(code: CodeType, names: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """Values that code looks up by names, those inside modules too, and `**`."""
    line, module = code.co_firstlineno, None
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno if instruction.positions and instruction.positions.lineno else line
        name = instruction.argval
        if isinstance(name, CodeType):
            yield from _looked_up(name, names)
        if instruction.opname.startswith("BINARY") and instruction.argrepr in ("**", "**="):
            yield "**", line
        found = None
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            found = names.get(name)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and module is not None:
            found = getattr(module, name, None)
        module = found if isinstance(found, ModuleType) else None
        if callable(found):
            yield found, line


def _name_of(value: Any) -> str:
    """What a function is called: with its module, but for a builtin one."""
    if isinstance(value, (np.ufunc, type)) or getattr(value, "__module__", None) not in (None, "builtins"):
        module = "numpy" if isinstance(value, np.ufunc) else str(value.__module__).partition(".")[0].lstrip("_")
        return value.__name__ if module == "builtins" else f"{module}.{value.__name__}"
    return str(getattr(value, "__name__", ""))
