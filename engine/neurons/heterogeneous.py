"""Neurons of one model whose parameters differ from channel to channel, or from neuron to neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NeuronError
from ..lazy import lazy_property
from .firing import LadderModel
from .levels import initial_state, level_table
from .registry import EXAMPLE_INPUTS, Registration, registration_of
from .stepped import NeuronModel, SteppedModel

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Heterogeneous:
    """Neurons of one registered model, some parameters of which are arrays: one number for each channel or neuron.

    Everything else is as the model has it. What it computes from its parameters (a decay from a time constant) it
    computes for each neuron, and it refuses what it would refuse of any of them.

    Parameters
    ----------
    model : neuron model
        A registered one; its other parameters are the same for all neurons.
    parameters : mapping of str to array_like
        By field of the model, its values: (C,) for the C channels of a layer, or (C, H, W) for all of its neurons.
        Numbers with a point are taken as float64, whole numbers as int64.

    Raises
    ------
    NeuronError
        If the model is a ladder of thresholds or not registered; if a field is unknown, no number or `seed`; if a value
        is none that the model takes; if an array has another shape, NaN or infinities; or if the value of a spike would
        differ between neurons.

    Notes
    -----
    Perez-Nieves et al., Neural heterogeneity promotes robust learning, Nature Communications 12, 2021.
    """

    model: NeuronModel
    parameters: Mapping[str, ArrayLike]

    def __post_init__(self) -> None:
        if isinstance(self.model, (LadderModel, Heterogeneous)) or not isinstance(self.model, SteppedModel):
            raise NeuronError(
                f"Heterogeneous: needs a registered neuron model such as Lapicque() (got {self.model!r:.80}), because "
                "all neurons of a ladder of thresholds are alike"
            )
        registration_of(self.model)
        arrays = {name: _checked(self.model, name, value) for name, value in dict(self.parameters).items()}
        if not arrays:
            raise NeuronError("Heterogeneous: parameters names none; give an array for at least one")
        object.__setattr__(self, "parameters", MappingProxyType(arrays))
        self._check_shapes()
        self._check_levels()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heterogeneous) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        parts = [
            f"{name!r}: {'x'.join(map(str, array.shape))} from {array.min():g} to {array.max():g}"
            for name, array in self._arrays.items()
        ]
        return f"Heterogeneous({self.model!r}, {{{', '.join(parts)}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Heterogeneous, (self.model, dict(self.parameters))

    @property
    def _arrays(self) -> Mapping[str, Array]:
        return self.parameters  # type: ignore[return-value]

    @property
    def _key(self) -> tuple[Any, ...]:
        arrays = sorted(self._arrays.items())
        return self.model, *((name, array.shape, str(array.dtype), array.tobytes()) for name, array in arrays)

    # --- What a neuron model says ------------------------------------------------------------------------------------

    @property
    def initial(self) -> float:
        """Of the model; `initial` among the parameters says it for each neuron."""
        return self.model.initial

    def state(self) -> Mapping[str, float]:
        """Of the model, likewise."""
        return self._stepped.state()

    def levels(self) -> Sequence[float]:
        """The same for all neurons."""
        return self.distinct[0].levels()

    def spikes(self) -> Sequence[int]:
        """The same for all neurons."""
        return _spikes(self.distinct[0])

    @property
    def step(self) -> Any:
        """Of the model."""
        return self._stepped.step

    @property
    def conserves_charge(self) -> bool:
        """Whether all neurons do."""
        return all(getattr(each, "conserves_charge", False) for each in self.distinct)

    @property
    def rests(self) -> bool:
        """Whether all neurons do."""
        return all(getattr(each, "rests", True) for each in self.distinct)

    @property
    def event_driven(self) -> bool:
        """Whether all neurons are."""
        return all(getattr(each, "event_driven", False) for each in self.distinct)

    @property
    def seed(self) -> int:
        """Of the random numbers, where the model draws some: of the whole layer."""
        return int(getattr(self.model, "seed", 0))

    @property
    def _stepped(self) -> SteppedModel:
        assert isinstance(self.model, SteppedModel)
        return self.model

    # --- Neuron by neuron --------------------------------------------------------------------------------------------

    @lazy_property
    def shape(self) -> tuple[int, ...]:
        """(C,), or (C, H, W) where a parameter has a value for each neuron."""
        return max((array.shape for array in self._arrays.values()), key=len)

    def fits(self, shape: tuple[int, int, int]) -> bool:
        """Whether there is a number for each channel, or each neuron, of a layer of the shape (C, H, W)."""
        return self.shape == shape[: len(self.shape)]

    @lazy_property
    def distinct(self) -> tuple[SteppedModel, ...]:
        """Models of neurons of which each differs from the others."""
        return self._models_and_places[0]

    @lazy_property
    def _models_and_places(self) -> tuple[tuple[SteppedModel, ...], NDArray[np.intp]]:
        """The distinct models, and which of them each channel or neuron is: an array of the shape `shape`."""
        places, names = np.zeros(self.shape, np.intp), list(self._arrays)
        for array in self._arrays.values():
            values, inverse = np.unique(array, return_inverse=True)
            wide = inverse.reshape(*array.shape, *[1] * (len(self.shape) - array.ndim))
            _, flat = np.unique(places * values.size + wide, return_inverse=True)
            places = flat.reshape(self.shape)
        _, first = np.unique(places, return_index=True)
        models = tuple(self._made(dict(zip(names, row, strict=True))) for row in self._rows(names, first))
        return models, places

    def _rows(self, names: Sequence[str], flat: Array) -> Iterator[tuple[Any, ...]]:
        """The values of some parameters for neurons with these numbers."""
        indices = np.unravel_index(flat, self.shape)
        columns = [self._arrays[name][indices[: self._arrays[name].ndim]].tolist() for name in names]
        return zip(*columns, strict=True)

    def _made(self, values: Mapping[str, Any]) -> SteppedModel:
        made: SteppedModel = replace(self.model, **values)  # type: ignore[type-var, assignment]
        return made

    def models(self, shape: tuple[int, ...]) -> NDArray[np.object_]:
        """The model of each neuron of a layer of the shape (C, H, W)."""
        distinct, places = self._models_and_places
        models = np.empty(len(distinct), object)
        models[:] = distinct
        wide = places.reshape(*places.shape, *[1] * (len(shape) - places.ndim))
        return np.broadcast_to(models[wide], shape)

    def arguments(self, given: Mapping[str, Any] = EXAMPLE_INPUTS) -> tuple[Any, ...]:
        """The step's parameters: each a number, or an array of the shape `shape` where neurons differ."""
        registration, (distinct, places) = registration_of(self._stepped), self._models_and_places
        rows = [registration.arguments(model, given) for model in distinct]
        return tuple(_spread(column, places) for column in zip(*rows, strict=True))

    def initial_states(self) -> tuple[Any, ...]:
        """Each state variable before the first step, likewise."""
        distinct, places = self._models_and_places
        rows = [tuple(initial_state(model).values()) for model in distinct]
        return tuple(_spread(column, places) for column in zip(*rows, strict=True))

    # --- Checks ------------------------------------------------------------------------------------------------------

    def _check_shapes(self) -> None:
        for name, array in self._arrays.items():
            if array.shape != self.shape[: array.ndim]:
                raise NeuronError(
                    f"Heterogeneous.{name}: has the shape {array.shape}, another parameter {self.shape}; they must be "
                    "of one layer"
                )

    def _check_levels(self) -> None:
        registration = registration_of(self._stepped)
        for model in self.distinct:
            registration.arguments(model)
            initial_state(model)
            if list(model.levels()) != list(self.levels()) or list(_spikes(model)) != list(self.spikes()):
                raise NeuronError(
                    f"Heterogeneous: the value of a spike would differ between neurons, {list(model.levels())[:4]} "
                    f"and {list(self.levels())[:4]}; all neurons of a layer emit the same"
                )


def _spikes(model: SteppedModel) -> Sequence[int]:
    found = getattr(model, "spikes", None)
    return [0, *[1] * (len(model.levels()) - 1)] if found is None else found()


def _spread(column: Sequence[Any], places: NDArray[np.intp]) -> Any:
    """A value where all are the same, otherwise an array of each place's value."""
    first = column[0]
    if all(value == first for value in column):
        return first
    kind = {bool: np.bool_, int: np.int64}.get(type(first), np.float64)
    return np.array(column, kind)[places]


def _checked(model: Any, name: str, value: ArrayLike) -> Array:
    """An array of a field's values, read-only; NeuronError where it cannot be one."""
    owner, known = type(model).__name__, {field.name for field in fields(model) if field.init}
    if name == "seed":
        raise NeuronError("Heterogeneous.seed: is that of the whole layer, whose neurons draw unlike numbers anyway")
    if name not in known:
        raise NeuronError(f"Heterogeneous: {owner} has no parameter {name!r}; it has {', '.join(sorted(known))}")
    kind = type(getattr(model, name))
    if not issubclass(kind, (bool, int, float, np.number, np.bool_)):
        raise NeuronError(
            f"Heterogeneous.{name}: is no number in {owner} but {kind.__name__}, the same for all neurons"
        )
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        array = np.zeros(0)
    wanted = "b" if issubclass(kind, (bool, np.bool_)) else "fiu"
    if array.dtype.kind not in wanted:
        raise NeuronError(f"Heterogeneous.{name}: must be an array of {kind.__name__} (got {array.dtype})")
    return _of_layer(name, array)


def _of_layer(name: str, array: Array) -> Array:
    if array.ndim == 3 and array.shape[1:] == (1, 1):
        array = array[:, 0, 0]
    if array.ndim not in (1, 3) or not array.size:
        raise NeuronError(
            f"Heterogeneous.{name}: must have the shape (C,), a number for each channel, or (C, H, W), one for each "
            f"neuron (got {array.shape})"
        )
    kind = {"b": np.bool_, "f": np.float64}.get(array.dtype.kind, np.int64)
    array = array.astype(kind)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise NeuronError(f"Heterogeneous.{name}: must hold finite numbers (got {array[place]} at {place})")
    array.flags.writeable = False
    return array


def registration_behind(model: NeuronModel) -> Registration:
    """The registration of a registered model, or of the one that all of its neurons follow."""
    each = model.model if isinstance(model, Heterogeneous) else model
    assert isinstance(each, SteppedModel)
    return registration_of(each)


def check_model(model: NeuronModel) -> None:
    """NeuronError where a model cannot be run: a step that is not registered, or parameters that make no sense."""
    if isinstance(model, SteppedModel) and not isinstance(model, (LadderModel, Heterogeneous)):
        registration_of(model).arguments(model)
    level_table(model)
    initial_state(model)
