"""Pictures that are sent: taken as they come, up to the limit, and made a job."""

from __future__ import annotations

import asyncio
from asyncio import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO, cast

from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from ..errors import SpikeunetError, printable
from .catalogue import EXAMPLES
from .handlers import Handler, result_files, send_file
from .jobs import CANCELLED, DONE, FAILED, Job
from .orders import Order, read_order
from .refusals import BAD_REQUEST, BUSY, NO_PICTURE, NOT_ALLOWED, TIMEOUT, TOO_LARGE, RefusedError
from .worker import UPLOAD

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What forms of any site can send."""
_LINGER = 2.0
"""Seconds in which what a refused client still sends is thrown away, so that it reads why it was refused."""
_ANY = 1 << 50
_LONGEST_HEADER = 500


@stream_request_body
class UploadHandler(Handler):
    """Takes a picture and makes it a job."""

    def prepare(self) -> None:
        """Refuse at once what the header tells; else make room for the picture."""
        # The picture is counted here, so that too large a one gets an answer.
        cast(HTTP1Connection, self.request.connection).set_max_body_size(_ANY)
        self._stack, self._size = ExitStack(), 0
        self._job: Job | None = None
        self._refused = self._ends_at_once = self._drained = False
        try:
            super().prepare()
            self._check_headers()
            self.order = self.read_order()
            self.folder = self._stack.enter_context(self.site.board.arriving(self.client))
            self._file: BinaryIO = open(self.folder / UPLOAD, "wb")  # noqa: SIM115 - closed with the stack
            self._stack.push(self._file)
        except SpikeunetError as error:
            self._refuse(error)
        except BaseException:
            self._close_soon()
            raise
        else:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.site.limits.upload_seconds, self._too_slow)
            self._stack.callback(timer.cancel)

    def read_order(self) -> Order:
        """What the address asks for."""
        names = self.request.query_arguments
        parameters = {name: self.get_query_argument(name) for name in names}
        return read_order(parameters, self.site.catalogue, self.site.limits)

    def _check_headers(self) -> None:
        if self.request.method != "POST":
            raise RefusedError("this address knows no such method", NOT_ALLOWED)
        headers = self.request.headers
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _FORMS:
            raise RefusedError(
                f"send the picture's file itself, not {kind}: curl -T picture.png -X POST, or with the header "
                "Content-Type: application/octet-stream",
                NO_PICTURE,
            )
        if headers.get("Content-Encoding", "identity") != "identity":
            raise RefusedError("send the picture's file as it is, without a Content-Encoding", NO_PICTURE)
        length = headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > self.site.limits.upload_bytes:
            raise self._too_large()

    def _too_large(self) -> RefusedError:
        most = self.site.limits.upload_bytes
        return RefusedError(f"the file is larger than {most} bytes, the most that this server takes", TOO_LARGE)

    def data_received(self, chunk: bytes) -> None:
        """Take a piece of the picture, or throw it away where it was refused."""
        if self._refused:
            return
        self._size += len(chunk)
        if self._size > self.site.limits.upload_bytes:
            self._refuse(self._too_large())
            return
        try:
            self._file.write(chunk)
        except OSError as error:
            self._refuse(RefusedError(f"the picture cannot be kept ({error.strerror}); try again later", BUSY))

    def _too_slow(self) -> None:
        seconds = self.site.limits.upload_seconds
        self._refuse(RefusedError(f"the picture did not arrive within {seconds:g} seconds", TIMEOUT))

    def _refuse(self, error: SpikeunetError) -> None:
        """Answer before all of the picture is there, and end the connection a little later."""
        if self._refused:
            return
        self._refused = True
        self.set_header("Connection", "close")
        # Where the client waits for leave to send, there is nothing to throw away.
        self._ends_at_once = "Expect" in self.request.headers
        self.send_refusal(error)
        self._close_soon()

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        """As tornado's; but what refuses a picture that is still being sent is no end yet.

        The connection would be closed, and a client that is still sending would not read why.
        """
        if not self._refused or self._ends_at_once or self._drained:
            return super().finish(chunk)
        if chunk is not None:
            self.write(chunk)
        self.set_header("Content-Length", str(sum(map(len, self._write_buffer))))
        return self.flush()

    def _close_soon(self) -> None:
        self._stack.close()
        stream = cast(HTTP1Connection, self.request.connection).stream
        asyncio.get_running_loop().call_later(_LINGER, stream.close)

    def is_drained(self) -> bool:
        """Whether the picture was refused; all of it has come now, and the answer ends."""
        self._drained = self._refused
        if self._refused and not self._finished:
            self.finish()
        return self._refused

    def submit(self) -> Job:
        """Put the picture, which has arrived, into the queue."""
        self._file.close()
        if self.order.example is not None:
            if self._size:
                raise RefusedError("an example was named, and a picture sent; leave one of them out")
            (self.folder / UPLOAD).write_bytes(EXAMPLES[self.order.example].read())
        elif not self._size:
            raise RefusedError("there is no picture: send its file as the body, or name an example")
        self._job = self.site.board.submit(self.order, self.client, self.folder)
        # The folder is the job's from now on.
        self._stack.close()
        return self._job

    def on_finish(self) -> None:
        """Give back what was set aside."""
        self._stack.close()

    def on_connection_close(self) -> None:
        """Whoever sent it is gone."""
        super().on_connection_close()
        self._stack.close()


class JobsHandler(UploadHandler):
    """Takes a picture, and answers at once with the job's key."""

    async def post(self) -> None:
        """Put it into the queue."""
        if self.is_drained():
            return
        job = self.submit()
        self.set_status(202)
        self.set_header("Location", f"/api/jobs/{job.key}")
        self.finish_json(self.site.board.describe(job))


class RunHandler(UploadHandler):
    """Takes a picture, and answers with the result: for scripts."""

    def read_order(self) -> Order:
        """What the address asks for, without a report, of which nobody would see anything."""
        return replace(super().read_order(), report=False)

    async def post(self) -> None:
        """Wait for the result and send it; a client that goes away cancels it."""
        if self.is_drained():
            return
        job = self.submit()
        try:
            with job.attended():
                while not job.ended:
                    await job.changed_since(job.version, 60)
                if job.state != DONE:
                    self._say_why(job)
                    return
                for name in ("model", "steps"):
                    assert job.result is not None
                    self.set_header(f"X-Spikeunet-{name.title()}", _header(job.result[name]))
                for remark in job.remarks:
                    self.add_header("X-Spikeunet-Remark", _header(remark))
                await send_file(self, result_files(job)["result"], download=True)
        finally:
            self.site.board.forget(job)

    def _say_why(self, job: Job) -> None:
        if job.state == FAILED:
            self.finish_with_error(job.status or BAD_REQUEST, job.error)
        elif job.state == CANCELLED and not self._finished:
            self.finish_with_error(BUSY, job.error)

    def on_connection_close(self) -> None:
        """Nobody waits any more."""
        super().on_connection_close()
        if self._job is not None:
            self.site.board.cancel(self._job, "the client went away")


def _header(value: object) -> str:
    """A value that a header can hold, at its longest."""
    return printable(str(value)).encode("ascii", "backslashreplace").decode()[:_LONGEST_HEADER]
