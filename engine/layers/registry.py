"""The kinds of layers that there are: those of the package, and those that users register.

A package that lists a module under the entry points `spikeunet.layers` is imported when a model file names a kind
that nobody has registered; its module then registers its own. What is imported is up to what is installed, never to
the file.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import re
from typing import Any, TypeVar

from ..errors import GraphError
from ..graph import CurrentSum, Input, Join, Neurons, Node, Output, Projection, Synapses, Weighted
from .add import Add
from .attention import Attention
from .attention_gates import AttentionGates
from .avg_pool2d import AvgPool2d
from .concat import Concat
from .conv1d import Conv1d
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .flatten import Flatten
from .global_avg_pool2d import GlobalAvgPool2d
from .linear import Linear
from .max_pool2d import MaxPool2d
from .mean_conv2d import MeanConv2d
from .pixel_shuffle import PixelShuffle
from .pixel_unshuffle import PixelUnshuffle
from .scale import Scale
from .sum_pool2d import SumPool2d
from .upsample import Upsample

Kind = TypeVar("Kind", bound=type[Node])

OWN: tuple[type[Node], ...] = (
    Conv1d, Conv2d, ConvTranspose2d, Linear, Scale, AvgPool2d, SumPool2d, MaxPool2d, GlobalAvgPool2d, Upsample,
    PixelShuffle, PixelUnshuffle, Flatten, MeanConv2d, Attention, Add, Concat, AttentionGates,
)  # fmt: skip
"""The package's kinds. A new one is added here and in `__init__`."""

ENTRY_POINTS = "spikeunet.layers"
"""Group of entry points, each of a module (or something in it) that registers kinds of layers when it is imported."""

SORTS = ("integer", "pair", "number", "numbers", "boolean", "text", "names")
"""What a field in a model file can be: a whole number, two of them, a number, several, true or false, a text, names of
nodes."""

_ROLES = frozenset(role.__name__ for role in (Input, Neurons, Output))
_ARGUMENTS = {
    "output_shape": ("shape",),
    "input_rows": ("first", "last", "incoming"),
    "current": ("values", "rows", "state"),
    "forward": ("value", "kept"),
    "backward": ("value", "gradient", "into_input", "kept"),
    "fan_out": ("incoming",),
}
"""What each method is called with, by position."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_by_name: dict[str, type[Node]] = {kind.__name__: kind for kind in OWN}
_names: dict[type[Node], str] = {kind: kind.__name__ for kind in OWN}
_count = itertools.count(1)
_latest = 0


def register_layer(name: Any = None) -> Any:
    """Class decorator that makes a kind of layer known to model files; see docs/layers.md for how to write one.

    The class is a frozen dataclass that derives from `Projection`, or from `Weighted` where it has a weight and a bias.
    It must define `output_shape`, `current` and `fan_out`; its fields, "name" and "source" and arrays apart, are listed
    in `file_fields`.

    Parameters
    ----------
    name : str, optional
        What model files call the kind; by default the name of the class.

    Returns
    -------
    class decorator, or the class itself where `register_layer` is used without parentheses

    Raises
    ------
    GraphError
        If the class is not as above or registered already under another name, or the name is taken.
    """
    if isinstance(name, type):
        return register_layer()(name)
    if name is not None and not isinstance(name, str):
        raise GraphError(f"register_layer takes a class, or the name of one (got {name!r:.80})")

    def register(kind: Kind) -> Kind:
        chosen = kind.__name__ if name is None else name
        _check(kind, chosen)
        previous = _by_name.get(chosen)
        if previous is not None and _origin(previous) != _origin(kind):
            raise GraphError(
                f"the layer name {chosen!r} is taken by {'.'.join(_origin(previous))}; choose another name"
            )
        if (other := _names.get(kind, chosen)) != chosen:
            raise GraphError(f"{kind.__name__} is registered as {other!r} already; a kind has one name in model files")
        _by_name[chosen] = kind
        _names[kind] = chosen
        global _latest  # noqa: PLW0603
        _latest = next(_count)
        return kind

    return register


def latest_change() -> int:
    """A number that is another one after every registration: what a name in a model file means may have changed."""
    return _latest


def layer_kinds() -> tuple[type[Node], ...]:
    """All kinds, the package's first."""
    return tuple(_by_name.values())


def name_of(kind: type[Node]) -> str | None:
    """What model files call a kind; None where it is not registered."""
    return _names.get(kind)


def find_kind(name: str) -> type[Node] | None:
    """The kind under a name; where there is none, installed packages are asked first."""
    if name not in _by_name:
        import_plug_ins()
    return _by_name.get(name)


@functools.cache
def import_plug_ins() -> tuple[str, ...]:
    """Import every plug-in, once; returns a line for each that failed, so that it spoils no other."""
    from ..neurons.plug_ins import import_group

    return import_group(ENTRY_POINTS)


def _check(kind: type[Any], name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise GraphError(f"a layer name has up to 64 letters, digits, dots, hyphens and underscores (got {name!r})")
    owner = f"the layer {name!r}"
    if name in _ROLES:
        raise GraphError(f"{owner} has the name of a node of the package; choose another name")
    if not isinstance(kind, type) or not issubclass(kind, (Projection, CurrentSum, Join)):
        raise GraphError(f"{owner} must be a class that derives from Projection or Weighted (got {kind!r})")
    # The parameters of a class that inherits them are its parent's: it must be a dataclass itself.
    parameters = kind.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen or parameters.eq:
        raise GraphError(
            f"{owner} must be a frozen dataclass; put @dataclass(frozen=True, eq=False) under the registration"
        )
    if issubclass(kind, Projection):
        for method in ("output_shape", "fan_out", "current"):
            if not _defines(kind, method):
                raise GraphError(f"{owner} must define {method}(); docs/layers.md says what it is to do")
        if kind.gathers and kind.bind is Synapses.bind and not _defines(kind, "gather"):
            raise GraphError(f"{owner} must define gather(), because its `gathers` is True")
        _check_arguments(kind, owner)
        _check_arrays(kind, owner)
    _check_fields(kind, owner)


def _defines(kind: type[Projection], method: str) -> bool:
    """Whether a class has a method of its own; `bind` in place of `current` says that kernels compute that."""
    found = getattr(kind, method) not in (getattr(Synapses, method), getattr(Node, method, None))
    return found or (method == "current" and kind.bind is not Synapses.bind)


def _check_arguments(kind: type[Projection], owner: str) -> None:
    """Refuse methods that cannot be called as they will be."""
    for method, arguments in _ARGUMENTS.items():
        signature, shown = inspect.signature(getattr(kind, method)), ", ".join(("self", *arguments))
        try:
            signature.bind(kind, *arguments)
        except TypeError as error:
            raise GraphError(f"{owner} must define {method}() so that it takes ({shown}): {error}") from None
        places = {name: place for place, name in enumerate(signature.parameters, start=-1)}
        moved = [name for place, name in enumerate(arguments) if places.get(name, place) != place]
        if moved:
            raise GraphError(f"{owner} must define {method}() so that it takes ({shown}), {moved[0]!r} in its place")


def _check_arrays(kind: type[Projection], owner: str) -> None:
    """Refuse arrays that no file holds and no training knows."""
    weighted, arrays = issubclass(kind, Weighted), tuple(kind.arrays)
    if arrays != (("weight", "bias") if weighted else ()):
        raise GraphError(
            f"{owner} has the arrays ({', '.join(arrays)}); it must have 'weight' and 'bias' and derive from Weighted, "
            "or have none"
        )
    missing = [name for name in arrays if name not in {field.name for field in dataclasses.fields(kind) if field.init}]
    if missing:
        raise GraphError(f"{owner} must have a field {missing[0]!r}, because it derives from Weighted")


def _check_fields(kind: type[Any], owner: str) -> None:
    listed = dict(getattr(kind, "file_fields", {}))
    wrong = [f"{name}: {sort!r}" for name, sort in listed.items() if sort not in SORTS]
    if wrong:
        raise GraphError(f"{owner} has file_fields of unknown sorts ({', '.join(wrong)}); there are {', '.join(SORTS)}")
    arrays = getattr(kind, "arrays", ())
    expected = {field.name for field in dataclasses.fields(kind) if field.init} - {"name", "source", "delay", *arrays}
    if set(listed) != expected:
        differing = ", ".join(sorted(set(listed) ^ expected))
        raise GraphError(f"{owner} must list its fields in file_fields, arrays apart; look at {differing}")


def _origin(kind: type[Any]) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__
