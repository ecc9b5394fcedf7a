"""What threads of one program share: idle memory, what is known of networks, limits of BLAS, loaded models."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from stress_threads import POOLS, limited, stress
from test_bound_program import unet
from threadpoolctl import threadpool_info

from spikeunet.engine import (
    clear_caches,
    denoise,
    forward,
    lazy,
    load_model,
    read_picture,
    save_model,
    segment,
    simulate,
    write_picture,
)
from spikeunet.engine import memory as memory_module
from spikeunet.engine.binding import build_program
from spikeunet.engine.lazy import KnownOf, lazy_property
from spikeunet.engine.memory import IdleMemory, Shelf
from spikeunet.engine.quiet import without_warnings
from spikeunet.engine.threads import limited_blas, workers


@contextmanager
def impatient(*modules):
    """Threads that are started meanwhile leave their processor to others in the middle of these modules' functions."""
    files, generator = {module.__file__ for module in modules}, random.Random(0)

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and generator.random() < 0.3:
            time.sleep(1e-6)
        return trace

    threading.settrace(trace)
    try:
        yield
    finally:
        threading.settrace(None)


def in_threads(number, work):
    """Run `work` in several threads at once; raises what one of them raises."""
    errors, begin = [], threading.Barrier(number)

    def run(index):
        begin.wait(timeout=60)
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    others = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    if errors:
        raise errors[0]


class Thing:
    """Something that one thread at a time may have."""

    def __init__(self):
        self.taken = True


@pytest.mark.parametrize("most_bytes", [0, 3, 1000])
def test_idle_things_are_taken_once(most_bytes):
    memory = IdleMemory(most_bytes)
    shelves = [Shelf(memory) for _ in range(3)]

    def work(seed):
        generator = random.Random(seed)
        for number in range(60):
            shelf = generator.choice(shelves)
            thing = shelf.take() or Thing()
            assert thing.taken or not hasattr(thing, "lost")
            thing.taken = True
            if number % 20 == 19:
                memory.clear()
            thing.taken = False
            shelf.put(thing, 1)

    with impatient(memory_module):
        in_threads(6, work)
    kept = [id(thing) for shelf in shelves for thing in shelf]
    assert len(set(kept)) == len(kept) == memory.nbytes <= most_bytes


def test_the_oldest_idle_things_are_given_up_whosever_they_are():
    memory = IdleMemory(10)
    first, second = Shelf(memory), Shelf(memory)
    first.put("a", 4)
    second.put("b", 4)
    first.put("c", 4)
    assert (list(first), list(second)) == (["c"], ["b"])
    assert first.take(lambda thing: thing == "b") is None
    del second
    gc.collect()
    assert memory.nbytes == 4
    first.put("large", 11)
    assert list(first) == []


def test_the_latest_that_fits_is_taken():
    shelf = Shelf(IdleMemory(100))
    for name in "abc":
        shelf.put(name, 1)
    assert shelf.take(lambda name: name < "c") == "b"
    assert shelf.take() == "c"


def test_what_is_known_of_an_object_is_the_same_for_all_threads():
    known, owner, found = KnownOf(), Thing(), []

    def work(_):
        found.extend([(key, id(known.get(owner, key, object))) for key in range(50)])

    with impatient(lazy):
        in_threads(6, work)
    assert len(set(found)) == 50


def test_what_was_asked_for_last_is_known():
    known, owner, asked = KnownOf(2), Thing(), []
    for key in (1, 2, 1, 3, 1, 2):
        known.get(owner, key, lambda key=key: asked.append(key))
    assert asked == [1, 2, 3, 2]


def test_properties_are_the_same_for_all_threads_and_worked_out_without_a_lock():
    waiting = threading.Barrier(2)

    class Owner:
        @lazy_property
        def found(self):
            """Found by two threads at once, or this waits for ever."""
            waiting.wait(timeout=60)
            return object()

    owner, seen = Owner(), []
    in_threads(2, lambda _: seen.append(owner.found))
    assert seen[0] is seen[1] is owner.found
    assert Owner.found.__doc__.startswith("Found")


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_limits_of_blas_are_put_back_whoever_ends_last():
    with limited_blas(64):  # loads the libraries
        pass
    before = blas_threads()
    first, second = limited_blas(1), limited_blas(2)
    first.__enter__()
    second.__enter__()
    assert set(blas_threads()) == {1}
    first.__exit__(None, None, None)
    assert blas_threads() == [min(2, threads) for threads in before]
    second.__exit__(None, None, None)
    assert blas_threads() == before


@pytest.mark.parametrize("limit", [0, 100_000])
def test_many_threads_of_a_program(limit):
    """See stress_threads.py, which goes on for as long as one likes."""
    with limited(limit):
        runs, errors = stress(threads=6, seconds=60, most=150)
    if errors:
        raise errors[0]
    assert runs >= 100


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_clearing_gives_everything_up():
    network, pixels = unet(), np.ones((2, 8, 8), np.float32)
    first = simulate(network, pixels, 1, threads=2)
    program = build_program(network, pixels.shape)
    assert build_program(network, pixels.shape).layers is program.layers
    clear_caches()
    assert not any(pool.nbytes for pool in POOLS)
    assert not workers._pool.parked
    assert build_program(network, pixels.shape).layers is not program.layers
    np.testing.assert_array_equal(simulate(network, pixels, 1, threads=2).output, first.output)


@pytest.mark.slow
def test_nothing_lives_in_cycles(tmp_path):
    """What a call leaves behind is gone at once: nobody has to wait for Python to look for cycles."""
    save_model(unet(), tmp_path / "model.npz")
    pixels = np.ones((2, 8, 8), np.float32)
    gray = np.zeros((16, 16), np.uint8)
    calls = [
        lambda: simulate(unet(), pixels, 1, threads=2),
        lambda: simulate(unet(), pixels, 2, threads=1, order="time"),
        lambda: simulate(unet(), pixels, 1, threads=2, tile=4),
        lambda: simulate(unet(), pixels, 1, threads=2, record=("spikes", "membrane", "readout", "spike_count")),
        lambda: forward(unet(), pixels),
        lambda: load_model(tmp_path / "model.npz"),
        lambda: denoise(gray, steps=1),
        lambda: denoise(gray, load_model("denoise-gray-fast"), steps=1),
        lambda: segment(gray, steps=1),
    ]
    for call in calls:
        call()
    gc.collect()
    gc.disable()
    try:
        for number, call in enumerate(calls):
            call()
            assert ours_in_cycles() == [], number
    finally:
        gc.enable()


def ours_in_cycles():
    """What Python finds in cycles: objects of the package, and arrays. Libraries leave a few small things there."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        names = [f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    return [name for name in names if name.startswith(("spikeunet.", "numpy."))]


def test_cycles_would_be_seen():
    gc.collect()
    gc.disable()
    try:
        network = unet()
        simulate(network, np.ones((2, 8, 8), np.float32), 1, threads=1)
        cycle = [network]
        cycle.append(cycle)
        del network, cycle
        assert "spikeunet.engine.graph.network.Network" in ours_in_cycles()
    finally:
        gc.enable()


def test_warnings_are_ignored_until_nobody_wants_that():
    before = list(warnings.filters)
    first, second = without_warnings(), without_warnings()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("ignored", UserWarning, stacklevel=1)
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning, match="seen"):
        warnings.warn("seen", UserWarning, stacklevel=1)


def test_reading_leaves_no_handlers_behind(tmp_path):
    write_picture(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    for _ in range(3):
        read_picture(tmp_path / "a.tif")
    assert len([each for each in logging.getLogger("tifffile").handlers if type(each) is logging.NullHandler]) == 1
