"""What holds for every network, as checks of one `strategies.Case`; each raises an AssertionError.

With Hypothesis, and a neuron model of one's own:

    @settings(deadline=None)
    @given(strategies.cases(models=st.builds(MyNeuron, threshold=strategies.sixteenths(0.25, 2))))
    def test_my_neuron(case):
        checks.check_case(case)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..events import EventQueue
from ..graph import Input, Network, Neurons, Node, Output, Weighted
from ..kernels.arguments import InputRows
from ..kernels.count import count_levels, count_uneven_rows
from ..kernels.tables import FanTables
from ..layers import Conv2d
from ..neurons import (
    Heterogeneous,
    LadderModel,
    NeuronModel,
    conserves_charge,
    level_table,
    rectifies,
    registration_behind,
)
from ..simulation import Result, simulate
from . import reference, strategies
from .comparison import RECORDS, assert_same, assert_same_array, assert_same_arrays, assert_same_operations, require
from .neuron_checks import resting_potential, rests
from .strategies import Case


def run(case: Case, **options: Any) -> Result:
    """The engine's result for a case, everything recorded, on one thread unless `threads` says otherwise."""
    return simulate(case.network, case.picture, case.steps, **{"threads": 1, "record": RECORDS, **options})


def equals_dense(case: Case) -> None:
    """Event-driven simulation equals the dense reference bit for bit; for dyadic cases."""
    assert_same(run(case), reference.simulate(case.network, case.picture, case.steps))


def ledger_equals_brute_force(case: Case) -> None:
    """Every count of the ledger equals the count of the products that are really made; for dyadic cases.

    So do its reads and writes equal those of a visit to every event and every update.
    """
    expected = reference.simulate(case.network, case.picture, case.steps)
    ledger = simulate(case.network, case.picture, case.steps).operations
    assert_same_operations(ledger, expected.operations)
    for name, count in expected.count_reads().items():
        require(ledger.totals[name] == count, f"totals[{name!r}]: {ledger.totals[name]}, not {count}")


def orders_agree(case: Case) -> None:
    """Layer by layer and step by step give the same spikes and counts."""
    assert_same(run(case, order="time"), run(case, order="layer"))


def threads_agree(case: Case) -> None:
    """The number of threads changes nothing."""
    assert_same(run(case, threads=3), run(case))


def tiles_agree(case: Case) -> None:
    """A picture in tiles of some rows gives the same; a network with delays has no tiles, it runs step by step."""
    if not case.network.delays:
        whole = run(case)
        for tile in {1, max(1, case.picture.shape[1] // 2)}:
            assert_same(run(case, tile=tile), whole)


def prefix(case: Case) -> None:
    """A shorter run is the beginning of a longer one."""
    steps = max(1, case.steps // 2)
    longer, shorter = run(case), run(dataclasses.replace(case, steps=steps))
    beginning = {name: spikes[:steps] for name, spikes in longer.spikes.items()}
    assert_same_arrays(shorter.spikes, beginning, "spikes")
    assert_same_array(shorter.readout, longer.readout[:steps], "readout")


def batches_add(case: Case) -> None:
    """The ledger of a batch is the sum of its pictures' ledgers."""
    pictures = np.stack([case.picture, case.picture[:, ::-1]])
    single = [simulate(case.network, picture, case.steps).operations for picture in pictures]
    assert_same_operations(simulate(case.network, pictures, case.steps).operations, sum(single[1:], single[0]))


def charge_balance(case: Case) -> None:
    """v_T = v_0 + sum of input - sum of emitted, wherever there is no leak and no reset to zero; for dyadic cases."""
    result = run(case)
    currents = reference.currents(case.network, case.picture, result.spikes)
    for node in case.network.neurons:
        if conserves_charge(node.model):
            current = np.broadcast_to(currents[node.source], result.spikes[node.name].shape)
            emitted = result.spikes[node.name].sum(0, dtype=np.float64)
            begun = reference.at_rest(node.model, result.membrane[node.name].shape)[0]
            balance = begun + current.sum(0) - emitted
            np.testing.assert_array_equal(result.membrane[node.name], balance, f"charge of {node.name}")


def level_bounds(case: Case) -> None:
    """Only values of levels are emitted, and no neuron crosses more thresholds in a step than it has."""
    result = run(case)
    for node in case.network.neurons:
        table = level_table(node.model)
        values = set(table.emit[: table.highest + 1].tolist())
        found = set(np.unique(result.spikes[node.name]).tolist())
        require(found <= values, f"{node.name} emits {sorted(found - values)}")
        crossed = result.spike_count[node.name]
        most = int(table.spikes[: table.highest + 1].max())
        require(bool((crossed <= most * case.steps).all()), f"{node.name} crosses more thresholds than it has")


def silence(case: Case) -> None:
    """No input, no positive bias and all neurons at rest or below: no event and no accumulate, whatever the weights.

    No bias at all, and all neurons at rest, where neurons may emit negative values. Asked where all neurons rest, and
    those of a layer alike.
    """
    if not all(rests(node.model) and not isinstance(node.model, Heterogeneous) for node in case.network.neurons):
        return
    signed = not all(rectifies(node.model) for node in case.network.neurons)
    network = case.network.replace([_quiet(node, 0 if signed else -1) for node in case.network.nodes])
    result = simulate(network, np.zeros_like(case.picture), case.steps)
    totals = result.operations.totals
    for kind in ("events", "spikes", "synops", "synops_binary", "synops_effective", "macs_effective"):
        require(totals[kind] == 0, f"{totals[kind]} {kind} without input")
    require(bool((result.output <= 0).all()), "the readout grows without input")


def _quiet(node: Node, sign: int) -> Node:
    """The node with biases and potentials that are not positive: times -1, or 0."""
    if isinstance(node, Neurons) and dataclasses.is_dataclass(node.model):
        rest = resting_potential(node.model) or 0.0
        initial = rest + float(sign * abs(node.model.initial - rest))
        return dataclasses.replace(node, model=dataclasses.replace(node.model, initial=initial))
    if isinstance(node, Weighted):
        return dataclasses.replace(node, bias=sign * np.abs(node.bias))
    return node


def event_order(case: Case) -> None:
    """Renumber a layer's neurons, and so the order of its events: the rest of a network sees no difference.

    Asked of neurons that are all alike, and are given no random numbers, which follow from those of the neurons.
    """
    if not all(map(_alike, case.network.neurons)):
        return
    values = strategies.Numbers(np.random.default_rng(case.steps), dyadic=True, density=1.0)
    channels, hidden = len(case.picture), 21
    order = values.generator.permutation(hidden)
    first, bias = values.weight(hidden, channels, 3, 3), values.bias(hidden)
    second = values.weight(4, hidden, 3, 3)
    straight = run(_two_layers(case, first, bias, second))
    shuffled = run(_two_layers(case, first[order], bias[order], second[:, order]))
    assert_same_array(shuffled.spikes["first"], straight.spikes["first"][:, order], "renumbered layer")
    assert_same_array(shuffled.spikes["second"], straight.spikes["second"], "layer behind the renumbered one")
    assert_same_array(shuffled.readout, straight.readout, "readout")


def _alike(node: Neurons) -> bool:
    if isinstance(node.model, (LadderModel, Heterogeneous)):
        return isinstance(node.model, LadderModel)
    return not registration_behind(node.model).inputs


def _two_layers(case: Case, first: NDArray[np.float32], bias: NDArray[np.float32], second: NDArray[np.float32]) -> Case:
    models = [node.model for node in case.network.neurons]
    neurons = {"model": models[0]} if models else {}
    nodes = [
        Input("input", len(case.picture)),
        Conv2d("conv1", "input", first, bias, padding=(1, 1)),
        Neurons("first", "conv1", **neurons),
        Conv2d("conv2", "first", second, padding=(1, 1)),
        Neurons("second", "conv2", **neurons),
        Output("output", "conv2"),
    ]
    return Case(Network(nodes), case.picture, min(case.steps, 6))


CHECKS: tuple[Callable[[Case], None], ...] = (
    equals_dense,
    ledger_equals_brute_force,
    orders_agree,
    threads_agree,
    tiles_agree,
    prefix,
    batches_add,
    charge_balance,
    level_bounds,
    silence,
    event_order,
)
"""All checks of a case."""


def check_case(case: Case) -> None:
    """All checks of this module on one dyadic case; AssertionError where one fails."""
    for check in CHECKS:
        check(case)


def queue_counts(queue: EventQueue, thresholds: int = 8) -> None:
    """The counts of an event queue equal those of its dense levels, weighted by any fan-out."""
    levels, (_, height, width) = queue.dense_levels(), queue.shape
    fan_rows, fan_columns = 1 + np.arange(height) % 3, 1 + np.arange(width) // 2
    counts, uneven = np.zeros((2, 1 + thresholds, 8), np.int64)
    count_levels(queue.levels[queue.entries()[0]].astype(np.uint64), thresholds, counts)
    rows, fan = InputRows(0, height), FanTables(fan_rows, fan_columns, 2, 1)
    count_uneven_rows(queue.start, queue.levels, rows, fan, thresholds, uneven)
    masks = [levels != 0, *(levels >> bit & 1 for bit in range(thresholds))]
    for plane, mask in enumerate(masks):
        plain = mask.sum(axis=(1, 2, 3), dtype=np.int64)
        weighted = (mask * np.outer(fan_rows, fan_columns)).sum(axis=(1, 2, 3), dtype=np.int64)
        np.testing.assert_array_equal(counts[plane, : queue.steps], plain, f"plane {plane}")
        found = 2 * counts[plane] + uneven[plane]
        np.testing.assert_array_equal(found[: queue.steps], weighted, f"plane {plane}, weighted")


def large_case(model: NeuronModel | None = None) -> Case:
    """A network large enough to be cut into bands for several threads, with blocks of channels that are not full."""
    values = strategies.Numbers(np.random.default_rng(0), dyadic=True, density=0.5)
    neurons = {} if model is None else {"model": model}
    nodes = [
        Input("input", 3),
        Conv2d("conv1", "input", values.weight(48, 3, 3, 3), values.bias(48), padding=(1, 1)),
        Neurons("first", "conv1", **neurons),
        Conv2d("conv2", "first", values.weight(70, 48, 3, 3), values.bias(70), padding=(1, 1)),
        Neurons("second", "conv2", **neurons),
        Conv2d("conv3", "second", values.weight(3, 70, 3, 3), padding=(1, 1)),
        Output("output", "conv3"),
    ]
    return Case(Network(nodes), values.draw((3, 25, 31), 0, 1), 5)


def check_all(models: st.SearchStrategy[Any] | None = None, **options: Any) -> None:
    """Run every check on random networks of the neurons that `models` draws, or of all that the package has.

    Parameters
    ----------
    models : strategy of neuron models, optional
    **options
        Hypothesis's settings, such as max_examples; without a deadline, because the first example may compile kernels.

    Raises
    ------
    AssertionError
        With Hypothesis's smallest failing network, if a check fails.
    """
    chosen = settings(**{"max_examples": 40, "deadline": None, "report_multiple_bugs": False, **options})

    @chosen
    @given(strategies.event_queues())
    def on_random_queues(queue: EventQueue) -> None:
        queue_counts(queue)

    @chosen
    @given(strategies.cases(models=models))
    def on_random_networks(case: Case) -> None:
        check_case(case)

    on_random_queues()
    on_random_networks()
    large = large_case()
    assert_same(run(large, threads=2), reference.simulate(large.network, large.picture, large.steps))
