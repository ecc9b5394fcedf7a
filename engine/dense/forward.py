"""Run the network as an ANN: nodes in topological order, every value freed after its last reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError, first_few
from ..float32 import all_finite, beyond, without_subnormals
from ..graph import CurrentSum, Input, Join, Network, Neurons, Node, Projection, Synapses, Value
from ..joined_inputs import joined_inputs
from ..neurons import rectifies
from ..threads import available_processors, limited_blas

Array = NDArray[np.float32]
Observer = Callable[[str, Array], None]
Response = Callable[[Neurons, Array], Array]
"""What neurons do to their current, (1, H, W, C) float32, where that is no ReLU."""


def forward(
    network: Network, x: ArrayLike | Mapping[str, ArrayLike], record: Iterable[str] | Literal["all"] = ()
) -> tuple[Any, dict[str, Array]]:
    """Output of the analog network (ANN): every Neurons node replaced by a ReLU, or by nothing if its model is signed.

    Parameters
    ----------
    network : Network
    x : (C, H, W) or (N, C, H, W) array of real numbers
        Converted to float32. H and W must suit the network (`network.size_multiple`). Of a network with several
        inputs a mapping of their names to such arrays.
    record : iterable of str, or "all"
        Names of the Neurons nodes whose activations to return.

    Returns
    -------
    output : (O, H', W') or (N, O, H', W') float32
        What the Output node reads; of a network with several, a dict of them by name.
    activations : dict of str to (C', H', W') or (N, C', H', W') float32
        The ReLU's output at each recorded node; the current itself where neurons emit negative values.

    Raises
    ------
    InputError
        If x has an unsuitable shape, is not finite, or `record` names no Neurons node.
    RangeError
        If a number leaves the range of float32.
    """
    return forward_with(network, x, record, None)


def forward_with(
    network: Network,
    x: ArrayLike | Mapping[str, ArrayLike],
    record: Iterable[str] | Literal["all"],
    respond: Response | None,
) -> tuple[Any, dict[str, Array]]:
    """`forward`, with neurons that respond in another way than by a ReLU."""
    joined_x = joined_inputs(network, x)
    pictures = as_pictures(joined_x)
    names = _recorded(network, record)
    recorded: dict[str, list[Array]] = {name: [] for name in names}

    def observe(name: str, activation: Array) -> None:
        recorded[name].append(_channels_first((activation[None],)))

    found = [evaluate(network, picture, observe, names, respond) for picture in pictures]
    outputs = {node.name: [each[node.name] for each in found] for node in network.outputs}
    # One picture comes without a batch's axis.
    joined = np.stack if np.ndim(joined_x) == 4 else _only
    by_name = {name: joined(values) for name, values in outputs.items()}
    activations = {name: joined(values) for name, values in recorded.items()}
    return by_name if len(by_name) > 1 else by_name[network.output.name], activations


def _only(values: list[Array]) -> Array:
    return values[0]


class _Enough(Exception):  # noqa: N818 - nothing has gone wrong
    """All that was asked for has been seen."""


def activations(network: Network, picture: Array, names: Collection[str]) -> dict[str, Array]:
    """What `evaluate` shows of some nodes, (H', W', C') float32 by name; nothing that comes after them is computed."""
    found: dict[str, Array] = {}

    def keep(name: str, activation: Array) -> None:
        found[name] = activation.copy()
        if len(found) == len(names):
            raise _Enough

    with suppress(_Enough):
        evaluate(network, picture, keep, names)
    return found


def evaluate(
    network: Network,
    picture: Array,
    observe: Observer,
    names: Collection[str] = (),
    respond: Response | None = None,
) -> dict[str, Array]:
    """Outputs (O, H', W') float32 by Output node for one picture (C, H, W), showing activations as they arise.

    `observe(name, activation)` is called once for each of `names`, in topological order: of a Neurons node with the
    ReLU's output, or the current where neurons emit negative values, of a synapse node with its current, before any
    ReLU; (H', W', C') float32. The array is reused afterwards, so an observer that keeps it must copy it; what it
    writes into the activation of a Neurons node is what those read that come after. `respond` takes the ReLU's place
    where it is given.
    """
    channels, height, width = picture.shape
    network.shapes((channels, height, width))  # refuses a picture that does not fit
    if network.loops:
        raise InputError("a network with loops has no analog form (ANN): what its delays give back never comes to rest")
    # BLAS knows nothing of quotas: it would take a thread for each processor that it sees.
    with limited_blas(available_processors()):
        return _evaluated(network, picture, observe, names, respond)


def _evaluated(
    network: Network, picture: Array, observe: Observer, names: Collection[str], respond: Response | None
) -> dict[str, Array]:
    readers = Counter(source for node in network.nodes for source in node.sources)
    values: dict[str, Value] = {}
    for node in network.by_size:
        if isinstance(node, Input):
            own = picture[network.input_channels[node.name]]
            if node.encoder is not None:
                own = node.encoder.seen_by_network(node.name, own)
            values[node.name] = (np.ascontiguousarray(own.transpose(1, 2, 0))[None],)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                values[node.name] = _value(node, values, readers, respond)
            if isinstance(node, Synapses) and not all_finite(values[node.name][0]):
                raise beyond(node.name, "a current")
        if isinstance(node, Neurons) and node.name in names and not rectifies(node.model):
            values[node.name] = (values[node.name][0].copy(),)  # others may read the current
        if isinstance(node, (Neurons, Synapses)) and node.name in names:
            observe(node.name, values[node.name][0][0])
        for source in node.sources:
            readers[source] -= 1
            if not readers[source]:
                values.pop(source, None)
    return {node.name: _channels_first(values[node.name]) for node in network.outputs}


def _value(node: Node, values: dict[str, Value], readers: Counter[str], respond: Response | None) -> Value:
    if isinstance(node, Join):
        return tuple(part for source in node.sources for part in values[source])
    if isinstance(node, CurrentSum):
        first, *more = (values[source][0] for source in node.sources)
        return (sum(more, first.copy()),)  # not what somebody else may read
    if isinstance(node, Projection):
        return (node.forward(values[node.source]),)
    if not isinstance(node, Neurons):
        return values[node.sources[0]]
    return (_activation(node, values, readers, respond),)


def _activation(node: Neurons, values: dict[str, Value], readers: Counter[str], respond: Response | None) -> Array:
    (source,) = node.sources
    (charge,) = values[source]
    if respond is not None:
        return respond(node, charge)
    if not rectifies(node.model):
        return charge
    # Rectified in place where nobody else reads the current, or what lies in the same memory.
    others = (part for name, value in values.items() if name != source for part in value)
    alone = readers[source] == 1 and not any(np.may_share_memory(charge, part) for part in others)
    return np.maximum(charge, np.float32(0), out=charge if alone else None)


def _channels_first(value: Value) -> Array:
    """The parts (1, H, W, C_part) joined, (C, H, W) float32, a new C-contiguous array."""
    return np.concatenate([part[0].transpose(2, 0, 1) for part in value])


def as_pictures(x: ArrayLike) -> Array:
    """`x` as (N, C, H, W) float32; InputError if it is no finite picture or batch of pictures."""
    array = as_array(x, "x")
    if array.ndim not in (3, 4) or not array.size:
        raise InputError(f"x must be a picture (C, H, W) or a batch (N, C, H, W), not empty (got shape {array.shape})")
    if array.dtype.kind not in "fiub":
        raise InputError(f"x must hold real numbers (got {array.dtype})")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("x has values that are NaN or infinite in float32")
    array = without_subnormals(array)
    return array if array.ndim == 4 else array[None]


def _recorded(network: Network, record: Iterable[str] | Literal["all"]) -> tuple[str, ...]:
    known = tuple(node.name for node in network.neurons)
    if record == "all":
        return known
    names = (record,) if isinstance(record, str) else tuple(record)
    unknown = [str(name) for name in names if name not in known]
    if unknown:
        raise InputError(f"record names no Neurons node: {first_few(unknown)}; there are {first_few(known)}")
    return names
