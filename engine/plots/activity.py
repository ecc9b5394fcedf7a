"""What neurons do over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .axes import axes_for, check_layer, step_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..simulation import Result

MOST_NEURONS = 80


def raster(result: Result, layer: str, neurons: Sequence[int] | None = None, picture: int = 0, ax: Any = None) -> Any:
    """Events of a layer's neurons over the steps, a dot each whose size is that of the event.

    Parameters
    ----------
    result : Result
        Of a run that recorded "spikes".
    layer : str
        Name of a Neurons node.
    neurons : sequence of int, optional
        Flat numbers of the neurons in (C, H, W); by default `MOST_NEURONS` of those that fire, evenly spread.
    picture : int
        Of a batch, which picture.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If "spikes" were not recorded, or the layer, a neuron or the picture is not there, or matplotlib is missing.
    """
    ax = axes_for(ax)
    check_layer(layer, result.spikes)
    emitted = _of_picture(result.spikes[layer], picture, 4).reshape(result.steps, -1)
    chosen = _some_active(emitted) if neurons is None else _checked(neurons, emitted.shape[1])
    steps, rows = np.nonzero(emitted[:, chosen])
    sizes = np.abs(emitted[:, chosen][steps, rows])
    ax.scatter(steps + 1, rows, s=4 + 16 * sizes / sizes.max(initial=1e-30), marker="|", linewidths=1)
    ax.set_ylabel(f"neurons of {layer}")
    ax.set_xlim(0.5, result.steps + 0.5)
    ax.set_ylim(-1, max(1, len(chosen)))
    step_ticks(ax)
    return ax


def _of_picture(array: NDArray[Any], picture: int, axes: int) -> NDArray[Any]:
    if array.ndim == axes:
        return array
    if not 0 <= picture < len(array):
        raise InputError(f"picture must be 0 to {len(array) - 1}, one of the batch (got {picture})")
    found: NDArray[Any] = array[picture]
    return found


def _some_active(emitted: NDArray[Any]) -> NDArray[np.int64]:
    fired = np.flatnonzero((emitted != 0).any(axis=0))
    places = np.linspace(0, max(0, len(fired) - 1), min(len(fired), MOST_NEURONS))
    return fired[np.rint(places).astype(np.int64)]


def _checked(neurons: Sequence[int], count: int) -> NDArray[np.int64]:
    numbers = np.asarray(neurons)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not len(numbers):
        raise InputError(f"neurons must be a list of whole numbers (got {neurons!r:.80})")
    if numbers.min() < 0 or numbers.max() >= count:
        raise InputError(f"neurons must be 0 to {count - 1}, those of the layer (got {neurons!r:.80})")
    return numbers.astype(np.int64)


def potentials(result: Result, layer: str, variable: str | None = None, picture: int = 0, ax: Any = None) -> Any:
    """A state variable of probed neurons after each step, a line for each neuron.

    Parameters
    ----------
    result : Result
        Of a run with `probes` that name the layer.
    layer : str
        Name of a Neurons node.
    variable : str, optional
        Of the neuron model's state; by default its first, the membrane potential.
    picture : int
        Of a batch, which picture.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If there are no traces of the layer or no such variable, or matplotlib is missing.
    """
    ax = axes_for(ax)
    check_layer(layer, result.traces)
    traces = result.traces[layer]
    name = next(iter(traces)) if variable is None else variable
    if name not in traces:
        raise InputError(f"the neurons of {layer} have no variable {name!r}; there are {', '.join(traces)}")
    values = _of_picture(traces[name], picture, 2)
    if values.ndim != 2:
        raise InputError(f"the traces of {layer} are of all its neurons; name those to plot with probes")
    for number, trace in enumerate(values.T):
        ax.plot(range(1, len(trace) + 1), trace, marker=".", label=f"neuron {number}")
    ax.set_ylabel(f"{name} of {layer}")
    ax.grid(alpha=0.3)
    step_ticks(ax)
    if values.shape[1] > 1:
        ax.legend()
    return ax


def activity(result: Result, layers: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Density, the share of the neurons that fire, over the steps: a line for each layer, or for all layers together.

    Parameters
    ----------
    result : Result
    layers : sequence of str, optional
        Names of Neurons nodes; by default one line of all neurons.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If a layer is not there, or matplotlib is missing.
    """
    ax = axes_for(ax)
    steps = range(1, result.steps + 1)
    if layers is None:
        fired = np.sum([np.asarray(events, np.float64) for events in result.events.values()], axis=0)
        ax.plot(steps, fired / max(1, sum(result.neurons.values())), marker=".", label="all layers")
    for name in layers or ():
        check_layer(name, result.events)
        ax.plot(steps, np.asarray(result.events[name], np.float64) / result.neurons[name], marker=".", label=name)
    ax.set_ylabel("events per neuron")
    ax.set_ylim(0, 1.1 * max((line.get_ydata().max() for line in ax.lines), default=1.0) or 1.0)
    ax.grid(alpha=0.3)
    step_ticks(ax)
    if layers is not None and len(layers) > 1:
        ax.legend()
    return ax
