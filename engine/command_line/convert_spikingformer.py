"""`spikeunet convert` of the weights of a Spikingformer, which spikes already."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError, SpikeunetError
from .console import print_fields
from .output import put_data

if TYPE_CHECKING:
    from spikeunet.converters import Weights

    from ..graph import Network

PREPROCESSING = ("classes", "resize", "crop", "mean", "std")
NAME = "spikingformer"

ALLOWED = {
    "state", "output", "entry", "architecture", "heads", "tau", "epsilon", "steps", "task", "dataset", "metadata",
    "description", "dtype", *PREPROCESSING,
}  # fmt: skip
"""Parameters that mean something for it."""


def weights_ahead(state: Path, entry: str | None, architecture: str) -> Weights | None:
    """The weights of a file that may hold one, by whose keys that is told; None of any other file.

    What cannot be read is refused later, behind options that have no meaning.
    """
    from spikeunet.converters.onnx import is_onnx
    from spikeunet.converters.state_dict import find_weights

    if architecture == "auto" and not is_onnx(state):
        with suppress(SpikeunetError):
            return find_weights(state, entry)
    return None


def is_spikingformer(weights: Weights | None, architecture: str, heads: int | None, tau: float | None) -> bool:
    """Whether a file holds one: because the architecture is named, or by the keys of its weights where none is.

    InputError where options of a Spikingformer are given for another network.
    """
    from spikeunet.converters.spikingformer import looks_like_spikingformer

    if architecture == NAME or (weights is not None and looks_like_spikingformer(weights.arrays)):
        return True
    for option in (name for name, value in (("--heads", heads), ("--tau", tau)) if value is not None):
        raise InputError(f"{option} is for the weights of a Spikingformer, which these are not; leave it out")
    return False


def _facts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of the model: what is said of it, of a classifier unless another task is."""
    from ..tasks.inference import check_steps
    from .model_metadata import check_facts, given_metadata
    from .preprocessing_options import with_preprocessing

    facts = given_metadata(given["task"] or "classify", given["dataset"], given["metadata"])
    facts = with_preprocessing(facts, **{name: given[name] for name in PREPROCESSING})
    facts |= {} if given["description"] is None else {"description": given["description"]}
    facts |= {} if given["steps"] is None else {"steps": check_steps(given["steps"])}
    check_facts(facts)
    return facts


def convert_spikingformer(
    given: Mapping[str, Any], weights: Weights | None, heads: int | None, tau: float | None
) -> None:
    """Read the weights, unless they have been read, and write a model file."""
    from spikeunet.converters import read_spikingformer
    from spikeunet.converters.batch_norm import EPSILON

    from ..files.model_file import save_model
    from .model_metadata import check_task

    context = click.get_current_context()
    for parameter in context.command.params:
        said = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if said and parameter.name not in ALLOWED:
            raise InputError(
                f"{parameter.opts[-1]} has no meaning for a Spikingformer, which spikes already; leave it out"
            )
    if heads is None:
        raise InputError(
            "the weights of a Spikingformer do not say how many heads its attention has; name it by --heads"
        )
    epsilon = given["epsilon"]
    numbers = {"tau": 2.0 if tau is None else tau, "epsilon": EPSILON if epsilon is None else epsilon}
    state = weights or given["state"]
    network = read_spikingformer(state, heads, **numbers, metadata=_facts(given), entry=given["entry"])
    check_task(network)
    save_model(network, given["output"], given["dtype"])
    taken = [] if tau is not None else [("time constant", "2 steps, of all neurons (--tau)")]
    _tell(network, str(given["output"]), [*taken, *_assumed(network, epsilon)])


def _assumed(network: Network, epsilon: float | None) -> list[tuple[str, str]]:
    from .assumptions import assumptions

    return [line for line in assumptions(network, None, epsilon) if line[0] != "check"]


def _tell(network: Network, output: str, assumed: list[tuple[str, str]]) -> None:
    """Print what was made, and what was taken for granted."""
    neurons = sorted({repr(node.model) for node in network.neurons})
    heads = network.metadata["conversion"]["heads"]
    put_data(
        {
            "model": output,
            "parameters": network.parameters,
            "neurons": neurons,
            "metadata": dict(network.metadata),
            "assumed": dict(assumed),
        }
    )
    shown = [("model", output), ("parameters", f"{network.parameters:,}"), ("heads", str(heads))]
    print_fields([*shown, *(("neurons", model) for model in neurons), *assumed])
