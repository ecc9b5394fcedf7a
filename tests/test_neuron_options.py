"""Parameters of registered neuron models on the command line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from own_neurons import Signed

from spikeunet.engine import BurstNeuron, RefractoryLeakyIntegrateAndFire, register_neuron
from spikeunet.engine.command_line.neuron_options import neuron_model
from spikeunet.engine.errors import SpikeunetError


@register_neuron("tests/several", compile_now=False)
@dataclass(frozen=True)
class Several:
    """Parameters of every kind; what it does is of no interest."""

    values: tuple[float, ...] = (0.0, 1.0)
    threshold: float = 1.0
    gentle: bool = False
    mode: str = "plain"
    initial: float = 0.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return self.values

    @staticmethod
    def step(current, v, threshold):
        v += current
        return (1, v - threshold) if v >= threshold else (0, v)


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        ("BurstNeuron", [], BurstNeuron()),
        ("BurstNeuron", ["gamma=3", "threshold=0.25"], BurstNeuron(0.25, 3)),
        ("BurstNeuron", ["threshold=1"], BurstNeuron(1.0)),
        ("RefractoryLeakyIntegrateAndFire", ["reset=subtract"], RefractoryLeakyIntegrateAndFire(reset="subtract")),
        ("Signed", ["most=3"], Signed(most=3)),
        ("tests/several", ["values=0,0.5"], Several(values=(0.0, 0.5))),
        ("tests/several", ["values=[0,1,-1]", "gentle=true"], Several(values=(0, 1, -1), gentle=True)),
        ("tests/several", ["mode=rough"], Several(mode="rough")),
    ],
)
def test_parameters_reach_the_model(kind, parameters, expected):
    assert neuron_model(kind, None, None, parameters) == expected


def test_the_initial_potential_is_everyones():
    assert neuron_model("Signed", None, 0.125) == Signed(initial=0.125)
    assert neuron_model("Signed", None, None, ["initial=0.125"]) == Signed(initial=0.125)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("BurstNeuron", ["gama=3"], "NAME a parameter of BurstNeuron: threshold, gamma, initial .got 'gama=3'"),
        ("BurstNeuron", ["gamma"], "must be NAME=VALUE"),
        ("BurstNeuron", ["type=Signed"], "must be NAME=VALUE"),
        ("BurstNeuron", ["gamma=3.5"], "BurstNeuron.gamma: expected a whole number .got 3.5"),
        ("BurstNeuron", ["gamma=many"], "BurstNeuron.gamma: expected a finite number .got 'many'"),
        ("BurstNeuron", ["gamma=256"], "BurstNeuron.gamma: must be a whole number from 1 to 255"),
        ("BurstNeuron", ["threshold=1e999"], "BurstNeuron.threshold: expected a finite number"),
        ("BurstNeuron", ["threshold="], "BurstNeuron.threshold: expected a finite number"),
        ("tests/several", ["gentle=1"], "tests/several.gentle: expected true or false"),
        ("burst", ["gamma=3"], "--parameter gamma=3 is for registered neuron models .got --neuron burst"),
        (
            "ResNet",
            [],
            "unknown neuron model 'ResNet'; known are multi-threshold, signed-multi-threshold, if, lif, burst, ref",
        ),
        ("ResNet", [], "RefractoryLeaky.*; one of your own is made known by an entry point"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(kind, parameters, message):
    with pytest.raises(SpikeunetError, match=message):
        neuron_model(kind, None, None, parameters)


def test_options_of_other_neurons_are_refused():
    with pytest.raises(SpikeunetError, match="--gamma 3 is not for --neuron Signed; give its own parameters, --param"):
        neuron_model("Signed", None, None, gamma=3)
    with pytest.raises(SpikeunetError, match="--thresholds 1 is not for --neuron Signed"):
        neuron_model("Signed", "1", None)
