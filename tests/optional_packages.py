"""pytest plugin of .ci/run: what passes without optional packages, and misses none, need not run again with them.

    pytest -p optional_packages --note-passed=FOLDER        where the tests' own extra alone is installed
    pytest -p optional_packages --leave-out-passed=FOLDER   where all extras are

A test misses a package when anything in its process looks for a module that is not there, and is there the other time.
What skips runs again, too, and what is not collected without the packages.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("optional packages")
    group.addoption("--note-passed", type=Path, metavar="FOLDER")
    group.addoption("--leave-out-passed", type=Path, metavar="FOLDER")


def pytest_configure(config):
    if (folder := config.getoption("note_passed")) is not None:
        config.pluginmanager.register(Notes(folder))


def pytest_collection_modifyitems(config, items):
    """Leave out what has passed and missed nothing that is there now; fail where nothing has passed."""
    if (folder := config.getoption("leave_out_passed")) is None:
        return
    passed = {}
    for path in folder.glob("*.json"):
        passed |= json.loads(path.read_text("utf-8"))
    if not passed:
        raise pytest.UsageError(f"no test is said to have passed in {folder}")
    there = {name for name in set().union(*passed.values()) if importlib.util.find_spec(name) is not None}
    left_out = {test for test, missed in passed.items() if there.isdisjoint(missed)}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


class Notes:
    """Notes what passes, and what it misses, in a file of its own for each worker."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.getpid()}.json"
        self._test, self._missed, self._passed = None, set(), {}
        sys.meta_path.append(self)

    def find_spec(self, name, path=None, target=None):
        """Python asks finders in turn: what comes here, nobody has found."""
        if path is None:
            self._missed.add(name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._test, self._missed = item.nodeid, set()
        try:
            return (yield)
        finally:
            if self._test in self._passed:
                self._passed[self._test] = sorted(self._missed)

    def pytest_runtest_logreport(self, report):
        """The controller of several workers hears of their tests, too, and runs none itself."""
        if report.nodeid == self._test and report.when == "call" and report.passed:
            self._passed[self._test] = []

    def pytest_sessionfinish(self):
        self._file.write_text(json.dumps(self._passed), "utf-8")
