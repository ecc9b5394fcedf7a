"""Neuron models that a user might write, for the tests of registration."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numba

from spikeunet.engine import register_neuron

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "my_neuron.py"


def example():
    """The module examples/my_neuron.py, imported once."""
    if "my_neuron" not in sys.modules:
        spec = importlib.util.spec_from_file_location("my_neuron", EXAMPLE)
        sys.modules["my_neuron"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["my_neuron"])
    return sys.modules["my_neuron"]


AdaptiveThreshold = example().AdaptiveThreshold


@register_neuron("tests/plain", compile_now=False)
@dataclass(frozen=True)
class Plain:
    """IntegrateAndFire, written anew."""

    threshold: float = 1.0
    initial: float = 0.0

    conserves_charge = True

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, self.threshold

    @staticmethod
    def step(current, v, threshold):
        v += current
        if v >= threshold:
            return 1, v - threshold
        return 0, v


@numba.njit
def quantised(v, quantum, most):
    """Whole quanta in v, towards zero, at most so many."""
    return int(math.copysign(min(math.floor(abs(v) / quantum), most), v))


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Signed:
    """Spikes of either sign, up to 127 quanta a step: as many levels as there can be, and a compiled helper."""

    quantum: float = 0.25
    initial: float = 0.0
    most: int = 127

    conserves_charge = True

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return [number * self.quantum for number in (*range(self.most + 1), *range(-self.most, 0))]

    def spikes(self):
        return [abs(number) for number in (*range(self.most + 1), *range(-self.most, 0))]

    @staticmethod
    def step(current, v, quantum, most):
        v += current
        number = quantised(v, quantum, most)
        return number % (2 * most + 1), v - number * quantum


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Resonator:
    """Three state variables, none of which keeps to round numbers, and a parameter that is computed."""

    period: float = 7.0
    threshold: float = 0.3
    initial: float = 0.05

    @property
    def cosine(self) -> float:
        return 0.9 * math.cos(2 * math.pi / self.period)

    @property
    def sine(self) -> float:
        return 0.9 * math.sin(2 * math.pi / self.period)

    def state(self):
        return {"v": self.initial, "w": 0.0, "calm": 1.0}

    def levels(self):
        return 0.0, self.threshold, 2 * self.threshold

    @staticmethod
    def step(current, v, w, calm, cosine, sine, threshold):
        v, w = cosine * v - sine * w + current, sine * v + cosine * w
        if w > 1.5 * threshold:
            return 2, v, 0.25 * w, 0.1
        # Differences look a little beyond the states that are reached, and so below zero.
        if w > threshold / math.sqrt(max(calm, 0.01)):
            return 1, v, 0.5 * w, 0.5 * calm + 0.01
        return 0, v, w, min(1.0, calm + 0.2)


OWN = (AdaptiveThreshold, Plain, Signed, Resonator)
