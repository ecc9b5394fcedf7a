"""Where a converted network loses quality: each layer's rates beside the activations of the analog form (ANN).

The analog form is the same network with a ReLU (or nothing, where neurons are signed) for every neuron: `forward`. Its
weights are those of the model, so its activations are in units of the thresholds, as rates are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dense import evaluate, forward
from .errors import GraphError, InputError
from .graph import Network, Neurons
from .neurons import analog_activation, conserves_charge, initial_state, level_table, mean_emission
from .pictures.fitting import fitted
from .simulation import Result, simulate

Array = NDArray[Any]

LARGEST_SIDE = 128
"""Pixels of a picture's side; of larger ones the middle is taken, where the network's shapes allow it."""

GOOD = 0.01
"""Relative error of the output below which nothing needs to be changed."""


@dataclass(frozen=True)
class LayerDiagnosis:
    """A layer of neurons, over all pictures.

    Parameters
    ----------
    name : str
        Of the Neurons node.
    neurons : int
        In all pictures together.
    activation : float
        Root mean square of the ANN's activations, in units of the thresholds.
    error : float
        Root mean square of rate - activation, divided by `activation`; the rate is what is emitted in a step, on
        average.
    own_error : float
        The same of rate - f(mean input), f what the neurons stand for: what this layer adds to the errors that it is
        given. Where neurons leak or reset to zero, which does not tell their input: what they emit of the ANN's
        current, minus the activation.
    cut_off : float
        Share of own_error squared that neurons have that emit all they can at every step.
    saturated : float
        Share of such neurons.
    silent : float
        Of the neurons with an activation above 0 in the ANN (other than 0, where they are signed), the share that never
        fires.
    effect : float
        How far the output of the ANN is off, relative to itself, where this layer alone adds its errors.
    residual : float
        Mean size of what the potential has more or less than at the beginning, in smallest thresholds, of neurons with
        such an activation.
    """

    name: str
    neurons: int
    activation: float
    error: float
    own_error: float
    cut_off: float
    saturated: float
    silent: float
    residual: float
    effect: float


@dataclass(frozen=True)
class Diagnosis:
    """Layers in topological order, and the output.

    Parameters
    ----------
    steps : int
    pictures : int
    layers : tuple of LayerDiagnosis
    error : float
        Of the output: root mean square of the difference to the ANN's, divided by that of the ANN's.
    accumulates_per_pixel : float
    advice : tuple of str
        What to change, the most promising first.
    """

    steps: int
    pictures: int
    layers: tuple[LayerDiagnosis, ...]
    error: float
    accumulates_per_pixel: float
    advice: tuple[str, ...] = field(default=())

    @property
    def worst(self) -> LayerDiagnosis:
        """The layer that loses most: whose own errors the output feels most."""
        return max(self.layers, key=lambda layer: layer.effect)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "layers": [asdict(layer) for layer in self.layers], "worst": self.worst.name}


@dataclass
class _Sums:
    """What is added up over pictures, of one layer."""

    neurons: int = 0
    activation: float = 0.0
    error: float = 0.0
    own: float = 0.0
    cut_off: float = 0.0
    saturated: int = 0
    active: int = 0
    silent: int = 0
    residual: float = 0.0
    effect: float = 0.0


def diagnose(network: Network, pictures: Iterable[Array], steps: int, threads: int | None = None) -> Diagnosis:
    """Compare a spiking network with its analog form, layer by layer.

    Parameters
    ----------
    network : Network
    pictures : iterable of (C, H, W) float32
        Such as the network is made for, noise included; `calibration_pictures` makes them. Of large ones the middle is
        taken.
    steps : int
        Time steps.
    threads : int, optional
        As of `simulate`.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        If there are no pictures or no neurons, the network was trained with its neurons, or it has loops and so no
        analog form.
    """
    sums = {node.name: _Sums() for node in network.neurons}
    if not sums:
        raise InputError("the network has no neurons to diagnose")
    if "trained_neurons" in network.metadata.get("conversion", {}):
        raise InputError(
            "the network was trained with its neurons: it comes of no artificial network that it could be held against"
        )
    squares, difference, accumulates, pixels, count = 0.0, 0.0, 0, 0, 0
    for picture in pictures:
        middle = middle_of(network, np.asarray(picture))
        analog, activations = forward(network, middle, record="all")
        result = simulate(network, middle, steps, threads=threads, record=("spikes", "membrane"))
        outputs = analog if isinstance(analog, dict) else {network.output.name: analog}
        for node in network.neurons:
            added = _add(sums[node.name], node, activations[node.name], result)
            sums[node.name].effect += _squares(_with_errors(network, middle, node.name, added), outputs)
        squares += sum(float(np.square(wanted, dtype=np.float64).sum()) for wanted in outputs.values())
        difference += _squares(result.outputs, outputs)
        accumulates += result.total_accumulates
        pixels += middle.shape[1] * middle.shape[2]
        count += 1
    if not count:
        raise InputError("diagnosis needs at least one picture (got none)")
    layers = tuple(_layer(node, sums[node.name], squares) for node in network.neurons)
    found = Diagnosis(steps, count, layers, _ratio(difference, squares), accumulates / pixels)
    return Diagnosis(**{**vars(found), "advice": _advice(network, found)})


def middle_of(network: Network, picture: Array, largest: int = LARGEST_SIDE) -> Array:
    """The middle of a large picture, as the network sees it (`fitted`); the whole one where it fits no other size."""
    height, width = picture.shape[1:]
    top, left = max(0, height - largest) // 2, max(0, width - largest) // 2
    cut = picture[:, top : top + largest, left : left + largest]
    seen = fitted(network, cut)[0]
    try:
        network.shapes(seen.shape)
    except (GraphError, InputError):
        return fitted(network, picture)[0]
    return seen


def _with_errors(network: Network, picture: Array, name: str, errors: Array) -> dict[str, Array]:
    """Outputs of the ANN where one layer's activations have these errors, (C, H, W)."""

    def add(_: str, activation: Array) -> None:
        activation += errors.transpose(1, 2, 0)

    return evaluate(network, picture, add, (name,))


def _squares(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """Sum of the squares of all differences."""
    return sum(float(np.square(found[name] - wanted[name], dtype=np.float64).sum()) for name in wanted)


def _add(sums: _Sums, node: Neurons, activation: Array, result: Result) -> Array:
    """Add a picture's neurons of one layer; the errors that are their own."""
    steps = result.steps
    emitted = result.spikes[node.name].sum(0, dtype=np.float64)
    potential = result.membrane[node.name].astype(np.float64) - next(iter(initial_state(node.model).values()))
    rate = emitted / steps
    saturated = level_table(node.model).saturated(emitted, steps)
    if conserves_charge(node.model):
        errors = rate - analog_activation(node.model, rate + potential / steps)
    else:
        errors = mean_emission(node.model, activation, steps) - activation
    own = np.square(errors)
    active = activation != 0
    sums.neurons += rate.size
    sums.activation += float(np.square(activation, dtype=np.float64).sum())
    sums.error += float(np.square(rate - activation).sum())
    sums.own += float(own.sum())
    sums.cut_off += float(own[saturated].sum())
    sums.saturated += int(saturated.sum())
    sums.active += int(active.sum())
    sums.silent += int((active & ~result.spikes[node.name].any(0)).sum())
    sums.residual += float(np.abs(potential[active]).sum())
    kept: Array = errors
    return kept


def _layer(node: Neurons, sums: _Sums, squares: float) -> LayerDiagnosis:
    return LayerDiagnosis(
        name=node.name,
        neurons=sums.neurons,
        activation=float(np.sqrt(sums.activation / sums.neurons)),
        error=_ratio(sums.error, sums.activation),
        own_error=_ratio(sums.own, sums.activation),
        cut_off=sums.cut_off / sums.own if sums.own else 0.0,
        saturated=sums.saturated / sums.neurons,
        silent=sums.silent / sums.active if sums.active else 0.0,
        residual=sums.residual / max(1, sums.active) / level_table(node.model).unit,
        effect=_ratio(sums.effect, squares),
    )


def _ratio(squares: float, wanted: float) -> float:
    """Root of a ratio of sums of squares; what is off where nothing is wanted counts as it is."""
    return float(np.sqrt(squares / wanted if wanted else squares))


def _advice(network: Network, found: Diagnosis) -> tuple[str, ...]:
    """What to change, by the layer that loses most."""
    if found.error < GOOD:
        return (f"nothing: the output is {found.error:.2%} off",)
    worst = found.worst
    unit = level_table(network[worst.name].model).unit  # type: ignore[attr-defined]
    advice = [_about(worst, unit), f"more steps than {found.steps}: what is missing at the end shrinks as 1 / steps"]
    dead = [layer.name for layer in found.layers if layer.activation == 0]
    if dead:
        advice.append(f"{dead[0]}: silent in the ANN, too; see that the pictures are such as it was trained on")
    return tuple(advice)


def _about(worst: LayerDiagnosis, unit: float) -> str:
    if worst.cut_off > 1 / 2:
        return (
            f"{worst.name}: {worst.saturated:.2%} of its neurons emit all they can and make {worst.cut_off:.0%} of its "
            "error; convert with pictures that look more like these, or with larger scales (--scales percentile "
            "--percentile 100)"
        )
    return (
        f"{worst.name}: it rounds too coarsely, to multiples of {unit:g}; take one more, smaller threshold "
        "(--thresholds), a scale for each channel (--normalization channel), or let convert --tune choose"
    )
