"""Files that comments, docstrings and documents name are there: one that moves takes its name along."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from test_imports import REPOSITORY

FOLDERS = ("engine", "converters", "tests", "benchmarks", "examples", "docs")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "tests/*.md", "converters/**/*.md")

NAME = re.compile(r"(?<![\w./{*<-])(?:[\w-]+/)*[\w-]+\.py\b")
"""Of a file, with some of its folders or none; neither a pattern nor a part of another name."""

FROM_THE_TOP = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/(?:[\w-]+/)*[\w-]+\.py\b")


def python_files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*.py"))]


FILES = {"/" + path.relative_to(REPOSITORY).as_posix() for path in python_files()}


ENDS = {path[place + 1 :] for path in FILES for place, sign in enumerate(path) if sign == "/"}
"""Each file's name, with some of its folders or none."""


def is_there(name: str) -> bool:
    return name in ENDS


def remarks(text: str) -> Iterator[str]:
    """Comments and docstrings, those of variables too."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(remark))):
                yield remark


def missing(text: str) -> list[str]:
    """Files that a module speaks of and that are not there, and those that it names from the top in any string."""
    if all(map(is_there, NAME.findall(text))):
        return []  # most modules: to take one apart costs milliseconds
    spoken_of = [name for remark in remarks(text) for name in NAME.findall(remark)]
    used = [name for name in FROM_THE_TOP.findall(text) if f"/{name}" not in FILES]
    return [*used, *(name for name in spoken_of if not is_there(name))]


def test_modules_name_files_that_are_there():
    files = python_files()
    assert len(files) > 800
    faults = {path.relative_to(REPOSITORY).as_posix(): missing(path.read_text("utf-8")) for path in files}
    del faults["tests/test_names_of_files.py"]
    assert {name: found for name, found in faults.items() if found} == {}


def test_documents_name_files_that_are_there():
    paths = [path for pattern in DOCUMENTS for path in sorted(REPOSITORY.glob(pattern))]
    assert len(paths) > 20
    faults = {
        path.name: [name for name in NAME.findall(path.read_text("utf-8")) if not is_there(name)] for path in paths
    }
    assert {name: found for name, found in faults.items() if found} == {}


def test_a_file_that_is_not_there_is_found():
    text = '"""See gone.py and kernels/gather.py."""\nx = 1  # kernels/conv2d.py\n'
    assert missing(text) == ["kernels/conv2d.py", "gone.py"]
    assert missing('read("engine/gone.py", "engine/gather.py", "gone.py")') == ["engine/gone.py", "engine/gather.py"]
    assert missing('"""docs/make_*.py, <NAME>.py, layers/{a,b}.py, engine/layers/<kind>.py, conv2d.pyc"""') == []
