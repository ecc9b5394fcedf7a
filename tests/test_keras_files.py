"""Weights out of the HDF5 files of Keras, in PyTorch's layouts; nothing outside such a file is followed."""

from __future__ import annotations

import functools
import io
import json
import resource

import numpy as np
import pytest
import weight_files as made

from spikeunet.converters.weights.keras_config import layers_of

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.standard_normal((3, 5, 2, 4)).astype(np.float32)  # (H, W, in, out), or (H, W, out, in) if transposed
DENSE = RANDOM.standard_normal((6, 3)).astype(np.float32)
VECTORS = RANDOM.standard_normal((4, 4)).astype(np.float32)
IN_PYTORCH = {"conv1.weight": np.moveaxis(KERNEL, (2, 3), (1, 0)), "conv1.bias": VECTORS[0]}
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""
    return functools.partial(made.read, tmp_path)


@pytest.fixture
def refused(tmp_path):
    """Writes a file, and gives the line in which it is refused."""
    return functools.partial(made.refused, tmp_path)


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
    made.assert_equal({name: found[name] for name in expected}, expected)
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
    made.assert_equal({name: found[name] for name in (*expected, *IN_PYTORCH)}, {**expected, **IN_PYTORCH})
    assert len(found) == 6


# --- Depthwise or not ------------------------------------------------------------------------------------------------

SQUARE, ONE_EACH, WIDE = (np.ones((3, 3, 4, last), np.float32) for last in (4, 1, 8))


def layer(path, *arrays, name=None):
    """Fills a file with the arrays of a layer of Keras 3."""

    def fill(file):
        for index, array in enumerate(arrays):
            file[f"{path}/vars/{index}"] = array
        if name is not None:
            file[f"{path}/vars"].attrs["name"] = name

    return fill


def config(**kinds):
    """Of a functional model within another, with layers by name."""
    layers = [{"class_name": kind, "config": {"name": name, "kernel_size": [3, 3]}} for name, kind in kinds.items()]
    inner = {"class_name": "Functional", "config": {"name": "inner", "layers": layers}}
    return json.dumps({"class_name": "Functional", "config": {"name": "outer", "layers": [inner]}})


@pytest.mark.parametrize(
    ("fill", "shape"),
    [
        # A group within `layers` is called by the class, one elsewhere by the attribute that the layer is.
        (layer("layers/depthwise_conv2d_1", ONE_EACH, name="mine"), (4, 1, 3, 3)),
        (layer("layers/conv2d", ONE_EACH, name="mine"), (1, 4, 3, 3)),
        (layer("layers/sequential/layers/depthwise_conv2d", ONE_EACH, name="mine"), (4, 1, 3, 3)),
        # So is a layer that nobody names.
        (layer("conv1", ONE_EACH, name="depthwise_conv2d_3"), (4, 1, 3, 3)),
        (layer("depthwise_like", SQUARE, name="conv2d"), (4, 4, 3, 3)),
        (layer("depthwise_like", ONE_EACH, np.ones(4), name="conv2d_transpose_2"), (1, 4, 3, 3)),
        # The number of biases may tell.
        (layer("depthwise_like", SQUARE, np.ones(4), name="mine"), (4, 4, 3, 3)),
        (layer("conv1", WIDE, np.ones(32), name="mine"), (32, 1, 3, 3)),
        (layer("last", ONE_EACH, np.ones(1), name="mine"), (1, 4, 3, 3)),
        (layer("first", np.ones((3, 3, 1, 4)), name="mine"), (4, 1, 3, 3)),
        (layer("depthwise_like", np.ones((3, 4, 8)), np.ones(32)), (32, 1, 3)),
    ],
)
def test_a_kernel_is_depthwise_by_what_the_file_says(read, fill, shape):
    arrays = read(hdf5(fill), "model.weights.h5").arrays
    assert [array.shape for name, array in arrays.items() if name.endswith(".weight")] == [shape]
    assert arrays.undecided == []


@pytest.mark.parametrize(("kind", "shape"), [("DepthwiseConv2D", (4, 1, 3, 3)), ("Conv2DTranspose", (1, 4, 3, 3))])
def test_a_config_says_what_is_depthwise(read, kind, shape):
    content = hdf5(layer("conv1", ONE_EACH, np.ones(4), name="mine"))
    members = {"config.json": config(mine=kind).encode(), "metadata.json": b"{}", "model.weights.h5": content}
    assert read(made.zip_of(members), "model.keras").arrays["mine.weight"].shape == shape

    def fill(file):
        file["model_weights/inner/inner/mine/kernel"] = ONE_EACH
        file["model_weights/inner/inner/mine/bias"] = np.ones(4)
        file.attrs["model_config"] = config(mine=kind, other="Conv2D")

    assert read(hdf5(fill), "model.h5").arrays["inner.mine.weight"].shape == shape


@pytest.mark.parametrize(
    "config_json", [b"{}", b"no JSON", b'{"config": {"layers": [3, {"class_name": []}]}}', config(mine="Own").encode()]
)
def test_what_may_be_depthwise_is_refused(refused, config_json):
    line = "does not show whether the kernel 'conv1/vars/0' is of a depthwise convolution; save the functional model"
    content = hdf5(layer("conv1", ONE_EACH, np.ones(4), name="mine"))
    assert line in refused(content, "model.weights.h5")
    assert line in refused(made.zip_of({"config.json": config_json, "model.weights.h5": content}), "model.keras")
    kernel_alone = hdf5(lambda file: file.__setitem__("conv1/conv1/kernel", ONE_EACH))
    assert "does not show whether the kernel 'conv1/conv1/kernel'" in refused(kernel_alone, "model.h5")


def test_what_is_hardly_depthwise_is_said(read):
    arrays = read(hdf5(layer("conv1", WIDE, name="mine")), "model.weights.h5").arrays
    assert arrays["mine.weight"].shape == (8, 4, 3, 3)
    assert arrays.undecided == ["mine.weight"]


def test_a_name_of_several_layers_says_nothing():
    outer = json.loads(config(mine="Conv2D", other="Conv2D"))
    outer["config"]["layers"].append(json.loads(config(mine="DepthwiseConv2D")))
    assert set(layers_of(json.dumps(outer))) == {"inner", "outer", "other"}


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


def keras_3_with_name():
    """A file of Keras 3 that calls a layer by an attribute, and where that name's length and its heap stand."""

    def fill(file):
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "mine"
        group["0"], group["1"] = KERNEL, VECTORS[0]

    content = hdf5(fill)
    heap = content.index(b"GCOL")
    return content, content.index((4).to_bytes(4, "little") + heap.to_bytes(8, "little")), heap


def test_a_name_longer_than_the_file_takes_no_memory(refused, read):
    content, place, _ = keras_3_with_name()
    assert "mine.weight" in read(content, "whole.h5").arrays
    broken = content[:place] + (2**31).to_bytes(4, "little") + content[place + 4 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "an attribute 'name' longer than the file" in refused(broken, "weights.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


def test_a_heap_that_never_ends_is_refused(refused):
    # libhdf5 goes on from what is free by its length; of 0 it would go on for ever.
    content, _, heap = keras_3_with_name()
    free = heap + 16 + 16 + 8
    assert content[free : free + 2] == b"\0\0"
    broken = content[: free + 8] + bytes(8) + content[free + 16 :]
    assert "a heap of texts that has no end" in refused(broken, "weights.h5")


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_names_of_layers_are_found_in_headers_of_every_version(read, version):
    def fill(file):
        group = file.create_group("layers/conv2d/vars")
        for index in range(7):
            group.attrs[f"other{index}"] = "x" * 300
        group.attrs["name"] = "größer"
        group["0"] = KERNEL

    found = read(hdf5(fill, libver=version), "weights.h5").arrays
    assert list(found) == ["größer.weight"]
