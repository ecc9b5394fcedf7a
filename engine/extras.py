"""Packages that extras bring, and that may be absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from .errors import InputError


def check_extra(what: str, packages: Sequence[str], extra: str) -> None:
    """InputError that names the extra where a package that `what` needs is not installed; none is imported."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if not missing:
        return
    *others, last = missing
    names = f"{', '.join(others)} and {last}, which are" if others else f"{last}, which is"
    raise InputError(f"{what} needs {names} missing; pip install 'spikeunet[{extra}]'")
