"""Hypothesis profiles: no deadline, because the first example may have to compile kernels."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("spikeunet", max_examples=10, deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", max_examples=300, deadline=None, print_blob=True)
settings.load_profile("spikeunet")
