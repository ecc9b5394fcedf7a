"""Readings of events, energy models, NeuroBench's names, and what a neuron's update costs, all by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from own_neurons import Plain
from test_operations import residual_ledger, small_ledger, small_network

from spikeunet.engine import (
    ENERGY_MODELS,
    AvgPool2d,
    BurstNeuron,
    Concat,
    Conv2d,
    EnergyModel,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    NeuronError,
    Neurons,
    Output,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
    estimate_energy,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.neurons import Arithmetic, arithmetic_of, level_table
from spikeunet.engine.operations.charges import PARTS, dense_charges, run_charges
from spikeunet.engine.operations.energy_models import BREAK_EVEN_RATES

BINARY = IntegrateAndFire(0.5)
UNEVEN = MultiThreshold((1.0, 0.75))
TWO = MultiThreshold((1.0, 0.5))


def ledger_of(model, values=(3.75, 0.5), steps=2):
    return simulate(small_network(model), np.float32(values).reshape(2, 1, 1), steps).operations


# --- Readings --------------------------------------------------------------------------------------------------------


def test_a_graded_event_is_a_multiply_accumulate_by_default():
    ledger = small_ledger()
    assert ledger.reading.name == "multiply-accumulate"
    found = {
        name: reading and (reading.accumulates, reading.multiply_accumulates)
        for name, reading in ledger.readings.items()
    }
    assert found == {"multiply-accumulate": (0, 12), "shift-adds": (27, 0), "accumulate": None}
    with pytest.raises(InputError, match=r"read as accumulate: those of neurons are graded; take multiply-accumulate"):
        ledger.energy(reading="accumulate")


def test_a_binary_event_is_an_accumulate_by_default():
    ledger = ledger_of(BINARY)
    assert ledger.reading.name == "accumulate"
    assert {name: reading.operations for name, reading in ledger.readings.items()} == dict.fromkeys(ledger.readings, 12)
    assert ledger.energy().spiking == pytest.approx((12 * 0.9 + 4 * 4.6) * 1e-12)
    assert ledger.energy(reading="multiply-accumulate").spiking == pytest.approx((12 + 4) * 4.6e-12)


def test_shifts_are_refused_where_levels_are_no_powers_of_two():
    ledger = ledger_of(UNEVEN)
    assert ledger.readings["shift-adds"] is None
    with pytest.raises(InputError, match="levels of neurons are no sums of powers of two"):
        ledger.energy(reading="shift-adds")
    with pytest.raises(InputError, match="no reading is called 'abacus'; there are multiply-accumulate, shift-adds"):
        ledger.energy(reading="abacus")


@pytest.mark.parametrize(
    ("model", "shifts", "bits"),
    [
        (IntegrateAndFire(0.3), True, 1),
        (MultiThreshold((0.75, 0.375)), True, 2),
        (MultiThreshold((1.5, 0.5)), False, 2),
        (UNEVEN, False, 2),
        (BurstNeuron(1.0, gamma=5), True, 3),
        (SignedMultiThreshold((2.0, 1.0, 0.5)), True, 4),
        (SignedMultiThreshold((2.0, 1.0), (0.75,)), False, 2),
        (SignedMultiThreshold((1.0,)), True, 1),
        (RefractoryLeakyIntegrateAndFire(0.7), True, 1),
    ],
)
def test_what_levels_are_made_of(model, shifts, bits):
    table = level_table(model)
    assert (table.shifts, table.bits) == (shifts, bits)


def test_both_kinds_of_events_in_one_network_and_a_pool_that_only_adds():
    nodes = [Input("input"), Conv2d("conv", "input", np.ones((1, 1, 1, 1)))]
    nodes += [Neurons("binary", "conv", BINARY), Neurons("ladder", "conv", TWO), AvgPool2d("pool", "ladder", 1)]
    nodes += [Neurons("pooled", "pool", BINARY), Concat("all", ("binary", "ladder", "pooled"))]
    nodes += [Conv2d("readout", "all", np.ones((5, 3, 1, 1))), Output("output", "readout")]
    ledger = simulate(Network(nodes), np.full((1, 1, 1), 1.75, np.float32), 1).operations
    # Each of the three neurons fires once, the ladder at both thresholds; the pool adds one event.
    reading = ledger.reading
    assert (reading.name, reading.accumulates, reading.multiply_accumulates) == ("mixed", 5 + 5 + 1, 5)
    assert ledger.readings["shift-adds"].accumulates == 5 + 10 + 5 + 1
    assert ledger.readings["multiply-accumulate"].accumulates == 1


def test_the_first_steps_of_a_ledger():
    short, long = ledger_of(TWO, steps=2), ledger_of(TWO, steps=5)
    assert long.first_steps(2).totals == short.totals
    assert long.first_steps(5).totals == long.totals
    with pytest.raises(InputError, match=r"steps must be 1 to 5, those of the run \(got 6\)"):
        long.first_steps(6)


# --- Reads and writes ------------------------------------------------------------------------------------------------


def test_an_event_is_read_by_each_reader_and_not_before_its_delay():
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", one), Neurons("n", "conv", BINARY)]
    nodes += [Concat("twice", ("n", "n")), Conv2d("late", "twice", np.ones((3, 2, 1, 1)), delay=1)]
    nodes += [Neurons("m", "late", BINARY), Conv2d("readout", "m", np.ones((1, 3, 1, 1))), Output("output", "readout")]
    ledger = simulate(Network(nodes), np.ones((1, 1, 1), np.float32), 3).operations
    assert ledger.neurons["n"].events.tolist() == [1, 1, 1]
    assert ledger.synapses["late"].event_reads(ledger.neurons) == 2 * 2
    assert ledger.synapses["late"].weight_reads == 2 * 2 * 3


def test_reads_of_a_pool_and_a_sum():
    ledger = residual_ledger()
    records = {record["node"]: record for record in ledger.rows()}
    assert records["mean"]["weight_reads"] == records["max"]["bias_reads"] == 0
    assert records["identity"]["weight_reads"] == ledger.synapses["identity"].synops.sum() > 0
    assert records["conv"] == {**records["conv"], "event_reads": 0, "weight_reads": 16, "bias_reads": 16}
    for name in ("event_reads", "event_writes", "weight_reads", "bias_reads", "potential_reads"):
        assert sum(record.get(name, 0) for record in records.values()) == ledger.totals[name]


# --- Energy models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "spiking", "dense"),
    [
        ("45nm", (12 + 4) * 4.6, 10 * 4.6),
        ("45nm-8bit", (12 + 4) * 0.23, 10 * 0.23),
        ("45nm-binary", 27 * 0.9 + 4 * 4.6, 10 * 4.6),
        ("spiking-unet", 9 * 0.9 + 4 * 4.6, 10 * 4.6),
        ("loihi", 27 * 23.6, None),
        ("truenorth", 27 * 26, None),
        # 16 weights and 6 biases, 4 potentials read and written, of 4 bytes; the ANN's 10 weights and 3 biases.
        ("spikingjelly", 16 * 4.6 + (16 + 6 + 2 * 4) * 4 * 24.96, 10 * 4.6 + (10 + 3) * 4 * 24.96),
        ("spikingjelly-8bit", 16 * 0.23 + (16 + 6 + 2 * 4) * 24.96, 10 * 0.23 + (10 + 3) * 24.96),
        # 6 biases added and 9 thresholds taken off, 4 x 4 comparisons; 4 events of 4 bits moved to one reader.
        ("yan", (6 + 9 + 16) * 0.05448 + 4 * 4 * 3.0, None),
    ],
)
def test_energy_by_hand(model, spiking, dense):
    estimate = small_ledger().energy(model)
    assert estimate.spiking == pytest.approx(spiking * 1e-12)
    assert (estimate.dense is None) == (dense is None)
    assert estimate.unpriced_macs == {"loihi": 4, "truenorth": 4, "yan": 16}.get(model, 0)
    if dense is not None:
        assert estimate.dense == pytest.approx(dense * 1e-12)
        assert estimate.ratio == pytest.approx(spiking / dense)
    assert f"{estimate.model.scope}" in str(estimate)
    assert f"events as {estimate.reading}" in str(estimate)


def lemaire_by_hand(add, multiply, access):
    """Energy in pJ of `small_ledger`'s run; access(holds) in pJ. Both layers connect everything to everything.

    conv: 4 products of 2 inputs, no bias. linear: 4 events, 12 products, 2 x 3 biases. neurons: 9 thresholds crossed.
    """
    mac = add + multiply
    conv = 4 * mac + (2 + 2) * add + 2 * access(2) + 4 * access(4)
    linear = 12 * mac + 6 * add + 12 * add + 4 * access(1000) + 12 * access(6) + 6 * access(3) + 2 * 12 * access(3)
    neurons = 9 * add + 2 * 4 * access(2) + 4 * access(1000)
    return conv + linear + neurons


@pytest.mark.parametrize(
    ("model", "add", "multiply", "bits"), [("lemaire", 0.1, 3.1, 32), ("lemaire-8bit", 0.03, 0.2, 8)]
)
def test_energy_with_memory_by_hand(model, add, multiply, bits):
    estimate = small_ledger().energy(model)
    expected = lemaire_by_hand(add, multiply, lambda holds: 13.2 + 1.09e-5 * holds * bits)
    assert estimate.spiking == pytest.approx(expected * 1e-12, rel=1e-12)
    assert sum(estimate.parts.values()) == pytest.approx(estimate.spiking)
    # ANN: 4 and 6 products, 3 biases; 2 inputs and 2 or 3 outputs of each.
    access = [13.2 + 1.09e-5 * holds * bits for holds in range(7)]
    dense = 10 * (add + multiply) + 3 * add + (4 + 5) * add + 4 * access[2] + 4 * access[4] + 6 * access[6]
    dense += 3 * access[3] + 2 * access[2] + 3 * access[3]
    assert estimate.dense == pytest.approx(dense * 1e-12, rel=1e-12)


def test_memory_by_steps_of_its_size():
    price = ENERGY_MODELS["lemaire-spikingjelly"].memory
    picojoules = [price.joules(holds, 32) * 1e12 for holds in (0, 1024, 2048, 8192, 2**18, 2**30)]
    assert picojoules == pytest.approx([0, 5, 10, 20, 100, 100])


def test_a_leak_costs_a_multiplication_an_update():
    leaky, perfect = (
        ledger_of(model).energy("lemaire").parts["leaks"]
        for model in (LeakyIntegrateAndFire(0.5, 0.5), LeakyIntegrateAndFire(0.5, 1.0))
    )
    assert leaky == pytest.approx(4 * 3.2e-12)
    assert perfect == 0


def test_every_energy_model_has_a_source_and_charges_known_parts():
    assert all(isinstance(model, EnergyModel) and len(model.source) > 40 for model in ENERGY_MODELS.values())
    assert all(model.technology in model.title and name in model.title for name, model in ENERGY_MODELS.items())
    assert all(model.parts <= PARTS.keys() for model in ENERGY_MODELS.values())
    ledger = small_ledger()
    charged = {charge.part for charge in (*run_charges(ledger, "multiply-accumulate", 1000), *dense_charges(ledger))}
    assert charged == PARTS.keys()
    assert json.loads(json.dumps(ENERGY_MODELS["lemaire"].as_json()))["memory"]["constant"] == 13.2e-12


def test_a_model_with_a_reading_of_its_own_takes_no_other():
    with pytest.raises(InputError, match="'loihi' charges synops_binary, which is its own reading; leave out 'shift-"):
        small_ledger().energy("loihi", reading="shift-adds")


def test_a_chip_without_multiplications_refuses_them():
    assert estimate_energy(1, model="loihi") == 23.6e-12
    with pytest.raises(InputError, match=r"'loihi' has no figure for multiply-accumulates \(got 5\)"):
        estimate_energy(1, 5, model="loihi")


def test_unknown_energy_model():
    with pytest.raises(InputError, match="no energy model is called 'abacus'; there are 45nm,"):
        small_ledger().energy("abacus")


def test_break_even_rates_fall_with_the_steps():
    assert BREAK_EVEN_RATES[1, 8] > BREAK_EVEN_RATES[3, 8] > BREAK_EVEN_RATES[5, 4] == 0.057


# --- What an update costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (IntegrateAndFire(), Arithmetic(0, 1, 1, spike_additions=1)),
        (IntegrateAndFire(reset="zero"), Arithmetic(0, 1, 1)),
        (LeakyIntegrateAndFire(), Arithmetic(1, 1, 1, spike_additions=1)),
        (MultiThreshold(), Arithmetic(0, 1, 4, spike_additions=1)),
        (SignedMultiThreshold.rounding((1.0, 0.5)), Arithmetic(0, 3, 4, spike_additions=1)),
        (BurstNeuron(), Arithmetic(0, 1, 1, spike_additions=1, spike_comparisons=1)),
        (RefractoryLeakyIntegrateAndFire(), Arithmetic(1, 1, 2)),
        (Plain(), None),
    ],
)
def test_operations_of_an_update(model, expected):
    assert arithmetic_of(model) == expected


@dataclasses.dataclass(frozen=True)
class Declared:
    """A neuron model as far as its arithmetic."""

    declares: object

    def arithmetic(self):
        return self.declares


def test_a_model_declares_its_own():
    assert arithmetic_of(Declared({"additions": 3, "spike_multiplications": 2})) == Arithmetic(
        additions=3, spike_multiplications=2
    )
    for wrong in ({"divisions": 1}, {"additions": 1.5}, {"additions": -1}, {"additions": True}, 3):
        with pytest.raises(NeuronError, match=r"Declared.arithmetic: must map names out of multiplications, additions"):
            arithmetic_of(Declared(wrong))


# --- NeuroBench ------------------------------------------------------------------------------------------------------


def test_names_of_neurobench():
    ledger = small_ledger() + small_ledger()
    assert ledger.to_neurobench() == {
        "Footprint": 60,
        "ConnectionSparsity": 0.5,
        "ParameterCount": 13,
        "ActivationSparsity": 0.0,
        "ActivationSparsityByLayer": {"neurons": 0.0},
        # Per picture: 6 effective products of graded events and 2 of the input.
        "SynapticOperations": {"Effective_MACs": 8, "Effective_ACs": 0, "Dense": 12 + 4},
        "MembraneUpdates": 4,
        # 4 updates of 1 addition and 4 comparisons, and 9 thresholds that are taken off; 4 x (5 + 4).
        "NeuronOperations": {"Effective Neuron Ops": 29, "Neuron Dense Ops": 36},
    }
    binary = ledger_of(BINARY).to_neurobench()["SynapticOperations"]
    assert binary == {"Effective_MACs": 2, "Effective_ACs": 6, "Dense": 16}


def test_what_a_model_does_not_declare_is_not_reported():
    metrics = ledger_of(Plain()).to_neurobench()
    assert metrics["NeuronOperations"] == {"Effective Neuron Ops": None, "Neuron Dense Ops": None}
    records = ledger_of(Plain()).rows()
    assert "additions" not in records[-1]
    assert small_ledger().rows()[-1]["additions"] == 4 + 9


def test_the_linear_network_has_all_its_connections():
    """The address of a target needs no multiplication where an event reaches everything."""
    ledger = small_ledger()
    assert ledger.synapses["linear"].connects_all
    kernel = np.ones((1, 1, 3, 3), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", kernel, padding=1), Neurons("n", "conv", BINARY)]
    nodes += [Conv2d("second", "n", kernel), Linear("last", "n", np.ones((2, 12))), Output("output", "last")]
    nodes += [Output("other", "second")]
    ledger = simulate(Network(nodes), np.ones((1, 3, 4), np.float32), 1).operations
    assert [ledger.synapses[name].connects_all for name in ("conv", "second", "last")] == [False, False, True]
