"""Functions at the end of ONNX files, and activations that become neurons."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters import read_onnx, relative_error
from spikeunet.engine.errors import InputError, StateDictError

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

from onnx_graphs import model, network_of, normal, saved

SHAPE = (2, 3, 6, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


def refusal(path, made):
    saved(path, made)
    with pytest.raises(StateDictError) as caught:
        read_onnx(path)
    message = str(caught.value).removeprefix(f"{path}: ")
    assert "\n" not in message
    return message


# --- At the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("sizes", "axis"),
    [
        ((0, 3, 2, 3, 4), 2),
        ((0, 3, 2, 3, 4), 3),
        ((0, 3, 2, 3, 4), -1),
        ((0, 3, 4, 6), 3),
        ((0, 3, -1), 2),
        ((0, -1), 1),
    ],
)
def test_a_softmax_along_an_axis_of_another_shape(path, kind, sizes, axis):
    """The check computes it along that axis, whatever the network's output is shaped like."""
    made = model(
        [("Conv", "xw", "c", {}), ("Reshape", "cs", "r", {}), (kind, "r", "y", {"axis": axis})],
        {"w": normal(3, 3, 1, 1), "s": np.array(sizes)},
        SHAPE,
    )
    imported = network_of(path, made, normal(*SHAPE))
    assert imported.facts["endings"] == [kind]


def test_a_softmax_of_another_shape_for_pictures_of_another_size(path):
    nodes = [("Conv", "xw", "c", {}), ("Reshape", "cs", "r", {}), ("Softmax", "r", "y", {})]
    constants = {"w": normal(3, 3, 1, 1), "s": np.array([0, 3, 2, 3, 4])}
    imported = read_onnx(saved(path, model(nodes, constants, SHAPE)))
    with pytest.raises(InputError, match="Softmax at the end reads 3x2x3x4 for each picture, but .* 3x8x4"):
        relative_error(imported.network, (normal(2, 3, 8, 4), normal(2, 3, 8, 4)), imported.endings)
    constants["s"] = np.array([0, 3, 2, -1, 4])
    assert "export it with a fixed size" in refusal(path, model(nodes, constants, (1, 3, "height", 4)))


def test_channels_that_are_moved_behind_a_function_at_the_end(path):
    """The function would be forgotten."""
    sizes = {"s": np.array([0, 1, 2, 2, 4, 4]), "t": np.array([0, 1, 8, 8])}
    nodes = [
        ("Sigmoid", "x", "c", {}),
        ("Reshape", "cs", "p", {}),
        ("Transpose", "p", "q", {"perm": [0, 1, 4, 2, 5, 3]}),
        ("Reshape", "qt", "y", {}),
    ]
    assert "moves what a Sigmoid puts out" in refusal(path, model(nodes, sizes, (1, 4, 4, 4)))
    moved = [("Reshape", "xs", "p", {}), *nodes[2:3], ("Reshape", "qt", "c", {}), ("Sigmoid", "c", "y", {})]
    network_of(path, model(moved, sizes, (1, 4, 4, 4)), normal(1, 4, 4, 4))
