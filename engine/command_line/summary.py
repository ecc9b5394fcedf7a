"""What the commands on pictures print about them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from ..operations.energy import DEFAULT_ENERGY_MODEL, ENERGY_MODELS, estimate_energy
from .console import print_fields, print_rows, quantity

if TYPE_CHECKING:
    from .one_picture import Record

_COLUMNS = ("picture", "size", "steps", "events", "density", "accumulates", "per pixel", "energy J", "seconds")


def print_records(records: Sequence[Record]) -> None:
    """One picture as a list of fields, several as a table with their mean."""
    if len(records) == 1:
        print_fields(_fields(records[0]))
    elif records:
        _print_table(records)


def _fields(record: Record) -> list[tuple[str, str]]:
    processed, result = record.processed, record.processed.result
    dense_macs = sum(result.dense_macs.values())
    energy = ENERGY_MODELS[DEFAULT_ENERGY_MODEL]
    converted = f", saved as {record.saved_as}" if record.saved_as else ""
    return [
        ("input", str(record.job.source)),
        ("output", str(record.job.target)),
        *((name, str(path)) for name, path in record.job.extras.items()),
        ("model", record.model.name),
        ("size", f"{_page_size(record)} (height x width x channels), {record.dtype}{converted}"),
        *([] if record.pages is None else [("pages", f"{record.pages}, which all counts are sums over")]),
        *_range(record),
        ("steps", str(result.steps)),
        ("events", f"{result.total_events:,}"),
        ("density", f"{result.density:.4f} events per neuron and step"),
        ("accumulates", f"{result.total_accumulates:,} ({processed.accumulates_per_pixel:,.0f} per pixel)"),
        ("MACs", f"{result.total_macs:,}, for the input alone"),
        ("MACs of the ANN", f"{dense_macs:,} ({dense_macs / processed.pixels:,.0f} per pixel)"),
        ("energy", f"{quantity(processed.joules(), 'J')}, estimated at {_costs()}"),
        ("energy of the ANN", f"{quantity(estimate_energy(0, dense_macs), 'J')}, estimated likewise"),
        ("energy model", energy.source),
        ("time", f"{result.seconds:.2f} s"),
        *record.fields(),
    ]


def _print_table(records: Sequence[Record]) -> None:
    means = type(records[0]).mean_cells(records)
    rows = [_row(record) + (record.cells() if means else []) for record in records]
    rows.append(["mean", "", "", *_means(records), *means])
    print_rows((*_COLUMNS, *(records[0].columns if means else ())), rows)


def _row(record: Record) -> list[str]:
    result = record.processed.result
    return [
        record.job.source.name,
        _size(record),
        str(result.steps),
        str(result.total_events),
        f"{result.density:.4f}",
        str(result.total_accumulates),
        f"{record.processed.accumulates_per_pixel:.0f}",
        f"{record.processed.joules():.3g}",
        f"{result.seconds:.2f}",
    ]


def _means(records: Sequence[Record]) -> list[str]:
    results = [record.processed.result for record in records]
    return [
        f"{fmean(result.total_events for result in results):.0f}",
        f"{fmean(result.density for result in results):.4f}",
        f"{fmean(result.total_accumulates for result in results):.0f}",
        f"{fmean(record.processed.accumulates_per_pixel for record in records):.0f}",
        f"{fmean(record.processed.joules() for record in records):.3g}",
        f"{fmean(result.seconds for result in results):.2f}",
    ]


def _range(record: Record) -> list[tuple[str, str]]:
    if record.sample_range is None:
        return []
    low, high = record.sample_range
    return [("range", f"black {low:g}, white {high:g} ({record.range_origin})")]


def _page_size(record: Record) -> str:
    return "x".join(map(str, (*record.shape[:2], *(record.shape[2:] or (1,)))))


def _size(record: Record) -> str:
    size = _page_size(record)
    return size if record.pages is None else f"{record.pages}x{size}"


def _costs() -> str:
    model = ENERGY_MODELS[DEFAULT_ENERGY_MODEL]
    accumulate, mac = (value * 1e12 for value in (model.accumulate, model.multiply_accumulate or 0.0))
    return f"{accumulate:g} pJ an accumulate and {mac:g} pJ a MAC"
