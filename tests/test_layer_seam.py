"""Kinds of layers are told apart by themselves alone: nothing else in the package tests what kind a node is.

Whoever needs to know something of a layer asks its node (`engine/graph/synapses.py` says what can be asked), so that a
kind that a user registers is as good as one of the package's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_imports import REPOSITORY, imports, nodes_of, source_files, within

from spikeunet.engine.layers.registry import OWN

KINDS = {kind.__name__ for kind in OWN}
MODULES = {kind.__module__ for kind in OWN}
EXPORTS = "engine/__init__.py"
BINDS = {"engine/binding/pool_layer.py": "AvgPool2d"}
"""Layers that are bound to a kind, which they name as the type of their `node`."""

APART = ("engine/layers/", "engine/testing/")
"""The kinds themselves, and the specification that they are held against."""

MAKES = ("converters/", "engine/learning/")
"""Where networks are made: nodes of any kind may be, none is asked for its kind."""

TUNES = "engine/learning/finetune/"
"""Makes none: any network is trained on there."""

FORMATS = ("converters/nir/", "converters/onnx/")
"""Formats of others, whose operators, some with the names of kinds, become nodes: any may be chosen there, none asked
for."""


def faults(file: str, text: str) -> list[str]:
    """What a file, named from the repository on, knows of kinds and should not."""
    nodes = nodes_of(text)
    if file.startswith(FORMATS):
        return [*_asked(file, nodes)]
    return [*_imported(file, text), *_named(file, nodes), *_spelled(file, nodes)]


def _imported(file: str, text: str) -> Iterator[str]:
    for name, _ in imports(REPOSITORY / file, text):
        kind = name.rpartition(".")[2]
        if (kind in KINDS or any(within(name, module) for module in MODULES)) and not _may_import(file, kind):
            yield f"{file} imports {name}"
    for node in nodes_of(text):
        if isinstance(node, ast.ImportFrom):
            yield from (
                f"{file} imports {alias.name} under another name"
                for alias in node.names
                if alias.name in KINDS and alias.asname is not None
            )


def _may_import(file: str, kind: str) -> bool:
    return kind in KINDS and (file == EXPORTS or _makes(file) or BINDS.get(file) == kind)


def _makes(file: str) -> bool:
    return file.startswith(MAKES) and not file.startswith(TUNES)


def _named(file: str, nodes: list[ast.AST]) -> Iterator[str]:
    """Kinds in any other place than where a node is made, in `MAKES`, or where a layer's `node` is declared."""
    allowed: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and _makes(file):
            allowed.add(node.func)
        if isinstance(node, ast.AnnAssign) and file in BINDS and ast.unparse(node) == f"node: {BINDS[file]}":
            allowed.add(node.annotation)
    for node in nodes:
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in KINDS and node not in allowed:
            yield f"{file}:{node.lineno} names {name}"


def _asked(file: str, nodes: list[ast.AST]) -> Iterator[str]:
    """Kinds in comparisons, in patterns, and in calls of isinstance, issubclass and getattr."""
    for node in nodes:
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Compare | ast.MatchClass) or called in ("isinstance", "issubclass", "getattr"):
            yield from (f"{file}:{node.lineno} asks for {name}" for name in _kinds_within(node))


def _kinds_within(tree: ast.AST) -> Iterator[str | None]:
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in KINDS:
            yield name


def _spelled(file: str, nodes: list[ast.AST]) -> Iterator[str]:
    """Names of kinds as texts, with which one could ask for them as well."""
    for node in nodes:
        if isinstance(node, ast.Constant) and node.value in KINDS and file != EXPORTS:
            yield f"{file}:{node.lineno} spells {node.value!r}"


def files() -> list[str]:
    paths = (path.relative_to(REPOSITORY).as_posix() for path in source_files("engine", "converters"))
    return [file for file in paths if not file.startswith(APART)]


def read(file: str) -> str:
    return Path(REPOSITORY, file).read_text("utf-8")


def test_only_kinds_know_what_kind_they_are():
    assert len(files()) > 150
    assert [fault for file in files() for fault in faults(file, read(file))] == []


@pytest.mark.parametrize(
    "test",
    [
        "isinstance(node, Conv2d)",
        "isinstance(node, (Neurons, layers.Linear))",
        "issubclass(kind, AvgPool2d)",
        "type(node) is ConvTranspose2d",
        "type(node) in {Conv2d, Linear}",
        "{Conv2d: 1, Linear: 2}[type(node)]",
        "type(node).__name__ == 'Concat'",
        "getattr(layers, 'Linear')",
    ],
)
@pytest.mark.parametrize(
    "file",
    [
        "engine/binding/bounds.py",
        "engine/binding/pool_layer.py",
        "converters/architectures/spiking_unet.py",
        "engine/learning/dsr/convolutions.py",
    ],
)
def test_a_planted_test_on_a_kind_is_found(file, test):
    (fault, *_) = faults(file, f"{read(file)}\nfound = {test}\n")
    assert file in fault


@pytest.mark.parametrize("test", ["isinstance(node, Conv2d | Linear)", "type(node) is Scale", "issubclass(kind, Add)"])
def test_a_planted_test_is_found_where_kinds_are_chosen(test):
    (fault,) = faults("converters/onnx/walk.py", f"found = {test}\n")[:1]
    assert "asks for" in fault


@pytest.mark.parametrize("pattern", ["Conv2d()", "layers.Linear(name=name)", "Conv2d() | Neurons()"])
def test_a_planted_pattern_is_found(pattern):
    text = f"match node:\n    case {pattern}:\n        pass\n"
    assert faults("converters/architectures/spiking_unet.py", text)
    assert faults("engine/learning/finetune/flow.py", text)
    assert faults("converters/onnx/walk.py", text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("engine/binding/bounds.py", "from ..layers import Conv2d"),
        ("engine/binding/bounds.py", "from ..layers import avg_pool2d"),
        ("engine/binding/pool_layer.py", "from ..layers.conv2d import Conv2d"),
        ("engine/binding/gather_layer.py", "def f():\n    from .. import Linear"),
        ("engine/dense/forward.py", "import spikeunet.engine.layers.concat"),
        ("converters/architectures/spiking_unet.py", "from spikeunet.engine import Conv2d as Kind"),
    ],
)
def test_a_planted_import_is_found(file, text):
    assert faults(file, text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (EXPORTS, "from .layers import Conv2d\n__all__ = ['Conv2d']"),
        (
            "converters/architectures/spiking_unet.py",
            "from spikeunet.engine import Conv2d\nnode = Conv2d('a', 'b', weight)",
        ),
        ("engine/binding/pool_layer.py", "from ..layers.avg_pool2d import AvgPool2d\nclass A:\n    node: AvgPool2d"),
        ("engine/binding/gather_layer.py", "from ..layers.taps import WeightedTaps"),
    ],
)
def test_what_is_allowed(file, text):
    assert faults(file, text) == []
