"""The engine reproduces the published implementation's records bit for bit, from the files as they are."""

from __future__ import annotations

import numpy as np
import pytest
from golden_network import GOLDEN_MODELS, golden_network, read_golden

from spikeunet.engine import simulate
from spikeunet.engine.testing.comparison import RECORDS, assert_same_arrays


@pytest.fixture(scope="module", params=GOLDEN_MODELS)
def golden_case(request, golden_folder):
    """A golden file and the network of its weights."""
    golden = read_golden(golden_folder, request.param)
    return golden, golden_network(golden.weights, GOLDEN_MODELS[request.param])


@pytest.mark.parametrize("order", ["layer", "time"])
@pytest.mark.parametrize("threads", [1, 2])
def test_golden_vectors(golden_case, order, threads):
    golden, network = golden_case
    result = simulate(network, golden.picture, golden.steps, order=order, threads=threads, record=RECORDS)
    assert set(golden.records["spikes"]) == {node.name for node in network.neurons}
    spike_count = {name: values.astype(np.int64) for name, values in golden.records["spike_count"].items()}
    assert_same_arrays(result.spikes, golden.records["spikes"], "spikes")
    assert_same_arrays(result.membrane, golden.records["membrane"], "membrane")
    assert_same_arrays(result.spike_count, spike_count, "spike_count")
    np.testing.assert_array_equal(result.readout, golden.readout, strict=True)
    np.testing.assert_array_equal(result.output, golden.readout[-1] / np.float32(golden.steps), strict=True)


@pytest.mark.parametrize("steps", [1, 2, 3, pytest.param(7, marks=pytest.mark.slow)])
def test_golden_vectors_cut_short(golden_case, steps):
    golden, network = golden_case
    result = simulate(network, golden.picture, steps, record=("spikes", "readout"))
    spikes = {name: values[:steps] for name, values in golden.records["spikes"].items()}
    assert_same_arrays(result.spikes, spikes, "spikes")
    np.testing.assert_array_equal(result.readout, golden.readout[:steps], strict=True)


def test_golden_events_are_counted(golden_case):
    golden, network = golden_case
    result = simulate(network, golden.picture, golden.steps)
    for name, spikes in golden.records["spikes"].items():
        np.testing.assert_array_equal(result.events[name], np.count_nonzero(spikes, axis=(1, 2, 3)), name)
        assert result.neurons[name] == spikes[0].size


def test_golden_batch(golden_case):
    """The same picture, mirrored, and the picture again: nothing leaks from one to the next."""
    golden, network = golden_case
    mirrored = np.ascontiguousarray(golden.picture[:, :, ::-1])
    batch = np.stack([golden.picture, mirrored, golden.picture])
    result = simulate(network, batch, golden.steps, record=("readout",))
    np.testing.assert_array_equal(result.readout[0], golden.readout)
    np.testing.assert_array_equal(result.readout[2], golden.readout)
    assert (result.readout[1] != golden.readout).any()
