"""Where pictures are evaluated: in this process, in local worker processes, or on the workers of a Dask scheduler.

A picture goes to another worker where one dies; every outcome is handed on as soon as it is there, so that what is
finished stays finished.
"""

from __future__ import annotations

import gc
import importlib.util
import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..threads import available_processors
from .local_workers import run_in_processes
from .one_picture import attempt
from .picture_task import Outcome, PictureTask

MAXIMUM_WORKERS = 256

_TALKATIVE = ("distributed", "tornado", "asyncio")
_ADDRESS = r"(?:tcp://|tls://)?[^\s/]+:(\d{1,5})"
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Workplace:
    """Where to evaluate.

    Parameters
    ----------
    workers : int
        Local worker processes; 1 is this process alone.
    scheduler : str or None
        Address of a Dask scheduler, tls://HOST:PORT or tcp://HOST:PORT, whose workers see the same files under the same
        paths. Certificates for TLS are those of Dask's configuration.
    timeout : float
        Seconds to wait for the scheduler, and for its first worker.

    Raises
    ------
    InputError
        If a number is out of range, both workers and a scheduler are named, or Dask is missing.
    """

    workers: int = 1
    scheduler: str | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MAXIMUM_WORKERS:
            raise InputError(f"there must be 1 to {MAXIMUM_WORKERS} workers (got {self.workers})")
        if not 0 < self.timeout < float("inf"):
            raise InputError(f"the timeout must be a positive number of seconds (got {self.timeout:g})")
        if self.scheduler is not None and self.workers > 1:
            raise InputError(f"{self.workers} local workers and the scheduler {self.scheduler} exclude each other")
        if self.scheduler is not None:
            self._check_scheduler(self.scheduler)

    @staticmethod
    def _check_scheduler(address: str) -> None:
        match = re.fullmatch(_ADDRESS, address)
        if match is None or not 1 <= int(match[1]) <= _HIGHEST_PORT:
            raise InputError(f"a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT (got {address!r})")
        if importlib.util.find_spec("distributed") is None:
            raise InputError("a scheduler needs Dask, which is missing; pip install 'spikeunet[evaluate]'")

    @property
    def authenticated(self) -> bool:
        """Whether nobody but the user, or who has the scheduler's certificate, can run code in the workers."""
        return self.scheduler is None or self.scheduler.startswith("tls://")

    def threads(self) -> int | None:
        """Worker threads for a picture where the user names none: the processors are shared by the workers."""
        if self.scheduler is not None:
            return 1
        return None if self.workers == 1 else max(1, available_processors() // self.workers)

    def run(self, tasks: Sequence[PictureTask]) -> Generator[Outcome, None, None]:
        """Outcomes as they come, in any order; closing the generator ends what still runs.

        Raises
        ------
        InputError
            If workers cannot start, or the scheduler cannot be reached, has no workers, or goes away.
        """
        if self.scheduler is not None and tasks:
            with _quiet(), _client(self) as client:
                yield from self._collect(client, tasks)
        elif self.workers > 1:
            yield from run_in_processes(tasks, self.workers)
        else:
            yield from map(attempt, tasks)

    def _collect(self, client: Any, tasks: Sequence[PictureTask]) -> Iterator[Outcome]:
        from distributed import as_completed

        # Impure: the same picture evaluated again is a new measurement, not one to take from the scheduler's memory.
        futures = dict(zip(client.map(attempt, tasks, pure=False), tasks, strict=True))
        for future in as_completed(list(futures), loop=client.loop):
            if future.status in ("cancelled", "lost"):
                raise self._gone()
            try:
                yield future.result()
            except _cancelled():
                raise self._gone() from None
            except Exception as error:  # noqa: BLE001 - whatever kept a worker from even trying
                yield Outcome(futures[future], (), f"{futures[future].example.name}: {_reason(error)}")
            del futures[future]
            future.release()

    def _gone(self) -> InputError:
        return InputError(f"the scheduler {self.scheduler} went away; run the command again to go on")


@contextmanager
def _client(place: Workplace) -> Iterator[Any]:
    from distributed import Client

    client, reason = None, ""
    try:
        client = Client(place.scheduler, timeout=place.timeout, set_as_default=False)
    except Exception as error:  # noqa: BLE001 - names, ports, certificates and strangers raise nearly anything
        reason = _reason(error)
    if client is None:
        # What is left of it closes itself when it is collected: here, and not in a thread of the next one, which would
        # wait for ever for a lock of Dask's that whoever starts the thread has.
        gc.collect()
        raise InputError(
            f"no Dask scheduler answers at {place.scheduler} within {place.timeout:g} s ({reason}); start one with "
            "`dask scheduler`, or check the address"
        )
    with client:
        try:
            client.wait_for_workers(1, timeout=place.timeout)
        except OSError:
            raise InputError(
                f"the Dask scheduler at {place.scheduler} has no workers after {place.timeout:g} s; start some with "
                f"`dask worker {place.scheduler}`"
            ) from None
        yield client


def _cancelled() -> tuple[type[BaseException], ...]:
    import asyncio
    import concurrent.futures

    return (asyncio.CancelledError, concurrent.futures.CancelledError)


def _reason(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's remarks off stderr: what went wrong is said once, by us."""
    import distributed  # noqa: F401 - so that its loggers, which have levels of their own, are there

    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKATIVE]
    loggers = [logging.getLogger(name) for name in known]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
