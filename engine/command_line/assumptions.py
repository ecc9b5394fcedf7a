"""What a conversion took for granted, because a state dict does not say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError, first_few

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..graph import Network

DARKEST = 0.05
"""Mean of a picture below which it cannot be told from noise by its mean."""


ASSUMED = (
    "pooling",
    "concatenation",
    "upsampling",
    "dilation",
    "strides",
    "padding",
    "kernels",
    "activation",
    "order",
    "second",
    "input",
    "output",
    "classes",
)
"""Facts of a conversion that an architecture takes for granted and no key says."""


def check_epsilon(epsilon: float | None, state: Iterable[str]) -> None:
    """InputError where an epsilon is given and a state dict, of which only the keys matter, has no batch norms."""
    if epsilon is not None and not any(key.rpartition(".")[2] == "running_var" for key in state):
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
    if not _normalised(network.metadata):
        assumed.append("pictures from 0 to 1, no mean taken off (--mean, --std)")
    assumed += [f"{name} {facts[name]}" for name in ASSUMED if name in facts]
    lines = [
        *_found(facts),
        *_recognised(facts),
        *_imported(network, facts),
        *([("assumed", "; ".join(assumed))] if assumed else []),
    ]
    if "zero_biases" in facts:
        layers = facts["zero_biases"]
        lines.append(("biases", f"0 in {len(layers)} layers that have none: {first_few(layers)}"))
    if "prefixes" in facts:
        lines.append(("keys", f"{' and '.join(map(repr, facts['prefixes']))} taken off each"))
    return lines


def _normalised(metadata: Mapping[str, Any]) -> bool:
    """Whether it is said how samples become what the network reads; of a denoiser there is nothing to say."""
    steps = metadata.get("preprocessing", ())
    return metadata.get("task") not in ("segment", "classify") or any(step["name"] == "normalize" for step in steps)


def scales_chosen(network: Network) -> str:
    """What has a scale, and how that was chosen."""
    facts = network.metadata["conversion"]
    if "scales" not in facts:
        return "none"
    words = {"channel": "for each channel", "connection": "for each layer", "layer": "for what layers read together"}
    ways = {"least-squares": "by least squares", "iteration": "by threshold iteration"}
    if facts["scales"] == "percentile":
        how = f"percentile {facts['percentile']:g}"
    else:
        how = f"{ways[facts['scales']]} for {facts['scales_steps']} step{'s' * (facts['scales_steps'] > 1)}"
    return f"one {words[facts['normalization']]}, {how} (--normalization, --scales)"


def _found(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines on which dictionary of a checkpoint was taken, which others there are, and what in it was no array."""
    lines = []
    if "entry" in facts or "other_entries" in facts:
        others = [name or "'' (the file's own arrays)" for name in facts.get("other_entries", ())]
        also = f"; also there: {first_few(others)} (--entry)" if others else ""
        lines.append(("entry", facts.get("entry", "the file's own arrays") + also))
    if "left_out" in facts:
        lines.append(("left out", f"no arrays: {first_few(facts['left_out'])}"))
    return lines


def _recognised(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A line on what a state dict was taken for, where nobody said it."""
    from spikeunet.converters import ARCHITECTURES

    if not facts.get("recognised"):
        return []
    name = facts["architecture"]
    described = getattr(ARCHITECTURES.get(name), "description", "")
    return [("architecture", f"{name}, recognised by keys and shapes{f': {described}' if described else ''}")]


_COMPUTED = {"denoise": "`spikeunet denoise` and evaluate compute it", "derain": "`spikeunet derain` computes it"}
"""By task, who goes through the functions at a network's end."""


def _imported(network: Network, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines on signed neurons, and on a network with its graph: what was left out, and what it was held against."""
    from ..neurons import rectifies

    lines = []
    signed = [node for node in network.neurons if not rectifies(node.model)]
    if signed:
        names = first_few((node.name for node in signed), 3)
        model = type(signed[0].model).__name__
        lines.append(("signed", f"{len(signed)} of {len(network.neurons)} populations are {model}: {names}"))
    if "input_size" in facts:
        size = "x".join(map(str, facts["input_size"]))
        exported = facts.get("source") == "onnx"
        lines.append(("size", f"exported for pictures of {size}; others may differ" if exported else f"{size} alone"))
    if "endings" in facts:
        remedy = _COMPUTED.get(str(network.metadata.get("task")), "apply it to the output")
        lines.append(("left out", f"at the end, without neurons: {first_few(facts['endings'])}; {remedy}"))
    if "relative_error" in facts:
        where = f" ({facts['check']})" if "check" in facts else ""
        lines.append(("check", f"outputs differ by {facts['relative_error']:.2g} of the largest one{where}"))
    else:
        lines.append(("check", "none; --check FILE.npz compares with inputs and outputs of your framework"))
    return lines


def doubts(network: Network, pictures: Sequence[NDArray[np.float32]] | None) -> list[tuple[str, str]]:
    """A line to print where a denoiser's output does not look like what it is said to be, (C, H, W) pictures at hand.

    What an architecture puts out may be known. Otherwise its size is a picture's, and its mean tells what it is.
    """
    predicts = network.metadata.get("predicts")
    known = str(network.metadata.get("conversion", {}).get("output", ""))
    if predicts is not None and "logits" in known:
        return [("doubtful", f"this is no denoiser: {known}; say what it is for (--task segment, --task classify)")]
    if predicts == "noise" and "without noise" in known:
        return [("doubtful", f"the output is {known} (--predicts picture)")]
    if predicts is None or not pictures:
        return []
    return _doubts_of_a_picture(network, predicts, pictures[0])


def _doubts_of_a_picture(network: Network, predicts: str, picture: NDArray[np.float32]) -> list[tuple[str, str]]:
    """Noise has a mean of 0 and a denoised picture that of the picture, so the mean of the ANN's output tells them."""
    from ..dense import forward
    from ..pictures.fitting import fitted
    from ..tasks.endings import ended

    padded = fitted(network, picture)[0]
    answer = ended(forward(network, padded)[0], network.metadata)
    if answer.shape[1:] != padded.shape[1:]:
        sizes = " for a picture of ".join("x".join(map(str, array.shape)) for array in (answer, padded))
        return [("doubtful", f"this is no denoiser: it puts out {sizes}; say what it is for (--task classify)")]
    brightness, output = float(picture.mean()), float(answer.mean())
    looks = "picture" if abs(output - brightness) < abs(output) else "noise"
    if looks == predicts or brightness < DARKEST:
        return []
    means = f"mean output {output:.3f} for a picture of mean {brightness:.3f}"
    return [("doubtful", f"{means} looks like the {looks} (--predicts {looks})")]
