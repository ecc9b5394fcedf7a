"""Energy and memory counts of SpikingJelly and of qualia-plugin-snn, on networks that all can run.

Where every event reaches all that its layer's formula says, in 1x1 convolutions and full connections, the figures are
equal; at borders and between strides the ledger counts what is really reached, which is less.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, IntegrateAndFire, Linear, Network, Neurons, Output, simulate

pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

import _twins
import counters
import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = counters.STEPS
PICTURE = counters.Dyadic(1).picture(*counters.SHAPE)
REACHED = counters.networks(counters.binary(strict=False))
CONVOLUTIONS = ("plain", "borders", "strides", "groups and dilation")
"""Networks of convolutions and full connections: the profilers have no rule for anything else."""


def pointwise():
    """1x1 convolutions and a full connection."""
    draw = counters.Dyadic(3)
    nodes = [Input("input", 2), Conv2d("conv1", "input", draw(6, 2, 1, 1, scale=2), draw(6))]
    nodes += [Neurons("relu1", "conv1", IntegrateAndFire()), Conv2d("conv2", "relu1", draw(8, 6, 1, 1), draw(8))]
    nodes += [Neurons("relu2", "conv2", IntegrateAndFire()), Linear("classes", "relu2", draw(3, 8 * 99), draw(3))]
    return Network([*nodes, Output("output", "classes")])


def ran(network):
    return simulate(network, PICTURE, STEPS, record=("spikes",))


# --- SpikingJelly ----------------------------------------------------------------------------------------------------


def profiled(network, profiler):
    """The profiler's report of a run whose spikes are the engine's, and the engine's ledger."""
    twin = _twins.Twin(network, _twins.spikingjelly_neuron)
    whole = _twins._Whole(twin, STEPS, once=True)
    profiler.bind_model(whole)
    with torch.no_grad(), profiler:
        whole(torch.from_numpy(PICTURE.copy())[None])
    result = ran(network)
    for name, spikes in result.spikes.items():
        np.testing.assert_array_equal(twin.recorded()[name][0], spikes, name)
    return profiler.get_report(), result.operations


@pytest.fixture
def spikingjelly():
    return pytest.importorskip(
        "spikingjelly.activation_based.op_counter", reason="SpikingJelly is not installed (extra agreement)"
    )


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_spikingjelly_reads_as_many_bytes(spikingjelly, name):
    report, ledger = profiled(REACHED[name], spikingjelly.SimpleEnergyProfiler())
    totals, estimate = ledger.totals, ledger.energy("spikingjelly")
    states = 4 * sum(layer.potential_reads for layer in ledger.neurons.values())
    assert report.counts["weight_read_bytes"] == 4 * totals["weight_reads"]
    assert report.counts["bias_read_bytes"] == 4 * totals["bias_reads"]
    assert report.counts["neuron_state_read_bytes"] == report.counts["neuron_state_write_bytes"] == states
    assert report.counts["synop"] == totals["synops"]
    assert report.counts["mac"] == totals["macs"]
    memory = (estimate.parts["weight memory"] + estimate.parts["potential memory"]) * 1e12
    assert report.energy_memory_pj == pytest.approx(memory, rel=1e-12)
    assert report.energy_mac_pj == pytest.approx(estimate.parts["input"] * 1e12, rel=1e-12)
    # Its accumulates are synapses' and some of the neurons': see docs/agreement.md.
    assert report.energy_ac_pj > estimate.parts["synapses"] * 1e12


def test_lemaire_as_spikingjelly_computes_it(spikingjelly):
    report, ledger = profiled(pointwise(), spikingjelly.LemaireEnergyProfiler())
    estimate = ledger.energy("lemaire-spikingjelly")
    parts = {name: joules * 1e12 for name, joules in estimate.parts.items()}
    breakdown = report.breakdown_pj
    assert breakdown["ops_pj"] == pytest.approx(
        sum(parts[name] for name in ("synapses", "input", "biases", "resets", "leaks")), rel=1e-12
    )
    assert breakdown["addressing_pj"] == pytest.approx(parts["addresses"], rel=1e-12)
    assert breakdown["inout_pj"] == pytest.approx(parts["event memory"], rel=1e-12)
    assert breakdown["params_pj"] == pytest.approx(parts["weight memory"], rel=1e-12)
    assert breakdown["potential_pj"] == pytest.approx(parts["sum memory"] + parts["potential memory"], rel=1e-12)
    assert report.total_pj == pytest.approx(estimate.spiking * 1e12, rel=1e-12)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_lemaire_beside_spikingjelly_where_kernels_have_borders(spikingjelly, name):
    """Its formulas charge each event for the whole kernel, the ledger for what it reaches; events are the same."""
    report, ledger = profiled(REACHED[name], spikingjelly.LemaireEnergyProfiler())
    parts = {name: joules * 1e12 for name, joules in ledger.energy("lemaire-spikingjelly").parts.items()}
    assert report.breakdown_pj["inout_pj"] == pytest.approx(parts["event memory"], rel=1e-12)
    ours = parts["sum memory"] + parts["potential memory"]
    assert ours < report.breakdown_pj["potential_pj"]
    assert parts["weight memory"] < report.breakdown_pj["params_pj"]
    node, events = ledger.synapses["conv2"], ledger.synapses["conv2"].event_reads(ledger.neurons)
    kernel = node.weights // node.channels
    assert node.potential_reads < events * kernel
    whole = 2 * events * kernel * 4 * _price(spikingjelly, node.largest_outputs)
    reached = 2 * node.potential_reads * 4 * _price(spikingjelly, node.largest_outputs)
    # The borders of conv2 are all the difference: the full connection has none.
    assert report.breakdown_pj["potential_pj"] - ours == pytest.approx(whole - reached, rel=1e-9)


def _price(spikingjelly, holds):
    return spikingjelly.LemaireEnergyCostConfig().memory_cost_pj(4 * holds)


# --- qualia-plugin-snn -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[8, 32])
def qualia(request):
    """Its metric, whose methods compute the parts of one layer."""
    pytest.importorskip("qualia_plugin_snn", reason="qualia-plugin-snn is not installed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            from qualia_plugin_snn.postprocessing.EnergyEstimationMetric import EnergyEstimationMetric
    except Exception as error:  # noqa: BLE001 - whatever of its many dependencies is missing or does not fit
        pytest.skip(f"qualia-plugin-snn cannot be imported: {error!r}")
    metric = EnergyEstimationMetric(mem_width=request.param, fifo_size=1000)
    return metric, lambda holds: metric._e_ram(holds, request.param), {8: "lemaire-8bit", 32: "lemaire"}[request.param]


def layer_of(network, ledger, name):
    """What its formulas read of a layer, channels last."""
    node, shapes = network[name], network.shapes(PICTURE.shape)
    kernel = node.weight.shape[2:]
    source, out = (shapes[each][1:] + shapes[each][:1] for each in (node.source, name))
    shape = (lambda whole: [(None, int(np.prod(whole)))]) if not kernel else (lambda whole: [(None, *whole)])
    return SimpleNamespace(
        input_shape=shape(source),
        output_shape=shape(out),
        kernel_size=kernel,
        strides=getattr(node, "stride", ()),
        kernel=node.weight,
        bias=node.bias,
        use_bias=True,
    )


def test_lemaire_as_qualia_computes_it(qualia):
    """Of the layer between two layers of neurons: its neurons' potentials and events are in the formulas."""
    metric, access, model = qualia
    network = pointwise()
    ledger = ran(network).operations
    layer, node, neurons = layer_of(network, ledger, "conv2"), ledger.synapses["conv2"], ledger.neurons["relu2"]
    read, fired = node.event_reads(ledger.neurons), int(neurons.events.sum())
    rate_in, rate_out = read / node.inputs, fired / node.outputs
    assert metric._e_rdweights_conv_snn(layer, rate_in, access) == pytest.approx(
        int(node.synops.sum()) * access(node.weights), rel=1e-12
    )
    alone = SimpleNamespace(
        ledger=ledger,
        synapses={"conv2": node},
        neurons={"relu2": neurons, "relu1": ledger.neurons["relu1"]},
    )
    parts = parts_of(alone, model)
    theirs = {
        "event memory": metric._e_rdin_snn(layer, rate_in, access) + metric._e_wrout_snn(layer, rate_out, access),
        "weight memory": metric._e_rdweights_conv_snn(layer, rate_in, access)
        + metric._e_rdbias_conv_snn(layer, STEPS, access),
        "potentials": metric._e_rdpot_conv_snn(layer, rate_in, STEPS, access)
        + metric._e_wrpot_conv_snn(layer, rate_in, STEPS, access),
        "operations": metric._e_ops_conv_snn(layer, rate_in, rate_out, STEPS, leak=False),
    }
    assert parts == pytest.approx(theirs, rel=1e-12)


def parts_of(alone, model):
    """Picojoules by the model of one layer of synapses and the neurons that it feeds."""
    from spikeunet.engine.operations import Operations

    whole = Operations(STEPS, 1, alone.neurons, alone.synapses).energy(model).parts
    # The events and updates of the neurons that are only read are not this layer's.
    source = Operations(STEPS, 1, {"relu1": alone.neurons["relu1"]}, {}).energy(model).parts
    parts = {name: 1e12 * (joules - source[name]) for name, joules in whole.items()}
    return {
        "event memory": parts["event memory"],
        "weight memory": parts["weight memory"],
        "potentials": parts["sum memory"] + parts["potential memory"],
        "operations": sum(parts[name] for name in ("synapses", "biases", "resets", "leaks")),
    }


@pytest.mark.parametrize("name", CONVOLUTIONS[:3])
def test_the_artificial_network_as_qualia_computes_it(qualia, name):
    metric, access, model = qualia
    network = REACHED[name]
    ledger = ran(network).operations
    theirs = dict.fromkeys(("event memory", "weight memory", "operations"), 0.0)
    for node, kind in {"conv1": "conv", "conv2": "conv", "classes": "fc"}.items():
        layer = layer_of(network, ledger, node)
        for part, names in {"event memory": ("rdin", "wrout"), "weight memory": ("rdweights", "rdbias")}.items():
            theirs[part] += sum(getattr(metric, f"_e_{each}_{kind}_fnn")(layer, access) for each in names)
        theirs["operations"] += getattr(metric, f"_e_ops_{kind}_fnn")(layer)
    parts = {part: 1e12 * joules for part, joules in ledger.energy(model).dense_parts.items()}
    parts["operations"] = parts["synapses"] + parts["biases"]
    assert {part: parts[part] for part in theirs} == pytest.approx(theirs, rel=1e-12)
