"""Layers of one's own: the whole life of one, the kit, and one clear line for everything that is wrong with one."""

from __future__ import annotations

import dataclasses
import pickle
import re
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from own_layers import (
    EXAMPLE,
    BlurPool2d,
    Gate,
    LocallyConnected2d,
    Surround,
    Trace,
    example,
    locally_connected,
    network_of,
)
from test_plug_ins import install, told_without

from spikeunet.converters import convert, quantize_weights
from spikeunet.engine import (
    Add,
    Attention,
    Concat,
    Conv2d,
    Flatten,
    GraphError,
    Input,
    InputError,
    MaxPool2d,
    MeanConv2d,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    Projection,
    RangeError,
    Rows,
    Scale,
    Upsample,
    Weighted,
    even_fan_out,
    forward,
    load_model,
    padded_rows,
    register_layer,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.layers import registry
from spikeunet.engine.learning.finetune import Settings, Trainer
from spikeunet.engine.simulation.currents.values import ValueCurrents
from spikeunet.engine.testing import Case, check_layer, checks, layer_checks, reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

pytestmark = pytest.mark.timeout(300)


def blur_pool(size=3):
    weight = np.random.default_rng(1).normal(0, 0.5, (3, 1, size, size))
    weight[:, :, 0, 1] = weight[1, 0, 0] = 0
    return BlurPool2d("own", "neurons", weight, np.array([0.5, 0, -0.5]))


OWN = {
    "locally connected": (locally_connected(), (2, 5, 4)),
    "surround": (Surround("own", "neurons"), (2, 5, 4)),
    "surround of thirds": (Surround("own", "neurons", 1 / 3), (1, 4, 3)),
    "blur pool": (blur_pool(), (3, 6, 5)),
    "large blur pool": (blur_pool(5), (3, 4, 5)),
    "trace": (Trace("own", "neurons"), (2, 3, 4)),
    "trace of thirds": (Trace("own", "neurons", 1 / 3), (2, 3, 4)),
    "delayed trace": (Trace("own", "neurons", delay=1), (2, 3, 4)),
    "gate": (Gate("own", "neurons"), (4, 3, 2)),
    "delayed": (Surround("own", "neurons", delay=1), (2, 4, 3)),
}
BUILT_IN = {
    "scale": (Scale("own", "neurons", np.array([0.5, -2, 0])), (3, 2, 3)),
    "max pool": (MaxPool2d("own", "neurons", 2), (2, 4, 4)),
    "upsample": (Upsample("own", "neurons", 2, "bilinear"), (2, 3, 2)),
    "pixel shuffle": (PixelShuffle("own", "neurons"), (4, 2, 3)),
    "flatten": (Flatten("own", "neurons"), (2, 2, 3)),
    "stepwise max pool": (MaxPool2d("own", "neurons", 3, 2, 1, variant="stepwise"), (2, 4, 3)),
    "attention": (Attention("own", "neurons", 2), (12, 2, 2)),
    "mean of a convolution": (MeanConv2d("own", "neurons", np.ones((2, 1, 3, 3)), np.ones(2), padding=1), (1, 2, 4)),
    "convolution": (Conv2d("own", "neurons", np.ones((2, 1, 3, 3)), np.zeros(2), padding=1), (1, 5, 4)),
}


@pytest.mark.parametrize("name", [*OWN, *BUILT_IN])
def test_the_kit_passes_what_is_right(name):
    check_layer(*(OWN | BUILT_IN)[name])


def picture_of(shape, seed=0):
    return (np.random.default_rng(seed).integers(0, 33, shape) / 16).astype(np.float32)


# --- Life ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [locally_connected(dyadic=True), Surround("own", "neurons"), Trace("own", "neurons")])
def test_the_engine_does_what_the_node_says(own):
    case = Case(network_of(own), picture_of((2, 5, 4)), 11)
    for check in (checks.equals_dense, checks.orders_agree, checks.threads_agree, checks.prefix, checks.batches_add):
        check(case)


@pytest.mark.parametrize(
    "own",
    [Surround("own", "neurons"), locally_connected(side=(130, 90), outputs=1), Trace("own", "neurons", 1 / 3)],
    ids=["NumPy", "Numba", "state"],
)
def test_bands_of_a_large_picture_are_computed_by_several_threads(own, monkeypatch):
    seen, current = set(), type(own).current
    alone, both = True, threading.Event()

    def watched(self, values, rows, state=None):
        seen.add((threading.get_ident(), rows.first))
        if len({thread for thread, _ in seen}) > 1:
            both.set()
        # A busy machine may let one thread do all the work before another one begins.
        assert alone or both.wait(60)
        return current(self, values, rows, state)

    monkeypatch.setattr(type(own), "current", watched)
    network, picture = network_of(own), picture_of((2, 130, 90))
    runs = [simulate(network, picture, 8, record=RECORDS, threads=1)]
    alone = False
    runs += [
        simulate(network, picture, 8, record=RECORDS, **options)
        for options in ({"threads": 3}, {"threads": 2, "tile": 32}, {"threads": 2, "order": "time"})
    ]
    for other in runs[1:]:
        assert_same(other, runs[0])
    assert len({first for _, first in seen}) > 3
    assert len({thread for thread, _ in seen}) > 1


@pytest.mark.parametrize(
    "own", [locally_connected(4, outputs=4, dyadic=True), Surround("own", "both"), Trace("own", "both")]
)
def test_sums_and_concatenations(own):
    """A layer that reads neurons and the input side by side, added to another one of a kind of its own."""
    own = dataclasses.replace(own, source="both")
    before = network_of(Surround("own", "neurons")).nodes[:3]
    nodes = [
        *before,
        Concat("both", ("neurons", "input")),
        own,
        Scale("identity", "both", np.array([1, 0.5, 0, -1])),
        Add("sum", ("own", "identity", "own")),
        Neurons("behind", "sum"),
        Trace("late", "behind", delay=1),
        Output("output", "late"),
    ]
    delayed = Network(nodes)
    for check in (checks.equals_dense, checks.orders_agree, checks.threads_agree, checks.prefix):
        check(Case(delayed, picture_of((2, 5, 4)), 9))
    tiled = Network([*nodes[:-2], Trace("late", "behind"), nodes[-1]])
    expected = reference.simulate(tiled, picture_of((2, 5, 4)), 9)
    for tile in (1, 2, 5):
        assert_same(simulate(tiled, picture_of((2, 5, 4)), 9, tile=tile, record=RECORDS), expected)


def test_saving_and_loading(tmp_path):
    for number, own in enumerate((locally_connected(), Surround("own", "neurons", 0.3), Trace("own", "neurons", 0.7))):
        network, picture = network_of(own), picture_of((2, 5, 4))
        save_model(network, tmp_path / f"{number}.npz")
        for again in (load_model(tmp_path / f"{number}.npz"), pickle.loads(pickle.dumps(network))):
            assert type(again["own"]) is type(own)
            assert np.array_equal(simulate(again, picture, 5).output, simulate(network, picture, 5).output)


def test_rounded_weights(tmp_path):
    rounded = quantize_weights(network_of(locally_connected()), 4)
    save_model(rounded, tmp_path / "rounded.npz")
    with np.load(tmp_path / "rounded.npz") as file:
        assert file["weights/own.weight"].dtype == np.int8
    weight = load_model(tmp_path / "rounded.npz")["own"].weight
    assert np.array_equal(weight, rounded["own"].weight)
    assert len(np.unique(weight[0])) <= 15


@pytest.mark.parametrize("share", [np.float32(0.5), np.int64(2), np.float64(0.25)])
def test_numbers_of_numpy_in_a_file(share, tmp_path):
    save_model(network_of(Surround("own", "neurons", share)), tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz")["own"].share == share


@pytest.mark.parametrize("share", [(1, 2), "x", np.zeros(2), np.nan, None])
def test_fields_that_could_not_be_read_are_not_saved(share, tmp_path):
    with pytest.raises(ModelFileError, match=r"tests-surround\.share: expected a finite number \(got "):
        save_model(network_of(Surround("own", "neurons", share)), tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_what_a_class_raises_of_a_file_is_one_line(tmp_path, monkeypatch):
    """Saved with a class that took the number; one that does not is there by now."""
    save_model(network_of(Surround("own", "neurons", 3.0)), tmp_path / "model.npz")

    def refuse(self):
        raise ValueError("no share of\nmore than 1")

    monkeypatch.setattr(Surround, "__post_init__", refuse)
    with pytest.raises(ModelFileError, match="tests-surround 'own' does not take what the file holds") as caught:
        load_model(tmp_path / "model.npz")
    assert "ValueError: 'no share of" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_counts_by_hand():
    """Two rows and three columns, windows of three: an event in a corner reaches four outputs of each channel."""
    own = locally_connected(1, (2, 3), 5)
    picture = np.zeros((1, 2, 3), np.float32)
    picture[0, 0, 0] = picture[0, 1, 1] = 4
    found = simulate(network_of(own, 1), picture, 1).operations.synapses["own"]
    assert found.kind == "LocallyConnected2d"
    assert found.sources["neurons"].synops.tolist() == [4 * 5 + 6 * 5]
    assert found.dense_synops == found.dense_macs == (4 * 4 + 6 * 2) * 5
    assert (found.weights, found.zero_weights) == (5 * 2 * 3 * 9, 3 * 9)


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_fine_tuning(method):
    class Twice:
        def draw(self, generator):
            values = generator.random((2, 5, 4, 2), np.float32)
            return values, 2 * values.sum(3, keepdims=True)

    for own in (locally_connected(), Trace("own", "neurons", 0.25)):
        settings = Settings(steps=3, method=method, iterations=30, rate=0.01)
        trainer = Trainer(network_of(own), Twice(), settings)
        losses = [trainer.step().loss for _ in range(30)]
        assert losses[-1] < losses[0]
        assert isinstance(trainer.result()["own"], type(own))


def test_normalisation_keeps_what_a_network_computes():
    for own, shape in (OWN["locally connected"], OWN["surround"], OWN["blur pool"]):
        network, pictures = network_of(own, shape[0]), [picture_of(shape, seed) for seed in range(3)]
        converted, by_channel = (
            convert(network, normalization=each, calibration=pictures) for each in ("connection", "channel")
        )
        expected = forward(network, pictures[0])[0]
        for each in (converted, by_channel):
            np.testing.assert_allclose(forward(each, pictures[0])[0], expected, rtol=1e-4, atol=1e-5)
        assert converted.normalization["behind"] != 1


# --- An exception ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Broken(Surround):
    """Raises an error for some rows."""

    def current(self, values, rows, state=None):
        if rows.last > 60:
            return {}["no such key"]
        return super().current(values, rows, state)


@pytest.mark.parametrize("options", [{"threads": 1}, {"threads": 3}, {"threads": 3, "tile": 16}, {"order": "time"}])
def test_an_exception_comes_out_as_it_is(options):
    picture = picture_of((2, 130, 90))
    for own in (Broken("own", "neurons"), Broken("own", "neurons")):
        with pytest.raises(KeyError, match="no such key") as caught:
            simulate(network_of(own), picture, 8, **options)
        assert any(entry.name == "current" for entry in caught.traceback)
    assert simulate(network_of(Surround("own", "neurons")), picture, 8, **options).steps == 8


# --- What registration refuses ---------------------------------------------------------------------------------------


class Right:
    """The methods of a layer that does nothing."""

    def output_shape(self, shape):
        return shape

    def fan_out(self, incoming):
        return even_fan_out(*incoming[1:], 1)

    def current(self, values, rows, state=None):
        return values[:, rows.first - rows.first_input : rows.last - rows.first_input].copy()


def layer(base=Projection, **members):
    """A frozen dataclass of the methods above and others in their place; None leaves one out."""
    namespace = {**vars(Right), **members}
    chosen = {name: value for name, value in namespace.items() if value is not None and not name.startswith("__")}
    chosen["__annotations__"] = members.get("__annotations__", {})
    return dataclass(frozen=True, eq=False)(type("Odd", (base,), {**chosen, "__module__": __name__}))


def with_fields(listed, **defaults):
    return layer(__annotations__=dict.fromkeys(defaults, float), file_fields=listed, **defaults)


REFUSED = {
    "no dataclass": (
        lambda: type("Odd", (Projection,), dict(vars(Right))),
        "must be a frozen dataclass; put @dataclass(frozen=True, eq=False) under the registration",
    ),
    "compares": (
        lambda: dataclass(frozen=True)(type("Odd", (Projection,), dict(vars(Right)))),
        "must be a frozen dataclass; put @dataclass(frozen=True, eq=False) under",
    ),
    "no layer": (lambda: dataclass(frozen=True, eq=False)(type("Odd", (), {})), "must be a class that derives from"),
    "no class": (lambda: 3, "must be a class that derives from Projection or Weighted (got 3)"),
    "no current": (lambda: layer(current=None), "must define current(); docs/layers.md"),
    "no gather": (lambda: layer(gathers=True), "must define gather(), because its `gathers` is True"),
    "no fan-out": (lambda: layer(fan_out=None), "must define fan_out(); docs/layers.md"),
    "no shape": (lambda: layer(output_shape=None), "must define output_shape(); docs/layers.md"),
    "fields not listed": (
        lambda: with_fields({}, share=0.5),
        "must list its fields in file_fields, arrays apart; look at",
    ),
    "a field too many": (lambda: with_fields({"share": "number", "other": "number"}, share=0.5), "look at other"),
    "an unknown sort": (
        lambda: with_fields({"share": "float"}, share=0.5),
        "file_fields of unknown sorts (share: 'float')",
    ),
    "arguments": (
        lambda: layer(current=lambda self, values: values),
        "must define current() so that it takes (self, values, rows, state): too many positional arguments",
    ),
    "arguments exchanged": (
        lambda: layer(current=lambda self, rows, values, state=None: values),
        "must define current() so that it takes (self, values, rows, state), 'values' in its place",
    ),
    "arguments of backward": (
        lambda: layer(backward=lambda self, value, gradient: (None, {})),
        "must define backward() so that it takes (self, value, gradient, into_input, kept)",
    ),
    "arrays of a projection": (lambda: layer(arrays=("weight", "bias")), "it must have 'weight' and 'bias' and derive"),
    "other arrays": (lambda: layer(Weighted, arrays=("kernel",)), "has the arrays (kernel); it must have"),
    "no weight": (lambda: layer(Weighted), "must have a field 'weight', because it derives from Weighted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_registration_refuses(name):
    make, message = REFUSED[name]
    with pytest.raises(GraphError) as caught:
        register_layer("tests-odd")(make())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "'tests-odd'" in str(caught.value)
    assert registry.find_kind("tests-odd") is None


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65])
def test_names_that_are_refused(name):
    with pytest.raises(GraphError, match="a layer name has up to 64 letters"):
        register_layer(name)(layer())


def test_an_instance_is_not_registered():
    with pytest.raises(GraphError, match=r"register_layer takes a class, or the name of one \(got Surround\("):
        register_layer(Surround("own", "neurons"))


def test_a_class_has_one_name():
    assert register_layer("tests-surround")(Surround) is Surround
    with pytest.raises(GraphError, match="Surround is registered as 'tests-surround' already; a kind has one name"):
        register_layer("tests-another")(Surround)
    assert registry.find_kind("tests-another") is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests-surround", r"'tests-surround' is taken by own_layers\.Surround; choose another name"),
        ("Conv2d", r"'Conv2d' is taken by spikeunet\.engine\.layers\.conv2d\.Conv2d; choose another name"),
        ("Neurons", "'Neurons' has the name of a node of the package"),
        ("Input", "'Input' has the name of a node of the package"),
    ],
)
def test_a_name_that_is_taken(name, message):
    with pytest.raises(GraphError, match=message):
        register_layer(name)(layer())


def test_python_refuses_a_dataclass_that_is_not_frozen():
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        dataclass(eq=False)(type("Odd", (Projection,), dict(vars(Right))))


# --- What a run refuses ----------------------------------------------------------------------------------------------

RUN = {
    "too few rows": (lambda v, rows: v[:, 1:], GraphError, "current() must return an array of the shape"),
    "nothing": (lambda v, rows: None, GraphError, "(got None)"),
    "whole numbers": (lambda v, rows: v.astype(int), GraphError, "must return floating-point numbers (got int64)"),
    "NaN": (lambda v, rows: v * np.float32(np.nan), RangeError, "a current of 'own'"),
    "infinity": (lambda v, rows: v + np.float32(np.inf), RangeError, "a current of 'own'"),
}


@pytest.mark.parametrize("name", RUN)
def test_what_a_run_refuses(name):
    wrong, error, message = RUN[name]
    own = layer(current=lambda self, values, rows, state=None: wrong(values, rows))("own", "neurons")
    network, picture = network_of(own), picture_of((2, 3, 4))
    for work in (lambda: simulate(network, picture, 2), lambda: forward(network, picture)):
        with pytest.raises(error) as caught:
            work()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


PRODUCTS = {
    "fractions": (lambda events: events * 0.5, 1, "products() must return whole numbers from 0 on, (steps, 3, 2, 4)"),
    "a number each": (lambda events: events[0].astype(int), 1, "products() must return whole numbers"),
    "channels": (lambda events: events.astype(int), 2, "fan_out() must have 1 channel, because products() counts"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_events_that_a_run_refuses(name):
    wrong, channels, message = PRODUCTS[name]

    @dataclass(frozen=True, eq=False)
    class Wrong(Gate):
        def products(self, events):
            return wrong(events)

        def fan_out(self, incoming):
            return even_fan_out(*incoming[1:], channels)

    with pytest.raises(GraphError, match=re.escape(message)):
        simulate(network_of(Wrong("own", "neurons"), channels=4), picture_of((4, 3, 2)), 2)


def test_a_layer_that_was_not_registered_is_not_saved(tmp_path):
    with pytest.raises(
        ModelFileError, match=r"no file format for Odd 'own'; register it with spikeunet.engine.register"
    ):
        save_model(network_of(layer()("own", "neurons")), tmp_path / "odd.npz")
    assert not list(tmp_path.iterdir())


def test_a_layer_without_a_backward_pass_is_not_trained():
    class Anything:
        def draw(self, generator):
            return np.ones((1, 3, 4, 2), np.float32), np.ones((1, 3, 4, 1), np.float32)

    with pytest.raises(InputError, match="Odd 'own' has no backward pass: it cannot be trained"):
        Trainer(network_of(layer()("own", "neurons")), Anything(), Settings(steps=2, iterations=1)).step()


def test_a_state_has_no_analog_form_unless_it_says_so():
    own = layer(state_values=1)("own", "neurons")
    with pytest.raises(InputError, match=r"Odd 'own' keeps a state and has no analog form"):
        forward(network_of(own), picture_of((2, 3, 4)))


# --- What the kit finds ----------------------------------------------------------------------------------------------


def changed(base=Surround, **members):
    """A kind that is wrong in one way, registered as the right one would be."""
    made = dataclass(frozen=True, eq=False)(type("Wrong", (base,), {**members, "__module__": __name__}))
    return register_layer(f"tests-wrong-{next(iter(members))}")(made)("own", "neurons")


def local(**members):
    made = dataclass(frozen=True, eq=False)(type("Wrong", (LocallyConnected2d,), {**members, "__module__": __name__}))
    right = locally_connected()
    return register_layer(f"tests-wrong-{next(iter(members))}")(made)("own", "neurons", right.weight, right.bias)


def writes(self, values, rows, state=None):
    values *= 2
    return Surround.current(self, values, rows)


def forgets_the_border(self, values, rows, state=None):
    """As if every rows began at the top of a picture of their own."""
    return Surround.current(self, values, rows._replace(first=0, last=rows.height, first_input=0))


def remembers(self, values, rows, state=None):
    found = Surround.current(self, values, rows)
    found[1:] += found[:-1]
    return found


def rounds(self, values, rows, state=None):
    return Surround.current(self, values.astype(np.float32), rows).astype(values.dtype)


def counts_calls(self, values, rows, state=None):
    calls = self.__dict__.setdefault("calls", [])
    calls.append(1)
    return Surround.current(self, values, rows) + (len(calls) > 9)


def mixes(self, values, rows, state=None):
    return Surround.current(self, values, rows)[..., ::-1] * np.float32(1)


def squares(self, values, rows, state=None):
    return Surround.current(self, values, rows) ** 2


def has_no_scales(self, by_channel):
    raise InputError("none to hand on")


def shares_memory(self, values, rows, state=None):
    """In the node, which another thread writes to meanwhile."""
    kept = self.__dict__.setdefault("kept", {})
    kept["values"] = values.copy()
    time.sleep(0.001)
    return Surround.current(self, kept["values"], rows)


def wrong_gradient(self, value, gradient, into_input=True, kept=None):
    into, found = LocallyConnected2d.backward(self, value, gradient, into_input)
    return into, {**found, "weight": found["weight"] * 1.01}


def forgets(self, values, rows, state=None):
    return Trace.current(self, values, rows, state.copy())


FOUND = {
    "writes": (lambda: changed(current=writes), "current() writes to the values that it reads"),
    "border": (lambda: changed(current=forgets_the_border), "differ from those of the whole"),
    "rows": (lambda: changed(input_rows=lambda self, first, last, incoming: (first, last)), "differ from those of the"),
    "range": (lambda: changed(input_rows=lambda self, first, last, incoming: (first - 1, last)), "no range within 5"),
    "shape": (lambda: changed(output_shape=lambda self, shape: (*shape[:2], 9)), "output_shape() says (2, 5, 9)"),
    "channels": (lambda: changed(channels_out=lambda self, channels: 7), "channels_out(2) says 7 channels"),
    "NaN": (lambda: changed(current=lambda self, values, rows, state=None: values * np.nan), "returns NaN or infinite"),
    "steps": (lambda: changed(current=remembers), "give something else than 5 at once"),
    "float32": (lambda: changed(current=rounds), "rounds to float32 on the way"),
    "float64": (
        lambda: changed(current=lambda self, *given: Surround.current(self, *given).astype(float)),
        "keep the type",
    ),
    "calls": (lambda: changed(current=counts_calls), "current()"),
    "threads": (lambda: changed(current=shares_memory), "called by two threads at once, current() gives other numbers"),
    "fan-out": (lambda: changed(fan_out=lambda self, incoming: even_fan_out(*incoming[1:], 9)), "reaches 9 outputs; 4"),
    "fan-out's shape": (
        lambda: changed(fan_out=lambda self, incoming: even_fan_out(3, 3, 9)),
        "has 3 rows and 3 columns",
    ),
    "gain": (
        lambda: changed(gain=lambda self: (0.125, 0.0, 9)),
        "bounds currents of values from -1 to 1 by 1.125; 2 is",
    ),
    "mixes": (lambda: changed(current=mixes), "keeps_channels is True, but what is put out of channel 0 mixes"),
    "squares": (
        lambda: changed(current=squares, gain=lambda self: None, backward=Projection.backward),
        "is not times pass_on()",
    ),
    "squares without scales": (
        lambda: changed(current=squares, gain=lambda self: None, backward=Projection.backward, pass_on=has_no_scales),
        "of twice what it reads, its current is not twice as large; define the property homogeneous",
    ),
    "raises": (lambda: changed(current=lambda self, values, rows, state=None: values[9]), "raises IndexError: index 9"),
    "gradient": (lambda: local(backward=wrong_gradient), "backward() of the weight gives"),
    "names": (
        lambda: local(backward=lambda self, v, g, i=True, k=None: (v[0], {})),
        "['bias', 'weight'] by name (got [])",
    ),
    "axes": (
        lambda: local(along_outputs=lambda self, by: by.reshape(1, -1, *[1] * 4) if len(by) == 2 else by[0]),
        "along_outputs() and by_output() take different weights",
    ),
    "sums": (
        lambda: local(sum_by_input=lambda self, weight, channels: weight.sum() * np.ones(channels)),
        "sum_by_input()",
    ),
    "macs": (lambda: local(dense_macs=lambda self, incoming: 7), "dense_macs() says 7, but"),
    "nonzero": (lambda: local(nonzero_weights=lambda self: np.zeros(2, int)), "nonzero_weights() adds up to 0"),
    "state": (lambda: changed(Trace, current=forgets), "must move the state on, in place"),
    "in time": (
        lambda: changed(Trace, backward_in_time=lambda self, value, gradient, steps: gradient),
        "backward_in_time()",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_kit_finds(name):
    make, message = FOUND[name]
    own = make()
    with pytest.raises(AssertionError) as caught:
        check_layer(own, (2, 5, 4))
    assert message in str(caught.value)
    assert "Wrong 'own'" in str(caught.value)


def test_the_kit_wants_a_registered_class():
    made = dataclass(frozen=True, eq=False)(type("Unknown", (Surround,), {"__module__": __name__}))
    with pytest.raises(AssertionError, match="no model file can hold it; register its class"):
        check_layer(made("own", "neurons"), (1, 3, 3))


def test_the_kit_wants_arrays_that_nobody_writes_to():
    own = locally_connected()
    object.__setattr__(own, "weight", own.weight.copy())
    with pytest.raises(AssertionError, match=r"its weight can be written to; call self\.check_arrays"):
        check_layer(own, (2, 5, 4))


def test_the_kit_wants_a_small_shape():
    with pytest.raises(ValueError, match="take a smaller shape"):
        check_layer(Surround("own", "neurons"), (3, 99, 99))


@pytest.mark.parametrize("own", [locally_connected(), Surround("own", "neurons", 1 / 3), Trace("own", "neurons")])
def test_an_engine_that_computes_something_else_is_found(own, monkeypatch):
    right = ValueCurrents._current

    def wrong(self, values, first, last, state):
        return right(self, values, first, last, state) + np.float32(0.25)

    monkeypatch.setattr(ValueCurrents, "_current", wrong)
    with pytest.raises(AssertionError, match=r"(Surround|Trace|LocallyConnected2d) .own.: the engine"):
        layer_checks.in_networks(own, (2, 5, 4))


def test_an_order_of_simulation_that_computes_something_else_is_found(monkeypatch):
    right = ValueCurrents._current

    def wrong(self, values, first, last, state):
        found = right(self, values, first, last, state)
        return found + np.float32(0.25) if self.layer.window is not None else found

    monkeypatch.setattr(ValueCurrents, "_current", wrong)
    with pytest.raises(AssertionError, match="run row by row, the engine does something else than layer by layer"):
        layer_checks.in_networks(Surround("own", "neurons"), (2, 5, 4))


def test_wrong_counts_are_found_in_networks():
    own = changed(fan_out=lambda self, incoming: even_fan_out(*incoming[1:], 9))
    with pytest.raises(AssertionError, match=r"(?s)the engine differs from the reference: .*accumulates"):
        layer_checks.in_networks(own, (2, 5, 4))


def test_currents_of_some_rows_in_the_engine_are_found_wrong():
    """Without the kit's other checks: tile by tile, the engine's spikes are not those of the reference."""
    own = changed(current=forgets_the_border)
    case = Case(network_of(own), picture_of((2, 8, 4)), 3)
    expected = reference.simulate(network_of(Surround("own", "neurons")), case.picture, 3)
    found = simulate(case.network, case.picture, 3, tile=2, record=RECORDS)
    assert (found.spikes["behind"] != expected.spikes["behind"]).any()


# --- Entry points ----------------------------------------------------------------------------------------------------

MODULE = """
from dataclasses import dataclass

from spikeunet.engine import Projection, even_fan_out, register_layer


@register_layer("my-lab.halved")
@dataclass(frozen=True, eq=False)
class Halved(Projection):
    def output_shape(self, shape):
        return shape

    def input_rows(self, first, last, incoming):
        return first, last

    def fan_out(self, incoming):
        return even_fan_out(*incoming[1:], 1)

    def current(self, values, rows, state=None):
        return values / 2
"""


@pytest.fixture
def halved(tmp_path, monkeypatch):
    """A model file with a layer that only a plug-in knows, and the folder of that; nobody has registered it."""
    folder = tmp_path / "packages"
    folder.mkdir()
    install(folder, "halved_layer", MODULE)
    listed = folder / "halved_layer-1.0.dist-info" / "entry_points.txt"
    listed.write_text(f"[{registry.ENTRY_POINTS}]\nhalved = halved_layer\n")
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.syspath_prepend(folder)
    import halved_layer

    save_model(network_of(halved_layer.Halved("own", "neurons")), tmp_path / "halved.npz")
    del sys.modules["halved_layer"]
    registry._by_name.pop("my-lab.halved")
    registry.import_plug_ins.cache_clear()
    yield tmp_path / "halved.npz", folder
    registry.import_plug_ins.cache_clear()
    sys.modules.pop("halved_layer", None)


def test_a_layer_of_an_installed_package(halved, capsys):
    """In a process of its own, the command finds neurons by the same entry points: tests/test_plug_ins.py."""
    path, _ = halved
    with pytest.raises(SystemExit) as stop:
        main(["info", str(path)])
    told = capsys.readouterr()
    assert stop.value.code == 0, told.err
    assert "Halved" in told.out or "my-lab.halved" in told.out
    network = load_model(path)
    assert type(network["own"]).__name__ == "Halved"
    assert simulate(network, picture_of((2, 3, 4)), 2).steps == 2


def test_without_the_package_one_line_says_what_is_missing(halved, monkeypatch, capsys):
    path, folder = halved
    told = told_without(folder, path, monkeypatch, capsys)
    assert "unknown node 'my-lab.halved'" in told
    assert "registered before loading, or by an entry point (docs/layers.md)" in told


# --- Helpers and the example -----------------------------------------------------------------------------------------


def test_rows_under_a_window():
    values = np.arange(2 * 3 * 4 * 1, dtype=np.float32).reshape(2, 3, 4, 1)
    whole = np.pad(values, ((0, 0), (1, 1), (2, 2), (0, 0)))
    rows = Rows(1, 3, 0, (1, 3, 4))
    assert rows.height == 2
    np.testing.assert_array_equal(padded_rows(values, rows, (3, 5), (1, 1), (1, 2)), whole[:, 1:5])


def test_the_documentation(tmp_path, monkeypatch):
    """All snippets of docs/layers.md, one after the other, and the list of kinds."""
    page = (EXAMPLE.parent.parent / "docs" / "layers.md").read_text("utf-8")
    snippets = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    assert len(snippets) == 6
    monkeypatch.chdir(tmp_path)
    names = {"__name__": __name__}
    for snippet in snippets:
        exec(compile(snippet, "layers.md", "exec", dont_inherit=True), names)
    assert names["CentreSurround"].__name__ in registry._names.values()
    assert (tmp_path / "edges.npz").exists()
    for kind in registry.OWN:
        assert f"`{kind.__name__}`" in page
    for member in ("output_shape", "current", "fan_out", *registry._ARGUMENTS, *registry.SORTS):
        assert member in page


@pytest.mark.slow
def test_the_example(capsys):
    """Its main function, where its kernels may be compiled already: a process of its own would compile them again."""
    example().main()
    printed = capsys.readouterr().out
    assert "all checks of the layer hold" in printed
    assert "the same after saving and loading: True" in printed
    assert "in tiles and on two threads: True" in printed
    shared, own = (
        float(printed.partition(f"{kind}: loss ")[2].partition("\n")[0].split(" -> ")[1])
        for kind in ("Conv2d", "LocallyConnected2d")
    )
    assert own < 0.2 * shared


def test_a_size_factor_that_is_no_fraction_is_refused():
    halved = layer(size_factor=0.5)
    nodes = [Input("input", 2), halved("own", "input"), Neurons("n", "own")]
    readout = Conv2d("readout", "n", np.ones((1, 2, 1, 1), np.float32))
    with pytest.raises(GraphError, match=r"Odd 'own': size_factor must be a Fraction .* \(got 0.5\)"):
        Network([*nodes, readout, Output("output", "readout")])


@pytest.mark.parametrize("factor", [Fraction(1, 2), 2])
def test_the_kit_finds_a_wrong_size_factor(factor):
    node = layer(size_factor=factor)("own", "neurons")
    with pytest.raises(AssertionError, match=f"size_factor {factor} says that .* more rows give .* they give"):
        layer_checks.rows_put_out(node, (2, 3, 4))


@pytest.mark.parametrize("node", [3, Neurons("n", "own")])
def test_the_kit_takes_synapses_of_one_source(node):
    with pytest.raises(TypeError, match="check_layer takes synapses that read one source"):
        check_layer(node, (1, 2, 2))
