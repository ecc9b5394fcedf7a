"""Average the weights of models that were fine-tuned from the same network.

    python examples/average_models.py first.npz second.npz -o mean.npz
    spikeunet quantize mean.npz -o mean8.npz

Networks that were fine-tuned from the same weights on different pictures often lie in the same basin: the mean of their
weights is about as good at what each has learnt, for the cost of one (Wortsman et al., Model soups, ICML 2022, section
2). One network may keep texture, the other one take more noise off. The mean of weights of 8 bits is none of 8 bits any
more; `spikeunet quantize` rounds it again. `train_fast_denoiser.py --blend` does so before a conversion.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from spikeunet.engine import Network, Weighted, load_model, save_model


def build(network: Network) -> list[tuple[Any, ...]]:
    """All of a network's nodes but the values of their weights and biases."""
    return [
        (
            type(node),
            *(
                (field.name, value.shape if isinstance(value := getattr(node, field.name), np.ndarray) else value)
                for field in dataclasses.fields(node)
            ),
        )
        for node in network.nodes
    ]


def average(networks: Sequence[Network], descriptions: Sequence[str]) -> Network:
    """The network whose weights and biases are the means of those of `networks`, which are built alike.

    Parameters
    ----------
    networks : sequence of Network
        Two or more; of the first are neurons and metadata, without what is said there of its weights' bits.
    descriptions : sequence of str
        What each is called in the metadata and in errors.

    Raises
    ------
    ValueError
        If there are fewer than two networks, or they differ in more than weights and biases.
    """
    first, *others = networks
    if not others:
        raise ValueError(f"a mean takes two models or more (got {descriptions[0]} alone)")
    for network, description in zip(others, descriptions[1:], strict=True):
        if build(network) != build(first) or dict(network.normalization) != dict(first.normalization):
            raise ValueError(
                f"{description}: differs from {descriptions[0]} in more than its weights; average models that were "
                "fine-tuned from the same one"
            )
    nodes = list(first.nodes)
    for index, node in enumerate(nodes):
        if isinstance(node, Weighted):
            means = {
                name: np.mean([getattr(each.nodes[index], name) for each in networks], axis=0, dtype=np.float64)
                for name in node.arrays
            }
            nodes[index] = dataclasses.replace(node, **means)
    facts = {name: fact for name, fact in first.metadata.items() if name not in ("weight_bits", "weight_snr_db")}
    return first.replace(nodes=nodes, metadata={**facts, "averaged": list(descriptions)})


def main() -> None:
    parser = argparse.ArgumentParser(description="Average the weights of models of the same build.")
    parser.add_argument("models", nargs="+", help="shipped models or model files, two or more")
    parser.add_argument("-o", "--output", required=True, help="model file to write")
    options = parser.parse_args()
    try:
        mean = average([load_model(model) for model in options.models], options.models)
        save_model(mean, options.output)
    except ValueError as error:  # all that the package raises is one
        parser.error(str(error))


if __name__ == "__main__":
    main()
