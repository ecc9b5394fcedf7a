"""What the README and the documents say can be run as it stands."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from spikeunet.engine.command_line import main

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(path, language):
    """What stands between fences of three backquotes, of those with a language."""
    parts = re.split(r"^```(.*)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    return [content for found, content in zip(parts[1::4], parts[2::4], strict=True) if found == language]


def commands(path):
    """(subcommand, arguments) of every line that runs `spikeunet`, lines that go on joined."""
    lines = "\n".join(blocks(path, "")).replace("\\\n", " ").splitlines()
    for line in lines:
        for part in re.split(r"&&|\|", line):
            if part.strip().startswith("spikeunet "):
                words = shlex.split(part, comments=True)
                yield words[1], [word for word in words[2:] if not word.startswith("$")]


def test_documents_have_commands_and_snippets():
    assert len(blocks(REPOSITORY / "README.md", "python")) == 2
    assert len(list(commands(REPOSITORY / "README.md"))) > 4


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_of_a_command_exists(path):
    for name, arguments in commands(path):
        command, words = main.commands[name], list(arguments)
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        parser = command.make_parser(click.Context(command, info_name=name))
        given, _, _ = parser.parse_args(words)
        assert "refused_sigma" not in given, (name, arguments)


@pytest.mark.parametrize("snippet", blocks(REPOSITORY / "README.md", "python"), ids=lambda snippet: snippet[:30])
def test_a_snippet_needs_all_that_it_imports(snippet):
    tree = ast.parse(snippet)
    imported = {alias.asname or alias.name for node in ast.walk(tree) for alias in getattr(node, "names", ())}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported - used == set()


@pytest.mark.slow
def test_snippets_run_as_they_stand(tmp_path):
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    snippets = blocks(REPOSITORY / "README.md", "python")
    # In one process, which imports everything once, but without each other's names.
    program = f"for snippet in {snippets!r}:\n    exec(compile(snippet, snippet, 'exec'), {{'__name__': '__main__'}})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "smoother.png").stat().st_size > 0


def test_a_command_that_does_not_exist_would_be_found():
    command = main.commands["denoise"]
    with pytest.raises(click.UsageError, match="No such option"):
        command.make_parser(click.Context(command)).parse_args(["a.png", "--no-such"])
