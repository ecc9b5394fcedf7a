"""Files of weights that were made to do harm: sizes, offsets and archives that lie are refused in one line."""

from __future__ import annotations

import stat
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import weight_files as made
from hostile_archives import with_bomb, with_fields, with_member

from spikeunet.converters import load_weights
from spikeunet.engine.errors import StateDictError

WHOLE = {"w": np.arange(4, dtype=np.float32)}
LITTLE = 2**25
"""Bytes that reading a hostile file may take; some below could take thousands of times as much."""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "weights.pth"


# --- Sizes, offsets, strides -----------------------------------------------------------------------------------------

VIEWS = {
    "a huge size": (0, (2**40,), (1,)),
    "a repeated number": (0, (2**30,), (0,)),
    "many repeated numbers": (0, (2**20, 2**20, 2**20), (0, 0, 0)),
    "sizes whose product overflows": (0, (2**33, 2**33), (0, 0)),
    "a negative size": (0, (-1,), (1,)),
    "a negative stride": (3, (4,), (-1,)),
    "a negative offset": (-1, (4,), (1,)),
    "the end": (1, (4,), (1,)),
    "beyond the end": (2**40, (1,), (1,)),
    "a huge stride": (0, (2,), (2**61,)),
    "a stride without limits": (0, (2,), (2**80,)),
    "too many axes": (0, (1,) * 33, (1,) * 33),
    "fewer strides": (0, (2, 2), (1,)),
    "a truth value": (0, (True, 2), (1, 1)),
    "a text": (0, ("2",), (1,)),
    "no sizes": (0, 4, 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_tensors_that_are_none_are_refused(path, name):
    for legacy in (False, True):
        root = {"w": made.rebuilt(made.storage("0", "FloatStorage", 4, *([None] * legacy)), *VIEWS[name])}
        stored = WHOLE["w"].tobytes()
        tracemalloc.start()
        made.refused_as(
            path, made.torch_legacy(root, {"0": (4, stored)}) if legacy else made.torch_zip(root, {"0": stored})
        )
        assert tracemalloc.get_traced_memory()[1] < LITTLE
        tracemalloc.stop()


def test_a_thousand_views_of_a_storage_may_not_add_up(path):
    root = {
        f"w{index}": made.rebuilt(made.storage("0", "FloatStorage", 2**20), 0, (2**20,), (1,)) for index in range(999)
    }
    content = made.torch_zip(root, {"0": bytes(2**22)})
    assert "declares more bytes of arrays up to 'w1" in made.refused_as(path, content)


COUNTS = [(3, None), (5, None), (2**62, None), (-1, None), (4, ("1", 3, 2)), (4, ("1", -1, 2))]


@pytest.mark.parametrize(("count", "view"), COUNTS)
def test_storages_of_another_length_are_refused(path, count, view):
    root = {"w": made.rebuilt(made.storage("0", "FloatStorage", count, view), 0, (2,), (1,))}
    made.refused_as(path, made.torch_legacy(root, {"0": (4, WHOLE["w"].tobytes())}))
    if view is None:
        root = {"w": made.rebuilt(made.storage("0", "FloatStorage", count), 0, (2,), (1,))}
        made.refused_as(path, made.torch_zip(root, {"0": WHOLE["w"].tobytes()}))


@pytest.mark.parametrize("key", ["gone", "../data/0", "/etc/passwd", "", "\x00", "x" * 70_000])
def test_storages_that_are_not_there_are_refused(path, key):
    for legacy in (False, True):
        root = {"w": made.tensor(key, WHOLE["w"], *([None] * legacy))}
        made.refused_as(path, made.torch_legacy(root) if legacy else made.torch_zip(root, {"0": WHOLE["w"].tobytes()}))


def test_a_storage_of_two_types_or_listed_twice_is_refused(path):
    root = {
        "v": made.rebuilt(made.storage("0", "FloatStorage", 4, None), 0, (4,), (1,)),
        "w": made.rebuilt(made.storage("0", "DoubleStorage", 4, None), 0, (4,), (1,)),
    }
    assert "a storage has two lengths or types" in made.refused_as(path, made.torch_legacy(root, {"0": (4, bytes(16))}))
    content = made.saved(WHOLE, legacy=True)
    twice = content.replace(b"](" + made.text("0") + b"e.", b"](" + made.text("0") * 2 + b"e.")
    assert twice != content
    assert "a storage is listed twice" in made.refused_as(path, twice)


# --- Archives --------------------------------------------------------------------------------------------------------


def test_truncated_files_are_refused(path):
    for whole in (made.saved(WHOLE), made.saved(WHOLE, legacy=True), made.WRITTEN_BY_PYTORCH):
        for length in range(2, len(whole), 3):
            made.refused_as(path, whole[:length])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("archive/../../x", "leads out of the archive"),
        ("/x", "leads out"),
        ("archive/data/0", "holds 'archive/data/0' twice"),
    ],
)
def test_members_with_odd_names_are_refused(path, name, message):
    assert message in made.refused_as(path, with_member(made.saved(WHOLE), name, b"x"))


def test_links_and_second_pickles_are_refused(path):
    link = zipfile.ZipInfo("archive/data/1")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "leads out of the archive" in made.refused_as(path, with_member(made.saved(WHOLE), link, b"/etc/passwd"))
    assert "holds 2 times data.pkl" in made.refused_as(path, with_member(made.saved(WHOLE), "other/data.pkl", b"x"))


def test_encrypted_and_oddly_packed_members_are_refused(path):
    assert "is encrypted" in made.refused_as(path, with_fields(made.saved(WHOLE), "archive/data/0", flags=1))
    root = {"w": made.tensor("0", WHOLE["w"])}
    content = made.torch_zip(root, {"0": WHOLE["w"].tobytes()}, zipfile.ZIP_BZIP2)
    assert "'version' is compressed by bzip2, which is not read" in made.refused_as(path, content)


@pytest.mark.parametrize("size", [15, 17, 2**31])
def test_members_of_another_size_than_they_declare_are_refused(path, size):
    made.refused_as(path, with_fields(made.saved(WHOLE), "archive/data/0", size=size))


def test_bombs_take_little(path):
    root = {"w": made.rebuilt(made.storage("0", "FloatStorage", 34), 0, (34,), (1,))}
    bomb = with_bomb(made.torch_zip(root), zipfile.ZIP_DEFLATED, 2**28, "archive/data/0")
    huge = {"w": made.rebuilt(made.storage("0", "FloatStorage", 2**26), 0, (2**26,), (1,))}
    for content in (bomb, made.torch_zip(huge, {"0": bytes(2**28)}, zipfile.ZIP_DEFLATED)):
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(StateDictError, match=r"holds more than|declares more bytes|damaged"):
            load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < LITTLE
        tracemalloc.stop()


def test_hostile_names_are_shown_as_escapes(path):
    name = "\x1b[2J\n\u202e" + "x" * 10_000
    complex_numbers = made.rebuilt(made.storage("0", "ComplexFloatStorage", 1), 0, (1,), (1,))
    for root in ({name: complex_numbers}, {name: 1}, made.named(f"os{name[:4]}", name[4:5] + name[6:])):
        message = made.refused_as(path, made.torch_zip(root))
        assert message.isprintable()
        assert "\\x1b[2J" in message


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(StateDictError, match="is not a file; give the path of a file of weights"):
        load_weights(tmp_path)
    with pytest.raises(StateDictError, match=r"none\.pt: no such file; check the path"):
        load_weights(tmp_path / "none.pt")


def test_warnings_of_libraries_stay_inside(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.refused_as(path, made.torch_zip(b"S'\\q'\n"))
