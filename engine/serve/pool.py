"""Worker processes: each has one job at a time, and is killed and replaced where that job is to stop.

A simulation cannot be interrupted in the middle of its compiled loops; a process can be ended at any moment, and takes
with it whatever a hostile picture made of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .access import TOKEN
from .catalogue import AUTO, Catalogue
from .jobs import DONE, FAILED, Board, Job
from .limits import Limits
from .refusals import BUSY, INTERNAL, TOO_LARGE

_MOST_JOBS = 500
"""After so many jobs a worker is replaced, whatever it may have gathered."""
_LONGEST_LINE = 1 << 20
_START = 300.0
"""Seconds for a worker to be ready: at the first use kernels are compiled."""
_GRACE = 1.0
"""Seconds that a worker has to end a job by itself that was cancelled."""
_AGAIN = 2.0
"""Seconds after which a worker is started again that did not get ready."""


class Worker:
    """A worker process and the lines that it says."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs = 0

    @classmethod
    async def start(cls, folder: Path) -> Worker:
        """Start a process; it is not ready yet."""
        # In a session of its own Ctrl-C on a terminal does not reach it: the server ends it.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "spikeunet.engine.serve.worker"),
            stdin=PIPE,
            stdout=PIPE,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != TOKEN},
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        return cls(process)

    async def tell(self, values: Mapping[str, Any]) -> None:
        """Send a line; that the process is gone shows when its next line is read."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(values).encode() + b"\n")
            await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any] | None:
        """The next line; None where the process has ended."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            return dict(json.loads(line)) if line else None
        except (OSError, ValueError, TypeError):
            return None

    async def kill(self) -> None:
        """End the process, whatever it is at."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def end_in_words(self) -> str:
        """Status or signal of a process that has ended, or is ended now."""
        await self.kill()
        status = self._process.returncode or 0
        return f"by signal {-status}" if status < 0 else f"with status {status}"


class Pool:
    """So many workers, which take jobs off a board.

    Parameters
    ----------
    board : Board
    limits : Limits
    found : Catalogue
    folder : Path
        Working folder of the processes.
    count : int
    threads : int
        Of each.
    """

    def __init__(self, board: Board, limits: Limits, found: Catalogue, folder: Path, count: int, threads: int) -> None:
        self._board, self._limits, self._folder, self._count = board, limits, folder, count
        self._steps = {name: offer.steps for name, offer in found.offers.items()}
        self._setup = {
            "models": found.sources(),
            "threads": threads,
            "pixels": limits.pixels,
            "memory": limits.memory_bytes,
            "warm": _usual_models(found),
        }
        self._starting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all workers, in the background."""
        self._tasks = [asyncio.create_task(self._tend()) for _ in range(self._count)]

    async def stop(self) -> None:
        """End all workers and what they are at."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tend(self) -> None:
        """Keep one worker busy for ever."""
        worker: Worker | None = None
        try:
            while True:
                worker = worker or await self._ready()
                if worker is None:
                    await asyncio.sleep(_AGAIN)
                    continue
                worker = await self._next_job(worker)
        finally:
            if worker is not None:
                await worker.kill()

    async def _ready(self) -> Worker | None:
        """A new worker that is ready; one after the other, so that kernels are compiled once. None where it died."""
        async with self._starting:
            worker = await Worker.start(self._folder)
            try:
                await worker.tell(self._setup)
                ready = await asyncio.wait_for(self._is_ready(worker), _START)
            except TimeoutError:
                ready = False
            except BaseException:
                await worker.kill()
                raise
        if ready:
            self._board.prepare("")
            return worker
        how = await worker.end_in_words()
        await self._refuse_next(f"worker processes end before they begin, {how}; see what the server printed")
        return None

    async def _is_ready(self, worker: Worker) -> bool:
        """Wait until a worker is ready, and tell what it is at; False where it ended."""
        while (line := await worker.hear()) is not None:
            if line.get("ready"):
                return True
            if "stage" in line and self._board.preparing:
                self._board.prepare(f"the server is getting ready: {line['stage']}")
        return False

    async def _refuse_next(self, why: str) -> None:
        """Fail what waits, rather than let it wait for ever."""
        with suppress(TimeoutError):
            while True:
                job = await asyncio.wait_for(self._board.next(), 0.1)
                self._board.end(job, FAILED, why, BUSY)

    async def _next_job(self, worker: Worker) -> Worker | None:
        """Have a worker do the next job; returns it where it can do another."""
        job = await self._board.next()
        try:
            alive = await self._do(job, worker)
        except BaseException:
            await worker.kill()
            raise
        worker.jobs += 1
        goes_on = alive and worker.jobs < _MOST_JOBS
        if not goes_on:
            await worker.kill()
        # Now that nothing writes there any more.
        self._board.sweep(job)
        return worker if goes_on else None

    async def _do(self, job: Job, worker: Worker) -> bool:
        """One job from its beginning to its end; returns whether the worker goes on."""
        await worker.tell({"folder": str(job.folder), "order": job.order.as_json()})
        listening = asyncio.create_task(self._listen(job, worker))
        stopped = asyncio.create_task(job.stop.wait())
        try:
            await asyncio.wait({listening, stopped}, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if job.stop.is_set():
                # Most jobs end sooner than another process starts.
                await asyncio.wait({listening}, timeout=_GRACE)
        finally:
            stopped.cancel()
            listening.cancel()
        finished = listening.done() and not listening.cancelled() and listening.exception() is None
        if finished and listening.result():
            return True
        if finished:
            how = await worker.end_in_words()
            why = f"the process that worked on it ended {how}; if memory ran out, try a smaller picture"
            self._board.end(job, FAILED, why, INTERNAL)
        elif not job.stop.is_set():
            why = f"took longer than {self._limits.seconds:g} seconds; try a smaller picture or fewer steps"
            self._board.end(job, FAILED, why, TOO_LARGE)
        return False

    async def _listen(self, job: Job, worker: Worker) -> bool:
        """Take what a worker says of a job until it is done; returns False where the process ended before."""
        while (line := await worker.hear()) is not None:
            if line.get("done"):
                self._board.end(job, DONE)
                return True
            if not job.ended:
                self._take(job, line)
        return False

    def _take(self, job: Job, line: Mapping[str, Any]) -> None:
        if "error" in line:
            self._board.end(job, FAILED, str(line["error"]), int(line["status"]))
        if "remark" in line:
            job.remark(str(line["remark"]))
        if "pixels" in line:
            job.pixels = line["pixels"]
            job.expected = self._board.expected_seconds(job, self._steps_of(job))
        if "stage" in line:
            job.change(stage=str(line["stage"]))
        if "result" in line:
            self._board.note_time(job, self._steps_of(job), time.monotonic() - job.begun)
            job.change(state=DONE, result=line["result"])

    def _steps_of(self, job: Job) -> int:
        given = job.order.parsed()["steps"]
        return int(given or self._steps.get(job.order.model, 1))


def _usual_models(found: Catalogue) -> list[tuple[str, str]]:
    """Each task, and what the engine loads the model by that most will take for it."""
    names = {task: next(name for name in found.names(task) if name != AUTO) for task in found.tasks}
    return [(task, found.offers[name].source) for task, name in names.items()]
