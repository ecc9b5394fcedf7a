"""What every kind of layer must do, as checks that also take a kind of one's own (docs/layers.md).

A kind is specified by its own `current`, computed of the whole input: everything else that it says of itself must agree
with that, and the engine must compute the same in any order, tile by tile and with any number of threads. A check takes
a node and the shape (C, H, W) of what it reads, small, and raises an AssertionError. What is said of weights and
gradients is in weight_checks.py.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SpikeunetError
from ..graph import Input, Network, Neurons, Output, Projection, Rows, Shape, Weighted
from ..layers import Conv2d
from ..simulation import simulate
from ..threads import WorkerThreads
from . import product_targets, reference, weight_checks
from .comparison import RECORDS, assert_same, require
from .layer_probes import STEPS, by_site, current_of, cuts, describe, read_values, whole_current, whole_rows
from .size_checks import rows_put_out

Array = NDArray[Any]

MOST_SITES = 1 << 10
"""Numbers that a node reads in these checks: each is looked at for itself."""


def check_layer(node: Projection, shape: tuple[int, int, int], steps: int = STEPS) -> None:
    """All checks of this module and of weight_checks.py.

    Parameters
    ----------
    node : Projection
        Of any kind. Its source does not matter.
    shape : (C, H, W)
        Of what it reads; small, because each number is looked at for itself.
    steps : int
        Of the runs.

    Raises
    ------
    AssertionError
        If the node fails a check; the message says what is wrong and how.
    TypeError
        If the node is no Projection.
    ValueError
        If the shape is too large.
    """
    if not isinstance(node, Projection):
        raise TypeError(f"check_layer takes synapses that read one source, not sums and joins (got {node!r:.80})")
    if int(np.prod(shape)) > MOST_SITES:
        raise ValueError(f"take a smaller shape than {shape}: at most {MOST_SITES} numbers are looked at one by one")
    for check in (shapes, deterministic, rows_agree, steps_agree, types, weight_checks.check):
        check(node, shape)
    for claim in (fan_out_counts, gain_bounds, channels_kept, size_kept, rows_put_out):
        claim(node, shape)
    in_networks(node, shape, steps)


# --- Currents --------------------------------------------------------------------------------------------------------


def shapes(node: Projection, shape: Shape) -> None:
    """`current` returns finite numbers of the shape that `output_shape` says, and `channels_out` says the same."""
    name, outgoing = describe(node), node.output_shape(shape)
    require(
        len(outgoing) == 3 and all(isinstance(size, (int, np.integer)) and size > 0 for size in outgoing),
        f"{name}: output_shape() must return three sizes (C', H', W') (got {outgoing})",
    )
    values = read_values(shape)
    found, expected = whole_current(node, values), (len(values), *outgoing[1:], outgoing[0])
    require(
        found.shape == expected,
        f"{name}: current() returns the shape {found.shape}; output_shape() says {outgoing}, and so it must be "
        f"(M, rows, W', C') = {expected}",
    )
    require(found.dtype.kind == "f", f"{name}: current() returns {found.dtype}, not floating-point numbers")
    require(bool(np.isfinite(found).all()), f"{name}: current() returns NaN or infinite numbers of ordinary values")
    channels = node.channels_out(shape[0])
    require(
        channels in (0, outgoing[0]),
        f"{name}: channels_out({shape[0]}) says {channels} channels; output_shape() says {outgoing[0]}",
    )


def rows_agree(node: Projection, shape: Shape) -> None:
    """Some output rows, of the input rows that `input_rows` asks for, are those of the whole, bit for bit."""
    if not product_targets.has_current(node):
        return
    name, values = describe(node), read_values(shape)
    whole, gathered = whole_current(node, values), node.gathered(values)
    for first, last in cuts(whole.shape[1]):
        low, high = node.input_rows(first, last, shape)
        place = f"the output rows {first} to {last - 1}"
        require(
            0 <= low <= high <= shape[1],
            f"{name}: input_rows({first}, {last}, {shape}) says {low, high}, which is no range within {shape[1]} rows",
        )
        state = node.fresh_state(shape)
        part = None if state is None else state[first:last]
        found = current_of(node, values[:, low:high].copy(), Rows(first, last, low, shape, gathered), part)
        require(
            found.shape == (len(values), last - first, *whole.shape[2:]),
            f"{name}: current() of {place} returns the shape {found.shape}; that of {last - first} rows is wanted",
        )
        require(
            np.array_equal(found, whole[:, first:last]),
            f"{name}: {place}, computed of the input rows {low} to {high - 1} that input_rows() asks for, differ from "
            "those of the whole: it must ask for every row that is read, and current() must give the same bits for any "
            "rows (see Rows)",
        )
        others = read_values(shape)[:, ::-1].copy()
        others[:, low:high] = values[:, low:high]
        among_others = current_of(
            node, others, whole_rows(node, shape)._replace(gathered=gathered), node.fresh_state(shape)
        )
        require(
            np.array_equal(among_others[:, first:last], whole[:, first:last]),
            f"{name}: {place} depend on input rows other than {low} to {high - 1}, all that input_rows() asks for",
        )


def steps_agree(node: Projection, shape: Shape) -> None:
    """Steps in groups are the same as all at once; without a state they know nothing of each other."""
    if not product_targets.has_current(node):
        return
    name, values, rows = describe(node), read_values(shape), whole_rows(node, shape)
    whole = whole_current(node, values)
    for first in range(1, len(values)):
        state = node.fresh_state(shape)
        parts = [
            current_of(node, part, rows._replace(gathered=node.gathered(part)), state)
            for part in (values[:first].copy(), values[first:].copy())
        ]
        require(
            np.array_equal(np.concatenate(parts), whole),
            f"{name}: {first} steps and then {len(values) - first} give something else than {len(values)} at once"
            + ("" if state is None else ": current() must move the state on, in place"),
        )
    if not node.state_values:
        backwards = whole_current(node, values[::-1].copy())
        require(np.array_equal(backwards[::-1], whole), f"{name}: a step depends on those before it")


def types(node: Projection, shape: Shape) -> None:
    """float32 in, float32 out; float64 in, float64 out, computed in float64: gradients are checked so."""
    name = describe(node)
    for dtype in (np.float32, np.float64):
        found = whole_current(node, read_values(shape, dtype=dtype)).dtype
        fault = f"{name}: current() of {np.dtype(dtype)} values returns {found}; it must keep the type of the values"
        require(found == dtype or bool(node.state_values), fault)
    if node.state_values:
        return  # which is float32
    values = read_values(shape, dtype=np.float64)
    single, double = whole_current(node, values.astype(np.float32)), whole_current(node, values)
    size = max(float(np.abs(double).max()), 1.0)
    require(np.allclose(single, double, rtol=1e-4, atol=1e-4 * size), f"{name}: float32 and float64 values disagree")
    require(
        not double.any() or not np.array_equal(whole_current(node, values * (1 + 2.0**-40)), double),
        f"{name}: current() of float64 values rounds to float32 on the way",
    )


def deterministic(node: Projection, shape: Shape) -> None:
    """The same values give the same bits, on several threads at once, too."""
    name, values = describe(node), read_values(shape)
    expected = whole_current(node, values)
    require(np.array_equal(whole_current(node, values), expected), f"{name}: current() differs from call to call")
    fault = f"{name}: called by two threads at once, current() gives other numbers; it must keep nothing in the node"
    second = values[:, ::-1].copy()
    pairs = ((values, expected), (second, whole_current(node, second)))

    def work(own: Array, wanted: Array) -> None:
        for _ in range(20):
            require(np.array_equal(whole_current(node, own), wanted), fault)

    with WorkerThreads(len(pairs)) as workers:
        jobs = [functools.partial(work, *pair) for pair in pairs]
        workers.run(jobs[: workers.ready(len(jobs))])


# --- What others have to know ----------------------------------------------------------------------------------------


def fan_out_counts(node: Projection, shape: Shape) -> None:
    """`fan_out` says how many outputs change with each number that is read; `zero_fan_out` which weights are zeros.

    Weights of zero count in `fan_out`: they are looked at with other weights in their place.
    """
    name, fan_out = describe(node), node.fan_out(shape)
    sizes = (len(fan_out.rows), len(fan_out.columns))
    require(
        sizes == shape[1:],
        f"{name}: fan_out() has {sizes[0]} rows and {sizes[1]} columns; what is read has {shape[1]} and {shape[2]}",
    )
    reach = np.broadcast_to(np.multiply.outer(fan_out.rows, fan_out.columns) * fan_out.channels, shape)
    outgoing = node.output_shape(shape)
    targets = product_targets.targets(node, shape, outgoing)
    _same_counts(f"{name}: fan_out()", reach, targets)
    macs = node.dense_macs(shape)
    if isinstance(node, Weighted):
        total = int(targets.sum())
        require(macs >= total, f"{name}: dense_macs() says {macs}, but {total} products are made")
        zeros = node.zero_fan_out(shape, node.nonzero_weights())
        used = int(node.nonzero_weights().sum())
        nonzero = int(np.count_nonzero(node.weight))
        require(used == nonzero, f"{name}: nonzero_weights() adds up to {used}; {nonzero} weights are not zero")
        if zeros is not None:
            met = zeros.zeros[zeros.row_classes][:, zeros.column_classes].transpose(2, 0, 1)
            effective = product_targets.effective_targets(node, shape, outgoing)
            _same_counts(f"{name}: fan_out() less zero_fan_out()", reach - met, effective)
    elif product_targets.counts_alone(node):
        require(macs == 0, f"{name}: dense_macs() says {macs}; without weights it must say 0")


def _same_counts(what: str, found: Array, expected: Array) -> None:
    differing = np.argwhere(found != expected)
    if len(differing):
        channel, row, column = place = tuple(int(index) for index in differing[0])
        raise AssertionError(
            f"{what} says that an event at channel {channel}, row {row}, column {column} reaches {found[place]} "
            f"outputs; {expected[place]} change with it"
        )


def gain_bounds(node: Projection, shape: Shape) -> None:
    """No current of values from -1 to 1 is larger than `gain` allows: weight times products, plus bias."""
    gain = node.gain()
    if gain is None or node.state_values:
        return
    nothing, changes = by_site(node, shape)
    worst = float((np.abs(changes).sum((0, 1, 2)) + np.abs(nothing)).max())
    sign = np.sign(read_values(shape, 64, np.float64))
    worst = max(worst, float(np.abs(whole_current(node, sign)).max()))
    bound = gain[0] * gain[2] + gain[1]
    require(
        worst <= bound * (1 + 1e-6),
        f"{describe(node)}: gain() {gain} bounds currents of values from -1 to 1 by {bound:g}; {worst:g} is possible",
    )


def channels_kept(node: Projection, shape: Shape) -> None:
    """`keeps_channels` and `pass_on` say what a scale of the channels that are read does to those that are put out."""
    if isinstance(node, Weighted) or node.state_values:
        return
    name, values = describe(node), read_values(shape)
    before = whole_current(node, values)
    if node.keeps_channels:
        alone = _own_channels(before.shape[3], shape[0])
        for channel in range(shape[0]):
            other = values.copy()
            other[..., np.arange(shape[0]) != channel] = 0
            own = alone == channel
            mixed = not np.array_equal(whole_current(node, other)[..., own], before[..., own])
            require(
                not mixed, f"{name}: keeps_channels is True, but what is put out of channel {channel} mixes others in"
            )
    for scales in (np.full(shape[0], 2.0), 2.0 ** (np.arange(shape[0]) % 3)):
        try:
            passed = np.asarray(node.pass_on(scales))
        except InputError:
            continue
        every = np.repeat(passed, before.shape[3] // len(passed))
        scaled = whole_current(node, values * scales.astype(np.float32))
        require(
            np.array_equal(scaled, before * every.astype(np.float32)),
            f"{name}: with its channels times {scales.tolist()}, what it puts out is not times pass_on(), "
            f"{passed.tolist()[:8]}; normalization would change what the network computes. Return what holds, or raise "
            "InputError",
        )


def size_kept(node: Projection, shape: Shape) -> None:
    """`homogeneous` says whether twice of all that is read gives twice the current, its bias apart."""
    if node.state_values:
        return
    values = read_values(shape, dtype=np.float64)
    nothing, once, twice = (whole_current(node, times * values) for times in (0, 1, 2))
    size = max(float(np.abs(once - nothing).max()), 1e-30)
    kept = bool(np.allclose((twice - nothing) / size, 2 * (once - nothing) / size, rtol=1e-9, atol=1e-9))
    require(
        kept or not node.homogeneous,
        f"{describe(node)}: of twice what it reads, its current is not twice as large; define the property homogeneous "
        "as False, so that nothing is normalised across it",
    )


def _own_channels(outputs: int, inputs: int) -> Array:
    """The channel that each output channel is made of."""
    return np.repeat(np.arange(inputs), outputs // inputs)


# --- In the engine ---------------------------------------------------------------------------------------------------


def in_networks(node: Projection, shape: Shape, steps: int = STEPS) -> None:
    """The engine computes what the node says: of neurons and of the input, in both orders, tiled, on several threads.

    Weights are rounded to sixteenths for it, so that equality means equality of bits. Where the node's own numbers are
    not round (a mean of three), the engine's runs are compared with one another, and its currents with `current`.
    """
    picture = np.abs(read_values(shape, 1)[0].transpose(2, 0, 1))
    for network in (behind_neurons(node, shape), behind_the_input(node, shape)):
        _equals_reference(node, network, picture, steps)
    _currents_add_up(node, shape, picture, steps)


def _currents_add_up(node: Projection, shape: Shape, picture: Array, steps: int) -> None:
    """The readout is the sum of what `current` says of what the neurons emitted."""
    if not product_targets.has_current(node):
        return
    one = np.eye(shape[0], dtype=np.float32)[:, :, None, None]
    nodes = [Input("input", shape[0]), Conv2d("same", "input", one), Neurons("neurons", "same")]
    alone = dataclasses.replace(node, name="checked", source="neurons", delay=0)
    found = simulate(Network([*nodes, alone, Output("output", "checked")]), picture, steps, record=RECORDS)
    emitted = np.ascontiguousarray(found.spikes["neurons"].transpose(0, 2, 3, 1))
    total = np.add.accumulate(whole_current(alone, emitted).astype(np.float32), axis=0).transpose(0, 3, 1, 2)
    message = f"{describe(node)}: the engine's readout is not the sum of what current() returns"
    np.testing.assert_array_equal(found.readout, total, message)


def behind_neurons(node: Projection, shape: Shape) -> Network:
    """A network in which the node reads neurons that emit something like the picture, and neurons read it."""
    one = np.eye(shape[0], dtype=np.float32)[:, :, None, None]
    nodes = [Input("input", shape[0]), Conv2d("same", "input", one), Neurons("neurons", "same")]
    return _read_out(nodes, _rounded(node, "neurons"), shape)


def behind_the_input(node: Projection, shape: Shape) -> Network:
    """A network in which the node reads the input."""
    return _read_out([Input("input", shape[0])], dataclasses.replace(_rounded(node, "input"), delay=0), shape)


def _rounded(node: Projection, source: str) -> Projection:
    made = dataclasses.replace(node, name="checked", source=source)
    if not isinstance(made, Weighted):
        return made
    weight, bias = (np.round(array * 16) / 16 for array in (made.weight, made.bias))
    return dataclasses.replace(made, weight=weight, bias=bias)


def _read_out(nodes: list[Any], node: Projection, shape: Shape) -> Network:
    channels = node.output_shape(shape)[0]
    weight = (np.arange(2 * channels).reshape(2, channels, 1, 1) % 5 / 4 - 0.5).astype(np.float32)
    after = [node, Neurons("behind", node.name), Conv2d("readout", "behind", weight), Output("output", "readout")]
    return Network([*nodes, *after])


def _equals_reference(node: Projection, network: Network, picture: Array, steps: int) -> None:
    name, runs = describe(node), {}
    ways: dict[str, dict[str, Any]] = {
        "layer by layer": {"order": "layer", "threads": 1},
        "step by step": {"order": "time", "threads": 1},
        "on three threads": {"order": "layer", "threads": 3},
    }
    if not network.delays:  # which go step by step
        ways["row by row"] = {"order": "layer", "threads": 1, "tile": 1}
        ways["two rows at a time"] = {"order": "layer", "threads": 2, "tile": 2}
    for way, options in ways.items():
        try:
            runs[way] = simulate(network, picture, steps, record=RECORDS, **options)
        except SpikeunetError as error:
            raise AssertionError(f"{name}: run {way}, the engine refuses it: {error}") from error
    first, *others = runs
    for way in others:
        _compare(runs[way], runs[first], f"{name}: run {way}, the engine does something else than {first}")
    try:
        expected = reference.simulate(network, picture, steps)
    except AssertionError:  # Its numbers are not round.
        return
    _compare(runs[first], expected, f"{name}: the engine differs from the reference")


def _compare(found: Any, expected: Any, message: str) -> None:
    try:
        assert_same(found, expected)
    except AssertionError as error:
        raise AssertionError(f"{message}: {error}") from error
