"""What STDP trains: filters, and a linear readout of their pooled spikes; its file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import as_array
from ...errors import InputError, ModelFileError
from ...files.archive import read_arrays
from ...files.atomic import atomic_write
from ...files.json_text import format_json, parse_json
from .filters import StdpFilters, pooled
from .front import difference_of_gaussians, latencies, scaled

_FORMAT = "spikeunet stdp 1"
_REMEDY = "make it anew with `spikeunet train stdp`"
FRONTS = ("contrast", "plain")
MOST_CELLS = 64
_FILTERS = ("filters", "thresholds")
_READOUT = ("mean", "deviation", "weight", "bias")


@dataclass(frozen=True, eq=False)
class StdpModel:
    """Filters behind a front end, sum pooling, and a linear readout.

    Parameters
    ----------
    filters : StdpFilters
    readout : dict of arrays
        mean and deviation (F,), weight (K, F) and bias (K,); empty before it has been fitted.
    front : "contrast" or "plain"
        Differences of Gaussians, or the values themselves, each picture over its largest value.
    least : float
        Values that are not above it never spike.
    inhibit : bool
        Whether the first spike at a place silences the other filters there.
    cells : int
        Cells along a side of the grid in which spikes are added up.
    facts : dict
        JSON values that the file keeps.

    Raises
    ------
    InputError
        If arrays do not fit each other or values are out of range.
    """

    filters: StdpFilters
    readout: dict[str, NDArray[np.float64]]
    front: str = "contrast"
    least: float = 0.05
    inhibit: bool = True
    cells: int = 4
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.front not in FRONTS:
            raise InputError(f"front must be one of {', '.join(FRONTS)} (got {self.front!r})")
        if type(self.cells) is not int or not 1 <= self.cells <= MOST_CELLS:
            raise InputError(f"cells must be a whole number from 1 to {MOST_CELLS} (got {self.cells!r})")
        if type(self.least) not in (int, float) or not 0 <= self.least < 1:
            raise InputError(f"least must be a number from 0 to below 1 (got {self.least!r})")
        if type(self.inhibit) is not bool or type(self.facts) is not dict:
            raise InputError(
                f"inhibit must be True or False, and facts a dict (got {self.inhibit!r} and "
                f"{type(self.facts).__name__})"
            )
        _check_filters(self.filters)
        _check_readout(self.readout, self.cells**2 * len(self.filters.weights))

    def times(self, pictures: NDArray[Any]) -> NDArray[np.float64]:
        """When the inputs of the filters spike, (N, C', H, W) for pictures (N, C, H, W)."""
        return front_times(pictures, self.front, self.least)

    def features(self, pictures: NDArray[Any]) -> NDArray[np.float64]:
        """(N, F): pooled spikes, F = cells cells J."""
        return pooled(self.filters.respond(self.times(pictures), self.inhibit)[0], self.cells)

    def scores(self, pictures: NDArray[Any]) -> NDArray[np.float64]:
        """(N, K) scores of the classes; InputError where no readout has been fitted."""
        if not self.readout:
            raise InputError("the readout must be fitted first; see `readout`")
        return read(self.readout, self.features(pictures))


def front_times(pictures: NDArray[Any], front: str, least: float) -> NDArray[np.float64]:
    """(N, C', H, W) times of pictures (N, C, H, W), behind differences of Gaussians or not."""
    values = difference_of_gaussians(pictures) if front == "contrast" else scaled(np.asarray(pictures, np.float64))
    return latencies(values, least)


def read(readout: dict[str, NDArray[np.float64]], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) scores of features (N, F)."""
    normal = (features - readout["mean"]) / readout["deviation"]
    return np.asarray(normal @ readout["weight"].T + readout["bias"])


def save_stdp_model(model: StdpModel, path: str | os.PathLike[str]) -> None:
    """Write a model into an NPZ file, completely or not at all."""
    settings = {name: getattr(model, name) for name in ("front", "least", "inhibit", "cells", "facts")}
    arrays = {"format": np.array(_FORMAT), "settings": np.array(format_json(settings))}
    filters = dict(zip(_FILTERS, (model.filters.weights, model.filters.thresholds), strict=True))
    with atomic_write(path) as stream:
        np.savez(stream, **arrays, **filters, **model.readout)  # type: ignore[arg-type]


def load_stdp_model(path: str | os.PathLike[str]) -> StdpModel:
    """Read what `save_stdp_model` wrote; ModelFileError where that cannot be done."""
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    if str(arrays.get("format", "")) != _FORMAT:
        raise ModelFileError(f"{path}: holds no filters and readout of stdp; {_REMEDY}")
    try:
        filters = StdpFilters(*(np.array(as_array(arrays[name], name), np.float64) for name in _FILTERS))
        readout = {name: arrays[name] for name in _READOUT if name in arrays}
        return StdpModel(filters, readout, **parse_json(str(arrays["settings"])))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ModelFileError(f"{path}: is damaged ({error}); {_REMEDY}") from None


def _check_filters(filters: StdpFilters) -> None:
    weights, thresholds = filters.weights, filters.thresholds
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3] or thresholds.shape != weights.shape[:1]:
        raise InputError(
            f"filters must be (J, C, side, side) with J thresholds (got shapes {weights.shape} and {thresholds.shape})"
        )
    if not (weights.size and np.isfinite(weights).all() and np.isfinite(thresholds).all()):
        raise InputError("filters and thresholds must be finite numbers, at least one (got others, or none)")


def _check_readout(readout: dict[str, NDArray[np.float64]], features: int) -> None:
    """InputError where a readout does not fit so many features; a class that was never seen has a bias of -inf."""
    if not readout:
        return
    missing = [name for name in _READOUT if name not in readout]
    if missing:
        raise InputError(f"a readout has {', '.join(_READOUT)} ({', '.join(missing)} missing)")
    mean, deviation, weight, bias = (as_array(readout[name], name) for name in _READOUT)
    shapes = (mean.shape, deviation.shape, weight.shape)
    if bias.ndim != 1 or shapes != ((features,), (features,), (len(bias), features)):
        raise InputError(f"a readout of {features} features has other shapes (got {shapes} and {bias.shape})")
    if not all(np.isfinite(each).all() for each in (mean, deviation, weight)) or not (bias < np.inf).all():
        raise InputError("a readout must be finite numbers (got others)")
    if not (deviation > 0).all():
        raise InputError("deviations of a readout must be above 0 (got others)")
