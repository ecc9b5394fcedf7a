"""Jobs of a server: who waits for which, in which order, and how long results are kept."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .limits import Limits
from .orders import Order
from .refusals import BUSY, NOT_FOUND, TOO_MANY, RefusedError

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
_AT_WORK = (QUEUED, RUNNING)
_MOST_REMARKS = 20


class Job:
    """A picture that waits, is being processed, or was; `version` grows with whatever changes."""

    def __init__(self, order: Order, client: str, folder: Path) -> None:
        self.key = secrets.token_urlsafe(18)
        self.order, self.client, self.folder = order, client, folder
        self.state, self.stage, self.version = QUEUED, "waiting", 0
        self.pixels: int | None = None
        self.expected: float | None = None
        self.remarks: list[str] = []
        self.result: dict[str, Any] | None = None
        self.report = "none"
        self.error, self.status = "", 0
        self.begun = self.ended = 0.0
        self.bytes = 0
        self.stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._attending, self._left = 0, time.monotonic()

    def change(self, **values: Any) -> None:
        """Set attributes, and wake up whoever waits for a change."""
        for name, value in values.items():
            setattr(self, name, value)
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def remark(self, text: str) -> None:
        """Something to tell the client, once."""
        if text not in self.remarks and len(self.remarks) < _MOST_REMARKS:
            self.change(remarks=[*self.remarks, text])

    async def changed_since(self, version: int, seconds: float) -> None:
        """Wait until something is other than it was, or some time has passed."""
        if version == self.version:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Somebody is there, who asks about the job."""
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            self._left = time.monotonic()

    def leave(self) -> None:
        """Whoever asked is gone, which is known for certain: patience starts now."""
        self._left = time.monotonic()

    @property
    def unattended(self) -> float:
        """Seconds for which nobody has asked about it."""
        return 0.0 if self._attending else time.monotonic() - self._left

    @property
    def at_work(self) -> bool:
        """Whether it waits or is being processed: a report may still be drawn where the result is there."""
        return self.state in _AT_WORK or (self.report == "drawing" and not self.ended)

    def as_json(self, position: int | None = None) -> dict[str, Any]:
        """What a client is told."""
        seconds = (self.ended or time.monotonic()) - self.begun if self.begun else 0.0
        return {
            "id": self.key,
            "state": self.state,
            "stage": self.stage if self.at_work else "",
            "version": self.version,
            "position": position,
            "seconds": round(seconds, 3),
            "expected_seconds": None if self.expected is None else round(self.expected, 3),
            "name": self.order.name,
            "remarks": self.remarks,
            "error": self.error or None,
            "status": self.status or None,
            "report": self.report,
            "result": self.result,
        }


class Board:
    """All jobs of a server.

    Parameters
    ----------
    folder : Path
        Where their files are, each in a folder of its own.
    limits : Limits
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._arrival = asyncio.Event()
        self._arriving = Counter[str]()
        self._rates: dict[tuple[str, str], float] = {}
        self.preparing = "the server is getting ready"

    @contextmanager
    def arriving(self, client: str) -> Iterator[Path]:
        """Room for a picture that is being sent: a folder, which is removed unless a job takes it.

        Raises
        ------
        RefusedError
            If too many jobs wait, or this client has too many.
        """
        self.check_room(client)
        self._arriving[client] += 1
        folder = self._folder / secrets.token_hex(12)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            self._arriving -= Counter({client: 1})
            if not any(job.folder == folder for job in self._jobs.values()):
                shutil.rmtree(folder, ignore_errors=True)

    def check_room(self, client: str) -> None:
        """RefusedError where a further job of a client has no place."""
        # A picture that is still being sent counts: who sends slowly takes no more places than others.
        own = self._arriving[client] + sum(job.client == client and job.at_work for job in self._jobs.values())
        if own >= self._limits.per_client:
            raise RefusedError(
                f"{own} pictures from this address arrive, wait or are being processed; try again when one is done",
                TOO_MANY,
                retry_after=2,
            )
        if len(self._waiting) + self._arriving.total() >= self._limits.waiting:
            raise RefusedError(f"{self._limits.waiting} pictures wait already; try again later", BUSY, retry_after=5)

    def submit(self, order: Order, client: str, folder: Path) -> Job:
        """Put a picture, whose file lies in the folder, at the end of the queue."""
        job = Job(order, client, folder)
        job.report = "drawing" if order.report else "none"
        self._jobs[job.key] = job
        self._waiting.append(job)
        self._arrival.set()
        return job

    def find(self, key: str) -> Job:
        """The job of a key; RefusedError where there is none, or no longer."""
        if key not in self._jobs:
            raise RefusedError("there is no such job, or its result was kept for long enough", NOT_FOUND)
        return self._jobs[key]

    def prepare(self, stage: str) -> None:
        """Say what the server is at before the first job can begin; nothing once one can."""
        self.preparing = stage
        self._positions_changed()

    def describe(self, job: Job) -> dict[str, Any]:
        """What a client is told of a job."""
        told = job.as_json(self.position(job))
        return {**told, "stage": self.preparing} if job in self._waiting and self.preparing else told

    def position(self, job: Job) -> int | None:
        """How many jobs wait before this one; None where it does not wait."""
        return self._waiting.index(job) if job in self._waiting else None

    async def next(self) -> Job:
        """The job that has waited for the longest; it waits no more."""
        while not self._waiting:
            self._arrival.clear()
            await self._arrival.wait()
        job = self._waiting.popleft()
        job.change(state=RUNNING, stage="starting", begun=time.monotonic())
        self._positions_changed()
        return job

    def cancel(self, job: Job, why: str = "cancelled") -> None:
        """Stop a job that waits or runs; nothing happens to one that ended."""
        if job in self._waiting:
            self._waiting.remove(job)
            self.end(job, CANCELLED, why)
            self._positions_changed()
        elif job.at_work:
            job.stop.set()
            self.end(job, CANCELLED, why)

    def end(self, job: Job, state: str, error: str = "", status: int = 0) -> None:
        """Note how a job ended; what a cancelled or a failed one has left is removed.

        Where the result was there before the report, it stays.
        """
        if job.ended:
            return
        if job.state == DONE:
            state, error, status = DONE, "", 0
        (job.folder / "upload").unlink(missing_ok=True)
        job.bytes = sum(path.stat().st_size for path in job.folder.glob("*")) if state == DONE else 0
        report = "ready" if (job.folder / "report.html").is_file() and state == DONE else "none"
        job.change(state=state, error=error, status=status, report=report, ended=time.monotonic())
        if state != DONE:
            shutil.rmtree(job.folder, ignore_errors=True)

    def forget(self, job: Job) -> None:
        """Remove a job and its files."""
        self.cancel(job)
        self._jobs.pop(job.key, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self, job: Job) -> None:
        """Remove once more what a worker may have written for a job after that was given up."""
        if job.state != DONE or job.key not in self._jobs:
            shutil.rmtree(job.folder, ignore_errors=True)

    def note_time(self, job: Job, steps: int, seconds: float) -> None:
        """Learn how long a model takes for a pixel and a step."""
        if job.pixels:
            rate, key = seconds / (job.pixels * steps), (job.order.task, job.order.model)
            self._rates[key] = rate if key not in self._rates else 0.5 * (rate + self._rates[key])

    def expected_seconds(self, job: Job, steps: int) -> float | None:
        """How long a job will take by those before it; None where there were none."""
        rate = self._rates.get((job.order.task, job.order.model))
        return None if rate is None or job.pixels is None else rate * job.pixels * steps

    def tidy(self) -> None:
        """Cancel what nobody waits for, and remove what was kept for long enough or is too much; for once a second."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.at_work and job.unattended > self._limits.patience:
                self.cancel(job, "nobody asked about it any more")
            elif job.ended and now - job.ended > self._limits.kept_seconds:
                self.forget(job)
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.ended)
        kept, number = sum(job.bytes for job in ended), len(ended)
        for job in ended[:-1]:
            if kept <= self._limits.kept_bytes and number <= self._limits.kept_jobs:
                return
            kept, number = kept - job.bytes, number - 1
            self.forget(job)

    def _positions_changed(self) -> None:
        for job in self._waiting:
            job.change()
