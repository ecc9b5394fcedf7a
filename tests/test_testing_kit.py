"""The public testing kit: it passes what is right and finds what is wrong."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import mutations
import numpy as np
import pytest
from hypothesis import given

from spikeunet.engine import IntegrateAndFire, LeakyIntegrateAndFire, MultiThreshold
from spikeunet.engine.neurons import FiringConstants
from spikeunet.engine.testing import check_all, check_neuron, checks, neuron_checks, reference, strategies

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "test_my_neuron.py"


@given(strategies.neuron_models())
def test_neuron_models_of_the_package(model):
    check_neuron(model)


def test_everything_at_once():
    check_all(max_examples=5)


@given(strategies.ladder_models())
def test_firing_constants_say_what_the_rules_say(model):
    """The general rule, which stands in for models without a rule of their own."""
    membrane, current = np.meshgrid(np.arange(-32, 33) / 16, np.arange(-32, 65) / 16)
    for first, second in zip(
        reference.fire(model, membrane, current),
        reference.follow_constants(model, membrane, current),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


@given(strategies.event_queues())
def test_event_queues_hold_their_levels(queue):
    again = strategies.queue_of_levels(queue.dense_levels(), gap=1)
    np.testing.assert_array_equal(again.dense_levels(), queue.dense_levels())
    assert again.active == queue.active == np.count_nonzero(queue.dense_levels().any(axis=0))


@given(strategies.dyadic_weights(3, 4, 2))
def test_dyadic_weights(weights):
    assert weights.shape == (3, 4, 2)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights * 16, np.round(weights * 16))


@dataclasses.dataclass(frozen=True)
class Changed:
    """A multi-threshold neuron whose firing constants are changed, and its step if one is given."""

    initial: float = 0.0
    changes: tuple = ()

    def firing_constants(self) -> FiringConstants:
        return dataclasses.replace(MultiThreshold().firing_constants(), **dict(self.changes))


def without_level(level):
    """Values of levels, one of them lost."""
    emit = MultiThreshold().firing_constants().emit.copy()
    emit[level] = 0
    return emit


class Forgetful(Changed):
    def step(self, membrane, current):
        _, emitted, crossed = reference.multi_threshold(MultiThreshold(), membrane, current)
        return np.zeros_like(membrane), emitted, crossed


class Restless(Changed):
    def step(self, membrane, current):
        return reference.multi_threshold(MultiThreshold(), membrane, current + 0.125)


class Sociable(Changed):
    def step(self, membrane, current):
        return reference.multi_threshold(MultiThreshold(), membrane, np.roll(current, 1))


DRIVE = neuron_checks.default_currents()


@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        (Changed(changes=(("emit", without_level(5)),)), neuron_checks.charge_balance, "loses or makes charge"),
        (Forgetful(), neuron_checks.charge_balance, "loses or makes charge"),
        (Changed(changes=(("emit", np.ones(256, np.float32)),)), neuron_checks.level_bounds, "no threshold was"),
        (Restless(), neuron_checks.time_shift, "answers differently"),
        (Sociable(), neuron_checks.independence, "depends on its neighbours"),
        (Forgetful(), neuron_checks.runs_in_the_engine, "spikes"),
    ],
)
def test_broken_neurons_are_found(model, check, message):
    with pytest.raises(AssertionError, match=message):
        check(model, DRIVE)
    with pytest.raises(AssertionError):
        check_neuron(model)


def test_a_neuron_that_fires_without_input_is_found():
    with pytest.raises(AssertionError, match=r"without input"):
        neuron_checks.silence(Restless())


@pytest.mark.parametrize("model", [IntegrateAndFire(reset="zero"), LeakyIntegrateAndFire()])
def test_charge_is_not_asked_of_neurons_that_lose_it(model):
    assert not neuron_checks.conserves_charge(model)
    neuron_checks.charge_balance(model, DRIVE)


def test_the_large_case_has_events_in_every_layer():
    result = checks.run(checks.large_case(), threads=2)
    assert all(counts.all() for counts in result.events.values())


@pytest.mark.slow
def test_the_example_finds_its_bug():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)],
        cwd=EXAMPLE.parent,
        env=os.environ | mutations.same_storage(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_without_hypothesis_the_error_says_what_to_install():
    program = "import sys; sys.modules['hypothesis'] = None; import spikeunet.engine.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: spikeunet.engine.testing needs Hypothesis: pip install 'spikeunet[testing]'" in done.stderr


def test_mutations_still_apply(tmp_path):
    for number, mutation in enumerate(mutations.MUTATIONS):
        text = (mutations.ENGINE / mutation.file).read_text("utf-8")
        assert text.count(mutation.right) == 1, (number, mutation.name)
    assert len({mutation.name for mutation in mutations.MUTATIONS}) >= 10
    assert [sum(name in mutation.name for mutation in mutations.MUTATIONS) for name in mutations.SOME] == [1] * 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planted_bugs_are_caught(capsys):
    """One of each kind; `python tests/mutations.py` plants them all."""
    status = mutations.main(list(mutations.SOME))
    assert status == 0, capsys.readouterr().out
