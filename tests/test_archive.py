"""Damaged and hostile files are refused before they can do harm."""

from __future__ import annotations

import io
import pickle
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from model_files import assert_refused, assert_same_network, small_network

from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.files.model_file import read_model, save_model


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    save_model(small_network(), path)
    return path


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n" * 50])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    assert_refused(path, "is not an NPZ file, or is truncated or damaged")


def test_every_truncation_is_refused(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1, len(content) - 22]:
        saved.write_bytes(content[:length])
        assert_refused(saved, "truncated or damaged")


def test_flipped_bytes_are_refused_or_harmless(saved):
    content = saved.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        with suppress(ModelFileError):
            refused += 1
            assert_same_network(read_model(saved), small_network())
            refused -= 1
    assert refused > len(content) / 7 / 3


# --- Hostile archives ------------------------------------------------------------------------------------------------


def add_member(path, name, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr(name, content)


class Trap:
    """Would show that something was unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def npy_header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_pickles_are_refused(saved):
    add_member(saved, "extra.npy", npy_header((1,), "|O") + pickle.dumps([Trap()]))
    assert_refused(saved, "'extra' holds Python objects, which are never loaded")


def test_members_that_are_no_arrays_are_refused(saved):
    add_member(saved, "code.py", b"print()")
    assert_refused(saved, "'code.py', which is no array")


def test_doubled_members_are_refused(saved):
    with pytest.warns(UserWarning, match="Duplicate"):
        add_member(saved, "weights/conv1.bias.npy", npy_header((3,)) + bytes(12))
    assert_refused(saved, "holds 'weights/conv1.bias' twice")


@pytest.mark.parametrize("shape", [(10**12,), (4,), (2**62, 4), (-1, -3), (True,)])
def test_sizes_that_contradict_the_shape_are_refused(saved, shape):
    add_member(saved, "extra.npy", npy_header(shape) + bytes(12))
    assert_refused(saved, "extra|damaged")


def test_decompression_bombs_are_refused_before_they_are_unpacked(saved, monkeypatch):
    add_member(saved, "bomb.npy", npy_header((2**24,)) + bytes(2**26), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    assert_refused(saved, "declares [0-9]+ bytes of arrays, more than")


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),)}", b"(" * 900]
)
def test_odd_array_headers_are_refused(saved, header):
    add_member(saved, "extra.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert_refused(saved, "damaged")
