"""`spikeunet doctor`."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Any

import click

from .console import print_fields, print_line, print_rows
from .guard import STATUS_ERROR, report_error
from .output import put_data

TELLING = ("sse4.2", "avx2", "fma", "avx512f", "avx512vnni", "amx-tile", "amx-int8", "neon")
"""Features of processors that kernels are chosen by."""


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say what this machine and this installation bring along: a text to put into a report of a fault.

    The processor and which kernels will run on it, where kernels are kept and whether that can be written, threads and
    BLAS libraries, versions, and which extras are installed. Status 2 where something keeps networks from running, or
    kernels from being kept.

    \b
    Examples:
      spikeunet doctor
      spikeunet doctor --json
    """
    found = examined()
    put_data(found)
    _print(found)
    if found["problems"]:
        for problem in found["problems"]:
            report_error(problem)
        context.exit(STATUS_ERROR)


def examined() -> dict[str, Any]:
    """What there is, as JSON values; `problems` are lines that name what is wrong and its remedy."""
    cache = _cache()
    return {
        "spikeunet": version("spikeunet"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "kernels": _kernels(),
        "cache": cache,
        "threads": _threads(),
        "packages": _packages(),
        "extras": _extras(),
        "problems": [cache["problem"]] if cache["problem"] else [],
    }


def _processor() -> dict[str, Any]:
    from ..kernels.processor import host_accumulators, host_features, host_lanes

    features = host_features()
    return {
        "name": _processor_name(),
        "features": [name for name in TELLING if name in features],
        "all_features": sorted(features),
        "float32_lanes": host_lanes(),
        "accumulators": host_accumulators(),
    }


def _processor_name() -> str:
    """As Linux tells it; elsewhere what Numba compiles for."""
    import llvmlite.binding

    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, "") or str(llvmlite.binding.get_host_cpu_name())
    except OSError:
        return str(llvmlite.binding.get_host_cpu_name())


_NEEDS = {
    "amx": ("avx512f", "amx-tile", "amx-int8"),
    "vnni": ("avx512f", "avx512vnni"),
    "portable": (),
}
"""Features that each kind of kernels in integers needs."""


def _kernels() -> dict[str, dict[str, Any]]:
    """Which kernels run here, and why or why not."""
    from ..binding.kernel_choice import EVENT_INTEGERS, EVENTS, SHARE_THAT_PAYS, allowed_kernels
    from ..kernels.dot import host_dots
    from ..kernels.processor import host_features

    chosen = allowed_kernels().integers
    found: dict[str, dict[str, Any]] = {EVENTS: {"runs": True, "why": "from event to event; everywhere"}}
    walks = EVENT_INTEGERS in allowed_kernels()
    why = "needs avx512vnni, or avx2 without AVX-512"
    if walks:
        why = "from event to event where weights are 8-bit integers"
    found[EVENT_INTEGERS] = {"runs": walks, "why": why}
    for kind, needed in _NEEDS.items():
        missing = [name for name in needed if name not in host_features()]
        share = f"where more than {SHARE_THAT_PAYS[kind]:.0%} of the neurons fire and weights are 8-bit integers"
        if kind == chosen:
            why = f"in integers, {share}"
        elif missing:
            why = f"the processor lacks {', '.join(missing)}"
        elif kind not in host_dots():
            why = "the system does not grant the tile registers"
        else:
            why = "slower than others here; --kernels takes it all the same"
        found[kind] = {"runs": kind == chosen, "why": why}
    return found


def _cache() -> dict[str, Any]:
    from ..kernel_cache import cache_folder

    folder = cache_folder()
    variable = next((name for name in ("SPIKEUNET_CACHE", "NUMBA_CACHE_DIR") if os.environ.get(name)), None)
    problem = _unwritable(folder)
    kernels = [] if folder is None else [path for path in folder.rglob("*.kernel") if path.is_file()]
    return {
        "folder": None if folder is None else str(folder),
        "named_by": variable,
        "writable": problem is None,
        "kernels": len(kernels),
        "bytes": sum(path.stat().st_size for path in kernels),
        "problem": problem,
    }


def _unwritable(folder: Path | None) -> str | None:
    """Why kernels cannot be kept in a folder that may be yet to be made; nothing is left behind by trying."""
    remedy = "kernels are compiled in each run; set SPIKEUNET_CACHE to a folder of your own"
    if folder is None:
        return f"there is no folder to keep kernels in, so that {remedy}"
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        return f"{folder}: kernels cannot be kept there ({error.strerror or error}), so that {remedy}"
    return None


def _threads() -> dict[str, Any]:
    from ..threads import available_processors
    from ..threads.blas import blas_libraries
    from ..threads.processors import processor_quota

    return {"used": available_processors(), "quota": processor_quota(), "blas": blas_libraries()}


def _requirements() -> Mapping[str, list[str]]:
    """Distributions that the package asks for, by extra; those that it always needs under no name."""
    found: dict[str, list[str]] = {"": []}
    for text in requires("spikeunet") or []:
        name, extra = re.match(r"[\w.-]+", text), re.search(r"extra == [\"']([\w-]+)", text)
        if name is not None:
            found.setdefault(extra[1] if extra else "", []).append(name[0])
    return found


def _installed(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _packages() -> dict[str, str | None]:
    return {name: _installed(name) for name in (*_requirements()[""], "llvmlite")}


def _extras() -> dict[str, dict[str, Any]]:
    extras = {extra: names for extra, names in _requirements().items() if extra}
    found = {}
    for extra, names in sorted(extras.items()):
        versions = {name: _installed(name) for name in names}
        found[extra] = {"installed": None not in versions.values(), "packages": versions}
    return found


def _print(found: Mapping[str, Any]) -> None:
    processor, cache, threads = found["processor"], found["cache"], found["threads"]
    why = f", named by {cache['named_by']}" if cache["named_by"] else ""
    state = "can be written" if cache["writable"] else "CANNOT be written"
    quota = "" if threads["quota"] is None else f", of a quota of {threads['quota']:g} processors"
    print_fields(
        [
            ("spikeunet", f"{found['spikeunet']}, {found['python']} ({sys.executable})"),
            ("system", found["system"]),
            ("processor", f"{processor['name']}: {', '.join(processor['features']) or 'no features that matter here'}"),
            ("vectors", f"{processor['float32_lanes']} float32, {processor['accumulators']} accumulators"),
            ("cache", f"{cache['folder']}{why}; {state}, {cache['kernels']} kernels, {cache['bytes']:,} bytes"),
            ("threads", f"{threads['used']}{quota}"),
            *(("BLAS", _library(library)) for library in threads["blas"]),
            ("packages", ", ".join(f"{name} {number or 'MISSING'}" for name, number in found["packages"].items())),
        ]
    )
    print_line()
    rows = [[name, "yes" if kernel["runs"] else "no", kernel["why"]] for name, kernel in found["kernels"].items()]
    print_rows(["kernels", "run", "why"], rows)
    print_line()
    print_rows(["extra", "installed", "packages"], [_extra(*item) for item in found["extras"].items()])


def _library(library: Mapping[str, Any]) -> str:
    return f"{library['internal_api']} {library['version']}, {library['num_threads']} threads: {library['filepath']}"


def _extra(name: str, extra: Mapping[str, Any]) -> list[str]:
    packages = ", ".join(f"{package} {number or '(missing)'}" for package, number in extra["packages"].items())
    return [name, "yes" if extra["installed"] else "no", packages]
