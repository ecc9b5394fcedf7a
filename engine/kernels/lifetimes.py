"""Where variables of a function live, worked out by Numba once they matter, and not after each change to the function.

Numba looks through all statements again after every one of its passes, ten times and more, for what only generators,
loops in Python objects and the last pass ask for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from numba.core.postproc import PostProcessor, VariableLifetime
from numba.core.transforms import canonicalize_cfg

from .exchanged import exchanged

_work_out = PostProcessor.run


def lifetimes_put_off() -> AbstractContextManager[None]:
    """What is compiled meanwhile has them worked out where asked for."""
    return exchanged(PostProcessor, "run", _run)


def _run(processor: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
    function = processor.func_ir
    if emit_dels or function.is_generator:
        _work_out(processor, emit_dels, extend_lifetimes)
        return
    function.blocks = canonicalize_cfg(function.blocks)
    function.variable_lifetime = VariableLifetime(function.blocks)
    function.generator_info = None
