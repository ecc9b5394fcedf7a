"""The cache that a Numba dispatcher asks for compiled code: one file for each kernel and signature.

Numba's own keeps an index for each function, which processes that start at the same time overwrite for each other, and
loads what it finds unchecked. This one stands in its place and has the methods that Numba calls.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import config
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from .folders import readable_folders, writable_folder
from .kernel_file import SUFFIX, read_kernel, write_kernel
from .outdated import mark_as_used, remove_outdated

_log = logging.getLogger(__name__)

_counts = dict.fromkeys(("loaded", "compiled", "kept"), 0)

_CODE_SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "EXTEND_VARIABLE_LIFETIMES",
    "DISABLE_INTEL_SVML",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
    "ENABLE_PROFILING",
    "DEBUG_NRT",
    "NRT_STATS",
)
"""Numba's settings that change the code, besides the processor's."""


def cache_counts() -> tuple[int, int, int]:
    """How many kernels this process has loaded, compiled, and kept of these."""
    return _counts["loaded"], _counts["compiled"], _counts["kept"]


class KernelCache:
    """Compiled code of one kernel on disk.

    Parameters
    ----------
    function : function
        The kernel in Python.
    variant : str
        How it is compiled, where one function is compiled in several ways.
    source : str
        Digest of the source of all kernels; each has a folder of its own.
    parts : str
        Digest of what else the kernel consists of.
    """

    def __init__(self, function: Callable[..., Any], variant: str, source: str, parts: str = "") -> None:
        code = function.__code__
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        own = (code.co_firstlineno, hashlib.sha256(code.co_code).hexdigest())
        self._parts = (self._name, variant, source, parts, *own)
        self._generation = generation(source)

    @property
    def cache_path(self) -> str | None:
        """Folder of the kernels that are there already; for Numba's statistics."""
        return next((str(folder) for folder in readable_folders(self._generation)), None)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled code for a signature, or None."""
        target_context.refresh()
        key = self._key(signature, target_context.codegen())
        for folder in readable_folders(self._generation):
            content = read_kernel(folder / self._file_name(key), key)
            if content is not None and (found := _rebuilt(content, signature, target_context)) is not None:
                mark_as_used(folder)
                _debug("loaded", self._name, folder)
                _counts["loaded"] += 1
                return found
        _counts["compiled"] += 1
        _say_that_it_compiles()
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep compiled code, if that is possible."""
        if any(not lifted.can_cache for lifted in compiled.lifted) or compiled.library.has_dynamic_globals:
            return
        folder = writable_folder(self._generation)
        if folder is None or folder in _given_up:
            return
        remove_outdated(folder)
        key = self._key(signature, compiled.codegen)
        try:
            write_kernel(folder / self._file_name(key), key, dumps((signature, compiled._reduce())))
            _counts["kept"] += 1
            _debug("saved", self._name, folder)
        except OSError as error:
            _stop_writing(folder, error)

    def flush(self) -> None:
        """Numba calls this when it compiles all anew, which replaces the files."""

    def enable(self) -> None:
        """Always is."""

    def disable(self) -> None:
        """Never is."""

    def _key(self, signature: Any, codegen: Any) -> bytes:
        """Digest of all that decides which code is right."""
        settings = [(name, repr(getattr(config, name, None))) for name in _CODE_SETTINGS]
        parts = (*self._parts, str(signature), codegen.magic_tuple(), settings)
        return hashlib.sha256(repr(parts).encode()).digest()

    def _file_name(self, key: bytes) -> str:
        return f"{re.sub(r'[^A-Za-z0-9_.]+', '', self._name)[:80]}-{key.hex()[:32]}{SUFFIX}"


def generation(source: str) -> str:
    """Name of the folder for kernels of one state of the source and one Python, Numba and LLVM."""
    python = (sys.implementation.cache_tag, getattr(sys, "abiflags", ""))
    versions = (source, numba.__version__, llvmlite.__version__, *python)
    return f"kernels-{hashlib.sha256(repr(versions).encode()).hexdigest()[:16]}"


def _rebuilt(content: bytes, signature: Any, target_context: Any) -> Any:
    """Compiled code out of a file's content, or None where it does not fit after all."""
    try:
        # Not from anywhere: `read_kernel` has seen who wrote it, and that nothing has happened to it since.
        kept, payload = pickle.loads(content)  # noqa: S301
        return CompileResult._rebuild(target_context, *payload) if kept == signature else None
    except Exception:  # noqa: BLE001 - whatever it is, compiling anew is the remedy
        _log.debug("a kernel on disk does not load", exc_info=True)
        return None


@functools.cache
def _say_that_it_compiles() -> None:
    """Once: what takes so long."""
    _log.info("compiling kernels (first run) ...")


_given_up: set[Path] = set()
"""Folders in which nothing can be written any more."""


def _stop_writing(folder: Path, error: OSError) -> None:
    _given_up.add(folder)
    _log.warning("kernels cannot be kept in %s (%s); they are compiled again in the next run", folder, error.strerror)


def _debug(what: str, name: str, folder: Path) -> None:
    if config.DEBUG_CACHE:
        print(f"[cache] {name} {what} {'from' if what == 'loaded' else 'to'} {folder}")  # noqa: T201 - as Numba does
