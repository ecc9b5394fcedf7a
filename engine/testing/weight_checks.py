"""What a kind of layer says of its weights and gradients: the part of `check_layer` that training and files rest on."""

from __future__ import annotations

import copy
import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SpikeunetError
from ..files.model_file import save_model
from ..graph import Input, Network, Output, Projection, Shape, Weighted
from ..layers.registry import name_of
from ..learning.finetune.trainable_arrays import in_kernel_order, with_arrays
from ..models import load_model
from . import product_targets
from .comparison import require
from .layer_probes import describe, whole_current

Array = NDArray[Any]

_STEP = 1e-5
"""Of finite differences."""

_DIRECTIONS = 4


def check(node: Projection, shape: Shape) -> None:
    """All checks of this module."""
    arrays_kept(node)
    weight_axes(node, shape)
    copies(node, shape)
    forward_agrees(node, shape)
    gradients(node, shape)
    through_time(node, shape)
    file_round_trip(node, shape)


def _values(shape: Shape, pictures: int = 3) -> Array:
    """(pictures, H, W, C) float64, no two of them the same: what takes the largest has no ties."""
    channels, height, width = shape
    return np.random.default_rng(3).normal(0.5, 1, (pictures, height, width, channels))


# --- Weights ---------------------------------------------------------------------------------------------------------


def arrays_kept(node: Projection) -> None:
    """Weight and bias are float32 arrays that nobody can write to, the bias one number for each output channel."""
    for name in node.arrays:
        array, owner = getattr(node, name), describe(node)
        remedy = "call self.check_arrays(dimensions) in __post_init__"
        is_right = isinstance(array, np.ndarray) and array.dtype == np.float32
        require(is_right, f"{owner}: its {name} must be a float32 array (got {type(array).__name__}); {remedy}")
        require(not array.flags.writeable, f"{owner}: its {name} can be written to; {remedy}")
    if isinstance(node, Weighted):
        wanted = (node.out_channels,)
        require(
            node.bias.shape == wanted or not node.homogeneous,
            f"{describe(node)}: its bias has the shape {node.bias.shape}; out_channels says {wanted}",
        )


def weight_axes(node: Projection, shape: Shape) -> None:
    """Along which axes the input and the output channels lie: what normalisation, rounding and training go by."""
    if not isinstance(node, Weighted) or not node.homogeneous:
        return
    name, size = describe(node), node.weight.shape
    rows = node.by_output(node.weight)
    require(
        rows.ndim == 2 and len(rows) == node.out_channels,
        f"{name}: by_output() must give ({node.out_channels}, weights of an output channel) (got {rows.shape})",
    )
    require(np.array_equal(node.from_rows(rows), node.weight), f"{name}: from_rows() is not the inverse of by_output()")
    generator, sums = np.random.default_rng(5), node.sum_by_output(node.weight.astype(np.float64))
    by_output = generator.integers(1, 9, node.out_channels).astype(np.float64)
    by_input = generator.integers(1, 9, shape[0]).astype(np.float64)
    along = node.along_outputs(by_output) * np.ones(size)
    require(
        along.shape == size and np.array_equal(node.by_output(along), by_output[:, None] * np.ones(rows.shape)),
        f"{name}: along_outputs() and by_output() take different weights for those of an output channel",
    )
    numbers = generator.integers(-8, 9, size).astype(np.float64)
    require(
        sums.shape == (node.out_channels,)
        and float((numbers * along).sum()) == float((node.sum_by_output(numbers) * by_output).sum()),
        f"{name}: sum_by_output() and along_outputs() take different weights for those of an output channel",
    )
    found = node.sum_by_input(numbers, shape[0])
    require(
        np.shape(found) == (shape[0],)
        and float((numbers * node.along_inputs(by_input)).sum()) == float((found * by_input).sum()),
        f"{name}: sum_by_input() and along_inputs() take different weights for those of an input channel",
    )
    _scales_fold(node, shape)
    _sums_and_scales(node, shape)


def _sums_and_scales(node: Weighted, shape: Shape) -> None:
    """What `sums_all_weights` and `scales_channels` say, where they say something, is so."""
    name, values = describe(node), _values(shape)
    if node.sums_all_weights:
        of_ones = node.forward((np.ones_like(values),))
        sums = node.sum_by_output(node.weight.astype(np.float64)) + node.bias
        require(
            np.allclose(of_ones, np.repeat(sums, of_ones.shape[3] // len(sums)), rtol=1e-9, atol=1e-9),
            f"{name}: sums_all_weights is True, but of ones it makes others than the sums of its weights",
        )
    if node.scales_channels:
        require(
            node.weight.shape == (shape[0],) and np.allclose(node.forward((values,)), values * node.weight + node.bias),
            f"{name}: scales_channels is True, but it does more than to multiply each channel by its weight",
        )


def _scales_fold(node: Weighted, shape: Shape) -> None:
    """Scales of channels, folded into the weight, do what they would do to what is read and what is put out."""
    name, values = describe(node), _values(shape)
    into, out = 2.0 ** (np.arange(shape[0]) % 3), 2.0 ** (np.arange(node.out_channels) % 3)
    before = node.forward((values,))
    folded = with_arrays(node, weight=node.weight / node.along_inputs(into))
    require(
        np.allclose(folded.forward((values * into,)), before, rtol=1e-9, atol=1e-12),
        f"{name}: the weight divided by along_inputs() of a scale does not undo that scale of the input channels",
    )
    folded = with_arrays(node, weight=node.weight * node.along_outputs(out), bias=node.bias * out)
    every = np.repeat(out, before.shape[3] // len(out))
    require(
        np.allclose(folded.forward((values,)), before * every, rtol=1e-9, atol=1e-12),
        f"{name}: the weight times along_outputs() of a scale, and the bias times it, do not scale what is put out",
    )


def copies(node: Projection, shape: Shape) -> None:
    """A copy computes the same; one with other arrays, as training makes it, what a node made with them computes."""
    name, values = describe(node), _values(shape).astype(np.float32)
    if not _has_forward(node):
        return
    for made in (dataclasses.replace(node), copy.deepcopy(node)):
        require(np.array_equal(made.forward((values,)), node.forward((values,))), f"{name}: a copy differs from it")
    if not isinstance(node, Weighted):
        return
    weight, bias = node.weight[::-1] * np.float32(0.5), node.bias + np.float32(1)
    expected = dataclasses.replace(node, weight=weight, bias=bias).forward((values,))
    exchanged = with_arrays(node, weight=in_kernel_order(weight), bias=bias)
    require(
        np.array_equal(exchanged.forward((values,)), expected),
        f"{name}: forward() of a copy whose weight and bias were exchanged, as training does, is that of others: work "
        "nothing out of them beforehand",
    )


# --- Gradients -------------------------------------------------------------------------------------------------------


def forward_agrees(node: Projection, shape: Shape) -> None:
    """`forward` gives what `current` gives, of parts of the channels, too, and leaves its values as they are."""
    if not _has_forward(node):
        return
    name, values = describe(node), _values(shape)
    given, parts = values.copy(), (values[..., :1].copy(), values[..., 1:].copy())
    found = node.forward((values,))
    require(np.array_equal(values, given), f"{name}: forward() writes to the values that it reads")
    outgoing = node.output_shape(shape)
    wanted = (len(values), *outgoing[1:], outgoing[0])
    require(found.shape == wanted, f"{name}: forward() returns the shape {found.shape}; (M, H', W', C') is {wanted}")
    require(found.dtype == values.dtype, f"{name}: forward() of {values.dtype} values returns {found.dtype}")
    if product_targets.has_current(node) and not node.state_values:
        expected = Projection.forward(node, (values,))
        require(np.allclose(found, expected, rtol=1e-9, atol=1e-12), f"{name}: forward() differs from current()")
    if shape[0] > 1:
        joined = node.forward(parts)
        require(np.allclose(joined, found, rtol=1e-9, atol=1e-12), f"{name}: forward() of two parts differs")


def _has_forward(node: Projection) -> bool:
    """Whether a node has an analog form: what keeps a state has one of its own, or none."""
    return not node.state_values or type(node).forward is not Projection.forward


def through_time(node: Projection, shape: Shape) -> None:
    """`forward_in_time` gives what `current` gives step by step, and `backward_in_time` its derivatives."""
    if not node.state_values:
        return
    name, steps, pictures = describe(node), 4, 2
    values = _values(shape, steps * pictures)
    found = node.forward_in_time((values,), steps)
    for picture in range(pictures):
        own = slice(picture, None, pictures)
        expected = whole_current(node, values[own].astype(np.float32))
        fault = f"{name}: forward_in_time() differs from what current() gives step by step"
        require(np.allclose(found[own], expected, rtol=1e-4, atol=1e-4), fault)
    generator = np.random.default_rng(11)
    gradient = generator.normal(0, 1, found.shape)
    try:
        into = node.backward_in_time((values,), gradient, steps)
    except InputError:
        return  # It says that it cannot be trained.
    require(into.shape == values.shape, f"{name}: backward_in_time() must return {values.shape} (got {into.shape})")

    def loss(change: Array) -> float:
        return float((node.forward_in_time((values + change,), steps) * gradient).sum())

    _differences(f"{name}: backward_in_time()", loss, into, generator)


def gradients(node: Projection, shape: Shape) -> None:
    """`backward` gives the derivatives of `forward`, by finite differences in float64; where it can be trained."""
    if not _has_forward(node):
        return
    name, values = describe(node), _values(shape)
    made = with_arrays(node, **{each: getattr(node, each).astype(np.float64) for each in node.arrays})
    kept: dict[str, Any] = {}
    found = made.forward((values,), kept)
    generator = np.random.default_rng(11)
    gradient = generator.normal(0, 1, found.shape)
    try:
        into, arrays = made.backward((values.copy(),), gradient.copy())
    except InputError:
        return  # It says that it cannot be trained.
    _same_shapes(node, values, into, arrays)
    again, kept_arrays = made.backward((values,), gradient, True, kept)
    nothing, without = made.backward((values,), gradient, False)
    require(nothing is None, f"{name}: backward(into_input=False) must return None for the gradient of what is read")
    for each, array in arrays.items():
        require(np.allclose(without[each], array), f"{name}: backward(into_input=False) gives another {each} gradient")
        require(
            np.allclose(kept_arrays[each], array), f"{name}: backward() with what forward() kept gives another {each}"
        )
    require(again is not None and np.allclose(again, into), f"{name}: backward() differs with what forward() kept")

    def loss(read: Array, **exchanged: Array) -> float:
        return float((with_arrays(made, **exchanged).forward((read,)) * gradient).sum())

    _differences(f"{name}: backward() of what is read", lambda change: loss(values + change), into, generator)
    for each, array in arrays.items():
        changed = functools.partial(_with_change, loss, values, each, getattr(made, each))
        _differences(f"{name}: backward() of the {each}", changed, array, generator)


def _with_change(loss: Callable[..., float], values: Array, name: str, array: Array, change: Array) -> float:
    return loss(values, **{name: array + change})


def _same_shapes(node: Projection, values: Array, into: Array | None, arrays: dict[str, Array]) -> None:
    name = describe(node)
    require(
        into is not None and into.shape == values.shape,
        f"{name}: backward() must return the gradient of what is read, of the shape {values.shape} (got "
        f"{None if into is None else into.shape})",
    )
    require(
        set(arrays) == set(node.arrays),
        f"{name}: backward() must return the gradients of {sorted(node.arrays)} by name (got {sorted(arrays)})",
    )
    for each, array in arrays.items():
        wanted = getattr(node, each).shape
        require(array.shape == wanted, f"{name}: backward() gives a {each} gradient {array.shape}; it must be {wanted}")


def _differences(what: str, loss: Callable[[Array], float], gradient: Any, generator: np.random.Generator) -> None:
    """The gradient along some directions, and along single numbers, against central differences."""
    directions = [generator.normal(0, 1, gradient.shape) for _ in range(_DIRECTIONS)]
    for place in generator.integers(0, gradient.size, _DIRECTIONS):
        single = np.zeros(gradient.size)
        single[place] = 1
        directions.append(single.reshape(gradient.shape))
    for direction in directions:
        expected = (loss(_STEP * direction) - loss(-_STEP * direction)) / (2 * _STEP)
        found = float((gradient * direction).sum())
        size = max(float(np.abs(gradient * direction).sum()), abs(expected), 1e-3)
        require(
            abs(found - expected) <= 1e-4 * size,
            f"{what} gives {found:.6g} where finite differences of forward() give {expected:.6g}",
        )


# --- Files -----------------------------------------------------------------------------------------------------------


def file_round_trip(node: Projection, shape: Shape) -> None:
    """A model file gives the node back, every field of it; the kind has to be registered."""
    name, kind = describe(node), type(node)
    require(
        name_of(kind) is not None,
        f"{name}: no model file can hold it; register its class with spikeunet.engine.register_layer",
    )
    made = dataclasses.replace(node, name="checked", source="input", delay=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checked.npz"
        try:
            save_model(Network([Input("input", shape[0]), made, Output("output", "checked")]), path)
            again = load_model(path)["checked"]
        except SpikeunetError as error:
            raise AssertionError(f"{name}: a model file does not give it back: {error}") from error
    for field in dataclasses.fields(made):
        before: Any = getattr(made, field.name)
        after: Any = getattr(again, field.name, None)
        require(
            np.array_equal(before, after) if isinstance(before, np.ndarray) else before == after,
            f"{name}: {field.name} comes back from a model file as {after!r}; it was {before!r}",
        )
