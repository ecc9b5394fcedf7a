"""Kernels read tables and arguments by name: no long lists, and no numbers that stand for columns."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import numpy as np
import pytest

from spikeunet.engine.kernels.arguments import EventSource
from spikeunet.engine.kernels.bound_call import compiled_phase
from spikeunet.engine.kernels.sources import count_sources, packed_sources, source_at

MOST_ARGUMENTS = 10


def jitted_functions(folder):
    """Every function that Numba compiles, with its file; intrinsics are Python."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("compiled" in d or "njit" in d for d in decorators(node)):
                yield path.name, node


def decorators(node):
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def parameters(node):
    return [argument.arg for argument in node.args.args]


def numbered(node):
    """What is read by a number that is neither of a pair's."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Load):
            indices = part.slice.elts if isinstance(part.slice, ast.Tuple) else [part.slice]
            constants = [index.value for index in indices if isinstance(index, ast.Constant)]
            if not ast.unparse(part.value).endswith("shape") and any(number > 1 for number in constants):
                yield ast.unparse(part)


def test_arguments_have_names(repository):
    functions = list(jitted_functions(repository / "engine" / "kernels"))
    assert len(functions) > 50
    for name, node in functions:
        where = f"{name}: {node.name}"
        assert len(parameters(node)) <= MOST_ARGUMENTS, where
        unpacked = [part for part in ast.walk(node) if isinstance(part, ast.Tuple) and isinstance(part.ctx, ast.Store)]
        assert max((len(target.elts) for target in unpacked), default=0) <= 4, where
        assert not list(numbered(node)), where


class Nested(NamedTuple):
    """Arguments as a kernel takes them."""

    alone: np.ndarray
    source: EventSource
    nothing: None
    number: int
    scale: np.float32


def source(seed):
    numbers = np.arange(4, dtype=np.float32) + seed
    start, channels = np.full((1, 2), seed), np.full(3, seed, np.uint16)
    return EventSource(start, channels, np.full(5, seed, np.uint8), seed, numbers, np.float32(seed / 8), seed + 1, seed)


def read(found):
    return [
        found.start[0, 0], found.channels[2], found.levels[4], found.bytes_each, found.emit[3], found.scale,
        found.channel_offset, found.always,
    ]  # fmt: skip


@compiled_phase
def _write_nested(_number, nested, target):
    target[0] = nested.alone[1]
    target[1] = nested.source.emit[2]
    target[2] = nested.source.scale
    target[3] = nested.source.always
    target[4] = nested.number
    target[5] = nested.scale


def test_named_tuples_in_a_block_of_words():
    """Nested, with a float32 number between others and one at the end."""
    target = np.zeros(6)
    arguments = (Nested(np.arange(3.0), source(5), None, -7, np.float32(0.25)), target)
    _write_nested(0, *arguments)
    assert target.tolist() == [1.0, 7.0, 0.625, 5.0, -7.0, 0.25]


@compiled_phase
def _write_sources(_number, sources, target):
    for number in range(count_sources(sources)):
        found = source_at(sources, number)
        target[number, 0] = found.start[0, 0]
        target[number, 1] = found.channels[2]
        target[number, 2] = found.levels[4]
        target[number, 3] = found.bytes_each
        target[number, 4] = found.emit[3]
        target[number, 5] = found.scale
        target[number, 6] = found.channel_offset
        target[number, 7] = found.always


@pytest.mark.parametrize("number", [1, 2, 3])
def test_sources_by_name(number):
    """In a tuple of one or two, and in a table."""
    sources: tuple[Any, ...] = tuple(source(seed) for seed in range(1, number + 1))
    target = np.zeros((number, 8))
    _write_sources(0, packed_sources(sources), target)
    assert target.tolist() == [read(each) for each in sources]
