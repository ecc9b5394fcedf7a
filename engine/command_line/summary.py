"""What the commands on pictures print about them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from ..operations.energy import readings_in
from ..operations.readings import READINGS
from .console import print_fields, print_rows
from .energy_lines import COLUMNS, cells, energy_fields
from .one_picture import size_of

if TYPE_CHECKING:
    from .one_picture import Record

_COUNTS = ("picture", "size", "steps", "events", "density", "operations", "per pixel", "reading")
_COLUMNS = (*_COUNTS, *(COLUMNS[name] for name in READINGS), "seconds")


def print_records(records: Sequence[Record]) -> None:
    """One picture as a list of fields, several as a table with their mean."""
    if len(records) == 1:
        print_fields(fields_of(records[0]))
    elif records:
        _print_table(records)


def fields_of(record: Record) -> list[tuple[str, str]]:
    """Names and values of all that there is to say of one picture."""
    processed, result = record.processed, record.processed.result
    dense_macs = sum(result.dense_macs.values())
    converted = f", saved as {record.saved_as}" if record.saved_as else ""
    return [
        ("input", str(record.job.source)),
        *([] if record.job.target is None else [("output", str(record.job.target))]),
        *((name, str(path)) for name, path in record.job.extras.items()),
        ("model", record.model.name),
        ("size", f"{size_of(record.shape)} (height x width x channels), {record.dtype}{converted}"),
        *([] if record.pages is None else [("pages", f"{record.pages}, which all counts are sums over")]),
        *_range(record),
        ("steps", str(result.steps)),
        ("events", f"{result.total_events:,}"),
        ("density", f"{result.density:.4f} events per neuron and step"),
        ("operations", f"{result.total_accumulates:,} ({processed.accumulates_per_pixel:,.0f} per pixel)"),
        ("MACs", f"{result.total_macs:,}, for the input alone"),
        ("MACs of the ANN", f"{dense_macs:,} ({dense_macs / processed.pixels:,.0f} per pixel)"),
        *energy_fields(result.operations),
        ("time", f"{result.seconds:.2f} s"),
        *([] if record.savings is None else [("increments", record.savings.text)]),
        *record.fields(),
    ]


def _print_table(records: Sequence[Record]) -> None:
    means = type(records[0]).mean_cells(records)
    names = [record.job.source.name for record in records]
    # Of several folders one name may stand for several pictures.
    names = names if len(set(names)) == len(names) else [str(record.job.source) for record in records]
    cells = [record.cells() if means else [] for record in records]
    rows = [[name, *_counts(record), *each] for name, record, each in zip(names, records, cells, strict=True)]
    rows.append(["mean", "", "", *_means(records), *means])
    print_rows((*_COLUMNS, *(records[0].columns if means else ())), rows)


def _counts(record: Record) -> list[str]:
    result = record.processed.result
    return [
        _size(record),
        str(result.steps),
        str(result.total_events),
        f"{result.density:.4f}",
        str(result.total_accumulates),
        f"{record.processed.accumulates_per_pixel:.0f}",
        result.operations.reading.name,
        *cells(readings_in(result.operations)),
        f"{result.seconds:.2f}",
    ]


def _means(records: Sequence[Record]) -> list[str]:
    results = [record.processed.result for record in records]
    return [
        f"{fmean(result.total_events for result in results):.0f}",
        f"{fmean(result.density for result in results):.4f}",
        f"{fmean(result.total_accumulates for result in results):.0f}",
        f"{fmean(record.processed.accumulates_per_pixel for record in records):.0f}",
        "",
        *cells(_mean_readings(records)),
        f"{fmean(result.seconds for result in results):.2f}",
    ]


def _mean_readings(records: Sequence[Record]) -> dict[str, float | None]:
    """Mean joules of each reading that is true of all pictures' networks."""
    found = [readings_in(record.processed.result.operations) for record in records]
    joules = {name: [of[name] for of in found] for name in READINGS}
    known = {name: [value for value in values if value is not None] for name, values in joules.items()}
    return {name: fmean(values) if len(values) == len(records) else None for name, values in known.items()}


def _range(record: Record) -> list[tuple[str, str]]:
    if record.sample_range is None:
        return []
    low, high = record.sample_range
    return [("range", f"black {low:g}, white {high:g} ({record.range_origin})")]


def _size(record: Record) -> str:
    size = size_of(record.shape)
    return size if record.pages is None else f"{record.pages}x{size}"
