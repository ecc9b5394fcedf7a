"""Evaluate one picture: read, run, score and count; what a worker process does."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from functools import reduce
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
from ..pictures.fitting import fitted
from ..pictures.padding import crop
from ..simulation import Result
from ..tasks.classification import run_whole
from ..tasks.endings import ended
from ..tasks.inference import PaddedRun, joined, run_padded
from ..tasks.networks import network_for
from ..tasks.views import mean_over_views
from .picture_task import Outcome, PictureTask, Row
from .scored_tasks import SCORED, Output

SPIKING = "spiking"
ANN = "ANN"

Batch = NDArray[np.float32]


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
        "self_ensemble": task.self_ensemble,
        "height": height,
        "width": width,
    }
    spiking = _spiking(task, network, prepared.batch)
    versions = [*spiking, *([_ann(task, network, prepared.batch, spiking[0][1]["dense_macs"])] if task.ann else [])]
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


def _spiking(task: PictureTask, network: Network, batch: Batch) -> list[tuple[Output, Row]]:
    """Output and counts at each number of steps; what happens at a step does not depend on later ones."""
    results: list[Result] = []

    def put_out(shown: Batch) -> NDArray[np.float32]:
        run = (run_padded if SCORED[task.task].padded else run_whole)(
            network,
            shown,
            steps=task.steps[-1],
            threads=task.threads,
            record=("readout",) if len(task.steps) > 1 else (),
        )
        results.append(run.result)
        return np.stack([_finished(task, network, output) for output in _by_steps(task, run)])

    outputs = mean_over_views(batch, task.self_ensemble, put_out)
    total = reduce(joined, results)
    pixels = batch.shape[2] * batch.shape[3]
    costs = [counts(total, steps, pixels) | {"seconds": None} for steps in task.steps]
    costs[-1]["seconds"] = total.seconds
    return list(zip(outputs, costs, strict=True))


def _by_steps(task: PictureTask, run: PaddedRun) -> Iterator[Output]:
    *earlier, _ = task.steps
    for steps in earlier:
        yield run.cropped(run.result.readout[:, steps - 1] / np.float32(steps))
    yield run.cropped(run.result.output)


def _finished(task: PictureTask, network: Network, output: Output) -> Output:
    """What a denoiser ends in is a part of the picture; classes are told by the numbers before it."""
    return ended(output, network.metadata) if task.task == "denoise" else output


def counts(result: Result, steps: int, pixels: int) -> Row:
    """What the first `steps` steps of a run cost; energy in the reading that is true, and in each of the three."""
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
        "accumulates_per_pixel": accumulates / pixels,
        "macs": result.total_macs,
        "energy_joules": estimate.spiking,
        "reading": estimate.reading,
        "neurobench": ledger.to_neurobench(1),
        **{READING_COSTS[name]: joules for name, joules in readings_in(ledger).items()},
        "dense_macs": dense_macs,
        "dense_energy_joules": estimate.dense,
    }


def _ann(task: PictureTask, network: Network, batch: Batch, dense_macs: int) -> tuple[Output, Row]:
    """Output and cost of the same network with ReLUs in place of its neurons, which takes `dense_macs`."""
    seconds: list[float] = []

    def put_out(shown: Batch) -> Output:
        padded, origin = fitted(network, shown, pads=True) if SCORED[task.task].padded else (shown, (0, 0))
        begin = time.perf_counter()
        output, _ = forward(network, padded)
        seconds.append(time.perf_counter() - begin)
        height, width = shown.shape[2:]
        return _finished(task, network, crop(output, origin, (height, width)))

    return mean_over_views(batch, task.self_ensemble, put_out), {
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
        "seconds": sum(seconds),
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
