"""Kernels that are made for one neuron model: a template, in which some names stand for the model's own functions.

A bound kernel has a name of its own, and is known on disk by the digest of everything that it consists of: the
package's kernels, the model's functions, and whatever these refer to. So it is compiled once for all processes, and
anew when one of them changes, in a script or a notebook too.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from .compilation import InnerKernel, Kernel, compiled, compiled_bare, kernel

_STANDARD = {*sys.stdlib_module_names, "numpy", "numba", "scipy"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), np.generic)


def bound(template: Any, owner: str, makes_arrays: bool = False, **functions: Callable[..., object]) -> Any:
    """A kernel whose global names given in `functions` stand for these.

    Parameters
    ----------
    template : function
        Uses the names as globals.
    owner : str
        Whose functions they are; names the kernel on disk.
    makes_arrays : bool
        Whether one of the functions makes arrays or lists, which keeps loops from becoming vector instructions: see
        `compiled_bare`.
    **functions : functions, plain or compiled
        Plain ones are compiled.
    """
    ready = {name: _jitted(function) for name, function in functions.items()}
    clone = FunctionType(template.__code__, {**template.__globals__, **ready}, template.__name__)
    clone.__qualname__ = f"{template.__name__}_{re.sub(r'[^A-Za-z0-9]+', '_', owner)}"
    digest = code_digest(*functions.values())
    if digest is None:
        return kernel(Kernel, clone, _nrt=makes_arrays)
    return (compiled if makes_arrays else compiled_bare)(clone, digest)


def _jitted(function):
    if hasattr(function, "py_func") or not isinstance(function, FunctionType):
        return function
    return kernel(InnerKernel, function)


def code_digest(*functions):
    """Digest of some functions' code and of all that it refers to; None where that cannot be said."""
    digest = hashlib.sha256()
    try:
        for function in functions:
            _add_value(digest, function, set())
    except _UnknownError:
        return None
    return digest.hexdigest()


class _UnknownError(Exception):
    """A value that has no digest."""


def _add_value(digest, value, seen):
    value = getattr(value, "py_func", value)
    if isinstance(value, _PLAIN):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, (tuple, list)):
        digest.update(f"{type(value).__name__} {len(value)};".encode())
        for item in value:
            _add_value(digest, item, seen)
    elif isinstance(value, frozenset):
        digest.update(f"frozenset {sorted(map(repr, value))};".encode())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"array {value.dtype} {value.shape};".encode() + value.tobytes())
    elif isinstance(value, FunctionType):
        _add_function(digest, value, seen)
    elif isinstance(value, (BuiltinFunctionType, type, np.ufunc)):
        digest.update(f"{getattr(value, '__module__', '')}.{value.__name__};".encode())
    elif isinstance(value, ModuleType):
        digest.update(f"module {value.__name__};".encode())
    else:
        raise _UnknownError


def _add_function(digest, function, seen):
    if id(function) in seen:
        return
    seen.add(id(function))
    _add_code(digest, function.__code__, seen)
    _add_value(digest, (function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))), seen)
    for cell in function.__closure__ or ():
        _add_value(digest, cell.cell_contents, seen)
    names = _names(function.__code__)
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        digest.update(f"global {name};".encode())
        _add_value(digest, value, seen)
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in _STANDARD:
            for attribute in sorted(names & vars(value).keys()):
                _add_value(digest, getattr(value, attribute), seen)


def _add_code(digest, code, seen):
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    digest.update(code.co_code + repr((*names, code.co_exceptiontable)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(digest, constant, seen)
        else:
            _add_value(digest, constant, seen)


def _names(code):
    """Names that a function and those inside it look up."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)
