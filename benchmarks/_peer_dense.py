"""Dense simulations of a spiking network in PyTorch: one straightforward, one as fast as its author could make it.

Both do what the engine does, for multi-threshold and integrate-and-fire neurons that subtract what they emit.
`observe(name, first_step, spikes)`, where given, sees the spikes (steps, C, H, W) of every layer of neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import torch
from _twins import synapse_module

from spikeunet.engine import Add, Concat, Input, IntegrateAndFire, MultiThreshold, Network, Neurons, Node, Output
from spikeunet.engine.graph import Projection

Observer = Callable[[str, int, np.ndarray], None]


@dataclass(frozen=True)
class Ladder:
    """Thresholds in descending order, comparison and initial potential of a population."""

    thresholds: tuple[float, ...]
    strict: bool
    initial: float

    @property
    def quantum(self) -> float:
        """Smallest threshold, where every threshold is twice the next smaller one; otherwise 0."""
        pairs = pairwise(self.thresholds)
        exact = math.frexp(self.thresholds[-1])[0] == 0.5  # a power of two, so that the quotient does not round
        return self.thresholds[-1] if exact and all(high == 2 * low for high, low in pairs) else 0.0


def ladder_of(node: Neurons) -> Ladder:
    """Parameters of the neurons; SystemExit where these simulations do not know them."""
    model = node.model
    if isinstance(model, MultiThreshold):
        return Ladder(tuple(np.float32(model.thresholds).tolist()), model.strict, float(np.float32(model.initial)))
    if isinstance(model, IntegrateAndFire) and model.reset == "subtract":
        return Ladder((float(np.float32(model.threshold)),), model.strict, float(np.float32(model.initial)))
    raise SystemExit(f"the dense simulations know no {model!r} ({node.name})")


class Values(dict):
    """What the nodes put out, each value forgotten after its last reader, as in a network written out by hand."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.readers = {name: node.name for node in network.nodes for name in node.sources}

    def release(self, node: Node) -> None:
        """Forget what nobody reads after `node`."""
        for name in node.sources:
            if self.readers[name] == node.name:
                self.pop(name, None)


# --- Straightforward -------------------------------------------------------------------------------------------------


class Straightforward:
    """Step by step through all layers: a convolution of the spike tensor, then threshold after threshold."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.modules = {node.name: synapse_module(node) for node in network.nodes if isinstance(node, Projection)}
        self.ladders = {node.name: ladder_of(node) for node in network.neurons}

    @torch.no_grad()
    def run(self, picture: np.ndarray, steps: int, observe: Observer | None = None) -> np.ndarray:
        """Readout after the last step, divided by the number of steps; picture (C, H, W) float32."""
        potentials = {name: torch.tensor(ladder.initial) for name, ladder in self.ladders.items()}
        total = torch.tensor(0.0)
        for step in range(steps):
            values = Values(self.network)
            for node in self.network.nodes:
                if isinstance(node, Input):
                    values[node.name] = torch.from_numpy(picture)[None]
                elif isinstance(node, Concat):
                    values[node.name] = torch.cat([values[name] for name in node.sources], dim=1)
                elif isinstance(node, Add):
                    values[node.name] = sum(values[name] for name in node.sources)
                elif isinstance(node, Neurons):
                    current = values[node.source]
                    spikes, potentials[node.name] = _update(self.ladders[node.name], potentials[node.name], current)
                    values[node.name] = spikes
                    if observe is not None:
                        observe(node.name, step, spikes.numpy())
                elif isinstance(node, Output):
                    total = total + values[node.source]
                else:
                    values[node.name] = self.modules[node.name](values[node.source])
                values.release(node)
        return (total / steps)[0].numpy()


def _update(ladder: Ladder, potential: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the neurons emit, and their potentials afterwards."""
    potential = potential + current
    emitted = torch.zeros_like(potential)
    for threshold in ladder.thresholds:
        fired = (potential > threshold if ladder.strict else potential >= threshold).float()
        emitted = emitted + threshold * fired
        potential = potential - threshold * fired
    return emitted, potential


# --- Optimised -------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fire_binary_ladder(currents, first, last, quantum, highest, strict, initial, spikes):
    """Neurons first ... last - 1 over all steps; a block's potentials stay in the first-level cache.

    currents : (steps, N) float32, or (1, N) where every step has the same; spikes : (steps, N) float32, may be currents
    """
    # ceil(x) - 1 and floor(x) as one formula without a branch, so that the loop becomes vector instructions.
    sign = np.float32(-1 if strict else 1)
    scale = sign / quantum
    below = np.float32(1 if strict else 0)
    zero = np.float32(0)
    potentials = np.empty(2048, np.float32)
    for begin in range(first, last, potentials.size):
        end = min(begin + potentials.size, last)
        potentials[:] = initial
        for step in range(spikes.shape[0]):
            drive = currents[min(step, currents.shape[0] - 1), begin:end]
            emitted = spikes[step, begin:end]
            for k in range(end - begin):
                potential = potentials[k] + drive[k]
                level = sign * np.floor(potential * scale) - below
                level = max(zero, level)
                value = quantum * min(highest, level)
                emitted[k] = value
                potentials[k] = potential - value


@numba.njit(nogil=True, cache=True)
def _fire_ladder(currents, first, last, thresholds, strict, initial, spikes):
    """The same for thresholds of any ratio."""
    # v >= theta is v > the next smaller number.
    compare = thresholds if strict else np.nextafter(thresholds, np.float32(-np.inf))
    potentials = np.empty(2048, np.float32)
    for begin in range(first, last, potentials.size):
        end = min(begin + potentials.size, last)
        potentials[:] = initial
        for step in range(spikes.shape[0]):
            drive = currents[min(step, currents.shape[0] - 1), begin:end]
            emitted = spikes[step, begin:end]
            for k in range(end - begin):
                potentials[k] += drive[k]
                emitted[k] = 0
            for place in range(thresholds.size):
                threshold, value_fired = compare[place], thresholds[place]
                for k in range(end - begin):
                    value = value_fired if potentials[k] > threshold else np.float32(0)
                    emitted[k] += value
                    potentials[k] -= value


class Optimised:
    """Layer by layer, all steps of a layer in one convolution.

    Channels last; the steps stand in the place of the batch, so that weights are prepared once for all; what depends on
    the picture alone is computed once; neurons run over all steps in one pass over memory, in place, by the closed form
    where the ladder has one.
    """

    def __init__(self, network: Network, threads: int) -> None:
        self.network = network
        self.pool = ThreadPoolExecutor(threads)
        self.threads = threads
        modules = {node.name: synapse_module(node) for node in network.nodes if isinstance(node, Projection)}
        self.modules = {name: module.to(memory_format=torch.channels_last) for name, module in modules.items()}
        self.ladders = {node.name: ladder_of(node) for node in network.neurons}
        readers = [name for node in network.nodes for name in node.sources]
        self.shared = {name for name in readers if readers.count(name) > 1}

    @torch.inference_mode()
    def run(self, picture: np.ndarray, steps: int, observe: Observer | None = None) -> np.ndarray:
        """Readout after the last step, divided by the number of steps; picture (C, H, W) float32.

        A value that is the same at every step has a single entry in the place of the steps.
        """
        values = Values(self.network)
        for node in self.network.nodes:
            if isinstance(node, Input):
                picture_tensor = torch.from_numpy(picture)[None]
                values[node.name] = picture_tensor.contiguous(memory_format=torch.channels_last)
            elif isinstance(node, Concat):
                parts = [values[name] for name in node.sources]
                most = max(len(part) for part in parts)
                values[node.name] = torch.cat([part.expand(most, -1, -1, -1) for part in parts], dim=1)
            elif isinstance(node, Add):
                values[node.name] = sum(values[name] for name in node.sources)
            elif isinstance(node, Neurons):
                values[node.name] = self._fire(node, values[node.source], steps)
                if observe is not None:
                    observe(node.name, 0, values[node.name].numpy())
            elif isinstance(node, Output):
                current = values[node.source]
                return (current.sum(0) / len(current)).numpy()
            else:
                values[node.name] = self.modules[node.name](values[node.source])
            values.release(node)
        raise AssertionError("a network has an Output")

    def _fire(self, node: Neurons, currents: torch.Tensor, steps: int) -> torch.Tensor:
        currents = currents.contiguous(memory_format=torch.channels_last)
        in_place = len(currents) == steps and node.source not in self.shared
        spikes = (
            currents
            if in_place
            else currents.new_empty((steps, *currents.shape[1:])).contiguous(memory_format=torch.channels_last)
        )
        flat, emitted = (each.permute(0, 2, 3, 1).reshape(len(each), -1).numpy() for each in (currents, spikes))
        ladder = self.ladders[node.name]
        common = (ladder.strict, np.float32(ladder.initial), emitted)
        if ladder.quantum:
            highest = np.float32(2 ** len(ladder.thresholds) - 1)
            kernel, constants = _fire_binary_ladder, (np.float32(ladder.quantum), highest, *common)
        else:
            kernel, constants = _fire_ladder, (np.asarray(ladder.thresholds, np.float32), *common)
        runs = [self.pool.submit(kernel, flat, first, last, *constants) for first, last in self._parts(flat.shape[1])]
        for run in runs:
            run.result()
        return spikes

    def _parts(self, size: int) -> Iterator[tuple[int, int]]:
        edges = np.linspace(0, size, self.threads + 1).astype(int).tolist()
        return pairwise(edges)
