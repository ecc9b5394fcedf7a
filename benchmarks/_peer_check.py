"""Whether two simulations fire the same spikes, on numbers for which that question has an exact answer.

Two dense convolutions add up the same products in different orders; in float32 their sums differ in the last bit, and
once in a while a potential lies so near a threshold that a spike differs, after which more do. So that equality means
equality, the network is compared as a *twin*: weights, biases, thresholds and the picture rounded to multiples of a
power of two, as few digits as it takes for every sum to be exact in any order. That is proved on the run itself, by
running the dense simulation on absolute values: a sum of numbers that are multiples of g, whose absolute values add up
to no more than 2**24 g, is exact in float32 whatever the order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from _peer_dense import Straightforward, ladder_of

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)

PICTURE_BITS = 8
THRESHOLD_BITS = 8
WEIGHT_BITS = (14, 12, 11, 10, 9, 8, 7, 6, 5)
"""Binary digits after the point of the twin's weights: the first of these that is proved exact."""

LIMIT = 2.0**24
"""Below this every whole number is a float32."""


@dataclass
class Differences:
    """How many of the neurons' steps two runs differ in, over all layers."""

    compared: int = 0
    different: int = 0
    fired: int = 0

    @property
    def share(self) -> float:
        """Of all neurons and steps."""
        return self.different / max(1, self.compared)


def compare(network: Network, picture: np.ndarray, steps: int, run: Callable) -> tuple[Differences, float]:
    """Spikes of the engine against those that `run(picture, steps, observe)` shows; and the outputs' largest gap."""
    result = simulate(network, picture, steps, record=("spikes",))
    found = Differences()

    def observe(name: str, first: int, spikes: np.ndarray) -> None:
        expected = result.spikes[name][first : first + len(spikes)]
        if expected.shape != spikes.shape:
            raise SystemExit(f"{name}: spikes of the shape {spikes.shape}, not {expected.shape}")
        found.compared += expected.size
        found.different += int(np.count_nonzero(expected != spikes))
        found.fired += int(np.count_nonzero(expected))

    output = run(picture, steps, observe)
    every = steps * sum(result.neurons.values())
    if found.compared != every:
        raise SystemExit(f"compared {found.compared} of {every} neurons and steps")
    return found, float(np.abs(output - result.output).max())


def exact_twin(network: Network, picture: np.ndarray, steps: int) -> tuple[Network, np.ndarray, int]:
    """The network and the picture rounded so that no sum of a run of so many steps rounds; and the weights' digits."""
    rounded = _round(picture, PICTURE_BITS)
    for bits in WEIGHT_BITS:
        twin = network.replace([_rounded_node(node, bits) for node in network.nodes])
        if _is_exact(twin, rounded, steps, bits):
            return twin, rounded, bits
    raise SystemExit(f"no rounding of the weights makes all sums of {steps} steps exact; check fewer steps")


def _round(values: np.ndarray, bits: int) -> np.ndarray:
    return (np.round(np.asarray(values, np.float64) * 2**bits) / 2**bits).astype(np.float32)


def _rounded_node(node, bits: int):
    if isinstance(node, (Conv2d, ConvTranspose2d)):
        return replace(node, weight=_round(node.weight, bits), bias=_round(node.bias, bits))
    if not isinstance(node, Neurons):
        return node
    initial = float(_round(node.model.initial, THRESHOLD_BITS))
    if isinstance(node.model, MultiThreshold):
        thresholds = tuple(_round(node.model.thresholds, THRESHOLD_BITS).tolist())
        return replace(node, model=MultiThreshold(thresholds, initial, node.model.strict))
    if isinstance(node.model, IntegrateAndFire):
        threshold = float(_round(node.model.threshold, THRESHOLD_BITS))
        return replace(node, model=replace(node.model, threshold=threshold, initial=initial))
    raise SystemExit(f"the check knows no {node.model!r} ({node.name})")


def _is_exact(network: Network, picture: np.ndarray, steps: int, bits: int) -> bool:
    """Whether no sum of a run can round, by the absolute values of all that is added up in it."""
    run = _AbsoluteSums(network, bits)
    run.run(picture, steps)
    return run.exact


class _AbsoluteSums(Straightforward):
    """The straightforward simulation; each synapse and neuron also checks how large its absolute sums become."""

    def __init__(self, network: Network, bits: int) -> None:
        super().__init__(network)
        self.exact = True
        self.digits = _digits(network, bits)
        for name, module in self.modules.items():
            self._watch(name, module)

    def _watch(self, name: str, module: torch.nn.Module) -> None:
        absolute = None
        if hasattr(module, "weight"):
            absolute = [module.weight.detach().abs(), module.bias.detach().abs()]

        def after(_, arguments, current):
            sums = current.abs()
            if absolute is not None:
                kept = module.weight.data, module.bias.data
                module.weight.data, module.bias.data = absolute
                sums = module.forward(arguments[0].abs())
                module.weight.data, module.bias.data = kept
            self._require(name, float(sums.max()))

        module.register_forward_hook(after)

    def _require(self, name: str, largest: float) -> None:
        self.exact &= largest * 2.0 ** self.digits[name] <= LIMIT

    @torch.no_grad()
    def run(self, picture: np.ndarray, steps: int, observe=None) -> np.ndarray:
        """As the base class; the potentials and the readout are bounded by sums over the steps as well."""
        readers = [node for node in self.network.nodes if isinstance(node, (Neurons, Output))]
        # The synapses whose currents each gets; one that a sum names twice comes twice.
        drives = {node.name: [each.name for each in self.network.projections(node.source)] for node in readers}
        sums = dict.fromkeys(drives, 0.0)

        def add(name: str) -> Callable:
            def hook(_, __, current):
                for reader, sources in drives.items():
                    if name in sources:
                        sums[reader] = sums[reader] + sources.count(name) * current.abs()

            return hook

        for name, module in self.modules.items():
            module.register_forward_hook(add(name))
        output = super().run(picture, steps, observe)
        for reader, total in sums.items():
            node = self.network[reader]
            # What a potential gains; what it loses by firing makes it smaller again.
            initial = abs(ladder_of(node).initial) if isinstance(node, Neurons) else 0.0
            self._require(reader, float(total.max()) + initial)
        return output


def _digits(network: Network, bits: int) -> dict[str, int]:
    """Binary digits after the point of what each node puts out, and of the potentials of Neurons."""
    digits: dict[str, int] = {}
    emitted: dict[str, int] = {}
    for node in network.nodes:
        source = max((emitted[name] for name in node.sources), default=0)
        if isinstance(node, Input):
            emitted[node.name] = PICTURE_BITS
        elif isinstance(node, (Conv2d, ConvTranspose2d)):
            emitted[node.name] = source + bits
        elif isinstance(node, AvgPool2d):
            area = math.log2(node.kernel_size[0] * node.kernel_size[1])
            if area != int(area):
                raise SystemExit(f"{node.name}: a pool whose area is no power of two rounds; there is no exact twin")
            emitted[node.name] = source + int(area)
        elif isinstance(node, Neurons):
            ladder = ladder_of(node)
            emitted[node.name] = max(_places(threshold) for threshold in ladder.thresholds)
            digits[node.name] = max(source, emitted[node.name], _places(ladder.initial))
        elif isinstance(node, (Concat, Add, Output)):
            emitted[node.name] = source
        digits.setdefault(node.name, emitted[node.name])
    return digits


def _places(value: float) -> int:
    """Binary digits after the point."""
    return max(0, float(value).as_integer_ratio()[1].bit_length() - 1)
