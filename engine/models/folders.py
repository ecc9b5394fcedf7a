"""Folders outside the package whose models are found by name: those of SPIKEUNET_MODELS, and a checkout's `models`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from ..errors import ModelFileError

VARIABLE = "SPIKEUNET_MODELS"
"""Environment variable of folders with models, separated as in PATH."""

SUFFIX = ".npz"
_CHECKPOINT = ".checkpoint.npz"

_PACKAGE = Path(__file__).resolve().parent.parent


def model_folders() -> tuple[Path, ...]:
    """Folders that models are looked for in besides the package, the first one first.

    Raises
    ------
    ModelFileError
        If SPIKEUNET_MODELS names something that is no folder.
    """
    named = [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    for folder in named:
        if not folder.is_dir():
            raise ModelFileError(f"{VARIABLE} names {os.fspath(folder)!r}, which is no folder; correct or unset it")
    own = checkout_folder(_PACKAGE.parent)
    return (*named, *([] if own is None else [own]))


def checkout_folder(root: Path) -> Path | None:
    """The folder `models` of a checkout of this project, where `root` is one that has it."""
    folder = root / "models"
    return folder if folder.is_dir() and _is_checkout(root) else None


def _is_checkout(root: Path) -> bool:
    """Whether pyproject.toml there says that the project is this one, so that no other folder is taken for it."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        return bool(project["name"] == "spikeunet")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def models_in(folder: Path) -> dict[str, Path]:
    """Model files of a folder by name; checkpoints that fine-tuning left there are none.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX) and path.is_file())
    return {path.name.removesuffix(SUFFIX): path for path in files if not path.name.endswith(_CHECKPOINT)}
