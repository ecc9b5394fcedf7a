"""Many clients of a server at once, and broken ones: `stress_server.py` for some seconds, and a short fuzz."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from fuzz_inputs import Pictures, damage
from running_server import running_server
from small_denoiser import small_denoiser
from stress_server import OPTIONS, check_rest, stress
from test_serve import DENOISE, PLAIN

from spikeunet.engine import save_model

pytestmark = pytest.mark.slow
REQUEST = (
    b"POST /api/jobs?task=denoise&model=gray&name=a.png&steps=2 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
    b"Cookie: spikeunet-1=x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "gray.npz"
    save_model(small_denoiser(), path)
    with running_server("--model", path, *OPTIONS, "--workers", 2, "--threads", 1) as found:
        yield found


def test_many_clients_at_once(server):
    counts, errors = stress(server, clients=10, seconds=4)
    assert errors == []
    assert sum(counts.values()) > 10
    check_rest(server)


def test_broken_pictures_end_in_a_result_or_in_one_line(server):
    """The worker that reads them goes on; none of them makes the server say anything but what it says to a client."""
    random, pictures, statuses = np.random.default_rng(0), Pictures(), set()
    before = server.workers()
    for _ in range(120):
        answer = server.ask("POST", "/api/run", pictures(random), PLAIN, name="x", **DENOISE)
        statuses.add(answer.status)
        if answer.status != 200:
            error = answer.json()["error"]
            assert error.startswith(("x: ", "there is no picture", "not enough memory")), error
            assert "\n" not in error
            assert "/" not in error.replace("I/O", ""), error
    assert statuses <= {200, 400, 413, 415}
    assert {200, 415} <= statuses
    assert server.workers() == before


def test_broken_requests_get_an_answer_or_an_end(server):
    random = np.random.default_rng(0)
    for _ in range(150):
        with socket.create_connection((server.host, server.port), 10) as connection:
            connection.sendall(damage(REQUEST, random))
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            answer = b""
            try:
                while piece := connection.recv(4096):
                    answer += piece
            except ConnectionError:
                continue
            # A job that was made is told about, and dropped; nothing is an internal error.
            assert not answer or answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 503")), answer
    check_rest(server)
    assert "Traceback" not in server.end()[1]
