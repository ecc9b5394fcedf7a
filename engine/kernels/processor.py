"""What the processor can do that kernels are compiled for: its features, vector registers and accumulators."""

from __future__ import annotations

import functools
import platform

from numba import config
from numba.core.codegen import get_host_cpu_features


@functools.cache
def host_features() -> frozenset[str]:
    """What this processor can do, as far as Numba is allowed to use it: what Numba compiles for."""
    allowed = config.CPU_FEATURES
    names = allowed if allowed is not None else get_host_cpu_features()
    return frozenset(name[1:] for name in names.split(",") if name.startswith("+"))


@functools.cache
def host_lanes() -> int:
    """Number of float32 lanes in this processor's vector registers."""
    if "avx512f" in host_features():
        return 16
    return 8 if "avx2" in host_features() else 4


@functools.cache
def host_accumulators() -> int:
    """Vectors that a kernel may keep in registers as accumulators; a few more are needed for weights and values."""
    many = host_lanes() == 16 or platform.machine().lower() in {"aarch64", "arm64"}
    return 24 if many else 12
