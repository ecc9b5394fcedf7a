"""Workers as copies of a process that is ready to train, in place of ones that each start anew.

To import the package and to load kernels takes more than what most tests have workers do. What workers do, and how they
and their parent talk, are the same; that they can start anew is shown by tests that do without this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import active_children, forkserver, get_context
from pathlib import Path

import pytest


@contextmanager
def process_to_copy() -> Generator[None]:
    """Such a process, until the block ends; it is for Linux alone."""
    if sys.platform == "linux":
        forkserver.set_forkserver_preload(["spikeunet.engine.evaluation.local_workers", "trained_once"])
        with pytest.MonkeyPatch.context() as patch:
            # Where it looks for the second; what it cannot import it goes without.
            patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
            forkserver.ensure_running()
    yield
    if sys.platform == "linux":
        for worker in active_children():  # that a test which failed left; the process waits for its copies
            worker.kill()
            worker.join()
        forkserver._forkserver._stop()


def take_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers be copies until the end of a test."""
    from spikeunet.engine import worker_processes  # which the process that hands tests out does without

    if sys.platform == "linux":
        monkeypatch.setattr(worker_processes, "CONTEXT", get_context("forkserver"))
