"""Requests that are refused: one line, and the status of HTTP that fits it."""

from __future__ import annotations

from ..errors import SpikeunetError

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 400, 401, 403, 404, 405
TIMEOUT, TOO_LARGE, NO_PICTURE, MISDIRECTED, TOO_MANY, INTERNAL, BUSY = 408, 413, 415, 421, 429, 500, 503


class RefusedError(SpikeunetError):
    """A request that is not carried out.

    Parameters
    ----------
    message : str
        One line.
    status : int
        Of HTTP.
    retry_after : int, optional
        Seconds after which it may be worth trying again.
    """

    def __init__(self, message: str, status: int = BAD_REQUEST, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
