"""Write a network as a NIR file, which other simulators and neuromorphic processors read."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, SpikeunetError, first_few
from spikeunet.engine.files.atomic import atomic_write, input_errors
from spikeunet.engine.files.neuron_models import encode_neuron
from spikeunet.engine.graph import Input, Network, Neurons, Node, Output, Projection
from spikeunet.engine.neurons import Integrator, LeakyIntegrator, NeuronModel, level_table

from .neurons import check_dt, metadata_of, nir_fields

Array = NDArray[Any]

ONE_AXIS = ("Affine", "Flatten")
"""Kinds that put out what has one axis."""


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
    check_dt(dt)
    graph = _Writer(nir, network, _size(network, size), dt, extensions).graph()
    content = io.BytesIO()
    nir.write(content, graph)
    with input_errors(path), atomic_write(path) as stream:
        stream.write(content.getvalue())


def _size(network: Network, size: tuple[int, int] | None) -> tuple[int, int]:
    known = size if size is not None else network.metadata.get("conversion", {}).get("input_size")
    if known is None and _reads_features(network):
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


def _reads_features(network: Network) -> bool:
    """Whether matrices read all inputs, so that pictures are single pixels."""
    try:
        shapes = network.shapes((sum(node.channels for node in network.inputs), 1, 1))
    except SpikeunetError:
        return False
    names = {node.name for node in network.inputs}
    readers = [node for node in network.nodes if isinstance(node, Projection) and node.source in names]
    return all(_kind(node, shapes[node.source]) in ONE_AXIS for node in readers)


def _kind(node: Projection, incoming: tuple[int, int, int]) -> str:
    """Kind of a layer in NIR; empty where it has none."""
    found = node.interchange(incoming, (0, incoming[0]))
    return "" if found is None else found[0]


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
        projections = [node for node in network.nodes if isinstance(node, Projection)]
        self.kinds = {node.name: _kind(node, self.shapes[node.source]) for node in projections}
        self.features = self._with_one_axis()
        self.ends: dict[str, list[str]] = {}

    def graph(self) -> Any:
        """The NIRGraph."""
        self._refuse_layers()
        for node in self.network.nodes:
            if isinstance(node, Input):
                if node.encoder is not None:
                    raise self._refusal(
                        node,
                        f"has an encoder that NIR does not have, {type(node.encoder).__name__}; write the network with "
                        "encoder=None, and give who reads the file the spikes",
                    )
                self.nodes[node.name] = self.nir.Input({"input": np.array(self._shape(node.name))})
        for node in self.network.nodes:
            if isinstance(node, Projection):
                self.ends[node.name] = self._projection(node)
            elif isinstance(node, Neurons):
                self.nodes[node.name] = self._neurons(node)
        for node in self.network.nodes:
            if isinstance(node, (Neurons, Output)):
                self._connect(node)
        names = _names_in_hdf5(self.nodes)
        nodes = {names[name]: part for name, part in self.nodes.items()}
        return self.nir.NIRGraph(nodes=nodes, edges=[(names[begin], names[end]) for begin, end in self.edges])

    def _refuse_layers(self) -> None:
        """InputError where there are layers that no file of NIR can hold, before anything is said of neurons."""
        missing = [node for node in self.network.nodes if isinstance(node, Projection) and not self.kinds[node.name]]
        if missing:
            kinds = first_few(dict.fromkeys(type(node).__name__ for node in missing))
            raise InputError(
                f"NIR has no {kinds} ({first_few(repr(node.name) for node in missing)}), and there is no extension for "
                "them: keep the model file; a network of convolutions, matrices, scales, sum and average pools can be "
                "written"
            )

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
                one = self.shapes[node.name][1:] == (1, 1) and all(
                    self.kinds.get(each.name) in ONE_AXIS for each in readers
                )
            elif isinstance(node, Projection) and self.kinds[node.name] != "Scale":
                one = self.kinds[node.name] in ONE_AXIS
            else:
                one = found.issuperset(before)
            found |= {node.name} if one else set()
        return found

    def _shape(self, name: str) -> tuple[int, ...]:
        channels, height, width = self.shapes[name]
        if name in self.features:
            return (math.prod(self.shapes[name]),)
        signals = height == 1 and "Conv1d" in self.kinds.values()
        return (channels, width) if signals else (channels, height, width)

    # --- Synapses ----------------------------------------------------------------------------------------------------

    def _projection(self, node: Projection) -> list[str]:
        """Nodes of NIR for a layer, one for each population that it reads; the names of those at its end."""
        ends, first, leaves = [], 0, self.network.leaves(node.source)
        for number, leaf in enumerate(leaves):
            part = (first, first + self.shapes[leaf][0])
            found = node.interchange(self.shapes[node.source], part)
            if found is None:
                raise self._refusal(node, "reads a Concat; only a convolution without groups or a matrix can be split")
            first = part[1]
            name = node.name if len(leaves) == 1 else f"{node.name}.{leaf}.{number}"
            ends.append(self._placed(node, leaf, name, *found))
        return ends

    def _placed(self, node: Projection, leaf: str, name: str, kind: str, fields: dict[str, Any]) -> str:
        """Put a node behind the population that it reads, a Delay and a Flatten between where they are needed."""
        begin = leaf
        if node.delay and not self._reads_itself(node, leaf):
            if self.dt is None:
                raise self._refusal(
                    node, "has a delay, which NIR states in seconds; say how long a step is (--dt, dt=)"
                )
            begin = self._added(f"{name}.delay", begin, self.nir.Delay(np.full(self._shape(leaf), self.dt)))
        if kind in ONE_AXIS and leaf not in self.features:
            shape = {"input": np.array(self._shape(leaf))}
            flatten = self.nir.Flatten(input_type=shape, start_dim=0, end_dim=-1)
            begin = self._added(name if kind == "Flatten" else f"{name}.flatten", begin, flatten)
        if kind == "Flatten" or (kind == "Scale" and (fields["scale"] == 1).all()):
            return begin  # an edge says as much
        if kind == "Scale":
            fields = {"scale": fields["scale"].reshape(self._shape(node.name))}
        if kind == "Conv2d" and leaf in self.features:
            raise self._refusal(node, "has a bias; fold it into the layer before, or make it a Linear")
        return self._added(name, begin, getattr(self.nir, kind)(**fields))

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


def _names_in_hdf5(names: Iterable[str]) -> dict[str, str]:
    """Names by names of nodes: HDF5 takes a slash, which ONNX files often have, for a group within a group."""
    given = dict.fromkeys(names)
    found: dict[str, str] = {}
    for name in given:
        other = name.strip("/").replace("/", ".")
        other = other if other.strip(".") else "node"
        while other != name and (other in given or other in found.values()):
            other += "_"
        found[name] = other
    return found


def _as_stored(value: Array) -> Array:
    """As float32 where that is exact."""
    short = value.astype(np.float32)
    return short if (short == value).all() else value


def _named(model: NeuronModel) -> str:
    return type(getattr(model, "model", model)).__name__
