"""What the commands on pictures know of one call and of one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .jobs import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..graph import Network
    from ..increments import Savings
    from ..pictures.picture_files import PictureFile
    from ..pictures.ranges import SampleRange
    from ..report import Frame
    from ..tasks.inference import Processed


@dataclass(frozen=True, eq=False)
class Model:
    """A network, the name it was asked for by, and its number of steps."""

    name: str
    network: Network
    steps: int

    @classmethod
    def of(cls, name: str, network: Network, steps: int | None) -> Model:
        """With the number of steps that was asked for, else the model's own."""
        from ..tasks.inference import recommended_steps

        return cls(name, network, recommended_steps(network) if steps is None else steps)


@dataclass(frozen=True, eq=False, kw_only=True)
class Settings:
    """What the options of one call say, for all of its pictures.

    `model_for` gives the model for a picture of so many colour channels, 1 or 3. `sample_range` is black and white
    where they were named, `page` the one page to take of a series, `watch` whether a report shows the run,
    `exact_increments` whether a series is run from page to page.
    """

    model_for: Callable[[int], Model]
    order: str
    threads: int | None
    tile: int | None = None
    kernels: str = "auto"
    sample_range: SampleRange | None = None
    page: int | None = None
    watch: bool = False
    exact_increments: bool = False


@dataclass(frozen=True, eq=False)
class Loaded:
    """A picture file that was read for a model that sees all of its channels together."""

    samples: NDArray[Any]
    limits: SampleRange
    file: PictureFile
    model: Model

    def options(self, settings: Settings) -> dict[str, Any]:
        """What the functions of the tasks take besides a picture and a network."""
        return {
            "steps": self.model.steps,
            "threads": settings.threads,
            "order": settings.order,
            "tile": settings.tile,
            "kernels": settings.kernels,
            "sample_range": self.limits,
            "watch": settings.watch,
        }

    def facts(self, job: Job) -> dict[str, Any]:
        """What every `Record` of it says, but for what came of it."""
        return file_facts(job, self.model, self.file)


def file_facts(job: Job, model: Model, file: PictureFile) -> dict[str, Any]:
    """What every `Record` of a file, or of a series that begins with this page, says but for what came of it."""
    return {
        "job": job,
        "model": model,
        "shape": file.samples.shape,
        "dtype": file.samples.dtype.name,
        "sample_range": file.sample_range,
        "range_origin": file.range_origin,
    }


def size_of(shape: tuple[int, ...]) -> str:
    """Height x width x channels of a picture, (H, W) or (H, W, C)."""
    return "x".join(map(str, (*shape[:2], *(shape[2:] or (1,)))))


def _is_stretched(network: Network, _samples: NDArray[Any]) -> bool:
    from ..pictures.preprocessing import stretches

    return stretches(network.metadata.get("preprocessing", ()))


def load_for(job: Job, settings: Settings, certain: Callable[[Network, NDArray[Any]], bool] = _is_stretched) -> Loaded:
    """Read the picture of a job and find its model; a warning where its range had to be assumed and is not `certain`.

    Raises
    ------
    SpikeunetError, OSError
        If the picture cannot be read.
    """
    from ..pictures.picture_files import warn_of
    from .series import loaded

    file = loaded(job.source, settings)
    model = settings.model_for(file.channels)
    warn_of(job.source, file, stretched=certain(model.network, file.samples))
    return Loaded(file.samples, file.limits, file, model)


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """A picture that was processed and written; subclasses say what came of it besides the counts.

    `sample_range` is black and white where they are others than the sample type's, `range_origin` what says so.
    `pages` is the number of pages of a series, whose counts are sums over them; `shape` is that of one page. `frames`
    has what each took, and `shown` the first one where a report shows it; `psnr_by_step` is that of a watched run;
    `savings` what exact increments have saved.
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
    frames: Sequence[Frame] = ()
    shown: Processed | None = None
    psnr_by_step: tuple[float, ...] = ()
    savings: Savings | None = None

    @property
    def pictures(self) -> int:
        """How many were given, however many views of them the network has seen."""
        return self.pages or 1

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
