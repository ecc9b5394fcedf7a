"""Checkpoints: one NPZ with all that a training run needs to go on exactly, without pickles, written atomically.

====================== ======= =========================================================================
state                  uint8   JSON: version, fingerprint of the network, settings, iteration, generator
parameters/NAME        float32 flat, in the order of trainable.flat
moments/NAME           float32 the optimiser's state
====================== ======= =========================================================================
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..archive import read_arrays
from ..atomic import atomic_write
from ..errors import InputError, ModelFileError
from ..graph import Network
from ..topology import encode_node
from .trainable import flat

if TYPE_CHECKING:
    from .training import Trainer

VERSION = 1
_REMEDY = "start the training again without it"


def write_checkpoint(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Write the state of a run; InputError where the file cannot be written."""
    state = {
        "version": VERSION,
        "fingerprint": fingerprint(trainer.trainable.source),
        "settings": trainer.settings.as_json(),
        "iteration": trainer.iteration,
        "count": trainer.optimizer.count,
        "generator": trainer.generator.bit_generator.state,
    }
    arrays: dict[str, NDArray[Any]] = {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)}
    arrays.update({f"parameters/{name}": flat(array) for name, array in trainer.parameters.items()})
    arrays.update({f"moments/{name}": array for name, array in trainer.optimizer.moments.items()})
    try:
        with atomic_write(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{os.fspath(path)}: cannot be written ({reason}); choose another place") from None


def read_checkpoint(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Put a run into the state of a checkpoint; ModelFileError where it is damaged or belongs to another run."""
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    try:
        state = json.loads(arrays.pop("state").tobytes())
        version = state["version"]
        if version != VERSION:
            raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of version {version}, not {VERSION}; {_REMEDY}")
        _check_run(path, state, trainer)
        _restore(trainer, state, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{os.fspath(path)}: is no checkpoint, or is damaged ({error}); {_REMEDY}") from None


def fingerprint(network: Network) -> str:
    """Digest of a network's topology, weights and neuron parameters."""
    digest = hashlib.sha256()
    for node in network.nodes:
        digest.update(json.dumps(encode_node(node), sort_keys=True).encode())
        for part in ("weight", "bias"):
            if hasattr(node, part):
                digest.update(np.ascontiguousarray(getattr(node, part)).tobytes())
    return digest.hexdigest()


def _check_run(path: str | os.PathLike[str], state: dict[str, Any], trainer: Trainer) -> None:
    if state["fingerprint"] != fingerprint(trainer.trainable.source):
        raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of another network; {_REMEDY}")
    settings = json.loads(json.dumps(trainer.settings.as_json()))
    other = [name for name in settings if settings[name] != state["settings"].get(name)]
    if other:
        was = ", ".join(f"{name} {state['settings'].get(name)}, now {settings[name]}" for name in other)
        raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of other settings ({was}); use those, or {_REMEDY}")


def _restore(trainer: Trainer, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    parameters, moments = ({
        key.partition("/")[2]: array for key, array in arrays.items() if key.startswith(kind)
    } for kind in ("parameters/", "moments/"))  # fmt: skip
    if sorted(parameters) != sorted(trainer.parameters):
        raise KeyError("parameters")
    for name, array in trainer.parameters.items():
        target = flat(array)
        if parameters[name].shape != target.shape or parameters[name].dtype != target.dtype:
            raise ValueError(f"parameters/{name} has the shape {parameters[name].shape}")
        target[:] = parameters[name]
    trainer.optimizer.moments = {name: array.copy() for name, array in moments.items()}
    trainer.optimizer.count = int(state["count"])
    trainer.generator.bit_generator.state = state["generator"]
    trainer.iteration = int(state["iteration"])
