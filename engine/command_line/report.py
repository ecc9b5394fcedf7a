"""The JSON report of the commands on pictures: every count of every picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from ..errors import printable
from ..operations.energy import DEFAULT_ENERGY_MODEL, find_energy_model, readings_in
from .energy_lines import MODELS
from .jobs import Failure

if TYPE_CHECKING:
    from ..operations import Operations
    from .one_picture import Record, Settings


def write_report(report: str, settings: Settings, records: Sequence[Record], failures: Sequence[Failure]) -> None:
    """Write the JSON report to a file, completely or not at all, or to stdout where `report` is "-"."""
    from ..files.atomic import atomic_write

    text = json.dumps(report_values(settings, records, failures), indent=2, allow_nan=False) + "\n"
    if report == "-":
        click.echo(text, nl=False)
        return
    with atomic_write(report) as stream:
        stream.write(text.encode())


def print_neurobench(records: Sequence[Record]) -> None:
    """Print, by model, its pictures' counts under the names of NeuroBench's metrics, as JSON."""
    ledgers: dict[str, Operations] = {}
    pictures = Counter[str]()
    for record in records:
        name, ledger = printable(record.model.name), record.processed.result.operations
        ledgers[name] = ledgers[name] + ledger if name in ledgers else ledger
        pictures[name] += record.pictures
    found = {
        name: {"pictures": pictures[name], **ledger.to_neurobench(pictures[name])} for name, ledger in ledgers.items()
    }
    click.echo(json.dumps(found, indent=2, allow_nan=False))


def report_values(settings: Settings, records: Sequence[Record], failures: Sequence[Failure]) -> dict[str, Any]:
    """What the JSON report says, as JSON values."""
    from importlib.metadata import version

    pictures = [_picture(record) for record in records]
    return {
        "spikeunet": version("spikeunet"),
        "models": {
            printable(model.name): {"steps": model.steps, "metadata": dict(model.network.metadata)}
            for model in (record.model for record in records)
        },
        "order": settings.order,
        "threads": settings.threads,
        "tile": settings.tile,
        "kernels": settings.kernels,
        "energy_model": find_energy_model(DEFAULT_ENERGY_MODEL).as_json(),
        "energy_models": {name: find_energy_model(name).as_json() for name in MODELS},
        "pictures": pictures,
        "mean": {name: _mean(picture[name] for picture in pictures) for name in (*records[0].averaged, *_AVERAGED)},
        "failures": [{name: printable(text) for name, text in asdict(failure).items()} for failure in failures],
    }


_AVERAGED = ("accumulates_per_pixel", "density", "energy_joules", "seconds")


def _picture(record: Record) -> dict[str, Any]:
    processed, result = record.processed, record.processed.result
    dense_macs = sum(result.dense_macs.values())
    estimate = result.operations.energy()
    return {
        "input": printable(str(record.job.source)),
        "output": None if record.job.target is None else printable(str(record.job.target)),
        **{name: printable(str(path)) for name, path in record.job.extras.items()},
        "model": printable(record.model.name),
        "clean": None if record.job.clean is None else printable(str(record.job.clean)),
        "height": record.shape[0],
        "width": record.shape[1],
        "channels": 1 if len(record.shape) == 2 else record.shape[2],
        **({} if record.pages is None else {"pages": record.pages}),
        **({} if record.savings is None else {"increments": {**asdict(record.savings), "share": record.savings.share}}),
        "dtype": record.dtype,
        "range": None if record.sample_range is None else list(record.sample_range),
        **record.entry(),
        "steps": result.steps,
        "neurons": sum(result.neurons.values()),
        "events": result.total_events,
        "density": result.density,
        "accumulates": result.total_accumulates,
        "accumulates_per_pixel": processed.accumulates_per_pixel,
        "macs": result.total_macs,
        "dense_macs": dense_macs,
        "dense_macs_per_pixel": dense_macs / processed.pixels,
        "energy_joules": estimate.spiking,
        "dense_energy_joules": estimate.dense,
        "reading": estimate.reading,
        "readings": _readings(result.operations),
        "neurobench": result.operations.to_neurobench(record.pictures),
        "seconds": result.seconds,
        "layers": {
            name: {"neurons": result.neurons[name], "events": _integers(events)}
            for name, events in result.events.items()
        },
        "kernels": {name: list(kernels) for name, kernels in result.kernels.items()},
        "synapses": _synapses(result.accumulates, result.macs, result.dense_macs),
    }


def _readings(ledger: Operations) -> dict[str, dict[str, Any] | None]:
    """Operations and joules by model of each reading, null for one that is not true of the network."""
    joules = {model: readings_in(ledger, model) for model in MODELS}
    return {
        name: None
        if reading is None
        else {
            "accumulates": reading.accumulates,
            "multiply_accumulates": reading.multiply_accumulates,
            "energy_joules": {model: of_reading[name] for model, of_reading in joules.items()},
        }
        for name, reading in ledger.readings.items()
    }


def _synapses(
    accumulates: Mapping[str, Any], macs: Mapping[str, int], dense_macs: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys([*macs, *accumulates, *dense_macs])
    return {
        name: {
            "accumulates": _integers(accumulates.get(name, ())),
            "macs": int(macs.get(name, 0)),
            "dense_macs": int(dense_macs.get(name, 0)),
        }
        for name in names
    }


def _integers(values: Iterable[Any]) -> list[int]:
    return [int(value) for value in values]


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that there are; None where there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
