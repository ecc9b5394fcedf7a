"""Warnings about pictures become one line on stderr each, as errors do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import PictureWarning
from .guard import remark


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print each PictureWarning as it comes; others are shown as they were."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if not issubclass(category, PictureWarning):
                others(message, category, *rest, **named)
                return
            remark(f"spikeunet: warning: {message}")

        warnings.showwarning = show
        warnings.simplefilter("always", PictureWarning)
        yield
