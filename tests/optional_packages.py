"""pytest plugin of .ci/run: tests that ask for packages beyond the extra `test` are run once more without the packages.

    pytest -p optional_packages --note-optional=FOLDER     where all extras are installed
    pytest -p optional_packages --only-noted=FOLDER        where the tests' own alone is: they pass or skip

A test asks for a package when it, or the code under test in its process, imports it or looks for it while it runs. What
modules import when they are collected needs no note: all of them are collected either way.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import os
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    group = parser.getgroup("optional packages")
    group.addoption("--note-optional", type=Path, metavar="FOLDER")
    group.addoption("--only-noted", type=Path, metavar="FOLDER")


def pytest_configure(config):
    if (folder := config.getoption("note_optional")) is not None:
        config.pluginmanager.register(Notes(folder))


def pytest_collection_modifyitems(config, items):
    """Leave out what has not been noted, and fail where nothing has been."""
    if (folder := config.getoption("only_noted")) is None:
        return
    noted = {line for path in folder.glob("*.txt") for line in path.read_text("utf-8").splitlines()}
    if not noted:
        raise pytest.UsageError(f"no test is noted in {folder}")
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in noted])
    items[:] = [item for item in items if item.nodeid in noted]


class Notes:
    """Notes tests in a file of its own for each worker."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.getpid()}.txt"
        self._optional = optional_modules()
        self._test, self._noted = None, set()
        builtins.__import__ = functools.partial(self._import, builtins.__import__)
        importlib.util.find_spec = functools.partial(self._find, importlib.util.find_spec)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._test = item.nodeid
        try:
            return (yield)
        finally:
            self._test = None

    def pytest_sessionfinish(self):
        self._file.write_text("".join(f"{name}\n" for name in sorted(self._noted)), "utf-8")

    def _import(self, real, name, globals_=None, locals_=None, fromlist=(), level=0):
        if level == 0 and is_ours(globals_ or {}):
            self._note(name)
        return real(name, globals_, locals_, fromlist, level)

    def _find(self, real, name, package=None):
        self._note(name)
        return real(name, package)

    def _note(self, name):
        if self._test is not None and name.partition(".")[0] in self._optional:
            self._noted.add(self._test)


def is_ours(module):
    """Whether a module, given by its variables, is the package's or one of the tests'."""
    name, file = str(module.get("__name__")), str(module.get("__file__"))
    return name.partition(".")[0] == "spikeunet" or file.startswith(str(ROOT))


def optional_modules():
    """Modules of all installed packages but those that the extra `test` needs."""
    needed, todo = set(), [Requirement("spikeunet[test]")]
    while todo:
        requirement = todo.pop()
        key = (normalized(requirement.name), *sorted(requirement.extras))
        if key in needed:
            continue
        needed.add(key)
        below = map(Requirement, requires(requirement.name))
        todo += [each for each in below if is_wanted(each, requirement.extras)]
    names = {key[0] for key in needed}
    found = metadata.packages_distributions().items()
    return {module for module, packages in found if names.isdisjoint(map(normalized, packages))}


def is_wanted(requirement, extras):
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def requires(name):
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()
