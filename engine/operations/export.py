"""The ledger as records, comma-separated values, JSON, a pandas frame and a printed table."""

from __future__ import annotations

import json
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files.atomic import atomic_write, input_errors
from ..files.csv_text import csv_text
from .definitions import DEFINITIONS
from .exact import MAXIMUM, total

if TYPE_CHECKING:
    from .ledger import Operations
    from .nodes import InputOperations, NeuronOperations, SynapseOperations

Record = dict[str, Any]

_SYNAPSE_COUNTS = ("synops", "synops_binary", "synops_effective")
_ARITHMETIC = ("multiplications", "additions", "comparisons")
_MEMORIES = {"event": "events", "weight": "weights", "bias": "biases", "potential": "potentials"}
_RUN_COUNTS = ("dense_synops", "macs", "macs_effective", "dense_macs")


def rows(ledger: Operations, by: str) -> list[Record]:
    """Records by node, step or threshold; see `Operations.rows`."""
    makers = {"node": _rows_by_node, "step": _rows_by_step, "threshold": _rows_by_threshold}
    if by not in makers:
        raise InputError(f"by must be one of {', '.join(makers)} (got {by!r})")
    return makers[by](ledger)


def _rows_by_node(ledger: Operations) -> list[Record]:
    synapses = [{**_synapse_record(node), **_reads(ledger, node)} for node in ledger.synapses.values()]
    neurons = [{**_neuron_record(layer), **_updates(layer)} for layer in ledger.neurons.values()]
    return synapses + neurons + [_input_record(each) for each in ledger.inputs.values()]


def _reads(ledger: Operations, node: SynapseOperations) -> Record:
    """What a node of synapses reads; sums are written as often as they are read."""
    return {
        "event_reads": node.event_reads(ledger.emitters),
        "weight_reads": node.weight_reads,
        "bias_reads": node.bias_reads,
        "potential_reads": node.potential_reads,
    }


def _updates(layer: NeuronOperations) -> Record:
    """What a layer of neurons reads, writes and computes, the latter where its model declares it."""
    counts = {kind: layer.arithmetic_total(kind) for kind in _ARITHMETIC}
    known = {kind: count for kind, count in counts.items() if count is not None}
    return {"event_writes": total(layer.events), "potential_reads": layer.potential_reads, **known}


def _synapse_record(node: SynapseOperations) -> Record:
    return {
        "node": node.name,
        "kind": node.kind,
        **{name: total(getattr(node, name)) for name in _SYNAPSE_COUNTS},
        **{name: getattr(node, name) for name in _RUN_COUNTS},
        **_weights(node),
        "footprint": node.parameter_bytes + node.state_bytes,
    }


def _weights(node: SynapseOperations) -> Record:
    """Only of a kind that has weights: a share of none would look like a measurement."""
    return {"weights": node.weights, "connection_sparsity": node.connection_sparsity} if node.weights else {}


def _neuron_record(layer: NeuronOperations) -> Record:
    return {
        "node": layer.name,
        "kind": "Neurons",
        "neurons": layer.neurons,
        "neuron_updates": layer.neuron_updates,
        "events": total(layer.events),
        "spikes": total(layer.spikes),
        "activation_sparsity": layer.activation_sparsity,
        "footprint": layer.state_bytes,
    }


def _input_record(each: InputOperations) -> Record:
    return {"node": each.name, "kind": "Input", "events": total(each.events), "spikes": total(each.spikes)}


def _rows_by_step(ledger: Operations) -> list[Record]:
    found: list[Record] = []
    for node in ledger.synapses.values():
        counts = {name: getattr(node, name) for name in _SYNAPSE_COUNTS}
        for step in range(ledger.steps):
            values = {name: int(count[step]) for name, count in counts.items()}
            found.append({"node": node.name, "kind": node.kind, "step": step, **values})
    for layer, kind in _emitting(ledger):
        for step in range(ledger.steps):
            values = {"events": int(layer.events[step]), "spikes": total(layer.spikes[step])}
            found.append({"node": layer.name, "kind": kind, "step": step, **values})
    return found


def _rows_by_threshold(ledger: Operations) -> list[Record]:
    found: list[Record] = []
    for node in ledger.synapses.values():
        for source, events in node.sources.items():
            for step, threshold, value in _thresholds(ledger.emitters[source], events.synops_binary):
                place = {"node": node.name, "kind": node.kind, "source": source, "step": step, "threshold": threshold}
                found.append({**place, "synops_binary": value})
    for layer, kind in _emitting(ledger):
        for step, threshold, value in _thresholds(layer, layer.spikes):
            found.append({"node": layer.name, "kind": kind, "step": step, "threshold": threshold, "spikes": value})
    return found


def _emitting(ledger: Operations) -> list[tuple[NeuronOperations | InputOperations, str]]:
    """All that emits spikes, and what kind of node it is."""
    neurons = [(layer, "Neurons") for layer in ledger.neurons.values()]
    return [*neurons, *((each, "Input") for each in ledger.inputs.values())]


def _thresholds(layer: NeuronOperations | InputOperations, counts: Any) -> list[tuple[int, float, int]]:
    return [
        (step, threshold, int(value))
        for step, of_step in enumerate(counts)
        for threshold, value in zip(layer.thresholds, of_step, strict=True)
    ]


def to_csv(ledger: Operations, path: str | PathLike[str] | None, by: str) -> str:
    """Comma-separated values of `rows`; a count that a kind of node does not have is empty."""
    records = rows(ledger, by)
    return _written(csv_text(_columns(records), records), path)


def _columns(records: list[Record]) -> list[str]:
    """Names of all counts, those of the longest records first: others leave some out in between."""
    return list(dict.fromkeys(name for record in sorted(records, key=len, reverse=True) for name in record))


def to_json(ledger: Operations, path: str | PathLike[str] | None) -> str:
    """Every number of the ledger."""
    content = {
        "steps": ledger.steps,
        "pictures": ledger.pictures,
        "shown": ledger.shown,
        "totals": ledger.totals,
        "readings": _readings(ledger),
        "neurons": {name: _neuron_content(layer) for name, layer in ledger.neurons.items()},
        "synapses": {
            name: {**_synapse_content(node), **_reads(ledger, node)} for name, node in ledger.synapses.items()
        },
        **({"inputs": {name: _input_content(each) for name, each in ledger.inputs.items()}} if ledger.inputs else {}),
        "definitions": dict(DEFINITIONS),
    }
    return _written(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def _readings(ledger: Operations) -> Record:
    """The true reading by name, and the operations of each of the three; null where one is not true."""
    found = {name: None if reading is None else reading.operations for name, reading in ledger.readings.items()}
    return {"true": ledger.reading.name, **found}


def _neuron_content(layer: NeuronOperations) -> Record:
    return {**_neuron_record(layer), **_updates(layer), **_by_step(layer)}


def _input_content(each: InputOperations) -> Record:
    return {**_input_record(each), "sites": each.sites, **_by_step(each)}


def _by_step(layer: NeuronOperations | InputOperations) -> Record:
    by_step = {"events_by_step": layer.events.tolist(), "spikes_by_step_and_threshold": layer.spikes.tolist()}
    return {"thresholds": list(layer.thresholds), **by_step}


def _synapse_content(node: SynapseOperations) -> Record:
    sources = {
        name: {count: getattr(events, count).tolist() for count in _SYNAPSE_COUNTS}
        for name, events in node.sources.items()
    }
    return {**_synapse_record(node), "sources_by_step": sources}


def to_frame(ledger: Operations, by: str) -> Any:
    """The records as a pandas frame; missing counts are NA, the others integers and exact."""
    try:
        import pandas as pd
    except ImportError:
        raise InputError(
            "to_frame needs pandas, which is missing; pip install 'spikeunet[frames]', or use to_csv or rows"
        ) from None
    records = rows(ledger, by)
    names = _columns(records)
    columns = {name: [record.get(name, pd.NA) for record in records] for name in names}
    types = {name: _frame_type([record[name] for record in records if name in record]) for name in names}
    return pd.DataFrame({name: pd.array(values, dtype=types[name]) for name, values in columns.items()})


def _frame_type(values: list[Any]) -> str:
    """A type of pandas that takes missing values and keeps these as they are."""
    if all(isinstance(value, str) for value in values):
        return "string"
    if all(isinstance(value, int) for value in values):
        return "Int64" if all(abs(value) <= MAXIMUM for value in values) else "object"
    return "Float64"


def _written(text: str, path: str | PathLike[str] | None) -> str:
    if path is not None:
        with input_errors(path), atomic_write(path) as stream:
            stream.write(text.encode())
    return text


# --- Printed table ---------------------------------------------------------------------------------------------------


def table(ledger: Operations) -> str:
    """Two tables, of synapses and of neurons, each with its totals."""
    totals: Record = {"node": "total", **ledger.totals}
    synapses = [_synapse_record(node) for node in ledger.synapses.values()]
    neurons = [_neuron_record(layer) for layer in ledger.neurons.values()]
    whole = sum(layer.neurons for layer in ledger.neurons.values())
    pictures = "1 picture" if ledger.pictures == 1 else f"{ledger.pictures} pictures"
    pictures += "" if ledger.shown == ledger.pictures else f", {ledger.shown} inputs shown"
    return "\n".join(
        [
            f"{ledger.steps} step{'s' * (ledger.steps != 1)}, {pictures}, footprint {totals['footprint']:,} bytes",
            "",
            *_grid(synapses, {**totals, "footprint": sum(record["footprint"] for record in synapses)}),
            "",
            *_grid(neurons, {**totals, "neurons": whole, "footprint": totals["state_bytes"]}),
            *(f"input {each.name}: {total(each.events):,} events" for each in ledger.inputs.values()),
            "",
            "reads   " + ", ".join(f"{many} {totals[f'{one}_reads']:,}" for one, many in _MEMORIES.items()),
            f"writes  events {totals['event_writes']:,}, potentials {totals['potential_writes']:,}",
            f"events  read as {_readings_in_words(ledger)}",
        ]
    )


def _readings_in_words(ledger: Operations) -> str:
    true, readings = ledger.reading, ledger.readings
    counts = {name: "not true" if reading is None else f"{reading.operations:,}" for name, reading in readings.items()}
    of_all = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{of_all}; true of this network: {true.name}"


def _grid(records: list[Record], total: Record) -> list[str]:
    if not records:
        return ["no neurons"]
    names = _columns(records)
    lines = [[name.replace("_", " ") for name in names]]
    lines += [[_cell(record.get(name, "")) for name in names] for record in [*records, total]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return [aligned[0], "-" * max(map(len, aligned)), *aligned[1:]]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
