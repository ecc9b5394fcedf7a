"""The trained models that come with the package, found by name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from ..errors import ModelFileError
from ..files.model_file import read_model
from ..graph import Network

__all__ = ["list_models", "load_model", "model_digest"]


def list_models() -> tuple[str, ...]:
    """Names of the models that come with the package, sorted; `load_model` takes them."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(".npz") for file in files if file.name.endswith(".npz")))


def load_model(name_or_path: str | os.PathLike[str]) -> Network:
    """Load a network by the name of a model that comes with the package, or from a model file.

    Parameters
    ----------
    name_or_path : str or path-like
        A name out of `list_models()`, or the path of a file that `save_model` wrote. A string is a path when it ends
        in ".npz" or has a folder in it.

    Raises
    ------
    ModelFileError
        If there is no model of that name, or the file cannot be read.
    """
    with _located(name_or_path) as path:
        return read_model(path)


def model_digest(name_or_path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file that `load_model` would read, in hexadecimal; ModelFileError where there is none."""
    with _located(name_or_path) as path:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check the path") from None


@contextmanager
def _located(name_or_path: str | os.PathLike[str]) -> Iterator[Path]:
    """The file of a model that comes with the package, or the path itself."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ModelFileError(f"a model is given by name or path (got {name_or_path!r})")
    text = os.fspath(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(".npz") or Path(text).name != text:
        yield Path(text)
        return
    if text not in list_models():
        known = ", ".join(list_models()) or "none"
        raise ModelFileError(f"no model is called {text!r}; there are: {known}; a path ends in .npz")
    with resources.as_file(resources.files(__name__) / f"{text}.npz") as path:
        yield path
