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
    Add,
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
from spikeunet.engine.kernels.dot import host_dots

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # whichever test comes first compiles the kernels, a minute or more

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


def with_sums(network):
    """Its second layer of neurons has two synapses; its readout another one and, twice, what the picture gives it."""
    random, nodes = np.random.default_rng(1), list(network.nodes)
    place = [node.name for node in nodes].index("relu2")
    nodes[place] = replace(nodes[place], source="both")
    shortcut = Conv2d("shortcut", "pooling1", random.normal(0, 0.3, (8, 6, 1, 1)).astype(np.float32))
    nodes[place:place] = [shortcut, Add("both", ("shortcut", "conv2"))]
    past = Conv2d("past", "input", random.normal(0, 0.3, (1, 1, 3, 3)).astype(np.float32), padding=1)
    nodes[-1:] = [past, Add("sum", ("conv4", "past", "past")), Output("output", "sum")]
    return Network(nodes)


def picture(seed=0):
    return np.random.default_rng(seed).random((1, 12, 16), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_dense_simulations_fire_the_same_spikes(name):
    steps = 5
    twin, rounded, _ = exact_twin(unet(MODELS[name]), picture(), steps)
    for simulation in (Straightforward(twin), Optimised(twin, 1), Optimised(twin, 3)):
        found, gap = compare(twin, rounded, steps, simulation.run)
        assert (found.different, gap) == (0, 0)
        assert 0 < found.fired < found.compared


@pytest.mark.parametrize("steps", [1, 4])
def test_dense_simulations_of_sums(steps):
    twin, rounded, _ = exact_twin(with_sums(unet(MODELS["binary ladder"])), picture(), steps)
    for simulation in (Straightforward(twin), Optimised(twin, 2)):
        found, gap = compare(twin, rounded, steps, simulation.run)
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

    for network in (unet(MODELS["binary ladder"]), with_sums(unet(MODELS["binary ladder"]))):
        expected, _ = forward(network, picture())
        np.testing.assert_allclose(TorchAnn(network).run(picture()), expected, atol=1e-5)


def test_artificial_network_in_onnx_runtime():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from _peer_ann import OnnxAnn

    for network in (unet(MODELS["binary ladder"]), with_sums(unet(MODELS["binary ladder"]))):
        expected, _ = forward(network, picture())
        np.testing.assert_allclose(OnnxAnn(network, 1).run(picture()), expected, atol=1e-5)


@pytest.fixture
def onnx_packages():
    for package in ("onnx", "onnxruntime", "skimage"):
        pytest.importorskip(package)


@pytest.mark.parametrize(
    ("side", "stride", "padding", "output_padding"),
    [(3, 2, 1, 1), (2, 2, 0, 0), (4, 2, 1, 0), (5, 3, 1, 0), (1, 2, 0, 1)],
)
@pytest.mark.parametrize("rectified", [True, False])
def test_a_transposed_convolution_as_subpixels(onnx_packages, side, stride, padding, output_padding, rectified):
    """Rewritten, with and without a Relu that alone reads it, the network computes the same."""
    from _peer_ann import OnnxAnn, onnx_model
    from _peer_int8 import subpixel_model

    random = np.random.default_rng(3)
    weight, bias = random.normal(0, 1, (2, 3, side, side)).astype(np.float32), random.normal(0, 1, 3)
    geometry = {"stride": stride, "padding": padding, "output_padding": output_padding}
    up = ConvTranspose2d("up", "input", weight, bias, **geometry)
    last = Conv2d("last", "relu", np.eye(3, dtype=np.float32)[:, :, None, None])
    behind = [Neurons("relu", "up", MODELS["binary ladder"]), last] if rectified else []
    network = Network([Input("input", 2), up, *behind, Output("output", "last" if rectified else "up")])
    shown = random.random((2, 5, 7), np.float32)
    rewritten = subpixel_model(onnx_model(network))
    assert "ConvTranspose" not in {node.op_type for node in rewritten.graph.node}
    expected = OnnxAnn(network, 1).run(shown)
    assert expected.shape == (3, 5 * stride, 7 * stride)
    np.testing.assert_allclose(OnnxAnn(network, 1, rewritten).run(shown), expected, atol=1e-5)


def test_other_transposed_convolutions_stay(onnx_packages):
    """One whose output has not `stride` times the sides of its input."""
    from _peer_ann import onnx_model
    from _peer_int8 import subpixel_model

    weight = np.ones((1, 1, 3, 3), np.float32)
    network = Network([Input("input"), ConvTranspose2d("up", "input", weight, stride=2), Output("output", "up")])
    model = onnx_model(network)
    assert subpixel_model(model) == model


def test_artificial_network_in_8_bits(onnx_packages):
    """As near to the network in float as 8 bits come, and further off than rounding of float32 is."""
    from _peer_int8 import Int8Ann

    network = unet(MODELS["binary ladder"])
    expected, _ = forward(network, picture())
    gaps = Int8Ann(network, 1).run(picture()) - expected
    error = np.sqrt(np.mean(gaps**2)) / np.sqrt(np.mean(expected**2))
    # Without VNNI ONNX Runtime adds pairs of products in 16 bits, which overflow now and then.
    assert 1e-4 < error < (0.05 if "vnni" in host_dots() else 0.1)


@pytest.mark.parametrize(("precision", "least", "most"), [("f32", 0, 1e-5), ("bf16", 0, 0.05), ("int8", 1e-4, 0.05)])
def test_artificial_network_in_openvino(precision, least, most, onnx_packages):
    """As near to the network in float as its numbers come; bfloat16 falls back to float32 where there is none."""
    pytest.importorskip("openvino")
    from _peer_openvino import OpenVinoAnn

    network = unet(MODELS["binary ladder"])
    expected, _ = forward(network, picture())
    gaps = OpenVinoAnn(network, 1, precision).run(picture()) - expected
    assert least <= np.sqrt(np.mean(gaps**2)) / np.sqrt(np.mean(expected**2)) < most


def test_artificial_network_in_bfloat16():
    import torch
    from _peer_ann import TorchAnn

    network = unet(MODELS["binary ladder"])
    expected, _ = forward(network, picture())
    gaps = TorchAnn(network, torch.bfloat16).run(picture()) - expected
    assert 1e-4 < np.sqrt(np.mean(gaps**2)) / np.sqrt(np.mean(expected**2)) < 0.05


def test_every_convolution_runs_in_8_bits(onnx_packages, tmp_path):
    """ONNX Runtime fuses all of them, transposed ones too, into integer kernels with int8 weights for each channel."""
    import onnx
    import onnxruntime
    from _peer_int8 import int8_model

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # a warning that the written model suits this processor alone
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    model = int8_model(unet(MODELS["binary ladder"])).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QLinearConv") == 5
    assert not {"Conv", "FusedConv", "ConvTranspose", "Relu"} & set(kinds)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QLinearConv":
            weight, scale = weights[node.input[3]], weights[node.input[4]]
            assert weight.data_type == onnx.TensorProto.INT8
            assert list(scale.dims) == [weight.dims[0]]


def test_calibration_pictures_are_noisy_and_always_the_same():
    pytest.importorskip("skimage")
    pytest.importorskip("onnx")
    from _peer_int8 import calibration_pictures

    first, second = (np.stack(list(calibration_pictures(1))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (6, 1, 128, 128)
    assert first.dtype == np.float32
    assert np.abs(np.diff(first)).mean() > 0.08


def test_table_of_quality():
    pytest.importorskip("matplotlib")
    import peers

    rows = [
        {"simulator": "noisy", "steps": 0, "psnr": 20.0},
        {"simulator": "engine", "steps": 1, "psnr": 33.0},
        {"simulator": "engine", "steps": 4, "psnr": 33.5},
        {"simulator": "ann-onnxruntime-int8", "steps": 0, "psnr": 33.25},
    ]
    assert peers.quality_table(rows, [1, 4]) == [
        "| picture quality on this picture, sigma 25, PSNR in dB | T = 1 | T = 4 |",
        "|---|---|---|",
        "| the noisy picture | 20.00 | 20.00 |",
        "| this engine | 33.00 | 33.50 |",
        "| artificial network, ONNX Runtime, 8 bits | 33.25 | 33.25 |",
    ]


def test_ratio_of_the_artificial_network_in_8_bits():
    import peers

    rows = [
        {"simulator": "engine", "steps": 1, "seconds": 0.5},
        {"simulator": "engine", "steps": 4, "seconds": 1.0},
        {"simulator": "ann-onnxruntime-int8", "steps": 1, "seconds": 0.25},
        {"simulator": "ann-onnxruntime-int8", "steps": 4, "seconds": 0.25},
    ]
    assert peers.ratios(rows, [1, 4]) == [("ANN in ONNX Runtime, 8 bits / engine", {1: 0.5, 4: 0.25})]
