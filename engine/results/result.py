"""What a simulation gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..html_tables import html_table
from ..operations import Operations
from ..operations.by_layer import ByLayer
from ..operations.exact import total
from .state import State

RECORDABLE = ("spikes", "membrane", "spike_count", "readout", "state")


_SPIKING = "the Neurons nodes"
_READING_EVENTS = "the synapse nodes that read events"
_READING_INPUT = "the synapse nodes that read the input"
_MULTIPLYING = "the nodes with weights, or with products of what they read"


@dataclass(eq=False)
class Result:
    """Output, operation counts and, where asked for, recordings of a simulation.

    A batch of N pictures puts a leading axis N before every shape given here for one picture; counts are summed over
    the batch. Layers go by the names of their Neurons nodes, synapses by those of their own nodes.

    Parameters
    ----------
    outputs : dict of str to (O, H, W) float32
        By Output node, its readout after the last step, divided by the number of steps, those before `state` was taken
        included; `output` is that of a network that has one.
    steps : int
        Number of time steps of this run.
    operations : Operations
        Exact counts by node, step and threshold; the properties below give some of them.
    seconds : float
        Wall-clock time of the engine.
    kernels : dict of str to tuple of str
        By layer, which kernels computed its currents, sorted: "events" from event to event, "amx", "vnni" or "portable"
        in integers, "tables" likewise of samples side by side, "planes" means in integers, "picture" of a layer that
        reads nothing but the input. More than one where the choice differed from group to group of steps, tile to tile
        or picture to picture. The readout goes by the name of the Output node.
    recorded : dict
        Recordings by kind; the properties below give them with a clear error where one was not asked for.
    """

    outputs: dict[str, NDArray[np.float32]]
    steps: int
    operations: Operations
    seconds: float
    kernels: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    recorded: dict[str, object] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        """What came out and what it took, for notebooks."""
        outputs = ", ".join(f"{name} {'x'.join(map(str, each.shape))}" for name, each in self.outputs.items())
        rows: list[tuple[str, object]] = [
            ("outputs", outputs),
            ("steps", self.steps),
            ("events", self.total_events),
            ("density", self.density),
            ("operations", self.total_accumulates),
            ("MACs of the input", self.total_macs),
            ("MACs of the ANN", sum(self.dense_macs.values())),
            ("seconds", self.seconds),
            ("recorded", ", ".join(map(str, self.recorded)) or "nothing"),
        ]
        return html_table("Result of a simulation", ["", ""], rows)

    def _recording(self, kind: str) -> object:
        if kind not in self.recorded:
            raise InputError(f"{kind} was not recorded; simulate with record=({kind!r},)")
        return self.recorded[kind]

    def _by_layer(self, kind: str) -> ByLayer[Any]:
        recorded: Any = self._recording(kind)
        encoded = kind != "membrane" and self.operations.inputs
        return ByLayer(kind, f"{_SPIKING} and of encoded Inputs" if encoded else _SPIKING, recorded)

    @property
    def output(self) -> NDArray[np.float32]:
        """(O, H, W) float32, readout after the last step, divided by the number of steps; of a network with one."""
        return self._only("outputs", self.outputs)

    @property
    def readouts(self) -> dict[str, NDArray[np.float32]]:
        """(T, O, H, W) float32 by Output node, running sum of its current; needs record=("readout",)."""
        recorded: Any = self._recording("readout")
        return ByLayer("readout", "the Output nodes", recorded)

    @property
    def readout(self) -> NDArray[np.float32]:
        """(T, O, H, W) float32, running sum of the last layer's current after each step; needs record=("readout",)."""
        return self._only("readouts", self.readouts)

    def _only(self, name: str, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The value of a network that has one output."""
        if len(values) > 1:
            first = next(iter(values))
            raise InputError(f"the network has {len(values)} outputs; ask for one of them, as in {name}[{first!r}]")
        return next(iter(values.values()))

    @property
    def spikes(self) -> dict[str, NDArray[np.float32]]:
        """(T, C, H, W) float32 by layer, the value emitted at each step; needs record=("spikes",).

        Of Inputs with an encoder, too.
        """
        return self._by_layer("spikes")

    @property
    def membrane(self) -> dict[str, NDArray[np.float32]]:
        """(C, H, W) float32 by layer, the potential after the last step; needs record=("membrane",)."""
        return self._by_layer("membrane")

    @property
    def spike_count(self) -> dict[str, NDArray[np.int64]]:
        """(C, H, W) int64 by layer, number of thresholds crossed over the run; needs record=("spike_count",).

        Of Inputs with an encoder, too.
        """
        return self._by_layer("spike_count")

    @property
    def state(self) -> State:
        """What the network carries after the last step, for `simulate(..., state=...)`; needs record=("state",).

        A run that went on where another one stopped has it, too.
        """
        state = self._recording("state")
        assert isinstance(state, State)
        return state

    @property
    def traces(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """By layer and name of a state variable, float32 after each step: (T, C, H, W), or (T, n) of probed neurons.

        Needs record=("traces",) for all variables of all neurons, ("traces.membrane",) for one of them, or `probes`.
        """
        if "traces" not in self.recorded:
            raise InputError(
                "no traces were recorded; simulate with record=('traces',), or for some neurons with "
                "probes={'name of a layer': [(channel, row, column)]}"
            )
        traces: Any = self.recorded["traces"]
        return traces  # type: ignore[no-any-return]

    @property
    def events(self) -> dict[str, NDArray[np.int64]]:
        """(T,) int64 by layer, events at each step; a neuron fires at most one event, of one level, in a step."""
        return ByLayer("events", _SPIKING, {name: layer.events for name, layer in self.operations.neurons.items()})

    @property
    def neurons(self) -> dict[str, int]:
        """Number of neurons of each layer."""
        return ByLayer("neurons", _SPIKING, {name: layer.neurons for name, layer in self.operations.neurons.items()})

    @property
    def accumulates(self) -> dict[str, NDArray[np.int64]]:
        """(T,) int64 by synapse node that reads events: events times the targets that each really reaches."""
        return ByLayer(
            "accumulates",
            _READING_EVENTS,
            {name: node.synops for name, node in self.operations.synapses.items() if node.sources},
        )

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates by synapse node that reads the analog input, each time that this is another one.

        An input that stays the same is computed once and not at every step.
        """
        return ByLayer(
            "macs",
            _READING_INPUT,
            {name: node.macs for name, node in self.operations.synapses.items() if node.reads_input},
        )

    @property
    def dense_macs(self) -> dict[str, int]:
        """Multiply-accumulates of the ANN, padding included, by node that has weights, or multiplies what it reads.

        The latter is Attention. The ANN would be run for each analog input that was shown. They add up to
        `operations.totals["dense_macs"]`.
        """
        return ByLayer(
            "dense_macs",
            _MULTIPLYING,
            {
                name: node.dense_macs
                for name, node in self.operations.synapses.items()
                if node.weights or node.dense_macs
            },
        )

    @property
    def total_events(self) -> int:
        """Events of all layers and steps."""
        return sum(total(counts) for counts in self.events.values())

    @property
    def total_accumulates(self) -> int:
        """Accumulates of all synapses and steps."""
        return sum(total(counts) for counts in self.accumulates.values())

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates of analog inputs."""
        return sum(self.macs.values())

    @property
    def density(self) -> float:
        """Mean share of the neurons that fire in a step."""
        return self.total_events / max(1, self.steps * sum(self.neurons.values()))


def joined_kernels(*results: Result) -> dict[str, tuple[str, ...]]:
    """By layer, the kernels that any of the runs of one network used, sorted."""
    names = dict.fromkeys(name for result in results for name in result.kernels)
    return sorted_kernels(
        {name: {kernel for result in results for kernel in result.kernels.get(name, ())} for name in names}
    )


def sorted_kernels(used: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """As `Result.kernels`."""
    return {name: tuple(sorted(kernels)) for name, kernels in used.items()}
