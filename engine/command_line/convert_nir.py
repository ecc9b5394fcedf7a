"""`spikeunet convert` of NIR files, which come with their neurons."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import InputError
from .console import print_fields
from .output import put_data

ALLOWED = {"state", "output", "dt", "integration", "reset", "dtype", "description"}
"""Parameters that mean something for a NIR file."""


def convert_nir(
    state: Path,
    output: Path,
    dt: float | None,
    integration: str,
    reset: str | None,
    dtype: str,
    description: str | None,
) -> None:
    """Convert a NIR file to a model file, neurons and all."""
    from spikeunet.converters.nir import read_nir

    from ..files.model_file import save_model

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in ALLOWED:
            raise InputError(f"{parameter.opts[-1]} has no meaning for a NIR file, which says it itself; leave it out")
    network = read_nir(state, dt, integration, reset or "subtract")
    if description is not None:
        network = network.replace(metadata={**network.metadata, "description": description})
    save_model(network, output, dtype)  # type: ignore[arg-type]
    facts = network.metadata["conversion"]
    neurons = dict.fromkeys(repr(node.model) for node in network.neurons)
    shown = [("step", f"{facts['dt']:g} s, {facts['integration']}")] if "dt" in facts else []
    shown += [("put out", f"potentials of {', '.join(facts['membranes'])}")] if "membranes" in facts else []
    put_data(
        {"model": str(output), "parameters": network.parameters, "neurons": list(neurons), "conversion": dict(facts)}
    )
    print_fields(
        [
            ("model", str(output)),
            ("parameters", f"{network.parameters:,}"),
            *(("neurons", model) for model in neurons),
            ("reset", f"{facts['reset']} (NIR subtracts the threshold)"),
            *shown,
        ]
    )


def refuse_of_others(dt: float | None) -> None:
    """InputError where --dt or --integration are given for another file than NIR's."""
    source = click.get_current_context().get_parameter_source("integration")
    meant = {"--dt": dt is not None, "--integration": source is ParameterSource.COMMANDLINE}
    for option in (name for name, given in meant.items() if given):
        raise InputError(
            f"{option} is for NIR files (.nir), whose neurons have time constants in seconds; leave it out"
        )
