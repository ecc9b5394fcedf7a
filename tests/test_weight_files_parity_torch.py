"""What is read of PyTorch's own files is what PyTorch loads."""

from __future__ import annotations

import argparse
import collections
import io
import pathlib
import warnings

import numpy as np
import pytest

from spikeunet.converters import load_weights
from spikeunet.engine.errors import StateDictError

torch = pytest.importorskip("torch", reason="PyTorch writes the files")

FILES = ("dncnn_25.pth", "wnet_drive.pth", "nmnist_ann.pth")
FORMATS = {"zip": True, "legacy": False}


@pytest.fixture
def save(tmp_path):
    """Saves something in one of PyTorch's formats."""

    def save(thing, zipped=True, **options):
        path = tmp_path / "weights.pt"
        torch.save(thing, path, _use_new_zipfile_serialization=zipped, **options)
        return path

    return save


def as_array(tensor):
    """The numbers of a tensor, bfloat16 as float32, as they are read."""
    tensor = tensor.detach().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_as_pytorch_loads(path, entry=None):
    found = load_weights(path)
    expected = torch.load(path, weights_only=True, map_location="cpu")
    assert found.facts.get("entry") == entry
    expected = expected[entry] if entry else expected
    assert list(found.arrays) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found.arrays[name], as_array(value), strict=True)


@pytest.mark.parametrize("name", FILES)
def test_real_files(name, shared_checkpoints):
    assert_as_pytorch_loads(shared_checkpoints / name, "model_state_dict" if name == "wnet_drive.pth" else None)


TYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@pytest.mark.parametrize("zipped", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_types_views_and_protocols(save, zipped, protocol):
    numbers = torch.arange(-60.0, 60).reshape(2, 3, 4, 5)
    state = {name: numbers.to(getattr(torch, name)) for name in TYPES}
    state |= {
        "transposed": numbers.transpose(0, 3),
        "part": numbers[1, ::2, 1:],
        "expanded": numbers[:1, :1, :1].expand(7, 3, 2, 5),
        "channels last": numbers.contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "shared": numbers,
        "negative": torch.complex(numbers, numbers).conj().imag,
        "parameter": torch.nn.Parameter(numbers),
        "buffer": torch.nn.Buffer(numbers),
        "size": torch.zeros(2).requires_grad_(),
    }
    state["parameter"].note = "an attribute"
    path = save(state, zipped, pickle_protocol=protocol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of any protocol but 2
        if protocol == 2:
            assert_as_pytorch_loads(path)
    found = load_weights(path).arrays
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], as_array(value), strict=True)


def test_unsigned_numbers_that_have_no_storage_of_their_own(save):
    state = {name: torch.tensor([1, 2, 3], dtype=getattr(torch, name))[1:] for name in ("uint16", "uint32", "uint64")}
    assert_as_pytorch_loads(save(state))


@pytest.mark.parametrize("zipped", FORMATS.values(), ids=FORMATS)
def test_a_training_checkpoint(save, zipped):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU())
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 1, 5, 5)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": {"last": np.float64(0.5), "rng": torch.get_rng_state()},
        "history": collections.defaultdict(list, loss=[1.0, 0.5], seen={1, 2}, frozen=frozenset((1,))),
        "options": argparse.Namespace(rate=0.1, folder=pathlib.PurePosixPath("x")),
        "counts": collections.Counter("abc"),
        (1, 2): "a key that is no text",
    }
    found = load_weights(save(checkpoint, zipped))
    assert found.facts == {"entry": "state_dict"}
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(found.arrays[name], value.numpy(), strict=True)


@pytest.mark.parametrize("zipped", FORMATS.values(), ids=FORMATS)
def test_a_whole_network_is_refused(save, zipped):
    with pytest.raises(StateDictError, match=r"names 'torch.nn.modules.\w+.\w+'.*torch\.save\(model\.state_dict\(\), "):
        load_weights(save(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), zipped))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 2, 3)), tmp_path / "net.pt")
    with pytest.raises(StateDictError, match="is a TorchScript archive"):
        load_weights(tmp_path / "net.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex64"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "a quantised tensor"),
        (lambda: torch.eye(2).to_sparse(), "a sparse tensor"),
        (lambda: torch.eye(2).to_sparse_csr(), "a sparse tensor"),
        (lambda: torch.ones(2, device="meta"), "a tensor without values"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    ],
)
def test_other_tensors_are_refused_by_name(save, make, kind):
    with pytest.raises(StateDictError, match=f"'odd' (is|has numbers of the type) {kind}"):
        load_weights(save({"net": {"weight": torch.ones(2), "odd": make()}}))


def test_files_of_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.torch", reason="an extra")
    state = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in TYPES}
    library.save_file(state, tmp_path / "weights.safetensors", {"format": "pt"})
    found = load_weights(tmp_path / "weights.safetensors").arrays
    assert set(found) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], as_array(value), strict=True)


def test_a_file_of_pytorch_with_deflated_members(save, tmp_path):
    import zipfile

    path = save({"weight": torch.ones(50, 50)})
    content = io.BytesIO()
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    (tmp_path / "packed.pt").write_bytes(content.getvalue())
    np.testing.assert_array_equal(load_weights(tmp_path / "packed.pt").arrays["weight"], np.ones((50, 50), np.float32))
