"""The trained models that come with the package, found by name."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import ModelFileError
from ..graph import Network
from ..model_file import read_model

__all__ = ["list_models", "load_model"]


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
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ModelFileError(f"a model is given by name or path (got {name_or_path!r})")
    text = os.fspath(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(".npz") or Path(text).name != text:
        return read_model(text)
    if text not in list_models():
        known = ", ".join(list_models()) or "none"
        raise ModelFileError(f"no model is called {text!r}; there are: {known}; a path ends in .npz")
    with resources.as_file(resources.files(__name__) / f"{text}.npz") as path:
        return read_model(path)
