"""Answers to requests: what every one of them has in common, the page, and what it is made of."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from ..errors import SpikeunetError, first_few, printable
from .access import Access
from .catalogue import EXAMPLES, PICTURES, TASKS, Catalogue, examples_for
from .jobs import Board, Job
from .limits import Limits
from .orders import OF_REQUEST, OPTIONS, SUFFIXES
from .refusals import BAD_REQUEST, INTERNAL, NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED, RefusedError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What the page may load and do."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Server": "spikeunet",
}
"""Headers of every answer."""


@dataclass(frozen=True)
class Site:
    """What all handlers know."""

    access: Access
    board: Board
    catalogue: Catalogue
    limits: Limits
    texts: Mapping[str, str]


class Handler(RequestHandler):
    """A handler whose requests are checked first, and whose errors are one line."""

    open_to_all = False
    """Whether it is answered without a token."""
    navigation = False
    """Whether a link on another site may lead there."""

    def initialize(self, site: Site) -> None:
        """Take what all handlers know."""
        self.site = site

    def set_default_headers(self) -> None:
        """The same for every answer, errors too."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Check who asks, before anything is read or done."""
        headers = self.request.headers
        self.site.access.check_host(_single(headers.get_list("Host")))
        self.site.access.check_origin(headers, navigation=self.navigation)
        if not self.open_to_all:
            self.check_token()

    def check_token(self) -> None:
        """RefusedError where a token is needed and neither header nor cookie shows that it is known."""
        cookie = _cookie(self.request, cookie_name(self.request))
        self.site.access.check_authorization(self.request.headers.get("Authorization"), cookie)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One line, as JSON."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.finish_with_error(status_code, _text_of(error, status_code))

    def send_refusal(self, error: SpikeunetError) -> None:
        """Answer with what an error says."""
        if isinstance(error, RefusedError) and error.retry_after is not None:
            self.set_header("Retry-After", str(error.retry_after))
        self.finish_with_error(getattr(error, "status", BAD_REQUEST), str(error))

    def finish_with_error(self, status: int, text: str) -> None:
        """Answer with one line, as JSON."""
        if self._finished:
            return
        self.set_status(status)
        if status == UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Bearer realm="spikeunet"')
        if status == NOT_ALLOWED:
            self.set_header("Allow", ", ".join(_methods(type(self))))
        self.finish_json({"error": text, "status": status})

    def _handle_request_exception(self, error: BaseException) -> None:
        """As tornado's, but that what is refused on purpose is no fault to log."""
        if not isinstance(error, SpikeunetError):
            super()._handle_request_exception(error)
        elif not self._finished:
            headers = {name: self._headers[name] for name in ("Retry-After",) if name in self._headers}
            self.clear()
            for name, value in headers.items():
                self.set_header(name, value)
            self.send_refusal(error)

    def finish_json(self, values: Any) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(values, allow_nan=False) + "\n")

    @property
    def client(self) -> str:
        """Address of whoever asks."""
        return str(self.request.remote_ip)


def cookie_name(request: HTTPServerRequest) -> str:
    """Cookies are shared by all ports of a host, so that the port is a part of the name."""
    port = request.headers.get("Host", "").rpartition(":")[2]
    return f"spikeunet-{port if port.isdigit() else 'token'}"


def _single(values: list[str]) -> str | None:
    return values[0] if len(values) == 1 else None


def _cookie(request: HTTPServerRequest, name: str) -> str | None:
    try:
        morsel = SimpleCookie(request.headers.get("Cookie", "")).get(name)
    except Exception:  # noqa: BLE001 - whatever a client puts there
        return None
    return None if morsel is None else morsel.value


def _methods(handler: type[RequestHandler]) -> list[str]:
    known = {"GET": "get", "POST": "post", "DELETE": "delete"}
    return [name for name, method in known.items() if getattr(handler, method) is not getattr(RequestHandler, method)]


def _text_of(error: BaseException | None, status: int) -> str:
    if isinstance(error, HTTPError) and error.log_message:
        return printable(error.log_message % error.args if error.args else error.log_message)
    known = {NOT_FOUND: "there is nothing at this address", NOT_ALLOWED: "this address knows no such method"}
    return known.get(status, "an internal error; the server's log has more" if status >= INTERNAL else "a bad request")


class NothingHandler(Handler):
    """What there is at any other address."""

    def prepare(self) -> None:
        """Nothing, for whoever may ask."""
        super().prepare()
        raise RefusedError("there is nothing at this address", NOT_FOUND)


class PageHandler(Handler):
    """The page; with the token in its address, which it takes out of there."""

    open_to_all = True
    navigation = True

    def get(self) -> None:
        """The page, or a field for the token."""
        given = self.get_query_argument("token", None)
        if given is not None and self.site.access.is_token(given):
            # Lax, as a link may lead here: what changes anything looks at where a request comes from besides.
            self.set_cookie(
                cookie_name(self.request), self.site.access.session, httponly=True, samesite="Lax", path="/"
            )
            self.redirect("/", status=303)
            return
        try:
            self.check_token()
        except RefusedError:
            self.set_status(UNAUTHORIZED)
            self._send("token-again" if given is not None else "token")
            return
        self._send("page")

    def _send(self, name: str) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.site.texts[name])


class PartHandler(Handler):
    """Style and scripts of the page, which hold nothing that is secret."""

    open_to_all = True
    kinds: Mapping[str, str] = {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }

    def get(self, name: str) -> None:
        """A part by its name, of which there are few."""
        self.set_header("Content-Type", self.kinds[Path(name).suffix])
        self.finish(self.site.texts[name])


class ExampleHandler(Handler):
    """Pictures that come along."""

    def get(self, name: str) -> None:
        """A picture by its file's name, of which there are few."""
        files = {example.file for example in EXAMPLES.values()}
        if name not in files:
            raise RefusedError("there is no such example", NOT_FOUND)
        self.set_header("Content-Type", "image/png" if name.endswith(".png") else "image/webp")
        self.finish((PICTURES / name).read_bytes())


class AboutHandler(Handler):
    """What there is to ask for."""

    def get(self) -> None:
        """Models, parameters, limits, examples."""
        from importlib.metadata import version

        found, limits = self.site.catalogue, self.site.limits
        self.finish_json(
            {
                "spikeunet": version("spikeunet"),
                "tasks": {
                    task: {
                        "models": found.names(task),
                        "parameters": [*OF_REQUEST, *OPTIONS[task]],
                        "formats": list(SUFFIXES[task]),
                    }
                    for task in TASKS
                    if task in found.tasks
                },
                "models": [offer.as_json() for offer in found.offers.values()],
                "examples": [example.as_json() for example in examples_for(found)],
                "limits": vars(limits),
            }
        )


class JobHandler(Handler):
    """What is known of a job."""

    async def get(self, key: str) -> None:
        """Its state, at once or when something is other than at `version`, after `wait` seconds at the latest."""
        job = self.site.board.find(key)
        seconds, version = self._number("wait", _LONGEST_WAIT), self._number("version", 1 << 31)
        self._asked = job
        with job.attended():
            if seconds and self.get_query_argument("version", None) is not None:
                await self._changed(job, int(version), seconds)
            self.finish_json(self.site.board.describe(job))

    async def _changed(self, job: Job, version: int, seconds: float) -> None:
        """Wait for a change, and no longer than whoever asked does."""
        self._waiting = asyncio.ensure_future(job.changed_since(version, seconds))
        try:
            await self._waiting
        except asyncio.CancelledError:
            if self._waiting.cancelled():
                return
            raise

    def on_connection_close(self) -> None:
        """Nobody waits any more."""
        waiting = getattr(self, "_waiting", None)
        if waiting is not None:
            waiting.cancel()

    def delete(self, key: str) -> None:
        """Stop the job, and remove what there is of it."""
        job = self.site.board.find(key)
        self.site.board.forget(job)
        self.finish_json(self.site.board.describe(job))

    def _number(self, name: str, most: float) -> float:
        text = self.get_query_argument(name, "0")
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise RefusedError(f"{name} {text!r} is no number from 0 up")
        return min(number, most)


_LONGEST_WAIT = 30.0


class FileHandler(Handler):
    """Files that a job has made."""

    async def get(self, key: str, name: str) -> None:
        """A file by its name."""
        job = self.site.board.find(key)
        found = result_files(job)
        if name not in found:
            raise RefusedError(f"the job has no {name!r}; it has {first_few(found) or 'nothing yet'}", NOT_FOUND)
        await send_file(self, found[name], download=self.get_query_argument("download", None) is not None)


@dataclass(frozen=True)
class ResultFile:
    """A file that a job has made, its kind, and what it is called where it is saved."""

    path: Path
    kind: str
    saved_as: str


_KINDS = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json; charset=utf-8",
}
_RESULTS = {"denoise": "denoised", "derain": "derained", "segment": "labels"}


def result_files(job: Job) -> dict[str, ResultFile]:
    """The files that a job has made so far, by name."""
    if job.result is None:
        return {}
    suffix, found = f".{job.order.suffix}", {}
    names = {"result": suffix, "overlay": suffix, "before": ".webp", "after": ".webp"}
    if job.report == "ready":
        names["report"] = ".html"
    for name, ending in {**names, "numbers": ".json"}.items():
        path = job.folder / f"{'report' if name == 'numbers' else name}{ending}"
        if path.is_file():
            what = _RESULTS[job.order.task] if name == "result" else name
            kind = _KINDS.get(ending, "application/octet-stream")
            found[name] = ResultFile(path, kind, f"{job.order.stem}-{what}{ending}")
    return found


REPORT_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'none'"
"""Of a report, which has a policy of its own, too: it is a page of no site, which could ask this server nothing."""
_PIECE = 1 << 18
_SLOWEST = 120.0
"""Seconds for a client to take a file."""


async def send_file(handler: Handler, file: ResultFile, *, download: bool) -> None:
    """Send a file piece by piece, as the client takes it."""
    handler.set_header("Content-Type", file.kind)
    if file.kind.startswith("text/html"):
        handler.set_header("Content-Security-Policy", REPORT_POLICY)
    place = "attachment" if download else "inline"
    handler.set_header("Content-Disposition", f"{place}; filename*=UTF-8''{quote(file.saved_as, safe='')}")
    handler.set_header("Content-Length", str(file.path.stat().st_size))
    end = time.monotonic() + _SLOWEST
    try:
        with open(file.path, "rb") as stream:
            while piece := stream.read(_PIECE):
                handler.write(piece)
                await asyncio.wait_for(handler.flush(), max(0.0, end - time.monotonic()))
        handler.finish()
    except (StreamClosedError, TimeoutError):
        # The client is gone, or takes too long; there is nothing left to say to it.
        cast(HTTP1Connection, handler.request.connection).close()
