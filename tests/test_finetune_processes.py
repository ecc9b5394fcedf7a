"""Processes that work at the shares of a batch, in the hands of users who copy, fork and forget."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import weakref
from contextlib import suppress
from dataclasses import replace

import dying_workers
import numpy as np
import pytest
from test_finetune_shares import EVERYTHING, trained
from test_finetune_training import batches, network

from spikeunet.engine.errors import InputError
from spikeunet.engine.learning.finetune import Trainer, share_processes
from spikeunet.engine.worker_processes import CONTEXT, WorkerProcess


class Fine:
    """Batches in float64."""

    def draw(self, generator):
        return tuple(part.astype(np.float64) for part in batches().draw(generator))


@pytest.mark.usefixtures("forked_workers")
def test_gradients_are_as_fine_as_parameters_wherever_they_come_from():
    settings = replace(EVERYTHING, shares=1)
    batch, target = Fine().draw(np.random.default_rng(0))
    _, expected = Trainer(network(), Fine(), settings).gradients(batch, target)
    assert {gradient.dtype for gradient in expected.values()} == {np.dtype(np.float32)}
    with Trainer(network(), Fine(), settings, processes=1) as trainer:
        _, found = trainer.gradients(batch, target)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient, name)


@pytest.mark.usefixtures("forked_workers")
def test_a_copy_of_a_trainer_has_processes_of_its_own():
    """Of a pickle, by which `copy` makes one, too."""
    trainer = Trainer(network(), batches(), EVERYTHING, processes=1)
    trainer.step()
    with pickle.loads(pickle.dumps(trainer)) as other:
        report = trainer.step()
        assert other.step() == report
        trainer.close()
        batch, target = batches().draw(np.random.default_rng(0))
        assert other.gradients(batch, target)[0] == trainer.gradients(batch, target)[0]
    trainer.close()
    assert not multiprocessing.active_children()


def test_a_trainer_out_of_a_pickle_trains_on():
    trainer = Trainer(network(), batches(), replace(EVERYTHING, shares=1))
    other = pickle.loads(pickle.dumps(trainer))
    for _ in range(2):
        assert other.step() == trainer.step()
    for name, array in trainer.averages.items():
        np.testing.assert_array_equal(other.averages[name], array, name)


@pytest.mark.usefixtures("forked_workers")
def test_memory_is_given_back_with_the_processes():
    trainer = Trainer(network(), batches(), EVERYTHING, processes=1)
    trainer.step()
    numbers = weakref.ref(trainer._processes._gradients.base)
    trainer.close()
    assert numbers() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_copy_leaves_the_processes_alone():
    expected = trained(EVERYTHING)[0]
    with Trainer(network(), batches(), EVERYTHING, processes=1) as trainer:
        trainer.step()
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                same = trainer.step() == expected[1]
                trainer.close()
                os._exit(0 if same else 1)
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert [trainer.step() for _ in range(2)] == expected[1:]


def test_what_cannot_be_pickled_is_refused():
    worker = WorkerProcess(dying_workers.exit_at_once)
    with pytest.raises(
        InputError, match=r"cannot be given what it works at \(.*lambda.*\); let layers and neuron models"
    ):
        worker.give(lambda: 0)
    worker.kill()


class Strange:
    """A connection with something to read that is known elsewhere only."""

    def __init__(self):
        self.sent = []
        self.send = self.sent.append

    def recv(self):
        raise AttributeError("Can't get attribute 'Own' on <module '__main__'>")


def test_a_process_that_does_not_know_a_layer_says_so():
    connection = Strange()
    share_processes._serve(connection, None, None)
    (said,) = connection.sent
    assert isinstance(said, InputError)
    assert "does not know what is trained (Can't get attribute 'Own' on" in str(said)


def test_processes_that_the_system_refuses_are_one_error(monkeypatch):
    def refused(_self):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(CONTEXT.Process, "start", refused)
    with (
        Trainer(network(), batches(), EVERYTHING, processes=2) as trainer,
        pytest.raises(
            InputError, match=r"cannot be started \(Resource temporarily unavailable\); take fewer, or raise"
        ),
    ):
        trainer.step()


def test_a_daemonic_process_takes_no_workers(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with (
        Trainer(network(), batches(), EVERYTHING, processes=2) as trainer,
        pytest.raises(InputError, match="a worker of another pool of processes can have none of its own"),
    ):
        trainer.step()
