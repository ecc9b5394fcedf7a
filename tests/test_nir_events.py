"""Events in the fields of NIR's data_ir, to and from streams of the engine, without the package `nir`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from spikeunet.converters import events_from_nir, events_to_nir
from spikeunet.engine import bin_events
from spikeunet.engine.encoders.plain_events import Events
from spikeunet.engine.errors import InputError
from spikeunet.engine.events import queue_of_steps

SHAPE = (2, 3, 4)
RANDOM = np.random.default_rng(0)


@dataclass
class EventData:
    """What the repository of NIR has, and what it makes of its events."""

    idx: np.ndarray
    time: np.ndarray
    n_neurons: int
    t_max: float

    def gridded(self, dt):
        steps = int(self.t_max / dt)
        grid = np.zeros((len(self.idx), steps, self.n_neurons))
        values = getattr(self, "value", np.ones(self.idx.shape))
        for row, (neurons, times) in enumerate(zip(self.idx, self.time, strict=True)):
            there = neurons != -1
            places = np.floor(times[there] / dt).astype(int)
            grid[row, places, neurons[there]] = values[row][there]
        return grid


@dataclass
class ValuedEventData(EventData):
    value: np.ndarray


@dataclass
class TimeGriddedData:
    data: np.ndarray
    dt: float


def dense(stream):
    return np.stack([stream.levels_at(step) for step in range(stream.steps)])


def assert_same(first, second):
    assert (first.shape, first.steps, first.encoder) == (second.shape, second.steps, second.encoder)
    np.testing.assert_array_equal(dense(first), dense(second))


@pytest.mark.parametrize("dt", [1, 0.1, 1e-3, 1 / 3, 7e-4])
def test_spikes_there_and_back(dt):
    levels = (RANDOM.random((8, *SHAPE)) < 0.3).astype(np.uint8)
    fields = events_to_nir([queue_of_steps(levels)], dt)
    data = EventData(**fields)
    # As NIR itself puts them into steps: neurons are numbered in C's order.
    np.testing.assert_array_equal(data.gridded(dt)[0], levels.reshape(8, -1))
    stream = events_from_nir(data, SHAPE, dt)
    np.testing.assert_array_equal(dense(stream), levels)
    assert stream.encoder == Events()
    assert_same(events_from_nir(fields, SHAPE, dt), stream)
    assert_same(events_from_nir(TimeGriddedData(levels.reshape(1, 8, -1) > 0, dt), SHAPE), stream)


@pytest.mark.parametrize("polarity", ["channels", "signed"])
def test_recordings_with_counts_there_and_back(polarity):
    events = np.zeros(200, [("x", "i4"), ("y", "i4"), ("t", "i8"), ("p", "i1")])
    for name, most in (("x", 4), ("y", 3), ("t", 5000), ("p", 2)):
        events[name] = RANDOM.integers(most, size=200)
    events["t"].sort()
    shape = (2, 3, 4) if polarity == "channels" else (1, 3, 4)
    stream = bin_events(events, shape, time_step=1000, start=0, steps=5, polarity=polarity, most=100)
    fields = events_to_nir(stream, 1e-3)
    data = ValuedEventData(**fields)
    back = events_from_nir(data, shape, 1e-3)
    assert_same(events_from_nir(TimeGriddedData(data.gridded(1e-3), 1e-3), shape), back)
    again = events_to_nir(back, 1e-3)
    for name, value in fields.items():
        np.testing.assert_array_equal(again[name], value)
    if polarity == "signed":
        assert fields["value"].min() < 0


def test_a_sample_of_several_with_places_that_are_free():
    data = {
        "idx": np.array([[5, -1, -1], [0, 23, 0]]),
        "time": np.array([[0.2, np.inf, np.inf], [0.3, 0.0, 0.3]]),
        "n_neurons": 24,
        "t_max": 0.4,
    }
    first, second = (dense(events_from_nir(data, SHAPE, 0.1, sample)) for sample in (0, 1))
    assert np.argwhere(first).tolist() == [[2, 0, 1, 1]]
    # 0.3 / 0.1 is a little less than 3; two spikes of one neuron in one step are a count of 2.
    assert [(*place, second[tuple(place)]) for place in np.argwhere(second)] == [(0, 1, 2, 3, 1), (3, 0, 0, 0, 2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"idx": None}, "there is no idx"),
        ({"n_neurons": 7}, "the data are of 7 neurons, but 2x3x4 are 24"),
        ({"idx": np.array([[24]])}, "idx must lie from 0 to 23"),
        ({"idx": np.array([[0.5]])}, "idx (whole numbers), time and value must be (samples, events) (got float64"),
        ({"time": np.array([[np.inf]])}, "times of events must lie from 0 to t_max 0.4"),
        ({"time": np.array([[-1.0]])}, "times of events must lie from 0 to t_max 0.4"),
        ({"time": np.array([[0.4]])}, "times of events must lie from 0 to t_max 0.4"),
        ({"time": np.array([0.1])}, "must be (samples, events)"),
        ({"value": np.array([[0.5]])}, "values of events must be whole numbers"),
        ({"value": np.array([[np.nan]])}, "values of events must be whole numbers"),
        ({"value": np.array([[256.0]])}, "an event stands for up to 255 spikes, 127 with a sign (got 256)"),
        ({"t_max": np.nan}, "t_max must be a positive number (got nan)"),
        ({"t_max": 1e9}, "at most 100000 are taken"),
    ],
)
def test_what_is_no_event_is_refused(changes, message):
    data = {"idx": np.array([[3]]), "time": np.array([[0.1]]), "n_neurons": 24, "t_max": 0.4, **changes}
    with pytest.raises(InputError) as caught:
        events_from_nir(data, SHAPE, 0.1)
    assert message in str(caught.value)


def test_what_is_asked_for_wrongly():
    data = {"idx": np.array([[3]]), "time": np.array([[0.1]]), "n_neurons": 24, "t_max": 0.4}
    for options, message in (((None,), "say the length of a step"), ((0,), "dt must be"), ((0.1, 1), "1 samples")):
        with pytest.raises(InputError, match=message):
            events_from_nir(data, SHAPE, *options)
    with pytest.raises(InputError, match=r"have steps of 0.1 \(got dt=0.2\)"):
        events_from_nir(TimeGriddedData(np.zeros((1, 2, 24)), 0.1), SHAPE, 0.2)
    with pytest.raises(InputError, match="data must be numbers"):
        events_from_nir(TimeGriddedData(np.zeros((2, 24)), 0.1), SHAPE)
    with pytest.raises(InputError, match="dt must be a positive number"):
        events_to_nir([queue_of_steps(np.zeros((1, *SHAPE), np.uint8))], -1)
