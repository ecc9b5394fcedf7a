"""Fixtures that any test may use: where the data and the golden vectors lie, which are no part of the repository."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Generator
from pathlib import Path

import one_thread  # noqa: F401 - before NumPy
import profiles  # noqa: F401 - loads the Hypothesis profile
import pytest
from forked_workers import process_to_copy, take_copies
from slow_cases import is_slow

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SPIKEUNET_SHARED", REPOSITORY.parent / "shared"))


def _folder_or_skip(*candidates: Path, what: str) -> Path:
    for folder in candidates:
        if folder.is_dir():
            return folder
    pytest.skip(f"{what} are not at {candidates[-1]}; SPIKEUNET_SHARED names another folder than {SHARED}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare Python's collector what is there for the whole run: all modules, which it would go through again and again.

    A test that asks for a collection waits for what came about since, not for a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None, item: pytest.Item) -> Generator[None, object, object]:
    """Spare it what a file of tests leaves, too: kernels are many objects, and each video asks for a collection.

    The package would spare it that itself, if nobody else did; see `_nothing_collected` in engine/pictures/opening.py.
    """
    try:
        return (yield)
    finally:
        if nextitem is not None and nextitem.path != item.path:
            gc.collect()
            gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run networks eight steps at a time, and what is left over step by step, in tests that are quick.

    Each size of a group of steps has kernels of its own, a second each to compile. Slow tests and those that are marked
    have groups of two and four, too, as users do.
    """
    whole = item.get_closest_marker("slow") or item.get_closest_marker("all_step_groups")
    with pytest.MonkeyPatch.context() as patch:
        if not whole and "spikeunet.engine.events" in sys.modules:
            patch.setattr("spikeunet.engine.events.STEP_GROUPS", (8, 1))
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _nothing_waited_for() -> Generator[None]:
    """Spare tests what none of them could tell.

    That files are on the disk for good before they take their place; that a thread waits for the next layer awake for
    more than a moment, on a processor that another test needs; that imageio looks everywhere for a package that is not
    there with each picture that it opens.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        patch.setattr("spikeunet.engine.threads.workers._ROUNDS", 20)
        if importlib.util.find_spec("pillow_heif") is None:
            patch.setitem(sys.modules, "pillow_heif", None)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what slow_cases.py says, before the marks are looked at."""
    for item in items:
        test, _, case = item.name.partition("[")
        if is_slow(item.path.name, test, case.removesuffix("]")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the training and evaluation pictures; the test skips where they are absent."""
    return _folder_or_skip(SHARED / "data", what="the evaluation pictures")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Folder of small inputs that failed once; the test skips where it is absent."""
    return _folder_or_skip(SHARED / "cases", what="the cases")


@pytest.fixture(scope="session")
def shared_checkpoints() -> Path:
    """Folder of networks that others trained; the test skips where it is absent."""
    return _folder_or_skip(SHARED / "checkpoints", what="the networks that others trained")


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Folder of the golden vectors: tests/golden where it exists, else beside the data; skips where they are absent."""
    return _folder_or_skip(REPOSITORY / "tests" / "golden", SHARED / "golden", what="the golden vectors")


@pytest.fixture(scope="session")
def _process_to_copy() -> Generator[None]:
    with process_to_copy():
        yield


@pytest.fixture
def forked_workers(_process_to_copy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers start as copies of one process; see forked_workers.py."""
    take_copies(monkeypatch)
