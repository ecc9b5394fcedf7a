"""Networks with several outputs: all of them are simulated, recorded, tiled and counted; what needs one says so."""

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, InputError, Network, Neurons, Output, denoise, forward, simulate
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same


@pytest.fixture(scope="module")
def network():
    generator = np.random.default_rng(0)

    def weight(*shape):
        return (generator.integers(-8, 9, shape) / 16).astype(np.float32)

    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(3, 2, 3, 3), weight(3), padding=1),
            Neurons("first", "conv1"),
            Conv2d("conv2", "first", weight(3, 3, 3, 3), weight(3), padding=1, stride=2),
            Neurons("second", "conv2"),
            Conv2d("fine", "first", weight(1, 3, 3, 3), padding=1),
            Conv2d("coarse", "second", weight(2, 3, 1, 1)),
            Output("small", "coarse"),
            Output("large", "fine"),
            Output("current", "conv2"),  # which feeds neurons, too
        ]
    )


@pytest.fixture(scope="module")
def picture():
    return (np.random.default_rng(1).integers(0, 17, (2, 8, 6)) / 16).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"order": "time"}, {"tile": 2}, {"threads": 1}], ids=str)
def test_all_outputs_are_those_of_the_reference(options, network, picture):
    found = simulate(network, picture, 3, record=RECORDS, **options)
    assert_same(found, reference.simulate(network, picture, 3))
    assert set(found.outputs) == {"small", "large", "current"}


def test_in_one_call(network, picture):
    """Without recordings, all layers run in one call."""
    found, expected = simulate(network, picture, 1), reference.simulate(network, picture, 1)
    for name, output in expected.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], output)


def test_batches(network, picture):
    found = simulate(network, np.stack([picture, picture / 2]), 2, record=("readout",))
    assert found.outputs["small"].shape == (2, 2, 4, 3)
    assert found.readouts["large"].shape == (2, 2, 1, 8, 6)
    np.testing.assert_array_equal(found.outputs["large"][0], simulate(network, picture, 2).outputs["large"])


def test_the_artificial_network_has_them_too(network, picture):
    outputs, _ = forward(network, picture)
    assert {name: output.shape for name, output in outputs.items()} == {
        "small": (2, 4, 3), "large": (1, 8, 6), "current": (3, 4, 3)
    }  # fmt: skip


def test_who_needs_one_says_so(network, picture):
    result = simulate(network, picture, 1, record=("readout",))
    with pytest.raises(InputError, match=r"3 outputs; ask for one of them, as in outputs\['"):
        _ = result.output
    with pytest.raises(InputError, match=r"3 outputs; ask for one of them, as in readouts\['"):
        _ = result.readout
    with pytest.raises(InputError, match="one output is needed here; this one has 3: "):
        _ = network.output
    with pytest.raises(InputError):
        denoise(picture[0], network, steps=1)
