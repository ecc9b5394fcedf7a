"""Checkpoints: one NPZ with all that a training run needs to go on exactly, without pickles, written atomically.

====================== ======= =========================================================================
state                  uint8   JSON: version, fingerprint of what is trained, settings, iteration, generator, notes
parameters/NAME        float32 flat, in the order of trainable.flat
averages/NAME          float32 likewise, where the run averages its parameters
moments/NAME           float32 the optimiser's state
====================== ======= =========================================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, ModelFileError
from ...files.archive import read_arrays
from ...files.atomic import atomic_write
from ...files.json_text import format_json, parse_json
from ...files.topology import encode_node
from ...graph import Network
from .optimizers import Optimizer
from .trainable_arrays import flat

VERSION = 1
_REMEDY = "start the training again without it"


class Resumable(Protocol):
    """A training run as a checkpoint sees it: all that the numbers to come depend on.

    Parameters
    ----------
    fingerprint : str
        Tells runs apart whose settings are the same: the digest of what they start from.
    starts_from : str
        What that is, for messages: "network" or "data set".
    settings : object
        Its `as_json` gives what decides the run.
    iteration, iterations : int
        Done so far, and in all.
    parameters, averages : dict of arrays
        Changed in place when a checkpoint is read.
    trained : sequence of str
        Names of the parameters that the optimiser changes.
    optimizer : Optimizer or None
        None where a rule without a state changes the parameters.
    generator : numpy.random.Generator
    notes : dict
        JSON values that are kept and given back, such as the course so far.
    """

    starts_from: str
    settings: Any
    iteration: int
    parameters: dict[str, NDArray[Any]]
    averages: dict[str, NDArray[Any]]
    optimizer: Any
    generator: np.random.Generator
    notes: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Digest of what the run starts from."""

    @property
    def iterations(self) -> int:
        """Length of the run."""

    @property
    def trained(self) -> Sequence[str]:
        """Names of what the optimiser changes."""


def write_checkpoint(path: str | os.PathLike[str], trainer: Resumable) -> None:
    """Write the state of a run; InputError where the file cannot be written."""
    optimizer: Optimizer | None = trainer.optimizer
    state = {
        "version": VERSION,
        "fingerprint": trainer.fingerprint,
        "settings": trainer.settings.as_json(),
        "iteration": trainer.iteration,
        "count": trainer.iteration if optimizer is None else optimizer.count,
        "generator": trainer.generator.bit_generator.state,
        "notes": trainer.notes,
    }
    arrays: dict[str, NDArray[Any]] = {"state": np.frombuffer(format_json(state).encode(), np.uint8)}
    arrays.update({f"parameters/{name}": flat(array) for name, array in trainer.parameters.items()})
    arrays.update({f"averages/{name}": flat(array) for name, array in trainer.averages.items()})
    moments = {} if optimizer is None else optimizer.moments
    arrays.update({f"moments/{name}": array for name, array in moments.items()})
    try:
        with atomic_write(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{os.fspath(path)}: cannot be written ({reason}); choose another place") from None


def read_checkpoint(path: str | os.PathLike[str], trainer: Resumable) -> None:
    """Put a run into the state of a checkpoint; ModelFileError where it is damaged or belongs to another run."""
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    try:
        state = parse_json(arrays.pop("state").tobytes())
        version = state["version"]
        if version != VERSION:
            raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of version {version}, not {VERSION}; {_REMEDY}")
        _check_run(path, state, trainer)
        _restore(trainer, state, arrays)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{os.fspath(path)}: is no checkpoint, or is damaged ({error}); {_REMEDY}") from None


def fingerprint(network: Network) -> str:
    """Digest of a network's topology, weights and neuron parameters, and of that it predicts pictures where it does."""
    digest = hashlib.sha256(b"picture" if network.metadata.get("predicts") == "picture" else b"")
    for node in network.nodes:
        digest.update(json.dumps(encode_node(node), sort_keys=True).encode())
        for part in ("weight", "bias"):
            if hasattr(node, part):
                digest.update(np.ascontiguousarray(getattr(node, part)).tobytes())
    return digest.hexdigest()


def _check_run(path: str | os.PathLike[str], state: dict[str, Any], trainer: Resumable) -> None:
    if state["fingerprint"] != trainer.fingerprint:
        raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of another {trainer.starts_from}; {_REMEDY}")
    settings = json.loads(json.dumps(trainer.settings.as_json()))
    # A file that is older than a setting was written when all runs were as its default has them.
    before = {each.name: each.default for each in dataclasses.fields(trainer.settings)} | state["settings"]
    other = [name for name in settings if settings[name] != before[name]]
    if other:
        was = ", ".join(f"{name} {before[name]}, now {settings[name]}" for name in other)
        raise ModelFileError(f"{os.fspath(path)}: is a checkpoint of other settings ({was}); use those, or {_REMEDY}")


def _restore(trainer: Resumable, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Check everything first: kernels trust the arrays' sizes, and a run that is refused stays as it was."""
    optimizer: Optimizer | None = trainer.optimizer
    iteration = _whole_number(state, "iteration", trainer.iterations)
    count = _whole_number(state, "count", iteration)
    if count != iteration:
        raise ValueError(f"{count} steps of the optimiser in {iteration} iterations")
    moments = {
        f"{name}{suffix}": trainer.parameters[name]
        for name in trainer.trained
        for suffix in (() if optimizer is None else optimizer.suffixes)
        if count
    }
    expected = {"parameters": trainer.parameters, "averages": trainer.averages, "moments": moments}
    found = {kind: _of_kind(arrays, kind, templates) for kind, templates in expected.items()}
    if any((array < 0).any() for name, array in found["moments"].items() if name.endswith(".square")):
        raise ValueError("a mean of squares is negative")
    generator = np.random.default_rng().bit_generator
    generator.state = state["generator"]
    if generator.state != state["generator"]:
        raise ValueError("generator")
    notes = state.get("notes", {})  # which older files have not
    if not isinstance(notes, dict):
        raise TypeError("notes")
    for kind in ("parameters", "averages"):
        for name, array in expected[kind].items():
            _fill(array, found[kind][name])
    if optimizer is not None:
        optimizer.moments = {name: array.copy() for name, array in found["moments"].items()}
        optimizer.count = count
    trainer.iteration, trainer.notes = iteration, notes
    trainer.generator.bit_generator.state = state["generator"]


def _fill(array: NDArray[Any], values: NDArray[Any]) -> None:
    """Put values in the order of `flat` into an array, whatever the order of its memory."""
    target = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    target[...] = values.reshape(target.shape)


def _whole_number(state: dict[str, Any], name: str, most: int) -> int:
    value = state[name]
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} {str(value)[:20]}")
    return value


def _of_kind(arrays: dict[str, NDArray[Any]], kind: str, templates: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays whose keys begin with a kind; ValueError unless they have the names, types and sizes of the templates."""
    found = {key.partition("/")[2]: array for key, array in arrays.items() if key.startswith(f"{kind}/")}
    if sorted(found) != sorted(templates):
        raise ValueError(f"{kind} of other names")
    for name, template in templates.items():
        array = found[name]
        if array.shape != (template.size,) or array.dtype != template.dtype or not np.isfinite(array).all():
            raise ValueError(f"{kind}/{name} is not {template.size} finite numbers")
    return found
