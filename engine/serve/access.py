"""Who may ask: names of this machine in the Host header, pages of its own, and whoever has the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable, Mapping

from ..errors import InputError
from .refusals import BAD_REQUEST, FORBIDDEN, MISDIRECTED, UNAUTHORIZED, RefusedError

TOKEN = "SPIKEUNET_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable that may hold the token; workers do not see it."""
LEAST_TOKEN = 16
"""Characters of a token that somebody chose."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?")
_SAME_SITE = ("same-origin", "none")


def is_loopback(host: str) -> bool:
    """Whether what listens there can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def made_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def check_token(token: str) -> str:
    """The token, where it is long enough and can be put into an address; InputError otherwise."""
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"a token has at least {LEAST_TOKEN} characters of ASCII and no blanks (got {len(token)}); "
            "leave it out to have one made"
        )
    return token


def host_name(host: str) -> str:
    """The name in a Host header, in lower case, without its port; nothing where it is none."""
    found = _HOST.fullmatch(host.strip().lower())
    return (found[1] or found[2]).rstrip(".") if found else ""


class Access:
    """What is checked of every request, before anything is done for it.

    Parameters
    ----------
    host : str
        What the server listens on.
    token : str or None
        None where everybody on this machine may ask.
    allowed_hosts : iterable of str
        Further names in the Host header, such as that of a proxy.
    """

    def __init__(self, host: str, token: str | None = None, allowed_hosts: Iterable[str] = ()) -> None:
        self.token = token
        # What the cookie holds says nothing about the token, and is no longer good when the server is started again.
        self.session = secrets.token_urlsafe(24)
        self._local = is_loopback(host)
        names = {"localhost", *map(host_name, allowed_hosts)}
        self._names = names if self._local else names | {socket.gethostname().lower(), socket.getfqdn().lower()}

    def check_host(self, host: str | None) -> None:
        """RefusedError where a request is for another machine's name.

        So a page out there whose name is made to lead to this address cannot ask anything: an address in figures, or a
        name of this machine, is none that a stranger has.
        """
        if host is None or not host_name(host):
            raise RefusedError("the request has no single Host header that is a name", BAD_REQUEST)
        if not self._is_own(host_name(host)):
            raise RefusedError(
                f"this server is not {host_name(host)!r}; if it is to be, start it with --allow-host", MISDIRECTED
            )

    def _is_own(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._local

    def check_origin(self, headers: Mapping[str, str], *, navigation: bool = False) -> None:
        """RefusedError where another site's page asks; `navigation` where following a link from there is no harm."""
        site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
        followed = navigation and headers.get("Sec-Fetch-Mode") == "navigate"
        foreign = site is not None and site not in _SAME_SITE
        if origin is not None:
            foreign = foreign or origin.partition("://")[2].lower() != headers.get("Host", "").strip().lower()
        if foreign and not followed:
            raise RefusedError("pages of other sites may not ask this server", FORBIDDEN)

    def check_authorization(self, authorization: str | None, cookie: str | None) -> None:
        """RefusedError where neither the header nor the cookie shows that whoever asks has the token."""
        if self.token is None:
            return
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return
        if cookie is not None and _equal(cookie, self.session):
            return
        raise RefusedError("this server asks for its token: Authorization: Bearer TOKEN", UNAUTHORIZED)

    def is_token(self, given: str) -> bool:
        """Whether that is the token; the time this takes tells nothing of it."""
        return self.token is not None and _equal(given, self.token)


def _equal(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode("utf-8", "surrogateescape"), second.encode())
