"""Trained models found by name: those that come with the package, and those in folders beside a checkout's code.

A name is looked for in the package, then in the folders that the environment variable SPIKEUNET_MODELS lists, then in
the folder `models` of the checkout that the package runs from, if it does.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import BinaryIO

from ..errors import ModelFileError
from ..files.model_file import read_model
from ..graph import Network
from .folders import SUFFIX, model_folders, models_in
from .kept_models import kept

__all__ = ["list_models", "load_model", "located", "model_digest", "model_origins", "shared_model"]


def list_models() -> tuple[str, ...]:
    """Names of all models that `load_model` finds by name, sorted.

    Raises
    ------
    ModelFileError
        If SPIKEUNET_MODELS names something that is no folder.
    """
    return tuple(sorted({*_packaged(), *_in_folders()}))


def model_origins() -> dict[str, str]:
    """Where each model of `list_models()` lies: "package", or its folder."""
    outside = {name: os.fspath(path.parent) for name, path in _in_folders().items()}
    return {**outside, **dict.fromkeys(_packaged(), "package")}


def load_model(name_or_path: str | os.PathLike[str] | BinaryIO) -> Network:
    """Load a network by the name of a model, or from a model file or a binary file object.

    Files that were read lately and have not changed since are not read again. Each call gives a network of its own.

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
    if hasattr(name_or_path, "read"):
        return read_model(name_or_path)
    network = shared_model(name_or_path)
    # Nodes cannot be changed, but lists inside of metadata can.
    return network.replace(metadata=copy.deepcopy(dict(network.metadata)))


def shared_model(name_or_path: str | os.PathLike[str]) -> Network:
    """`load_model` for readers: the same network for everybody, so that what is prepared for it is prepared once."""
    with located(name_or_path) as path:
        return kept(path, read_model)


def model_digest(name_or_path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file that `load_model` would read, in hexadecimal; ModelFileError where there is none."""
    with located(name_or_path) as path:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check the path") from None


@contextmanager
def located(name_or_path: str | os.PathLike[str]) -> Iterator[Path]:
    """The file that `load_model` would read, there for as long as the block lasts; a path need not exist."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ModelFileError(f"a model is given by name or path (got {name_or_path!r})")
    text = os.fspath(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(SUFFIX) or Path(text).name != text:
        yield Path(text)
        return
    with resources.as_file(_found(text)) as path:
        yield path


def _found(name: str) -> Traversable:
    packaged = _packaged()
    if name in packaged:
        return packaged[name]
    outside = _in_folders()
    if name not in outside and Path(name).is_file():
        raise ModelFileError(
            f"{name}: is no model file, which ends in {SUFFIX}; make one of a trained network by `spikeunet convert`"
        )
    if name not in outside:
        known = ", ".join(sorted({*packaged, *outside})) or "none"
        raise ModelFileError(f"no model is called {name!r}; there are: {known}; a path ends in {SUFFIX}")
    return outside[name]


def _packaged() -> Mapping[str, Traversable]:
    files = resources.files(__name__).iterdir()
    return {file.name.removesuffix(SUFFIX): file for file in files if file.name.endswith(SUFFIX)}


def _in_folders() -> dict[str, Path]:
    """Models outside the package; of two with the same name the one in the earlier folder."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        found = {**models_in(folder), **found}
    return found
