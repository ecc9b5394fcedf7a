"""Memory of large arrays: apart from the C library's, used again, shared by threads, given up, read-only."""

from __future__ import annotations

import ast
import gc
import os

import numpy as np
import pytest
from test_shared_state import impatient, in_threads

from spikeunet.engine import Conv2d, clear_caches
from spikeunet.engine import memory as memory_module
from spikeunet.engine.memory import BLOCKS, CACHE_LINE, LARGE, IdleMemory, Shelf, aligned_bytes, empty, read_only_copy
from spikeunet.engine.simulation.bands import bound_program


@pytest.fixture(autouse=True)
def nothing_idle():
    BLOCKS.clear()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("size", [1, LARGE - 1, LARGE, 5 * LARGE + 3, (1 << 24) + 1])
def test_arrays_begin_at_a_cache_line(size):
    array = aligned_bytes(size)
    assert array.shape == (size,)
    assert array.dtype == np.uint8
    assert address(array) % CACHE_LINE == 0
    array[:] = 255
    assert (array == 255).all()


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (5, LARGE)])
def test_empty_arrays_are_like_those_of_numpy(shape):
    array = empty(shape, np.float32)
    assert (array.shape, array.dtype) == (shape, np.float32)
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_memory_of_an_array_is_used_again_when_nobody_has_it_any_more():
    first = aligned_bytes(LARGE)
    begin, view = address(first), first[5:].view(np.int8)
    del first
    assert BLOCKS.nbytes == 0
    assert address(other := aligned_bytes(LARGE)) != begin
    del view
    assert BLOCKS.nbytes == LARGE
    assert address(aligned_bytes(2 * LARGE)) != begin
    assert address(aligned_bytes(LARGE - 10)) not in (begin, address(other))  # not large: the C library's
    assert address(aligned_bytes(LARGE)) == begin


def test_a_little_smaller_arrays_fit_the_same_memory():
    begin = address(aligned_bytes(8 * LARGE))
    assert address(aligned_bytes(7 * LARGE + 1)) == begin
    assert address(aligned_bytes(7 * LARGE)) != begin


def test_idle_memory_of_arrays_is_limited():
    arrays = [aligned_bytes(1 << 21) for _ in range(2 * BLOCKS.most_bytes >> 21)]
    del arrays
    assert 0 < BLOCKS.nbytes <= BLOCKS.most_bytes
    before = BLOCKS.nbytes
    aligned_bytes(BLOCKS.most_bytes)
    assert BLOCKS.nbytes == before


def test_clearing_gives_up_the_memory_of_what_others_give_up():
    shelf = Shelf(bound_program.IDLE)
    shelf.put(aligned_bytes(LARGE), LARGE)
    clear_caches()
    assert len(shelf) == 0
    assert BLOCKS.nbytes == 0


def test_no_two_arrays_share_memory():
    def work(index):
        for number in range(30):
            array = aligned_bytes(LARGE)
            array[::4096] = index
            if number % 10 == 9:
                BLOCKS.clear()
            assert (array[::4096] == index).all()

    with impatient(memory_module):
        in_threads(6, work)


def test_too_large_an_array_is_a_memory_error():
    with pytest.raises(MemoryError):
        aligned_bytes(1 << 60)


def test_the_garbage_collector_may_find_arrays_at_any_time(monkeypatch):
    """It runs wherever an object is made, also while idle memory is looked through for what to give up."""

    class Garbage:
        def __init__(self):
            self.own, self.array = self, aligned_bytes(LARGE)

    monkeypatch.setattr(BLOCKS, "most_bytes", 2 * LARGE)
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Garbage()
            [aligned_bytes(LARGE) for _ in range(3)].clear()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert BLOCKS.nbytes <= BLOCKS.most_bytes


def test_idle_memory_may_be_given_up_while_it_is_looked_through():
    memory = IdleMemory(0)
    shelf = Shelf(memory)

    class Interrupted:
        """As the garbage collector, or a signal's handler, would come between; not before the third look."""

        age, looks = 0, 0

        @property
        def nbytes(self):
            Interrupted.looks += 1
            if Interrupted.looks == 3:
                memory.clear()
            return 1

    shelf.content = [Interrupted(), Interrupted()]
    memory.clear()
    assert Interrupted.looks > 3
    assert len(shelf) == 0


@pytest.mark.parametrize("size", [10, LARGE])
def test_read_only_copies_stay_read_only(size):
    original = np.arange(size, dtype=np.float32)[::-1]
    copy = read_only_copy(original)
    np.testing.assert_array_equal(copy, original)
    assert copy.flags.c_contiguous
    assert not np.shares_memory(copy, original)
    for array in (copy, copy.view(), copy[1:], copy.reshape(1, -1)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)


def test_weights_of_a_layer_are_its_own():
    weight = np.zeros((64, 64, 3, 3), np.float32)
    node = Conv2d("conv", "input", weight)
    weight[:] = 1
    assert not node.weight.any()
    assert node.weight.nbytes >= LARGE
    with pytest.raises(ValueError, match="WRITEABLE"):
        node.weight.setflags(write=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_memory_of_its_own():
    array = aligned_bytes(LARGE)
    array[:] = 1
    child = os.fork()
    if child == 0:
        array[:] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert (array == 1).all()


# --- What is worked out once -----------------------------------------------------------------------------------------


def test_what_was_worked_out_is_given_up():
    calls = []

    @memory_module.worked_out_once(2)
    def double(number):
        calls.append(number)
        return 2 * number

    assert [double(number) for number in (1, 1, 2, 3, 3, 1)] == [2, 2, 4, 6, 6, 2]
    assert calls == [1, 2, 3, 1]
    clear_caches()
    assert double(1) == 2
    assert calls == [1, 2, 3, 1, 1]


def kept_for_good(text):
    """Functions of a module, of some argument, whose results nothing gives up."""
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        decorators = {ast.unparse(each).partition("(")[0].rpartition(".")[2] for each in function.decorator_list}
        if decorators & {"cache", "lru_cache"} and (function.args.args or function.args.kwonlyargs):
            yield function.name


def test_nothing_is_kept_for_good_but_compiled_functions(repository):
    assert [*kept_for_good("@functools.lru_cache(maxsize=2)\ndef f(a): pass\n@cache\ndef g(): pass")] == ["f"]
    apart = {"kernels", "kernel_cache"}
    paths = [path for path in (repository / "engine").rglob("*.py") if path.parent.name not in apart]
    texts = {path.name: path.read_text("utf-8") for path in paths}
    found = {name: [*kept_for_good(text)] for name, text in texts.items() if "functools" in text and "cache" in text}
    # Those of a model of neurons, by its registration.
    compiled = {"stepper.py": ["_kernel"], "stepped.py": ["_kernels"]}
    assert {name: kept for name, kept in found.items() if kept} == compiled
