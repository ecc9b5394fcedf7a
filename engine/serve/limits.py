"""What strangers may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server; beyond them a request is refused, or something is given up.

    Parameters
    ----------
    upload_bytes : int
        Of a picture's file.
    upload_seconds : float
        For it to arrive.
    pixels : int
        Of a picture, known from its header.
    steps : int
        Time steps of a run.
    seconds : float
        Of a job, from its start.
    memory_bytes : int
        Of a worker process, on Linux.
    waiting : int
        Jobs that wait.
    per_client : int
        Jobs of one address that wait or run.
    patience : float
        Seconds after which a job that nobody asks about is cancelled.
    kept_seconds : float
        For which a result is there.
    kept_bytes : int
        Of all results; the oldest go first.
    kept_jobs : int
        Ended ones that are known, with or without a result.
    connections : int
        That are open at the same time, half of them of one address.
    idle_seconds : float
        After which a connection without a request is closed.
    """

    upload_bytes: int = 32 << 20
    upload_seconds: float = 60.0
    pixels: int = 1 << 24
    steps: int = 32
    seconds: float = 120.0
    memory_bytes: int = 4 << 30
    waiting: int = 16
    per_client: int = 4
    patience: float = 10.0
    kept_seconds: float = 900.0
    kept_bytes: int = 256 << 20
    kept_jobs: int = 500
    connections: int = 200
    idle_seconds: float = 30.0
