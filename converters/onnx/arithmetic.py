"""Sums, products with constants, and batch norms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..values import Tensor
from .call import Call, operator
from .convolutions import bias_of

Array = NDArray[Any]


@operator("Add", "Sub", "Sum")
def added(call: Call) -> Tensor:
    """Add of currents; a constant goes into the biases."""
    signs = [1.0] * len(call.inputs)
    if call.node.kind == "Sub":
        signs[1:] = [-1.0] * (len(signs) - 1)
    tensors = [(each, sign) for each, sign in zip(call.inputs, signs, strict=True) if isinstance(each, Tensor)]
    constants = [(each, sign) for each, sign in zip(call.inputs, signs, strict=True) if not isinstance(each, Tensor)]
    first = tensors[0][0]
    _check_alike(call, [tensor for tensor, _ in tensors])
    values = [
        tensor.value if sign > 0 else call.builder.scaled(call.node.name, tensor.value, -1.0)
        for tensor, sign in tensors
    ]
    value = values[0] if len(values) == 1 else call.builder.total(call.node.name, values)
    total = Tensor(value, first.shape)
    for constant, sign in constants:
        total = in_features(call, total, constant)
        shift = bias_of(call, _numbers(call, constant), total) * sign
        total = Tensor(call.builder.scaled(call.node.name, total.value, 1.0, shift), first.shape)
    return total


@operator("Mul", "Div")
def multiplied(call: Call) -> Tensor:
    """A Scale, or folded into the weights before."""
    first, second = call.inputs
    dividing = call.node.kind == "Div"
    if (isinstance(first, Tensor) and isinstance(second, Tensor)) or (dividing and isinstance(second, Tensor)):
        call.refuse(
            "computes with two values that depend on the picture (a gate, an attention); there is no layer for "
            "products of activations"
        )
    tensor, constant = (first, second) if isinstance(first, Tensor) else (second, first)
    assert isinstance(tensor, Tensor)
    tensor = in_features(call, tensor, constant)
    factor = bias_of(call, _numbers(call, constant), tensor)
    if dividing:
        if not factor.all():
            call.refuse("divides by 0; repair the weights, or train again")
        factor = 1 / factor
    return Tensor(call.builder.scaled(call.node.name, tensor.value, factor, of_file=True), tensor.shape)


@operator("Neg")
def negated(call: Call) -> Tensor:
    """A Scale of -1, or folded."""
    return call.result(call.builder.scaled(call.node.name, call.tensor().value, -1.0), like=0)


@operator("BatchNormalization")
def batch_norm(call: Call) -> Tensor:
    """Folded into the weights before it; a Scale behind neurons."""
    if call.attribute("training_mode", 0) or len([name for name in call.node.outputs if name]) > 1:
        call.refuse("is in training mode; export the network in evaluation mode, model.eval()")
    tensor = in_features(call, call.tensor(), call.constant(1))
    gain, bias, average, variance = (
        bias_of(call, call.weights(index, (1,)), _as_rows(tensor), name) for index, name in enumerate(_PARAMETERS, 1)
    )
    if (variance < 0).any():
        call.refuse("has a negative variance")
    factor = gain / np.sqrt(variance + call.attribute("epsilon", 1e-5))
    shift = bias - average * factor
    value = call.builder.scaled(call.node.name, tensor.value, factor, shift, of_file=True)
    return replace(tensor, value=value)


_PARAMETERS = ("scale", "bias", "running mean", "running variance")
"""Inputs of a batch norm behind the first."""


def in_features(call: Call, tensor: Tensor, constant: Any) -> Tensor:
    """A picture that was flattened, as features, where a constant has a number for each of these."""
    shape = getattr(constant, "shape", ())
    if len(tensor.shape) != 2 or tensor.aligned or shape not in (tensor.shape[1:], (1, *tensor.shape[1:])):
        return tensor
    return replace(tensor, value=call.builder.flat(call.node.name, tensor.value))


def _as_rows(tensor: Tensor) -> Tensor:
    """The tensor with axes behind its channels left out, as the arrays of a batch norm are combined with it."""
    return Tensor(tensor.value, tensor.shape[:2])


def _numbers(call: Call, constant: Any) -> Array:
    if constant is None or constant.dtype.kind != "f":
        call.refuse(f"combines what depends on the picture with {'nothing' if constant is None else constant.dtype}")
    return np.asarray(constant, np.float64)


def _check_alike(call: Call, tensors: list[Tensor]) -> None:
    shapes = [(tensor.shape, tensor.value.shape) for tensor in tensors]
    if any(shape != shapes[0] for shape in shapes):
        sizes = ", ".join("x".join(map(str, shape[1:])) for shape, _ in shapes)
        fixed = "; the file leaves the picture's size open: export it with a fixed size" if call.open_size else ""
        call.refuse(f"adds values of different shapes ({sizes}); only equal ones are added up here{fixed}")
