"""Worker processes that die when they are told to; they start anew, so that what they do stands in a module."""

from __future__ import annotations

import os
import signal
import warnings

from spikeunet.engine.evaluation import local_workers
from spikeunet.engine.evaluation.picture_task import Outcome
from spikeunet.engine.learning.finetune import share_processes

DEADLY = "deadly.png"


def evaluate_nothing(connection):
    """As a worker, but dies over one picture, and takes no time over the others."""
    connection.send((None, []))
    try:
        while True:
            task = connection.recv()
            if task.example.name == DEADLY:
                os.kill(os.getpid(), signal.SIGKILL)
            connection.send((Outcome(task, ({"picture": task.example.name},)), []))
    except EOFError:
        return


def exit_at_once(connection, *_arguments):
    """As a worker that cannot start."""
    os._exit(3)


def die_at_once(connection, *_arguments):
    """As a worker that is killed before it starts."""
    os.kill(os.getpid(), signal.SIGKILL)


def evaluate_with_a_warning(connection):
    """As a worker whose evaluation warns."""
    local_workers.attempt = _warns
    local_workers._work(connection)


def _warns(task):
    warnings.warn(f"{task.example.name} is odd", UserWarning, stacklevel=1)
    return Outcome(task, ({},))


def train_with_an_error(connection, *_arguments):
    """As a worker of a training, with an error that nobody expects."""
    connection.recv()  # the network
    connection.send({})
    name, work = connection.recv()
    connection.send(share_processes._attempt(_find, (name, work)))


def _find(_work):
    raise KeyError("lost")
