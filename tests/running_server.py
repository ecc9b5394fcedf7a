"""A server as users start it: `spikeunet serve` in a process of its own, and small requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit


@dataclass
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


class RunningServer:
    """A process that serves, and requests to it."""

    def __init__(self, process, said, folder):
        self.process, self.folder = process, Path(folder)
        self.url, self.token, self.page = said["url"], said["token"], said["page"]
        self.host, self.port = "127.0.0.1", urlsplit(self.url).port

    def connect(self, timeout=180):
        """A connection."""
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, **parameters):
        """Send a request and read the answer; parameters go into the address."""
        query = urlencode({name.replace("_", "-"): value for name, value in parameters.items()})
        connection = self.connect()
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def follow(self, key, until=("done", "failed", "cancelled")):
        """Ask about a job until it has ended and its report is drawn."""
        job = self.ask("GET", f"/api/jobs/{key}").json()
        while job["state"] not in until or job["report"] == "drawing":
            job = self.ask("GET", f"/api/jobs/{key}", wait=20, version=job["version"]).json()
        return job

    def left_over(self):
        """Temporary folders that the server has."""
        return list(self.folder.glob("spikeunet-serve-*"))

    def workers(self):
        """Process ids of its workers (on Linux)."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
                text = (path.parent / "cmdline").read_text()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and fields[0] != "Z" and "spikeunet.engine.serve.worker" in text:
                found.append(int(path.parent.name))
        return sorted(found)

    def end(self, number=signal.SIGINT):
        """Send a signal and wait; returns the exit status and what was printed to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def running_server(*options, **variables):
    """A server on a free port, with the options of the command, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "spikeunet", "serve", "--port", "0", "--json", *map(str, options)]
        environment = {**os.environ, "TMPDIR": folder, **variables}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield RunningServer(process, json.loads(line), folder)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=30)


def wait_until(condition, seconds=20.0):
    """Wait until something is true; fails where it is not by then."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.05)
