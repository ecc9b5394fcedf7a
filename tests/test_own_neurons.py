"""Registered neuron models: hand-computed runs, the whole kit, counts, files, and everything that is refused."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_neurons import EXAMPLE, OWN, AdaptiveThreshold, Plain, Resonator, Signed, example

from spikeunet.engine import (
    AvgPool2d,
    BurstNeuron,
    Conv2d,
    Events,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    NeuronError,
    Neurons,
    Output,
    RefractoryLeakyIntegrateAndFire,
    load_model,
    register_neuron,
    save_model,
    simulate,
)
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.neurons import initial_state, level_table, registered, registration_of
from spikeunet.engine.testing import check_case, check_neuron, checks, neuron_checks, reference, strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_arrays

ONE = np.ones((1, 1, 1, 1), np.float32)
REGISTERED = (BurstNeuron, RefractoryLeakyIntegrateAndFire, *OWN)


def alone(model, currents, steps, **options):
    """Result of the engine for neurons of which each is driven by a constant current."""
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", model)]
    network = Network([*nodes, Conv2d("readout", "neurons", ONE), Output("output", "readout")])
    picture = np.asarray(currents, np.float32)[None, None, :]
    return simulate(network, picture, steps, **{"record": ("spikes", "membrane", "spike_count"), **options})


def layered(model, dyadic=False):
    """A network with a pool and channels that fill no vector, whose sums round unless it is dyadic."""
    values = strategies.Numbers(np.random.default_rng(0), dyadic=dyadic, density=1.0)
    nodes = [
        Input("input", 2),
        Conv2d("conv1", "input", values.weight(19, 2, 3, 3), values.bias(19), padding=1),
        Neurons("first", "conv1", model),
        AvgPool2d("pool", "first", 2),
        Neurons("pooled", "pool", model),
        Conv2d("conv2", "pooled", values.weight(35, 19, 3, 3), values.bias(35), padding=1),
        Neurons("second", "conv2", model),
        Conv2d("readout", "second", values.weight(2, 35, 3, 3)),
        Output("output", "readout"),
    ]
    return Network(nodes), values.draw((2, 22, 18), 0, 1)


# --- By hand ---------------------------------------------------------------------------------------------------------


def test_a_burst_by_hand():
    """Threshold 1, at most 3 spikes: potentials 2.5, .5 + 2.5, ...; and 5.5 a step, of which 3 leave."""
    found = alone(BurstNeuron(1.0, gamma=3), [2.5, 5.5, -1, 0.25], 4)
    expected = [[2, 3, 2, 3], [3, 3, 3, 3], [0, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(found.spikes["neurons"][:, 0, 0].T, expected)
    np.testing.assert_array_equal(found.membrane["neurons"][0, 0], [0, 10, -4, 0])
    np.testing.assert_array_equal(found.spike_count["neurons"][0, 0], [10, 12, 0, 1])


def test_bursts_are_multiples_of_the_threshold():
    found = alone(BurstNeuron(0.25, gamma=5, initial=0.125), [0.3], 2)
    np.testing.assert_array_equal(found.spikes["neurons"].ravel(), [0.25, 0.25])
    assert BurstNeuron(0.25).levels() == (0, 0.25, 0.5, 0.75, 1, 1.25)
    huge = alone(BurstNeuron(1.0), [1e38], 2)
    np.testing.assert_array_equal(huge.spikes["neurons"].ravel(), [5, 5])


def test_a_refractory_neuron_by_hand():
    """Current 1, threshold 1, two steps of rest: spikes at steps 0, 3, 6; with 0.75 and decay 1/2 at 1, 5."""
    model = RefractoryLeakyIntegrateAndFire(1.0, decay=0.5, period=2)
    found = alone(model, [1, 0.75, 0.5, 100], 8)
    expected = [[1, 0, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1, 0, 0], [0] * 8, [1, 0, 0, 1, 0, 0, 1, 0]]
    np.testing.assert_array_equal(found.spikes["neurons"][:, 0, 0].T, expected)
    np.testing.assert_array_equal(found.membrane["neurons"][0, 0, :2], [0, 0])


def test_reset_by_subtraction_leaks_while_resting():
    """3 - 1 = 2 after the spike; two steps of rest halve it twice; then 1/4 + 3 fires again."""
    model = RefractoryLeakyIntegrateAndFire(1.0, decay=0.5, period=2, reset="subtract")
    found = [alone(model, [3], steps, order="time").membrane["neurons"].item() for steps in (1, 2, 3, 4)]
    assert found == [2, 1, 0.5, 2.25]


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_no_rest_is_a_leaky_neuron(reset):
    from spikeunet.engine import LeakyIntegrateAndFire

    currents = np.arange(-16, 33) / 16
    first = alone(RefractoryLeakyIntegrateAndFire(1.0, 0.5, 0, reset, 0.25), currents, 11)
    second = alone(LeakyIntegrateAndFire(1.0, 0.5, reset, 0.25), currents, 11)
    assert_same_arrays(first.spikes, second.spikes, "spikes")
    assert_same_arrays(first.membrane, second.membrane, "membrane")


def test_a_burst_of_one_is_integrate_and_fire():
    currents = np.arange(-16, 33) / 16
    first, second = (
        alone(model, currents, 5) for model in (BurstNeuron(0.5, 1, 0.125), IntegrateAndFire(0.5, initial=0.125))
    )
    assert_same_arrays(first.spikes, second.spikes, "spikes")
    assert_same_arrays(first.membrane, second.membrane, "membrane")


def test_the_ledger_of_bursts_by_hand():
    """Spikes by level: 2 spikes at level 2, 3 at level 3; each event reaches one target, the edges of 1x2 cut off."""
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", BurstNeuron(1.0, 3))]
    readout = Conv2d("readout", "neurons", np.ones((2, 1, 1, 2), np.float32))
    network = Network([*nodes, readout, Output("output", "readout")])
    ledger = simulate(network, np.array([[[2, 3, 0, 9]]], np.float32), steps=2).operations
    neurons, synapses = ledger.neurons["neurons"], ledger.synapses["readout"].sources["neurons"]
    assert neurons.thresholds == (1, 2, 3)
    assert neurons.events.tolist() == [3, 3]
    assert neurons.spikes.tolist() == [[0, 2, 6], [0, 2, 6]]
    # Windows begin at columns 0 to 2: column 1 lies in two of them, columns 0 and 3 in one; two channels each.
    assert synapses.synops.tolist() == [8, 8]
    assert synapses.synops_binary.tolist() == [[0, 4, 18], [0, 4, 18]]
    rest = simulate(layered(RefractoryLeakyIntegrateAndFire())[0], np.zeros((2, 22, 18), np.float32), 1).operations
    assert rest.neurons["first"].state_bytes == 2 * 4 * rest.neurons["first"].neurons


# --- The kit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", REGISTERED)
def test_each_model_alone(model):
    if model is Resonator:  # silent or not, it neither rests at zero nor keeps to round numbers
        neuron_checks.level_bounds(model(), neuron_checks.default_currents())
        neuron_checks.independence(model(), neuron_checks.default_currents())
    else:
        check_neuron(model())


def own_models():
    return st.one_of(
        st.builds(AdaptiveThreshold, *[strategies.sixteenths(1 / 16, 1)] * 3, strategies.sixteenths(-1, 1)),
        st.builds(Signed, st.sampled_from((0.25, 0.0625)), strategies.sixteenths(-1, 1), st.integers(1, 7)),
        strategies.burst(),
        strategies.refractory(),
    )


@pytest.mark.slow
@given(strategies.cases(models=st.one_of(own_models(), strategies.multi_threshold()), most_layers=3))
def test_networks_of_registered_models_and_ladders(case):
    check_case(case)


# Each compiles kernels of its own; the other models are drawn above.
@pytest.mark.parametrize("model", [REGISTERED[0], pytest.param(REGISTERED[-1], marks=pytest.mark.slow)])
def test_orders_threads_groups_and_batches(model):
    network, picture = layered(model())
    expected = simulate(network, picture, 15, threads=1, record=RECORDS)
    assert expected.total_events > 0
    for order, threads in (("layer", 2), ("layer", 5), ("time", 1), ("time", 3)):
        assert_same(simulate(network, picture, 15, order, threads, RECORDS), expected)
    batch = simulate(network, np.stack([picture, picture[:, ::-1], picture]), 15, threads=2, record=("spikes",))
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(batch.spikes[name][2], spikes)


def test_a_large_layer_in_bands():
    case = checks.large_case(AdaptiveThreshold(0.25, initial=0.125))
    assert_same(checks.run(case, threads=3), reference.simulate(case.network, case.picture, case.steps))


@pytest.mark.parametrize("model", [*REGISTERED, lambda: BurstNeuron(0.1), lambda: AdaptiveThreshold(0.3, 0.7, 0.9)])
def test_compiled_equals_python_bit_for_bit(model):
    """On numbers that are not round: within a step both count in float64, and between steps both round to float32."""
    model = model()
    currents = np.random.default_rng(0).normal(0.3, 0.7, 200).astype(np.float32)
    found = alone(model, currents, 17)
    state = reference.at_rest(model, currents.shape)
    for step in range(17):
        state, emitted, _ = reference.advance(model, state, currents.astype(np.float64))
        np.testing.assert_array_equal(found.spikes["neurons"][step, 0, 0], emitted)
    np.testing.assert_array_equal(found.membrane["neurons"][0, 0], state[0])


def test_broken_surrogates_are_found():
    def with_slopes(value, left):
        @staticmethod
        def surrogate(current, v, threshold, width):
            slope = max(0.0, 1 - abs(v + current - threshold) / width) * threshold / width
            return (value * slope, value * slope), (1 - left * slope, 1 - left * slope)

        return register_neuron("tests/sloped")(made(surrogate=surrogate))()

    neuron_checks.surrogate_adds_up(with_slopes(1, 1))
    check_neuron(with_slopes(1, 1))
    with pytest.raises(AssertionError, match="surrogate of the value emitted is off by"):
        neuron_checks.surrogate_adds_up(with_slopes(0.5, 1))
    with pytest.raises(AssertionError, match="surrogate of the membrane potential is off by"):
        check_neuron(with_slopes(1, 0))


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Plain(0.3), Signed(), Resonator(9.0), BurstNeuron(0.3, 7, 0.1)])
def test_saving_and_loading_changes_nothing(model, tmp_path):
    network, picture = layered(model)
    save_model(network, tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert [node.model for node in again.neurons] == [model] * 3
    assert_same(*(simulate(each, picture, 9, record=RECORDS) for each in (again, network)))


def test_a_name_that_nobody_registered(tmp_path, monkeypatch):
    from spikeunet.engine.neurons import registry

    save_model(layered(Plain())[0], tmp_path / "model.npz")
    monkeypatch.delitem(registry._by_name, "tests/plain")
    message = r"unknown neuron model 'tests/plain'; known are MultiThreshold, .*Burst.*; .* is registered before"
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "model.npz")


def test_a_model_whose_fields_have_changed(tmp_path, monkeypatch):
    from spikeunet.engine.neurons import registry

    save_model(layered(Plain())[0], tmp_path / "model.npz")
    monkeypatch.setitem(registry._by_name, "tests/plain", registration_of(Signed()))
    with pytest.raises(
        ModelFileError, match=r"must have the fields quantum, initial, most \(got \['initial', 'threshold'\]\)"
    ):
        load_model(tmp_path / "model.npz")


# --- Refusals --------------------------------------------------------------------------------------------------------


def made(**changes):
    """A class like Plain, with some of its parts exchanged, under a name of its own."""
    parts = {name: value for name, value in vars(Plain).items() if name == "__annotations__" or name[:2] != "__"}
    return dataclass(frozen=True)(type("Odd", (), {**parts, "__module__": __name__, **changes}))


def static(function):
    return staticmethod(function)


REFUSED = {
    "not frozen": (lambda: dataclass(type("Odd", (), {})), "Odd: must be a frozen dataclass; put @dataclass"),
    "no dataclass": (lambda: type("Odd", (), {}), "Odd: must be a frozen dataclass"),
    "no levels": (lambda: made(levels=None), "Odd: has no method 'levels'; a registered model has state, levels,"),
    "a ladder": (lambda: made(firing_constants=lambda self: None), "Odd: has firing_constants, with which it runs"),
    "no default": (
        lambda: dataclasses.make_dataclass("Odd", ["depth"], frozen=True, bases=(Plain,), kw_only=True),
        "Odd: every parameter needs a default",
    ),
    "no static method": (lambda: made(step=lambda self, current, v: (0, v)), "Odd.step: must be a static method; put"),
    "wrong order": (
        lambda: made(step=static(lambda v, current, threshold: (0, v))),
        "Odd.step: must be a static method of (current, v, parameters ...), the state",
    ),
    "unknown argument": (
        lambda: made(step=static(lambda current, v, leak: (0, v))),
        "Odd.step: takes 'leak', which is neither a state variable nor an attribute",
    ),
    "starred": (lambda: made(step=static(lambda *values: (0, 0.0))), "Odd.step: must name each argument, without '*'"),
    "by position alone": (
        lambda: made(step=static(lambda current, v, /: (0, v))),
        "Odd.step: must name each argument, without '*' or '/'",
    ),
    "a variable called as what the engine gives": (
        lambda: made(state=lambda self: {"random": self.initial}, step=static(lambda current, random: (0, random))),
        "Odd.step: takes 'random', which the engine gives, and so is no name for a state variable; rename it",
    ),
    "no number": (
        lambda: made(step=static(lambda current, v, name: (0, v)), name="x"),
        "Odd.name: must be a number (got 'x')",
    ),
    "no state": (lambda: made(state=lambda self: {}), "Odd.state: must name at least one variable"),
    "state is no mapping": (lambda: made(state=lambda self: 3), "Odd.state: must return a mapping of names to numbers"),
    "another initial": (lambda: made(state=lambda self: {"v": 1.0}), "Odd.state: the first variable must begin at"),
    "NaN in the state": (
        lambda: made(state=lambda self: {"v": 0.0, "w": math.nan}),
        "Odd.state w: must be a finite float32 number (got nan)",
    ),
    "level 0 emits": (lambda: made(levels=lambda self: (1.0, 2.0)), "Odd.levels: level 0 must emit 0 and no other"),
    "a level emits nothing": (lambda: made(levels=lambda self: (0.0, 1e-60)), "Odd.levels: level 0 must emit 0 and"),
    "one level": (lambda: made(levels=lambda self: (0.0,)), "Odd.levels: must be 2 to 256 values, level 0 included"),
    "too many levels": (lambda: made(levels=lambda self: range(257)), "Odd.levels: must be 2 to 256 values"),
    "spikes of another length": (
        lambda: made(spikes=lambda self: (0, 1, 2)),
        "Odd.spikes: must be 0 for level 0 and a",
    ),
    "spikes that do not count": (lambda: made(spikes=lambda self: (0, 0)), "Odd.spikes: must be 0 for level 0 and a"),
    "charge": (lambda: made(conserves_charge=1), "Odd.conserves_charge: must be True or False (got 1)"),
    "level too high": (
        lambda: made(step=static(lambda current, v, threshold: (2, v))),
        "Odd: the step returned level 2 for current=-2, v=0, and levels() has 0 to 1",
    ),
    "negative level": (
        lambda: made(step=static(lambda current, v: (-1, v))),
        "Odd: the step returned level -1 for current=-2, v=0",
    ),
    "level is no whole number": (
        lambda: made(step=static(lambda current, v: (1.0, v))),
        "Odd: the step must return a whole number as its level (got 1.0 for current=-2, v=0); wrap it in int()",
    ),
    "no tuple": (lambda: made(step=static(lambda current, v: 1)), "Odd: the step must return (level, v) (got 1)"),
    "too few values": (lambda: made(step=static(lambda current, v: (1,))), "Odd: the step must return (level, v) (got"),
    "NaN comes out": (
        lambda: made(step=static(lambda current, v: (0, math.inf))),
        "Odd: the step must return finite numbers as its state (got (inf,)",
    ),
    "it raises": (
        lambda: made(step=static(lambda current, v: (0, v / (current * 0)))),
        "of test_own_neurons.py with ZeroDivisionError: float division by zero (current=-2, v=0)",
    ),
    "surrogate's arguments": (
        lambda: made(surrogate=static(lambda current, v: ((0.0, 0.0), (0.0, 1.0)))),
        "Odd.surrogate: must be a static method of (current, v, threshold, width) (got current, v)",
    ),
    "surrogate's shape": (
        lambda: made(surrogate=static(lambda current, v, threshold, width: (0.0, 1.0))),
        "Odd: the surrogate must return 2 rows (value emitted, v) of 2 finite derivatives (by current, v) (got",
    ),
    "not compilable": (
        lambda: made(step=static(lambda current, v: (int(v.hex() == "fired"), v))),
        "Odd: the step cannot be compiled",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_registration_refuses(name):
    make, message = REFUSED[name]
    with pytest.raises(NeuronError) as caught:
        register_neuron(make())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert registered("Odd") is None


@pytest.mark.parametrize("name", ["", "a b", "9", "../x\n", "x" * 65, "MultiThreshold"])
def test_names_that_are_refused(name):
    with pytest.raises(NeuronError, match=r"Plain: the name .*"):
        register_neuron(name)(Plain)


def test_a_name_that_is_taken():
    with pytest.raises(NeuronError, match=r"'tests/plain' is taken by .*own_neurons\.Plain; choose another name"):
        register_neuron("tests/plain")(Signed)


def test_an_instance_is_not_registered():
    with pytest.raises(NeuronError, match=r"register_neuron takes a class, or the name of one \(got Plain\("):
        register_neuron(Plain())


def test_a_class_has_one_name():
    with pytest.raises(NeuronError, match="Plain is registered as 'tests/plain' already; a model has one name"):
        register_neuron("tests/another")(Plain)
    assert registered("tests/another") is None


def test_registering_anew_replaces():
    def notebook_cell(quantum):
        @register_neuron
        @dataclass(frozen=True)
        class Edited(Plain):
            def levels(self):
                return 0.0, quantum

        return Edited

    first, second = notebook_cell(1.0), notebook_cell(2.0)
    assert registered("Edited").model is second
    assert alone(first(), [1], 1).output.item() == 1
    assert alone(second(), [1], 1).output.item() == 2


def calls_a_method(current, v):
    v += current
    return int(v.hex() == "fired"), v


def imports(current, v):
    import math

    return 0, math.floor(v + current)


def unpacks(current, v):
    level, *state = (0, v)
    return level, *state


@pytest.mark.parametrize("step", [calls_a_method, imports, unpacks])
def test_the_place_of_what_cannot_be_compiled(step):
    with pytest.raises(NeuronError, match=r"Odd: the step cannot be compiled at line \d+ of test_own_neurons.py: .+"):
        register_neuron(made(step=static(step)))


def test_put_off_compilation_fails_in_the_simulation():
    model = register_neuron("tests/late", compile_now=False)(made(step=static(calls_a_method)))
    with pytest.raises(NeuronError, match="tests/late: the step cannot be compiled"):
        alone(model(), [1], 1)


def test_a_level_out_of_range_in_a_run():
    """Only beyond the currents that registration tries; a threshold says which level, for one compilation."""

    def wild(current, v, threshold):
        return (int(threshold) if current > 99 else 0), v

    model = register_neuron("tests/wild")(made(step=static(wild)))
    alone(model(), [1], 8)
    for level in (2, -1, 300):
        refused = pytest.raises(NeuronError, match=rf"the step returned level {level}, and levels\(\) has 0 to 1")
        for threads in (1, 2):
            with refused:
                alone(model(level), [1, 100, 3], 8, threads=threads)
        # And where samples are run side by side.
        first, last = np.array([[100], [1]], np.float32), np.ones((1, 2), np.float32)
        nodes = [Linear("in", "input", first), Neurons("neurons", "in", model(level)), Linear("last", "neurons", last)]
        nodes = [Input("input", 1, Events()), *nodes, Output("output", "last")]
        with refused:
            simulate(Network(nodes), np.ones((8, 3, 1, 1, 1), np.uint8), time_axis=0)


def test_unregistered_models_are_refused():
    class Child(BurstNeuron):
        pass

    with pytest.raises(NeuronError, match=r"model Child is not registered; decorate its class with spikeunet.engine"):
        Neurons("neurons", "conv", Child())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BurstNeuron(0), "BurstNeuron.threshold: must be positive"),
        (lambda: BurstNeuron(gamma=0), r"BurstNeuron.gamma: must be a whole number from 1 to 255 \(got 0\)"),
        (lambda: BurstNeuron(gamma=2.0), r"BurstNeuron.gamma: must be a whole number from 1 to 255 \(got 2.0\)"),
        (lambda: BurstNeuron(gamma=True), "BurstNeuron.gamma: must be a whole number"),
        (lambda: BurstNeuron(initial=math.nan), "BurstNeuron.initial: must be a finite float32 number"),
        (
            lambda: RefractoryLeakyIntegrateAndFire(period=-1),
            r"period: must be a whole number from 0 to 65535 \(got -1",
        ),
        (lambda: RefractoryLeakyIntegrateAndFire(decay=1.5), r"decay: must lie in \[0, 1\]"),
        (lambda: RefractoryLeakyIntegrateAndFire(reset="none"), "reset: must be one of subtract, zero"),
        (lambda: RefractoryLeakyIntegrateAndFire(threshold=1e-50), "threshold: must be positive"),
    ],
)
def test_parameters_that_are_refused(make, message):
    with pytest.raises(NeuronError, match=message):
        make()


# --- Tables ----------------------------------------------------------------------------------------------------------


def test_level_tables():
    table = level_table(BurstNeuron(0.5, 3))
    assert (table.values, table.highest, table.masks, table.unit) == ((0.5, 1, 1.5), 3, False, 0.5)
    assert table.spikes[:5].tolist() == [0, 1, 2, 3, 0]
    assert table.emit[:5].tolist() == [0, 0.5, 1, 1.5, 0]
    ladder = level_table(MultiThreshold((1.0, 0.5)))
    assert (ladder.values, ladder.highest, ladder.masks, ladder.unit) == ((1, 0.5), 3, True, 0.5)
    assert ladder.spikes[:4].tolist() == [0, 1, 1, 2]
    assert level_table(Signed()).highest == 254
    assert initial_state(Resonator()) == {"v": np.float32(0.05), "w": 0, "calm": 1}
    assert registration_of(Resonator()).parameters == (("cosine", float), ("sine", float), ("threshold", float))
    assert registration_of(BurstNeuron()).parameters == (("threshold", float), ("gamma", int))
    assert registration_of(BurstNeuron()).arguments(BurstNeuron(0.1)) == (float(np.float32(0.1)), 5)


def test_the_documentation():
    """The neuron of docs/neurons.md is the one of the example, and its surrogate is one of integrate-and-fire."""
    page = (EXAMPLE.parent.parent / "docs" / "neurons.md").read_text("utf-8")
    first, second, *_ = (block.partition("```")[0] for block in page.split("```python\n")[1:])
    names = {"__name__": __name__}
    # Its name is the example's: here it gets another one.
    first = first.replace("@register_neuron", "@register_neuron('tests/documented')")
    exec(compile(first, "neurons.md", "exec", dont_inherit=True), names)
    written = names["AdaptiveThreshold"]
    currents = np.arange(-16, 33) / 16
    found, expected = (alone(model(0.5, 0.5, 0.25, 0.125), currents, 9) for model in (written, AdaptiveThreshold))
    assert_same_arrays(found.spikes, expected.spikes, "spikes")
    check_neuron(written())
    exec(compile(textwrap.dedent(second), "neurons.md", "exec"), names)
    neuron_checks.surrogate_adds_up(register_neuron("tests/sloped")(made(surrogate=names["surrogate"]))())


@pytest.mark.slow
def test_the_example(capsys):
    """Its main function, where its kernels may be compiled already: a process of its own would compile them again."""
    example().main()
    printed = capsys.readouterr().out
    assert "the same after saving and loading: True" in printed
    assert "all checks of the neuron hold" in printed
    for method in ("flow", "bptt"):
        first, last = printed.partition(f"{method}: loss ")[2].partition("\n")[0].split(" -> ")
        assert float(last) < 0.5 * float(first)


@register_neuron("tests/listing", compile_now=False)
@dataclass(frozen=True)
class Listing:
    """Integrate-and-fire, with a list in its step, for which kernels without arrays cannot be compiled."""

    threshold: float = 0.5
    initial: float = 0.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, self.threshold

    @staticmethod
    def step(current, v, threshold):
        parts = [v, current]
        v = parts[0] + parts[1]
        return (1, v - threshold) if v >= threshold else (0, v)


def test_a_step_may_make_a_list():
    found = alone(Listing(), [0.25, 0.5, 0.0], 4)
    assert found.spikes["neurons"][:, 0, 0].tolist() == [[0, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0], [0.5, 0.5, 0]]
