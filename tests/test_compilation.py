"""Kernels are compiled without what nobody calls, and without collections of Python's meanwhile."""

import gc
import operator
import weakref

import numba
import numpy as np
import pytest
from numba.core import event
from numba.core.codegen import CPUCodeLibrary

from spikeunet.engine.kernels import lifetimes, operators, optimization
from spikeunet.engine.kernels.bound_call import PhaseKernel
from spikeunet.engine.kernels.compilation import InnerKernel, Kernel, kernel, undisturbed


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


def _counted(places):
    for number in range(places.size):
        yield places.size - 1 - number


def _write_counted(_number, places):
    total = 0
    for number in _counted_kernel(places):
        total += number
        places[number] = total


_counted_kernel = kernel(InnerKernel, _counted)


def test_functions_without_counts_of_references_are_not_simplified_before_they_are_put_together(monkeypatch):
    simplified = []

    def simplify(library, module):
        simplified.append(library.name)
        own(library, module)

    own = optimization._simplify
    assert own is CPUCodeLibrary._optimize_functions
    monkeypatch.setattr(optimization, "_simplify", simplify)
    inner = kernel(InnerKernel, _double, _nrt=False)

    def read(places):
        return inner(places[1])

    places = np.arange(3)
    assert kernel(Kernel, read, _nrt=False)(places) == 2
    assert simplified == []
    inner = kernel(InnerKernel, _double, _nrt=False)
    assert kernel(Kernel, read)(places) == 2
    assert {name.rpartition(".")[2] for name in simplified} == {"read"}
    assert own is CPUCodeLibrary._optimize_functions


def test_lifetimes_are_worked_out_at_the_end_and_for_generators(monkeypatch):
    """Of which Numba would ask for them after every pass; a generator keeps what lives."""
    worked_out = []

    def work_out(processor, emit_dels, extend_lifetimes):
        worked_out.append((processor.func_ir.func_id.func_name, emit_dels))
        own(processor, emit_dels, extend_lifetimes)

    own = lifetimes._work_out
    monkeypatch.setattr(lifetimes, "_work_out", work_out)
    places = np.zeros(5, np.int64)
    kernel(PhaseKernel, _write_counted)(0, places)
    assert places.tolist() == [10, 10, 9, 7, 4]
    assert {emits for name, emits in worked_out if name == "_write_counted"} == {True}
    assert {emits for name, emits in worked_out if name == "_counted"} == {False, True}
    assert numba.core.postproc.PostProcessor.run is own


def test_what_does_not_compile_leaves_numba_as_it_was():
    own = numba.types.Function.get_call_type, numba.core.postproc.PostProcessor.run
    with pytest.raises(numba.TypingError, match="Unknown attribute 'unknown'"):
        kernel(InnerKernel, lambda number: number.unknown).compile((numba.int64,))
    assert (numba.types.Function.get_call_type, numba.core.postproc.PostProcessor.run) == own


def test_messages_have_no_colours():
    pytest.importorskip("colorama", reason="without colorama Numba has no colours")
    with undisturbed():
        assert str(numba.TypingError("wrong")) == "wrong"
    assert "\x1b" in str(numba.TypingError("wrong"))
