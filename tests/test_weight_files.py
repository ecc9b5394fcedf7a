"""Weights out of the files of other programs: what is read of each kind, and which entry of a checkpoint."""

from __future__ import annotations

import builtins
import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest
import unets
import weight_files as made

from spikeunet.converters import convert, load_weights, read_state_dict, read_weights
from spikeunet.engine import load_model
from spikeunet.engine.command_line import main
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


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype.isnative
        np.testing.assert_array_equal(found[name], array.astype(array.dtype.newbyteorder("=")), strict=True)


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""

    def read(content, name="weights.pth", **options):
        (tmp_path / name).write_bytes(content)
        return load_weights(tmp_path / name, **options)

    return read


@pytest.fixture
def refused(read):
    """Writes a file, and gives the line in which it is refused."""

    def refused(content, name="weights.pth", **options):
        with pytest.raises(StateDictError) as caught:
            read(content, name, **options)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
        return str(caught.value)

    return refused


# --- PyTorch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_type_of_numbers_is_read(read, legacy):
    found = read(made.saved(ARRAYS, legacy))
    assert_equal(found.arrays, ARRAYS)
    assert found.facts == {}


def test_a_file_that_pytorch_wrote_before_1_6_is_read(read):
    expected = {"conv1.weight": np.float32([[1, 3], [2, 4]]), "conv1.bias": np.float16([-0.5, 8])}
    assert_equal(read(made.WRITTEN_BY_PYTORCH).arrays, expected)


@pytest.mark.parametrize("name", ["weights.pt", "weights.npz", "weights.safetensors", "weights"])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_content_tells_the_kind_of_file(read, name, legacy):
    assert_equal(read(made.saved(ARRAYS, legacy), name).arrays, ARRAYS)


def test_deflated_members_are_read(read):
    root = {"w": made.tensor("0", np.arange(40.0))}
    found = read(made.torch_zip(root, {"0": np.arange(40.0).tobytes()}, zipfile.ZIP_DEFLATED))
    assert_equal(found.arrays, {"w": np.arange(40.0)})


def test_numbers_of_a_big_endian_machine_are_read(read):
    root = {"w": made.tensor("0", np.arange(4, dtype=np.int16))}
    found = read(made.torch_zip(root, {"0": np.arange(4, dtype=">i2").tobytes()}, byteorder=b"big"))
    assert_equal(found.arrays, {"w": np.arange(4, dtype=np.int16)})


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
    assert_equal(read(content).arrays, {"w": np.float32([5, 6])})


def test_bfloat16_becomes_float32_with_the_same_numbers(read):
    numbers = np.float32([1, -2.5, 3e38, 2**-120, 0])
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    root = {"w": made.rebuilt(made.storage("0", "BFloat16Storage", 5), 0, (5,), (1,))}
    found = read(made.torch_zip(root, {"0": halves.tobytes()})).arrays
    assert_equal(found, {"w": (halves.astype(np.uint32) << 16).view(np.float32)})


def test_numbers_of_a_storage_without_type_are_read(read):
    rest = (False, {}, made.named("torch", "uint16"))
    stored = made.item(("storage", made.named("torch.storage", "UntypedStorage"), "0", "cpu", 6)) + b"Q"
    root = {"w": made.call(made.named("torch._utils", "_rebuild_tensor_v3"), stored, 1, (2,), (1,), *rest)}
    assert_equal(read(made.torch_zip(root, {"0": np.uint16([1, 2, 3]).tobytes()})).arrays, {"w": np.uint16([2, 3])})


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
    assert_equal(found, dict.fromkeys("abcd", np.float32([-1, 2])))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays_are_read_of_plain_pickles(read, protocol):
    """A file of PyTorch may hold them beside tensors, and some save them alone."""
    arrays = {
        "w": np.arange(6.0).reshape(2, 3).T,
        "v": np.float32([1, 2]).astype(">f4"),
        "b": np.asarray([True, False]),
    }
    content = pickle.dumps({"state_dict": arrays, "epoch": np.int64(3)}, protocol)
    assert_equal(read(content, "weights.pkl").arrays, arrays)


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
    assert "weights.onnx: is an ONNX file, which is not read" in refused(b"\x08\x07\x12", "weights.onnx")
    assert "is a tar archive, as PyTorch wrote before 0.2" in refused(b"storages".ljust(257, b"\0") + b"ustar")
    message = refused(b"garbage", "weights.pt")
    assert "is no NPZ, PyTorch, safetensors or Keras file, or is truncated or damaged" in message
    assert "is in version '99' of PyTorch's format" in refused(made.torch_zip({}, version=b"99\n"))
    assert "has its bytes in the order 'middle'" in refused(made.torch_zip({}, byteorder=b"middle"))


# --- NPZ and safetensors ---------------------------------------------------------------------------------------------


def test_npz_files_are_read_as_ever(tmp_path):
    np.savez(tmp_path / "ann.npz", **ARRAYS)
    assert_equal(read_weights(tmp_path / "ann.npz"), ARRAYS)
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
    assert_equal({name: found[name] for name in arrays}, arrays)
    assert set(read(content, "weights.bin").arrays) == set(arrays)
    halves = np.uint16([0x3F80, 0xC020])
    assert_equal(read(safetensors({"w": ("BF16", halves)}), "x.safetensors").arrays, {"w": np.float32([1, -2.5])})


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


# --- Keras -----------------------------------------------------------------------------------------------------------


KERNEL = RANDOM.standard_normal((3, 5, 2, 4)).astype(np.float32)  # (H, W, in, out), or (H, W, out, in) if transposed
DENSE = RANDOM.standard_normal((6, 3)).astype(np.float32)
VECTORS = RANDOM.standard_normal((4, 4)).astype(np.float32)
IN_PYTORCH = {"conv1.weight": np.moveaxis(KERNEL, (2, 3), (1, 0)), "conv1.bias": VECTORS[0]}
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def hdf5(fill, **options):
    h5py = pytest.importorskip("h5py", reason="an extra")
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        fill(file)
    return stream.getvalue()


@pytest.mark.parametrize("root", ["", "model_weights/"])
def test_keras_2_has_layers_by_name(read, root):
    def fill(file):
        for layer, kernel in (("conv1", KERNEL), ("up1", KERNEL), ("dense", DENSE)):
            file[f"{root}{layer}/{layer}/kernel:0"] = kernel
        file[f"{root}conv1/conv1/bias:0"] = VECTORS[0]
        for part, vector in zip(PARTS, VECTORS, strict=True):
            file[f"{root}bn1/bn1/{part}:0"] = vector
        file[f"{root}wide/wide/depthwise_kernel:0"] = KERNEL
        file["optimizer_weights/Adam/iterations:0"] = 3

    found = read(hdf5(fill), "weights.h5").arrays
    expected = {**IN_PYTORCH, "up1.weight": IN_PYTORCH["conv1.weight"], "dense.weight": DENSE.T}
    expected |= {f"bn1.{PARTS[part]}": vector for part, vector in zip(PARTS, VECTORS, strict=True)}
    expected["wide.weight"] = np.moveaxis(KERNEL.reshape(3, 5, 8), 2, 0)[:, None]
    assert_equal({name: found[name] for name in expected}, expected)
    assert set(found) == set(expected)


@pytest.mark.parametrize("archive", [False, True])
def test_keras_3_numbers_the_arrays_of_a_layer(read, archive):
    def fill(file):
        file["layers/conv2d/vars/0"] = KERNEL
        file["layers/conv2d/vars/1"] = VECTORS[0]
        file["layers/conv2d/vars"].attrs["name"] = "conv1"
        for index, vector in enumerate(VECTORS):
            file[f"layers/batch_normalization/vars/{index}"] = vector
        file["optimizer/vars/0"] = 3

    content = hdf5(fill)
    if archive:
        content = made.zip_of({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": content})
    found = read(content, "model.keras").arrays
    norm = dict(zip(("weight", "bias", "running_mean", "running_var"), VECTORS, strict=True))
    expected = {f"layers.batch_normalization.{part}": vector for part, vector in norm.items()}
    assert_equal({name: found[name] for name in (*expected, *IN_PYTORCH)}, {**expected, **IN_PYTORCH})
    assert len(found) == 6


def soft_link(file):
    import h5py

    file["conv1/kernel:0"] = h5py.SoftLink("/elsewhere")


def external_link(file):
    import h5py

    file["conv1/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/x")


def external_numbers(file):
    file.create_dataset("conv1/kernel:0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual_numbers(file):
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("conv1/kernel:0", layout)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (soft_link, "'conv1/kernel:0', a link, which is not followed"),
        (external_link, "'conv1/kernel:0', a link, which is not followed"),
        (external_numbers, "'conv1/kernel:0', whose numbers lie elsewhere or need a plug-in"),
        (virtual_numbers, "'conv1/kernel:0', whose numbers lie elsewhere or need a plug-in"),
        (
            lambda file: file.create_dataset("w", (2,), "f4", compression="lzf"),
            "'w', whose numbers lie elsewhere or need",
        ),
        (lambda file: file.create_dataset("w", (2**34,), "f4", chunks=(9,)), "declares more bytes of arrays up to 'w'"),
        (
            lambda file: file.create_dataset("w", (1,), "f4", chunks=(2**22,), maxshape=(None,)),
            "pieces larger than itself",
        ),
        (lambda file: file.__setitem__("w", "a text"), "'w' of the type object, which is not read"),
        (lambda file: file.__setitem__("t", np.dtype("f4")), "holds 't', which is no array"),
        (lambda file: file.create_dataset("a/vars/0", data=np.ones(2)), "numbers the arrays of a layer ('a/vars/0')"),
        (lambda file: None, "is an HDF5 file without arrays"),
        (lambda file: file.__setitem__("/".join("x" * 30), 1.0), "nests them too deeply"),
        (
            lambda file: [file.__setitem__(f"a/{part}:0", np.ones(2)) for part in ("bias", "beta")],
            "holds 'a.bias' twice",
        ),
    ],
)
def test_what_keras_does_not_write_is_refused(refused, fill, message):
    assert message in refused(hdf5(fill), "weights.h5")


def test_a_group_within_itself_is_refused(refused):
    def fill(file):
        group = file.create_group("a")
        group["a"] = group

    assert "nests them too deeply" in refused(hdf5(fill), "weights.h5")


def test_broken_hdf5_files_are_refused(refused):
    whole = hdf5(lambda file: file.__setitem__("conv1/kernel:0", KERNEL))
    for length in range(8, len(whole), 97):
        assert "is an HDF5 file, but truncated or damaged" in refused(whole[:length], "weights.h5")


# --- Entries of checkpoints ------------------------------------------------------------------------------------------


def entries(*paths, more=()):
    """A checkpoint with a dictionary at each path of names, whose only array is its place in the list."""
    root: dict = {"epoch": 3, **dict(more)}
    for index, path in enumerate(paths):
        inner = root
        *before, last = path.split(".")
        for name in before:
            inner = inner.setdefault(name, {})
        inner[last] = {"w": made.tensor(str(index), np.zeros(1, np.float32))}
    storages = {str(index): np.float32([index]).tobytes() for index in range(len(paths))}
    return made.torch_zip(root, storages)


@pytest.mark.parametrize(
    "name",
    ["state_dict", "model_state_dict", "model", "net", "network", "params", "params_ema", "ema", "weights", "module"],
)
def test_the_entry_of_a_checkpoint_is_found_and_said(read, name):
    found = read(entries("optimizer_state_dict", "optim.model", "lr_scheduler", name))
    assert found.arrays == {"w": np.float32([3])}
    assert found.facts == {"entry": name}
    assert read(entries(f"checkpoint.{name}")).facts == {"entry": f"checkpoint.{name}"}


@pytest.mark.parametrize(
    ("paths", "taken"),
    [
        (["params", "params_ema"], 1),
        (["ema.params", "params"], 0),
        (["model", "net"], 0),
        (["discriminator", "model"], 1),
        (["generator"], 0),
        (["a.b.state_dict", "c"], 0),
    ],
)
def test_of_several_entries_the_likeliest_is_taken_and_the_others_are_named(read, paths, taken):
    found = read(entries(*paths))
    assert found.arrays == {"w": np.float32([taken])}
    others = [path for path in paths if path != paths[taken]]
    assert found.facts == {"entry": paths[taken], **({"other_entries": others} if others else {})}
    for index, path in enumerate(paths):
        assert read(entries(*paths), entry=path).arrays == {"w": np.float32([index])}


def test_an_entry_may_be_called_by_its_last_name(read, refused):
    assert read(entries("a.first", "a.second"), entry="second").arrays == {"w": np.float32([1])}
    message = refused(entries("a.net", "b.net"), entry="net")
    assert "has no single entry 'net' of weights; it has a.net, b.net" in message
    assert "has no single entry 'ema' of weights; it has model" in refused(entries("model"), entry="ema")
    content = made.saved({"w": np.ones(1)})
    assert "has no single entry 'ema' of weights; it holds its arrays without entries" in refused(content, entry="ema")


def test_an_entry_is_called_by_a_text(refused):
    assert "has entries by name (got int); pass a str" in refused(entries("model"), entry=3)
    assert "is an NPZ file and has no entries; leave 3 out" in refused(made.zip_of({"w.npy": b""}), "x.npz", entry=3)


def test_an_entry_that_cannot_be_told_is_asked_for(refused):
    message = refused(entries("generator", "critic"))
    assert message.endswith("holds several state dicts: generator, critic; say which (--entry NAME, entry=)")


def test_a_file_without_weights_says_what_it_holds(refused):
    assert "holds no weights but a dictionary of epoch; save model.state_dict()" in refused(entries())
    assert "holds no weights but an empty dictionary" in refused(made.torch_zip({}))
    assert "holds no weights but one tuple" in refused(made.torch_zip((1, 2)))
    scalars = {"acc": made.tensor("0", np.asarray(1.0)), "optimizer": {"w": made.tensor("0", np.ones(1))}}
    assert "holds no weights but a dictionary of acc, optimizer" in refused(made.torch_zip(scalars, {"0": bytes(8)}))


def test_scores_beside_an_entry_are_no_state_dict_and_other_values_within_are_left_out(read):
    state = {"w": made.tensor("0", np.ones(1)), "_extra": None, "version": 3}
    root = {"best": made.tensor("0", np.asarray(1.0)), "rng": made.tensor("1", np.ones(8, np.uint8)), "net": state}
    found = read(made.torch_zip(root, {"0": np.ones(1).tobytes(), "1": bytes(8)}))
    assert list(found.arrays) == ["w"]
    assert found.facts == {"entry": "net", "left_out": ["_extra", "version"]}


def test_arrays_of_the_file_itself_beside_an_entry_have_the_empty_name(read):
    root = {"w": made.tensor("0", np.ones(1)), "ema": {"w": made.tensor("1", np.zeros(1))}}
    content = made.torch_zip(root, {"0": np.ones(1).tobytes(), "1": np.zeros(1).tobytes()})
    found = read(content)
    assert (found.arrays, found.facts) == ({"w": np.zeros(1)}, {"entry": "ema", "other_entries": [""]})
    found = read(content, entry="")
    assert (found.arrays["w"], found.facts) == (np.ones(1), {"other_entries": ["ema"], "left_out": ["ema"]})


@pytest.mark.parametrize(
    "name",
    ["pytorch_lightning.callbacks.ModelCheckpoint", "omegaconf.dictconfig.DictConfig", "torch.optim.adam.Adam"],
)
def test_what_training_loops_put_beside_the_weights_is_dropped(read, refused, name):
    module, _, kind = name.rpartition(".")
    thing = made.named(module, kind) + b")\x81}" + made.text("lr") + b"K\x01sb" + made.text("x") + b"K\x01s"
    state = {"w": made.tensor("0", np.ones(1))}
    content = made.torch_zip(
        {"callbacks": {made.named(module, kind): thing}, "state_dict": state}, {"0": np.ones(1).tobytes()}
    )
    assert read(content).arrays == {"w": np.ones(1)}
    assert f"holds no weights but one {name}" in refused(made.torch_zip(thing))
    assert "names 'torch.optimize.x', which is no part" in refused(made.torch_zip(made.named("torch.optimize", "x")))


def test_only_the_storages_that_are_wanted_are_read(read):
    root = {"net": {"w": made.tensor("0", np.ones(1))}, "other": {"w": made.tensor("gone", np.ones(1))}}
    assert read(made.torch_zip(root, {"0": np.ones(1).tobytes()})).arrays == {"w": np.ones(1)}


# --- Conversion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_conversion_takes_prefixes_and_entries_of_pytorch_files(tmp_path, legacy):
    state = unets.random_state()
    path = tmp_path / "ann.pth"
    path.write_bytes(made.saved({f"module.{key}": array for key, array in state.items()}, legacy, "params"))
    found = convert(path, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])
    assert found.metadata["conversion"]["entry"] == "params"
    assert found.metadata["conversion"]["prefixes"] == ["module."]
    assert next(iter(read_state_dict(path, entry="params"))) == "module.conv1.weight"
    with pytest.raises(StateDictError, match="has no single entry 'ema'"):
        convert(path, normalization="none", entry="ema")


def test_conversion_takes_entries_of_mappings(tmp_path):
    state = unets.random_state()
    nested = {"epoch": 3, "params": state, "params_ema": {key: array * 2 for key, array in state.items()}}
    found = convert(nested, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"] * 2)
    facts = found.metadata["conversion"]
    assert (facts["entry"], facts["other_entries"]) == ("params_ema", ["params"])
    found = convert(nested, normalization="none", entry="params")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])
    with pytest.raises(StateDictError, match="the state dict has no single entry 'x'"):
        convert(nested, normalization="none", entry="x")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs convert in a folder and gives its status, its lines by their first word, and what it says of errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["convert", *arguments, "-o", "model.npz", "--normalization", "none"])
        printed = capsys.readouterr()
        lines = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in printed.out.splitlines() if line.strip())
        return ended.value.code or 0, {line[0]: line[-1] for line in lines}, printed.err

    return command


def test_the_command_says_which_entry_it_took_and_how_to_take_another(command, tmp_path):
    state = unets.random_state()
    keys = {name: str(index) for index, name in enumerate(state)}
    tensors = {name: made.tensor(keys[name], array) for name, array in state.items()}
    root = {"params": tensors, "params_ema": {**tensors, "step": 5}, "optimizer": {"state": {}}}
    (tmp_path / "ann.pth").write_bytes(
        made.torch_zip(root, {keys[name]: array.tobytes() for name, array in state.items()})
    )
    status, lines, _ = command("ann.pth")
    assert status == 0
    assert lines["entry"] == "params_ema; also there: params (--entry)"
    assert lines["left out"] == "no arrays: step"
    assert load_model(tmp_path / "model.npz").metadata["conversion"]["entry"] == "params_ema"
    status, lines, _ = command("ann.pth", "--entry", "params")
    assert status == 0
    assert lines["entry"] == "params; also there: params_ema (--entry)"
    status, _, errors = command("ann.pth", "--entry", "net")
    assert status == 2
    assert errors == "spikeunet: error: ann.pth: has no single entry 'net' of weights; it has params, params_ema\n"
