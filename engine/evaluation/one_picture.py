"""Evaluate one picture: read, run, score and count; what a worker process does."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ..dense import forward
from ..errors import InputError, PictureError, RangeError, SpikeunetError
from ..graph import Network
from ..memory import worked_out_once
from ..models import load_model, model_digest
from ..operations.energy import estimate_energy, readings_in
from ..operations.readings import MULTIPLY_ACCUMULATE, READING_COSTS
from ..pictures.padding import crop, pad_to_multiple
from ..simulation import Result
from ..tasks.classification import run_whole
from ..tasks.inference import PaddedRun, run_padded
from ..tasks.networks import network_for
from .picture_task import Outcome, PictureTask, Row
from .scored_tasks import SCORED, Output

SPIKING = "spiking"
ANN = "ANN"


def attempt(task: PictureTask) -> Outcome:
    """Evaluate a picture; whatever goes wrong becomes part of the outcome, so that the others go on."""
    try:
        return Outcome(task, tuple(evaluate_picture(task)))
    except RangeError as error:  # of the network, which knows no file
        return Outcome(task, (), f"{task.example.picture}: {error}")
    except SpikeunetError as error:
        return Outcome(task, (), str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        return Outcome(task, (), f"{error.filename or task.example.picture}: {reason}")
    except MemoryError:
        return Outcome(task, (), f"{task.example.picture}: not enough memory; cut it into parts, or take fewer workers")
    except Exception as error:  # noqa: BLE001 - a fault that one picture shows must not cost the others
        reason = " ".join(str(error).split())[:200]
        return Outcome(task, (), f"{task.example.picture}: unexpected {type(error).__name__}: {reason}")


def evaluate_picture(task: PictureTask) -> list[Row]:
    """Rows of a picture: the spiking network at each number of steps, then the ANN where it was asked for.

    Raises
    ------
    SpikeunetError, OSError
        If a file cannot be read or does not fit, or this machine has another model or version.
    """
    network = _network(task.model, task.model_sha256, task.task, task.version)
    digests = task.digests()
    scored = SCORED[task.task]
    prepared = scored.prepare(task, network)
    height, width = prepared.batch.shape[2:]
    common = {
        "dataset": task.dataset,
        "split": task.split,
        "picture": task.example.name,
        "index": task.example.index,
        "sigma": task.sigma,
        "noise_seed": task.seed,
        "height": height,
        "width": width,
    }
    run = (run_padded if scored.padded else run_whole)(
        network,
        prepared.batch,
        steps=task.steps[-1],
        threads=task.threads,
        record=("readout",) if len(task.steps) > 1 else (),
    )
    multiple = network.size_multiple if scored.padded else 1
    versions = [*_spiking(task, run), *([_ann(network, prepared.batch, run.result, multiple)] if task.ann else [])]
    host = {"host": platform.node(), **digests}
    for output, facts in versions:
        _check_finite(task, facts["method"], output)
    return [{**common, **facts, **prepared.score(output), **host} for output, facts in versions]


def _check_finite(task: PictureTask, method: str, output: Output) -> None:
    """PictureError where there is nothing to score; two classes are scored by their difference."""
    binary = SCORED[task.task].by_class and output.shape[1] == 2
    with np.errstate(invalid="ignore", over="ignore"):
        decisive = output[:, 1] - output[:, 0] if binary else output
    bad = decisive.size - int(np.isfinite(decisive).sum())
    if bad:
        raise PictureError(
            f"{task.example.picture}: {bad} of {decisive.size} outputs of the {method} network are NaN or infinite; "
            "take another model, or check the weights of this one"
        )


def _spiking(task: PictureTask, run: PaddedRun) -> Iterator[tuple[Output, Row]]:
    """Output and counts at each number of steps; what happens at a step does not depend on later ones."""
    for steps in task.steps:
        last = steps == task.steps[-1]
        output = run.result.output if last else run.result.readout[:, steps - 1] / np.float32(steps)
        yield run.cropped(output), counts(run, steps) | {"seconds": run.result.seconds if last else None}


def counts(run: PaddedRun, steps: int) -> Row:
    """What the first `steps` steps of a run cost; energy in the reading that is true, and in each of the three."""
    result = run.result
    ledger = result.operations.first_steps(steps)
    estimate = ledger.energy()
    events = sum(int(layer[:steps].sum()) for layer in result.events.values())
    accumulates = sum(int(node[:steps].sum()) for node in result.accumulates.values())
    dense_macs = sum(result.dense_macs.values())
    return {
        "method": SPIKING,
        "steps": steps,
        "events": events,
        "density": events / max(1, steps * sum(result.neurons.values())),
        "accumulates": accumulates,
        "accumulates_per_pixel": accumulates / (run.size[0] * run.size[1]),
        "macs": result.total_macs,
        "energy_joules": estimate.spiking,
        "reading": estimate.reading,
        "neurobench": ledger.to_neurobench(1),
        **{READING_COSTS[name]: joules for name, joules in readings_in(ledger).items()},
        "dense_macs": dense_macs,
        "dense_energy_joules": estimate.dense,
    }


def _ann(network: Network, batch: NDArray[np.float32], result: Result, multiple: int) -> tuple[Output, Row]:
    """Output and cost of the same network with ReLUs in place of its neurons, on pictures padded to a multiple."""
    padded, origin = pad_to_multiple(batch, multiple)
    begin = time.perf_counter()
    output, _ = forward(network, padded)
    seconds = time.perf_counter() - begin
    dense_macs = sum(result.dense_macs.values())
    height, width = batch.shape[2:]
    return crop(output, origin, (height, width)), {
        "method": ANN,
        "steps": None,
        "events": None,
        "density": None,
        "accumulates": None,
        "accumulates_per_pixel": None,
        "macs": dense_macs,
        "energy_joules": estimate_energy(0, dense_macs),
        "reading": MULTIPLY_ACCUMULATE,
        "neurobench": None,
        **{
            name: estimate_energy(0, dense_macs) if reading == MULTIPLY_ACCUMULATE else None
            for reading, name in READING_COSTS.items()
        },
        "dense_macs": dense_macs,
        "dense_energy_joules": estimate_energy(0, dense_macs),
        "seconds": seconds,
    }


@worked_out_once(2)
def _network(model: str, digest: str, task: str, wanted: str) -> Network:
    """The model, loaded once in a process; InputError where this machine has another model or version."""
    if version("spikeunet") != wanted:
        raise InputError(
            f"{platform.node()} has spikeunet {version('spikeunet')}, the evaluation is of {wanted}; install the same"
        )
    if model_digest(model) != digest:
        raise InputError(f"{model}: another file on {platform.node()} than where the evaluation began; copy it there")
    network = load_model(model)
    return network_for(task, network)
