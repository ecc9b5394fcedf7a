"""Files of weights that were made to do harm: each is refused in one line, or harmless; nothing in them is run."""

from __future__ import annotations

import os
import pickle
import stat
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import weight_files as made
from hostile_archives import with_bomb, with_fields, with_member

from spikeunet.converters import load_weights
from spikeunet.converters.weights import pickle_machine
from spikeunet.engine.errors import StateDictError

MARKER = "executed"
WHOLE = {"w": np.arange(4, dtype=np.float32)}
LITTLE = 2**25
"""Bytes that reading a hostile file may take; the pickles below could take thousands of times as much."""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "weights.pth"


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(StateDictError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message.removeprefix(f"{path}: ")


def files(root):
    """Something pickled, in each format."""
    return made.torch_zip(root), made.torch_legacy(root), made.pickle(root)


# --- Nothing is run --------------------------------------------------------------------------------------------------


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = {
    "posix.system": Call(os.system, f"touch {MARKER}"),
    "builtins.eval": Call(eval, f"open({MARKER!r}, 'w')"),
    "io.open": Call(open, MARKER, "w"),
    "builtins.getattr": Call(getattr, "", "join"),
    "builtins.print": Call(print, "x"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_functions_are_named_and_never_called(path, name, protocol):
    content = pickle.dumps({"w": CALLS[name]}, protocol)
    renamed = {name, name.replace("builtins", "__builtin__"), name.replace("io.open", "__builtin__.open")}
    for whole in (content, made.MAGIC + made.VERSION + made.pickle({}) + content, made.zip_of({"a/data.pkl": content})):
        message = refused(path, whole)
        assert any(message.startswith(f"names {called!r}, which is no part of a state dict") for called in renamed)
        assert not Path(MARKER).exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cos\nsystem\n(X\x01\x00\x00\x00xtR",
        b"(cos\nsystem\nX\x01\x00\x00\x00xo",
        b"(X\x01\x00\x00\x00xios\nsystem\n",
        b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93",
        b"X\x05\x00\x00\x00torchX\x15\x00\x00\x00nn.Module.__subclasses__"[:36] + b"\x93",
        b"\x82\x01",
        b"Pid\n",
        b"\x97",
        b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n",
        b"ctorch._utils\n__builtins__\n",
        b"cbuiltins\n__import__\n",
        b"ctorch.hub\nload\n",
        b"ctorch.load\nload\n",
        b"cspikeunet.converters\nload_weights\n",
    ],
)
def test_ways_around_are_refused(path, opcodes):
    for content in files(opcodes):
        refused(path, content)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"ccollections\nOrderedDict\n}X\x09\x00\x00\x00__class__Nsb",
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x04\x00\x00\x00makeNsb",
        b"N}b",
        b"]}b",
        b"K\x01}b",
        b"X\x01\x00\x00\x00xK\x01K\x02s",
        b"X\x01\x00\x00\x00xK\x01a",
        b"}K\x01a",
        b"](K\x01u",
        b"}(K\x01u",
        b"X\x01\x00\x00\x00x)R",
        b"ccollections\nOrderedDict\nK\x01R",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR",
        b"K\x01Q",
        b"(X\x07\x00\x00\x00storageK\x01K\x02K\x03K\x04tQ",
        b"h\x05",
        b"j\xff\xff\xff\xff",
        b"r\xff\xff\xff\xff",
        b"Nr\xff\xff\xff\xff",
        b"0",
        b"1",
        b"t",
        b"\x87",
        b"",
        b"Iabc\n",
        b"L" + b"9" * 5000 + b"\n",
        b"\x8b\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\xff",
        b"X\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x00",
        b"X\x01\x00\x00\x00\xff",
        b"ctorch\n\xff\n",
        b"\x93",
        b"K\x01K\x02\x93",
        b"\xff",
        b"\x80\x06",
        b"c\n\n",
    ],
)
def test_pickles_that_make_no_sense_are_refused(path, opcodes):
    for content in files(opcodes):
        refused(path, content)


# --- Memory and time -------------------------------------------------------------------------------------------------


def bombs(steps):
    """Pickles that would take more memory or time than they are long, of about so many opcodes."""
    text, encode = made.text("x" * steps), b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    long = b"\x8b" + (8 * steps).to_bytes(4, "little") + bytes([127]) * 8 * steps
    dictionary = b"ccollections\nOrderedDict\nh\x00\x85R"
    laugh = b"q\x00}(" + made.text("a") + b"h\x00" + made.text("b") + b"h\x00u"
    rebuild = b"ctorch._tensor\n_rebuild_from_type_v2\nq\x000"
    keys = [made.text(f"{index:04}") for index in range(steps // 24)]
    level = b"(" + b"".join(key + b"h\x00" for key in keys) + b"uq\x00"
    colliding = (made.number(index * (2**61 - 1)) + b"N" for index in range(steps // 4))
    return {
        "dictionaries": b"}" * 2 * steps,
        "sets": b"\x8f" * 2 * steps,
        "marks": b"(" * 2 * steps,
        "nested lists": b"]" * (steps // 2 - 9) + b"a" * (steps // 2 - 10),
        "nested tuples": b")" + b"\x85" * (steps // 2),
        "nested keys": b"})" + b"\x85" * (steps // 2) + b"Ns",
        "nested dictionaries": b"}" + b"X\x01\x00\x00\x00a}" * (steps // 4) + b"s" * (steps // 4),
        "a long number": long,
        "a long number as a key": b"}" + long + b"Ns",
        "a text as what it is not": b"}" + text + b"q\x00" + b"h\x00h\x00s" * (steps // 4),
        "a dictionary of itself": b"}q\x00" + made.text("a") + b"h\x00s",
        "laughs": b"}" + laugh * (steps // 10),
        "one dictionary under many names": b"}q\x00}" + level + b"}" + level + b"}" + level,
        "bytes made of a text": text + b"q\x000" + encode * (steps // 5),
        "copies of a dictionary": b"}(" + b"NN" * (steps // 4) + b"uq\x00" + dictionary * (steps // 5),
        "calls within calls": rebuild + b")" + b"q\x010(h\x00Nh\x01Nt" * (steps // 9) + b"q\x010h\x00h\x01R",
        "numbers that collide": b"}(" + b"".join(colliding) + b"u",
    }


def assert_takes_little(path, content, most):
    path.write_bytes(made.pickle(content))
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(StateDictError) as caught:
            load_weights(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 600
    assert peak < most
    assert time.perf_counter() - begin < 60


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (b"Nr\xff\xff\xff\xff", "a pickle numbers an object 4294967295"),
        (b"h\x05", "a pickle refers to an object that it has not numbered"),
        (b"\x80\x06N", "is in pickle protocol 6, which is not read"),
        (b"\x82\x01", "uses the pickle opcode EXT1, which is not read"),
        (bombs(99)["calls within calls"], "a tensor is made by what makes none"),
        (b"N}b", "a pickle sets the state of a NoneType"),
        (b"X\x01\x00\x00\x00x)R", "a pickle calls what is no function"),
    ],
)
def test_what_is_wrong_with_a_pickle_is_said(path, opcodes, message):
    assert message in refused(path, made.torch_zip(opcodes))


def numpy_array(shape, kind, content):
    array = made.call(made.named("numpy._core.multiarray", "_reconstruct"), made.named("numpy", "ndarray"), (0,), "b")
    dtype = made.call(made.named("numpy", "dtype"), kind, False, True) + made.item((3, "<")) + b"b"
    stored = b"B" + len(content).to_bytes(4, "little") + content
    return array + made.item((1, shape, dtype, False, stored)) + b"b"


@pytest.mark.parametrize(
    ("shape", "kind", "content", "message"),
    [
        ((3,), "f4", bytes(8), "an array of 12 bytes has 8"),
        ((1,), "f4", bytes(8), "an array of 4 bytes has 8"),
        ((2**40,), "f4", b"", "an array of 4398046511104 bytes has 0"),
        ((-1,), "f4", bytes(4), "sizes must be whole numbers"),
        ((1,) * 33, "f4", bytes(4), "is an array of Python objects"),
        ((1,), "O8", bytes(8), "is an array of the type 'O8', which is not read"),
        ((1,), "c8", bytes(8), "is an array of the type 'c8', which is not read"),
        ((1,), "f4,f4", bytes(8), "is an array of the type 'f4,f4', which is not read"),
        ((1,), "f3", bytes(3), "is an array of the type 'f3'"),
    ],
)
def test_arrays_of_numpy_that_are_none_are_refused(path, shape, kind, content, message):
    assert message in refused(path, made.pickle({"w": numpy_array(shape, kind, content)}))


def test_an_array_of_numpy_that_is_one_is_read(path):
    path.write_bytes(made.pickle({"w": numpy_array((1, 2), "f4", bytes(8))}))
    np.testing.assert_array_equal(load_weights(path).arrays["w"], np.zeros((1, 2), np.float32), strict=True)


FEW_STEPS = 2**15


@pytest.mark.parametrize("name", bombs(9))
def test_pickles_that_want_memory_or_time_get_little(path, name, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MAXIMUM_STEPS", FEW_STEPS)
    assert_takes_little(path, bombs(FEW_STEPS)[name], 160 * FEW_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", bombs(9))
def test_pickles_that_want_memory_or_time_get_little_of_what_there_may_be(path, name):
    assert_takes_little(path, bombs(pickle_machine.MAXIMUM_STEPS)[name], 160 * pickle_machine.MAXIMUM_STEPS)


def test_a_longer_pickle_is_refused_before_it_is_unpacked(path):
    content = made.zip_of({"a/data.pkl": bytes(pickle_machine.MAXIMUM_BYTES + 1)}, zipfile.ZIP_DEFLATED)
    assert "'data.pkl' declares 16777217 bytes, more than the 16777216 that are left to it" in refused(path, content)


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
        refused(path, made.torch_legacy(root, {"0": (4, stored)}) if legacy else made.torch_zip(root, {"0": stored}))
        assert tracemalloc.get_traced_memory()[1] < LITTLE
        tracemalloc.stop()


def test_a_thousand_views_of_a_storage_may_not_add_up(path):
    root = {
        f"w{index}": made.rebuilt(made.storage("0", "FloatStorage", 2**20), 0, (2**20,), (1,)) for index in range(999)
    }
    content = made.torch_zip(root, {"0": bytes(2**22)})
    assert "declares more bytes of arrays up to 'w1" in refused(path, content)


COUNTS = [(3, None), (5, None), (2**62, None), (-1, None), (4, ("1", 3, 2)), (4, ("1", -1, 2))]


@pytest.mark.parametrize(("count", "view"), COUNTS)
def test_storages_of_another_length_are_refused(path, count, view):
    root = {"w": made.rebuilt(made.storage("0", "FloatStorage", count, view), 0, (2,), (1,))}
    refused(path, made.torch_legacy(root, {"0": (4, WHOLE["w"].tobytes())}))
    if view is None:
        root = {"w": made.rebuilt(made.storage("0", "FloatStorage", count), 0, (2,), (1,))}
        refused(path, made.torch_zip(root, {"0": WHOLE["w"].tobytes()}))


@pytest.mark.parametrize("key", ["gone", "../data/0", "/etc/passwd", "", "\x00", "x" * 70_000])
def test_storages_that_are_not_there_are_refused(path, key):
    for legacy in (False, True):
        root = {"w": made.tensor(key, WHOLE["w"], *([None] * legacy))}
        refused(path, made.torch_legacy(root) if legacy else made.torch_zip(root, {"0": WHOLE["w"].tobytes()}))


def test_a_storage_of_two_types_or_listed_twice_is_refused(path):
    root = {
        "v": made.rebuilt(made.storage("0", "FloatStorage", 4, None), 0, (4,), (1,)),
        "w": made.rebuilt(made.storage("0", "DoubleStorage", 4, None), 0, (4,), (1,)),
    }
    assert "a storage has two lengths or types" in refused(path, made.torch_legacy(root, {"0": (4, bytes(16))}))
    content = made.saved(WHOLE, legacy=True)
    twice = content.replace(b"](" + made.text("0") + b"e.", b"](" + made.text("0") * 2 + b"e.")
    assert twice != content
    assert "a storage is listed twice" in refused(path, twice)


# --- Archives --------------------------------------------------------------------------------------------------------


def test_truncated_files_are_refused(path):
    for whole in (made.saved(WHOLE), made.saved(WHOLE, legacy=True), made.WRITTEN_BY_PYTORCH):
        for length in range(2, len(whole), 3):
            refused(path, whole[:length])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("archive/../../x", "leads out of the archive"),
        ("/x", "leads out"),
        ("archive/data/0", "holds 'archive/data/0' twice"),
    ],
)
def test_members_with_odd_names_are_refused(path, name, message):
    assert message in refused(path, with_member(made.saved(WHOLE), name, b"x"))


def test_links_and_second_pickles_are_refused(path):
    link = zipfile.ZipInfo("archive/data/1")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "leads out of the archive" in refused(path, with_member(made.saved(WHOLE), link, b"/etc/passwd"))
    assert "holds 2 times data.pkl" in refused(path, with_member(made.saved(WHOLE), "other/data.pkl", b"x"))


def test_encrypted_and_oddly_packed_members_are_refused(path):
    assert "is encrypted" in refused(path, with_fields(made.saved(WHOLE), "archive/data/0", flags=1))
    root = {"w": made.tensor("0", WHOLE["w"])}
    content = made.torch_zip(root, {"0": WHOLE["w"].tobytes()}, zipfile.ZIP_BZIP2)
    assert "'version' is compressed by bzip2, which is not read" in refused(path, content)


@pytest.mark.parametrize("size", [15, 17, 2**31])
def test_members_of_another_size_than_they_declare_are_refused(path, size):
    refused(path, with_fields(made.saved(WHOLE), "archive/data/0", size=size))


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
        message = refused(path, made.torch_zip(root))
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
        refused(path, made.torch_zip(b"S'\\q'\n"))
