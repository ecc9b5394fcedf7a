"""The same network as users of SpikingJelly and of snnTorch would run it: integrate-and-fire neurons only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from _peer_dense import Observer, Values
from _twins import synapse_module
from torch import nn

from spikeunet.engine import Add, Concat, Input, IntegrateAndFire, Network, Neurons, Output
from spikeunet.engine.graph import Projection


class Modules(nn.Module):
    """The network's modules, called in the order of its nodes; neurons keep their potentials."""

    def __init__(self, network: Network, make_neuron: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.network = check_neurons(network)
        self.steps = nn.ModuleDict()
        for node in network.nodes:
            if isinstance(node, Neurons):
                self.steps[node.name] = make_neuron()
            elif isinstance(node, Projection):
                self.steps[node.name] = synapse_module(node)

    def forward(self, picture: torch.Tensor, observe: Callable[[str, torch.Tensor], None] | None = None):
        """Current of the readout; the leading axes are those of the picture."""
        values = Values(self.network)
        for node in self.network.nodes:
            if isinstance(node, Input):
                values[node.name] = picture
            elif isinstance(node, Concat):
                values[node.name] = torch.cat([values[name] for name in node.sources], dim=-3)
            elif isinstance(node, Add):
                values[node.name] = sum(values[name] for name in node.sources)
            elif isinstance(node, Output):
                return values[node.source]
            else:
                values[node.name] = self.call(node, values[node.source])
            if observe is not None and isinstance(node, Neurons):
                observe(node.name, values[node.name])
            values.release(node)
        raise AssertionError("a network has an Output")

    def call(self, node, value: torch.Tensor) -> torch.Tensor:
        """What a node makes of its source."""
        return self.steps[node.name](value)


def check_neurons(network: Network) -> Network:
    """The network where both frameworks have its neurons, whose spikes are worth 1; SystemExit otherwise."""
    for node in network.neurons:
        if node.model not in (IntegrateAndFire(), IntegrateAndFire(strict=True)):
            raise SystemExit(f"SpikingJelly and snnTorch run IntegrateAndFire() here, not {node.model!r} ({node.name})")
    return network


class SpikingJelly:
    """Multi-step mode, its faster one: each layer over all steps, synapses with the steps as a batch."""

    def __init__(self, network: Network) -> None:
        from spikingjelly.activation_based import neuron

        class MultiStep(Modules):
            def call(self, node, value):
                from spikingjelly.activation_based import functional

                module = self.steps[node.name]
                return module(value) if isinstance(node, Neurons) else functional.seq_to_ann_forward(value, module)

        self.net = MultiStep(network, lambda: neuron.IFNode(v_threshold=1.0, v_reset=None, step_mode="m"))
        self.net.eval()

    @torch.no_grad()
    def run(self, picture: np.ndarray, steps: int, observe: Observer | None = None) -> np.ndarray:
        """Readout after the last step, divided by the number of steps; picture (C, H, W) float32."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self.net)
        watch = None if observe is None else (lambda name, spikes: observe(name, 0, spikes[:, 0].numpy()))
        sequence = torch.from_numpy(picture)[None, None].expand(steps, -1, -1, -1, -1)
        return self.net(sequence, watch).mean(0)[0].numpy()


class SnnTorch:
    """Step by step, as its tutorials do it: `Leaky` without a leak, reset by subtraction."""

    def __init__(self, network: Network) -> None:
        import snntorch

        self.net = Modules(network, lambda: snntorch.Leaky(beta=1.0, threshold=1.0, init_hidden=True))
        self.net.eval()

    @torch.no_grad()
    def run(self, picture: np.ndarray, steps: int, observe: Observer | None = None) -> np.ndarray:
        """Readout after the last step, divided by the number of steps; picture (C, H, W) float32."""
        from snntorch import utils

        utils.reset(self.net)
        total = torch.tensor(0.0)
        for step in range(steps):
            watch = None if observe is None else _at(observe, step)
            total = total + self.net(torch.from_numpy(picture)[None], watch)
        return (total / steps)[0].numpy()


def _at(observe: Observer, step: int) -> Callable[[str, torch.Tensor], None]:
    return lambda name, spikes: observe(name, step, spikes.numpy())
