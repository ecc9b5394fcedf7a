"""Plots: what they show is what the run has, into axes that are given or new, and clear words where that cannot be."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import AvgPool2d, Conv2d, Input, InputError, Network, Neurons, Output, plots, simulate
from spikeunet.engine.plots.graph_layout import edges, places

pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plots)")
STEPS = 3
SITES = {"relu1": [(0, 2, 3), (1, 4, 4)]}


@pytest.fixture(scope="module")
def network():
    return small_denoiser()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).random((1, 8, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def result(network, picture):
    return simulate(network, picture, STEPS, record=("spikes",), threads=1)


def test_a_raster_has_a_dot_for_each_event(result):
    ax = plots.raster(result, "pooling1")
    spikes = result.spikes["pooling1"].reshape(STEPS, -1)
    places = ax.collections[0].get_offsets()
    assert len(places) == np.count_nonzero(spikes)
    steps, counts = np.unique(places[:, 0], return_counts=True)
    assert dict(zip(steps, counts, strict=True)) == {
        step + 1: count for step, count in enumerate(np.count_nonzero(spikes, axis=1)) if count
    }
    few = plots.raster(result, "pooling1", neurons=[0])
    assert len(few.collections[0].get_offsets()) == np.count_nonzero(spikes[:, 0])


def test_potentials_are_the_traces(network, picture):
    result = simulate(network, picture, STEPS, probes=SITES, threads=1)
    ax = plots.potentials(result, "relu1")
    (variable, trace), *_ = result.traces["relu1"].items()
    assert ax.get_ylabel() == f"{variable} of relu1"
    np.testing.assert_array_equal(np.stack([line.get_ydata() for line in ax.lines]).T, trace)
    with pytest.raises(InputError, match="no variable 'current'; there are"):
        plots.potentials(result, "relu1", "current")
    with pytest.raises(InputError, match="traces of relu1 are of all its neurons; name those to plot with probes"):
        plots.potentials(simulate(network, picture, STEPS, record=("traces",), threads=1), "relu1")


def test_activity_is_density_by_step(result):
    (line,) = plots.activity(result).lines
    assert np.mean(line.get_ydata()) == pytest.approx(result.density)
    ax = plots.activity(result, ["relu1", "pooling1"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["relu1", "pooling1"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), result.events["relu1"] / result.neurons["relu1"])


def test_quality_against_operations_ends_at_all_of_them(result):
    ax = plots.quality_against_operations([20.0, 25.0, 26.0], result.operations, analog=27.0)
    assert ax.lines[0].get_xdata()[-1] == result.total_accumulates
    assert ax.lines[1].get_xdata()[0] == sum(result.dense_macs.values())
    (spiking, analog) = plots.quality([20.0, 25.0, float("inf")], analog=27.0).lines
    assert np.isnan(spiking.get_ydata()[2])  # a PSNR of equal pictures has no place on an axis
    assert analog.get_ydata()[0] == 27
    with pytest.raises(InputError, match="values must be 3, one for each step"):
        plots.quality_against_operations([20.0], result.operations)


def test_bars_are_the_ledgers_counts(result):
    ledger = result.operations
    widths = [bar.get_width() for bar in plots.events(ledger).patches]
    assert widths == [result.events[name].sum() for name in ledger.neurons]
    widths = [bar.get_width() for bar in plots.operations(ledger).patches]
    assert sum(widths[: len(ledger.synapses)]) == ledger.readings["multiply-accumulate"].operations
    assert sum(widths[len(ledger.synapses) :]) == ledger.readings["shift-adds"].operations
    energy = ledger.energy("45nm")
    widths = [bar.get_width() for bar in plots.energy(ledger, "45nm").patches]
    assert (widths[0], widths[-1]) == (energy.spiking, energy.dense)
    assert len(plots.energy(ledger, "loihi").patches) >= 1
    assert max(bar.get_width() for bar in plots.densities(ledger).patches) <= 1


def test_weights_thresholds_and_filters(network):
    doubled = network.replace(
        [
            Conv2d("conv1", "input", 2 * node.weight, padding=1) if node.name == "conv1" else node
            for node in network.nodes
        ],
        normalization={"relu1": 4.0},
    )
    before, after = (bars.lines[0].get_xdata() for bars in plots.normalization(network, doubled).containers)
    assert after[0] == pytest.approx(2 * before[0])
    np.testing.assert_array_equal(after[1:], before[1:])
    before, after = (dots.get_offsets()[:, 0] for dots in plots.thresholds(doubled).collections)
    count = len(after) // 3
    np.testing.assert_allclose(before[:count], 4 * after[:count])
    np.testing.assert_array_equal(before[count:], after[count:])
    sheet = plots.filters(network, "conv1").images[0].get_array()
    np.testing.assert_allclose(sheet[:3, 4:7], network["conv1"].weight[1].mean(axis=0))
    with pytest.raises(InputError, match=r"filters can be drawn of conv1, .*got 'relu1'"):
        plots.filters(network, "relu1")


def test_edges_carry_every_operation_once(network, result):
    found = edges(network, result.operations)
    assert {(edge.source, edge.target) for edge in found} == {
        ("input", "relu1"),
        ("relu1", "pooling1"),
        ("pooling1", "relu_up1"),
        ("input", "output"),
        ("relu_up1", "output"),
    }
    of_events = sum(edge.operations for edge in found if edge.source != "input")
    assert of_events == result.total_accumulates


def test_a_u_shape_has_two_arms_and_a_chain_has_one(network, result):
    heights = {name: shape[1] for name, shape in network.shapes((1, 8, 12)).items()}
    where = places(network, heights)
    assert [name for name, place in where.items() if place.right] == ["output", "relu_up1"]
    assert where["pooling1"].row == max(place.row for place in where.values())
    assert len({(place.column, place.row) for place in where.values()}) == len(where)
    ax = plots.traffic(network, result.operations)
    assert {text.get_text() for text in ax.texts} == set(where)
    chain = Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", np.ones((2, 1, 3, 3)), padding=1),
            Neurons("relu1", "conv1"),
            AvgPool2d("pool1", "relu1", 2),
            Neurons("pooling1", "pool1"),
            Conv2d("conv2", "pooling1", np.ones((1, 2, 1, 1))),
            Output("output", "conv2"),
        ]
    )
    assert not any(
        place.right for place in places(chain, {"input": 4, "relu1": 4, "pooling1": 2, "output": 2}).values()
    )
    with pytest.raises(InputError, match="of another network"):
        plots.traffic(chain, result.operations)


def test_plots_draw_into_axes_that_are_given(result):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert plots.activity(result, ax=ax) is ax
    assert plots.timeline({"events": [1, 2]}, ax=ax) is ax
    assert ax.get_ylim() == (0, pytest.approx(2.1))
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_refusals(result, network):
    with pytest.raises(InputError, match="no layer is called 'relu9'; there are relu1"):
        plots.activity(result, ["relu9"])
    with pytest.raises(InputError, match="neurons must be 0 to 23"):
        plots.raster(result, "pooling1", neurons=[24])
    with pytest.raises(InputError, match="spikes was not recorded"):
        plots.raster(simulate(network, np.zeros((1, 8, 12), np.float32), STEPS, threads=1), "relu1")
    with pytest.raises(InputError, match="a timeline needs"):
        plots.timeline({"events": []})


def test_without_matplotlib_the_extra_is_named(monkeypatch, result):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else found(name))
    with pytest.raises(InputError, match=r"pip install 'spikeunet\[plots\]'"):
        plots.activity(result)
