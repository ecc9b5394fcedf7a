"""Pickles and copies: what workers of other processes get, and what may be done to it."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from test_bound_program import unet

from spikeunet.engine import (
    BurstNeuron,
    Concat,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
    denoise,
    simulate,
)
from spikeunet.engine.binding import build_program
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.simulation.bands.bound_program import BoundProgram, _shelf
from spikeunet.engine.testing.comparison import assert_same_operations

COPIES = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "old pickle": lambda thing: pickle.loads(pickle.dumps(thing, protocol=2)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
PIXELS = np.random.default_rng(3).integers(0, 65, (2, 8, 8)).astype(np.float32) / 32


@pytest.fixture(params=COPIES, scope="module")
def copied(request):
    """A way to copy."""
    return COPIES[request.param]


def test_networks_that_have_run(copied):
    """A copy is a network of its own that does the same; what was prepared for the first one is not copied."""
    network = unet().replace(metadata={"task": "denoising", "steps": [1, 2]}, normalization={"relu1": 2.0})
    expected = simulate(network, PIXELS, 1, threads=1)
    found = copied(network)
    assert found is not network
    assert found != network
    assert [node.name for node in found.nodes] == [node.name for node in network.nodes]
    assert (found.metadata, found.normalization) == (network.metadata, network.normalization)
    np.testing.assert_array_equal(simulate(found, PIXELS, 1, threads=1).output, expected.output)
    with pytest.raises(TypeError, match="does not support item assignment"):
        found.metadata["task"] = "other"
    with pytest.raises(ValueError, match="read-only"):
        found["conv1"].weight[0] = 1


def test_nodes_keep_their_arrays_read_only(copied):
    for node in (unet()["conv1"], Linear("linear", "input", np.ones((2, 3), np.float32)), Concat("c", ("a", "b"))):
        found = copied(node)
        assert type(found) is type(node)
        assert found.sources == node.sources
        for name in {"weight", "bias"} & set(vars(node)):
            np.testing.assert_array_equal(getattr(found, name), getattr(node, name))
            with pytest.raises(ValueError, match="WRITEABLE"):
                getattr(found, name).setflags(write=True)


@pytest.mark.parametrize(
    "model",
    [
        MultiThreshold((1.0, 0.5)),
        IntegrateAndFire(2.0),
        LeakyIntegrateAndFire(),
        BurstNeuron(),
        RefractoryLeakyIntegrateAndFire(),
        SignedMultiThreshold((1.0, 0.5), (0.25,)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_neuron_models(model, copied):
    network = unet().with_neurons(model)
    found = copied(network)
    assert found["relu1"].model == model
    assert hash(found["relu1"].model) == hash(model)


def test_results(copied):
    result = simulate(unet(), PIXELS, 1, threads=1, record=("spikes", "readout"))
    found = copied(result)
    np.testing.assert_array_equal(found.output, result.output)
    np.testing.assert_array_equal(found.spikes["relu1"], result.spikes["relu1"])
    assert_same_operations(found.operations, result.operations)
    assert_same_operations((found.operations + found.operations), (result.operations + result.operations))


def test_denoised_pictures(copied):
    denoised = denoise(np.full((16, 16), 100, np.uint8), steps=1, threads=1)
    np.testing.assert_array_equal(copied(denoised).picture, denoised.picture)


def test_errors(copied):
    assert str(copied(ModelFileError("m.npz: lost"))) == "m.npz: lost"


def test_other_processes_get_networks():
    network = unet()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(simulate, network, PIXELS, 1, threads=1).result(timeout=240)
    np.testing.assert_array_equal(found.output, simulate(network, PIXELS, 1, threads=1).output)


def test_addresses_are_not_copied():
    """Bound programs hold addresses of this process's memory."""
    network = unet()
    simulate(network, PIXELS, 1, threads=1)
    program = build_program(network, PIXELS.shape)
    for bound in _shelf(program):
        assert isinstance(bound, BoundProgram)
        for way in COPIES.values():
            with pytest.raises(TypeError, match="copy the network"):
                way(bound)
