"""Networks with several inputs, alone, joined and added; what needs one says so."""

import numpy as np
import pytest

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Input,
    InputError,
    Network,
    Neurons,
    Output,
    Upsample,
    denoise,
    forward,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same


@pytest.fixture(scope="module")
def network():
    generator = np.random.default_rng(0)

    def weight(*shape):
        return (generator.integers(-8, 9, shape) / 16).astype(np.float32)

    return Network(
        [
            Input("picture", 2),
            Input("level", 1),
            Conv2d("conv1", "picture", weight(3, 2, 3, 3), weight(3), padding=1),
            Neurons("first", "conv1"),
            Concat("both", ("level", "first", "picture")),  # spikes between two inputs
            Conv2d("conv2", "both", weight(3, 6, 3, 3), weight(3), padding=1),
            Conv2d("conv3", "level", weight(3, 1, 1, 1)),
            Add("sum", ("conv2", "conv3")),
            Neurons("second", "sum"),
            Concat("inputs", ("level", "picture")),
            AvgPool2d("pool", "inputs", 2),
            Neurons("third", "pool"),
            Upsample("up", "third"),
            Neurons("fourth", "up"),
            Concat("joined", ("second", "fourth", "inputs")),
            Upsample("larger", "joined"),
            Neurons("fifth", "larger"),
            Conv2d("last", "fifth", weight(1, 9, 1, 1)),
            Output("output", "last"),
        ]
    )


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(1)
    return {
        "level": (generator.integers(0, 17, (1, 8, 6)) / 16).astype(np.float32),
        "picture": (generator.integers(0, 17, (2, 8, 6)) / 16).astype(np.float32),
    }


def side_by_side(network, pictures):
    return np.concatenate([pictures[node.name] for node in network.inputs])


@pytest.mark.parametrize("options", [{}, {"order": "time"}, {"tile": 2}, {"threads": 1}], ids=str)
def test_several_inputs_are_those_of_the_reference(options, network, pictures):
    found = simulate(network, pictures, 3, record=RECORDS, **options)
    assert_same(found, reference.simulate(network, side_by_side(network, pictures), 3))


def test_batches_and_the_artificial_network(network, pictures):
    batch = {name: np.stack([array, array / 2]) for name, array in pictures.items()}
    found = simulate(network, batch, 2)
    np.testing.assert_array_equal(found.output[0], simulate(network, pictures, 2).output)
    outputs, _ = forward(network, batch)
    np.testing.assert_array_equal(outputs[0], forward(network, pictures)[0])
    changed = {**pictures, "level": pictures["level"] + 1}
    assert np.abs(forward(network, changed)[0] - outputs[0]).max() > 0


def test_files_keep_them(network, pictures, tmp_path):
    save_model(network, tmp_path / "model.npz")
    found = simulate(load_model(tmp_path / "model.npz"), pictures, 2)
    np.testing.assert_array_equal(found.output, simulate(network, pictures, 2).output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.concatenate(list(x.values())), "2 inputs; pass a dict with an array for each: "),
        (lambda x: {"level": x["level"]}, "must name the network's inputs, .* \\(got level\\)"),
        (lambda x: {**x, "more": x["level"]}, "must name the network's inputs"),
        (lambda x: {**x, "level": x["picture"]}, r"x\['level'\] must have the shape \(1, H, W\)"),
        (lambda x: {**x, "level": x["level"][:, :4]}, "all inputs must be of one size"),
        (lambda x: {**x, "level": x["level"][None]}, r"x\['picture'\] must have|x\['level'\] must have"),
        (lambda x: {**x, "level": np.full((1, 8, 6), np.nan, np.float32)}, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(change, message, network, pictures):
    with pytest.raises(InputError, match=message):
        simulate(network, change(pictures), 1)


def test_who_needs_one_says_so(network, pictures):
    with pytest.raises(InputError, match="one input is needed here; this one has 2: "):
        _ = network.input
    with pytest.raises(InputError):
        denoise(pictures["picture"][0], network, steps=1)
