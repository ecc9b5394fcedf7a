"""What a conversion took for granted, because a state dict does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError, first_few

if TYPE_CHECKING:
    from ..graph import Network


def check_epsilon(epsilon: float | None, network: Network) -> None:
    """InputError where an epsilon is given and the state dict of a converted network has no batch norms."""
    if epsilon is not None and "batch_norm_epsilon" not in network.metadata["conversion"]:
        raise InputError(f"--epsilon {epsilon:g} has no meaning: the state dict has no batch norms; leave it out")


def assumptions(network: Network, predicts: str | None, epsilon: float | None) -> list[tuple[str, str]]:
    """Lines to print of a converted network: what was assumed with the option that changes it, and what was changed.

    `predicts` and `epsilon` are what the user said, None for nothing; what was said is not assumed.
    """
    facts = network.metadata["conversion"]
    assumed = []
    if predicts is None and "predicts" in network.metadata:
        assumed.append(f"the output is the {network.metadata['predicts']} (--predicts)")
    if epsilon is None and "batch_norm_epsilon" in facts:
        assumed.append(f"epsilon of {facts['batch_norms']} batch norms {facts['batch_norm_epsilon']:g} (--epsilon)")
    assumed += [f"{name} {facts[name]}" for name in ("pooling", "concatenation") if name in facts]
    lines = [("assumed", "; ".join(assumed))] if assumed else []
    if "zero_biases" in facts:
        layers = facts["zero_biases"]
        lines.append(("biases", f"0 in {len(layers)} layers that have none: {first_few(layers)}"))
    if "prefixes" in facts:
        lines.append(("keys", f"{' and '.join(map(repr, facts['prefixes']))} taken off each"))
    return lines
