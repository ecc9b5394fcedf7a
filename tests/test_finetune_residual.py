"""Fine-tuning of networks with sums of currents and the kinds of layers that go with them."""

from __future__ import annotations

import pytest
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
)
from spikeunet.engine.finetune import Surrogate, Trainable

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


def pooled(make, channels=3):
    return lambda: read_by([*stem(), make("node", "first"), Neurons("second", "node", LADDER)], "second", channels)


KINDS = {
    "residual": residual,
    "constant part": constant_part,
    "constant sum": constant_sum,
    "sum read out": read_out_sum,
    "sum read out, the other way round": lambda: read_out_sum("first"),
    "joined features": joined_features,
    "max pooling": pooled(node(MaxPool2d, 3, 2, 1)),
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
    "name", ["residual", "constant part", "joined features", "max pooling", "sum pooling", "flat scale", "shuffle"]
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
