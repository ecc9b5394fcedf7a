"""Fine-tuning of networks with sums of currents and the kinds of layers that go with them."""

from __future__ import annotations

import analog
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from residual_networks import networks
from test_finetune_gradients import LADDER, Problem, chain, check_flow, check_through_time, conv, weight

from spikeunet.engine import (
    Add,
    Concat,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    Scale,
    SignedMultiThreshold,
    SumPool2d,
    Upsample,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.fixed_point import weight_bits
from spikeunet.engine.learning.finetune import (
    Settings,
    Surrogate,
    Trainable,
    finetune,
    flow_gradients,
    run_flow,
    run_through_time,
    time_gradients,
)
from spikeunet.engine.learning.finetune.penalty import SpikePenalty

SMOOTH = Surrogate("arctan", smooth=True)


def node(kind, *arguments, **options):
    return lambda name, source: kind(name, source, *arguments, **options)


def read_by(nodes, source, channels):
    """The network, with a convolution that reads `source` out."""
    return Network([*nodes, Conv2d("read", source, weight(2, channels, 1, 1)), Output("output", "read")])


def stem(model=LADDER):
    return [
        Input("input", 2),
        Conv2d("stem", "input", weight(3, 2, 3, 3), padding=1),
        Neurons("first", "stem", model),
    ]


def residual(model=LADDER, after=LADDER):
    """An identity shortcut, then a strided block with a shortcut of 1x1 and what it makes of the picture."""
    return read_by(
        [
            *stem(),
            Conv2d("inside", "first", weight(3, 3, 3, 3), padding=1),
            Neurons("middle", "inside", model),
            Conv2d("body", "middle", weight(3, 3, 1, 1)),
            Scale("identity", "first", weight(3)),
            Add("sum", ("body", "identity")),
            Neurons("second", "sum", after),
            Conv2d("strided", "second", weight(2, 3, 3, 3), stride=2, padding=1),
            Conv2d("shortcut", "second", weight(2, 3, 1, 1), stride=2),
            Conv2d("picture", "input", weight(2, 2, 1, 1), stride=2),
            Add("strided_sum", ("strided", "shortcut", "picture")),
            Neurons("third", "strided_sum", model),
        ],
        "third",
        2,
    )


def constant_part():
    """What does not change over time feeds neurons, and is added to what does."""
    return read_by(
        [
            *stem(),
            Scale("more", "first", weight(3)),
            Add("sum", ("stem", "more", "more")),
            Neurons("second", "sum", LADDER),
            Concat("both", ("first", "second")),
        ],
        "both",
        6,
    )


def constant_sum():
    """A sum of what does not change over time."""
    nodes = [Input("input", 2), Conv2d("conv", "input", weight(2, 2, 1, 1)), Scale("scale", "input", weight(2))]
    nodes += [Add("sum", ("conv", "scale")), Neurons("first", "sum", LADDER)]
    nodes += [Conv2d("body", "first", weight(2, 2, 1, 1))]
    return read_by([*nodes, Add("more", ("sum", "body")), Neurons("last", "more", LADDER)], "last", 2)


def read_out_sum(first="input"):
    """The Output reads a sum, whose parts read the picture and neurons, in either order."""
    channels = {"input": 2, "first": 3}
    other = "input" if first == "first" else "first"
    nodes = [Conv2d("a", first, weight(2, channels[first], 1, 1)), Conv2d("b", other, weight(2, channels[other], 1, 1))]
    return Network([*stem(), *nodes, Add("sum", ("a", "b")), Output("output", "sum")])


def joined_features(hidden=4):
    """A Linear that reads flattened pictures and other features together."""
    nodes = [*stem(), Flatten("flat", "first"), Neurons("features", "flat", LADDER)]
    nodes += [GlobalAvgPool2d("mean", "first"), Neurons("means", "mean", LADDER)]
    nodes += [Linear("few", "means", weight(hidden, 3)), Neurons("hidden", "few", LADDER)]
    nodes += [Concat("joined", ("features", "hidden", "means"))]
    nodes += [Linear("read", "joined", weight(2, 3 * 42 + hidden + 3)), Output("output", "read")]
    return Network(nodes)


def flattened_twice():
    """Features of two layers, of which the picture alone says how many belong to which: neither has scales."""
    nodes = [*stem(), Conv2d("wide", "first", weight(4, 3, 2, 2), stride=2), Neurons("second", "wide", LADDER)]
    nodes += [Flatten("flat0", "first"), Neurons("n0", "flat0", LADDER), Flatten("flat1", "second")]
    nodes += [Neurons("n1", "flat1", LADDER), Concat("both", ("n0", "n1")), Linear("read", "both", weight(2, 126 + 36))]
    return Network([*nodes, Output("output", "read")])


def pooled(make, channels=3):
    return lambda: read_by([*stem(), make("node", "first"), Neurons("second", "node", LADDER)], "second", channels)


KINDS = {
    "residual": residual,
    "constant part": constant_part,
    "constant sum": constant_sum,
    "sum read out": read_out_sum,
    "sum read out, the other way round": lambda: read_out_sum("first"),
    "joined features": joined_features,
    "two flattened": flattened_twice,
    "max pooling": pooled(node(MaxPool2d, 3, 2, 1)),
    "gated pooling": pooled(node(MaxPool2d, 2, 1, 1, variant="gated")),
    "sum pooling": pooled(node(SumPool2d, (2, 3), 1, (1, 0))),
    "global average": pooled(node(GlobalAvgPool2d)),
    "nearest": pooled(node(Upsample, (1, 2))),
    "bilinear": pooled(node(Upsample, 2, "bilinear")),
    "corners": pooled(node(Upsample, 2, "bilinear", True)),
    "flatten": lambda: chain(conv(2, 2, 3, 3), node(Flatten), node(Linear, weight(4, 40))),
    "scale": lambda: chain(conv(3, 2, 3, 3), node(Scale, weight(3))),
    "flat scale": lambda: chain(conv(2, 2, 3, 3), node(Flatten), node(Scale, weight(40)), node(Linear, weight(4, 40))),
    "depthwise": lambda: chain(conv(4, 2, 1, 1), conv(8, 4, 3, 3, groups=4, padding=1, stride=2), conv(3, 8, 1, 1)),
    "conv1d": lambda: chain(conv(2, 2, 7, 1), node(Conv1d, weight(4, 1, 3), stride=2, padding=1, dilation=2, groups=2)),
    "shuffle": lambda: read_by(
        [*stem(), Conv2d("wide", "first", weight(8, 3, 1, 1)), Neurons("n", "wide", LADDER), PixelShuffle("p", "n", 2),
         Neurons("shuffled", "p", LADDER)], "shuffled", 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_flow_equals_finite_differences(name):
    check_flow(Problem(KINDS[name]))


@pytest.mark.parametrize("name", KINDS)
def test_through_time_equals_finite_differences(name):
    check_through_time(Problem(KINDS[name]), SMOOTH)


@pytest.mark.parametrize("scales", ["layer", "channel"])
@pytest.mark.parametrize(
    "name",
    [
        "residual",
        "constant part",
        "joined features",
        "max pooling",
        "sum pooling",
        "flat scale",
        "shuffle",
        "two flattened",
    ],
)
def test_threshold_scales_equal_finite_differences(name, scales):
    check_flow(Problem(KINDS[name], scales))
    check_through_time(Problem(KINDS[name], scales), SMOOTH)


@pytest.mark.parametrize("scales", ["none", "channel"])
def test_flow_through_a_sum_without_a_relu_equals_finite_differences(scales):
    check_flow(Problem(lambda: residual(after=SignedMultiThreshold()), scales))


@pytest.mark.parametrize("model", [LeakyIntegrateAndFire(0.4, 0.6), IntegrateAndFire(0.4, reset="zero")])
def test_other_neurons_behind_sums(model):
    check_through_time(Problem(lambda: residual(model, model)), SMOOTH)


def test_what_is_added_up_has_no_scales_of_its_own():
    names = [name for name in Trainable(residual(), "layer").parameters() if name.endswith("log_scale")]
    assert names == ["stem.log_scale", "inside.log_scale"]


def test_features_of_unknown_layers_have_no_scales():
    assert not [name for name in Trainable(flattened_twice(), "layer").parameters() if name.endswith("log_scale")]


@settings(max_examples=40)
@given(networks(), st.sampled_from(["layer", "channel"]))
def test_threshold_scales_keep_the_function_of_the_artificial_network(case, scales):
    """A scale divides what a layer puts out, and its readers undo it."""
    network, picture = case
    if not any(hasattr(each, "weight") for each in network.nodes):
        return
    trainable = Trainable(network, scales)
    parameters = trainable.parameters(np.float64)
    for name, array in parameters.items():
        if name.endswith("log_scale"):
            array[:] = np.random.default_rng(len(array)).integers(-2, 3, array.shape) * np.log(2)
    scaled = trainable.network(parameters)
    analog.assert_close(analog.run(scaled, picture)[0], analog.run(network, picture)[0], 1e-6)


def test_delays_are_refused():
    nodes = [*stem(), Scale("back", "second", weight(3), delay=1), Scale("on", "first", weight(3))]
    network = read_by([*nodes, Add("sum", ("on", "back")), Neurons("second", "sum", LADDER)], "second", 3)
    later = read_by([*stem(), Scale("on", "first", weight(3), delay=1), Neurons("second", "on", LADDER)], "second", 3)
    batch, message = (
        np.zeros((1, 7, 6, 2), np.float32),
        r"^a network with delays cannot be fine-tuned \('(back|on)' has one",
    )
    for made in (network, later):
        with pytest.raises(InputError, match=message):
            Trainable(made)
        with pytest.raises(InputError, match=message):
            run_flow(made, batch, 2)
        with pytest.raises(InputError, match=message):
            run_through_time(made, batch, 2, SMOOTH)


# --- What is run is what the engine runs ------------------------------------------------------------------------------


@settings(max_examples=8)
@given(networks(most=3, shape=(2, 4, 4), dyadic=True), st.sampled_from((1, 2, 3, 8)))
def test_both_methods_put_out_what_the_engine_does(case, steps):
    network, picture = case
    batch = picture.transpose(1, 2, 0)[None]
    result = simulate(network, picture, steps, record=("spikes",), threads=1)
    flow, through = run_flow(network, batch, steps), run_through_time(network, batch, steps, Surrogate())
    for tape in (flow, through):
        np.testing.assert_array_equal(tape.output[0], result.output.transpose(1, 2, 0))
    accumulated = through.accumulated()
    for name, spikes in result.spikes.items():
        expected = spikes.sum(0).transpose(1, 2, 0)
        np.testing.assert_array_equal(flow.values[name][0], expected, name)
        np.testing.assert_array_equal(accumulated[name][0], expected, name)
    assert flow.accumulates == result.total_accumulates
    assert SpikePenalty(network, picture.shape).accumulates(through.values) == result.total_accumulates
    for found in (flow_gradients(network, flow, flow.output), time_gradients(network, through, through.output)):
        assert all(np.isfinite(array).all() for array in found.values())


# --- Training --------------------------------------------------------------------------------------------------------


class Shapes:
    """Batches of noisy pictures, from which the noise has to be told."""

    def draw(self, generator):
        clean = generator.random((4, 1, 1, 1)) * np.ones((1, 8, 8, 1)) * generator.integers(0, 2, (4, 8, 1, 1))
        noise = generator.normal(0, 0.2, clean.shape)
        return (clean + noise).astype(np.float32), noise.astype(np.float32)


def denoiser(after=LADDER):
    """A small residual network with random weights, of every kind that keeps or undoes sizes."""
    random = np.random.default_rng(0)

    def conv(name, source, out, into, size=3, **options):
        array = random.normal(0, np.sqrt(1 / (into * size**2)), (out, into, size, size))
        return Conv2d(name, source, array, padding=size // 2, **options)

    nodes = [Input("input", 1), conv("stem", "input", 8, 1), Neurons("first", "stem", LADDER)]
    nodes += [
        conv("inside", "first", 8, 1, groups=8),
        Neurons("middle", "inside", LADDER),
        conv("body", "middle", 8, 8),
    ]
    nodes += [Scale("identity", "first", np.ones(8))]
    nodes += [Add("sum", ("body", "identity")), Neurons("second", "sum", after)]
    nodes += [MaxPool2d("pool", "second", 2), Neurons("pooled", "pool", LADDER), conv("low", "pooled", 16, 8)]
    nodes += [Neurons("n", "low", LADDER), PixelShuffle("shuffle", "n", 2), Neurons("shuffled", "shuffle", LADDER)]
    nodes += [Upsample("up", "pooled", 2, "bilinear"), Neurons("upsampled", "up", LADDER)]
    nodes += [Concat("joined", ("second", "shuffled", "upsampled")), conv("read", "joined", 1, 20)]
    return Network(
        [*nodes, Scale("skip", "input", np.full(1, 0.1)), Add("out", ("read", "skip")), Output("output", "out")]
    )


@pytest.mark.parametrize(
    ("method", "steps", "options", "after"),
    [
        ("flow", 1, {"scales": "channel"}, LADDER),
        ("flow", 2, {"weight_bits": 6, "penalty": 0.01}, SignedMultiThreshold.rounding()),
        ("bptt", 2, {"scales": "layer", "initial": True, "penalty": 0.01}, SignedMultiThreshold.rounding()),
        ("bptt", 2, {"weight_bits": 8}, LADDER),
    ],
)
def test_the_loss_of_a_residual_network_falls(method, steps, options, after):
    reports = []
    chosen = Settings(method=method, steps=steps, iterations=30, rate=0.01, loss="mse", **options)
    trained = finetune(denoiser(after), Shapes(), chosen, observe=lambda _, report: reports.append(report), threads=1)
    losses = [report.loss for report in reports]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    # Biases that were zero have been learnt, too, and count then.
    sizes, before = (
        [n.weight.shape + n.bias.shape for n in net.nodes if hasattr(n, "weight")] for net in (trained, denoiser())
    )
    assert sizes == before
    assert trained.parameters == sum(np.prod(shape[:-1]) + shape[-1] for shape in sizes)
    if "weight_bits" in options:
        assert all(weight_bits(trained[name]) <= options["weight_bits"] for name in ("inside", "identity", "body"))
    batch, _ = Shapes().draw(np.random.default_rng(1))
    output = simulate(trained, batch.transpose(0, 3, 1, 2), steps, threads=1).output
    assert np.isfinite(output).all()
