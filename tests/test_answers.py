"""A layer of one's own that answers wrongly is refused in one line: kernels trust the sizes of what they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from spikeunet.engine import (
    FanOut,
    GraphError,
    Input,
    Network,
    Neurons,
    Output,
    Scale,
    Weighted,
    ZeroFanOut,
    even_fan_out,
    simulate,
)


@dataclass(frozen=True, eq=False)
class Gain(Weighted):
    """Like Scale, with answers that can be exchanged."""

    weight: np.ndarray
    bias: np.ndarray = None

    def __post_init__(self):
        super().__post_init__()
        self.check_arrays(1)

    in_channels = property(lambda self: len(self.weight))

    def output_shape(self, shape):
        return shape

    def input_rows(self, first, last, incoming):
        return first, last

    def fan_out(self, incoming):
        return even_fan_out(*incoming[1:], 1)

    def nonzero_weights(self):
        return np.asarray(self.weight != 0, np.int64)

    def current(self, values, rows, state=None):
        return values * self.weight + self.bias


def run(**answers):
    kind = dataclass(frozen=True, eq=False)(type("Wrong", (Gain,), answers))
    nodes = [Input("input", 2), Scale("scale", "input", np.ones(2)), Neurons("relu", "scale")]
    nodes += [
        kind("wrong", "relu", np.array([1.0, 0.0])),
        Neurons("next", "wrong"),
        Scale("readout", "next", np.ones(2)),
    ]
    return simulate(Network([*nodes, Output("output", "readout")]), np.ones((2, 6, 4)), steps=2)


@pytest.mark.parametrize("rows", [(-3, 99), (0, 7), (5, 2), None, (0.0, 6.0), (0, 6, 6)], ids=str)
def test_rows_that_are_not_there(rows):
    with pytest.raises(GraphError, match=r"Wrong 'wrong': input_rows\(\) must return two rows from 0 to 6"):
        run(input_rows=lambda *_: rows)


@pytest.mark.parametrize("shape", [(2, 0, 4), (2, 4), None, (2.0, 6, 4), (-2, 6, 4)], ids=str)
def test_shapes_that_are_none(shape):
    with pytest.raises(GraphError, match=r"^Wrong 'wrong': output_shape\(\) must return channels, height and width"):
        run(output_shape=lambda *_: shape)


@pytest.mark.parametrize("gain", [5, (1, 2), ("a", 0, 1), (1.0, -2.0, 3), (np.nan, 0.0, 1)], ids=str)
def test_gains_that_are_no_sizes(gain):
    with pytest.raises(GraphError, match=r"Wrong 'wrong': gain\(\) must return None or three numbers from 0 on"):
        run(gain=lambda *_: gain)


@pytest.mark.parametrize("number", [-1, 1.5, None, "one"], ids=str)
def test_states_of_no_size(number):
    with pytest.raises(GraphError, match=r"Wrong 'wrong': state_values must be a whole number from 0 on"):
        run(state_values=number)


FAN_OUTS = (
    None,
    even_fan_out(3, 3, 1),
    even_fan_out(4, 6, 1),
    even_fan_out(6, 4, 1.5),
    FanOut(np.ones(6), np.ones(4), 1),
    FanOut(-np.ones(6, np.int64), np.ones(4, np.int64), 1),
)


@pytest.mark.parametrize("found", FAN_OUTS, ids=range(len(FAN_OUTS)))
def test_fan_outs_of_another_size(found):
    with pytest.raises(GraphError, match=r"Wrong 'wrong': fan_out\(\) must return a FanOut of 6 rows and 4 columns"):
        run(fan_out=lambda *_: found)


ROWS, COLUMNS = np.zeros(6, np.int64), np.zeros(4, np.int64)
ZEROS = (
    3,
    ZeroFanOut(ROWS[:3], COLUMNS, np.zeros((1, 1, 2), np.int64)),
    ZeroFanOut(ROWS + 1, COLUMNS, np.zeros((1, 1, 2), np.int64)),
    ZeroFanOut(ROWS, COLUMNS, np.zeros((1, 1, 1), np.int64)),
    ZeroFanOut(ROWS - 1, COLUMNS, np.zeros((1, 1, 2), np.int64)),
)


@pytest.mark.parametrize("found", ZEROS, ids=range(len(ZEROS)))
def test_weights_of_zero_that_are_not_there(found):
    with pytest.raises(GraphError, match=r"Wrong 'wrong': zero_fan_out\(\) must return a ZeroFanOut of 6 rows, 4"):
        run(zero_fan_out=lambda *_: found)


def test_counts_of_other_types_count():
    def fan_out(self, incoming):
        return FanOut(np.ones(6, np.int32), [1] * 4, np.int16(1))

    def zero_fan_out(self, incoming, nonzero):
        return ZeroFanOut(ROWS.astype(np.uint8), COLUMNS.astype(np.int32), (1 - nonzero[None, None]).astype(np.int16))

    counts = run(fan_out=fan_out, zero_fan_out=zero_fan_out).operations.synapses["wrong"]
    assert counts.synops.tolist() == [48, 48]
    assert counts.synops_effective.tolist() == [24, 24]
