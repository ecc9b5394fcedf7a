"""Model files: one NPZ with a network's topology, weights, neuron parameters, normalisation factors and metadata.

Arrays of a file:

======================= ========= =======================================================================
format_version          int64     (), 1; 2 where a weight is int8; 3 where a parameter of neurons is an array
topology                uint8     UTF-8 JSON: list of nodes, each with its type, name, sources, parameters
metadata                uint8     UTF-8 JSON object
normalization           uint8     UTF-8 JSON object: factor of each converted neuron layer
weights/NODE.weight     float32   or float16, in PyTorch's layout, for each Conv2d, ConvTranspose2d, Linear
weights/NODE.bias       float32   or float16
======================= ========= =======================================================================

In version 2 a node may have these in place of floating-point weights:

======================= ========= =======================================================================
weights/NODE.weight     int8      -127 to 127, in PyTorch's layout
weights/NODE.exponents  int16     (out_channels,), -149 to 127: channel c's weights are int8 * 2**exponents[c]
======================= ========= =======================================================================

In version 3 neurons may have parameters that differ between them:

======================= ========= =======================================================================
neurons/NODE.FIELD      float64,  (channels,) or (channels, height, width)
                        int64 or
                        bool
======================= ========= =======================================================================

Weights that are such integers are stored as in version 2, with their biases as float32; reading gives the same float32
numbers again.

Nothing in a file is ever unpickled or imported; node and neuron types come from the tables in `topology`, and neuron
models of a user's own from what `register_neuron` was given before.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ModelFileError, SpikeunetError
from ..fixed_point import codes_and_exponents
from ..graph import Network, Weighted
from .archive import MAXIMUM_BYTES, read_arrays
from .atomic import atomic_write, input_errors
from .json_text import check_json, parse_json
from .neuron_models import neuron_arrays
from .topology import check_channels, decode_nodes, encode_node, exponents_key, weight_keys

FORMAT_VERSION = 3
"""The newest version that `read_model` reads; `save_model` writes the lowest that suffices."""

MAXIMUM_TEXT = 2**24
"""Longest JSON text in a file, in bytes."""

_REMEDY = "copy or convert the model again"
DTYPES = ("float32", "float16", "exact")
"""How weights can be stored, see `save_model`."""

_TEXTS = ("topology", "metadata", "normalization")


def save_model(
    network: Network, path: str | os.PathLike[str] | BinaryIO, dtype: Literal["float32", "float16", "exact"] = "float32"
) -> None:
    """Write a network to an NPZ file, atomically: a reader sees the old file or the whole new one.

    Parameters
    ----------
    network : Network
    path : str, path-like or binary file object
        Where to write; an existing file is replaced.
    dtype : "float32", "float16" or "exact"
        How to store weights and biases. float32 is exact; float16 halves the file and rounds to 11 significant bits;
        "exact" takes float16 for each array that loses nothing by it, so that no spike can change, and float32 for all
        others.
        Weights that are integers from -127 to 127 times a power of two of each output channel, as `quantize_weights`
        makes them, are stored as int8 whatever is chosen, without loss.

    Raises
    ------
    InputError
        If the dtype is unknown, a weight is beyond float16's range, the metadata has no JSON form, or the folder does
        not exist or cannot be written.
    ModelFileError
        If a node or a neuron model has no file format.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be {', '.join(map(repr, DTYPES[:-1]))} or {DTYPES[-1]!r} (got {dtype!r})")
    weights: dict[str, NDArray[Any]] = {}
    for node in network.nodes:
        if isinstance(node, Weighted):
            weights |= _node_arrays(node, dtype)
    of_neurons = {key: array for node in network.nodes for key, array in neuron_arrays(node).items()}
    version = 3 if of_neurons else 2 if any(array.dtype == np.int8 for array in weights.values()) else 1
    arrays: dict[str, NDArray[Any]] = {
        "format_version": np.asarray(version, np.int64),
        "topology": _encode_text("topology", [encode_node(node) for node in network.nodes]),
        "metadata": _encode_text("metadata", dict(network.metadata)),
        "normalization": _encode_text("normalization", dict(network.normalization)),
    }
    _write(path, arrays | weights | of_neurons)


def read_model(path: str | os.PathLike[str] | BinaryIO) -> Network:
    """Read a network that `save_model` wrote, from a file or a binary file object; weights come back as float32.

    Raises
    ------
    ModelFileError
        If there is no such file, or it is truncated, damaged, inconsistent, from a newer version, or holds NaN,
        infinities or Python objects; the message, one line, names the file, what is wrong, and the remedy.
    """
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    try:
        return _decode(arrays)
    except SpikeunetError as error:
        name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else f"<{type(path).__name__}>"
        raise ModelFileError(f"{name}: {error}") from None


def _decode(arrays: dict[str, NDArray[Any]]) -> Network:
    _check_version(arrays)
    missing = [key for key in _TEXTS if key not in arrays]
    if missing:
        raise ModelFileError(f"missing arrays: {', '.join(missing)}; {_REMEDY}")
    topology, metadata, normalization = (_decode_text(key, arrays[key]) for key in _TEXTS)
    for key, value in (("metadata", metadata), ("normalization", normalization)):
        if not isinstance(value, dict):
            raise ModelFileError(f"{key} must be a JSON object; {_REMEDY}")
    weights = {key: array for key, array in arrays.items() if key not in ("format_version", *_TEXTS)}
    _check_integers(int(arrays["format_version"]), weights)
    network = Network(decode_nodes(topology, weights), metadata, _factors(normalization))
    check_channels(network)
    return network


def _check_version(arrays: Mapping[str, NDArray[Any]]) -> None:
    version = arrays.get("format_version")
    if version is None and str(arrays.get("format", "")).startswith("spikeunet "):
        raise ModelFileError(
            f"is no model file, but one of the kind {str(arrays['format'])[:40]!r}; docs/learning.md says what reads it"
        )
    if version is None:
        raise ModelFileError("is not a model file (no format_version); a state dict is converted with `convert` first")
    if version.shape != () or version.dtype.kind not in "iu" or int(version) < 1:
        raise ModelFileError(f"format_version must be a positive integer (got {version.dtype} {version.shape})")
    if int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"is in format {int(version)}, newer than {FORMAT_VERSION}, the newest that this version reads; upgrade "
            "spikeunet"
        )


def _check_integers(version: int, weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse int8 in version 1, and more of it than fits into memory as float32."""
    integers = {key: array for key, array in weights.items() if array.dtype == np.int8}
    if integers and version < 2:
        raise ModelFileError(f"{min(integers)} must be float32 or float16 in format 1 (got int8); {_REMEDY}")
    size = 4 * sum(array.size for array in integers.values())
    if size > MAXIMUM_BYTES:
        raise ModelFileError(f"its int8 weights take {size} bytes as float32, more than {MAXIMUM_BYTES}; {_REMEDY}")


def _factors(normalization: Mapping[str, Any]) -> dict[str, float]:
    for name, value in normalization.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value <= sys.float_info.max:
            raise ModelFileError(f"normalization of {name!r} must be a positive finite number; {_REMEDY}")
    return {name: float(value) for name, value in normalization.items()}


def _encode_text(key: str, value: Any) -> NDArray[np.uint8]:
    try:
        check_json(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{key} must consist of JSON values: {error}") from None
    return np.frombuffer(text, np.uint8)


def _decode_text(key: str, array: NDArray[Any]) -> Any:
    if array.dtype != np.uint8 or array.ndim != 1 or array.size > MAXIMUM_TEXT:
        raise ModelFileError(
            f"{key} must be at most {MAXIMUM_TEXT} bytes of JSON, uint8 (got {array.dtype} {array.shape}); {_REMEDY}"
        )
    try:
        return parse_json(array.tobytes())
    except ValueError as error:
        raise ModelFileError(f"{key} is broken JSON ({error}); {_REMEDY}") from None


def _node_arrays(node: Weighted, dtype: str) -> dict[str, NDArray[Any]]:
    """A node's arrays as they are stored: as integers where that is exact."""
    weight, bias = weight_keys(node.name)
    found = codes_and_exponents(node)
    if found is None:
        return {weight: _stored(weight, node.weight, dtype), bias: _stored(bias, node.bias, dtype)}
    codes, exponents = found
    return {weight: codes, exponents_key(node.name): exponents.astype(np.int16), bias: node.bias}


def _stored(key: str, array: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    if dtype == "exact":
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        # As bits: a zero keeps its sign.
        return half if half.astype(np.float32).tobytes() == array.tobytes() else array
    if dtype == "float16" and np.abs(array).max() > np.finfo(np.float16).max:
        raise InputError(f"{key} has values beyond float16's range of 65504; save it as float32")
    return array.astype(dtype)


def _write(path: str | os.PathLike[str] | BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    if not isinstance(path, (str, os.PathLike)):
        if not hasattr(path, "write"):
            raise InputError(f"a model is written to a path or a binary file object (got {path!r:.80})")
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        path.write(buffer.getbuffer())
        return
    with input_errors(path), atomic_write(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
