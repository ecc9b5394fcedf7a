"""Weights and thresholds of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, first_few
from ..graph import Weighted
from ..neurons import level_table
from .axes import axes_for, bar_height, check_plots

if TYPE_CHECKING:
    from ..graph import Network

MOST_FILTERS = 64


def normalization(before: Network, after: Network, ax: Any = None) -> Any:
    """Spread of the weights of each layer before and after normalisation: median and 1st to 99th percentile of sizes.

    Parameters
    ----------
    before, after : Network
        Of the same layers: what was converted without and with normalisation, or any two versions of a network.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If the networks share no layer with weights, or matplotlib is missing.
    """
    weights = [name for name in _weights(before) if name in _weights(after)]
    if not weights:
        raise InputError("the two networks share no layer with weights")
    ax = axes_for(ax, (6.4, bar_height(weights, 2)))
    for number, (network, label) in enumerate(((before, "before"), (after, "after"))):
        found = _weights(network)
        low, middle, high = np.array([_spread(np.abs(found[name])) for name in weights]).T
        places = np.arange(len(weights)) - 0.17 + 0.34 * number
        ax.errorbar(middle, places, xerr=(middle - low, high - middle), fmt="o", markersize=4, label=label)
    ax.set_yticks(range(len(weights)), weights)
    ax.set_ylim(len(weights) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.set_xlabel("size of the weights that are not 0: median, 1st to 99th percentile")
    ax.grid(axis="x", alpha=0.3)
    ax.legend()
    return ax


def _spread(sizes: NDArray[Any]) -> tuple[float, float, float]:
    """1st, 50th and 99th percentile; on a logarithmic scale 0 has no place, so of weights that are not 0."""
    low, middle, high = np.percentile(sizes[sizes > 0] if sizes.any() else np.ones(1), (1, 50, 99))
    return float(low), float(middle), float(high)


def _weights(network: Network) -> dict[str, NDArray[Any]]:
    return {
        node.name: np.asarray(node.weight) for node in network.nodes if isinstance(node, Weighted) and node.weight.size
    }


def thresholds(network: Network, ax: Any = None) -> Any:
    """Values that the neurons of each layer can emit, as activations of the network that was converted.

    A layer's thresholds are times the factor that normalisation divided its activations by (`Network.normalization`), 1
    for a network that was not converted: what they were before normalisation, beside what they are.

    Parameters
    ----------
    network : Network
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If the network has no neurons, or matplotlib is missing.
    """
    layers = list(network.neurons)
    if not layers:
        raise InputError("the network has no neurons, and so no thresholds")
    names = [node.name for node in layers]
    ax = axes_for(ax, (6.4, bar_height(names, 2)))
    for number, label in enumerate(("before normalisation", "after")):
        values, places = [], []
        for at, node in enumerate(layers):
            scale = 1.0 if number else network.normalization.get(node.name, 1.0)
            emitted = level_table(node.model).values
            values += [scale * value for value in emitted]
            places += [at - 0.17 + 0.34 * number] * len(emitted)
        ax.scatter(values, places, marker="|", s=60, label=label, color=f"C{number}")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    if all(value > 0 for node in layers for value in level_table(node.model).values):
        ax.set_xscale("log")
    ax.set_xlabel("value that crossing a threshold emits")
    ax.grid(axis="x", alpha=0.3)
    ax.legend()
    return ax


def filters(network: Network, node: str, ax: Any = None) -> Any:
    """The first `MOST_FILTERS` filters of a convolution side by side, each with the means over its input channels.

    Parameters
    ----------
    network : Network
    node : str
        Name of a node whose weights are (outputs, inputs, height, width), such as a Conv2d.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    InputError
        If the node has no such weights, or matplotlib is missing.
    """
    check_plots()
    known = {name: array for name, array in _weights(network).items() if array.ndim == 4}
    if node not in known:
        raise InputError(f"filters can be drawn of {first_few(known) or 'no layer'} (got {node!r})")
    kernels = known[node][:MOST_FILTERS].astype(np.float64).mean(axis=1)
    columns = int(np.ceil(np.sqrt(len(kernels))))
    ax = axes_for(ax, (4.8, 4.4))
    sheet = _sheet(kernels, columns)
    largest = float(np.nanmax(np.abs(sheet)) or 1.0)
    picture = ax.imshow(sheet, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    ax.figure.colorbar(picture, ax=ax, label="weight, mean over input channels", shrink=0.8)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"{len(kernels)} of {len(known[node])} filters of {node}")
    return ax


def _sheet(kernels: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Filters (n, height, width) in rows, a pixel without a value between them."""
    count, height, width = kernels.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, kernel in enumerate(kernels):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        sheet[top : top + height, left : left + width] = kernel
    return sheet
