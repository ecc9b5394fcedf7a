"""Of NumPy's and PyTorch's own threads, one in each of pytest's workers, unless OMP_NUM_THREADS says otherwise.

A worker keeps a processor busy. Where each of them has as many threads as there are processors, these wait for each
other, and do so by looking all the time. To be imported before NumPy is.
"""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
