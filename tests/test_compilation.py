"""Kernels are compiled without what nobody calls, and without collections of Python's meanwhile."""

import gc
import operator
import weakref

import numba
import numpy as np
import pytest
from numba.core import event

from spikeunet.engine.kernels import operators
from spikeunet.engine.kernels.bound_call import PhaseKernel
from spikeunet.engine.kernels.compilation import InnerKernel, Kernel, kernel


def _double(number):
    return 2 * number


doubled = kernel(InnerKernel, _double, _nrt=False)


def _write(number, places):
    places[number] = doubled(number)


def _read(places):
    return doubled(places[1])


def ways_in(function):
    """The kinds of functions that are there for a kernel besides itself."""
    (compiled,) = function.overloads.values()
    names = [each.name for each in compiled.library.get_defined_functions()]
    return {kind for kind in ("cpython", "cfunc") for name in names if kind in name}


def test_kernels_have_the_ways_in_that_are_taken():
    places = np.zeros(3, np.int64)
    write, read = kernel(PhaseKernel, _write, _nrt=False), kernel(Kernel, _read, _nrt=False)
    write(1, places)
    assert places.tolist() == [0, 2, 0]
    assert read(places) == 4
    assert (ways_in(doubled), ways_in(write), ways_in(read)) == (set(), set(), {"cpython"})


def test_a_phase_keeps_its_arguments_alive():
    """Addresses do not."""
    places = np.zeros(3, np.int64)
    known = weakref.ref(places)
    run = kernel(PhaseKernel, _write, _nrt=False).bound((places,))
    del places
    gc.collect()
    run(2)
    assert known().tolist() == [0, 0, 4]
    del run
    gc.collect()
    assert known() is None


def test_python_cannot_call_what_kernels_call():
    """Numba would jump to an address that it does not have."""
    with pytest.raises(TypeError, match="_double can be called by kernels only"):
        doubled(1)


class Listener(event.Listener):
    """Whether Python collects while something is compiled."""

    def __init__(self):
        self.collects = []

    def on_start(self, _event):
        self.collects.append(gc.isenabled())

    def on_end(self, _event):
        self.collects.append(gc.isenabled())


@pytest.mark.parametrize("collects", [True, False])
def test_python_collects_again_when_a_kernel_is_compiled(collects):
    fails = kernel(Kernel, lambda number: number.unknown)
    listener = Listener()
    with event.install_listener("numba:compile", listener):
        try:
            gc.enable() if collects else gc.disable()
            assert kernel(Kernel, lambda number: number + 1)(1) == 2
            with pytest.raises(numba.TypingError):
                fails(1)
            assert gc.isenabled() == collects
        finally:
            gc.enable()
    assert listener.collects == [False] * 4


def _power(number, places):
    places[0] = number * number
    places[1] = places[0] * number
    places[2] = max(places[0] * places[1], places[2] * number)


def test_operators_are_looked_up_once(monkeypatch):
    resolved = []

    def resolve(operation, context, operands, named):
        resolved.append((operation.typing_key, *operands))
        return own(operation, context, operands, named)

    own = operators._resolve
    monkeypatch.setattr(operators, "_found", {})
    monkeypatch.setattr(operators, "_resolve", resolve)
    for count in (1, 2):
        places = np.zeros(3, np.int64)
        kernel(PhaseKernel, _power, _nrt=False)(3, places)
        assert places.tolist() == [9, 27, 243]
        assert resolved.count((operator.mul, numba.int64, numba.int64)) == 1
        # What Numba compiles for each kernel's options is looked for in each.
        assert resolved.count((max, numba.int64, numba.int64)) >= count
    assert numba.types.Function.get_call_type is own


def test_what_does_not_compile_leaves_numba_as_it_was():
    own = numba.types.Function.get_call_type
    with pytest.raises(numba.TypingError, match="No implementation of function"):
        kernel(PhaseKernel, _write, _nrt=False).compile((numba.types.unicode_type, numba.int64[::1]))
    assert numba.types.Function.get_call_type is own
