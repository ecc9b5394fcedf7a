"""The specification: a dense, step-by-step simulation in plain NumPy, and brute-force counts of its operations.

Slow and readable on purpose; it shares no code with the engine but the description of the network. All sums are done
in float64. On dyadic networks (weights, inputs and thresholds that are multiples of a power of two) no sum is ever
rounded, neither here nor in float32, so the engine has to give the same numbers bit for bit, in whatever order it adds.

Shapes, strides, padding, dilation and groups follow PyTorch's Conv2d, ConvTranspose2d, AvgPool2d and Linear.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    Neurons,
    Output,
)

# --- Synapses: current (C, H, W) from what the source emits -----------------------------------------------------------


def conv2d(node, x):
    """Cross-correlation: out[o, y, x] = bias[o] + sum over taps of weight[o, c, i, j] * in[c, y*s - p + i*d, ...]."""
    (pad_y, pad_x), (step_y, step_x), (dilation_y, dilation_x) = node.padding, node.stride, node.dilation
    out_channels, group_inputs, kernel_height, kernel_width = node.weight.shape
    group_outputs = out_channels // node.groups
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    height = (padded.shape[1] - dilation_y * (kernel_height - 1) - 1) // step_y + 1
    width = (padded.shape[2] - dilation_x * (kernel_width - 1) - 1) // step_x + 1
    current = np.zeros((out_channels, height, width))
    for group in range(node.groups):
        inputs = slice(group * group_inputs, (group + 1) * group_inputs)
        outputs = slice(group * group_outputs, (group + 1) * group_outputs)
        for i in range(kernel_height):
            for j in range(kernel_width):
                top, left = i * dilation_y, j * dilation_x
                seen = padded[inputs, top : top + height * step_y : step_y, left : left + width * step_x : step_x]
                weight = node.weight[outputs, :, i, j].astype(np.float64)
                current[outputs] += np.tensordot(weight, seen[:, :height, :width], axes=1)
    return current + _bias(node)


def conv_transpose2d(node, x):
    """Each input value adds its kernel to the output at stride * position; the padding is then cut off the borders."""
    (pad_y, pad_x), (step_y, step_x), (dilation_y, dilation_x) = node.padding, node.stride, node.dilation
    in_channels, group_outputs, kernel_height, kernel_width = node.weight.shape
    group_inputs = in_channels // node.groups
    _, height, width = x.shape
    full_height = (height - 1) * step_y + dilation_y * (kernel_height - 1) + 1 + node.output_padding[0]
    full_width = (width - 1) * step_x + dilation_x * (kernel_width - 1) + 1 + node.output_padding[1]
    full = np.zeros((group_outputs * node.groups, full_height, full_width))
    for group in range(node.groups):
        inputs = slice(group * group_inputs, (group + 1) * group_inputs)
        outputs = slice(group * group_outputs, (group + 1) * group_outputs)
        for i in range(kernel_height):
            for j in range(kernel_width):
                rows = i * dilation_y + step_y * np.arange(height)
                columns = j * dilation_x + step_x * np.arange(width)
                weight = node.weight[inputs, :, i, j].astype(np.float64)
                full[outputs, rows[:, None], columns] += np.tensordot(weight.T, x[inputs], axes=1)
    return full[:, pad_y : full_height - pad_y, pad_x : full_width - pad_x] + _bias(node)


def avg_pool2d(node, x):
    """Sum over each window, the padding's zeros included, divided by the window's area."""
    (kernel_height, kernel_width), (step_y, step_x), (pad_y, pad_x) = node.kernel_size, node.stride, node.padding
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    height = (padded.shape[1] - kernel_height) // step_y + 1
    width = (padded.shape[2] - kernel_width) // step_x + 1
    current = np.zeros((len(x), height, width))
    for y in range(height):
        for column in range(width):
            top, left = y * step_y, column * step_x
            window = padded[:, top : top + kernel_height, left : left + kernel_width]
            current[:, y, column] = window.sum((1, 2)) / (kernel_height * kernel_width)
    return current


def linear(node, x):
    """weight @ flattened input + bias, as a column of single pixels."""
    return (node.weight.astype(np.float64) @ x.reshape(-1) + node.bias)[:, None, None]


def _bias(node):
    return node.bias.astype(np.float64)[:, None, None]


SYNAPSES = {Conv2d: conv2d, ConvTranspose2d: conv_transpose2d, AvgPool2d: avg_pool2d, Linear: linear}


# --- Neurons: (membrane after, value emitted, thresholds crossed), element by element ---------------------------------


def fire(model, membrane, current):
    """One step of a layer of neurons; every array has the layer's shape."""
    return RULES[type(model)](model, membrane, current)


def multi_threshold(model, membrane, current):
    """For each theta, largest first: if v > theta (>= when not strict), v -= theta and theta is emitted."""
    membrane = membrane + current
    emitted, crossings = np.zeros(membrane.shape), np.zeros(membrane.shape, np.int64)
    for theta in np.float32(model.thresholds).astype(np.float64):
        crossed = membrane > theta if model.strict else membrane >= theta
        membrane = membrane - np.where(crossed, theta, 0.0)
        emitted += np.where(crossed, theta, 0.0)
        crossings += crossed
    return membrane, emitted, crossings


def integrate_and_fire(model, membrane, current):
    """If v >= theta (> when strict), theta is emitted and v is reset, by subtraction of theta or to zero."""
    membrane, theta = membrane + current, float(np.float32(model.threshold))
    crossed = membrane > theta if model.strict else membrane >= theta
    after = {"subtract": membrane - theta, "zero": np.zeros(membrane.shape)}[model.reset]
    return np.where(crossed, after, membrane), np.where(crossed, theta, 0.0), crossed.astype(np.int64)


def leaky_integrate_and_fire(model, membrane, current):
    """v = decay * v + input, then as the integrate-and-fire neuron."""
    return integrate_and_fire(model, float(np.float32(model.decay)) * membrane, current)


RULES = {
    MultiThreshold: multi_threshold,
    IntegrateAndFire: integrate_and_fire,
    LeakyIntegrateAndFire: leaky_integrate_and_fire,
}


# --- Simulation ------------------------------------------------------------------------------------------------------


@dataclass
class ReferenceResult:
    """What `simulate` returns with everything recorded, for a single picture, and the counts."""

    steps: int
    output: np.ndarray
    readout: np.ndarray
    spikes: dict = field(default_factory=dict)
    membrane: dict = field(default_factory=dict)
    spike_count: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    neurons: dict = field(default_factory=dict)
    accumulates: dict = field(default_factory=dict)
    macs: dict = field(default_factory=dict)
    dense_macs: dict = field(default_factory=dict)


def simulate(network, x, steps):
    """Run `network` on the picture x, (C, H, W), for `steps` steps, all layers of a step before the next step.

    Layers act in topological order within a step: what a layer emits at step t reaches the next layer at step t.
    """
    shapes = network.shapes(x.shape)
    membrane = {node.name: np.full(shapes[node.name], np.float64(node.model.initial)) for node in network.neurons}
    per_step = {node.name: [] for node in network.nodes}
    crossings = {node.name: np.zeros(shapes[node.name], np.int64) for node in network.neurons}
    for _ in range(steps):
        put_out = {}
        for node in network.nodes:
            incoming = [put_out[source] for source in node.sources]
            if isinstance(node, Input):
                put_out[node.name] = x.astype(np.float64)
            elif isinstance(node, Concat):
                put_out[node.name] = np.concatenate(incoming)
            elif isinstance(node, Neurons):
                membrane[node.name], put_out[node.name], crossed = fire(node.model, membrane[node.name], *incoming)
                crossings[node.name] += crossed
                exact_float32(membrane[node.name])
            elif isinstance(node, Output):
                (put_out[node.name],) = incoming
            else:
                put_out[node.name] = SYNAPSES[type(node)](node, *incoming)
            per_step[node.name].append(put_out[node.name])
    recorded = {name: np.stack(values) for name, values in per_step.items()}
    readout = exact_float32(np.cumsum(recorded[network.output.name], axis=0))
    return _result(network, recorded, membrane, crossings, readout)


def _result(network, recorded, membrane, crossings, readout):
    steps = len(readout)
    names = [node.name for node in network.neurons]
    synapses = [node for node in network.nodes if type(node) in SYNAPSES]
    weighted = [node for node in synapses if not isinstance(node, AvgPool2d)]
    first = {name: values[0] for name, values in recorded.items()}
    reading_events = [node for node in synapses if event_channels(network, node.source, first).any()]
    reading_input = [node for node in synapses if not event_channels(network, node.source, first).all()]
    return ReferenceResult(
        steps=steps,
        output=readout[-1] / np.float32(steps),
        readout=readout,
        spikes={name: exact_float32(recorded[name]) for name in names},
        membrane={name: exact_float32(membrane[name]) for name in names},
        spike_count=crossings,
        events={name: np.count_nonzero(recorded[name], axis=(1, 2, 3)) for name in names},
        neurons={name: first[name].size for name in names},
        accumulates={node.name: count_accumulates(network, node, recorded) for node in reading_events},
        macs={node.name: count_macs(network, node, first) for node in reading_input},
        dense_macs={node.name: count_dense_macs(node, first) for node in weighted},
    )


def exact_float32(values):
    """`values` as float32; an AssertionError if that would round them, because then nothing is bit for bit."""
    rounded = values.astype(np.float32)
    np.testing.assert_array_equal(rounded.astype(np.float64), values, "the case is not exact in float32")
    return rounded


def currents(network, x, spikes):
    """Input current (T, C, H, W) of every synapse node, given what every layer of neurons emitted."""
    put_out = {}
    for node in network.nodes:
        incoming = [put_out[source] for source in node.sources]
        if isinstance(node, Input):
            steps = len(next(iter(spikes.values()))) if spikes else 1
            put_out[node.name] = np.broadcast_to(x.astype(np.float64), (steps, *x.shape))
        elif isinstance(node, Concat):
            put_out[node.name] = np.concatenate(incoming, axis=1)
        elif isinstance(node, Neurons):
            put_out[node.name] = spikes[node.name].astype(np.float64)
        elif not isinstance(node, Output):
            put_out[node.name] = np.stack([SYNAPSES[type(node)](node, values) for values in incoming[0]])
    return {node.name: put_out[node.name] for node in network.nodes if type(node) in SYNAPSES}


# --- Counts ----------------------------------------------------------------------------------------------------------


def event_channels(network, name, first):
    """For each channel that the node `name` puts out, whether it carries events rather than the analog input."""
    node = network[name]
    if isinstance(node, Concat):
        return np.concatenate([event_channels(network, part, first) for part in node.parts])
    return np.full(len(first[name]), isinstance(node, Neurons))


def count_accumulates(network, node, recorded):
    """Accumulates of each step, (T,): for each event, the output elements that it really reaches."""
    first = {name: values[0] for name, values in recorded.items()}
    reach = targets(node, first[node.source].shape, first[node.name].shape)
    carries_events = event_channels(network, node.source, first)
    return np.array([reach[carries_events][values[carries_events] != 0].sum() for values in recorded[node.source]])


def targets(node, shape, out_shape):
    """For each input site (C, H, W), how many products (with an output element and a weight) it enters."""
    reach = np.zeros(shape, np.int64)
    if isinstance(node, Linear):
        return reach + out_shape[0]
    for in_y, in_x in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += _outputs_per_tap(node)
    return reach


def _outputs_per_tap(node):
    """Output channels that one input channel reaches through one kernel tap."""
    return 1 if isinstance(node, AvgPool2d) else node.out_channels // node.groups


def _meetings(node, shape, out_shape):
    """Every (in_y, in_x) once for each pair of an output position and a kernel tap that reads it."""
    transposed = isinstance(node, ConvTranspose2d)
    kernel = node.kernel_size if isinstance(node, AvgPool2d) else node.weight.shape[2:]
    dilation = (1, 1) if isinstance(node, AvgPool2d) else node.dilation
    # A transposed convolution is a convolution whose input and output have changed places.
    reader, read = (shape, out_shape) if transposed else (out_shape, shape)
    for y, x in np.ndindex(*reader[1:]):
        for i, j in np.ndindex(*kernel):
            other_y = y * node.stride[0] - node.padding[0] + i * dilation[0]
            other_x = x * node.stride[1] - node.padding[1] + j * dilation[1]
            if 0 <= other_y < read[1] and 0 <= other_x < read[2]:
                yield (y, x) if transposed else (other_y, other_x)


def count_macs(network, node, first):
    """Multiply-accumulates of the channels that carry the analog input, counted once for the run, padding left out."""
    reach = targets(node, first[node.source].shape, first[node.name].shape)
    return int(reach[~event_channels(network, node.source, first)].sum())


def count_dense_macs(node, first):
    """Multiply-accumulates of the artificial network, padding included as is the custom."""
    if isinstance(node, Linear):
        return node.weight.size
    positions = first[node.source] if isinstance(node, ConvTranspose2d) else first[node.name]
    return node.weight.size * positions[0].size
