"""What `spikeunet denoise` prints about its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from ..energy import DEFAULT_ENERGY_MODEL, ENERGY_MODELS, estimate_energy
from .console import print_fields, print_rows, quantity

if TYPE_CHECKING:
    from .one_picture import Quality, Record

_COLUMNS = ("picture", "size", "steps", "events", "density", "accumulates", "per pixel", "energy J", "seconds")
_QUALITY_COLUMNS = ("PSNR before", "PSNR after", "SSIM before", "SSIM after")


def print_records(records: Sequence[Record]) -> None:
    """One picture as a list of fields, several as a table with their mean."""
    if len(records) == 1:
        print_fields(_fields(records[0]))
    elif records:
        _print_table(records)


def _fields(record: Record) -> list[tuple[str, str]]:
    denoised, result = record.denoised, record.denoised.result
    dense_macs = sum(result.dense_macs.values())
    energy = ENERGY_MODELS[DEFAULT_ENERGY_MODEL]
    converted = "" if record.written_dtype == record.dtype else f", saved as {record.written_dtype}"
    fields = [
        ("input", str(record.job.source)),
        ("output", str(record.job.target)),
        ("size", f"{_size(record)} (height x width x channels), {record.dtype}{converted}"),
        ("steps", str(result.steps)),
        ("events", f"{result.total_events:,}"),
        ("density", f"{result.density:.4f} events per neuron and step"),
        ("accumulates", f"{result.total_accumulates:,} ({denoised.accumulates_per_pixel:,.0f} per pixel)"),
        ("MACs", f"{result.total_macs:,}, for the input alone"),
        ("MACs of the ANN", f"{dense_macs:,} ({dense_macs / denoised.pixels:,.0f} per pixel)"),
        ("energy", f"{quantity(denoised.joules(), 'J')}, estimated at {_costs()}"),
        ("energy of the ANN", f"{quantity(estimate_energy(0, dense_macs), 'J')}, estimated likewise"),
        ("energy model", energy.source),
        ("time", f"{result.seconds:.2f} s"),
    ]
    if record.before and record.after:
        fields += [
            ("PSNR", f"{_psnr(record.before)} -> {_psnr(record.after)} dB"),
            ("SSIM", f"{_ssim(record.before)} -> {_ssim(record.after)}"),
        ]
    return fields


def _print_table(records: Sequence[Record]) -> None:
    compared = any(record.after for record in records)
    rows = [_row(record, compared=compared) for record in records]
    rows.append(["mean", "", "", *_means(records, compared=compared)])
    print_rows((*_COLUMNS, *(_QUALITY_COLUMNS if compared else ())), rows)


def _row(record: Record, *, compared: bool) -> list[str]:
    result = record.denoised.result
    row = [
        record.job.source.name,
        _size(record),
        str(result.steps),
        str(result.total_events),
        f"{result.density:.4f}",
        str(result.total_accumulates),
        f"{record.denoised.accumulates_per_pixel:.0f}",
        f"{record.denoised.joules():.3g}",
        f"{result.seconds:.2f}",
    ]
    if compared:
        row += [_psnr(record.before), _psnr(record.after), _ssim(record.before), _ssim(record.after)]
    return row


def _means(records: Sequence[Record], *, compared: bool) -> list[str]:
    results = [record.denoised.result for record in records]
    means = [
        f"{fmean(result.total_events for result in results):.0f}",
        f"{fmean(result.density for result in results):.4f}",
        f"{fmean(result.total_accumulates for result in results):.0f}",
        f"{fmean(record.denoised.accumulates_per_pixel for record in records):.0f}",
        f"{fmean(record.denoised.joules() for record in records):.3g}",
        f"{fmean(result.seconds for result in results):.2f}",
    ]
    if compared:
        before = [record.before for record in records if record.before]
        after = [record.after for record in records if record.after]
        means += [f"{fmean(quality.psnr for quality in each):.2f}" for each in (before, after)]
        means += [_mean_ssim(each) for each in (before, after)]
    return means


def _mean_ssim(qualities: Sequence[Quality]) -> str:
    known = [quality.ssim for quality in qualities if quality.ssim is not None]
    return f"{fmean(known):.4f}" if known else "-"


def _size(record: Record) -> str:
    return "x".join(map(str, (*record.shape[:2], *(record.shape[2:] or (1,)))))


def _costs() -> str:
    model = ENERGY_MODELS[DEFAULT_ENERGY_MODEL]
    accumulate, mac = (value * 1e12 for value in (model.accumulate, model.multiply_accumulate or 0.0))
    return f"{accumulate:g} pJ an accumulate and {mac:g} pJ a MAC"


def _psnr(quality: Quality | None) -> str:
    return "-" if quality is None else f"{quality.psnr:.2f}"


def _ssim(quality: Quality | None) -> str:
    return "-" if quality is None or quality.ssim is None else f"{quality.ssim:.4f}"
