"""The models that a server offers, by name; nobody who asks can name a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelFileError
from .refusals import RefusedError

TASKS = ("denoise", "derain", "segment")
AUTO = "auto"


@dataclass(frozen=True)
class Offer:
    """A model: its name, what the engine loads it by, its task, own number of steps, channels and description."""

    name: str
    source: str
    task: str
    steps: int
    channels: int
    description: str

    def as_json(self) -> dict[str, Any]:
        """What is said of it."""
        return {
            "name": self.name,
            "task": self.task,
            "steps": self.steps,
            "channels": self.channels,
            "description": self.description,
        }


@dataclass(frozen=True)
class Catalogue:
    """All models by name, whether `auto` may choose among those that come with the package, and which are damaged."""

    offers: Mapping[str, Offer]
    automatic: bool
    damaged: Sequence[str] = ()

    @property
    def tasks(self) -> list[str]:
        """Tasks that there is a model for."""
        return [task for task in TASKS if any(offer.task == task for offer in self.offers.values())]

    def names(self, task: str) -> list[str]:
        """Names of models for a task, the one to take where none is named first."""
        usual = _usual_models(task)
        names = sorted(name for name, offer in self.offers.items() if offer.task == task)
        found = [*(name for name in usual if name in names), *(name for name in names if name not in usual)]
        return [AUTO, *found] if task == "denoise" and self.automatic else found

    def model_for(self, task: str, name: str | None) -> str:
        """The name of the model to take; RefusedError where there is none of that name for the task."""
        names = self.names(task)
        if name is None:
            return names[0]
        if name not in names:
            raise RefusedError(f"there is no model {name!r} to {task}; there are {', '.join(names)}")
        return name

    def sources(self) -> dict[str, str]:
        """What the engine loads each model by."""
        return {name: offer.source for name, offer in self.offers.items()}


def _usual_models(task: str) -> tuple[str, ...]:
    """Names of the models that the command of a task takes where none is named."""
    from ..tasks import deraining, segmentation
    from ..tasks.denoising import DEFAULT_MODELS

    if task == "denoise":
        return DEFAULT_MODELS[1], DEFAULT_MODELS[3]
    return (deraining.DEFAULT_MODEL if task == "derain" else segmentation.DEFAULT_MODEL,)


def catalogue(models: Sequence[str] = ()) -> Catalogue:
    """What is offered: the models that are named, by name or file, else all that are found by name.

    Raises
    ------
    InputError
        If two have one name, or there is none for a task that the page has.
    ModelFileError
        If one that is named cannot be read.
    """
    from ..models import list_models

    named = [name for name in models if name != AUTO]
    offers, damaged = dict[str, Offer](), []
    for source in named or list_models():
        try:
            offer = _offer(source)
        except ModelFileError as error:
            if named:
                raise
            damaged.append(str(error))
            continue
        if offer.task not in TASKS:
            if named:
                raise InputError(f"{source}: is for {offer.task!r}; the page is for models that {' or '.join(TASKS)}")
            continue
        if offer.name in offers:
            raise InputError(f"{source}: there is another model of the name {offer.name!r}; rename the file")
        offers[offer.name] = offer
    if not offers:
        raise InputError("there are no models to offer; name some with --model")
    return Catalogue(offers, not models or AUTO in models, tuple(damaged))


def _offer(source: str) -> Offer:
    from ..models import shared_model
    from ..tasks.inference import recommended_steps, task_of

    network = shared_model(source)
    name = Path(source).name.removesuffix(".npz")
    text = str(network.metadata.get("description", ""))
    # Workers have a working folder of their own.
    place = str(Path(source).absolute()) if name != source else source
    return Offer(name, place, task_of(network), recommended_steps(network), network.input.channels, text)


@dataclass(frozen=True)
class Example:
    """A picture that comes with the package, and what it is good for."""

    name: str
    title: str
    file: str
    task: str
    model: str
    noise: float | None = None
    rain: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What is said of it."""
        return {
            "name": self.name,
            "title": self.title,
            "picture": f"/examples/{self.file}",
            "task": self.task,
            "model": self.model,
            "add-noise": self.noise,
            "add-rain": self.rain,
        }

    def read(self) -> bytes:
        """The file."""
        return (PICTURES / self.file).read_bytes()


PICTURES = Path(__file__).parent / "pictures"
EXAMPLES = {
    each.name: each
    for each in (
        Example("camera", "A photographer, gray", "camera.png", "denoise", AUTO, 25.0),
        Example("chelsea", "Chelsea the cat, colour", "chelsea.webp", "denoise", AUTO, 25.0),
        Example("rocket", "A rocket, in rain", "rocket.webp", "derain", "derain-small", rain="heavy"),
        Example("retina", "A retina and its vessels", "retina.webp", "segment", "segment-vessels"),
    )
}
"""Pictures in the public domain (CC0), the same as examples/pictures, whose ATTRIBUTION.md says whose they are."""


def examples_for(found: Catalogue) -> Iterator[Example]:
    """Examples whose task there is a model for."""
    return (example for example in EXAMPLES.values() if example.task in found.tasks)
