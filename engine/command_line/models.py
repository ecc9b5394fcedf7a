"""`spikeunet models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import ModelFileError
from .console import print_rows
from .guard import STATUS_ERROR, remark, report_error
from .output import put_data

if TYPE_CHECKING:
    from ..graph import Network


@click.command()
@click.pass_context
def models(context: click.Context) -> None:
    """List the models that are found by name.

    They come with the package, or lie in a folder that the environment variable SPIKEUNET_MODELS lists (separated as in
    PATH) or in the folder `models` of the checkout that the package runs from.

    \b
    Example:
      spikeunet models
    """
    from ..models import load_model, model_origins

    rows, damaged = [], False
    facts = []
    for name, origin in sorted(model_origins().items()):
        try:
            network = load_model(name)
            rows.append([name, *_row(network), origin])
            facts.append(_facts(name, network, origin))
        except ModelFileError as error:
            report_error(str(error))
            damaged = True
    put_data(facts)
    if rows:
        print_rows(["name", "task", "channels", "parameters", "steps", "description", "found in"], rows)
    elif not damaged:
        remark("no models come with this copy of the package")
    if damaged:
        context.exit(STATUS_ERROR)


def _facts(name: str, network: Network, origin: str) -> dict[str, Any]:
    known = {key: network.metadata.get(key) for key in ("task", "steps", "description")}
    return {
        "name": name,
        **known,
        "channels": network.input.channels,
        "parameters": network.parameters,
        "found_in": origin,
    }


def _row(network: Network) -> list[str]:
    metadata = network.metadata
    return [
        str(metadata.get("task", "-")),
        str(network.input.channels),
        str(network.parameters),
        str(metadata.get("steps", "-")),
        str(metadata.get("description", "-")),
    ]
