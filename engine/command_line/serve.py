"""`spikeunet serve`."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .console import print_line
from .guard import remark
from .interruptions import STATUS_TERMINATED
from .options import grouped
from .output import asks_for_json, is_quiet

if TYPE_CHECKING:
    from ..serve.application import Setup

TOKEN = "SPIKEUNET_TOKEN"  # noqa: S105 - the name of a variable, as in serve.access

limit_options = grouped(
    click.option("--max-upload", type=click.IntRange(1), default=32, show_default=True, help="MiB of a picture file."),
    click.option(
        "--max-pixels", type=click.IntRange(1), default=1 << 24, show_default=True, help="Of a picture, by its header."
    ),
    click.option("--max-steps", type=click.IntRange(1), default=32, show_default=True, help="Time steps of a run."),
    click.option("--max-seconds", type=click.FloatRange(0.1), default=120, show_default=True, help="Of a job."),
    click.option("--max-memory", type=click.IntRange(512), default=4096, show_default=True, help="MiB of a worker."),
    click.option("--max-waiting", type=click.IntRange(1), default=16, show_default=True, help="Jobs that wait."),
    click.option(
        "--per-client", type=click.IntRange(1), default=4, show_default=True, help="Jobs of one address at a time."
    ),
    click.option(
        "--keep-seconds", type=click.FloatRange(1), default=900, show_default=True, help="For which a result is there."
    ),
    click.option("--keep", type=click.IntRange(1), default=256, show_default=True, help="MiB of all results."),
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), help="0 is a free one.  [default: 8765, or a free one]")
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--token",
    metavar="TEXT",
    envvar=TOKEN,
    help=f"What to ask everybody for; better in {TOKEN}, which other users do not see.  "
    "[default: none; beyond this machine one that is made]",
)
@click.option("--allow-host", multiple=True, metavar="NAME", help="Further name of this server, as of a proxy.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Offer this one alone; may be given again.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Jobs at a time.  [default: 2, or 1]")
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="Of a job.  [default: what there are]")
@limit_options
def serve(
    host: str,
    port: int | None,
    open_: bool,
    token: str | None,
    allow_host: tuple[str, ...],
    models: tuple[str, ...],
    workers: int | None,
    threads: int | None,
    **limits: Any,
) -> None:
    """Serve a page to try networks on pictures, and the same for programs over HTTP.

    Drop a picture on the page, choose what to do, see the result beside the picture and its report. Without --host it
    is there for this machine alone. Beyond it everybody is asked for a token, which is printed; what is sent is not
    encrypted. Ctrl-C ends the server and all that it works on; nothing is kept. Needs spikeunet[serve].

    \b
    Examples:
      spikeunet serve --open
      spikeunet serve --model vessels.npz --max-seconds 30
      SPIKEUNET_TOKEN=$(openssl rand -hex 16) spikeunet serve --host 0.0.0.0
    """
    from ..serve.texts import check_serve

    check_serve()
    import asyncio

    from .. import clear_caches
    from ..serve.application import address_of, listening_socket
    from ..serve.application import serve as serve_until_a_signal

    setup = _setup(host, port, token, allow_host, models, workers, threads, limits)
    # Models were read for what their files say; only workers run them.
    clear_caches()
    for line in setup.catalogue.damaged:
        remark(f"spikeunet: warning: {line}")
    with listening_socket(host, port) as listening:
        url = address_of(listening, host)
        number = asyncio.run(serve_until_a_signal(setup, listening, lambda: _tell(url, setup, open_)))
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(STATUS_TERMINATED)


def _setup(
    host: str,
    port: int | None,
    token: str | None,
    allowed_hosts: tuple[str, ...],
    models: tuple[str, ...],
    workers: int | None,
    threads: int | None,
    limits: dict[str, Any],
) -> Setup:
    from ..serve.access import check_token, is_loopback, made_token
    from ..serve.application import Setup
    from ..serve.catalogue import catalogue
    from ..serve.limits import Limits
    from ..threads import available_processors

    if token is not None:
        check_token(token)
    elif not is_loopback(host):
        if is_quiet():
            raise InputError(f"--quiet would hide the token that is made; give one in {TOKEN}")
        token = made_token()
    processors = available_processors()
    count = workers or min(2, processors)
    mib = 1 << 20
    return Setup(
        catalogue=catalogue(models),
        limits=Limits(
            upload_bytes=limits["max_upload"] * mib,
            pixels=limits["max_pixels"],
            steps=limits["max_steps"],
            seconds=limits["max_seconds"],
            memory_bytes=limits["max_memory"] * mib,
            waiting=limits["max_waiting"],
            per_client=limits["per_client"],
            kept_seconds=limits["keep_seconds"],
            kept_bytes=limits["keep"] * mib,
        ),
        host=host,
        port=port,
        token=token,
        allowed_hosts=allowed_hosts,
        workers=count,
        threads=threads or max(1, processors // count),
    )


def _tell(url: str, setup: Setup, open_: bool) -> None:
    """Say where the page is, and what to beware of."""
    from ..serve.access import is_loopback

    page = url if setup.token is None else f"{url}?token={setup.token}"
    if asks_for_json():
        click.echo(json.dumps({"url": url, "token": setup.token, "page": page}))
    else:
        print_line(f"{page}  (Ctrl-C ends it)")
    if not is_loopback(setup.host):
        remark(
            f"spikeunet: warning: everybody who reaches this machine reaches the page at {url}, and who has the token "
            "may use it; nothing is encrypted: beyond a network that you trust, put a proxy with TLS before it"
        )
    if open_:
        # Without the token, which other users of the machine would see in the list of processes: the page asks for it.
        click.launch(url)
