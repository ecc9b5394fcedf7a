"""Write a network as a NIR file, which other simulators and neuromorphic processors read."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, SpikeunetError
from spikeunet.engine.files.atomic import atomic_write, input_errors
from spikeunet.engine.files.neuron_models import encode_neuron
from spikeunet.engine.graph import Input, Network, Neurons, Node, Output, Projection, Shape
from spikeunet.engine.layers import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    Scale,
    SumPool2d,
)
from spikeunet.engine.neurons import Integrator, LeakyIntegrator, NeuronModel, level_table

from .neurons import metadata_of, nir_fields

Array = NDArray[Any]


def write_nir(
    network: Network,
    path: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    dt: float | None = None,
    extensions: bool = False,
) -> None:
    """Write a network to a NIR file, atomically; `read_nir` of it gives the same spikes.

    A convolution of a concatenation becomes one convolution for each of its parts, into the same population. What NIR
    has no field for (dt, integration, reset, initial potentials) stands as JSON in the metadata of the neurons, under
    "spikeunet", which other readers pass over.

    Parameters
    ----------
    network : Network
    path : str or path-like
        An existing file is replaced.
    size : (height, width), optional
        Of the pictures, which NIR fixes; by default what the network's file said when it was imported, or (1, 1) where
        it reads features alone.
    dt : float, optional
        A step in seconds, for delays; by default that of the neurons.
    extensions : bool
        Whether neurons that NIR does not have (multi-threshold neurons, spikes of another value than 1) are written as
        IF of their smallest threshold, with the model in the metadata. Other simulators read such a file, and run it
        as what it is without the metadata.

    Raises
    ------
    InputError
        If a node has no form in NIR, named with the remedy; the size is missing or does not fit; or the file cannot be
        written.
    """
    try:
        import nir
    except ImportError:
        raise InputError("to write NIR files needs the extra: pip install spikeunet[nir]") from None
    graph = _Writer(nir, network, _size(network, size), dt, extensions).graph()
    content = io.BytesIO()
    nir.write(content, graph)
    with input_errors(path), atomic_write(path) as stream:
        stream.write(content.getvalue())


def _size(network: Network, size: tuple[int, int] | None) -> tuple[int, int]:
    known = size if size is not None else network.metadata.get("conversion", {}).get("input_size")
    if known is None and all(isinstance(node, Linear) for node in network.nodes if isinstance(node, Projection)):
        known = (1, 1)
    whole = (
        isinstance(known, (tuple, list)) and len(known) == 2 and all(type(side) is int and side > 0 for side in known)
    )
    if not whole:
        raise InputError(
            f"NIR fixes the size of the pictures; state it, height and width (--size HxW, size=(H, W)) (got {known!r})"
        )
    height, width = known
    return height, width


class _Writer:
    """Nodes and edges of the NIR graph."""

    def __init__(self, nir: Any, network: Network, size: tuple[int, int], dt: float | None, extensions: bool) -> None:
        self.nir, self.network, self.extensions = nir, network, extensions
        channels = sum(node.channels for node in network.inputs)
        self.shapes = network.shapes((channels, *size))
        models = [getattr(node.model, "model", node.model) for node in network.neurons]
        self.dt = dt if dt is not None else next((m.dt for m in models if hasattr(m, "dt")), None)
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.features = self._with_one_axis()
        self.ends: dict[str, list[str]] = {}

    def graph(self) -> Any:
        """The NIRGraph."""
        for node in self.network.nodes:
            if isinstance(node, Input):
                self.nodes[node.name] = self.nir.Input({"input": np.array(self._shape(node.name))})
        for node in self.network.nodes:
            if isinstance(node, Projection):
                self.ends[node.name] = self._projection(node)
            elif isinstance(node, Neurons):
                self.nodes[node.name] = self._neurons(node)
        for node in self.network.nodes:
            if isinstance(node, (Neurons, Output)):
                self._connect(node)
        return self.nir.NIRGraph(nodes=self.nodes, edges=self.edges)

    # --- Shapes ------------------------------------------------------------------------------------------------------

    def _with_one_axis(self) -> set[str]:
        """Nodes that put out what has one axis in NIR."""
        found: set[str] = set()
        seen: set[str] = set()
        for node in self.network.by_size:
            before = [source for source in node.sources if source in seen]
            seen.add(node.name)
            if isinstance(node, Input):
                readers = [each for each in self.network.nodes if node.name in each.sources]
                one = self.shapes[node.name][1:] == (1, 1) and all(isinstance(each, Linear) for each in readers)
            elif isinstance(node, Projection) and not isinstance(node, Scale):
                one = isinstance(node, (Linear, Flatten))
            else:
                one = found.issuperset(before)
            found |= {node.name} if one else set()
        return found

    def _shape(self, name: str) -> tuple[int, ...]:
        channels, height, width = self.shapes[name]
        if name in self.features:
            return (math.prod(self.shapes[name]),)
        signals = height == 1 and any(isinstance(node, Conv1d) for node in self.network.nodes)
        return (channels, width) if signals else (channels, height, width)

    # --- Synapses ----------------------------------------------------------------------------------------------------

    def _projection(self, node: Projection) -> list[str]:
        """Nodes of NIR for a layer, one for each population that it reads; the names of those at its end."""
        leaves = self.network.leaves(node.source)
        if len(leaves) > 1 and not isinstance(node, (Conv2d, Conv1d, Linear)):
            raise self._refusal(node, "reads a Concat; only a convolution or a matrix can be taken apart")
        ends, first = [], 0
        for number, leaf in enumerate(leaves):
            channels = self.shapes[leaf][0]
            part = self._part(node, number, (first, first + channels), len(leaves), self.shapes[leaf])
            first += channels
            name = node.name if len(leaves) == 1 else f"{node.name}.{leaf}.{number}"
            ends.append(self._placed(node, leaf, name, part))
        return ends

    def _placed(self, node: Projection, leaf: str, name: str, part: Any) -> str:
        """Put a node behind the population that it reads, a Delay and a Flatten between where they are needed."""
        begin = leaf
        if node.delay and not self._reads_itself(node, leaf):
            if self.dt is None:
                raise self._refusal(
                    node, "has a delay, which NIR states in seconds; say how long a step is (--dt, dt=)"
                )
            begin = self._added(f"{name}.delay", begin, self.nir.Delay(np.full(self._shape(leaf), self.dt)))
        if part is None:
            return begin
        if isinstance(node, (Linear, Flatten)) and leaf not in self.features:
            shape = np.array(self._shape(leaf))
            flatten = self.nir.Flatten(input_type={"input": shape}, start_dim=0, end_dim=-1)
            begin = self._added(name if isinstance(node, Flatten) else f"{name}.flatten", begin, flatten)
        return begin if isinstance(node, Flatten) else self._added(name, begin, part)

    def _added(self, name: str, begin: str, part: Any) -> str:
        while name in self.nodes or (name in {node.name for node in self.network.neurons}):
            name += "_"
        self.nodes[name] = part
        self.edges.append((begin, name))
        return name

    def _reads_itself(self, node: Projection, leaf: str) -> bool:
        """Whether a delay is that of a population's loop to itself, which a plain edge of NIR says."""
        readers = [each for each in self.network.neurons if node.name in self._parts(each.source)]
        return bool(readers) and all(each.name == leaf for each in readers)

    def _parts(self, source: str) -> list[str]:
        return [part.name for part in self.network.projections(source)]

    def _part(self, node: Projection, number: int, channels: tuple[int, int], parts: int, shape: Shape) -> Any:
        """A layer as a node of NIR, of some of its channels; None where it is no more than an edge."""
        make: Callable[..., Any] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if make is None:
            raise self._refusal(
                node, "is of a kind that NIR does not have; there are Conv1d, Conv2d, Linear, Scale, pools and Flatten"
            )
        if isinstance(node, (Conv2d, Conv1d, Linear)):
            bias = node.bias if number == 0 else np.zeros_like(node.bias)
            return make(node, self._columns(node, channels, parts, shape), bias, shape)
        return make(node, shape)

    def _columns(self, node: Conv2d | Conv1d | Linear, channels: tuple[int, int], parts: int, shape: Shape) -> Array:
        """The weights of some input channels."""
        if parts == 1:
            return node.weight
        if isinstance(node, Linear):
            pixels = math.prod(shape[1:])
            return node.weight[:, channels[0] * pixels : channels[1] * pixels]
        if node.groups > 1:
            raise self._refusal(node, "reads a Concat in groups, which cannot be taken apart")
        return node.weight[:, channels[0] : channels[1]]

    def _conv2d(self, node: Conv2d, weight: Array, bias: Array, shape: Shape) -> Any:
        pairs = {name: getattr(node, name) for name in ("stride", "padding", "dilation")}
        return self.nir.Conv2d(shape[1:], np.ascontiguousarray(weight), groups=node.groups, bias=bias, **pairs)

    def _conv1d(self, node: Conv1d, weight: Array, bias: Array, shape: Shape) -> Any:
        numbers = {name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")}
        return self.nir.Conv1d(shape[2], np.ascontiguousarray(weight), bias=bias, **numbers)

    def _linear(self, node: Linear, weight: Array, bias: Array, shape: Shape) -> Any:  # noqa: ARG002
        return self.nir.Affine(np.ascontiguousarray(weight), bias)

    def _scale(self, node: Scale, shape: Shape) -> Any:
        if node.bias.any():
            if node.name in self.features:
                raise self._refusal(node, "has a bias; fold it into the layer before, or make it a Linear")
            weight = node.weight.reshape(-1, 1, 1, 1)
            return self.nir.Conv2d(shape[1:], weight, (1, 1), (0, 0), (1, 1), len(weight), node.bias)
        if (node.weight == 1).all():
            return None
        factors = np.broadcast_to(node.weight[:, None, None], shape)
        return self.nir.Scale(factors.reshape(self._shape(node.name)).copy())

    def _avgpool2d(self, node: AvgPool2d, shape: Shape) -> Any:  # noqa: ARG002
        return self.nir.AvgPool2d(*map(np.array, (node.kernel_size, node.stride, node.padding)))

    def _sumpool2d(self, node: SumPool2d, shape: Shape) -> Any:  # noqa: ARG002
        return self.nir.SumPool2d(*map(np.array, (node.kernel_size, node.stride, node.padding)))

    def _globalavgpool2d(self, node: GlobalAvgPool2d, shape: Shape) -> Any:  # noqa: ARG002
        return self.nir.AvgPool2d(np.array(shape[1:]), np.array(shape[1:]), np.array((0, 0)))

    def _flatten(self, node: Flatten, shape: Shape) -> Any:  # noqa: ARG002
        return node

    # --- Populations -------------------------------------------------------------------------------------------------

    def _neurons(self, node: Neurons) -> Any:
        shape = self._shape(node.name)
        found = nir_fields(node.model, self.shapes[node.name])
        if found is None:
            return self._extension(node, shape)
        kind, values, said = found
        arrays = {name: _as_stored(value).reshape(shape) for name, value in values.items()}
        return getattr(self.nir, kind)(**arrays, metadata=metadata_of(said))

    def _extension(self, node: Neurons, shape: tuple[int, ...]) -> Any:
        if not self.extensions:
            raise self._refusal(
                node,
                f"has neurons that NIR does not have, {_named(node.model)}; take IntegrateAndFire(1.0), "
                "PerfectIntegrateAndFire or Lapicque, or write them as an extension (--extensions, extensions=True)",
            )
        try:
            said = encode_neuron(node.model)
        except SpikeunetError as error:
            raise self._refusal(node, f"has neurons that cannot be written: {error}") from None
        if said["type"] == "Heterogeneous":
            raise self._refusal(node, "has neurons whose parameters differ and of which NIR has no fields")
        threshold = np.full(shape, level_table(node.model).unit, np.float32)
        return self.nir.IF(r=np.ones(shape, np.float32), v_threshold=threshold, metadata=metadata_of(said))

    def _connect(self, node: Neurons | Output) -> None:
        """Edges into a population or an Output, which must exist."""
        silent = self._membrane(node) if isinstance(node, Output) else None
        if isinstance(node, Output):
            self.nodes[node.name] = self.nir.Output({"output": np.array(self._shape(silent or node.name))})
        if silent is not None:
            self.edges.append((silent, node.name))
            return
        for part in self._parts(node.source):
            self.edges += [(end, node.name) for end in self.ends[part]]

    def _membrane(self, node: Output) -> str | None:
        """Neurons without spikes that read what an Output adds up: what NIR puts out is their potential."""
        for each in self.network.neurons:
            model = getattr(each.model, "model", each.model)
            if each.source == node.source and isinstance(model, (Integrator, LeakyIntegrator)):
                return each.name
        return None

    def _refusal(self, node: Node, message: str) -> InputError:
        return InputError(f"NIR: {type(node).__name__} {node.name!r} {message}")


def _as_stored(value: Array) -> Array:
    """As float32 where that is exact."""
    short = value.astype(np.float32)
    return short if (short == value).all() else value


def _named(model: NeuronModel) -> str:
    return type(getattr(model, "model", model)).__name__
