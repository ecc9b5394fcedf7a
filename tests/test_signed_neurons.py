"""Neurons with thresholds of both signs: what they emit, and that they stand for the identity where others rectify."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import analog
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_neurons import Signed
from small_denoiser import spiking_unet_state

from spikeunet.converters import convert, quantize_weights
from spikeunet.converters.normalization import activation_scales
from spikeunet.engine import (
    AvgPool2d,
    Conv2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    SignedMultiThreshold,
    forward,
    load_model,
    register_neuron,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.finetune import with_thresholds
from spikeunet.engine.command_line.neuron_options import neuron_model
from spikeunet.engine.errors import InputError, ModelFileError, NeuronError
from spikeunet.engine.learning.finetune import run_flow
from spikeunet.engine.neurons import level_table, rectifies
from spikeunet.engine.testing import check_neuron, checks, neuron_checks, reference, strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same

ROUNDING = SignedMultiThreshold.rounding((1.0, 0.5, 0.25))


def respond(model, *currents):
    """What one neuron emits, step by step, and the potential after that: by the step, and by the reference's rule."""
    membrane, emitted, _ = neuron_checks.respond(model, np.array(currents)[:, None])
    state, values = reference.at_rest(model, (1,)), []
    for current in currents:
        state, value, _ = reference.follow_step(model, state, np.array([current]))
        values.append(value.item())
    assert (values, state.item()) == (emitted[:, 0].tolist(), membrane[-1, 0])
    return values, state.item()


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype(np.float32)


def network(*models, channels=2):
    """Convolutions, each but the last with neurons behind it."""
    nodes, source = [Input("input", channels)], "input"
    for index, model in enumerate(models):
        conv = Conv2d(f"conv{index}", source, random(4, channels if not index else 4, 3, 3), random(4), padding=1)
        nodes += [conv, Neurons(f"neurons{index}", conv.name, model)]
        source = f"neurons{index}"
    return Network([*nodes, Conv2d("read", source, random(3, 4, 1, 1), random(3)), Output("output", "read")])


PICTURE = np.random.default_rng(5).uniform(-1, 1, (2, 9, 10)).astype(np.float32)


# --- One neuron ------------------------------------------------------------------------------------------------------


def test_both_sides():
    model = SignedMultiThreshold((1.0, 0.5), (2.0, 0.25))
    assert respond(model, 1.75, 0.0) == ([1.5, 0.0], 0.25)
    assert respond(model, 0.5, 0.125) == ([0.0, 0.5], 0.125)  # strictly: 0.5 is not enough
    assert respond(model, -3.0, 0.0) == ([-2.25, -0.25], -0.5)
    assert respond(model, -0.25, 0.0) == ([0.0, 0.0], -0.25)
    assert respond(SignedMultiThreshold((1.0, 0.5), strict=False), 0.5, -0.5) == ([0.5, -0.5], 0.0)
    assert respond(SignedMultiThreshold((1.0,), initial=-4.0), 0.0, 0.0) == ([-1.0, -1.0], -2.0)


@pytest.mark.parametrize("size", [1 / 16, 1 / 4, 5 / 16])
def test_half_a_threshold_rounds_to_the_nearest_level_on_both_sides(size):
    model = SignedMultiThreshold.rounding((4 * size, 2 * size, size))
    assert model.offset == size / 2
    currents = np.arange(-30, 31) / 4 * size  # beyond seven thresholds it can but fall behind
    _, emitted, _ = neuron_checks.respond(model, currents[None])
    nearest = np.round(np.clip(currents / size, -7, 7))
    halves = (currents / size) % 1 == 0.5
    np.testing.assert_array_equal((emitted[0] / size)[~halves], nearest[~halves])
    assert (np.abs(emitted[0] - currents)[np.abs(currents) < 7 * size] <= size / 2).all()


@given(strategies.signed_multi_threshold(), st.lists(strategies.sixteenths(-2, 2), min_size=1, max_size=20))
def test_charge_is_kept_and_one_side_fires(model, currents):
    membrane, emitted, crossed = neuron_checks.respond(model, np.array(currents)[:, None])
    balance = model.initial + np.cumsum(currents) - np.cumsum(emitted[:, 0])
    np.testing.assert_array_equal(membrane[:, 0], balance)
    assert (np.count_nonzero(crossed[..., 0], axis=1) <= 1).all()
    # In a step that empties the potential, nothing goes round in circles afterwards.
    again, silent = respond(model, *currents, *[0.0] * 300)[0][-2:], membrane[-1, 0]
    assert again == [0.0, 0.0] or abs(silent) > 16


@given(st.lists(strategies.sixteenths(-1, 1), min_size=1, max_size=30))
def test_rounding_neurons_never_lack_more_than_half_a_quantum(currents):
    _, emitted, _ = neuron_checks.respond(ROUNDING, np.array(currents)[:, None])
    missing = np.cumsum(currents) - np.cumsum(emitted[:, 0])
    assert np.abs(missing).max() <= 0.25 / 2


MODELS = [
    SignedMultiThreshold(),
    SignedMultiThreshold.rounding(),
    SignedMultiThreshold((0.75, 0.5, 0.125), (1.0,), 0.25, False, 0.03125),
    SignedMultiThreshold((0.75, 0.5, 0.125), (1.0, 0.3125)),
    SignedMultiThreshold((0.375,), (0.75,), strict=False),
]


@pytest.mark.parametrize("model", MODELS)
def test_each_model_alone(model):
    check_neuron(model)


@pytest.mark.parametrize(
    "model",
    [
        SignedMultiThreshold((0.3,), (0.7,), -0.1),
        SignedMultiThreshold((0.9, 0.5, 0.2), (0.6, 0.3), 0.05, True, 0.1),
        SignedMultiThreshold((0.6, 0.3), strict=False, offset=0.07),
    ],
)
def test_thresholds_that_are_not_round(model):
    """The compiled step, by quotient or threshold after threshold, gives the bits of the definition."""
    neuron_checks.compiled_like_python(model)


def test_levels_are_sets_of_thresholds():
    table = level_table(SignedMultiThreshold((1.0, 0.5), (2.0, 0.25)))
    assert table.values == (0.5, 1.0, 1.5, -0.25, -2.0, -2.25)
    assert table.spikes[: table.highest + 1].tolist() == [0, 1, 1, 2, 1, 1, 2]
    assert level_table(SignedMultiThreshold.rounding()).highest == 254


def test_every_threshold_counts():
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("same", "input", one), Neurons("n", "same", ROUNDING)]
    made = Network([*nodes, Conv2d("read", "n", one), Output("output", "read")])
    found = simulate(made, np.float32([[[1.5, -1.75, 0.0, -0.25]]]), 1).operations
    assert found.neurons["n"].thresholds == (0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, *(-k / 4 for k in range(1, 8)))
    assert found.neurons["n"].events.tolist() == [3]
    assert found.neurons["n"].spikes[0].tolist() == [0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3]
    assert found.totals["synops"] == 3
    assert found.totals["synops_binary"] == 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"thresholds": ()}, r"thresholds: must be 1 to 7 numbers \(got 0\)"),
        ({"thresholds": tuple(range(8, 0, -1))}, r"thresholds: must be 1 to 7 numbers \(got 8\)"),
        ({"negative_thresholds": (0.5, 1.0)}, r"negative_thresholds: must be positive and strictly desc.*\(0.5, 1.0\)"),
        ({"negative_thresholds": (-1.0,)}, r"negative_thresholds: must be positive .*got \(-1.0,\)"),
        ({"negative_thresholds": 1.0}, r"negative_thresholds: must be a sequence \(got 1.0\)"),
        ({"offset": 0.126}, r"offset: must lie from 0 to half of the smallest threshold, 0.125 \(got 0.126\)"),
        ({"offset": -1.0}, r"offset: must lie .*\(got -1.0\)"),
        ({"offset": 0.125, "strict": False}, r"0.125, and below it with strict=False \(got 0.125\)"),
        ({"negative_thresholds": (0.125,), "offset": 0.1}, r"half of the smallest threshold, 0.0625 \(got 0.1\)"),
        ({"initial": np.inf}, "initial: must be a finite float32 number"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(NeuronError, match=message):
        SignedMultiThreshold(**fields)


# --- What it stands for ----------------------------------------------------------------------------------------------


def test_only_who_emits_negative_values_stands_for_the_identity():
    assert rectifies(MultiThreshold())
    assert rectifies(IntegrateAndFire())
    assert not rectifies(SignedMultiThreshold())
    assert not rectifies(Signed())


@pytest.mark.parametrize("first", [MultiThreshold(), SignedMultiThreshold(), Signed()])
@pytest.mark.parametrize("second", [MultiThreshold(), SignedMultiThreshold()])
def test_the_artificial_network(first, second):
    made = network(first, second)
    output, activations = forward(made, PICTURE, record="all")
    expected, values = analog.run(made, PICTURE)
    analog.assert_close(output, expected)
    for name, array in activations.items():
        analog.assert_close(array, values[name])
    assert (values["neurons0"].min() < 0) == (not rectifies(first))


@pytest.mark.parametrize("models", [(SignedMultiThreshold(), MultiThreshold()), (MultiThreshold(), ROUNDING)])
def test_two_populations_that_read_one_layer(models):
    """The one that is rectified in place must not change what the other hands on."""
    nodes = [Input("input", 2), Conv2d("conv", "input", random(4, 2, 3, 3), random(4), padding=1)]
    nodes += [Neurons(f"neurons{index}", "conv", model) for index, model in enumerate(models)]
    nodes += [Conv2d("after0", "neurons0", random(4, 4, 1, 1)), Neurons("last", "after0", models[1])]
    nodes += [Conv2d("after1", "neurons1", random(3, 4, 1, 1)), Output("output", "after1")]
    made = Network(nodes)
    output, activations = forward(made, PICTURE, record="all")
    expected, values = analog.run(made, PICTURE)
    analog.assert_close(output, expected)
    for name, array in activations.items():
        analog.assert_close(array, values[name])


@pytest.mark.parametrize("model", [SignedMultiThreshold(), ROUNDING])
def test_layers_without_a_relu_convert(model):
    """A residual, negative as often as not, comes through: the error falls as 1 / T, towards the artificial network."""
    made = convert(network(model, model), calibration=[PICTURE], percentile=100, neuron=model)
    exact = forward(made, PICTURE)[0]
    np.testing.assert_allclose(exact, forward(network(model, model), PICTURE)[0], rtol=1e-3, atol=1e-4)
    readout = simulate(made, PICTURE, 256, record=("readout",)).readout
    errors = {steps: np.abs(readout[steps - 1] / steps - exact).max() for steps in (4, 16, 64, 256)}
    scale = np.abs(exact).max()
    for steps, error in errors.items():
        assert error < 4 * scale / steps
    assert errors[256] < errors[4] / 16
    rectified = simulate(made.with_neurons(MultiThreshold.rounding()), PICTURE, 256).output
    assert np.abs(rectified - exact).max() > scale / 4


def test_the_documentation():
    page = (Path(__file__).resolve().parent.parent / "docs" / "neurons.md").read_text("utf-8")
    snippet = page.partition("## Layers without a ReLU")[2].partition("```python\n")[2].partition("```")[0]
    names = {"first": random(4, 1, 3, 3), "second": random(3, 4, 3, 3), "third": random(1, 3, 3, 3)}
    names["pictures"] = [PICTURE[:1]]
    exec(compile(snippet, "neurons.md", "exec"), names)
    exact, found = forward(names["network"], PICTURE[:1])[0], simulate(names["converted"], PICTURE[:1], 64).output
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact).max())


def test_lambda_is_of_the_sizes():
    made = network(SignedMultiThreshold(), MultiThreshold())
    found = activation_scales(made, [PICTURE], 90.0, "connection")
    values = analog.run(made, PICTURE)[1]
    np.testing.assert_allclose(found["conv0"], np.percentile(np.abs(values["neurons0"]), 90), rtol=1e-5)
    np.testing.assert_allclose(found["conv1"], np.percentile(values["neurons1"], 90), rtol=1e-5)


def test_lambda_of_a_layer_that_feeds_both():
    nodes = [Input("input", 2), Conv2d("conv", "input", random(4, 2, 3, 3), random(4))]
    nodes += [Neurons("first", "conv", MultiThreshold()), Neurons("second", "conv", ROUNDING)]
    nodes += [Conv2d("read", "second", random(1, 4, 1, 1)), Output("output", "read")]
    made = Network(nodes)
    sizes = np.abs(analog.run(made, PICTURE)[1]["second"])
    found = activation_scales(made, [PICTURE], 80.0, "connection")["conv"]
    np.testing.assert_allclose(found, np.percentile(sizes, 80), rtol=1e-5)


def test_flow_goes_through_everywhere():
    made = network(SignedMultiThreshold(), MultiThreshold())
    for steps in (1, 3):
        charged = run_flow(made, PICTURE.transpose(1, 2, 0)[None], steps).charged
        assert charged["neurons0"].all()
        assert 0 < charged["neurons1"].mean() < 1


# --- In networks -----------------------------------------------------------------------------------------------------


@given(strategies.cases(models=strategies.signed_multi_threshold() | strategies.multi_threshold(), most_layers=3))
def test_networks(case):
    checks.equals_dense(case)
    checks.ledger_equals_brute_force(case)
    checks.charge_balance(case)
    checks.silence(case)


def test_many_threads_and_both_orders():
    case = checks.large_case(ROUNDING)
    expected = reference.simulate(case.network, case.picture, case.steps)
    assert (expected.spikes["second"] < 0).any()
    assert_same(checks.run(case, threads=3), expected)
    assert_same(checks.run(case, order="time"), expected)


def test_weights_of_few_bits():
    """Layers that read signed neurons are rounded to the same quantum, run from event to event and stay exact."""
    made = quantize_weights(network(ROUNDING, MultiThreshold.rounding()), 6)
    assert sorted(made.metadata["weight_snr_db"]) == ["conv1", "read"]
    np.testing.assert_array_equal(made["conv1"].weight, quantize_weights(made, 6)["conv1"].weight)
    picture = np.round(PICTURE * 16) / np.float32(16)
    rounded = made.replace([_dyadic(node) if node.name == "conv0" else node for node in made.nodes])
    assert_same(simulate(rounded, picture, 3, record=RECORDS), reference.simulate(rounded, picture, 3))


def _dyadic(node):
    return Conv2d(node.name, node.source, np.round(node.weight * 16) / 16, np.round(node.bias * 16) / 16, padding=1)


def test_saving_and_loading_changes_nothing(tmp_path):
    model = SignedMultiThreshold((1.0, 0.5), (0.25,), 0.0625, True, 0.125)
    made = network(model, MultiThreshold())
    save_model(made, tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert [node.model for node in again.neurons] == [model, MultiThreshold()]
    assert_same(simulate(again, PICTURE, 3, record=RECORDS), simulate(made, PICTURE, 3, record=RECORDS))


# --- Conversion and the command line ---------------------------------------------------------------------------------


def test_conversion_keeps_what_each_layer_stands_for():
    made = network(MultiThreshold(), ROUNDING)
    fine = SignedMultiThreshold.rounding()
    for neuron, expected in ((IntegrateAndFire(), [IntegrateAndFire(), ROUNDING]), (fine, [MultiThreshold(), fine])):
        found = convert(made, normalization="none", neuron=neuron)
        assert [node.model for node in found.neurons] == expected
    with pytest.raises(InputError, match="SignedMultiThreshold stands for the identity, but every population of this"):
        convert(network(MultiThreshold()), normalization="none", neuron=ROUNDING)
    with pytest.raises(
        InputError, match="MultiThreshold stands for a ReLU, but every population of this network for t"
    ):
        convert(network(ROUNDING), normalization="none", neuron=MultiThreshold())


def test_options():
    assert neuron_model("signed-multi-threshold", None, None) == SignedMultiThreshold.rounding()
    assert neuron_model("signed-multi-threshold", "1,0.5", 0.25) == SignedMultiThreshold(
        (1.0, 0.5), initial=0.25, offset=0.25
    )
    named = ["thresholds=1,0.5", "negative_thresholds=2", "strict=false"]
    assert neuron_model("SignedMultiThreshold", None, None, named) == SignedMultiThreshold(
        (1.0, 0.5), (2.0,), strict=False
    )
    with pytest.raises((NeuronError, ModelFileError), match="negative_thresholds: must be positive and strictly desce"):
        neuron_model("SignedMultiThreshold", None, None, ["negative_thresholds=1,2"])


def test_a_state_dict_of_relus_is_not_made_another_function(tmp_path, capsys):
    np.savez(tmp_path / "state.npz", **spiking_unet_state())
    model = tmp_path / "model.npz"
    options = ["--normalization", "none", "--neuron", "signed-multi-threshold"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "state.npz"), "-o", str(model), *options])
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n"), model.exists()) == (2, 1, False)
    assert "SignedMultiThreshold stands for the identity, but every population of this network for a ReLU" in printed


def test_other_thresholds_for_fine_tuning():
    found = with_thresholds(network(MultiThreshold(), ROUNDING), "0.5,0.25")
    assert [node.model for node in found.neurons] == [
        MultiThreshold.rounding((0.5, 0.25)),
        SignedMultiThreshold.rounding((0.5, 0.25)),
    ]


# --- Tuples among the parameters of a step ---------------------------------------------------------------------------


@register_neuron("tests/stairs", compile_now=False)
@dataclass(frozen=True)
class Stairs:
    """Emits the number of stairs that the potential has reached, and forgets it."""

    stairs: tuple[float, ...] = (0.5, 1.0)
    initial: float = 0.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return tuple(float(level) for level in range(len(self.stairs) + 1))

    @staticmethod
    def step(current, v, stairs):
        level = 0
        for stair in stairs:
            level += int(v + current >= stair)
        return level, 0.0


def test_a_step_may_take_tuples_of_any_length(tmp_path):
    one = np.ones((1, 1, 1, 1), np.float32)
    for stairs in ((0.5, 1.0), (0.25, 0.3, 4.0)):
        nodes = [Input("input"), Conv2d("same", "input", one), Neurons("n", "same", Stairs(stairs))]
        made = Network([*nodes, AvgPool2d("read", "n", 1), Output("output", "read")])
        save_model(made, tmp_path / "model.npz")
        picture = np.float32([[[0.0, 0.25, np.float32(0.3), 0.7, 5.0]]])
        found = simulate(load_model(tmp_path / "model.npz"), picture, 1)
        expected = (picture >= np.float32(stairs)[:, None, None, None]).sum(0)
        np.testing.assert_array_equal(found.output, expected)


@pytest.mark.parametrize("stairs", [(0.5, "high"), (0.5, None), (np.inf,)])
def test_a_tuple_holds_numbers(stairs):
    with pytest.raises(NeuronError, match=r"Stairs.stairs: must be a (finite float32 )?number"):
        network(Stairs(stairs))
