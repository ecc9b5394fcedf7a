"""The ledger under the names of NeuroBench's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .exact import total

if TYPE_CHECKING:
    from .ledger import Operations
    from .nodes import NeuronOperations


def neurobench_metrics(ledger: Operations, pictures: int) -> dict[str, Any]:
    """See `Operations.to_neurobench`."""
    totals = ledger.totals
    return {
        "Footprint": int(totals["footprint"]),
        "ConnectionSparsity": round(float(totals["connection_sparsity"]), 4),
        "ParameterCount": int(totals["parameter_bytes"]) // 4,
        "ActivationSparsity": totals["activation_sparsity"],
        "ActivationSparsityByLayer": {name: layer.activation_sparsity for name, layer in ledger.neurons.items()},
        "SynapticOperations": {name: count / pictures for name, count in _synaptic(ledger).items()},
        "MembraneUpdates": totals["neuron_updates"] / pictures,
        "NeuronOperations": {
            "Effective Neuron Ops": _mean([_effective(layer) for layer in ledger.neurons.values()], pictures),
            "Neuron Dense Ops": _mean([_dense(layer) for layer in ledger.neurons.values()], pictures),
        },
    }


def mean_metrics(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of metrics, of those in dictionaries one by one; None where one is not known."""
    first = found[0]
    return {
        name: mean_metrics([each[name] for each in found])
        if isinstance(value, Mapping)
        else _mean([each[name] for each in found], len(found))
        for name, value in first.items()
    }


def _synaptic(ledger: Operations) -> dict[str, int]:
    """Effective operations of the nodes that have weights, graded events as multiply-accumulates, and all there are."""
    accumulates = multiply_accumulates = dense = 0
    for node in ledger.synapses.values():
        if not node.weights:
            continue
        dense += node.dense_synops + node.macs
        multiply_accumulates += node.macs_effective
        for name, events in node.sources.items():
            effective = total(events.synops_effective)
            if ledger.emitters[name].graded:
                multiply_accumulates += effective
            else:
                accumulates += effective
    return {"Effective_MACs": multiply_accumulates, "Effective_ACs": accumulates, "Dense": dense}


def _effective(layer: NeuronOperations) -> int | None:
    """Operations of the updates that there were: each silent one, and more for each spike."""
    kinds = ("multiplications", "additions", "comparisons")
    counts = [layer.arithmetic_total(kind) for kind in kinds]
    return None if None in counts else sum(count for count in counts if count is not None)


def _dense(layer: NeuronOperations) -> int | None:
    """Operations if every neuron had crossed all that it can at every step."""
    if layer.arithmetic is None:
        return None
    return layer.neuron_steps * (layer.arithmetic.update + layer.most_spikes * layer.arithmetic.spike)


def _mean(counts: Sequence[float | None], pictures: int) -> float | None:
    """Mean over the pictures; None where a neuron model does not declare what its step costs."""
    return None if None in counts else sum(count for count in counts if count is not None) / pictures
