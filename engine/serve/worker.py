"""A worker: a process that is told by lines of JSON on stdin what to do, and tells on stdout what happens.

Nothing that a hostile picture could do to it reaches the server but such lines. It ends when stdin does: with the
server, however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from io import TextIOBase
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..command_line.warning_lines import warnings_as_lines
from ..threads import run_in_background
from .orders import Order
from .refusals import INTERNAL
from .work import Place, carry_out, pixels_in

UPLOAD = "upload"
"""Name of the picture's file in a job's folder."""

_PREFIX = "spikeunet: "


class _Lines(TextIOBase):
    """Takes what the commands would print to stderr, line by line: remarks, warnings, what takes long."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say, self._text = say, ""

    def write(self, text: str) -> int:
        """Say each line that is complete."""
        *lines, self._text = (self._text + text).split("\n")
        for line in filter(None, lines):
            self._say(remark=line.removeprefix(_PREFIX))
        return len(text)


def main() -> None:
    """Work until stdin ends."""
    say, lines = _taken_stdout(), SimpleQueue[dict[str, Any]]()
    _log_to(say)
    run_in_background(lambda: _read_lines(lines))
    setup = lines.get()
    _limit(setup)
    _warm_up(setup)
    say(ready=True)
    while True:
        _work(lines.get(), setup, say)
        say(done=True)


def _taken_stdout() -> Callable[..., None]:
    """What says something to the server; whatever else is printed from now on goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**values: Any) -> None:
        channel.write(json.dumps(values) + "\n")
        channel.flush()

    return say


class _Messages(logging.Handler):
    """Takes what the engine logs: what takes long is the stage that a job is at, all else a remark."""

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._say(**{"stage" if record.levelno <= logging.INFO else "remark": record.getMessage()})


def _log_to(say: Callable[..., None]) -> None:
    log = logging.getLogger("spikeunet")
    log.addHandler(_Messages(say))
    log.setLevel(logging.INFO)
    log.propagate = False


def _read_lines(lines: SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        lines.put(json.loads(line))
    # The server is gone, and whatever is being computed is for nobody.
    os._exit(0)


def _limit(setup: dict[str, Any]) -> None:
    from ..pictures.decoding import limit_pixels

    limit_pixels(setup["pixels"])
    with suppress(ImportError, ValueError, OSError):
        import resource

        # What is mapped and not touched costs nothing: the data are what counts, which only Linux limits.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (setup["memory"], hard))


def _warm_up(setup: dict[str, Any]) -> None:
    """Load what a job takes, compile its kernels if need be, so that the first client does not wait for that."""
    import numpy as np

    from ..report.page import template_part
    from ..tasks.denoising import denoise
    from ..tasks.deraining import derain
    from ..tasks.segmentation import segment

    template_part("page.js")
    known: dict[str, Callable[..., object]] = {"denoise": denoise, "derain": derain, "segment": segment}
    for task, model in setup["warm"]:
        known[task](np.full((64, 64), 0.5, np.float32), model, threads=setup["threads"])


def _work(line: dict[str, Any], setup: dict[str, Any], say: Callable[..., None]) -> None:
    folder, order = Path(line["folder"]), Order.from_json(line["order"])
    try:
        content = (folder / UPLOAD).read_bytes()
    except OSError as error:
        # Cancelled before it began; or the disk fails.
        say(error=f"{order.name}: cannot be read ({error.strerror})", status=INTERNAL)
        return
    say(pixels=pixels_in(content), stage="reading")
    with redirect_stderr(_Lines(say)), warnings.catch_warnings(), warnings_as_lines():
        carry_out(order, content, Place(folder, setup["models"], setup["threads"], setup["memory"]), say)


if __name__ == "__main__":
    main()
