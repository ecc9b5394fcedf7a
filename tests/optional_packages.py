"""pytest plugin of .ci/run: what passes without optional packages, and looks for none, need not run again with them.

    pytest -p optional_packages --note-settled=FOLDER        where the tests' own extra alone is installed
    pytest -p optional_packages --leave-out-settled=FOLDER   where all extras are

Settled is what has passed without anything in its process looking for a module that is not there. What skips is not
settled, nor what is not collected without the packages.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("optional packages")
    group.addoption("--note-settled", type=Path, metavar="FOLDER")
    group.addoption("--leave-out-settled", type=Path, metavar="FOLDER")


def pytest_configure(config):
    if (folder := config.getoption("note_settled")) is not None:
        config.pluginmanager.register(Notes(folder))


def pytest_collection_modifyitems(config, items):
    """Leave out what is settled, and fail where nothing is."""
    if (folder := config.getoption("leave_out_settled")) is None:
        return
    settled = {line for path in folder.glob("*.txt") for line in path.read_text("utf-8").splitlines()}
    if not settled:
        raise pytest.UsageError(f"no test is settled in {folder}")
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in settled])
    items[:] = [item for item in items if item.nodeid not in settled]


class Notes:
    """Notes what is settled, in a file of its own for each worker."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.getpid()}.txt"
        self._test, self._passed, self._missed = None, False, False
        self._settled = []
        sys.meta_path.append(self)

    def find_spec(self, name, path=None, target=None):
        """Python asks finders in turn: what comes here, nobody has found."""
        self._missed |= path is None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._test, self._passed, self._missed = item.nodeid, False, False
        try:
            return (yield)
        finally:
            if self._passed and not self._missed:
                self._settled.append(self._test)

    def pytest_runtest_logreport(self, report):
        """The controller of several workers hears of their tests, too, and runs none itself."""
        if report.nodeid == self._test and report.when == "call":
            self._passed = report.passed

    def pytest_sessionfinish(self):
        self._file.write_text("".join(f"{name}\n" for name in self._settled), "utf-8")
