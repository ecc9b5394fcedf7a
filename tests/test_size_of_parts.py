"""Files and functions can be read in one go, and the parts that a run goes through lie one below another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from test_imports import REPOSITORY, imports, module_name, source_files, within

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
"""Without its docstring."""

LONGER = {"engine/kernels/gather_dirty.py: gather_dirty"}
"""Loops over phases, channels, rows, pixels and taps, one within the other: a kernel of its own for the inner ones
would take most of what the outer ones know, and Numba would compile each once more for every kind of arguments."""

PARTS = ["binding", "results", "inputs", "samples", "simulation.memory", "simulation.currents", "simulation.bands"]
PARTS += ["simulation.tiles", "simulation", "increments"]
"""Of `engine`: each imports those before it alone."""


def functions(path: Path, text: str | None = None):
    """Name of each function of a file, and its number of lines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8") if text is None else text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = first.end_lineno - first.lineno + 1 if documented else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_files_are_short():
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in source_files("engine", "converters")}
    assert len(lines) > 300
    assert {name: number for name, number in lines.items() if number > MOST_LINES_OF_A_FILE} == {}


def test_functions_are_short():
    found = {
        f"{name_of(path)}: {name}"
        for path in source_files("engine", "converters")
        for name, lines in functions(path)
        if lines > MOST_LINES_OF_A_FUNCTION
    }
    assert found == LONGER


def test_a_long_function_is_found():
    text = 'def short():\n    """A\n\n    docstring."""\n' + "    pass\n" * 3 + "def long():\n" + "    pass\n" * 60
    assert list(functions(Path("any.py"), text)) == [("short", 4), ("long", 61)]


def part_of(module: str) -> str | None:
    """The innermost part that a module is in."""
    inside = [part for part in PARTS if within(module, f"spikeunet.engine.{part}")]
    return max(inside, key=len, default=None)


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_run_lie_one_below_another(part):
    paths = [path for path in source_files("engine/" + part.replace(".", "/")) if part_of(module_name(path)) == part]
    assert len(paths) > 2
    above = PARTS[PARTS.index(part) + 1 :]
    found = [(name_of(path), name) for path in paths for name, _ in imports(path) if part_of(name) in above]
    assert found == []
