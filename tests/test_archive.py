"""Damaged and hostile files are refused before they can do harm."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import suppress

import pytest
from hostile_archives import npy_header, with_bomb, with_fields
from model_files import assert_refused, assert_same_network, small_network

from spikeunet.converters import read_state_dict
from spikeunet.engine.errors import ModelFileError, SpikeunetError
from spikeunet.engine.files.archive import read_arrays
from spikeunet.engine.files.model_file import read_model, save_model
from spikeunet.engine.learning.finetune.checkpoint import read_checkpoint


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


def test_what_declares_too_much_is_refused_before_it_is_opened(saved, monkeypatch):
    add_member(saved, "bomb.npy", npy_header((2**24,)) + bytes(2**26), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("opened"))
    assert_refused(saved, "declares [0-9]+ bytes of arrays, more than")


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),)}", b"(" * 900]
)
def test_odd_array_headers_are_refused(saved, header):
    add_member(saved, "extra.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert_refused(saved, "damaged")


# --- Bombs, and lies about sizes -------------------------------------------------------------------------------------


BOMB = 2**25
"""Bytes of zeros that a bomb unpacks to."""


def changed(path, function, *arguments, **options):
    """Make of an archive what a function of its bytes gives."""
    path.write_bytes(function(path.read_bytes(), *arguments, **options))


def peak_of(read, *arguments):
    """Most bytes that Python held at once while it read; it must refuse."""
    tracemalloc.start()
    try:
        with pytest.raises(SpikeunetError) as caught:
            read(*arguments)
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        (zipfile.ZIP_DEFLATED, "holds more than the 136 bytes that it declares"),
        (zipfile.ZIP_BZIP2, "is compressed by bzip2, which is not read; save it again with numpy.savez"),
        (zipfile.ZIP_LZMA, "is compressed by lzma, which is not read; save it again with numpy.savez"),
    ],
)
def test_a_bomb_that_declares_little_takes_little(saved, compression, message):
    changed(saved, with_bomb, compression, BOMB)
    peak, found = peak_of(read_model, saved)
    assert message in found
    assert peak < BOMB / 8


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_bombs_in_state_dicts_and_checkpoints_take_little(saved, compression):
    changed(saved, with_bomb, compression, BOMB)
    for read in (read_state_dict, lambda path: read_checkpoint(path, None)):
        peak, found = peak_of(read, saved)
        assert "bomb" in found
        assert peak < BOMB / 8


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("more", [-1, 1, 100])
def test_a_member_of_another_size_than_it_declares_is_refused(saved, compression, more):
    content = npy_header((3,)) + bytes(12)
    declared = (content + bytes(100))[: len(content) + more]
    add_member(saved, "extra.npy", content, compression)
    changed(saved, with_fields, "extra.npy", size=len(declared), crc=zlib.crc32(declared))
    assert_refused(saved, "'extra'|damaged")


def test_zip64_sizes_are_bounded_too(saved):
    """Sizes of 2**63 in a member's extra field."""
    info = zipfile.ZipInfo("extra.npy")
    info.extra = struct.pack("<HHQQ", 1, 16, 2**63, 2**63)
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(info, npy_header((3,)) + bytes(12))
    changed(saved, with_fields, "extra.npy", size=2**32 - 1, packed=2**32 - 1)
    assert_refused(saved, "declares [0-9]{19,} bytes of arrays, more than|damaged")


def test_encrypted_members_are_refused(saved):
    add_member(saved, "extra.npy", npy_header((3,)) + bytes(12))
    changed(saved, with_fields, "extra.npy", flags=1)
    assert_refused(saved, "'extra' is encrypted")


def test_an_archive_within_an_archive_is_no_array(saved):
    add_member(saved, "inner.npz", saved.read_bytes())
    assert_refused(saved, "'inner.npz', which is no array")
    add_member(saved, "inner.npy", saved.read_bytes())


@pytest.mark.parametrize("length", [10_001, 2**31])
def test_long_array_headers_are_refused(saved, length):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}".ljust(min(length, 2**22)) + b"\n"
    header = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + text
    add_member(saved, "extra.npy", header + bytes(12), zipfile.ZIP_DEFLATED)
    peak, found = peak_of(read_model, saved)
    assert "extra" in found or "damaged" in found or "declares" in found
    assert peak < 2**21


@pytest.mark.parametrize("dtype", ["|S0", "|V0", "('<f4', (1000,))", "|O"])
def test_types_without_a_size_or_of_arrays_are_refused(saved, dtype):
    text = "{'descr': %s, 'fortran_order': False, 'shape': (1000000000000,)}\n"
    text = (text % (dtype if dtype.startswith("(") else repr(dtype))).encode()
    add_member(saved, "extra.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    assert_refused(saved, "'extra' (is of the type|holds Python objects)|contradicts|damaged")


def test_names_in_messages_are_short(saved):
    add_member(saved, "x" * 60_000, b"")
    with pytest.raises(ModelFileError) as caught:
        read_model(saved)
    assert len(str(caught.value)) < 400


def test_arrays_that_were_read_are_read_only(saved):
    arrays = read_arrays(saved, ModelFileError, "")
    assert not any(array.flags.writeable for array in arrays.values())
