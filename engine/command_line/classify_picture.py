"""Classify one picture file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from .jobs import Job
from .one_picture import Record, Settings, load_for

if TYPE_CHECKING:
    from ..tasks.classification import Classified


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassifySettings(Settings):
    """Settings with the number of classes to show of each picture."""

    top: int


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassifiedRecord(Record):
    """A picture that was classified."""

    columns: ClassVar[tuple[str, ...]] = ("class", "probability", "score")
    averaged: ClassVar[tuple[str, ...]] = ("probability",)

    processed: Classified
    top: int

    def fields(self) -> list[tuple[str, str]]:
        """The classes with the largest scores, a line each, and what was done to the picture first."""
        found = [
            ("class" if not place else "", f"{name} ({probability:.1%}, score {score:.4g})")
            for place, (name, probability, score) in enumerate(self.processed.top(self.top))
        ]
        return [*_preprocessing(self), *found]

    def cells(self) -> list[str]:
        """The class with the largest score."""
        ((name, probability, score),) = self.processed.top(1)
        return [name, f"{probability:.4f}", f"{score:.4g}"]

    @classmethod
    def mean_cells(cls, records: Sequence[ClassifiedRecord]) -> list[str]:
        """Mean probability."""
        return ["", f"{fmean(record.processed.top(1)[0][1] for record in records):.4f}", ""]

    def entry(self) -> dict[str, Any]:
        """The class, its probability, and the classes with the largest scores."""
        names = ("class", "probability", "score")
        found = [dict(zip(names, each, strict=True)) for each in self.processed.top(self.top)]
        size = {"seen_height": self.processed.size[0], "seen_width": self.processed.size[1]}
        return {**size, "label": self.processed.label, **found[0], "top": found}


def classify_file(job: Job, settings: ClassifySettings) -> ClassifiedRecord:
    """Read and classify one picture.

    Raises
    ------
    SpikeunetError, OSError
        If the picture cannot be read or does not suit the model.
    """
    from ..tasks.classification import classify, has_certain_range

    loaded = load_for(job, settings, has_certain_range)
    classified = classify(loaded.samples, loaded.model.network, **loaded.options(settings))
    return ClassifiedRecord(**loaded.facts(job), processed=classified, top=settings.top)


def _preprocessing(record: ClassifiedRecord) -> list[tuple[str, str]]:
    """What the network saw of the picture."""
    from .console import step_text

    steps = record.model.network.metadata.get("preprocessing", ())
    size = "x".join(map(str, record.processed.size))
    return [("seen as", ", ".join([*map(step_text, steps), size]))]
