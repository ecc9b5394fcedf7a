"""Activations: what stands for neurons, and functions at the end, which do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..builder import Builder
from ..values import Current, Emitted, Tensor, Value
from .call import Call, operator
from .convolutions import bias_of
from .imported import Ending

Array = NDArray[Any]

_COUNTED = re.compile(r"node_[a-z]+(_\d+)?")


@operator("Relu")
def rectified(call: Call) -> Tensor:
    """Neurons; those before a maximum, where it is rectified behind it, which comes to the same without signed ones."""
    value, builder = call.tensor().value, call.builder
    # A name that an exporter has counted says nothing: neurons are called by the layer that they follow.
    name = "" if isinstance(value, Current) and _COUNTED.fullmatch(call.node.name) else call.node.name
    if isinstance(value, Current) and not value.shared and value.pooled is not None and not value.pooled.shared:
        inner = builder.rectify(name, value.pooled)
        pool: Any = value.node
        return call.result(builder.current(replace(pool, source=inner.name), inner, inner.positive), like=0)
    return call.result(builder.rectify(name, value), like=0)


@operator("Clip")
def clipped(call: Call) -> Tensor:
    """Neurons for what is cut off at one side or at both; at the end, where there is an upper bound, left out."""
    return _clipped(call, call.tensor(), *(_bound(call, index, name) for index, name in ((1, "min"), (2, "max"))))


@operator("Max", "Min")
def extreme(call: Call) -> Tensor:
    """The same of one bound, which is a constant."""
    kind = call.node.kind
    constants = [each for each in call.inputs if each is not None and not isinstance(each, Tensor)]
    tensors = [each for each in call.inputs if isinstance(each, Tensor)]
    bounds = np.concatenate([np.zeros(0), *map(np.ravel, constants)])
    if len(tensors) > 1:
        call.refuse(
            f"is the {kind.lower()}imum of values that depend on the picture (a maxout); train with ReLU in its place"
        )
    if len(bounds) and (bounds != bounds[0]).any():
        call.refuse(
            f"has bounds from {bounds.min():g} to {bounds.max():g}; one number for all places and channels does"
        )
    if np.broadcast_shapes(tensors[0].shape, *(each.shape for each in constants)) != tensors[0].shape:
        call.refuse("makes what it reads larger; take one number as its bound")
    bound = _finite(float(bounds[0])) if len(bounds) else None
    return _clipped(call, tensors[0], *((bound, None) if kind == "Max" else (None, bound)))


def _clipped(call: Call, tensor: Tensor, low: float | None, high: float | None) -> Tensor:
    if call.last and high is not None:
        return _ended(call, tensor, _range(low, high), lambda x: np.clip(x, low, high))
    if low is not None and high is not None and low >= high:
        call.refuse(f"cuts off at {low:g} and at {high:g}, which leaves one number; take it out of the network")
    return replace(tensor, value=_between(call, tensor.value, low, high))


def _between(call: Call, value: Value, low: float | None, high: float | None) -> Value:
    """A value cut off, exactly: min(relu(x), m) = relu(x) - relu(relu(x) - m), moved to where the lower bound is."""
    builder, name = call.builder, call.node.name
    if low is None and value.positive:
        low = 0.0
    if low is None:
        if high is None:
            return value
        below = builder.rectify(name, builder.scaled(f"{name}.below", value, -1.0, high))
        return builder.identity(name, below, -1.0, high)
    inner = builder.rectify(name, builder.scaled(f"{name}.above", value, 1.0, -low) if low else value)
    if high is None:
        return builder.identity(name, inner, 1.0, low) if low else inner
    over = builder.rectify(f"{name}.over", builder.identity(f"{name}.over", inner, 1.0, low - high))
    difference = builder.total(
        name, [builder.identity(name, inner, 1.0, low), builder.identity(f"{name}.over", over, -1.0)]
    )
    difference.positive = low >= 0
    return difference


@operator("LeakyRelu")
def leaky(call: Call) -> Tensor:
    """Neurons for x, signed, and for relu(x): a x + (1 - a) relu(x)."""
    slope = call.attribute("alpha", 0.01)
    return call.result(_sloped(call.builder, call.node.name, call.tensor().value, slope), like=0)


@operator("PRelu")
def parametric(call: Call) -> Tensor:
    """The same with a slope for each channel."""
    slope = bias_of(call, call.weights(1, (0, 1, 2, 3, 4)), call.tensor())
    return call.result(_sloped(call.builder, call.node.name, call.tensor().value, slope), like=0)


def _sloped(builder: Builder, name: str, value: Value, slope: Any) -> Value:
    inner = builder.emit(value)
    if inner.positive:
        return inner
    # Out of what the signed neurons emit: the synapses before them are computed once.
    positive = builder.rectify(name, Emitted(inner.name, inner.shape, False))
    rest = 1 - np.asarray(slope, np.float64)
    total = builder.total(name, [builder.identity(name, inner, slope), builder.identity(name, positive, rest)])
    total.positive = False
    return total


@operator("Sigmoid")
def sigmoid(call: Call) -> Tensor:
    """Left out at the end."""
    return _ended(call, call.tensor(), "Sigmoid", lambda x: np.exp(-np.logaddexp(0, -x)))


@operator("Tanh")
def hyperbolic_tangent(call: Call) -> Tensor:
    """Left out at the end."""
    return _ended(call, call.tensor(), "Tanh", np.tanh)


@operator("Softmax", "LogSoftmax")
def softmax(call: Call) -> Tensor:
    """Left out at the end."""
    kind, rank = call.node.kind, len(call.tensor().shape)
    axis = call.attribute("axis", 1 if call.opset < 13 else -1) % rank
    if call.opset < 13 and any(size != 1 for size in call.tensor().shape[axis + 1 :]):
        call.refuse("is over several axes, as before opset 13; export with a newer opset")

    def computed(x: Array) -> Array:
        logarithm = x - np.logaddexp.reduce(x, axis=axis, keepdims=True)
        return np.asarray(logarithm if kind == "LogSoftmax" else np.exp(logarithm))

    return _ended(call, call.tensor(), kind, computed, _sizes(call))


def _sizes(call: Call) -> tuple[int, ...] | None:
    """Sizes behind the pictures of what a function along an axis reads; None for those of the network's output."""
    tensor = call.tensor()
    sizes = tensor.shape[1:]
    if sizes == tensor.value.shape:
        return None
    if len(sizes) < 3:  # whatever the picture's height and width
        return (*sizes[:-1], -1)
    if call.open_size:
        read = "x".join(map(str, sizes))
        call.refuse(f"reads {read} of a picture whose size the file leaves open; export it with a fixed size")
    return sizes


def _ended(
    call: Call, tensor: Tensor, name: str, function: Callable[[Array], Array], sizes: tuple[int, ...] | None = None
) -> Tensor:
    """The tensor as it is, with a function behind it; refused by whatever reads it but changes of its shape."""
    if len(tensor.shape) > 2 and not tensor.aligned:
        call.refuse("follows a change of shape; leave it out of the export")
    return replace(tensor, endings=(*tensor.endings, Ending(name, function, sizes)))


def _bound(call: Call, index: int, name: str) -> float | None:
    """One side of a Clip; None where it is open."""
    found = np.ravel(call.constant(index, call.node.attributes.get(name, ())))
    if len(found) > 1:
        call.refuse(f"has {len(found)} numbers as its {name}; one does")
    value = float(found[0]) if len(found) else None
    return None if value is None else _finite(value)


def _finite(value: float) -> float | None:
    """A bound; None of one that is none, because no number lies beyond it."""
    return None if abs(value) >= np.finfo(np.float32).max else value


def _range(low: float | None, high: float | None) -> str:
    return f"Clip({'' if low is None else f'{low:g}'}, {'' if high is None else f'{high:g}'})"
