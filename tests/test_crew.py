"""Threads that take part in one layer after the other."""

from __future__ import annotations

import itertools
import os
import threading

import pytest

from spikeunet.engine.simulation import crew as crew_module
from spikeunet.engine.simulation.band_rows import bands_of
from spikeunet.engine.simulation.crew import Crew


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


@pytest.fixture
def no_parked(monkeypatch):
    """No helpers from before."""
    monkeypatch.setattr(crew_module, "_parked", [])


def test_helpers_end_where_threads_share_processors(no_parked):
    before = threading.active_count()
    with Crew(awake=False) as crew:
        crew.run([lambda: None] * 3)
        assert threading.active_count() == before + 2
    assert threading.active_count() == before


def test_helpers_are_kept(no_parked, monkeypatch):
    before = threading.active_count()
    for _ in range(3):
        with Crew(awake=True) as crew:
            crew.run([lambda: None] * 3)
        assert threading.active_count() == before + 2
    monkeypatch.setattr(crew_module, "_MOST_PARKED", 0)
    with Crew(awake=True) as crew:
        crew.run([lambda: None])
    assert threading.active_count() == before


def test_helpers_end_after_an_error(no_parked):
    before = threading.active_count()
    with pytest.raises(KeyError), Crew(awake=True) as crew:
        crew.run([lambda: None, lambda: {}["lost"]])
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_helpers_of_its_own(no_parked):
    with Crew(awake=True) as crew:
        crew.run([lambda: None] * 2)
    assert crew_module._parked
    child = os.fork()
    if child == 0:
        with Crew(awake=True) as crew:
            crew.run([lambda: None] * 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_others_are_told_that_the_calling_thread_gave_up(no_parked):
    told = threading.Event()

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Crew(awake=True) as crew:
        crew.run([lambda: told.wait(60), fail], give_up=told.set)
    assert told.is_set()


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
    assert [row for first, end in bands.rows for row in range(first, end)] == list(range(height))
    assert (bands.shares[0], bands.shares[-1], len(bands.shares)) == (0, len(bands.rows), threads + 1)
    for begin, end in itertools.pairwise(bands.shares):
        sizes = [last - first for first, last in bands.rows[begin:end]]
        assert max(sizes, default=0) <= most
        assert sorted(sizes, reverse=True) == sizes
        assert min(sizes[:-1], default=least) >= min(least, most)
        assert height // threads <= sum(sizes) <= height // threads + 1


def test_the_last_bands_are_small():
    """So no thread has to wait long for another."""
    bands = bands_of(256, 256, 8, 2)
    sizes = [end - first for first, end in bands.rows]
    assert bands.shares == (0, 5, 10)
    assert sizes == [64, 32, 16, 8, 8] * 2
