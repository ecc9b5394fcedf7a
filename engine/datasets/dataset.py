"""Find a data set on disk: by name below a data folder, by name and folder, or as folders of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..pictures.folders import existing_folder, partner_of, pictures_in
from ..pictures.label_files import LABEL_SUFFIXES
from .class_folders import Classes, labelled_pictures
from .layouts import LAYOUTS, SPLITS, Arrangement, Layout, in_order, layout_named

_REFERENCES = {"denoise": "clean references", "segment": "label pictures"}


@dataclass(frozen=True)
class Example:
    """One picture of a data set with what belongs to it.

    Parameters
    ----------
    name : str
        File name of the picture.
    index : int
        Place among the pictures of the split.
    picture : Path
    reference : Path or None
        Clean picture or labels; None where the picture itself is clean.
    mask : Path or None
        Picture that is not 0 where scores are taken.
    label : int or None
        Class of the whole picture.
    """

    name: str
    index: int
    picture: Path
    reference: Path | None = None
    mask: Path | None = None
    label: int | None = None


@dataclass(frozen=True)
class Dataset:
    """Pictures to evaluate on or to train with.

    Parameters
    ----------
    name : str
    task : "denoise", "segment" or "classify"
    split : "test", "train" or "all"
    examples : tuple of Example
    void : int or None
        Label that does not count.
    """

    name: str
    task: str
    split: str
    examples: tuple[Example, ...]
    void: int | None = None


def find_dataset(
    text: str,
    task: str,
    data: Path | None = None,
    split: str = "test",
    void: int | None = None,
    classes: Classes | None = None,
) -> Dataset:
    """The data set that a text names, with its files found and matched.

    Parameters
    ----------
    text : str
        NAME, a known layout in the folder `data` (or its folder `denoise`); NAME=FOLDER, a known layout there;
        PICTURES:REFERENCES or PICTURES:REFERENCES:MASKS, folders whose files match by name; or, for denoising, the
        FOLDER of clean pictures, and for classification one that has a folder for each class.
    task : "denoise", "segment" or "classify"
        Of the model.
    data : Path or None
    split : "test", "train" or "all"
        Of the layouts that have splits.
    void : int or None
        Label that does not count, for layouts that say nothing about it.
    classes : Classes or None
        Of the model, for classification.

    Raises
    ------
    InputError
        If there is no such data set, it is for another task, or a picture has no partner.
    OSError
        If a folder is missing.
    """
    if split not in SPLITS:
        raise InputError(f"the split must be one of {', '.join(SPLITS)} (got {split!r})")
    if text in LAYOUTS:
        found = _known(text, _below(data, text), task, split)
    elif (named := split_name(text)) is not None:
        layout_named(named[0])
        found = _known(*named, task, split)
    elif task == "classify":
        found = _by_class(Path(text), classes)
    else:
        found = _own(text, task)
    return found if void is None or found.void is not None else replace(found, void=void)


def split_name(text: str) -> tuple[str, Path] | None:
    """Name and folder where a text is NAME=FOLDER; None for a folder that happens to have such a name."""
    match = re.fullmatch(r"(\w+)=(.+)", text)
    if match is None or (match[1] not in LAYOUTS and Path(text.split(":", 1)[0]).exists()):
        return None
    return match[1], Path(match[2])


def _below(data: Path | None, name: str) -> Path:
    if data is None:
        raise InputError(f"say where the data set {name} is: --data FOLDER that holds it, or {name}=FOLDER")
    existing_folder(data, "data sets")
    for folder in (data / name, data / "denoise" / name, data / name.upper()):
        if folder.is_dir():
            return folder
    raise InputError(f"{data}: holds no folder {name}; name it as {name}=FOLDER")


def _known(name: str, folder: Path, task: str, split: str) -> Dataset:
    layout = LAYOUTS[name]
    if layout.task != task:
        raise InputError(f"the data set {name} is for the task {layout.task!r}, the model for {task!r}; choose another")
    existing_folder(folder, f"the data set {name}")
    parts = layout.split_folders
    roots = [folder / parts[part] for part in parts if split in (part, "all")] if parts else [folder]
    arranged = [(_arrangement(layout, root), root) for root in roots]
    found = [(each, path) for each, root in arranged for path in _layout_pictures(layout, each, root, split)]
    if not found:
        raise InputError(f"{folder}: the data set {name} has no pictures in the split {split!r}; check the folder")
    examples = tuple(_layout_example(layout.task, each, index, path) for index, (each, path) in enumerate(found))
    return Dataset(name, task, split, examples, layout.void)


def _arrangement(layout: Layout, root: Path) -> Arrangement:
    """The one whose pictures are there, or the first, of which then something is missing."""
    there = [each for each in layout.arrangements if (root / each.pictures).is_dir()]
    if len(there) > 1:
        names = " and ".join(each.pictures for each in there)
        raise InputError(f"{root}: has the folders {names}, either of which may hold the pictures; move one away")
    return there[0] if there else layout.arrangements[0]


def _layout_pictures(layout: Layout, arrangement: Arrangement, root: Path, split: str) -> list[Path]:
    paths = in_order(layout, pictures_in(existing_folder(root / arrangement.pictures, "pictures")))
    if layout.is_test is None or split == "all":
        return paths
    return [path for index, path in enumerate(paths) if layout.is_test(index, path) == (split == "test")]


def _layout_example(task: str, arrangement: Arrangement, index: int, picture: Path) -> Example:
    root = picture.parent if arrangement.pictures == "." else picture.parent.parent
    reference = _partner(picture, root, arrangement.references, _REFERENCES[task], arrangement.reference_name)
    mask = _partner(picture, root, arrangement.masks, "masks", arrangement.mask_name)
    return Example(picture.name, index, picture, reference, mask)


def _partner(picture: Path, root: Path, folder: str | None, what: str, name: str | None) -> Path | None:
    if folder is None:
        return None
    number = re.match(r"\d*", picture.stem)
    stem = name and name.format(stem=picture.stem, number=number[0] if number else "")
    return partner_of(picture, existing_folder(root / folder, what), what, stem, LABEL_SUFFIXES)


def _by_class(folder: Path, classes: Classes | None) -> Dataset:
    if classes is None:
        raise InputError(f"{folder}: say which classes there are, to tell pictures of classes apart (classes=)")
    pictures = labelled_pictures(folder, classes)
    examples = (Example(name, index, path, label=label) for index, (name, label, path) in enumerate(pictures))
    return Dataset(str(folder), "classify", "all", tuple(examples))


def _own(text: str, task: str) -> Dataset:
    folders = [Path(part) for part in text.split(":")]
    if len(folders) > 3 or not all(text.split(":")):
        raise InputError(f"a data set is NAME, NAME=FOLDER, PICTURES:REFERENCES[:MASKS] or FOLDER (got {text!r})")
    if len(folders) == 1:
        _check_lone(text, folders[0], task)
    whats = ("pictures", _REFERENCES[task], "masks")
    also = LABEL_SUFFIXES if task == "segment" else ()
    for folder, what in zip(folders, whats, strict=False):
        existing_folder(folder, what)
    examples = []
    for index, path in enumerate(pictures_in(folders[0])):
        partners = [partner_of(path, *pair, None, also) for pair in zip(folders[1:], whats[1:], strict=False)]
        reference, mask = (*partners, None, None)[:2]
        examples.append(Example(path.name, index, path, reference, mask))
    return Dataset(str(folders[0]), task, "all", tuple(examples))


def _check_lone(text: str, folder: Path, task: str) -> None:
    if not folder.exists():
        raise InputError(f"no data set and no folder is called {text!r}; known are {', '.join(LAYOUTS)}")
    if task == "segment":
        raise InputError(f"{text}: segmentation needs label pictures; give PICTURES:LABELS, two folders")
