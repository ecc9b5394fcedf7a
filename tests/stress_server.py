"""Many clients of one server at once, well-meaning, impatient, slow and hostile ones; a script, too.

    python tests/stress_server.py [--clients 12] [--seconds 60] [--workers 2]

Every answer must have the status that it should have, results must be those of a single client, and in the end the
server must still answer, hold no job, and leave nothing behind.
"""

from __future__ import annotations

import itertools
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import click
from running_server import running_server, wait_until
from small_denoiser import small_denoiser
from test_serve import DENOISE, PLAIN, picture

from spikeunet.engine import save_model

SMALL, LONG = picture(40, 48), picture(400, 400)
BAD = (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40), picture()[:70], bytes(2_000_000), picture(900, 900))
BUSY = (429, 503)


class Clients:
    """What clients do, and what came of it."""

    def __init__(self, server, expected, seed=0):
        self.server, self.expected = server, expected
        self.counts, self.errors = Counter(), []
        self._seeds = itertools.count(seed)
        self._kinds = (self.runs, self.follows, self.cancels, self.goes_away, self.sends_nonsense, self.is_slow)

    def work(self, end):
        """Do one thing after the other until it is time to go."""
        chance = random.Random(next(self._seeds))
        while time.monotonic() < end and not self.errors:
            kind = chance.choice(self._kinds)
            try:
                kind(chance)
            except BaseException as error:  # noqa: BLE001
                self.errors.append((kind.__name__, error))

    def _note(self, kind, status):
        self.counts[f"{kind} {status}"] += 1
        if status in BUSY:
            time.sleep(0.1)

    def runs(self, chance):
        """Take the result of a call."""
        answer = self.server.ask("POST", "/api/run", SMALL, PLAIN, **DENOISE)
        assert answer.status in (200, *BUSY), answer
        assert answer.status != 200 or answer.body == self.expected
        self._note("run", answer.status)

    def follows(self, chance):
        """Make a job and follow it to its result."""
        answer = self.server.ask("POST", "/api/jobs", SMALL, PLAIN, report="no", **DENOISE)
        self._note("job", answer.status)
        assert answer.status in (202, *BUSY), answer
        if answer.status == 202:
            job = self.server.follow(answer.json()["id"])
            assert job["state"] == "done", job
            assert self.server.ask("GET", f"/api/jobs/{job['id']}/result").body == self.expected
            self.server.ask("DELETE", f"/api/jobs/{job['id']}")

    def cancels(self, chance):
        """Stop a job that is in the midst of it."""
        answer = self.server.ask("POST", "/api/jobs", LONG, PLAIN, steps=32, report="no", **DENOISE)
        if answer.status == 202:
            time.sleep(chance.uniform(0, 0.5))
            answer = self.server.ask("DELETE", f"/api/jobs/{answer.json()['id']}")
            assert answer.status == 200, answer
        self._note("cancel", answer.status)

    def goes_away(self, chance):
        """Ask, and do not wait for the answer."""
        connection = self.server.connect()
        connection.request("POST", "/api/run?model=gray&steps=32", LONG, PLAIN)
        time.sleep(chance.uniform(0, 0.3))
        connection.close()
        self._note("gone", "-")

    def sends_nonsense(self, chance):
        """Send what is no picture, too much, or too large a one."""
        try:
            answer = self.server.ask("POST", "/api/run", chance.choice(BAD), PLAIN, **DENOISE)
        except (ConnectionError, TimeoutError):  # it did not stop sending
            return
        assert answer.status in (400, 413, 415, *BUSY), answer
        self._note("nonsense", answer.status)

    def is_slow(self, chance):
        """Send a picture in small pieces, or a part of one, or no whole request at all."""
        head = f"POST /api/run?model=gray HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(SMALL)}\r\n\r\n".encode()
        with socket.create_connection((self.server.host, self.server.port), 30) as connection:
            connection.sendall(head[: chance.choice((20, len(head)))])
            try:
                for start in range(0, chance.choice((0, 300, len(SMALL))), 300):
                    connection.sendall(SMALL[start : start + 300])
                    time.sleep(0.02)
            except OSError:  # refused meanwhile
                pass
        self._note("slow", "-")


def stress(server, clients, seconds, seed=0):
    """What many clients got in some time, and what went wrong."""
    answer = server.ask("POST", "/api/run", SMALL, PLAIN, **DENOISE)
    assert answer.status == 200, answer
    all_of_them = Clients(server, answer.body, seed)
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=all_of_them.work, args=(end,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all_of_them.counts, all_of_them.errors


def check_rest(server):
    """The server is as it was: it answers, and holds nothing of those who went away."""
    wait_until(lambda: server.ask("POST", "/api/run", SMALL, PLAIN, **DENOISE).status == 200, 30)
    folder = server.left_over()[0]
    wait_until(lambda: list(folder.iterdir()) == [], 30)


OPTIONS = ("--max-upload", 1, "--max-pixels", 200_000, "--per-client", 6, "--max-waiting", 5, "--keep-seconds", 3)


@click.command()
@click.option("--clients", default=12, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(clients, seconds, workers, seed):
    """Stress a server until something fails or the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(small_denoiser(), Path(folder) / "gray.npz")
        models = ("--model", Path(folder) / "gray.npz")
        with running_server(*models, *OPTIONS, "--workers", workers, "--threads", 1) as server:
            counts, errors = stress(server, clients, seconds, seed)
            for name, count in sorted(counts.items()):
                print(f"{name:14}{count:7}")
            print(f"{len(errors)} errors")
            if errors:
                raise errors[0][1]
            check_rest(server)
            memory = Path(f"/proc/{server.process.pid}/status").read_text().partition("VmHWM:")[2].split()[:2]
            status, said = server.end()
            print("most memory of the server", *memory, "status", status, said.strip())
    sys.exit(status != 130)


if __name__ == "__main__":
    main()
