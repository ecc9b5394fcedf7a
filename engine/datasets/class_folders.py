"""Labelled pictures as a folder for each class, which torchvision's ImageFolder and others have, too."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, first_few
from ..pictures.folders import existing_folder, pictures_in

Labelled = tuple[str, int, Path]
"""A picture: its name with its class's folder, the number of the class, its path."""


@dataclass(frozen=True)
class Classes:
    """The classes of a model: how many outputs it has, and their names, None where it does not name them."""

    count: int
    names: tuple[str, ...] | None = None


def class_folders(folder: Path) -> dict[str, Path]:
    """The folders of a folder by name, sorted; names as composed characters, as a Mac does not keep them.

    Raises
    ------
    InputError
        If there are none, or two have one name.
    OSError
        If there is no such folder.
    """
    found: dict[str, Path] = {}
    for path in sorted(existing_folder(folder, "folders of pictures, one for each class").iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        name = unicodedata.normalize("NFC", path.name)
        if name in found:
            raise InputError(f"{folder}: has two folders called {name}, spelt otherwise; put their pictures into one")
        found[name] = path
    if not found:
        raise InputError(
            f"{folder}: has no folders; a classifier's pictures lie in a folder for each class, called by its name"
        )
    return dict(sorted(found.items()))


def labelled_pictures(folder: Path, classes: Classes) -> list[Labelled]:
    """All pictures of the folders of classes.

    Parameters
    ----------
    folder : Path
    classes : Classes
        Of the model; where it does not name them, folders are called by the numbers of its outputs.

    Raises
    ------
    InputError
        If a folder is no class, two are one class, or one holds no pictures.
    OSError
        If there is no such folder.
    """
    labels: dict[int, Path] = {}
    for path, label in _numbered(folder, class_folders(folder), classes):
        if label in labels:
            raise InputError(
                f"{path}: is the same class {label} as {labels[label]}; put their pictures into one folder"
            )
        labels[label] = path
    return [(f"{path.name}/{each.name}", label, each) for label, path in labels.items() for each in pictures_in(path)]


def _numbered(folder: Path, folders: dict[str, Path], classes: Classes) -> list[tuple[Path, int]]:
    """Each folder with the number of its class."""
    count, names = classes.count, classes.names
    if names is not None:
        numbers = {unicodedata.normalize("NFC", name): index for index, name in enumerate(names)}
        strange = [name for name in folders if name not in numbers]
        remedy = f"the model knows {first_few(names)}; rename the folders, or name its classes by --classes"
    else:
        numbers = {name: int(name) for name in folders if name.isascii() and name.isdecimal() and int(name) < count}
        strange = [name for name in folders if name not in numbers]
        remedy = (
            f"the model does not name its {count} classes; call the folders 0 to {count - 1} by its outputs, or name "
            "the classes by --classes FILE (a FOLDER of such folders means its names, sorted)"
        )
    if strange:
        raise InputError(
            f"{folder}: {first_few(strange)} {'is no class' if len(strange) == 1 else 'are no classes'}: {remedy}"
        )
    return [(path, numbers[name]) for name, path in folders.items()]
