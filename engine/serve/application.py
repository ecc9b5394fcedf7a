"""The server: its addresses, what it listens on, and its end."""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application

from ..errors import InputError
from .access import Access
from .catalogue import Catalogue
from .handlers import (
    AboutHandler,
    ExampleHandler,
    FileHandler,
    JobHandler,
    NothingHandler,
    PageHandler,
    PartHandler,
    Site,
)
from .jobs import Board
from .limits import Limits
from .pool import Pool
from .texts import made_texts
from .uploads import JobsHandler, RunHandler

DEFAULT_PORT = 8765
_KEY = r"([A-Za-z0-9_-]{10,40})"
_HEADER_BYTES, _BODY_BYTES = 16 << 10, 16 << 10
_BACKLOG = 64


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a server is started with.

    Parameters
    ----------
    catalogue : Catalogue
    limits : Limits
    host : str
    port : int or None
        0 for a free one; None for the usual one, or a free one where that is taken.
    token : str or None
    allowed_hosts : sequence of str
    workers, threads : int
        Processes, and threads of each.
    """

    catalogue: Catalogue
    limits: Limits = field(default_factory=Limits)
    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 1
    threads: int = 1


def listening_socket(host: str, port: int | None) -> socket.socket:
    """A socket that listens; InputError where it cannot."""
    try:
        return _bound(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return listening_socket(host, 0)
        remedy = "; --port 0 takes a free one" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror or error}{remedy}") from None
    except OverflowError:
        raise InputError(f"a port lies between 0 and 65535 (got {port})") from None


def _bound(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    found = socket.socket(family, kind)
    try:
        if hasattr(signal, "SIGKILL"):  # on Windows it would let two programs listen on one port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found


def address_of(listening: socket.socket, host: str) -> str:
    """What to put into a browser."""
    port = listening.getsockname()[1]
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - a comparison
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class _Server(HTTPServer):
    """An HTTP server with so many connections at most, and half of them of one address."""

    most_connections = 200

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """As tornado's; one too many is closed at once."""
        own = sum(getattr(each.context, "remote_ip", None) == address[0] for each in self._connections)
        if len(self._connections) >= self.most_connections or own >= max(1, self.most_connections // 2):
            stream.close()
            return
        super().handle_stream(stream, address)


def application(setup: Setup, board: Board) -> Application:
    """All addresses."""
    access = Access(setup.host, setup.token, setup.allowed_hosts)
    site = Site(access, board, setup.catalogue, setup.limits, made_texts(setup.catalogue, setup.limits))
    known = {"site": site}
    rules: list[Any] = [
        (r"/", PageHandler, known),
        (r"/(style\.css|page\.js|try\.js|icon\.svg)", PartHandler, known),
        (r"/examples/([a-z.]+)", ExampleHandler, known),
        (r"/api", AboutHandler, known),
        (r"/api/jobs", JobsHandler, known),
        (r"/api/run", RunHandler, known),
        (rf"/api/jobs/{_KEY}", JobHandler, known),
        (rf"/api/jobs/{_KEY}/([a-z]+)", FileHandler, known),
    ]
    # Addresses may hold a token: nothing is logged of requests.
    return Application(
        rules, default_handler_class=NothingHandler, default_handler_args=known, log_function=lambda _: None
    )


async def serve(setup: Setup, listening: socket.socket, started: Callable[[], None] | None = None) -> int:
    """Answer requests until a signal comes, then end everything.

    Parameters
    ----------
    setup : Setup
    listening : socket
        Is closed at the end.
    started : function, optional
        Called when requests are answered.

    Returns
    -------
    int
        Number of the signal.
    """
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with _signals(ended), _folder() as folder:
        board = Board(folder, setup.limits)
        pool = Pool(board, setup.limits, setup.catalogue, folder, setup.workers, setup.threads)
        server = _server(setup, board, listening)
        pool.start()
        tidying = asyncio.create_task(_tidy(board))
        try:
            if started is not None:
                started()
            return await ended
        finally:
            tidying.cancel()
            server.stop()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.close_all_connections(), 2)
            await pool.stop()
            # Whoever is still being answered cannot be told.
            logging.getLogger("tornado.general").setLevel(logging.CRITICAL)


def _server(setup: Setup, board: Board, listening: socket.socket) -> HTTPServer:
    server = _Server(
        application(setup, board),
        idle_connection_timeout=setup.limits.idle_seconds,
        body_timeout=setup.limits.upload_seconds + 5,
        max_header_size=_HEADER_BYTES,
        max_body_size=_BODY_BYTES,
    )
    server.most_connections = setup.limits.connections
    server.add_sockets([listening])
    return server


async def _tidy(board: Board) -> None:
    while True:
        await asyncio.sleep(0.5)
        board.tidy()


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder of mode 0700, removed with all that is in it."""
    folder = tempfile.mkdtemp(prefix="spikeunet-serve-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals(ended: asyncio.Future[int]) -> Iterator[None]:
    """Note the first signal that asks for the end; where the system has no such handlers, Python's own do."""
    loop, before = asyncio.get_running_loop(), {}

    def note(number: int) -> None:
        if not ended.done():
            ended.set_result(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        with suppress(NotImplementedError, RuntimeError, ValueError):
            if number is not None:
                handler = signal.getsignal(number)
                loop.add_signal_handler(number, note, number)
                before[number] = handler
    try:
        yield
    finally:
        for number, handler in before.items():
            # Which puts Python's own handlers there, whatever was there before.
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)
