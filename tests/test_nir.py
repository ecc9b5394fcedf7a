"""NIR both ways: every kind of node, round trips, what other simulators make of the same file, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.converters import read_nir, write_nir
from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    CurrentBasedLeakyIntegrateAndFire,
    Flatten,
    Heterogeneous,
    Input,
    InputError,
    IntegrateAndFire,
    Integrator,
    Lapicque,
    LeakyIntegrator,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PerfectIntegrateAndFire,
    Rate,
    Scale,
    StateDictError,
    SumPool2d,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main

nir, h5py = pytest.importorskip("nir"), pytest.importorskip("h5py")

GENERATOR = np.random.default_rng(0)
ONE = IntegrateAndFire(1.0, strict=True)
PICTURE = np.float32(GENERATOR.integers(0, 17, (2, 8, 8)) / 8)


def weight(*shape):
    """Sixteenths, so that sums are exact in whatever order they are added."""
    return np.float32(GENERATOR.integers(-6, 11, shape) / 16)


def ends(shape, size):
    return {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(size)})}


def in_a_row(shape, size, **nodes):
    """A graph of nodes one behind the other."""
    names = ["input", *nodes, "output"]
    return nir.NIRGraph({**ends(shape, size), **nodes}, list(pairwise(names)))


def written(graph, path):
    nir.write(path, graph)
    return path


def fires(*shape, threshold=1.0, r=1.0):
    return nir.IF(r=np.full(shape, r, np.float32), v_threshold=np.full(shape, threshold, np.float32))


def conv(weights, size, stride=1, padding=0, dilation=1, groups=1, bias=None):
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    return nir.Conv2d(size, weights, (stride,) * 2, (padding,) * 2, (dilation,) * 2, groups, bias)


def spikes(network, picture=PICTURE, steps=6):
    return simulate(network, picture, steps, record=("spikes", "membrane"))


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sum", "average"])
@pytest.mark.parametrize(("stride", "padding", "size"), [(2, 0, 2), (2, 1, 2), (1, 0, 2), (3, 0, 2)])
def test_a_pool_before_a_convolution(tmp_path, kind, stride, padding, size):
    """Folded into one layer, they compute what PyTorch computes of the two."""
    torch = pytest.importorskip("torch")
    pool = {"sum": nir.SumPool2d, "average": nir.AvgPool2d}[kind]
    side = (8 - size) // stride + 1
    out = (side + 2 * padding - 3) // 1 + 1
    weights = weight(3, 2, 3, 3)
    graph = in_a_row(
        (2, 8, 8), (3, out, out), first=fires(2, 8, 8),
        pool=pool(*(np.array((n, n)) for n in (size, stride, 0))), conv=conv(weights, (side, side), padding=padding),
    )  # fmt: skip
    network = read_nir(written(graph, tmp_path / "a.nir"))
    found = spikes(network, steps=1)
    events = torch.from_numpy(found.spikes["first"][0])[None]
    pooled = torch.nn.functional.avg_pool2d(events, size, stride) * (size * size if kind == "sum" else 1)
    expected = torch.nn.functional.conv2d(pooled, torch.from_numpy(weights), padding=padding)[0]
    np.testing.assert_array_equal(found.output, expected)
    assert found.output.any()


def test_a_pool_before_a_matrix_and_scales(tmp_path):
    """Sides that the pool does not fill, a scale before and one behind."""
    before, behind = np.float32([2, 0.5]), np.float32([1, 2, 4, 0.5])
    graph = in_a_row(
        (2, 8, 8), (4,), first=fires(2, 8, 8),
        scale=nir.Scale(np.broadcast_to(before[:, None, None], (2, 8, 8)).copy()),
        pool=nir.SumPool2d(np.array((2, 2)), np.array((2, 2)), np.array((0, 0))),
        flat=nir.Flatten({"input": np.array((2, 4, 4))}, 0, -1),
        matrix=nir.Affine(weight(4, 32), np.float32([1, 2, 3, 4])), second=nir.Scale(behind),
    )  # fmt: skip
    network = read_nir(written(graph, tmp_path / "a.nir"))
    found = spikes(network, steps=1)
    events = found.spikes["first"][0] * before[:, None, None]
    pooled = events.reshape(2, 4, 2, 4, 2).sum((2, 4)).reshape(-1)
    affine = graph.nodes["matrix"]
    np.testing.assert_array_equal(found.output.ravel(), (affine.weight @ pooled + affine.bias) * behind)


def test_every_kind_of_neuron(tmp_path):
    """What differs between neurons becomes arrays, what does not becomes numbers, and 1 becomes a ladder."""
    ones, dt = np.ones(4, np.float32), 1e-3
    taus = np.float32([0.01, 0.02, 0.04, 0.08])
    kinds = {
        "if": (nir.IF(ones, ones), ONE),
        "if2": (nir.IF(2 * ones, 0.5 * ones), PerfectIntegrateAndFire(2.0, 0.5, strict=True)),
        "lif": (nir.LIF(ones, ones, 0 * ones, ones), Lapicque(1.0, dt=dt, strict=True)),
        "lifs": (
            nir.LIF(taus, ones, 0 * ones, ones), Heterogeneous(Lapicque(dt=dt, strict=True), {"tau_mem": taus})
        ),
        "cuba": (
            nir.CubaLIF(ones, ones, 2 * ones, 0 * ones, ones, 3 * ones),
            CurrentBasedLeakyIntegrateAndFire(1.0, 1.0, 3.0, 2.0, dt=dt, strict=True),
        ),
        "threshold": (nir.Threshold(ones), Lapicque(1.0, dt=1.0, integration="euler", strict=True)),
    }  # fmt: skip
    for name, (node, model) in kinds.items():
        network = read_nir(written(in_a_row((4,), (4,), **{name: node}), tmp_path / "a.nir"), dt)
        found = network[name].model
        if isinstance(model, Heterogeneous):
            np.testing.assert_array_equal(found.parameters["tau_mem"], model.parameters["tau_mem"])
        else:
            assert found == model
    for node, model in (
        (nir.LI(ones, ones, 0 * ones), LeakyIntegrator(1.0, dt=dt)),
        (nir.I(2 * ones), Integrator(2.0)),
    ):
        network = read_nir(written(in_a_row((4,), (4,), last=node), tmp_path / "a.nir"), dt)
        assert network["last"].model == model
        assert network.metadata["conversion"]["membranes"] == ["last"]


def test_a_threshold_forgets(tmp_path):
    network = read_nir(written(in_a_row((2,), (2,), t=nir.Threshold(np.float32([0.5, 2]))), tmp_path / "a.nir"))
    found = simulate(network, np.float32([0.75, 1.5]).reshape(2, 1, 1), 4, record=("spikes",)).spikes["t"]
    np.testing.assert_array_equal(found[:, :, 0, 0], [[1, 0]] * 4)


def recurrent(edges=(), **nodes):
    """A population that reads itself through a matrix."""
    matrix = nir.Linear(weight(3, 3))
    nodes = {
        **ends((3,), (3,)),
        "in": nir.Linear(np.eye(3, dtype=np.float32)),
        "lif": fires(3),
        "back": matrix,
        **nodes,
    }
    return nir.NIRGraph(nodes, [("input", "in"), ("in", "lif"), ("lif", "back"), *edges, ("lif", "output")])


def test_loops_become_delays(tmp_path):
    plain = read_nir(written(recurrent([("back", "lif")]), tmp_path / "a.nir"))
    assert plain["back"].delay == 1
    assert plain["in"].delay == 0
    delay = nir.Delay(np.full(3, 1e-3))
    graph = recurrent([("back", "wait"), ("wait", "lif")], wait=delay)
    with pytest.raises(StateDictError, match="Delay 'wait', which lasts seconds; say how long a step is"):
        read_nir(written(graph, tmp_path / "b.nir"))
    assert read_nir(written(graph, tmp_path / "b.nir"), 1e-3)["back"].delay == 1
    with pytest.raises(StateDictError, match=r"lasts 0.001 s, 10 steps of 0.0001 s; a delay is one step"):
        read_nir(tmp_path / "b.nir", 1e-4)


def test_a_layer_that_reads_several_adds_its_bias_once(tmp_path):
    """What it reads is added up before, so that its bias is there once; once more behind each other rest of a way."""
    weights, bias = weight(3, 2, 3, 3), np.float32([0.5, -1, 2])
    nodes = {
        **ends((2, 8, 8), (3, 6, 6)),
        "first": fires(2, 8, 8),
        "second": fires(2, 8, 8, threshold=0.5),
        "conv": conv(weights, (8, 8), bias=bias),
        "scale": nir.Scale(np.full((3, 6, 6), 4, np.float32)),
    }
    edges = [("input", "first"), ("input", "second"), ("first", "conv"), ("second", "conv"), ("conv", "output")]
    edges += [("conv", "scale"), ("scale", "output")]
    network = read_nir(written(nir.NIRGraph(nodes, edges), tmp_path / "a.nir"))
    found = simulate(network, PICTURE, 1, record=("spikes",))
    both = sum(found.spikes[name][0] for name in ("first", "second"))
    patches = np.lib.stride_tricks.sliding_window_view(both, (3, 3), (1, 2))
    expected = np.einsum("chwij,ocij->ohw", patches, weights) + bias[:, None, None]
    np.testing.assert_array_equal(found.output, 5 * expected)


def test_a_bias_stays_on_the_way_without_delay(tmp_path):
    """A population drives itself through the matrix that reads the input: the bias is there from the first step on."""
    affine = nir.Affine(weight(3, 3), np.float32([0.5, 1.25, -0.25]))
    nodes = {**ends((3,), (3,)), "both": affine, "lif": fires(3)}
    edges = [("input", "both"), ("lif", "both"), ("both", "lif"), ("lif", "output")]
    network = read_nir(written(nir.NIRGraph(nodes, edges), tmp_path / "a.nir"))
    assert sorted(node.delay for node in network.nodes if isinstance(node, Linear)) == [0, 1]
    found = simulate(network, np.zeros((3, 1, 1), np.float32), 3, record=("spikes",)).spikes["lif"][:, :, 0, 0]
    potential, spikes = np.zeros(3), np.zeros(3)
    for step in range(3):
        potential = potential + affine.bias + affine.weight @ spikes
        spikes = (potential > 1).astype(float)
        np.testing.assert_array_equal(found[step], spikes)
        potential = potential * (1 - spikes)


def test_nested_graphs_are_opened(tmp_path):
    inner = nir.NIRGraph(
        {"input": nir.Input({"input": np.array([3])}), "w": nir.Linear(weight(3, 3)), "lif": fires(3),
         "output": nir.Output({"output": np.array([3])})},
        [("input", "w"), ("w", "lif"), ("lif", "output"), ("lif", "w")],
    )  # fmt: skip
    network = read_nir(
        written(in_a_row((3,), (3,), a=inner, b=nir.Linear(weight(3, 3)), c=fires(3)), tmp_path / "a.nir")
    )
    assert {node.name for node in network.neurons} == {"a.lif", "c"}
    assert isinstance(network["a.lif.sum"], Add)
    assert [network[part].delay for part in network["a.lif.sum"].sources] == [0, 1]


def test_what_is_folded_is_bounded(tmp_path):
    """A window may be as large as a picture of any size; the weights that a fold makes may not."""
    pool = nir.SumPool2d(*(np.array((n, n)) for n in (2**14, 2**14, 0)))
    graph = in_a_row(
        (2, 2**14, 2**14), (1, 1, 1), i=nir.Threshold(np.float32([1])), p=pool, c=conv(weight(1, 2, 1, 1), (1, 1))
    )
    with pytest.raises(StateDictError, match=r"SumPool2d 'p', which makes 536870912 weights out of 2; put neurons"):
        read_nir(written(graph, tmp_path / "a.nir"))


# --- Round trips -----------------------------------------------------------------------------------------------------


def branches():
    """Strides, groups, two branches put together, a loop, a sum and a pool."""
    return Network(
        [
            Input("input", 2),
            Conv2d("a", "input", weight(4, 2, 3, 3), weight(4), padding=1),
            Neurons("na", "a", ONE),
            Conv2d("b", "input", weight(3, 2, 1, 1)),
            Neurons("nb", "b", PerfectIntegrateAndFire(0.5, 0.75)),
            Concat("both", parts=("nb", "na")),
            Conv2d("c", "both", weight(4, 7, 3, 3), weight(4), stride=2, padding=1),
            Conv2d("loop", "nc", weight(4, 4, 1, 1), delay=1),
            Add("sum", ("c", "loop")),
            Neurons("nc", "sum", IntegrateAndFire(1.0, "zero", 0.25)),
            SumPool2d("pool", "nc", 2),
            Neurons("nd", "pool", Heterogeneous(Lapicque(0.01, r=4.0, dt=0.002), {"threshold": [0.5, 1, 1.5, 2]})),
            Linear("e", "nd", weight(5, 16), weight(5)),
            Output("output", "e"),
        ]
    )


def flat():
    """Features, matrices, current-based neurons that differ one by one."""
    taus = {"tau_syn": np.linspace(0.002, 0.02, 128).reshape(2, 8, 8)}
    return Network(
        [
            Input("input", 2),
            Scale("scale", "input", np.float32([1, 0.5])),
            Neurons("first", "scale", Heterogeneous(CurrentBasedLeakyIntegrateAndFire(r=8.0, w_in=2.0), taus)),
            Flatten("flat", "first"),
            Neurons("second", "flat", ONE),
            Linear("out", "second", weight(3, 128)),
            Neurons("third", "out", Lapicque(0.005, 2.0, v_leak=0.25, late_reset=True, integration="euler")),
            Linear("late", "third", weight(3, 3), delay=1),
            Neurons("fourth", "late", ONE),
            Scale("rates", "fourth", np.ones(3, np.float32)),
            Output("output", "rates"),
        ]
    )


def extended():
    """What NIR has no neurons for."""
    return Network(
        [
            Input("input", 2),
            Conv2d("a", "input", weight(4, 2, 3, 3), padding=1),
            Neurons("na", "a", MultiThreshold.rounding((1.0, 0.5, 0.25))),
            AvgPool2d("pool", "na", 2),
            Neurons("nb", "pool", IntegrateAndFire(0.25)),
            Conv2d("b", "nb", weight(1, 4, 1, 1)),
            Output("output", "b"),
        ]
    )


@pytest.mark.parametrize("network", [branches(), flat(), extended()], ids=["branches", "flat", "extended"])
def test_round_trips_keep_every_spike(tmp_path, network):
    path = tmp_path / "a.nir"
    write_nir(network, path, (8, 8), extensions=True)
    again = read_nir(path, 0.001 if "late" in [node.name for node in network.nodes] else None)
    found, expected = spikes(again), spikes(network)
    for name in expected.spikes:
        shape = expected.spikes[name].shape
        np.testing.assert_array_equal(found.spikes[name].reshape(shape), expected.spikes[name])
        np.testing.assert_array_equal(found.membrane[name].reshape(shape[1:]), expected.membrane[name])
        assert expected.spikes[name].any()
    np.testing.assert_array_equal(found.output.ravel(), expected.output.ravel())
    assert isinstance(nir.read(path), nir.NIRGraph)  # others can parse it
    other = tmp_path / "b.nir"
    write_nir(again, other, extensions=True)  # the size is known by now
    assert {name: type(node) for name, node in nir.read(other).nodes.items()}.keys() >= {"input", "output"}


def test_names_with_slashes_stay_apart(tmp_path):
    """As ONNX files have them; HDF5 would take each for a group within a group."""
    nodes = [
        Input("/input", 2),
        Conv2d("/a/Conv", "/input", weight(4, 2, 3, 3), padding=1),
        Neurons("a.Conv", "/a/Conv", ONE),
        Conv2d("b/.", "a.Conv", weight(1, 4, 1, 1)),
        Neurons("b..", "b/.", ONE),
        Scale("rates", "b..", np.ones(1, np.float32)),
        Output("output", "rates"),
    ]
    write_nir(Network(nodes), tmp_path / "a.nir", (8, 8))
    found, expected = spikes(read_nir(tmp_path / "a.nir")), spikes(Network(nodes))
    np.testing.assert_array_equal(found.spikes["a.Conv"], expected.spikes["a.Conv"])
    np.testing.assert_array_equal(found.output, expected.output)
    assert {"a.Conv", "a.Conv_", "b.._", "b.."} < nir.read(tmp_path / "a.nir").nodes.keys()


def test_signals(tmp_path):
    network = Network(
        [
            Input("input", 2),
            Conv1d("a", "input", weight(4, 2, 3), weight(4), stride=2, padding=1),
            Neurons("na", "a", ONE),
            Conv1d("b", "na", weight(2, 2, 3), dilation=2, groups=2),
            Output("output", "b"),
        ]
    )
    write_nir(network, tmp_path / "a.nir", (1, 24))
    line = np.float32(GENERATOR.integers(0, 17, (2, 1, 24)) / 8)
    found, expected = (spikes(each, line) for each in (read_nir(tmp_path / "a.nir"), network))
    np.testing.assert_array_equal(found.spikes["na"], expected.spikes["na"])
    np.testing.assert_array_equal(found.output, expected.output)


def run(*arguments):
    """Exit status of the command line."""
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    return left.value.code


def test_the_commands(tmp_path, capsys):
    network, model, out = branches(), tmp_path / "model.npz", tmp_path / "out.nir"
    save_model(network, model)
    assert run("export", model, out, "--size", "8x8") == 0
    assert run("convert", out, "-o", tmp_path / "again.npz", "--dt", "0.002") == 0
    found = spikes(load_model(tmp_path / "again.npz"))
    np.testing.assert_array_equal(found.spikes["nd"], spikes(network).spikes["nd"])
    capsys.readouterr()
    refused = {
        "NIR fixes the size of the pictures; state it": ("export", model, out),
        "--size must be HxW": ("export", model, out, "--size", "8"),
        "a NIR file's name ends in .nir": ("export", model, tmp_path / "out.hdf5"),
        "--gamma has no meaning for a NIR file": ("convert", out, "-o", tmp_path / "x.npz", "--gamma", "3"),
        "dt must be a positive number of seconds (got 0.0)": ("export", model, out, "--size", "8x8", "--dt", "0"),
        "dt must be a positive number of seconds (got nan)": ("export", model, out, "--size", "8x8", "--dt", "nan"),
        "--dt is for NIR files": ("convert", model, "-o", tmp_path / "x.npz", "--dt", "1"),
    }
    for message, arguments in refused.items():
        assert run(*arguments) == 2
        assert message in capsys.readouterr().err


# --- Other simulators ------------------------------------------------------------------------------------------------


def digit(shared_data):
    """(T, 2, 34, 34) events of the first digit of N-MNIST, by polarity, in steps of 10 ms: five bytes an event."""
    path = shared_data / "events" / "sample_nmnist.bin"
    if not path.is_file():
        pytest.skip("no recording of N-MNIST")
    raw = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 5)
    microseconds = (raw[:, 2].astype(np.int64) & 127) << 16 | raw[:, 3].astype(np.int64) << 8 | raw[:, 4]
    steps = microseconds // 10_000
    counts = np.zeros((steps.max() + 1, 2, 34, 34), np.float32)
    np.add.at(counts, (steps, raw[:, 2] >> 7, raw[:, 1], raw[:, 0]), 1)
    return counts


def test_spikes_of_a_classifier_are_sinabs_s(shared_checkpoints, shared_data):
    """The recording, step by step, through PyTorch's layers and sinabs's neurons.

    Of these each fires once a step, as NIR has it; by itself sinabs fires as often as the potential allows.
    """
    torch, layers = pytest.importorskip("torch"), pytest.importorskip("sinabs.layers")
    from sinabs.activation import SingleSpike

    path = shared_checkpoints / "cnn_sinabs.nir"
    if not path.is_file():
        pytest.skip("no cnn_sinabs.nir")
    nodes, network, frames = nir.read(path).nodes, read_nir(path), digit(shared_data)
    found = simulate(network, frames, record=("spikes",), time_axis=0).spikes
    populations = {name: layers.IAF(1.0, spike_fn=SingleSpike) for name in found}
    for step, frame in enumerate(frames):
        value = torch.from_numpy(frame)[None]
        for name in map(str, range(13)):
            if name in populations:
                value = populations[name](value[None])[0]
                ours = found[name][step].reshape(value.shape[1:])
                np.testing.assert_array_equal(ours, value[0].detach(), f"{name} at step {step}")
            else:
                value = by_torch(torch, nodes[name], value)
    assert all(found[name].any() for name in ("1", "3", "6", "10"))


def by_torch(torch, node, value):
    """What PyTorch computes for a node without neurons."""
    if isinstance(node, nir.Conv2d):
        stride, padding = tuple(map(int, node.stride)), tuple(map(int, node.padding))
        return torch.nn.functional.conv2d(value, torch.tensor(node.weight), None, stride, padding)
    if isinstance(node, nir.SumPool2d):
        return 4 * torch.nn.functional.avg_pool2d(value, 2)
    return value.flatten(1) if isinstance(node, nir.Flatten) else value @ torch.tensor(node.weight).T


def test_a_neuron_s_trace(shared_checkpoints):
    """The file of the traces of other simulators: its model, is the one that they are met with."""
    path = shared_checkpoints / "lif_norse.nir"
    if not path.is_file():
        pytest.skip("no lif_norse.nir")
    model = read_nir(path, 1e-4, "euler", "zero")["1"].model
    assert (round(model.tau_mem, 6), round(model.threshold, 6), model.reset) == (0.0025, 0.1, "zero")


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_the_file_that_nir_refuses(shared_checkpoints):
    path = shared_checkpoints / "lif_rockpool.nir"
    if not path.is_file():
        pytest.skip("no lif_rockpool.nir")
    with pytest.raises(StateDictError, match=r"Output 'output', which declares the shape \(1, 1, 1\), but is given"):
        read_nir(path, 1e-4)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"l": nir.LIF(*np.ones((4, 4), np.float32))}, "LIF 'l', which has time constants in seconds; say how long"),
        ({"l": nir.LIF(*-np.ones((4, 4), np.float32))}, "tau_mem: must be a positive number of seconds"),
        (
            {"l": nir.LI(*np.ones((3, 4), np.float32)), "w": nir.Linear(np.eye(4)), "i": fires(4)},
            "puts out a potential",
        ),
        ({"a": nir.Linear(np.eye(4)), "b": nir.Linear(np.eye(4))}, "Linear 'b', which follows 'a' without neurons"),
        ({"a": nir.Linear(np.eye(5))}, r"has weights \(5, 5\) for 4 values"),
        ({"a": nir.Linear(np.full((4, 4), np.nan))}, "has a weight that is no array of finite numbers"),
        ({"i": fires(3)}, "has a r of the shape|v_threshold of the shape"),
        ({"c": conv(np.ones((1, 4, 1, 1), np.float32), (1, 1))}, "Conv2d 'c', which reads what has 1 axes"),
        ({"i": nir.IF(np.ones(4), np.zeros(4))}, "threshold: must be positive"),
        ({"d": nir.Delay(np.ones(4))}, "Delay 'd', which lasts seconds"),
    ],
)
def test_nodes_that_are_refused(tmp_path, nodes, message):
    dt = 1e-3 if "seconds; say" not in message and "lasts" not in message else None
    with pytest.raises(StateDictError, match=message) as refused:
        read_nir(written(in_a_row((4,), (4,), **nodes), tmp_path / "a.nir"), dt)
    assert "\n" not in str(refused.value)


def changed(path, change):
    """The file of a small network, with something done to it."""
    written(in_a_row((4,), (4,), w=nir.Linear(np.eye(4, dtype=np.float32)), i=fires(4)), path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _typed(file, name, kind):
    del file[f"node/nodes/{name}/type"]
    file[f"node/nodes/{name}/type"] = kind


def _outside(file):
    other = file.filename + ".other"
    with h5py.File(other, "w") as secret:
        secret["weight"] = np.eye(4)
    del file["node/nodes/w/weight"]
    file["node/nodes/w/weight"] = h5py.ExternalLink(other, "weight")


def _external(file):
    del file["node/nodes/w/weight"]
    file["node/nodes/w"].create_dataset("weight", (4, 4), np.float32, external=[("/etc/hostname", 0, 64)])


def _without(name):
    def change(file):
        del file[name]

    return change


def _huge(file):
    del file["node/nodes/w/weight"]
    file["node/nodes/w"].create_dataset("weight", (2**20, 2**20), np.float32, chunks=(16, 16))


def _edge(file):
    del file["node/edges"]
    file["node"].create_dataset("edges", data=[["input", "nobody"]], dtype=h5py.string_dtype())


def _metadata(text):
    def change(file):
        file["node/nodes/i/metadata/spikeunet"] = text

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_outside, "holds '/node/nodes/w/weight', a link, which is not followed"),
        (_external, "whose numbers lie elsewhere or need a plug-in"),
        (_huge, "declares more bytes of arrays"),
        (_without("node"), "holds no NIRGraph under 'node'"),
        (_without("node/nodes/w/weight"), "Linear 'w', which has no weight"),
        (_without("node/edges"), "without nodes or edges"),
        (_edge, "holds an edge of 'nobody', which is no node"),
        (
            lambda file: _typed(file, "w", "Conv3d"),
            "holds 'w' of the type 'Conv3d', for which there is no layer; there are",
        ),
        (_metadata('{"type": "os.system"}'), "unknown neuron model 'os.system'"),
        (_metadata('{"reset": "never"}'), "reset: must be one of"),
        (_metadata('{"colour": 1}'), "has metadata 'spikeunet' of other fields than"),
        (_metadata("{"), "broken JSON"),
    ],
)
def test_files_that_are_refused(tmp_path, change, message):
    with pytest.raises(StateDictError, match=message) as refused:
        read_nir(changed(tmp_path / "a.nir", change))
    assert "\n" not in str(refused.value)


def test_no_nir_file_at_all(tmp_path):
    (tmp_path / "a.nir").write_bytes(b"no HDF5")
    with pytest.raises(StateDictError, match=r"a\.nir: is a NIR file, but truncated or damaged"):
        read_nir(tmp_path / "a.nir")
    with pytest.raises(StateDictError, match="is no file"):
        read_nir(tmp_path / "b.nir")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Neurons("n", "c", MultiThreshold()), "Neurons 'n' has neurons that NIR does not have, MultiThreshold; take"),
        (
            ConvTranspose2d("c", "input", np.ones((2, 2, 2, 2)), stride=2),
            r"NIR has no ConvTranspose2d \('c'\), and there is no extension for them: keep the model file",
        ),
        (Input("input", 2, Rate()), "Input 'input' has an encoder that NIR does not have, Rate; write"),
    ],
)
def test_networks_that_are_refused(tmp_path, node, message):
    made = Input("input", 2), Conv2d("c", "input", weight(2, 2, 1, 1)), Neurons("n", "c", ONE)
    nodes = {each.name: each for each in (*made, node)}
    readout = Conv2d("r", "n", weight(1, 2, 1, 1))
    with pytest.raises(InputError, match=message):
        write_nir(Network([*nodes.values(), readout, Output("output", "r")]), tmp_path / "a.nir", (4, 4))
    assert not (tmp_path / "a.nir").exists()


@pytest.mark.parametrize("extensions", [False, True])
def test_what_no_file_can_hold_is_said_before_neurons_are(tmp_path, extensions):
    network = small_denoiser()
    assert any(isinstance(node, ConvTranspose2d) for node in network.nodes)
    with pytest.raises(InputError, match=r"NIR has no ConvTranspose2d .*, and there is no extension for them"):
        write_nir(network, tmp_path / "a.nir", (16, 16), extensions=extensions)
