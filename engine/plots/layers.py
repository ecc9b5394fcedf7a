"""A run, layer by layer: events, density, operations in three readings, energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..operations import Operations
from ..operations.energy import DEFAULT_ENERGY_MODEL, readings_in
from ..operations.energy_models import BY_READING, find_energy_model
from ..operations.exact import total
from ..operations.readings import READINGS
from .axes import axes_for, bar_height, horizontal_bars, si_ticks

if TYPE_CHECKING:
    from ..operations.nodes import SynapseOperations

ARTIFICIAL = "artificial network"


def events(operations: Operations, ax: Any = None) -> Any:
    """Events of each layer of neurons, as bars; returns the axes."""
    found = {name: float(total(layer.events)) for name, layer in operations.neurons.items()}
    ax = axes_for(ax, (6.4, bar_height(list(found))))
    horizontal_bars(ax, list(found), {"events": list(found.values())}, "events")
    si_ticks(ax.xaxis)
    return ax


def densities(operations: Operations, ax: Any = None) -> Any:
    """Density of each layer of neurons, events per neuron and step, as bars; returns the axes."""
    found = {name: density(operations, name) for name in operations.neurons}
    ax = axes_for(ax, (6.4, bar_height(list(found))))
    horizontal_bars(ax, list(found), {"density": list(found.values())}, "events per neuron and step")
    return ax


def density(operations: Operations, layer: str) -> float:
    """Events per neuron and step of a layer."""
    of_layer = operations.neurons[layer]
    return float(total(of_layer.events)) / max(1, of_layer.neuron_steps)


def operations_by_reading(operations: Operations, node: SynapseOperations) -> dict[str, int | None]:
    """Operations of the events that one synapse node reads, in each of three readings; None where one is not true."""
    alone = Operations(operations.steps, operations.pictures, operations.neurons, {node.name: node}, operations.inputs)
    return {name: None if found is None else found.operations for name, found in alone.readings.items()}


def operations(ledger: Operations, ax: Any = None) -> Any:
    """Operations of each synapse node in the readings that are true of it, as bars; returns the axes.

    One reading beside another: a multiply-accumulate for an event that meets a weight, a shift and an addition for each
    threshold crossed, an addition where events are binary.
    """
    found = {name: operations_by_reading(ledger, node) for name, node in ledger.synapses.items()}
    series = {name: [each[name] for each in found.values()] for name in READINGS}
    # A pool's events are accumulates in any network: a reading of the whole network is what is compared.
    true = {name: series[name] for name, reading in ledger.readings.items() if reading is not None}
    ax = axes_for(ax, (6.4, bar_height(list(found), len(true))))
    horizontal_bars(ax, list(found), true, "operations")
    si_ticks(ax.xaxis)
    return ax


def energy(operations: Operations, model: str = DEFAULT_ENERGY_MODEL, ax: Any = None) -> Any:
    """Energy of the run in each reading that is true of it, and of the artificial network, as bars; returns the axes.

    Raises
    ------
    InputError
        If there is no such energy model, or matplotlib is missing.
    """
    found = energies(operations, model)
    ax = axes_for(ax, (6.4, bar_height(list(found)) + 0.3))
    horizontal_bars(ax, list(found), {"energy": list(found.values())}, f"energy by {model}")
    si_ticks(ax.xaxis, "J")
    return ax


def energies(operations: Operations, model: str) -> dict[str, float]:
    """Joules by reading, the true one named so, then those of the artificial network where the model prices them."""
    estimate = operations.energy(model)
    found = {}
    if find_energy_model(model).charges == BY_READING:
        found = {name: value for name, value in readings_in(operations, model).items() if value is not None}
    found.setdefault(estimate.reading, estimate.spiking)
    named = {name + (" (true)" if name == estimate.reading else ""): value for name, value in found.items()}
    return named if estimate.dense is None else {**named, ARTIFICIAL: estimate.dense}
