"""Modules of examples/, which are scripts and no package, for tests of their pieces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@contextmanager
def example_modules(*names: str) -> Iterator[argparse.Namespace]:
    """Modules by name, imported as Python does for a script there; of that folder none stays loaded that was not."""
    before = set(sys.modules)
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield argparse.Namespace(**{name: __import__(name) for name in names})
    finally:
        sys.path.remove(str(EXAMPLES))
        for name, module in list(sys.modules.items()):
            if name not in before and _lies_there(getattr(module, "__file__", None)):
                del sys.modules[name]


def _lies_there(file: str | None) -> bool:
    return file is not None and Path(file).parent == EXAMPLES
