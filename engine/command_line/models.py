"""`spikeunet models`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .console import print_rows

if TYPE_CHECKING:
    from ..graph import Network


@click.command()
def models() -> None:
    """List the models that come with the package.

    \b
    Example:
      spikeunet models
    """
    from ..models import list_models, load_model

    names = list_models()
    if not names:
        click.echo("no models come with this copy of the package", err=True)
        return
    rows = [[name, *_row(load_model(name))] for name in names]
    print_rows(["name", "task", "channels", "parameters", "steps", "description"], rows)


def _row(network: Network) -> list[str]:
    metadata = network.metadata
    return [
        str(metadata.get("task", "-")),
        str(network.input.channels),
        str(network.parameters),
        str(metadata.get("steps", "-")),
        str(metadata.get("description", "-")),
    ]
