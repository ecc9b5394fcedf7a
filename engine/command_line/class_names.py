"""Names of a model's classes, from a file or from the folders of labelled pictures."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError, first_few

MAXIMUM_BYTES = 2**24


def read_class_names(path: Path) -> list[str]:
    """Names of classes in the order of the outputs.

    Parameters
    ----------
    path : Path
        A text with a name on each line, a JSON list of names (.json), or a folder of labelled pictures: the names of
        its folders, sorted.

    Raises
    ------
    InputError
        If it is neither, a name is empty, or two are the same.
    OSError
        If it cannot be read.
    """
    names = _of_folders(path) if path.is_dir() else _of_json(path) if path.suffix.lower() == ".json" else _of_text(path)
    empty = [index for index, name in enumerate(names, 1) if not name]
    if empty or len(names) < 2:
        fault = f"name {empty[0]} is empty" if empty else f"has {len(names)} names"
        raise InputError(f"{path}: {fault}; give the names of at least two classes, one on each line")
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if doubled:
        raise InputError(f"{path}: has names of classes twice: {first_few(doubled)}; each class needs one of its own")
    return names


def _of_folders(folder: Path) -> list[str]:
    from ..datasets.class_folders import class_folders

    return list(class_folders(folder))


def _of_text(path: Path) -> list[str]:
    try:
        return [line.strip() for line in _content(path).decode("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text in UTF-8; give a name of a class on each line") from None


def _of_json(path: Path) -> list[str]:
    from ..files.json_text import parse_json

    try:
        found = parse_json(_content(path))
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: is not a JSON file ({reason})") from None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f'{path}: must hold a JSON list of names of classes, such as ["cat", "dog"]')
    return found


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAXIMUM_BYTES:
        raise InputError(f"{path}: has more than {MAXIMUM_BYTES} bytes, which are no names of classes")
    return path.read_bytes()
