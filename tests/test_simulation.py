"""`simulate` against the dense reference, bit for bit, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernels_used import goes_beside_events

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.testing import reference, strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more

ORDERS = st.sampled_from(("layer", "time"))
THREADS = st.sampled_from((1, 2, 3))


def check(case, order="layer", threads=1):
    """Assert that the engine does to the case what the reference does, also without layers in integers."""
    expected = reference.simulate(case.network, case.picture, case.steps)
    found = simulate(case.network, case.picture, case.steps, order=order, threads=threads, record=RECORDS)
    assert_same(found, expected)
    if goes_beside_events(found):
        options = {"order": order, "threads": threads, "record": RECORDS, "kernels": "events"}
        assert_same(simulate(case.network, case.picture, case.steps, **options), expected)


# --- Against the reference -------------------------------------------------------------------------------------------


@given(strategies.cases(), ORDERS, THREADS)
def test_random_networks(case, order, threads):
    check(case, order, threads)


@pytest.mark.parametrize("kind", strategies.SYNAPSES)
@given(data=st.data())
def test_each_kind_of_synapse(kind, data):
    """Networks of one kind of synapse only: a failure points at it."""
    check(data.draw(strategies.cases(kinds=(kind,), most_layers=2)))


@pytest.mark.parametrize("models", ["multi_threshold", "integrate_and_fire", "leaky_integrate_and_fire"])
@given(data=st.data())
def test_each_neuron_model(models, data):
    check(data.draw(strategies.cases(models=getattr(strategies, models)(), kinds=("conv2d",), most_layers=2)))


def _values(seed=0, dyadic=True):
    return strategies.Numbers(np.random.default_rng(seed), dyadic, density=1.0)


def unet(channels=4, model=None):
    """A U-Net of depth one, with pool, skip, transposed convolution and readout."""
    values, model = _values(), model or MultiThreshold()
    doubled = 2 * channels
    return Network(
        [
            Input("input"),
            Conv2d("conv1", "input", values.weight(channels, 1, 3, 3), values.bias(channels), padding=1),
            Neurons("relu1", "conv1", model),
            AvgPool2d("average_pool1", "relu1"),
            Neurons("pooling1", "average_pool1", model),
            Conv2d("conv2", "pooling1", values.weight(doubled, channels, 3, 3), values.bias(doubled), padding=1),
            Neurons("relu2", "conv2", model),
            ConvTranspose2d("up", "relu2", values.weight(doubled, channels, 2, 2), values.bias(channels), stride=2),
            Neurons("relu3", "up", model),
            Concat("concat", ("relu1", "relu3", "input")),
            Conv2d("conv3", "concat", values.weight(1, doubled + 1, 1, 1), values.bias(1)),
            Output("output", "conv3"),
        ]
    )


@pytest.mark.parametrize("size", [(2, 2), (2, 130), (130, 2), (34, 54)])
@pytest.mark.parametrize("threads", [1, 2])
def test_picture_sizes(size, threads):
    check(strategies.Case(unet(), _values().draw((1, *size), 0, 1), 3), threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("order", ["layer", "time"])
def test_large_picture(threads, order):
    """Too large for a cache, so that an engine has reason to cut it into bands of rows."""
    check(strategies.Case(unet(channels=24), _values().draw((1, 96, 70), 0, 1), 5), order, threads)


@pytest.mark.parametrize("out_channels", [1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 127, 128, 129, 200])
def test_channel_counts(out_channels):
    """Blocks of output channels, full and not, in layers that read a picture, events and end in a readout."""
    values = _values(out_channels)
    nodes = [
        Input("input", 2),
        Conv2d("first", "input", values.weight(out_channels, 2, 3, 2), values.bias(out_channels), padding=1),
        Neurons("neurons", "first", MultiThreshold()),
        Conv2d("second", "neurons", values.weight(out_channels, out_channels, 2, 3), values.bias(out_channels)),
        Neurons("more", "second", IntegrateAndFire()),
        Conv2d("readout", "more", values.weight(out_channels, out_channels, 1, 1)),
        Output("output", "readout"),
    ]
    check(strategies.Case(Network(nodes), values.draw((2, 3, 4), 0, 1), 3))


@pytest.mark.parametrize("steps", range(1, 21))
@pytest.mark.parametrize("order", ["layer", "time"])
def test_numbers_of_steps(steps, order):
    check(strategies.Case(unet(), _values().draw((1, 4, 6), 0, 1), steps), order)


@pytest.mark.all_step_groups
@pytest.mark.parametrize("steps", [3, pytest.param(15, marks=pytest.mark.slow)])
def test_groups_of_all_sizes(steps):
    values = _values()
    nodes = [
        Input("input"),
        Conv2d("conv", "input", values.weight(3, 1, 3, 3), values.bias(3), padding=1),
        Neurons("neurons", "conv", MultiThreshold()),
        Conv2d("readout", "neurons", values.weight(1, 3, 1, 1)),
        Output("output", "readout"),
    ]
    check(strategies.Case(Network(nodes), values.draw((1, 4, 6), 0, 1), steps))


@pytest.mark.slow
def test_groups_of_all_sizes_of_a_unet():
    for steps in range(1, 16):
        check(strategies.Case(unet(), _values().draw((1, 4, 6), 0, 1), steps))


@pytest.mark.parametrize("bias", [-8.0, 8.0])
def test_all_neurons_silent_and_all_firing(bias):
    values = _values()
    nodes = [
        Input("input"),
        Conv2d("conv", "input", values.weight(20, 1, 3, 3), np.full(20, bias), padding=1),
        Neurons("neurons", "conv", MultiThreshold()),
        ConvTranspose2d("up", "neurons", values.weight(20, 3, 4, 4), stride=2, padding=1),
        Output("output", "up"),
    ]
    case = strategies.Case(Network(nodes), values.draw((1, 7, 9), 0, 1), 9)
    check(case)
    events = simulate(case.network, case.picture, case.steps).events["neurons"]
    assert (events == (0 if bias < 0 else 20 * 7 * 9)).all()


def test_kernel_larger_than_the_picture():
    values = _values()
    nodes = [
        Input("input"),
        Conv2d("conv", "input", values.weight(3, 1, 5, 5), values.bias(3), padding=2),
        Neurons("neurons", "conv"),
        Conv2d("again", "neurons", values.weight(3, 3, 5, 5), values.bias(3), padding=(4, 2), dilation=(2, 1)),
        Neurons("more", "again"),
        Output("output", "again"),
    ]
    check(strategies.Case(Network(nodes), values.draw((1, 1, 1), 0, 1), 4))


def test_pool_of_nine_is_the_rounded_mean():
    """A window of nine is not dyadic; the sum is exact and the division rounds once, as in PyTorch."""
    nodes = [Input("input"), AvgPool2d("pool", "input", 3), Output("output", "pool")]
    picture = _values().draw((1, 6, 9), 0, 1)
    expected = picture.reshape(1, 2, 3, 3, 3).sum((2, 4)) / np.float32(9)
    np.testing.assert_array_max_ulp(simulate(Network(nodes), picture, steps=1).output, expected, maxulp=1)


# --- Arguments and results -------------------------------------------------------------------------------------------


def test_an_unknown_layer_is_named_beside_the_known_ones():
    network = unet()
    result = simulate(network, _values().draw((1, 4, 4), 0, 1), steps=1, record=("spikes",))
    names = ", ".join(result.spikes)
    with pytest.raises(
        InputError, match=rf"no spikes of 'x': there are those of the Neurons nodes, which are {names}$"
    ):
        result.spikes["x"]
    for kind in ("events", "neurons", "accumulates", "macs", "dense_macs"):
        with pytest.raises(KeyError, match=f"no {kind} of 'x': there are those of the"):
            getattr(result, kind)["x"]
    assert result.spikes.get("x") is None


def test_records_only_what_is_asked_for():
    picture = _values().draw((1, 4, 4), 0, 1)
    result = simulate(unet(), picture, steps=3)
    for kind in RECORDS:
        with pytest.raises(InputError, match=f"{kind} was not recorded"):
            getattr(result, kind)
        recorded = simulate(unet(), picture, steps=3, record=(kind,))
        assert getattr(recorded, kind) is not None
        np.testing.assert_array_equal(recorded.output, result.output)
        others = set(RECORDS) - {kind}
        for other in others:
            with pytest.raises(InputError, match=f"{other} was not recorded"):
                getattr(recorded, other)


def test_layer_names_of_counts():
    result = simulate(unet(), _values().draw((1, 4, 4), 0, 1), steps=2)
    assert list(result.events) == list(result.neurons) == ["relu1", "pooling1", "relu2", "relu3"]
    assert set(result.accumulates) == {"average_pool1", "conv2", "up", "conv3"}
    assert set(result.macs) == {"conv1", "conv3"}
    assert set(result.dense_macs) == {"conv1", "conv2", "up", "conv3"}
    assert result.steps == 2
    assert result.seconds > 0


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floating_point_pictures(dtype):
    picture = _values().draw((1, 4, 6), 0, 1)
    expected = simulate(unet(), picture, steps=3, record=RECORDS)
    assert_same(simulate(unet(), picture.astype(dtype), steps=3, record=RECORDS), expected)


def test_strided_and_read_only_pictures():
    picture = _values().draw((1, 4, 6), 0, 1)
    strided = np.asfortranarray(np.repeat(picture, 2, axis=2))[:, :, ::2]
    strided.setflags(write=False)
    assert_same(simulate(unet(), strided, 3, record=RECORDS), simulate(unet(), picture, 3, record=RECORDS))


@pytest.mark.parametrize("order", ["layer", "time"])
def test_picture_is_left_alone(order):
    picture = _values().draw((1, 4, 6), 0, 1)
    before = picture.copy()
    simulate(unet(), picture, 3, order=order, record=RECORDS)
    np.testing.assert_array_equal(picture, before)


GOOD = np.zeros((1, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (GOOD[0], r"shape.*\(4, 4\)"),
        (GOOD[None, None], r"shape.*\(1, 1, 1, 4, 4\)"),
        (np.float32(1), r"shape.*\(\)"),
        (np.zeros((1, 0, 4), np.float32), r"shape.*\(1, 0, 4\)"),
        (np.zeros((0, 1, 4, 4), np.float32), r"shape.*\(0, 1, 4, 4\)"),
        (GOOD.astype(np.uint8), "floating-point.*uint8.*divide"),
        (GOOD.astype(np.int64), "floating-point.*int64"),
        (GOOD.astype(bool), "floating-point.*bool"),
        (GOOD.astype(complex), "real numbers.*complex128"),
        (GOOD.astype(object), "real numbers.*object"),
        (GOOD.astype(str), "real numbers.*<U"),
        (GOOD + np.nan, "NaN or infinite"),
        (GOOD - np.inf, "NaN or infinite"),
        (GOOD.astype(np.float64) + 1e300, "NaN or infinite"),
        (np.zeros((1, 5, 4), np.float32), "1x5x4.*multiples of 2"),
        (np.zeros((1, 4, 7), np.float32), "1x4x7.*multiples of 2"),
        (np.zeros((3, 4, 4), np.float32), r"3x4x4.*1 channel\(s\)"),
        (np.zeros((2, 3, 4, 4), np.float32), r"3x4x4.*1 channel\(s\)"),
    ],
)
def test_pictures_that_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        simulate(unet(), x, steps=2)


def test_nan_in_one_pixel_of_a_batch_is_refused():
    batch = np.zeros((2, 1, 4, 4), np.float32)
    batch[1, 0, 2, 3] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        simulate(unet(), batch, steps=2)


@pytest.mark.parametrize("steps", [0, -1, 1.5, 2.0, True, "3", np.float64(2)])
def test_steps_that_are_refused(steps):
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 .*got"):
        simulate(unet(), GOOD, steps=steps)


@pytest.mark.parametrize("threads", [0, -2, 1.5, True, "all"])
def test_threads_that_are_refused(threads):
    with pytest.raises(InputError, match=r"threads must be a whole number from 1 .*got"):
        simulate(unet(), GOOD, steps=1, threads=threads)


@pytest.mark.parametrize("order", ["diagonal", "", None, ["layer"]])
def test_orders_that_are_refused(order):
    with pytest.raises(InputError, match="order must be one of layer, time"):
        simulate(unet(), GOOD, steps=1, order=order)


@pytest.mark.parametrize("record", [("spike",), ("spikes", "voltage"), "everything", (1,)])
def test_records_that_are_refused(record):
    with pytest.raises(InputError, match="record can name spikes, membrane, spike_count, readout"):
        simulate(unet(), GOOD, steps=1, record=record)


def test_a_single_record_may_be_a_string():
    assert set(simulate(unet(), GOOD, steps=1, record="spikes").spikes) == {"relu1", "pooling1", "relu2", "relu3"}


def test_simulations_side_by_side():
    """Threads of the caller may simulate at the same time, with one network or several."""
    picture, network = _values().draw((1, 24, 24), 0, 1), unet()
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(simulate, network, picture, 5, threads=1 + k % 2, record=RECORDS) for k in range(8)]
    expected = reference.simulate(network, picture, 5)
    for run in runs:
        assert_same(run.result(), expected)


@pytest.mark.parametrize("steps", [np.int64(3), np.uint8(3)])
def test_numpy_integers_are_steps(steps):
    assert simulate(unet(), GOOD, steps=steps).steps == 3


def test_linear_network_without_neurons_is_the_ann():
    values = _values()
    weight, bias = values.weight(5, 6), values.bias(5)
    network = Network([Input("input"), Linear("linear", "input", weight, bias), Output("output", "linear")])
    picture = values.draw((1, 2, 3), 0, 1)
    result = simulate(network, picture, steps=4)
    np.testing.assert_array_equal(result.output[:, 0, 0], weight @ picture.ravel() + bias)
    assert (result.events, result.accumulates, result.macs) == ({}, {}, {"linear": 30})
