"""What a network carries from one run to the next, so that a run can go on where another one has stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..errors import InputError, first_few
from ..float32 import largest_size

Arrays = Mapping[str, NDArray[Any]]

KINDS = ("neurons", "synapses", "readouts", "arriving", "encoders")
"""What arrays a state holds, by name."""


@dataclass(frozen=True, eq=False)
class State:
    """All that a network carries after some steps.

    A batch of N pictures puts a leading axis N before every shape given here.

    Parameters
    ----------
    steps : int
        That have been run.
    averaged : int
        Of which `readouts` are sums: the last ones.
    neurons : dict of str to (V, C, H, W) float32
        By Neurons node, its state variables, the potential first.
    synapses : dict of str to (V, C, H, W) float32
        By synapse node that has a state of its own.
    readouts : dict of str to (O, H, W) float32
        By Output node, the running sum of its currents.
    arriving : dict of str to (C, H, W) uint8
        By Neurons node that is read through a delay, the levels that it fired at the last step.
    encoders : dict of str to (C, H, W) float32
        By Input node whose encoder carries something on, that.

    Raises
    ------
    InputError
        If `steps` or `averaged` is no whole number, 0 or more, or one of the others is no mapping. `simulate` looks at
        the arrays.
    """

    steps: int
    averaged: int
    neurons: Arrays
    synapses: Arrays
    readouts: Arrays
    arriving: Arrays
    encoders: Arrays = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, (int, np.integer)) or self.steps < 0:
            raise InputError(f"state.steps must be a whole number, 0 or more (got {self.steps!r})")
        averaged = self.averaged
        if isinstance(averaged, bool) or not isinstance(averaged, (int, np.integer)) or not 0 <= averaged <= self.steps:
            raise InputError(f"state.averaged must be a whole number from 0 to {self.steps} (got {averaged!r})")
        object.__setattr__(self, "steps", int(self.steps))
        object.__setattr__(self, "averaged", int(averaged))
        for kind, part in zip(KINDS, self._parts, strict=True):
            if not isinstance(part, Mapping):
                raise InputError(f"state.{kind} must map names of nodes to arrays (got {type(part).__name__})")

    @property
    def _parts(self) -> tuple[Arrays, ...]:
        return self.neurons, self.synapses, self.readouts, self.arriving, self.encoders

    def _with_parts(self, parts: Iterable[Arrays]) -> State:
        return State(self.steps, self.averaged, *parts)

    def without_readouts(self) -> State:
        """The same, with running sums that begin at 0: the output of the next run is then that of its own steps."""
        nothing = {name: np.zeros_like(readout) for name, readout in self.readouts.items()}
        return replace(self, averaged=0, readouts=nothing)

    def of_picture(self, index: int) -> State:
        """That of one picture of a batch."""
        return self._with_parts({name: array[index] for name, array in part.items()} for part in self._parts)

    @property
    def largest(self) -> float:
        """The largest size of a potential, a sum, or what else is carried."""
        arrays = [array for part in (self.neurons, self.synapses, self.readouts) for array in part.values()]
        return max(map(largest_size, arrays), default=0.0)


def joined(states: Sequence[State]) -> State:
    """Those of several pictures as that of a batch."""
    first, parts = states[0], zip(*(state._parts for state in states), strict=True)  # noqa: SLF001 - of this file
    stacked = ({name: np.stack([each[name] for each in part]) for name in part[0]} for part in parts)
    return first._with_parts(stacked)  # noqa: SLF001


def check_is_state(state: object) -> State:
    """`state` where it is one; InputError otherwise."""
    if not isinstance(state, State):
        raise InputError(
            f"state must be the state of a result, as record=('state',) keeps it (got {type(state).__name__})"
        )
    return state


def check_state(state: State, program: Program, pictures: int | None) -> None:
    """InputError where a state is none of this network on pictures of this size; `pictures` of a batch, None of one."""
    batch = () if pictures is None else (pictures,)
    parts = check_is_state(state)._parts  # noqa: SLF001 - of this file
    for kind, given, expected in zip(KINDS, parts, _shapes(program), strict=True):
        if set(given) != set(expected):
            raise InputError(
                f"state.{kind} must name {first_few(sorted(expected)) or 'nothing'} of this network "
                f"(got {first_few(sorted(map(str, given))) or 'nothing'}); pass the state of a run of the same network"
            )
        for name, shape in expected.items():
            _check_array(f"state.{kind}[{name!r}]", given[name], (*batch, *shape), kind == "arriving")
    _check_levels(state.arriving, program)


def _check_array(what: str, array: Any, shape: tuple[int, ...], levels: bool) -> None:
    dtype = np.uint8 if levels else np.float32
    known = isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)
    if not known or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {array.shape}" if known else type(array).__name__
        raise InputError(
            f"{what} must be {np.dtype(dtype)} of the shape {shape}, as for pictures of this size (got {found})"
        )
    if not levels and not np.isfinite(array).all():
        raise InputError(f"{what} has values that are NaN or infinite")


def _check_levels(arriving: Arrays, program: Program) -> None:
    """InputError for levels that a layer's neurons do not have: a state of neurons of another model, perhaps."""
    levels = {layer.name: layer.levels for layer in program.layers if layer.levels is not None}
    for name, array in arriving.items():
        highest, found = levels[name].highest, int(array.max(initial=0))
        if found > highest:
            raise InputError(
                f"state.arriving[{name!r}] must hold levels from 0 to {highest}, as its neurons fire them "
                f"(got {found}); pass the state of a run of the same network"
            )


def _shapes(program: Program) -> tuple[dict[str, tuple[int, ...]], ...]:
    """Shapes of what is carried, by kind and name."""
    layers = program.layers
    spiking = [layer for layer in layers if layer.neurons is not None]
    late = {source.name for part in all_parts(layers) for source in part.sources if source.delay}
    return (
        {layer.name: (layer.variables, *layer.outgoing) for layer in spiking},
        {p.node.name: (p.node.state_values, *p.outgoing) for p in all_parts(layers) if p.node.state_values},
        {layer.name: layer.outgoing for layer in layers if layer.neurons is None},
        {layer.name: layer.outgoing for layer in spiking if layer.name in late},
        {name: shape for name, shape in program.encoded.items() if program.encoders[name].carried is not None},
    )


def all_parts(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, and instead of sums their parts."""
    return [part for layer in layers for part in layer.parts]
