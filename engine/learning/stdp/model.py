"""What STDP trains: filters, and a linear readout of their pooled spikes; its file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, ModelFileError
from ...files.archive import read_arrays
from ...files.atomic import atomic_write
from ...files.json_text import format_json
from .filters import StdpFilters, pooled
from .front import difference_of_gaussians, latencies, scaled

_FORMAT = "spikeunet stdp 1"
_REMEDY = "make it anew with `spikeunet train stdp`"
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
    """

    filters: StdpFilters
    readout: dict[str, NDArray[np.float64]]
    front: str = "contrast"
    least: float = 0.05
    inhibit: bool = True
    cells: int = 4
    facts: dict[str, Any] = field(default_factory=dict)

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
    filters = {"filters": model.filters.weights, "thresholds": model.filters.thresholds}
    with atomic_write(path) as stream:
        np.savez(stream, **arrays, **filters, **model.readout)  # type: ignore[arg-type]


def load_stdp_model(path: str | os.PathLike[str]) -> StdpModel:
    """Read what `save_stdp_model` wrote; ModelFileError where that cannot be done."""
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    if str(arrays.get("format", "")) != _FORMAT:
        raise ModelFileError(f"{path}: holds no filters and readout of stdp; {_REMEDY}")
    try:
        filters = StdpFilters(*(np.array(arrays[name], np.float64) for name in ("filters", "thresholds")))
        readout = {name: arrays[name] for name in _READOUT if name in arrays}
        model = StdpModel(filters, readout, **json.loads(str(arrays["settings"])))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: is damaged ({error}); {_REMEDY}") from None
    _check(path, model)
    return model


def _check(path: str | os.PathLike[str], model: StdpModel) -> None:
    """ModelFileError where arrays do not fit each other."""
    weights, readout = model.filters.weights, model.readout
    fits = (
        weights.ndim == 4
        and weights.shape[2] == weights.shape[3]
        and model.filters.thresholds.shape == weights.shape[:1]
    )
    if fits and readout:
        shapes = [readout[name].shape if name in readout else () for name in _READOUT]
        features = model.cells**2 * len(weights)
        fits = shapes[0] == shapes[1] == (features,) and shapes[2] == (*shapes[3], features)
    if not fits:
        raise ModelFileError(f"{path}: is damaged, its arrays do not fit each other; {_REMEDY}")
