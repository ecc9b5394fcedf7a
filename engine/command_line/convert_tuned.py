"""`spikeunet convert --tune`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError
from .console import print_fields, print_line, print_rows, progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikeunet.converters.tuning import Settings, Trial

    from ..graph import Network

CHOSEN = (
    "normalization",
    "scales",
    "percentile",
    "neuron",
    "thresholds",
    "initial",
    "gamma",
    "decay",
    "period",
    "reset",
)
"""Options that the search chooses."""


def check_tunable(tune: bool, calibration: Path | None, accumulates: float | None) -> None:
    """InputError where --tune has nothing to try out, what it chooses is given, or what is given is for it alone."""
    if not tune and accumulates is not None:
        raise InputError(f"--accumulates {accumulates:g} has no meaning without --tune; leave it out")
    if tune and calibration is None:
        raise InputError("--tune needs calibration pictures; name a folder of them by --calibration")
    context = click.get_current_context()
    for option in CHOSEN if tune else ():
        if context.get_parameter_source(option) == ParameterSource.COMMANDLINE:
            raise InputError(f"--{option} is what --tune chooses; leave one of them out")


def tuned(
    network: Network, pictures: Sequence[NDArray[np.float32]], steps: int | None, accumulates: float | None
) -> Settings:
    """The settings that are closest to the analog form; every trial is printed."""
    from spikeunet.converters.tuning import Tuner

    tuner = Tuner(network, pictures, steps, accumulates)
    for _ in progress(tuner, "tuning", total=tuner.most):
        pass
    best = tuner.best
    print_rows(
        ["normalization", "scales", "thresholds", "initial", "steps", "error / %", "accumulates / pixel", ""],
        [[*_cells(trial), "taken" if trial is best else ""] for trial in tuner.trials],
    )
    print_line()
    print_fields([("gap", f"{best.settings.steps} step{'s' * (best.settings.steps > 1)}: {_gap(tuner.first, best)}")])
    return best.settings


def _cells(trial: Trial) -> list[str]:
    settings: Any = trial.settings
    scales = settings.scales if settings.percentile is None else f"{settings.scales} {settings.percentile:g}"
    neuron = settings.neuron
    thresholds = f"{len(neuron.thresholds)}, {neuron.thresholds[0]:g} to {neuron.thresholds[-1]:g}"
    numbers = [f"{neuron.initial:g}", str(settings.steps), f"{100 * trial.error:.3f}", f"{trial.accumulates:.0f}"]
    return [settings.normalization, scales, thresholds, *numbers]


def _gap(first: Trial, best: Trial) -> str:
    """The error of the defaults, and of what was found."""
    before = (
        f"{first.error:.3%} off the ANN's output with the defaults ({first.accumulates:,.0f} accumulates per pixel)"
    )
    return f"{before}, {best.error:.3%} tuned ({best.accumulates:,.0f})"
