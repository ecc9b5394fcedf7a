"""Weights out of the files of other programs: what is read of each kind."""

from __future__ import annotations

import builtins
import functools
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import weight_files as made

from spikeunet.converters import read_weights
from spikeunet.engine import models
from spikeunet.engine.errors import StateDictError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "conv1.weight": RANDOM.standard_normal((3, 2, 3, 3)).astype(np.float32),
    "conv1.bias": RANDOM.standard_normal(3),
    "half": RANDOM.standard_normal((2, 1)).astype(np.float16),
    "count": np.asarray(7),
    "bytes": RANDOM.integers(0, 256, 5).astype(np.uint8),
    "mask": np.asarray([[True, False, True]]),
    "empty": np.zeros((0, 3), np.float32),
    **{f"int{8 * size}": np.asarray([-1, 5], f"i{size}") for size in (1, 2, 4, 8)},
}


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""
    return functools.partial(made.read, tmp_path)


@pytest.fixture
def refused(tmp_path):
    """Writes a file, and gives the line in which it is refused."""
    return functools.partial(made.refused, tmp_path)


# --- PyTorch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_type_of_numbers_is_read(read, legacy):
    found = read(made.saved(ARRAYS, legacy))
    made.assert_equal(found.arrays, ARRAYS)
    assert found.facts == {}


def test_a_file_that_pytorch_wrote_before_1_6_is_read(read):
    expected = {"conv1.weight": np.float32([[1, 3], [2, 4]]), "conv1.bias": np.float16([-0.5, 8])}
    made.assert_equal(read(made.WRITTEN_BY_PYTORCH).arrays, expected)


@pytest.mark.parametrize("name", ["weights.pt", "weights.npz", "weights.safetensors", "weights"])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_content_tells_the_kind_of_file(read, name, legacy):
    made.assert_equal(read(made.saved(ARRAYS, legacy), name).arrays, ARRAYS)


def test_deflated_members_are_read(read):
    root = {"w": made.tensor("0", np.arange(40.0))}
    found = read(made.torch_zip(root, {"0": np.arange(40.0).tobytes()}, zipfile.ZIP_DEFLATED))
    made.assert_equal(found.arrays, {"w": np.arange(40.0)})


def test_numbers_of_a_big_endian_machine_are_read(read):
    root = {"w": made.tensor("0", np.arange(4, dtype=np.int16))}
    found = read(made.torch_zip(root, {"0": np.arange(4, dtype=">i2").tobytes()}, byteorder=b"big"))
    made.assert_equal(found.arrays, {"w": np.arange(4, dtype=np.int16)})


VIEWS = {
    "whole": (0, (12,), (1,)),
    "part": (3, (2, 2), (2, 1)),
    "transposed": (0, (4, 3), (1, 4)),
    "strided": (1, (3,), (4,)),
    "expanded": (5, (2, 3), (0, 0)),
    "scalar": (11, (), ()),
    "nothing": (12, (0, 5), (5, 1)),
    "channels last": (0, (1, 3, 2, 2), (12, 1, 6, 3)),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_are_views_of_storages_that_they_share(read, legacy):
    numbers = np.arange(12, dtype=np.float32)
    stored = made.storage("7", "FloatStorage", 12, *([None] if legacy else []))
    root = {name: made.rebuilt(stored, *view) for name, view in VIEWS.items()}
    file = made.torch_legacy if legacy else made.torch_zip
    content = file(root, {"7": (12, numbers.tobytes()) if legacy else numbers.tobytes()})
    found = read(content).arrays
    for name, (offset, shape, strides) in VIEWS.items():
        steps = [4 * stride for stride in strides]
        expected = np.lib.stride_tricks.as_strided(numbers[min(offset, 11) :], shape, steps)
        np.testing.assert_array_equal(found[name], expected, strict=True)
        assert found[name].flags.c_contiguous


def test_parts_of_storages_of_the_old_format_are_read(read):
    numbers = np.arange(10, dtype=np.float32)
    root = {"w": made.rebuilt(made.storage("1", "FloatStorage", 10, ("2", 4, 3)), 1, (2,), (1,))}
    content = made.torch_legacy(root, {"1": (10, numbers.tobytes())})
    made.assert_equal(read(content).arrays, {"w": np.float32([5, 6])})


def test_bfloat16_becomes_float32_with_the_same_numbers(read):
    numbers = np.float32([1, -2.5, 3e38, 2**-120, 0])
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    root = {"w": made.rebuilt(made.storage("0", "BFloat16Storage", 5), 0, (5,), (1,))}
    found = read(made.torch_zip(root, {"0": halves.tobytes()})).arrays
    made.assert_equal(found, {"w": (halves.astype(np.uint32) << 16).view(np.float32)})


def test_numbers_of_a_storage_without_type_are_read(read):
    rest = (False, {}, made.named("torch", "uint16"))
    stored = made.item(("storage", made.named("torch.storage", "UntypedStorage"), "0", "cpu", 6)) + b"Q"
    root = {"w": made.call(made.named("torch._utils", "_rebuild_tensor_v3"), stored, 1, (2,), (1,), *rest)}
    made.assert_equal(
        read(made.torch_zip(root, {"0": np.uint16([1, 2, 3]).tobytes()})).arrays, {"w": np.uint16([2, 3])}
    )


def test_a_negative_view_and_parameters_are_read(read):
    stored = made.storage("0", "FloatStorage", 2)
    view = made.rebuilt(stored, 0, (2,), (1,), False, {}, {"neg": True})
    parameter = made.call(made.named("torch._utils", "_rebuild_parameter"), view, True, {})
    state = made.call(made.named("torch._utils", "_rebuild_parameter_with_state"), view, True, {}, {"a": 1})
    kind = made.named("torch.nn.parameter", "Parameter")
    typed = made.call(
        made.named("torch._tensor", "_rebuild_from_type_v2"),
        *(made.named("torch._utils", "_rebuild_parameter"), kind, (view, True, {}), {"note": "x"}),
    )
    root = {"a": parameter, "b": state, "c": typed, "d": made.call(kind, view, True)}
    found = read(made.torch_zip(root, {"0": np.float32([1, -2]).tobytes()})).arrays
    made.assert_equal(found, dict.fromkeys("abcd", np.float32([-1, 2])))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays_are_read_of_plain_pickles(read, protocol):
    """A file of PyTorch may hold them beside tensors, and some save them alone."""
    arrays = {
        "w": np.arange(6.0).reshape(2, 3).T,
        "v": np.float32([1, 2]).astype(">f4"),
        "b": np.asarray([True, False]),
    }
    content = pickle.dumps({"state_dict": arrays, "epoch": np.int64(3)}, protocol)
    made.assert_equal(read(content, "weights.pkl").arrays, arrays)


UNREADABLE = {
    "complex64": made.storage("0", "ComplexFloatStorage", 2),
    "quint8": made.storage("0", "QUInt8Storage", 2),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_numbers_of_other_types_are_refused_by_name(refused, kind):
    root = {"fft.weight": made.rebuilt(UNREADABLE[kind], 0, (2,), (1,))}
    message = refused(made.torch_zip(root, {"0": bytes(16)}))
    assert f"'fft.weight' has numbers of the type {kind}, which is not read; save float32" in message


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("_rebuild_sparse_tensor", "a sparse tensor"),
        ("_rebuild_qtensor", "a quantised tensor"),
        ("_rebuild_meta_tensor_no_storage", "a tensor without values (device meta)"),
    ],
)
def test_other_kinds_of_tensors_are_refused_by_name(refused, function, kind):
    root = {"w": made.call(made.named("torch._utils", function), 1, 2)}
    assert f"'w' is {kind}, which is not read" in refused(made.torch_zip(root))


def test_torchscript_is_refused_with_the_remedy(refused):
    message = refused(made.torch_zip({}, **{"constants.pkl": b"", "code/net.py": b""}))
    assert "is a TorchScript archive, which holds a program; save its weights alone" in message
    assert "torch.save(torch.jit.load(FILE).state_dict(), PATH)" in message


def test_a_whole_network_is_refused_with_the_remedy(refused):
    network = made.call(made.named("models.unet", "UNet"))
    message = refused(made.torch_zip(network))
    assert "names 'models.unet.UNet', which is no part of a state dict and is not loaded" in message
    assert message.endswith("save the weights alone in PyTorch: torch.save(model.state_dict(), PATH)")
    module = made.item(("module", made.named("collections", "OrderedDict"), "net.py", "class UNet")) + b"Q"
    assert "holds a whole network, whose classes are not loaded; save the weights" in refused(made.torch_legacy(module))


def test_other_kinds_of_files_are_refused_by_name(refused):
    assert "weights.onnx: is an ONNX file, which holds a network and not weights alone" in refused(
        b"\x08\x07\x12", "weights.onnx"
    )
    assert "is a tar archive, as PyTorch wrote before 0.2" in refused(b"storages".ljust(257, b"\0") + b"ustar")
    message = refused(b"garbage", "weights.pt")
    assert "is no NPZ, PyTorch, safetensors, Keras, ONNX or NIR file, or is truncated or damaged" in message
    assert "is in version '99' of PyTorch's format" in refused(made.torch_zip({}, version=b"99\n"))
    assert "has its bytes in the order 'middle'" in refused(made.torch_zip({}, byteorder=b"middle"))


# --- NPZ and safetensors ---------------------------------------------------------------------------------------------


def test_a_model_that_is_converted_already_is_refused_by_name():
    with pytest.raises(StateDictError, match="is a model of spikeunet already"):
        read_weights(Path(models.__file__).with_name("denoise-gray.npz"))


def test_npz_files_are_read_as_ever(tmp_path):
    np.savez(tmp_path / "ann.npz", **ARRAYS)
    made.assert_equal(read_weights(tmp_path / "ann.npz"), ARRAYS)
    with pytest.raises(StateDictError, match=r"ann\.npz: is an NPZ file and has no entries; leave 'ema' out"):
        read_weights(tmp_path / "ann.npz", entry="ema")


def test_an_archive_without_arrays_is_refused(refused):
    assert "is an NPZ file without arrays" in refused(made.zip_of({}), "ann.npz")


def safetensors(tensors, more=b""):
    """A file byte by byte: (type, array) by name."""
    header, content = {}, b""
    for name, (kind, array) in tensors.items():
        end = len(content) + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(content), end]}
        content += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content + more


_NAMES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8"}
TYPES = {**_NAMES, "u1": "U8", "b1": "BOOL"}


def test_safetensors_are_read(read):
    pytest.importorskip("safetensors", reason="an extra")
    # The library wants the widest numbers first.
    arrays = dict(sorted(ARRAYS.items(), key=lambda pair: -pair[1].itemsize))
    content = safetensors({name: (TYPES[array.dtype.str[1:]], array) for name, array in arrays.items()})
    found = read(content, "weights.safetensors").arrays
    assert set(found) == set(arrays)
    made.assert_equal({name: found[name] for name in arrays}, arrays)
    assert set(read(content, "weights.bin").arrays) == set(arrays)
    halves = np.uint16([0x3F80, 0xC020])
    made.assert_equal(read(safetensors({"w": ("BF16", halves)}), "x.safetensors").arrays, {"w": np.float32([1, -2.5])})


def test_broken_safetensors_are_refused(refused):
    pytest.importorskip("safetensors", reason="an extra")
    whole = safetensors({"w": ("F32", np.zeros(3, np.float32))})
    for content in (b"", whole[:20], whole[:-1], whole + b"x", b"\xff" * 30):
        assert "is a safetensors file, but truncated or damaged" in refused(content, "weights.safetensors")
    eighths = safetensors({"w": ("F8_E4M3", np.zeros(3, np.uint8))})
    assert "'w' has numbers of the type F8_E4M3" in refused(eighths, "w.safetensors")
    assert "has no entries; leave 'ema' out" in refused(whole, "w.safetensors", entry="ema")


def test_an_extra_that_is_not_there_is_named(refused, monkeypatch):
    def without(name, *arguments):
        if name in ("safetensors", "h5py"):
            raise ImportError(name)
        return found(name, *arguments)

    found = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    content = safetensors({"w": ("F32", np.zeros(3, np.float32))})
    assert "which needs the extra: pip install spikeunet[safetensors]" in refused(content, "w.safetensors")
    assert "which needs the extra: pip install spikeunet[keras]" in refused(b"\x89HDF\r\n\x1a\n", "w.h5")
