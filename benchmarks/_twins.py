"""A network of this package once more as PyTorch modules, and what other packages count in it.

`Twin` has the same weights; its neurons come from the package whose counter is asked, so that the counter sees what it
was made for. Every function returns a `Count` that also holds the spikes, for the caller to compare with the engine's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from spikeunet.engine import Add, AvgPool2d, Concat, Conv2d, ConvTranspose2d, Linear, Network, Neurons
from spikeunet.engine.graph import Projection

Modules = Callable[[Neurons], nn.Module]


@dataclass
class Count:
    """What a counter says, by node or as a total, and the spikes of the run, (N, T, C, H, W), by layer."""

    totals: dict[str, float] = field(default_factory=dict)
    by_node: dict[str, float] = field(default_factory=dict)
    spikes: dict[str, np.ndarray] = field(default_factory=dict)


class Twin(nn.Module):
    """The network's modules, called in the order of its nodes.

    Parameters
    ----------
    network : Network
    make_neuron : function
        From a Neurons node to a module that maps currents to spikes and keeps its potential.
    """

    def __init__(self, network: Network, make_neuron: Modules) -> None:
        super().__init__()
        self.network = network
        self.steps = nn.ModuleDict()
        self.constant: dict[str, torch.Tensor] = {}
        self.spikes: dict[str, list[torch.Tensor]] = defaultdict(list)
        for node in network.nodes:
            if isinstance(node, Neurons):
                self.steps[node.name] = make_neuron(node)
            elif isinstance(node, Projection):
                self.steps[node.name] = synapse_module(node)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Readout's current of one step, or of all where the neurons take the steps in the place of the batch."""
        values = {self.network.input.name: picture, **self.constant}
        for node in self.network.nodes:
            if node.name in values:
                continue
            parts = [values[name] for name in node.sources]
            if isinstance(node, Concat):
                values[node.name] = torch.cat(parts, dim=1)
            elif isinstance(node, Add):
                values[node.name] = sum(parts)
            elif isinstance(node, Linear):
                values[node.name] = self.steps[node.name](parts[0].flatten(1))[:, :, None, None]
            elif node.name in self.steps:
                values[node.name] = self.steps[node.name](parts[0])
            else:
                values[node.name] = parts[0]
            if isinstance(node, Neurons):
                self.spikes[node.name].append(values[node.name].detach().clone())
        return values[self.network.output.name], None

    def inject(self, picture: torch.Tensor) -> None:
        """Compute what depends on the picture alone now, once, as direct coding does, and not at every step."""
        analog = {self.network.input.name}
        values = {self.network.input.name: picture}
        for node in self.network.nodes:
            if isinstance(node, Concat) and analog.issuperset(node.sources):
                analog.add(node.name)
                values[node.name] = torch.cat([values[name] for name in node.sources], dim=1)
            elif isinstance(node, Projection) and node.source in analog:
                source = values[node.source].flatten(1) if isinstance(node, Linear) else values[node.source]
                current = self.steps[node.name](source)
                self.constant[node.name] = current[:, :, None, None] if isinstance(node, Linear) else current

    def run(self, pictures: torch.Tensor, steps: int, once: bool) -> torch.Tensor:
        """(T, N, ...) readout, step by step; `once` computes what the picture alone decides before the first step."""
        self.constant = {}
        with torch.no_grad():
            if once:
                self.inject(pictures)
            return torch.stack([self(pictures)[0] for _ in range(steps)])

    def recorded(self) -> dict[str, np.ndarray]:
        """(N, T, C, H, W) by layer of neurons, of a run step by step."""
        return {name: torch.stack(steps, dim=1).numpy() for name, steps in self.spikes.items()}


def synapse_module(node: Projection) -> nn.Module:
    """Conv2d, ConvTranspose2d, AvgPool2d or Linear with the node's weights."""
    if isinstance(node, AvgPool2d):
        return nn.AvgPool2d(node.kernel_size, node.stride, node.padding)
    if isinstance(node, Linear):
        module: nn.Module = nn.Linear(node.weight.shape[1], node.weight.shape[0])
    else:
        geometry = {name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")}
        kernel = tuple(node.weight.shape[2:])
        if isinstance(node, ConvTranspose2d):
            channels = (node.weight.shape[0], node.weight.shape[1] * node.groups)
            module = nn.ConvTranspose2d(*channels, kernel, output_padding=node.output_padding, **geometry)
        else:
            assert isinstance(node, Conv2d)
            module = nn.Conv2d(node.weight.shape[1] * node.groups, node.weight.shape[0], kernel, **geometry)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.array(node.weight)))
        module.bias.copy_(torch.from_numpy(np.array(node.bias)))
    return module


class Ladder(nn.Module):
    """Multi-threshold neurons, which none of the packages has; it emits the sum of the thresholds crossed."""

    def __init__(self, node: Neurons) -> None:
        super().__init__()
        self.thresholds = tuple(node.model.thresholds)
        self.potential: torch.Tensor | float = float(node.model.initial)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        potential = self.potential + current
        emitted = torch.zeros_like(current)
        for threshold in self.thresholds:
            fired = (potential > threshold) * threshold
            potential, emitted = potential - fired, emitted + fired
        self.potential = potential
        return emitted


def is_graded(network: Network) -> bool:
    """Whether any neuron has more than one threshold."""
    return any(len(getattr(node.model, "thresholds", ())) > 1 for node in network.neurons)


class LadderOverSteps(Ladder):
    """The same where the steps take the place of the batch."""

    def forward(self, currents: torch.Tensor) -> torch.Tensor:
        return torch.stack([super(LadderOverSteps, self).forward(current) for current in currents])


# --- NeuroBench ------------------------------------------------------------------------------------------------------


def neurobench_counts(network: Network, pictures: np.ndarray, steps: int, once: bool = False) -> Count:
    """Metrics of NeuroBench's harness with snnTorch's neurons; pictures (N, C, H, W), counts for one picture each.

    With `once`, the layers that read the picture run once, by a forward pass of one's own (`custom_forward`); without,
    the harness gives the network the picture at every step.
    """
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
    from neurobench.models import SNNTorchModel

    graded = is_graded(network)
    twin = Twin(network, Ladder if graded else snntorch_neuron)
    model = SNNTorchModel(_AllSteps(twin, steps) if once else twin, custom_forward=once)
    model.add_activation_module(Ladder)
    inputs = torch.from_numpy(np.array(pictures))[:, None].repeat(1, steps, 1, 1, 1)
    loader = DataLoader(TensorDataset(inputs, torch.zeros(len(inputs))), batch_size=len(inputs))
    metrics = [SynapticOperations, ActivationSparsity, *([] if graded else [MembraneUpdates])]
    benchmark = Benchmark(model, loader, [], [], [[Footprint, ParameterCount, ConnectionSparsity], metrics])
    with torch.no_grad():
        found = benchmark.run(quiet=True)
    operations = found.pop("SynapticOperations")
    # Buffers have their size after the first run only: the membrane potentials of all pictures of the batch.
    potentials = sum(module.mem.nbytes for module in twin.modules() if hasattr(module, "mem"))
    return Count({**operations, **found, "potential_bytes": potentials / len(inputs)}, spikes=twin.recorded())


def snntorch_neuron(node: Neurons) -> nn.Module:
    """snnTorch's neuron: fires where v > threshold, and subtracts the threshold at the next step."""
    import snntorch

    return snntorch.Leaky(beta=1.0, threshold=float(node.model.threshold), init_hidden=True)


class _AllSteps(nn.Module):
    """Takes (N, T, ...) and gives (T, N, ...), the form that NeuroBench calls a custom forward pass."""

    def __init__(self, twin: Twin, steps: int) -> None:
        super().__init__()
        self.twin = twin
        self.steps = steps

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.twin.run(inputs[:, 0], self.steps, once=True)


# --- sinabs ----------------------------------------------------------------------------------------------------------


def sinabs_counts(network: Network, picture: np.ndarray, steps: int) -> Count:
    """Synaptic operations of each Conv2d and Linear module by sinabs's hooks; picture (C, H, W)."""
    from sinabs.hooks import conv_layer_synops_hook, linear_layer_synops_hook

    graded = is_graded(network)
    twin = Twin(network, LadderOverSteps if graded else sinabs_neuron)
    hooks = {nn.Conv2d: conv_layer_synops_hook, nn.Linear: linear_layer_synops_hook}
    for module in twin.steps.values():
        if type(module) in hooks:
            module.register_forward_hook(hooks[type(module)])
    with torch.no_grad():
        twin(torch.from_numpy(np.array(picture))[None].repeat(steps, 1, 1, 1))
    counts = {
        name: steps * float(module.hook_data["layer_synops_per_timestep"])
        for name, module in twin.steps.items()
        if hasattr(module, "hook_data")
    }
    return Count(by_node=counts, spikes={name: each[0][None].numpy() for name, each in twin.spikes.items()})


def sinabs_sequential_counts(network: Network, picture: np.ndarray, steps: int) -> Count:
    """The same of a chain of layers in an nn.Sequential, where sinabs also corrects for average pools."""
    from sinabs.hooks import register_synops_hooks

    twin = Twin(network, sinabs_neuron)
    names, chain = [], nn.Sequential()
    for name, module in twin.steps.items():
        if isinstance(module, nn.Linear):
            names.append("")
            chain.append(nn.Flatten())
        names.append(name)
        chain.append(module)
    register_synops_hooks(chain)
    with torch.no_grad():
        chain(torch.from_numpy(np.array(picture))[None].repeat(steps, 1, 1, 1))
    found = chain.hook_data["synops_per_timestep"]
    return Count(by_node={names[index]: steps * float(count) for index, count in found.items()})


def sinabs_neuron(node: Neurons) -> nn.Module:
    """sinabs's neuron: fires where v >= threshold and subtracts it; one spike a step; steps stand for the batch."""
    from sinabs.activation import SingleSpike
    from sinabs.layers import IAFSqueeze

    return IAFSqueeze(batch_size=1, spike_fn=SingleSpike, spike_threshold=torch.tensor(float(node.model.threshold)))


# --- SpikingJelly ----------------------------------------------------------------------------------------------------


def spikingjelly_counts(network: Network, picture: np.ndarray, steps: int, once: bool = True) -> Count:
    """SpikingJelly's counters; `by_node` holds its synaptic operations, picture (C, H, W)."""
    from spikingjelly.activation_based.op_counter import ACCounter, DispatchCounterMode, MACCounter, SynOpCounter

    graded = is_graded(network)
    twin = Twin(network, Ladder if graded else spikingjelly_neuron)
    counters = [SynOpCounter(), ACCounter(), MACCounter()]
    with DispatchCounterMode(counters):
        _Whole(twin, steps, once)(torch.from_numpy(np.array(picture))[None])
    scopes = [counter.get_counts() for counter in counters]
    names = {name: f".steps.{name}" for name in twin.steps}
    by_node = {
        name: sum(sum(of.values()) for scope, of in scopes[0].items() if scope.endswith(ending))
        for name, ending in names.items()
    }
    totals = {kind: counter.get_total() for kind, counter in zip(("synops", "acs", "macs"), counters, strict=True)}
    return Count(totals, by_node, twin.recorded())


def spikingjelly_neuron(node: Neurons) -> nn.Module:
    """SpikingJelly's neuron: fires where v >= threshold and subtracts it."""
    from spikingjelly.activation_based.neuron import IFNode

    return IFNode(v_threshold=float(node.model.threshold), v_reset=None)


class _Whole(nn.Module):
    """A run as a module, the root of the scopes that SpikingJelly counts by."""

    def __init__(self, twin: Twin, steps: int, once: bool) -> None:
        super().__init__()
        self.twin = twin
        self.count = steps
        self.once = once

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.twin.run(picture, self.count, self.once)


def packages() -> Sequence[str]:
    """Name and version of each package that counts."""
    from importlib.metadata import version

    return [f"{name} {version(name)}" for name in ("neurobench", "snntorch", "sinabs", "spikingjelly", "torch")]
