"""Models from stdin and to stdout, by "-" where a command takes the name of a model or of a file for one.

A model file is read from end to start and written out of order, so that either goes through a temporary file.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .options import FilePath
from .output import text_to_stderr
from .pipes import PIPE, PipedInput, PipedOutput

_OUTPUT = "spikeunet.piped_model"


class ModelName(click.types.StringParamType):
    """The name of a model or a model file; what comes from stdin for "-"."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """As text; of "-" the path of a file that is there as long as the command runs."""
        if value != PIPE:
            return value
        path = _temporary(ctx, "stdin.npz")
        path.write_bytes(PipedInput().getbuffer())
        return str(path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Names of models, and files."""
        from ..models import list_models

        names = [CompletionItem(name) for name in list_models() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class ModelOutput(FilePath):
    """A file for a model as a Path; stdout for "-"."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As of other paths; of "-" a file whose content goes to stdout where the command ends well."""
        if value != PIPE or ctx is None:
            return super().convert(value, param, ctx)
        ctx.meta[_OUTPUT] = path = _temporary(ctx, "stdout.npz")
        text_to_stderr()
        return path


MODEL = ModelName()
MODEL_FILE = ModelOutput()


def send_model() -> None:
    """Write to stdout what a command was asked to put there, now that all of it is known to be good."""
    path = click.get_current_context().meta.get(_OUTPUT)
    if path is None or not path.is_file():
        return
    with open(path, "rb") as source:
        shutil.copyfileobj(source, PipedOutput(path.suffix))
    sys.stdout.flush()


def _temporary(context: click.Context | None, name: str) -> Path:
    """A file in a folder that is removed when the command ends."""
    folder = tempfile.mkdtemp(prefix="spikeunet-")
    # The command's own context is never closed where a later option is refused.
    root = (context or click.get_current_context()).find_root()
    root.call_on_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    return Path(folder) / name
