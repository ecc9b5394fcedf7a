"""Registered models: compiled, a step gives the bits of plain Python or is refused; and models rest where they say."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numba
import numpy as np
import pytest
from own_neurons import Plain

from spikeunet.engine import IntegrateAndFire, LeakyIntegrateAndFire, NeuronError, register_neuron
from spikeunet.engine.testing import checks, neuron_checks


@numba.njit
def cubed(v):
    return v**3


def gamma_of(v):
    return math.gamma(abs(v) + 1)


def with_step(step, **options):
    """Register a class like Plain with another step."""
    made = type("Odd", (Plain,), {"__module__": __name__, "step": staticmethod(step), "conserves_charge": False})
    return register_neuron(f"tests/{step.__name__.strip('<>')}", **options)(dataclass(frozen=True)(made))


def nested(current, v):
    def root(value):
        return value**0.5

    return (1, 0.0) if root(abs(v + current)) > 1 else (0, v + current)


def power_in_place(current, v):
    v += current
    v **= 2
    return 0, min(v, 1.0)


INEXACT = {
    "a cube": (lambda current, v: (int(current**3 > 0.1), 0.5 * v + current**3), r"uses \*\* at line", "multiply"),
    "a root": (lambda current, v: (0, abs(current) ** 0.5), r"uses \*\* at", "math.sqrt"),
    "in place": (power_in_place, r"uses \*\* at", "multiply"),
    "inside": (nested, r"uses \*\* at", "multiply"),
    "pow": (lambda current, v: (0, pow(current, 2)), "uses pow at", "multiply"),
    "math.pow": (lambda current, v: (0, math.pow(abs(current), 0.5)), "uses math.pow at", "math.sqrt"),
    "operator.pow": (lambda current, v: (0, operator.pow(current, 3)), "uses operator.pow at", "multiply"),
    "hypot": (lambda current, v: (0, math.hypot(v, current) / 2), "uses math.hypot at", "math.sqrt"),
    "lgamma": (lambda current, v: (0, math.lgamma(abs(v) + 1)), "uses math.lgamma at", "out of the step"),
    "a helper": (lambda current, v: (0, gamma_of(current) / 9), "uses math.gamma at", "out of the step"),
    "a compiled helper": (lambda current, v: (0, 0.5 * cubed(current)), r"uses \*\* at", "multiply"),
    "numpy": (lambda current, v: (0, np.exp(-abs(current))), "uses numpy.exp at", "of math"),
    "float32": (lambda current, v: (0, np.float32(current) * 0.1), "uses numpy.float32 at", "plain numbers"),
    "round": (lambda current, v: (0, round(current, 2)), "uses round at", "floor"),
}


@pytest.mark.parametrize("name", INEXACT)
def test_what_is_not_the_same_when_compiled_is_refused(name):
    """Whether it is compiled now or later: nobody else would notice."""
    step, message, remedy = INEXACT[name]
    with pytest.raises(NeuronError, match=rf"{message}.* gives other numbers than plain Python; .*{remedy}"):
        with_step(step, compile_now=False)


def exact(current, v, threshold):
    v = 0.9 * v + current * math.exp(-abs(v)) + math.log1p(abs(current)) * math.sin(v) / 7 - v // 3 * 1e-3
    if v > threshold + 0.1 * math.tanh(current) + math.sqrt(abs(current)) % 0.3:
        return 1, v - threshold
    return 0, max(v, -5.0)


def test_what_docs_promise_is_exact():
    """The C library, roots, remainders: compiled into vector instructions too."""
    model = with_step(exact)
    neuron_checks.compiled_like_python(model(0.37))


def test_the_check_sees_the_last_bit(monkeypatch):
    """A cube that was let through registration differs from Python's in the last place, now and then."""
    monkeypatch.setattr("spikeunet.engine.neurons.registry.check_exact", lambda *_: None)

    def last_bit(current, v):
        return (1, v) if current**3 != current * current * current else (0, v)

    with pytest.raises(NeuronError, match=r"compiled, the step returns .* and in plain Python .*; avoid"):
        with_step(last_bit)
    model = with_step(last_bit, compile_now=False)
    with pytest.raises(AssertionError, match="compiled, the step differs from plain Python"):
        neuron_checks.compiled_like_python(model())


# --- Rest ------------------------------------------------------------------------------------------------------------


@register_neuron("tests/millivolts", compile_now=False)
@dataclass(frozen=True)
class Millivolts:
    """Leaks towards -65, fires above -50, in a step function that knows no zero."""

    initial: float = -64.0
    threshold: float = -48.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, 1.0

    @staticmethod
    def step(current, v, threshold):
        v = -64.0 + 0.5 * (v + 64.0) + 16 * current
        return (1, -64.0) if v > threshold else (0, v)


def test_a_model_that_rests_elsewhere_passes_all_checks():
    for model in (Millivolts(), Millivolts(-80.0)):
        assert neuron_checks.resting_potential(model) == -64
        neuron_checks.check_neuron(model)
    checks.silence(checks.large_case(Millivolts()))
    checks.silence(checks.large_case(Millivolts(-80.0)))


@pytest.mark.parametrize(
    ("model", "rest"),
    [
        (IntegrateAndFire(initial=0.5), 0.5),
        (IntegrateAndFire(initial=1.5), 0.0),
        (LeakyIntegrateAndFire(initial=0.5), 0.0),
        (Plain(0.25, 0.125), 0.125),
    ],
)
def test_where_models_rest(model, rest):
    assert neuron_checks.resting_potential(model) == rest


def test_a_model_without_rest_is_found():
    def restless(current, v):
        return (1, v - 1) if v > 1 else (0, v + current + 0.125)

    def drifting(current, v):
        return 0, v + current - 0.125

    with pytest.raises(AssertionError, match="fires without input, from its initial state on"):
        neuron_checks.silence(with_step(restless, compile_now=False)())
    with pytest.raises(AssertionError, match="leaves its rest without input: neither 0 nor 0 is one"):
        neuron_checks.silence(with_step(drifting, compile_now=False)())
