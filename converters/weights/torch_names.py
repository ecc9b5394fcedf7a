"""What the pickles of PyTorch may name, and what each becomes here: values of ours, never PyTorch's or Python's own."""

from __future__ import annotations

from collections.abc import Callable

from .numpy_pickle import NAMES as NUMPY_NAMES
from .pickle_values import Inert, Items, Named
from .refusals import DamagedError, UnreadableError
from .tensors import ELEMENT_TYPES, ElementType, Storage, Tensor, Unreadable

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
_INERT = (
    *("argparse.Namespace", "collections.deque", "torch.device", "torch.serialization._get_layout", "torch.Generator"),
    *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone"),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"builtins.{name}" for name in ("bool", "int", "float", "complex", "str", "object", "range", "slice")),
)
"""Of no use for weights, but in many checkpoints: dropped, whatever they hold."""

_INERT_PACKAGES = (
    *("addict", "easydict", "enum", "lightning", "lightning_fabric", "mmcv", "mmengine", "numpy.random", "omegaconf"),
    *("pytorch_lightning", "torch.optim", "types.SimpleNamespace", "typing", "yacs"),
)
"""Of settings, callbacks and states of generators, which training loops put beside the weights: dropped like those."""

_INERT_CONSTANTS = ("strided", "contiguous_format", "channels_last", "preserve_format", "per_tensor_affine")
_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pathlib._local": "pathlib",
    "torch.cuda": "torch",
    "torch.storage": "torch",
    "torch._tensor": "torch",
    "torch.tensor": "torch",
}
"""Where older and newer versions of Python, NumPy and PyTorch keep what others have elsewhere."""

_TENSORS = "torch._utils."


def lookup(module: str, name: str) -> object:
    """What stands for something that a pickle names.

    Raises
    ------
    UnreadableError
        If it is none of the tables below: the message names it.
    """
    full = f"{module}.{name}"
    known = NAMES.get(f"{_MODULES.get(module, module)}.{name}")
    if known is None and any(f"{full}.".startswith(f"{package}.") for package in _INERT_PACKAGES):
        return Named(full, _inert(full))
    if known is None:
        raise UnreadableError(
            f"names {full[:100]!r}, which is no part of a state dict and is not loaded; save the weights "
            "alone in PyTorch: torch.save(model.state_dict(), PATH)"
        )
    return known


def storage_type(kind: object) -> ElementType:
    """The type of the numbers in a storage, by what a persistent id says."""
    if not isinstance(kind, ElementType):
        raise DamagedError("a storage is of no known type")
    return kind


def _dictionary(content: object = None, *_: object) -> Items:
    """OrderedDict and its like, of pairs or of another dictionary."""
    if isinstance(content, Items):
        return Items(list(content.pairs))
    if not isinstance(content, (list, tuple)):
        return Items()
    return Items([_pair(item) for item in content])


def _pair(item: object) -> tuple[object, object]:
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        raise DamagedError("a dictionary is made of what are no pairs")
    return item[0], item[1]


def _sequence(content: object = (), *_: object) -> object:
    """Lists, tuples and sets: what they are made of."""
    return content if isinstance(content, (list, tuple, bytes)) else []


def _bytes(content: object = b"", *_: object) -> bytes:
    """Bytes as text of Latin-1, as protocol 2 keeps them."""
    if isinstance(content, (bytes, bytearray)):
        return bytes(content)
    return content.encode("latin-1") if isinstance(content, str) else b""


def _tensor(storage: object, offset: object, shape: object, strides: object, *rest: object) -> Tensor:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`, whose rest is requires_grad, hooks and perhaps flags."""
    if not isinstance(storage, Storage):
        raise DamagedError("a tensor has no storage")
    return _view(storage, storage.element, offset, shape, strides, rest[2:])


def _tensor_of_type(storage: object, offset: object, shape: object, strides: object, *rest: object) -> Tensor:
    """`_rebuild_tensor_v3`: the rest is requires_grad, hooks, a type and perhaps flags."""
    if not isinstance(storage, Storage) or len(rest) < 3 or not isinstance(rest[2], ElementType):
        raise DamagedError("a tensor has no storage or no type")
    return _view(storage, rest[2], offset, shape, strides, rest[3:])


def _view(
    storage: Storage, element: ElementType, offset: object, shape: object, strides: object, flags: tuple[object, ...]
) -> Tensor:
    if not isinstance(offset, int) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise DamagedError("a tensor has no offset, sizes or strides")
    said = flags[0].by_name() if flags and isinstance(flags[0], Items) else {}
    return Tensor(storage, element, offset, shape, strides, said.get("neg") is True)


def _data(data: object = None, *_: object) -> object:
    """Parameters and buffers are their tensors."""
    return data


def _of_a_class(rebuild: object, _: object, arguments: object, *__: object) -> object:
    """`_rebuild_from_type_v2`: a tensor with attributes, which are dropped."""
    if not isinstance(rebuild, Named) or not isinstance(arguments, tuple) or not rebuild.name.startswith(_TENSORS):
        raise DamagedError("a tensor is made by what makes none")
    return rebuild.call(arguments)


def _unreadable(kind: str) -> Callable[..., object]:
    return lambda *_: Unreadable(kind)


def _inert(name: str) -> Callable[..., object]:
    return lambda *_: Inert(name)


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _dictionary,
    "collections.Counter": _dictionary,
    "collections.defaultdict": _dictionary,
    "builtins.dict": _dictionary,
    **dict.fromkeys(("builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "torch.Size"), _sequence),
    **dict.fromkeys(("builtins.bytes", "builtins.bytearray", "_codecs.encode"), _bytes),
    **dict.fromkeys(("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"), _data),
    "torch._rebuild_from_type_v2": _of_a_class,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _data,
    "torch._utils._rebuild_parameter_with_state": _data,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _data,
    "torch._utils._rebuild_device_tensor_from_numpy": _data,
    "torch._utils._rebuild_qtensor": _unreadable("a quantised tensor"),
    "torch._utils._rebuild_sparse_tensor": _unreadable("a sparse tensor"),
    "torch._utils._rebuild_nested_tensor": _unreadable("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unreadable("a tensor without values (device meta)"),
    "torch._utils._rebuild_wrapper_subclass": _unreadable("a tensor of a special class"),
    **{name: _inert(name) for name in _INERT},
}

NAMES: dict[str, object] = {
    **NUMPY_NAMES,
    **{name: Named(name, make) for name, make in _FUNCTIONS.items()},
    **{f"torch.{storage}": ELEMENT_TYPES[name] for storage, name in _STORAGES.items()},
    **{f"torch.{name}": element for name, element in ELEMENT_TYPES.items()},
    **{f"torch.{name}": Inert(name) for name in _INERT_CONSTANTS},
}
"""Everything that a pickle may name."""
