"""What a layer reads, source by source: one or two sources as a tuple, more as a table of where they lie in memory.

The length of a tuple is part of its type, and kernels are compiled for the types of their arguments. Kernels for one
source and for two know exactly what they read; for all other numbers there is one kernel, which looks it up. Kernels
that go through one source after the other, rather than through all of them for each pixel, take a table always.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from .bound_call import words
from .vectors import _data

MOST_IN_TUPLE = 2
"""Sources that kernels are compiled for in their number."""

_WORD_BYTES = 8


def packed_sources(sources: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """What kernels take of sources, each a (named) tuple of arrays and numbers, all of the same types.

    More than `MOST_IN_TUPLE` become what `source_table` makes of them.
    """
    return sources if len(sources) <= MOST_IN_TUPLE else source_table(sources)


def source_table(sources: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """The same whatever their number: the first of them, for its types, and a table with a row for each.

    In it stands what `bound_call.words` makes of a source. The table keeps the arrays alive.
    """
    if len({tuple(map(_kind, source)) for source in sources}) > 1:
        raise TypeError("sources must be of the same types")
    return sources[0], np.asarray(_Table(sources))


class _Table:
    """(sources, words) int64, what stands for sources; the array that NumPy makes of it refers to it, and so to them.

    Addresses alone keep nothing alive, and whoever packs sources may have made their arrays just for that.
    """

    def __init__(self, sources: tuple[tuple[Any, ...], ...]) -> None:
        self._sources = sources
        self._words = np.array([words(source) for source in sources], np.int64)
        self.__array_interface__ = self._words.__array_interface__  # That is how NumPy finds the memory.


def _kind(value: Any) -> tuple[Any, ...]:
    """What makes up the type of a value for Numba."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.c_contiguous, value.flags.writeable, value.flags.aligned
    return (np.dtype(type(value)),)


def _is_table(sources):
    return isinstance(sources, types.Tuple) and len(sources) == 2 and isinstance(sources[1], types.Array)


@intrinsic
def count_sources(typing_context, sources):
    """How many sources there are."""

    def generate(context, builder, signature, arguments):
        if not _is_table(sources):
            return context.get_constant(types.intp, len(sources))
        table = context.make_array(sources[1])(context, builder, builder.extract_value(arguments[0], 1))
        return builder.extract_value(table.shape, 0)

    return types.intp(sources), generate


@intrinsic
def source_at(typing_context, sources, number):
    """The source of a number from 0 on."""
    source = sources[0]
    if not _is_table(sources):
        getitem = typing_context.resolve_value_type(operator.getitem)
        of_tuple = getitem.get_call_type(typing_context, (sources, types.intp), {})

        def generate(context, builder, signature, arguments):
            return context.get_function(getitem, of_tuple)(builder, arguments)

        return source(sources, types.intp), generate

    def generate_lookup(context, builder, signature, arguments):
        table = builder.extract_value(arguments[0], 1)
        array = context.make_array(sources[1])(context, builder, table)
        row = builder.mul(arguments[1], builder.extract_value(array.shape, 1))
        pointer = builder.gep(_data(context, builder, sources[1], table), [row], inbounds=True)
        pointer = builder.bitcast(pointer, context.get_value_type(source).as_pointer())
        return builder.load(pointer, align=_WORD_BYTES)

    return source(sources, types.intp), generate_lookup
