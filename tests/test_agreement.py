"""The ledger equals the counters of NeuroBench, sinabs and SpikingJelly wherever they count the same thing.

Each test runs one network in two packages, checks that the spikes are the same, and compares the counts. Where the
meanings differ, docs/agreement.md says why; its tables are compared with what benchmarks/counters.py prints now.
"""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import IntegrateAndFire, MultiThreshold, Neurons, simulate

pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

import _twins
import counters

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = counters.STEPS
PICTURES = [counters.Dyadic(seed).picture(*counters.SHAPE) for seed in (1, 2, 3)]
STRICT = counters.networks(counters.binary(strict=True))
REACHED = counters.networks(counters.binary(strict=False))
LADDERS = counters.networks(lambda: MultiThreshold((2.0, 1.0, 0.5, 0.25)))


@pytest.fixture
def neurobench():
    pytest.importorskip("neurobench", reason="NeuroBench is not installed (extra agreement)")
    snntorch = pytest.importorskip("snntorch", reason="snnTorch is not installed (extra agreement)")
    yield
    snntorch.SpikingNeuron.instances.clear()  # it keeps every neuron that was ever made


@pytest.fixture
def sinabs():
    pytest.importorskip("sinabs", reason="sinabs is not installed (extra agreement)")


@pytest.fixture
def spikingjelly():
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed (extra agreement)")


def ran(network, picture, steps=STEPS):
    return simulate(network, picture, steps, record=("spikes",))


def assert_same_spikes(result, count, position=0):
    assert sorted(count.spikes) == sorted(result.spikes)
    for name, spikes in result.spikes.items():
        np.testing.assert_array_equal(count.spikes[name][position], spikes, name)


# --- NeuroBench ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True], ids=["input at every step", "input once"])
@pytest.mark.parametrize("name", STRICT)
def test_neurobench(neurobench, name, once):
    result = ran(STRICT[name], PICTURES[0])
    count = _twins.neurobench_counts(STRICT[name], PICTURES[0][None], STEPS, once)
    assert_same_spikes(result, count)
    expected = counters.expected_of_neurobench(result.operations, once)
    assert {kind: count.totals[kind] for kind in expected} == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", ["plain", "borders", "strides", "groups and dilation"])
def test_neurobench_counts_all_there_is_without_pools_and_transposed_convolutions(neurobench, name):
    """Its figures are then the ledger's own totals."""
    count = _twins.neurobench_counts(STRICT[name], PICTURES[0][None], STEPS, once=True).totals
    totals = ran(STRICT[name], PICTURES[0]).operations.totals
    assert count["Effective_ACs"] == totals["synops_effective"] > 0
    assert count["Effective_MACs"] == totals["macs_effective"] > 0
    assert count["Dense"] == totals["dense_synops"] + totals["macs"]
    assert count["ActivationSparsity"] == pytest.approx(totals["activation_sparsity"], rel=1e-12)
    assert count["ConnectionSparsity"] == round(totals["connection_sparsity"], 4) > 0
    constants = counters.CONSTANTS_OF_LEAKY * len(STRICT[name].neurons)
    assert count["Footprint"] + count["potential_bytes"] - constants == totals["footprint"]


def test_neurobench_means_over_pictures(neurobench):
    """Per picture, it reports the mean of what the ledger sums."""
    network = STRICT["U-shaped"]
    results = [ran(network, picture) for picture in PICTURES]
    count = _twins.neurobench_counts(network, np.stack(PICTURES), STEPS, once=True)
    for position, result in enumerate(results):
        assert_same_spikes(result, count, position)
    expected = counters.expected_of_neurobench(sum(result.operations for result in results), once=True)
    for kind in ("Effective_ACs", "Effective_MACs", "Dense"):
        assert count.totals[kind] == pytest.approx(expected[kind] / len(PICTURES), rel=1e-12)
    assert count.totals["ActivationSparsity"] == pytest.approx(expected["ActivationSparsity"], rel=1e-12)


def test_neurobench_calls_graded_events_multiplications(neurobench):
    result = ran(LADDERS["borders"], PICTURES[0])
    count = _twins.neurobench_counts(LADDERS["borders"], PICTURES[0][None], STEPS, once=True)
    assert_same_spikes(result, count)
    totals = result.operations.totals
    assert count.totals["Effective_ACs"] == 0
    assert count.totals["Effective_MACs"] == totals["synops_effective"] + totals["macs_effective"]
    assert count.totals["ActivationSparsity"] == pytest.approx(totals["activation_sparsity"], rel=1e-12)


# --- sinabs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REACHED)
def test_sinabs(sinabs, name):
    result = ran(REACHED[name], PICTURES[0])
    count = _twins.sinabs_counts(REACHED[name], PICTURES[0], STEPS)
    assert_same_spikes(result, count)
    expected = counters.synops_of(result.operations, counters.KNOWN_TO_SINABS)
    assert all(expected.values())
    # A mean over the steps in float32, times the steps.
    assert {node: round(count.by_node[node], 2) for node in expected} == pytest.approx(expected, abs=0.02)


def test_sinabs_takes_a_pool_with_neurons_for_one_without(sinabs):
    network = REACHED["pooling"]
    expected = counters.synops_of(ran(network, PICTURES[0]).operations, counters.KNOWN_TO_SINABS)
    found = _twins.sinabs_sequential_counts(network, PICTURES[0], STEPS).by_node
    assert round(found["conv2"]) == 4 * expected["conv2"]
    assert round(found["classes"]) == expected["classes"]


# --- SpikingJelly ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REACHED)
def test_spikingjelly(spikingjelly, name):
    result = ran(REACHED[name], PICTURES[0])
    count = _twins.spikingjelly_counts(REACHED[name], PICTURES[0], STEPS)
    assert_same_spikes(result, count)
    expected = counters.synops_of(result.operations, counters.KNOWN_TO_SPIKINGJELLY)
    assert {node: count.by_node[node] for node in expected} == expected
    assert count.totals["synops"] == sum(expected.values())
    assert count.totals["macs"] == result.operations.synapses["conv1"].dense_macs


def test_spikingjelly_counts_no_graded_event(spikingjelly):
    result = ran(LADDERS["borders"], PICTURES[0])
    count = _twins.spikingjelly_counts(LADDERS["borders"], PICTURES[0], STEPS)
    assert_same_spikes(result, count)
    assert count.totals["synops"] == 0
    dense = {name: node.dense_macs for name, node in result.operations.synapses.items()}
    assert count.totals["macs"] == dense["conv1"] + STEPS * (dense["conv2"] + dense["classes"])


# --- The twin, and the page ------------------------------------------------------------------------------------------


def test_a_twin_that_differs_is_noticed(spikingjelly):
    """The comparison of spikes can fail: snnTorch's rule (v > 1) is not SpikingJelly's (v >= 1)."""
    count = _twins.spikingjelly_counts(REACHED["plain"], PICTURES[0], STEPS)
    result = ran(STRICT["plain"], PICTURES[0])
    with pytest.raises(AssertionError):
        assert_same_spikes(result, count)
    with pytest.raises(SystemExit, match="the spikes of relu1 differ"):
        counters.check_spikes(result, count)


def test_every_kind_of_node_is_compared():
    kinds = {type(node).__name__ for network in STRICT.values() for node in network.nodes}
    assert kinds >= {"AvgPool2d", "Concat", "Conv2d", "ConvTranspose2d", "Linear"}
    models = {node.model for network in STRICT.values() for node in network.nodes if isinstance(node, Neurons)}
    assert models == {IntegrateAndFire(1.0, strict=True)}


def test_the_page_shows_the_tables_of_now(neurobench, sinabs, spikingjelly, repository):
    page = (repository / "docs" / "agreement.md").read_text("utf-8")
    versions = ", ".join(_twins.packages()[:4])
    if versions not in page:
        pytest.skip(f"docs/agreement.md was made with other versions than {versions}")
    for title, table in counters.tables(small=True):
        assert table in page, f"{title}: run python benchmarks/counters.py, and bring docs/agreement.md up to date"
