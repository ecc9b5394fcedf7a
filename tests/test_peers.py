"""What benchmarks/peers.py measures beside the engine computes what the engine does; its check finds differences."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the peers of the benchmark run on PyTorch")

from _peer_check import compare, exact_twin
from _peer_dense import Optimised, Straightforward, ladder_of

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    forward,
)

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more

MODELS = {
    "binary ladder": MultiThreshold((1.0, 0.5, 0.25, 0.125), initial=0.0625),
    "binary ladder, not strict": MultiThreshold((1.0, 0.5, 0.25), strict=False),
    "thresholds of any ratio": MultiThreshold((2.0, 0.75, 0.375), initial=0.125),
    "not strict, any ratio": MultiThreshold((2.0, 0.75), strict=False),
    "integrate and fire": IntegrateAndFire(0.5),
    "strict": IntegrateAndFire(0.75, strict=True, initial=0.25),
}


def unet(model, gain=1.0):
    """A small U-Net with weights that are no dyadic numbers, a skip that also carries the picture, and a readout."""
    random = np.random.default_rng(0)

    def weight(*shape):
        return (gain * random.normal(0.1, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return Network(
        [
            Input("input"),
            Conv2d("conv1", "input", weight(6, 1, 3, 3), random.normal(0, 0.2, 6), padding=1),
            Neurons("relu1", "conv1", model),
            AvgPool2d("pool1", "relu1"),
            Neurons("pooling1", "pool1", model),
            Conv2d("conv2", "pooling1", weight(8, 6, 3, 3), random.normal(0, 0.2, 8), padding=1),
            Neurons("relu2", "conv2", model),
            ConvTranspose2d("up", "relu2", weight(8, 5, 3, 3), None, stride=2, padding=1, output_padding=1),
            Neurons("relu3", "up", model),
            Concat("concat", ("relu1", "relu3", "input")),
            Conv2d("conv3", "concat", weight(4, 12, 3, 3), padding=1),
            Neurons("relu4", "conv3", model),
            Conv2d("conv4", "relu4", weight(1, 4, 1, 1)),
            Output("output", "conv4"),
        ]
    )


def picture(seed=0):
    return np.random.default_rng(seed).random((1, 12, 16), np.float32)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("make", [Straightforward, lambda net: Optimised(net, 1), lambda net: Optimised(net, 3)])
def test_dense_simulations_fire_the_same_spikes(name, steps, make):
    twin, rounded, _ = exact_twin(unet(MODELS[name]), picture(), steps)
    found, gap = compare(twin, rounded, steps, make(twin).run)
    assert (found.different, gap) == (0, 0)
    assert 0 < found.fired < found.compared


def test_a_wrong_simulation_is_found():
    """One with another initial potential differs."""
    twin, rounded, _ = exact_twin(unet(MODELS["binary ladder"]), picture(), 3)
    other = twin.with_neurons(MultiThreshold((1.0, 0.5, 0.25, 0.125)))
    found, _ = compare(twin, rounded, 3, Optimised(other, 1).run)
    assert found.share > 0.01


def test_a_layer_that_is_left_out_is_found():
    network = unet(MODELS["binary ladder"])
    with pytest.raises(SystemExit, match=r"compared 0 of \d+ neurons"):
        compare(network, picture(), 1, lambda *_: np.zeros((1, 12, 16), np.float32))


def test_twin_is_as_fine_as_exact_sums_allow():
    """Larger weights leave fewer digits; a wide enough range leaves none."""
    model = MODELS["binary ladder"]
    digits = [exact_twin(unet(model, gain), picture(), 4)[2] for gain in (1.0, 20.0)]
    assert digits[0] > digits[1]
    with pytest.raises(SystemExit, match="no rounding of the weights makes all sums of 4 steps exact"):
        exact_twin(unet(model, gain=1e5), picture(), 4)


@pytest.mark.parametrize("steps", [1, 4])
def test_sums_of_a_twin_do_not_depend_on_their_order(steps):
    """Channels in another order, and so all sums in another order, give the same readout."""
    twin, rounded, _ = exact_twin(unet(MODELS["binary ladder"]), picture(), steps)
    order = np.random.default_rng(1).permutation(6)
    conv1, conv2, conv3 = (twin[name] for name in ("conv1", "conv2", "conv3"))
    turned = {
        "conv1": replace(conv1, weight=conv1.weight[order], bias=conv1.bias[order]),
        "conv2": replace(conv2, weight=conv2.weight[:, order]),
        "conv3": replace(conv3, weight=conv3.weight[:, [*order, *range(6, 12)]]),
    }
    other = Network([turned.get(node.name, node) for node in twin.nodes])
    outputs = [Straightforward(net).run(rounded, steps) for net in (twin, other)]
    np.testing.assert_array_equal(*outputs)


def test_neurons_that_the_simulations_do_not_know():
    with pytest.raises(SystemExit, match="LeakyIntegrateAndFire"):
        ladder_of(Neurons("relu", "conv", LeakyIntegrateAndFire()))
    with pytest.raises(SystemExit, match="reset='zero'"):
        ladder_of(Neurons("relu", "conv", IntegrateAndFire(reset="zero")))


@pytest.mark.parametrize(
    ("package", "name", "strict"), [("spikingjelly", "SpikingJelly", False), ("snntorch", "SnnTorch", True)]
)
def test_other_simulators_fire_the_same_spikes(package, name, strict):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package)
        import _peer_frameworks

        network = unet(IntegrateAndFire(strict=strict), gain=2.0)
        twin, rounded, _ = exact_twin(network, picture(), 4)
        found, gap = compare(twin, rounded, 4, getattr(_peer_frameworks, name)(twin).run)
    assert (found.different, gap) == (0, 0)
    assert found.fired > 0


def test_artificial_network_in_pytorch():
    from _peer_ann import TorchAnn

    network = unet(MODELS["binary ladder"])
    expected, _ = forward(network, picture())
    np.testing.assert_allclose(TorchAnn(network).run(picture()), expected, atol=1e-5)


def test_artificial_network_in_onnx_runtime():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from _peer_ann import OnnxAnn

    network = unet(MODELS["binary ladder"])
    expected, _ = forward(network, picture())
    np.testing.assert_allclose(OnnxAnn(network, 1).run(picture()), expected, atol=1e-5)
