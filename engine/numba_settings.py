"""Numba's settings (environment variables NUMBA_...): followed where that works, else refused with name and remedy."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

from .errors import SettingError

_UNREADABLE = re.compile(r"Environment variable '(\w+)' is defined but its associated value '(.*?)' could", re.DOTALL)


def check_settings() -> None:
    """Load Numba; SettingError where one of its settings cannot be followed."""
    _load_numba()
    from numba import config

    if config.DISABLE_JIT:
        raise SettingError(
            "NUMBA_DISABLE_JIT is set, but kernels are written in processor instructions and cannot be interpreted; "
            "unset it"
        )
    if not config.OPT:
        raise SettingError(
            "NUMBA_OPT=0 leaves processor instructions in kernels that are for other processors; set 1, 2, 3 or max, "
            "or unset it"
        )
    _check_processor(config.CPU_NAME, config.CPU_FEATURES)


def _load_numba() -> None:
    """Import Numba; what it warns of in several lines, or raises, becomes one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import numba  # noqa: F401
        except Exception as error:
            if not (names := _settings_made()):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise SettingError(f"Numba does not load: {reason}; correct or unset {names}") from None
    for warning in caught:
        if found := _UNREADABLE.match(str(warning.message)):
            raise SettingError(f"{found[1]}={found[2]} cannot be read by Numba; correct or unset it")
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _settings_made() -> str:
    """Numba's settings that this process was given."""
    names = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    return " ".join([*names, *([".numba_config.yaml"] if Path(".numba_config.yaml").is_file() else [])])


def _check_processor(name: str | None, features: str | None) -> None:
    """SettingError where kernels would be compiled for a processor that LLVM does not know, or that this one is not."""
    if name is None and not features:
        return
    import llvmlite.binding as llvm

    host: dict[str, bool] = dict(llvm.get_host_cpu_features())
    for feature in (features or "").split(",") if features else ():
        if feature[:1] not in ("+", "-"):  # LLVM would abort.
            raise SettingError(
                f"NUMBA_CPU_FEATURES={features}: {feature!r} has no sign; write +NAME or -NAME, separated by commas"
            )
        if feature[0] == "+" and not host.get(feature[1:], True):
            raise SettingError(
                f"NUMBA_CPU_FEATURES={features}: this processor has no {feature[1:]}; leave it out, or unset it"
            )
    if complaint := _complaint_of_llvm(llvm, name, features):
        setting = "NUMBA_CPU_FEATURES" if "feature" in complaint else "NUMBA_CPU_NAME"
        value = features if "feature" in complaint else name
        raise SettingError(f"{setting}={value}: {complaint.split(' (')[0]}; correct or unset it")


def _complaint_of_llvm(llvm: Any, name: str | None, features: str | None) -> str:
    """The line that LLVM writes to stderr, not to be had in any other way, about what it would ignore."""
    llvm.initialize_native_target()
    try:
        kept = os.dup(2)
    except OSError:  # It is closed.
        return ""
    reader, writer = os.pipe()
    try:
        os.dup2(writer, 2)
        llvm.Target.from_default_triple().create_target_machine(cpu=name or "", features=features or "")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(writer)
    with open(reader, "rb") as stream:
        return stream.readline().decode(errors="replace").strip()
