"""The layouts that are known by name: where pictures and references lie, how they are split, what the classes are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError

SPLITS = ("test", "train", "all")

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Arrangement:
    """Folders of pictures and of what belongs to them, and how a file there is called.

    Parameters
    ----------
    pictures, references, masks : str or None
        Folders below the data set's, or below each split's where the splits have folders of their own.
    reference_name, mask_name : str or None
        Name without suffix, in which {stem} is the picture's and {number} what that begins with; None where it has the
        picture's name.
    """

    pictures: str
    references: str | None = None
    masks: str | None = None
    reference_name: str | None = None
    mask_name: str | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set lies in its folder.

    Parameters
    ----------
    task : "denoise" or "segment"
    description : str
    pictures, references, masks : str or None
        Folders below the data set's, or below each split's where the splits have folders of their own. Without
        references the pictures are clean ones, which noise is added to.
    distributed : Arrangement or None
        How its makers distribute it, where that is different.
    split_folders : dict of str to str
        Folder of each split, where they have some.
    is_test : function of an index and a path, or None
        Whether a picture, by its place in the order of names, is for testing; None where all are.
    classes : tuple of str
    palette : tuple of (red, green, blue)
    void : int or None
        Label that does not count.
    preprocessing : tuple of mapping
        What to do to the pictures before a network, for models yet to be made; a model's metadata has its own.
    """

    task: str
    description: str
    pictures: str = "."
    references: str | None = None
    masks: str | None = None
    distributed: Arrangement | None = None
    split_folders: Mapping[str, str] = field(default_factory=dict)
    is_test: Callable[[int, Path], bool] | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[Color, ...] = ()
    void: int | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()

    @property
    def arrangements(self) -> tuple[Arrangement, ...]:
        """Every way in which its files may lie."""
        own = Arrangement(self.pictures, self.references, self.masks)
        return (own,) if self.distributed is None else (own, self.distributed)

    def metadata(self) -> dict[str, Any]:
        """What a model for this data set has in its metadata besides the task, as JSON values."""
        facts = {
            "classes": list(self.classes),
            "palette": [list(color) for color in self.palette],
            "preprocessing": [dict(step) for step in self.preprocessing],
        }
        return {name: value for name, value in facts.items() if value}


def _number(path: Path) -> int:
    if not path.stem.isdecimal():
        raise InputError(f"{path}: pictures of this data set are called by their numbers, as 24.png; rename it")
    return int(path.stem)


def in_order(layout: Layout, paths: Sequence[Path]) -> list[Path]:
    """Paths in the order that splits and indices refer to: by number where all names are numbers, else by name."""
    numbered = layout.is_test is _late_slice or all(path.stem.isdecimal() for path in paths)
    return sorted(paths, key=_number) if numbered and layout.task == "segment" else sorted(paths)


def _late_slice(_index: int, path: Path) -> bool:
    return _number(path) >= 24


def _every_fifth(index: int, _path: Path) -> bool:
    return index % 5 == 4


_BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))

_STREET = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (0, 0, 192),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
"""The eleven classes of CamVid in the order of Badrinarayanan et al., SegNet (arXiv 1511.00561), with its colours."""

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "set12": Layout("denoise", "12 gray pictures, 256x256 and 512x512"),
        "bsd68": Layout("denoise", "68 gray pictures of the Berkeley segmentation data set, 481x321"),
        "cbsd68": Layout("denoise", "the same 68 pictures in colour"),
        "em": Layout(
            "segment",
            "ISBI 2012: 30 slices of an electron-microscope stack, cells and membranes; slices 24 to 29 for testing",
            pictures="image",
            references="label",
            is_test=_late_slice,
            classes=("membrane", "cell"),
            palette=_BLACK_AND_WHITE,
        ),
        "drive": Layout(
            "segment",
            "40 retinal photographs, vessels, scored in the field of view; the official split",
            pictures="image",
            references="label",
            masks="mask",
            # As 21_training.tif, 21_manual1.gif (the first observer's, whom papers score by) and 21_training_mask.gif.
            distributed=Arrangement("images", "1st_manual", "mask", "{number}_manual1", "{stem}_mask"),
            split_folders={"train": "training", "test": "test"},
            classes=("background", "vessel"),
            palette=_BLACK_AND_WHITE,
            # Gray, CLAHE with clip limit 2 of 256 bins, and "gamma 1.2", which brightens: the exponent is 1 / 1.2.
            preprocessing=(
                {"name": "rgb2gray"},
                {"name": "equalize_adapthist", "clip_limit": 2 / 256},
                {"name": "adjust_gamma", "gamma": 1 / 1.2},
            ),
        ),
        "camseq01": Layout(
            "segment",
            "101 street scenes of one sequence, 11 classes; every fifth frame is for testing",
            pictures="image",
            references="label",
            is_test=_every_fifth,
            classes=tuple(_STREET),
            palette=tuple(_STREET.values()),
            void=11,
        ),
    }
)
"""Known layouts by name."""


def layout_named(name: str) -> Layout:
    """The layout called `name`; InputError where there is none."""
    if name not in LAYOUTS:
        raise InputError(f"no data set is called {name!r}; there are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
