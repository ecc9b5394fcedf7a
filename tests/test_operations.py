"""The ledger of operations: what it holds, how it adds, prints and is written."""

from __future__ import annotations

import builtins
import csv
import dataclasses
import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import given

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Input,
    IntegrateAndFire,
    Linear,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Operations,
    Output,
    Scale,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.files.csv_text import csv_text
from spikeunet.engine.operations import DEFINITIONS
from spikeunet.engine.testing import checks, strategies
from spikeunet.engine.testing.comparison import assert_same_operations


def small_network(model=None, weight=None):
    """One pixel with two channels: a layer of two neurons, and behind it a Linear node of three outputs with a bias."""
    identity = np.eye(2, dtype=np.float32)[:, :, None, None]
    weight = np.float32([[1, 0], [1, 1], [0, 0]]) if weight is None else weight
    nodes = [
        Input("input", 2),
        Conv2d("conv", "input", identity),
        Neurons("neurons", "conv", model or MultiThreshold()),
        Linear("linear", "neurons", weight, np.float32([0.5, 0, 0.25])),
        Output("output", "linear"),
    ]
    return Network(nodes)


def small_ledger(values=(3.75, 0.5), **options):
    picture = np.float32(values).reshape(2, 1, 1)
    return simulate(small_network(**options), picture, steps=2).operations


def test_a_ledger_by_hand():
    """Neuron 0 crosses all four thresholds at both steps; neuron 1 crosses 0.25 at each."""
    ledger = small_ledger()
    neurons, linear, conv = ledger.neurons["neurons"], ledger.synapses["linear"], ledger.synapses["conv"]
    assert neurons.thresholds == (2.0, 1.0, 0.5, 0.25)
    # 3.75 > 2, 1.75 > 1, 0.75 > 0.5, 0.25 is not > 0.25; at the second step 4 > 2, 2 > 1, 1 > 0.5, 0.5 > 0.25.
    np.testing.assert_array_equal(neurons.spikes, [[1, 1, 1, 1], [1, 1, 2, 1]])
    np.testing.assert_array_equal(neurons.events, [2, 2])
    np.testing.assert_array_equal(linear.synops, [6, 6])
    np.testing.assert_array_equal(linear.synops_binary, [12, 15])
    np.testing.assert_array_equal(linear.sources["neurons"].synops_binary, [[3, 3, 3, 3], [3, 3, 6, 3]])
    np.testing.assert_array_equal(linear.synops_effective, [3, 3])
    assert (conv.macs, conv.macs_effective, conv.dense_macs) == (4, 2, 4)
    assert ledger.totals == {
        "events": 4,
        "spikes": 9,
        "neuron_updates": 4,
        "activation_sparsity": 0.0,
        "synops": 12,
        "synops_binary": 27,
        "synops_effective": 6,
        "dense_synops": 12,
        "macs": 4,
        "macs_effective": 2,
        "dense_macs": 10,
        "event_reads": 4,
        "event_writes": 4,
        "weight_reads": 12 + 4,
        "bias_reads": 2 * 3,
        "potential_reads": 12 + 4,
        "potential_writes": 12 + 4,
        "weights": 10,
        "connection_sparsity": 0.5,
        "parameter_bytes": 4 * (10 + 3),
        "state_bytes": 8,
        "footprint": 60,
    }


def residual_ledger():
    """A max pool, which keeps the sums of 4 windows of 4 pixels, and an identity connection in a sum."""
    nodes = [Input("input", 1), Neurons("n", "conv"), Conv2d("conv", "input", np.ones((1, 1, 1, 1)), np.ones(1))]
    nodes += [MaxPool2d("max", "n", 2), Scale("identity", "n", np.ones(1)), AvgPool2d("mean", "n", 2)]
    nodes += [Add("sum", ("mean", "max")), Neurons("m", "sum"), Output("output", "identity")]
    return simulate(Network(nodes), np.ones((1, 4, 4), np.float32), steps=2).operations


def test_what_has_no_weights_shows_none():
    ledger = residual_ledger()
    assert list(ledger.synapses) == ["conv", "mean", "max", "identity"]
    records = {record["node"]: record for record in ledger.rows()}
    for name in ("mean", "max"):
        assert not {"weights", "connection_sparsity"} & records[name].keys()
        assert not {"weights", "connection_sparsity"} & json.loads(ledger.to_json())["synapses"][name].keys()
    assert (records["identity"]["weights"], records["identity"]["kind"]) == (1, "Scale")
    header, *lines = ledger.to_csv().splitlines()
    column = header.split(",").index("weights")
    assert [line.split(",")[column] for line in lines] == ["1", "", "", "1", "", ""]
    table = str(ledger).splitlines()
    assert [line.split()[1] for line in table[4:8]] == ["Conv2d", "AvgPool2d", "MaxPool2d", "Scale"]
    assert [len(line.split()) for line in table[4:8]] == [12, 10, 10, 12]
    assert {len(line) for line in table[3:9]} == {len(table[3])}


def test_sums_that_a_max_pool_keeps_take_room():
    ledger = residual_ledger()
    assert {name: node.state_bytes for name, node in ledger.synapses.items() if node.state_bytes} == {"max": 4 * 4 * 4}
    assert ledger.totals["state_bytes"] == 4 * (16 + 4) + 64
    assert ledger.totals["footprint"] == ledger.totals["parameter_bytes"] + ledger.totals["state_bytes"]
    assert (ledger + ledger).synapses["max"].state_bytes == 64


def test_every_count_has_a_definition():
    assert list(small_ledger().totals) == list(DEFINITIONS) or set(small_ledger().totals) == set(DEFINITIONS)


def test_analog_zeros_are_not_effective():
    assert small_ledger((0.0, 1.0)).totals["macs_effective"] == 1


def test_thresholds_of_each_source_are_kept_apart():
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [
        Input("input"),
        Conv2d("conv", "input", one),
        Neurons("ladder", "conv", MultiThreshold((1.0, 0.5))),
        Neurons("single", "conv", IntegrateAndFire(2.0)),
        Concat("both", ("single", "ladder", "single")),
        Conv2d("readout", "both", np.ones((5, 3, 1, 1), np.float32)),
        Output("output", "readout"),
    ]
    ledger = simulate(Network(nodes), np.full((1, 1, 1), 2.0, np.float32), steps=1).operations
    sources = ledger.synapses["readout"].sources
    assert sources["ladder"].synops_binary.tolist() == [[5, 5]]
    assert sources["single"].synops_binary.tolist() == [[10]]
    assert ledger.synapses["readout"].synops_binary.tolist() == [20]


def test_a_layer_that_nobody_reads_is_counted():
    network = small_network()
    nodes = [*network.nodes, Neurons("unread", "conv", IntegrateAndFire(0.5))]
    ledger = simulate(Network(nodes), np.ones((2, 1, 1), np.float32), steps=3).operations
    assert ledger.neurons["unread"].spikes.tolist() == [[2], [2], [2]]


@given(strategies.event_queues())
def test_counts_of_a_queue(queue):
    checks.queue_counts(queue)


# --- Sums ------------------------------------------------------------------------------------------------------------


def test_sum_of_many():
    ledgers = [small_ledger((k, 1.0)) for k in range(3)]
    total = sum(ledgers)
    assert isinstance(total, Operations)
    assert total.pictures == 3
    assert total.totals["neuron_updates"] == 3 * 4
    assert total.totals["footprint"] == ledgers[0].totals["footprint"]
    assert_same_operations(total, ledgers[0] + ledgers[1] + ledgers[2])


def test_pictures_of_any_size_add():
    kernel = np.ones((1, 1, 3, 3), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", kernel, padding=1), Neurons("neurons", "conv")]
    network = Network([*nodes, Output("output", "conv")])
    sizes = ((4, 4), (2, 8))
    ledgers = [simulate(network, np.ones((1, *size), np.float32), steps=2).operations for size in sizes]
    total = ledgers[0] + ledgers[1]
    assert total.neurons["neurons"].neurons == 32
    assert total.neurons["neurons"].state_bytes == 64


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": MultiThreshold((1.0,))}, "thresholds of neurons differ"),
        ({"weight": np.ones((3, 2), np.float32)}, "zero_weights of linear differ"),
    ],
)
def test_ledgers_of_different_networks_do_not_add(other, message):
    with pytest.raises(InputError, match=message):
        small_ledger() + small_ledger(**other)


def test_ledgers_of_different_steps_do_not_add():
    longer = simulate(small_network(), np.ones((2, 1, 1), np.float32), steps=3).operations
    with pytest.raises(InputError, match=r"steps of the run differ \(2 and 3\)"):
        small_ledger() + longer


def test_a_ledger_adds_to_ledgers_only():
    with pytest.raises(TypeError):
        small_ledger() + 1
    with pytest.raises(TypeError):
        1 + small_ledger()


# --- Tables and files ------------------------------------------------------------------------------------------------


def test_printed_table():
    text = str(small_ledger())
    assert "2 steps, 1 picture, footprint 60 bytes" in text
    columns = [line.split() for line in text.splitlines()]
    assert ["linear", "Linear", "12", "27", "6", "12", "0", "0", "6", "6", "0.6667", "36"] not in columns
    assert ["linear", "Linear", "12", "27", "6", "12", "0", "0", "6", "6", "0.5000", "36"] in columns
    assert ["neurons", "Neurons", "2", "4", "4", "9", "0.0000", "8"] in columns
    assert [line[0] for line in columns if line and line[0] == "total"] == ["total", "total"]


def test_rows_add_up_to_the_totals():
    ledger = small_ledger()
    for by, kinds in (
        ("node", ("synops", "synops_binary", "synops_effective", "macs", "dense_macs", "events", "spikes")),
        ("step", ("synops", "synops_binary", "synops_effective", "events", "spikes")),
        ("threshold", ("synops_binary", "spikes")),
    ):
        for kind in kinds:
            assert sum(row.get(kind, 0) for row in ledger.rows(by)) == ledger.totals[kind], (by, kind)


def test_an_unknown_node_is_named_beside_the_known_ones():
    ledger = small_ledger() + small_ledger()
    with pytest.raises(KeyError, match="no operations of 'x': there are those of the Neurons nodes, which are neurons"):
        ledger.neurons["x"]
    with pytest.raises(InputError, match="of the synapse nodes, which are conv, linear"):
        pickle.loads(pickle.dumps(ledger)).synapses["x"]


def test_rows_refuse_what_they_do_not_know():
    with pytest.raises(InputError, match=r"by must be one of node, step, threshold \(got 'layer'\)"):
        small_ledger().rows("layer")


@pytest.mark.parametrize("by", ["node", "step", "threshold"])
def test_csv(by, tmp_path):
    ledger = small_ledger()
    text = ledger.to_csv(tmp_path / "ledger.csv", by)
    assert (tmp_path / "ledger.csv").read_text("utf-8") == text == ledger.to_csv(by=by)
    found = [{name: value for name, value in row.items() if value != ""} for row in csv.DictReader(io.StringIO(text))]
    assert found == [{name: str(value) for name, value in row.items()} for row in ledger.rows(by)]


def test_json(tmp_path):
    ledger = small_ledger()
    text = ledger.to_json(tmp_path / "ledger.json")
    assert (tmp_path / "ledger.json").read_text("utf-8") == text
    content = json.loads(text)
    assert content["totals"] == ledger.totals
    assert content["neurons"]["neurons"]["spikes_by_step_and_threshold"] == [[1, 1, 1, 1], [1, 1, 2, 1]]
    assert content["synapses"]["linear"]["sources_by_step"]["neurons"]["synops"] == [6, 6]
    assert content["definitions"] == dict(DEFINITIONS)


def test_frame():
    pandas = pytest.importorskip("pandas")
    frame = small_ledger().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert int(frame["synops"].sum()) == 12


LARGE = 2**53 + 1
"""The smallest count that a float64 rounds."""


def enlarged(ledger, count):
    """The ledger with one count of each kind of array replaced."""
    neurons, linear = ledger.neurons["neurons"], ledger.synapses["linear"]
    counts = {name: np.full_like(getattr(linear.sources["neurons"], name), count) for name in SYNAPTIC}
    source = dataclasses.replace(linear.sources["neurons"], **counts)
    neurons = dataclasses.replace(
        neurons, events=np.full_like(neurons.events, count), spikes=np.full_like(neurons.spikes, count)
    )
    synapses = {**ledger.synapses, "linear": dataclasses.replace(linear, sources={"neurons": source}, macs=count)}
    return dataclasses.replace(ledger, neurons={"neurons": neurons}, synapses=synapses)


SYNAPTIC = ("synops", "synops_binary", "synops_effective")


@pytest.mark.parametrize("by", ["node", "step", "threshold"])
def test_a_frame_holds_every_count_exactly(by):
    pandas = pytest.importorskip("pandas")
    ledger = enlarged(small_ledger(), LARGE)
    frame = ledger.to_frame(by)
    for row, record in zip(frame.to_dict("records"), ledger.rows(by), strict=True):
        assert {name: value for name, value in row.items() if not pandas.isna(value)} == record
    assert {str(frame[name].dtype) for name in ("node", "kind")} == {"string"}
    assert str(frame["synops_binary"].dtype) == "Int64"
    huge = sum([enlarged(ledger, 2**62)] * 3)
    counts = [None if pandas.isna(count) else count for count in huge.to_frame(by)["synops_binary"]]
    assert counts == [record.get("synops_binary") for record in huge.rows(by)]


def test_sums_beyond_int64_are_exact():
    large = enlarged(small_ledger(), 2**62)
    twice, thrice = large + large, sum([large] * 3)
    for ledger, times in ((large, 1), (twice, 2), (thrice, 3)):
        assert ledger.totals["events"] == times * 2 * 2**62
        assert ledger.totals["spikes"] == times * 2 * 4 * 2**62
        assert ledger.totals["synops"] == times * 2 * 2**62
        assert ledger.totals["synops_binary"] == times * 2 * 4 * 2**62
        assert ledger.totals["macs"] == times * 2**62 + ledger.synapses["conv"].macs
        for by, names in (("node", SYNAPTIC), ("step", SYNAPTIC), ("threshold", ("synops_binary", "spikes"))):
            for name in names:
                assert sum(row.get(name, 0) for row in ledger.rows(by)) == ledger.totals[name]
        assert json.loads(ledger.to_json())["totals"] == ledger.totals
        found = list(csv.DictReader(io.StringIO(ledger.to_csv())))
        assert found[-1]["spikes"] == str(ledger.totals["spikes"])
        assert f"{ledger.totals['synops']:,}" in str(ledger)
    assert thrice.neurons["neurons"].events.tolist() == [3 * 2**62] * 2
    assert (small_ledger() + small_ledger()).neurons["neurons"].events.dtype == np.int64


def test_totals_of_a_result_beyond_int64_are_exact():
    result = simulate(small_network(), np.float32([3.75, 0.5]).reshape(2, 1, 1), steps=2)
    result.operations = enlarged(result.operations, 2**62)
    assert (result.total_events, result.total_accumulates) == (2**63, 2**63)


def test_names_are_no_formulas_in_a_spreadsheet():
    ledger = small_ledger()
    neurons = {"neurons": dataclasses.replace(ledger.neurons["neurons"], name="=cmd|x")}
    ledger = dataclasses.replace(ledger, neurons=neurons)
    assert "\n'=cmd|x,Neurons," in ledger.to_csv()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-x.png", "'-x.png"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", r"\t=1"),
        ("\r=1", r"\r=1"),
        ("a=1.png", "a=1.png"),
        ("-1.5e3", "-1.5e3"),
        ("+inf", "+inf"),
        (-5, "-5"),
        (None, ""),
        ("\udcff\n.png", r"\udcff\n.png"),
        ('quo"te, comma', '"quo""te, comma"'),
    ],
)
def test_cells(value, cell):
    assert csv_text(["name", "other"], [{"name": value, "left out": 1}]) == f"name,other\n{cell},\n"


def test_a_frame_needs_pandas(monkeypatch):
    real = builtins.__import__

    def without_pandas(name, *rest):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(InputError, match="needs pandas"):
        small_ledger().to_frame()
