"""A thread that lives as long as the process does."""

from __future__ import annotations

import threading
from collections.abc import Callable


def run_in_background(function: Callable[[], object]) -> None:
    """Call a function in a thread of its own, for which nobody waits, not even the end of the process."""
    threading.Thread(target=function, name="spikeunet", daemon=True).start()
