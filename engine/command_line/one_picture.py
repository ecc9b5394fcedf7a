"""What the commands on pictures know of one call and of one picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .jobs import Job

if TYPE_CHECKING:
    from ..graph import Network
    from ..pictures.ranges import SampleRange
    from ..tasks.inference import Processed


@dataclass(frozen=True, eq=False)
class Model:
    """A network, the name it was asked for by, and its number of steps."""

    name: str
    network: Network
    steps: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Settings:
    """What the options of one call say, for all of its pictures.

    `model_for` gives the model for a picture of so many colour channels, 1 or 3. `sample_range` is black and white
    where they were named, `page` the one page to take of a series.
    """

    model_for: Callable[[int], Model]
    order: str
    threads: int | None
    tile: int | None = None
    kernels: str = "auto"
    sample_range: SampleRange | None = None
    page: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """A picture that was processed and written; subclasses say what came of it besides the counts.

    `sample_range` is black and white where they are others than the sample type's, `range_origin` what says so.
    `pages` is the number of pages of a series, whose counts are sums over them; `shape` is that of one page.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns that the task adds to the printed table."""

    averaged: ClassVar[tuple[str, ...]] = ()
    """Values of the task's own that the report gives the mean of."""

    job: Job
    model: Model
    shape: tuple[int, ...]
    dtype: str
    processed: Processed
    sample_range: SampleRange | None = None
    range_origin: str = ""
    pages: int | None = None

    @property
    def saved_as(self) -> str:
        """Sample type of the output where it differs from the input's, else nothing."""
        return ""

    def fields(self) -> list[tuple[str, str]]:
        """Lines that the task adds to what is printed about one picture."""
        return []

    def cells(self) -> list[str]:
        """The table's cells in `columns`."""
        return []

    @classmethod
    def mean_cells(cls, records: Any) -> list[str]:  # noqa: ARG003 - for subclasses
        """Means over all records in `columns`; nothing where the columns are to be left out."""
        return []

    def entry(self) -> dict[str, Any]:
        """What the task adds to the picture's entry in the report."""
        return {}
