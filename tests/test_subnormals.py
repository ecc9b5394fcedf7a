"""Numbers below 2**-126 count as zero, everywhere alike, and the calling thread's mode stays what it was."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from own_neurons import Plain

from spikeunet.engine import (
    AvgPool2d,
    Conv2d,
    Input,
    InputError,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    NeuronError,
    Neurons,
    Output,
    RefractoryLeakyIntegrateAndFire,
    forward,
    register_neuron,
    simulate,
)
from spikeunet.engine.kernels import float_mode
from spikeunet.engine.kernels.float_mode import flushing, gradual
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

SMALLEST = np.float32(2.0**-126)
ONE = np.ones((1, 1, 1, 1), np.float32)


def keeps_subnormals():
    """Whether NumPy computes with subnormal numbers in this thread."""
    return bool((np.full(64, SMALLEST) * np.float32(0.5)).all())


def layers(model, size, channels=19):
    """Neurons that each read one synapse, so that nothing but a bias is added to a product.

    Currents are about `size`, multiples of size / 256: differences between them are smaller than they are.
    """
    random = np.random.default_rng(3)

    def signed():
        """Numbers of either sign from 1 to 2."""
        return (random.integers(16, 33, channels) / 16 * random.choice((-1, 1, 1), channels)).astype(np.float32)

    def weight():
        return signed().reshape(channels, 1, 1, 1)

    def bias():
        return signed() * np.float32(size / 16)

    nodes = [
        Input("input"),
        Conv2d("conv1", "input", weight() * np.float32(size), bias()),
        Neurons("first", "conv1", model),
        AvgPool2d("pool", "first", 2),
        Neurons("pooled", "pool", model),
        Conv2d("conv2", "pooled", weight(), bias(), groups=channels),
        Neurons("second", "conv2", model),
        Conv2d("readout", "second", weight() / 16, bias(), groups=channels),
        Output("output", "readout"),
    ]
    picture = random.integers(1, 17, (1, 12, 10)).astype(np.float32) / 16
    return Network(nodes), picture


def test_the_mode_is_put_back():
    """Whatever happens in the function, and in whichever way one lies in the other."""

    def fail():
        raise InputError("on purpose")

    assert keeps_subnormals()
    assert not flushing(keeps_subnormals)()
    assert flushing(gradual(keeps_subnormals))()
    assert not gradual(flushing(keeps_subnormals))()
    with pytest.raises(InputError, match="on purpose"):
        flushing(fail)()
    assert keeps_subnormals()


@pytest.mark.parametrize("order", ["layer", "time"])
def test_runs_leave_the_mode_alone(order):
    """In the calling thread, and where a step fails in the middle of a run."""

    @register_neuron("tests/late-level", compile_now=False)
    @dataclass(frozen=True)
    class LateLevel(Plain):
        @staticmethod
        def step(current, v, threshold):
            return (9 if current > 90 * threshold else 0), v

    simulate(*layers(IntegrateAndFire(), 1.0), 11, order, threads=2)
    assert keeps_subnormals()
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", LateLevel())]
    network = Network([*nodes, Conv2d("readout", "neurons", ONE), Output("output", "readout")])
    with pytest.raises(NeuronError, match="level 9"):
        simulate(network, np.full((1, 2, 2), 99, np.float32), 3, order)
    assert keeps_subnormals()


def test_only_the_thread_that_asks_counts_them_as_zero():
    ask, seen = threading.Event(), []

    def look():
        ask.wait(60)
        seen.append(keeps_subnormals())

    def work():
        ask.set()
        other.join()

    # A thread that is started within would begin with the mode of the one that starts it.
    other = threading.Thread(target=look)
    other.start()
    flushing(work)()
    assert seen == [True]


MODELS = [
    IntegrateAndFire,
    lambda size: IntegrateAndFire(size, "zero", size / 16, strict=True),
    lambda size: LeakyIntegrateAndFire(2 * size, 0.5, initial=size),
    lambda size: MultiThreshold((2 * size, size, size / 2)),
    Plain,
    lambda size: RefractoryLeakyIntegrateAndFire(size, 0.5, 1, "subtract", size / 2),
]


@pytest.mark.parametrize("model", MODELS)
def test_leaks_and_readouts_end_at_zero(model):
    """Currents and thresholds of about 2**-122: sums, leaks and resets reach what is subnormal, in both orders."""
    size = 2.0**-122
    network, picture = layers(model(size), size)
    expected = reference.simulate(network, picture, 11)
    assert all(events.sum() > 0 for events in expected.events.values())
    for order, threads in itertools.product(("layer", "time"), (1, 2)):
        assert_same(simulate(network, picture, 11, order, threads, RECORDS), expected)
    assert_same(simulate(network, picture, 11, tile=3, record=RECORDS), expected)


@pytest.mark.parametrize("kind", [LeakyIntegrateAndFire, RefractoryLeakyIntegrateAndFire])
def test_a_potential_leaks_to_zero(kind):
    """Halved at each step, it is 2**-126 after 126 of them, and nothing after that."""
    model = kind(9.0, 0.5, initial=1.0)
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", model), Output("output", "conv")]
    for steps, expected in ((125, 2.0**-125), (126, SMALLEST), (127, 0), (200, 0)):
        found = simulate(Network(nodes), np.zeros((1, 1, 1), np.float32), steps, record=["membrane"])
        assert found.membrane["neurons"].item() == expected


@pytest.mark.parametrize("order", ["layer", "time"])
def test_products_below_the_smallest_number_are_zero(order):
    """2**-70 * 2**-60 adds nothing, however often; 2**-60 * 2**-60 does."""
    for weight, total in ((2.0**-70, 0.0), (2.0**-60, 9 * 2.0**-120)):
        emitted = MultiThreshold((2.0**-60,))
        nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", emitted)]
        readout = Conv2d("readout", "neurons", np.full((1, 1, 3, 3), weight, np.float32))
        found = simulate(
            Network([*nodes, readout, Output("output", "readout")]), np.ones((1, 3, 3), np.float32), 4, order
        )
        assert found.output.item() == total


def test_subnormal_weights_and_pictures_are_zeros():
    """In the description already: they are no weights that an event meets, in no count and in no file."""
    tiny = np.float32([1e-40, -1e-45, 2.0**-126, 1.0]).reshape(1, 4, 1, 1)
    node = Conv2d("conv", "input", tiny, np.float32([1e-39]))
    assert node.weight.ravel().tolist() == [0, 0, SMALLEST, 1]
    assert node.bias.tolist() == [0]
    network = Network([Input("input", 4), node, Output("output", "conv")])
    picture = np.full((4, 1, 1), 1e-40, np.float32)
    assert simulate(network, picture, 2).operations.synapses["conv"].macs_effective == 0
    assert forward(network, picture)[0].item() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntegrateAndFire(1e-40), r"threshold: must be positive \(got 1e-40; float32 numbers below 1.18e-38"),
        (lambda: LeakyIntegrateAndFire(1e-45), "threshold: must be positive"),
        (lambda: MultiThreshold((1.0, 1e-39)), r"must be positive and strictly descending .* holds as \(1.0, 0.0\)"),
        (lambda: Neurons("neurons", "conv", Plain(1e-39)), "level 0 must emit 0 and no other level may"),
    ],
)
def test_thresholds_that_count_as_zero_are_refused(make, message):
    with pytest.raises(NeuronError, match=message):
        make()


def test_subnormal_initial_potentials_are_zero():
    for model in (IntegrateAndFire(initial=1e-40), Plain(initial=1e-40)):
        nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", model)]
        network = Network([*nodes, Output("output", "conv")])
        found = simulate(network, np.zeros((1, 1, 1), np.float32), 1, record=["membrane"])
        assert found.membrane["neurons"].item() == 0


@pytest.mark.parametrize(
    ("machine", "triple", "instructions"),
    [
        ("_ARM", "aarch64-unknown-linux-gnu", ("mrs", "fpcr", "msr")),
        ("_X86", "x86_64-unknown-linux-gnu", ("stmxcsr", "ldmxcsr")),
    ],
)
def test_each_processor_gets_its_own_instructions(machine, triple, instructions, monkeypatch):
    """Compiled for the processor, run or not: the mode is read, and written."""
    for name in ("_ARM", "_X86"):
        monkeypatch.setattr(float_mode, name, name == machine)
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.IntType(64), []), "both")
    builder = ir.IRBuilder(function.append_basic_block())
    mode = float_mode.emit_read(builder)
    float_mode.emit_write(builder, builder.or_(mode, mode.type(1 << 24)))
    builder.ret(mode)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip("this LLVM compiles for its own processor alone")
    code = target.create_target_machine().emit_assembly(llvm.parse_assembly(str(module))).lower()
    assert all(instruction in code for instruction in instructions)
