"""Threads that take part in one layer after the other."""

from __future__ import annotations

import threading

import pytest

from spikeunet.engine.simulation.crew import Crew
from spikeunet.engine.simulation.layer_run import bands_of


@pytest.mark.parametrize("awake", [True, False])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_all_jobs_are_done_at_the_same_time(awake, number):
    meeting, seen = threading.Barrier(number), []

    def job():
        meeting.wait(timeout=60)
        seen.append(threading.get_ident())

    with Crew(awake) as crew:
        for _ in range(3):
            crew.run([job] * number)
    assert len(seen) == 3 * number
    assert len(set(seen)) == number
    assert seen.count(threading.get_ident()) == 3


def test_helpers_end():
    before = threading.active_count()
    with Crew(awake=True) as crew:
        crew.run([lambda: None] * 3)
        assert threading.active_count() == before + 2
    assert threading.active_count() == before


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_error_is_raised_when_all_are_done(position):
    done = []

    def fail():
        raise KeyError("lost")

    jobs = [lambda: done.append(1)] * 3
    jobs[position] = fail
    with Crew(awake=False) as crew:
        with pytest.raises(KeyError, match="lost"):
            crew.run(jobs)
        assert len(done) == 2
        crew.run([lambda: done.append(1)] * 3)
    assert len(done) == 5


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(("most", "least"), [(1, 1), (9, 4), (1000, 4), (1000, 1000)])
@pytest.mark.parametrize("height", [1, 16, 37, 256])
def test_bands_are_all_rows(height, most, least, threads):
    bands = bands_of(height, most, least, threads)
    assert [row for first, end in bands for row in range(first, end)] == list(range(height))
    sizes = [end - first for first, end in bands]
    assert max(sizes) <= most
    assert sorted(sizes, reverse=True) == sizes
    assert min(sizes[:-1], default=least) >= min(least, most)


def test_the_last_bands_are_small():
    """So no thread has to wait long for another."""
    sizes = [end - first for first, end in bands_of(256, 256, 8, 2)]
    assert sizes[0] == 64
    assert sizes[-1] <= 8
