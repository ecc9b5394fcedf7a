"""Arrays in memory that worker processes see."""

from __future__ import annotations

import errno
import gc
import multiprocessing.heap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeunet.engine.errors import InputError
from spikeunet.engine.shared_arrays import SharedArray

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory without a name is Linux's")


def test_an_array_of_zeros_that_needs_no_folder(monkeypatch):
    monkeypatch.setattr(multiprocessing.heap, "Arena", None)  # which takes files of /dev/shm or the temporary folder
    numbers = SharedArray(5).numbers
    assert numbers.dtype == np.float32
    assert numbers.tolist() == [0] * 5
    numbers[:] = 1


def test_where_there_is_no_room_is_one_error(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        InputError, match=r"^3 MiB of memory for worker .* \(No space left on device\); take fewer shares"
    ):
        SharedArray(3 << 18)


def open_files():
    return len([*Path("/proc/self/fd").iterdir()])


def test_no_file_stays_open():
    before = open_files()
    array = SharedArray(5)
    assert open_files() > before
    del array
    gc.collect()
    assert open_files() == before
