"""The numbers of a report, as JSON values; docs/report.md is their schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..operations.exact import total
from ..operations.readings import why_not
from ..plots.graph_layout import edges
from ..plots.layers import density, energies, operations_by_reading
from .content import finite

if TYPE_CHECKING:
    from .content import Content

SCHEMA = "spikeunet-report"
VERSION = 1
"""Grows where a name is taken away or means something else, not where one is added."""


def document(pictures: list[dict[str, Any]], run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole of report.json: the numbers of each picture, and where a command wrote it what `--report FILE` has."""
    from importlib.metadata import version

    return {
        "schema": SCHEMA,
        "version": VERSION,
        "spikeunet": version("spikeunet"),
        "pictures": pictures,
        **({} if run is None else {"run": dict(run)}),
    }


def numbers(content: Content) -> dict[str, Any]:
    """All numbers of one picture's page."""
    result, ledger = content.result, content.result.operations
    return {
        "title": content.title,
        "model": content.model,
        "task": content.task,
        "facts": dict(content.facts),
        "pixels": content.pixels,
        "seconds": result.seconds,
        "steps": result.steps,
        "density": result.density,
        "operations_per_pixel": result.total_accumulates / content.pixels,
        "dense_macs_per_pixel": sum(result.dense_macs.values()) / content.pixels,
        "psnr_before": None if content.psnr is None else finite(content.psnr[0]),
        "psnr_after": None if content.psnr is None else finite(content.psnr[1]),
        "totals": ledger.totals,
        "readings": {
            name: {"operations": None if found is None else found.operations, "why_not": why_not(ledger, name)}
            for name, found in ledger.readings.items()
        },
        "energy": _energy(content),
        "by_step": by_step(content),
        "layers": [_layer(content, name) for name in ledger.neurons],
        "synapses": [_synapses(content, name) for name in ledger.synapses],
        "edges": [vars(edge) for edge in edges(content.network, ledger)] if content.ran else [],
        "frames": [vars(frame) for frame in content.frames],
        "notes": list(content.notes),
    }


def _energy(content: Content) -> dict[str, Any]:
    estimate = content.result.operations.energy(content.energy_model)
    return {
        "model": content.energy_model,
        "source": estimate.model.source,
        "scope": estimate.model.scope,
        "reading": estimate.reading,
        "spiking_joules": estimate.spiking,
        "dense_joules": estimate.dense,
        "bars": energies(content.result.operations, content.energy_model),
    }


def by_step(content: Content) -> list[dict[str, Any]]:
    """Events and operations of each step, operations until then, and PSNR where it is known."""
    ledger, rows, until = content.result.operations, list[dict[str, Any]](), 0
    for step in range(ledger.steps):
        operations = sum(int(node.synops[step]) for node in ledger.synapses.values())
        until += operations
        psnr = None if content.quality is None else finite(content.quality[step])
        events = sum(int(layer.events[step]) for layer in ledger.neurons.values())
        rows.append(
            {"step": step + 1, "events": events, "operations": operations, "operations_until": until, "psnr": psnr}
        )
    return rows


def _layer(content: Content, name: str) -> dict[str, Any]:
    layer = content.result.operations.neurons[name]
    return {
        "name": name,
        "neurons": layer.neurons,
        "thresholds": list(layer.thresholds),
        "events": int(total(layer.events)),
        "spikes": int(total(layer.spikes)),
        "density": density(content.result.operations, name),
        "events_by_step": [int(count) for count in layer.events],
    }


def _synapses(content: Content, name: str) -> dict[str, Any]:
    ledger = content.result.operations
    node = ledger.synapses[name]
    return {
        "name": name,
        "kind": node.kind,
        "operations": operations_by_reading(ledger, node),
        "macs": node.macs,
        "dense_macs": node.dense_macs,
        "weights": node.weights,
        "operations_by_step": [int(count) for count in node.synops],
    }
