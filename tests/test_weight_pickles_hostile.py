"""Pickles that were made to do harm: each is refused in one line, and nothing in it is run."""

from __future__ import annotations

import os
import pickle
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import weight_files as made

from spikeunet.converters import load_weights
from spikeunet.converters.weights import pickle_machine
from spikeunet.engine.errors import StateDictError

MARKER = "executed"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "weights.pth"


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
        message = made.refused_as(path, whole)
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
        made.refused_as(path, content)


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
        made.refused_as(path, content)


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
    assert message in made.refused_as(path, made.torch_zip(opcodes))


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
    assert message in made.refused_as(path, made.pickle({"w": numpy_array(shape, kind, content)}))


def test_an_array_of_numpy_that_is_one_is_read(path):
    path.write_bytes(made.pickle({"w": numpy_array((1, 2), "f4", bytes(8))}))
    np.testing.assert_array_equal(load_weights(path).arrays["w"], np.zeros((1, 2), np.float32), strict=True)


FEW_STEPS = 2**15


@pytest.mark.parametrize("name", bombs(9))
def test_pickles_that_want_memory_or_time_get_little(path, name, monkeypatch):
    monkeypatch.setattr(pickle_machine, "MAXIMUM_STEPS", FEW_STEPS)
    assert_takes_little(path, bombs(FEW_STEPS)[name], 160 * FEW_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nested keys", "laughs", "numbers that collide"])
def test_pickles_that_want_memory_or_time_get_little_of_what_there_may_be(path, name):
    assert_takes_little(path, bombs(pickle_machine.MAXIMUM_STEPS)[name], 160 * pickle_machine.MAXIMUM_STEPS)


def test_a_longer_pickle_is_refused_before_it_is_unpacked(path):
    content = made.zip_of({"a/data.pkl": bytes(pickle_machine.MAXIMUM_BYTES + 1)}, zipfile.ZIP_DEFLATED)
    assert "'data.pkl' declares 16777217 bytes, more than the 16777216 that are left to it" in made.refused_as(
        path, content
    )
