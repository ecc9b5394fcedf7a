"""Gradients of both methods against PyTorch's automatic differentiation of the same network, where it is installed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import unets

from spikeunet.converters import convert
from spikeunet.engine import (
    Add,
    Attention,
    AvgPool2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MaxPool2d,
    MeanConv2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    PixelUnshuffle,
    Scale,
    SumPool2d,
    Upsample,
)
from spikeunet.engine.learning.finetune import (
    Surrogate,
    Trainable,
    flow_gradients,
    run_flow,
    run_through_time,
    time_gradients,
)
from spikeunet.engine.learning.finetune.trainable_arrays import with_arrays

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

functional = torch.nn.functional
STEPS = 3
MODELS = {
    "multi-threshold": MultiThreshold((1, 0.5, 0.25, 0.125), initial=0.0625),
    "integrate and fire": IntegrateAndFire(0.5),
    "reset to zero": IntegrateAndFire(0.5, reset="zero"),
    "leaky": LeakyIntegrateAndFire(0.5, 0.75),
}


class Spike(torch.autograd.Function):
    """A step forward, a surrogate's slope backward."""

    @staticmethod
    def forward(context, distance, width, kind):
        context.save_for_backward(distance)
        context.width, context.kind = width, kind
        return (distance > 0).to(distance)

    @staticmethod
    def backward(context, gradient):
        (distance,) = context.saved_tensors
        x = distance / context.width
        slopes = {
            "triangle": (1 - x.abs()).clamp(min=0),
            "fast-sigmoid": 0.5 / (1 + x.abs()) ** 2,
            "arctan": 0.5 / (1 + (math.pi * x / 2) ** 2),
            "rectangle": 0.5 * (x.abs() < 1),
        }
        return gradient * slopes[context.kind] / context.width, None, None


class Flow(torch.autograd.Function):
    """What the event-driven run put out forward, a ReLU's derivative backward."""

    @staticmethod
    def forward(context, accumulated, emitted):
        context.save_for_backward(accumulated > 0)
        return emitted

    @staticmethod
    def backward(context, gradient):
        return gradient * context.saved_tensors[0], None


def fire(model, potential, current, surrogate):
    decay = getattr(model, "decay", 1.0)
    potential = decay * potential + current
    emitted = torch.zeros_like(potential)
    to_zero = getattr(model, "reset", "subtract") == "zero"
    ladder = np.float32(getattr(model, "thresholds", None) or (model.threshold,))
    compared = ladder if model.strict else np.nextafter(ladder, np.float32(-np.inf))
    for theta, compare in zip(ladder.tolist(), compared.tolist(), strict=True):
        crossed = Spike.apply(potential - compare, surrogate.width * theta, surrogate.kind)
        emitted = emitted + crossed * theta
        taken = crossed.detach() if surrogate.detach_reset else crossed
        potential = potential * (1 - taken) if to_zero else potential - taken * theta
    return potential, emitted


def weightless(node, x):
    """What a node without weights makes of x; None of others."""
    if isinstance(node, AvgPool2d):
        return functional.avg_pool2d(x, node.kernel_size, node.stride, node.padding)
    if isinstance(node, SumPool2d):
        return functional.avg_pool2d(x, node.kernel_size, node.stride, node.padding, divisor_override=1)
    if isinstance(node, GlobalAvgPool2d):
        return x.mean((2, 3), keepdim=True)
    if isinstance(node, Upsample):
        aligned = {} if node.mode == "nearest" else {"align_corners": node.align_corners}
        return functional.interpolate(x, scale_factor=node.scale_factor, mode=node.mode, **aligned)
    if isinstance(node, PixelShuffle):
        return functional.pixel_shuffle(x, node.upscale_factor)
    if isinstance(node, PixelUnshuffle):
        return functional.pixel_unshuffle(x, node.downscale_factor)
    return x.flatten(1)[:, :, None, None] if isinstance(node, Flatten) else None


def largest(node, x):
    return functional.max_pool2d(x, node.kernel_size, node.stride, node.padding)


def synapses(node, x, tensors, bias_times=1):
    found = weightless(node, x)
    if found is not None:
        return found
    if isinstance(node, Attention):
        q, k, v = x.flatten(2).unflatten(1, (3, node.heads, -1)).transpose(3, 4).unbind(1)
        return ((q @ k.transpose(2, 3)) @ v * node.scale).transpose(2, 3).reshape(len(x), -1, *x.shape[2:])
    weight, bias = tensors[f"{node.name}.weight"], tensors[f"{node.name}.bias"] * bias_times
    if isinstance(node, MeanConv2d):
        return functional.conv2d(x, weight, bias, padding=node.padding).mean((2, 3), keepdim=True)
    if isinstance(node, Linear):
        return functional.linear(x.flatten(1), weight, bias)[:, :, None, None]
    if isinstance(node, ConvTranspose2d):
        extra = (node.output_padding, node.groups, node.dilation)
        return functional.conv_transpose2d(x, weight, bias, node.stride, node.padding, *extra)
    if isinstance(node, Scale):
        return x * weight[:, None, None] + bias[:, None, None]
    if isinstance(node, Conv1d):
        options = (node.stride, node.padding, node.dilation, node.groups)
        return functional.conv1d(x[:, :, 0], weight, bias, *options)[:, :, None]
    assert isinstance(node, Conv2d)
    return functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)


def walk(network, x, put_out, tensors, bias_times=1, sums=None):
    """The readout's current, where `put_out(node, current)` says what Neurons emit.

    `sums` are what max pools have read up to the step before.
    """
    sums = {} if sums is None else sums
    values = {}
    for node in network.nodes:
        incoming = [values[source] for source in node.sources]
        if isinstance(node, Input):
            values[node.name] = x
        elif isinstance(node, Concat):
            values[node.name] = torch.cat(incoming, 1)
        elif isinstance(node, Add):
            values[node.name] = sum(incoming)
        elif isinstance(node, MaxPool2d) and node.variant == "stepwise":
            values[node.name] = largest(node, incoming[0])
        elif isinstance(node, MaxPool2d):
            before = sums.get(node.name, torch.zeros_like(incoming[0]))
            sums[node.name] = before + incoming[0]
            values[node.name] = largest(node, sums[node.name]) - largest(node, before)
        elif isinstance(node, Neurons):
            values[node.name] = put_out(node, incoming[0])
        elif not isinstance(node, Output):
            values[node.name] = synapses(node, incoming[0], tensors, bias_times)
    return values[network.output.source]


def residual(model):
    """Every kind of layer, with sums, a strided block, and a mean; the picture goes to the sum that is read out."""
    random = np.random.default_rng(0)

    def weight(*shape):
        return random.normal(0.1, np.sqrt(1 / np.prod(shape[1:])), shape)

    nodes = [Input("input", 1), Conv2d("stem", "input", weight(4, 1, 3, 3), padding=1), Neurons("first", "stem", model)]
    nodes += [Conv2d("depthwise", "first", weight(4, 1, 3, 3), padding=1, groups=4), Neurons("n1", "depthwise", model)]
    nodes += [Conv2d("body", "n1", weight(4, 4, 1, 1)), Scale("identity", "first", random.random(4) + 0.5)]
    nodes += [Add("sum", ("body", "identity", "stem")), Neurons("second", "sum", model)]
    nodes += [MaxPool2d("pool", "second", 3, 2, 1), Neurons("pooled", "pool", model)]
    nodes += [Conv2d("strided", "pooled", weight(8, 4, 3, 3), stride=2, padding=1)]
    nodes += [Conv2d("shortcut", "pooled", weight(8, 4, 1, 1), stride=2), SumPool2d("sums", "eight", 2)]
    nodes += [Conv2d("wide", "pooled", weight(8, 4, 1, 1)), Neurons("eight", "wide", model)]
    nodes += [Add("block", ("strided", "shortcut", "sums")), Neurons("third", "block", model)]
    nodes += [PixelShuffle("shuffle", "third"), Neurons("shuffled", "shuffle", model)]
    nodes += [Upsample("up", "third", 2, "bilinear"), Upsample("near", "third", 2), Add("ups", ("up", "near"))]
    nodes += [Neurons("upsampled", "ups", model), Concat("joined", ("shuffled", "upsampled", "pooled"))]
    nodes += [GlobalAvgPool2d("mean", "joined"), Neurons("means", "mean", model), Linear("few", "means", weight(6, 14))]
    nodes += [Neurons("hidden", "few", model), Flatten("flat", "third"), Neurons("flats", "flat", model)]
    nodes += [Concat("features", ("flats", "hidden")), Linear("full", "features", weight(256, 134))]
    nodes += [Neurons("row", "full", model), PixelShuffle("square", "row", 16), Neurons("pixels", "square", model)]
    nodes += [Conv2d("skip", "input", weight(1, 1, 1, 1)), Conv2d("last", "pixels", weight(1, 1, 1, 1))]
    return Network([*nodes, Add("out", ("skip", "last")), Output("output", "out")])


def attending(model):
    """A block of a Spikingformer behind a small tokeniser, with one number for each picture."""
    random = np.random.default_rng(0)

    def weight(*shape):
        return random.normal(0.2, np.sqrt(1 / np.prod(shape[1:])), shape)

    nodes = [Input("input", 1), Conv2d("stem", "input", weight(4, 1, 3, 3), padding=1), Neurons("first", "stem", model)]
    nodes += [MaxPool2d("pool", "first", 5, 4, 2, variant="stepwise"), Neurons("pooled", "pool", model)]
    nodes += [Conv2d("stream", "pooled", weight(4, 4, 3, 3), padding=1), Neurons("second", "stream", model)]
    nodes += [Conv2d("qkv", "second", weight(12, 4, 1, 1)), Neurons("events", "qkv", model)]
    nodes += [Attention("attention", "events", 2, 0.125), Neurons("attended", "attention", model)]
    nodes += [Conv2d("branch", "attended", weight(4, 4, 1, 1)), Add("sum", ("stream", "branch"))]
    nodes += [Neurons("third", "sum", model), MeanConv2d("mean", "third", weight(1, 4, 1, 1))]
    nodes += [MeanConv2d("other", "pooled", weight(1, 4, 3, 3), padding=1), Add("head", ("mean", "other"))]
    return Network([*nodes, Output("output", "head")])


def unet(model):
    return convert(unets.random_state(uneven=True), normalization="none", neuron=model)


def problem(model, dtype, make=unet):
    """A network with these neurons, its parameters as arrays and tensors, a batch and a direction for the loss."""
    network = make(model)
    random = np.random.default_rng(1)
    batch = random.random((2, 16, 16, 1)).astype(dtype)
    trainable = Trainable(network, initial=True)
    parameters = trainable.parameters(dtype)
    tensors = {
        name: torch.tensor(np.ascontiguousarray(array), requires_grad=True) for name, array in parameters.items()
    }
    return trainable.network(parameters), tensors, batch, random.standard_normal(batch.shape).astype(dtype)


def assert_equal_gradients(found, tensors, tolerance):
    for name, tensor in tensors.items():
        expected = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        scale = max(np.abs(expected).max(), 1e-6)
        np.testing.assert_allclose(found[name] / scale, expected / scale, rtol=0, atol=tolerance, err_msg=name)


def channels_first(batch):
    return torch.tensor(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(
    ("kind", "detached"),
    [("triangle", False), ("triangle", True), ("fast-sigmoid", False), ("arctan", True), ("rectangle", False)],
)
@pytest.mark.parametrize("model", MODELS)
def test_through_time(model, kind, detached):
    check_through_time(Surrogate(kind, 0.9, detached), problem(MODELS[model], np.float64))


@pytest.mark.parametrize("model", MODELS)
def test_residual_networks_through_time(model):
    check_through_time(Surrogate("arctan", 0.9), problem(MODELS[model], np.float64, residual))


def test_attention_through_time():
    *given, direction = problem(LeakyIntegrateAndFire(0.5, decay=0.5, reset="zero"), np.float64, attending)
    check_through_time(Surrogate("arctan", 0.9, True), (*given, direction[:, :1, :1]))


def check_through_time(surrogate, given):
    network, tensors, batch, direction = given
    tape = run_through_time(network, batch, STEPS, surrogate)
    found = time_gradients(network, tape, direction)

    potential, sums = {}, {}

    def put_out(node, current):
        before = potential.get(node.name, tensors[f"{node.name}.initial"].expand_as(current))
        potential[node.name], emitted = fire(node.model, before, current, surrogate)
        return emitted

    output = sum(walk(network, channels_first(batch), put_out, tensors, 1, sums) for _ in range(STEPS)) / STEPS
    np.testing.assert_allclose(tape.output.transpose(0, 3, 1, 2), output.detach().numpy(), rtol=1e-9, atol=1e-9)
    (output * channels_first(direction)).sum().backward()
    assert_equal_gradients(found, tensors, 1e-9)


@pytest.mark.parametrize("make", [unet, residual])
@pytest.mark.parametrize("model", MODELS)
def test_flow(model, make):
    network, tensors, batch, direction = problem(MODELS[model], np.float32, make)
    tape = run_flow(network, batch, STEPS)
    found = flow_gradients(network, tape, direction)

    def put_out(node, current):
        return Flow.apply(current, channels_first(tape.values[node.name]))

    output = walk(network, STEPS * channels_first(batch), put_out, tensors, bias_times=STEPS) / STEPS
    (output * channels_first(direction)).sum().backward()
    weights = {name: tensor for name, tensor in tensors.items() if not name.endswith(".initial")}
    # A float32 input that is nearly zero may lie on either side of it, according to the order of additions.
    assert_equal_gradients(found, weights, 2e-3)


# --- Layers on their own, with batches large enough to be cut into pieces ---------------------------------------------

GEOMETRIES = [
    {},
    {"kernel": (3, 3), "padding": (1, 1)},
    {"kernel": (3, 3), "padding": (3, 2)},
    {"kernel": (2, 4), "padding": (1, 0), "dilation": (2, 1)},
    {"kernel": (3, 3), "padding": (1, 2), "dilation": (1, 2)},
    {"kernel": (3, 2), "stride": (2, 3), "padding": (1, 1)},
    {"kernel": (3, 3), "groups": 4, "padding": (1, 1)},
    {"kernel": (1, 1), "padding": (2, 2)},
]


def assert_layer(node, compute, shape):
    """Current and gradients of a node, in float64, against PyTorch's."""
    random = np.random.default_rng(0)
    parts = {name: random.standard_normal(getattr(node, name).shape) for name in node.arrays}
    node = with_arrays(node, **parts)
    x = random.standard_normal(shape)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, *parts.values())]
    expected = compute(*tensors)
    value = tuple(np.split(x.transpose(0, 2, 3, 1), [3], axis=3))
    found = node.forward(value)
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    direction = random.standard_normal(found.shape)
    (expected * channels_first(direction)).sum().backward()
    into, gradients = node.backward(value, direction)
    np.testing.assert_allclose(into.transpose(0, 3, 1, 2), tensors[0].grad.numpy(), rtol=1e-9, atol=1e-9)
    for name, tensor in zip(parts, tensors[1:], strict=True):
        np.testing.assert_allclose(gradients[name], tensor.grad.numpy(), rtol=1e-8, atol=1e-8)
    assert node.backward(value, direction, into_input=False)[0] is None


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("shape", [(3, 40, 41, 50), (2, 8, 5, 4)], ids=["large", "small"])
def test_convolutions(geometry, shape):
    options = dict(geometry)
    kernel, groups = options.pop("kernel", (1, 1)), options.get("groups", 1)
    node = Conv2d("node", "source", np.zeros((20, shape[1] // groups, *kernel)), **options)
    assert_layer(node, lambda *tensors: functional.conv2d(*tensors, **options), shape)


@pytest.mark.parametrize("geometry", [*GEOMETRIES[:4], *GEOMETRIES[5:7]], ids=str)
@pytest.mark.parametrize("shape", [(3, 40, 21, 25), (2, 8, 5, 6)], ids=["large", "small"])
def test_transposed_convolutions(geometry, shape):
    options = dict(geometry)
    kernel, groups = options.pop("kernel", (1, 1)), options.get("groups", 1)
    if max(options.get("stride", (1, 1))) > 1:
        options["output_padding"] = (1, 1)
    node = ConvTranspose2d("node", "source", np.zeros((shape[1], 20 // groups, *kernel)), **options)
    assert_layer(node, lambda *tensors: functional.conv_transpose2d(*tensors, **options), shape)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((2, 2), None, 0), ((3, 4), (1, 3), (1, 2)), ((5, 1), 2, (2, 0))]
)
def test_average_pooling(kernel, stride, padding):
    node = AvgPool2d("node", "source", kernel, stride, padding)
    assert_layer(node, lambda x: functional.avg_pool2d(x, kernel, stride, padding), (2, 8, 12, 15))


def test_full_connection():
    node = Linear("node", "source", np.zeros((7, 120)))
    assert_layer(node, lambda x, *pair: functional.linear(x.flatten(1), *pair)[:, :, None, None], (5, 8, 3, 5))


@pytest.mark.parametrize(
    "node",
    [
        SumPool2d("node", "source", (3, 2), 2, (1, 0)),
        GlobalAvgPool2d("node", "source"),
        PixelShuffle("node", "source", 2),
        Flatten("node", "source"),
        Upsample("node", "source", (2, 3)),
        Upsample("node", "source", (3, 2), "bilinear"),
        Upsample("node", "source", (2, 4), "bilinear", True),
    ],
    ids=lambda node: type(node).__name__,
)
def test_layers_without_weights(node):
    assert_layer(node, lambda x: weightless(node, x), (2, 8, 5, 6))


def test_pixels_as_channels():
    node = PixelUnshuffle("node", "source", 2)
    assert_layer(node, lambda x: weightless(node, x), (2, 3, 4, 6))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0))])
def test_max_pooling(kernel, stride, padding):
    node = MaxPool2d("node", "source", kernel, stride, padding)
    assert_layer(node, lambda x: largest(node, x), (2, 8, 6, 9))


@pytest.mark.parametrize(
    "node",
    [
        Scale("node", "source", np.zeros(8)),
        Conv1d("node", "source", np.zeros((6, 4, 3)), None, 2, 1, 2, 2),
        Conv2d("node", "source", np.zeros((16, 1, 3, 3)), None, 2, 1, 1, 8),
    ],
    ids=["scale", "line", "depthwise"],
)
def test_further_layers_with_weights(node):
    height = 1 if isinstance(node, Conv1d) else 7
    given = lambda x, *pair: synapses(node, x, {f"node.{n}": t for n, t in zip(node.arrays, pair, strict=True)})  # noqa: E731
    assert_layer(node, given, (2, 8, height, 9))
