"""From a trained network to a spiking one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from spikeunet.engine.errors import InputError, StateDictError, first_few
from spikeunet.engine.graph import UNCHOSEN, Network, Neurons, Node, Synapses
from spikeunet.engine.neurons import BurstNeuron, IntegrateAndFire, MultiThreshold, NeuronModel, rectifies

from .architectures import ARCHITECTURES, AUTO, Blueprint, fitting, recognised
from .batch_norm import EPSILON
from .calibration import Pictures, calibration_pictures, check_sizes
from .check import Check, named, relative_error, require_agreement
from .keras_padding import with_keras_padding
from .key_names import build_unwrapped
from .least_squares import fitting_steps
from .nir import is_nir
from .normalization import (
    DEFAULT_PERCENTILE,
    Normalization,
    ScaleChoice,
    activation_scales,
    chosen_scales,
    normalize,
)
from .onnx import Imported, is_onnx, read_onnx
from .state_dict import StateDict, checked, find_weights
from .two_classes import two_classes
from .weights import KerasArrays, Weights

NORMALIZATIONS = ("channel", "connection", "layer", "none")
SCALES = ("least-squares", "percentile", "iteration")


def convert(
    state: str | os.PathLike[str] | Mapping[str, Any] | Weights | Imported | Network,
    architecture: str = AUTO,
    normalization: Literal["channel", "connection", "layer", "none"] = "channel",
    calibration: Pictures | None = None,
    percentile: float | None = None,
    neuron: NeuronModel | None = None,
    *,
    scales: ScaleChoice | None = None,
    metadata: Mapping[str, Any] | None = None,
    batch_norm_epsilon: float = EPSILON,
    entry: str | None = None,
    check: Check | Literal[False] | None = None,
    force: bool = False,
) -> Network:
    """Convert a trained network with ReLUs into a spiking network (Li et al., arXiv 2307.10974).

    Batch norms are folded, every ReLU and every average pooling gets neurons, and the weights are normalised with the
    activations on the calibration pictures.

    Parameters
    ----------
    state : path of a file of weights or of a graph, mapping of str to array, Weights, Imported, or Network
        A state dict in PyTorch's layout, whose keys may all begin with what a wrapper put there ("module.", "model.");
        of files, those that `read_weights` reads: NPZ, PyTorch, safetensors, Keras. Or an ONNX file (.onnx), which
        describes a network of any topology, or a network built by hand.
    architecture : str
        A key of ARCHITECTURES, or "auto" for the only one whose keys and shapes the state dict has; without meaning for
        a Network or an ONNX file.
    normalization : "channel", "connection", "layer" or "none"
        Whether each channel is scaled by its own activations, or each layer by its own, or layers that meet in a
        concatenation by their common ones, or weights stay as they are.
    calibration : path of a folder, or iterable of (C, H, W) or (H, W) float, optional
        Pictures such as the network will see, noise included, samples about [0, 1]; `calibration_pictures` adds noise.
        Required unless normalization is "none".
    percentile : float, optional
        Percentile of the activations that becomes 1, in (0, 100]; 100 is the maximum. Given alone it makes `scales`
        percentiles.
    neuron : MultiThreshold, IntegrateAndFire, BurstNeuron or any other neuron model, optional
        Model of all neurons with its initial potential; where that is 0, IntegrateAndFire and BurstNeuron behind max
        pooling begin half a threshold up, so that they pass on all that a window puts out, however it is rounded. One
        that emits negative values, such as SignedMultiThreshold, stands for the identity and replaces such models only,
        any other stands for a ReLU and leaves them alone. By default MultiThreshold.rounding(): of a state dict for all
        neurons, of a Network for the `Neurons` that were given no model; a model that was given stays, and so do the
        neurons that a network was trained with.
    scales : "least-squares", "percentile" or "iteration", optional
        How scales are chosen: by the least squared error between activations and what the neurons emit in their place,
        for the steps that the metadata recommend (or as many as
        tell 127 levels apart); as a percentile (99.9 unless given); by the
        threshold iteration of H-MT, which assumes a normal distribution. By least squares unless a percentile is given.
    metadata : mapping, optional
        JSON values to keep with the network (task, noise range, training data, score of the ANN; classes, palette and
        preprocessing of a segmentation; "predicts": "picture" for a denoiser that puts out the clean picture and not
        the noise). Pictures of a calibration folder go through the preprocessing.
    batch_norm_epsilon : float
        Epsilon of the batch norms, which a state dict does not hold.
    entry : str, optional
        Of a checkpoint that holds several dictionaries of arrays, the name of the one to convert.
    check : (inputs, outputs), or path of an NPZ file with arrays of these names, optional
        What the framework that the network comes from reads and puts out, (N, C, H, W) and N first. The converted
        network in its analog form (ANN) must put out the same, up to 1e-3 of the largest output. By default the file
        FILE.npz beside FILE.onnx, where the exporter wrote one; False takes none.
    force : bool
        Whether to convert the network even if it does not.

    Returns
    -------
    Network
        Its `normalization` holds each neuron layer's scale and its metadata, under "conversion", how it was made and
        what was assumed of the state dict (docs/converting.md).

    Raises
    ------
    StateDictError
        If the state dict cannot be read or does not fit; names missing, unexpected and misshapen keys.
    InputError
        If an option is unknown or out of range, a network that was trained with its neurons is given others or
        normalised, the neuron stands for what no layer computes, calibration pictures are
        needed and missing or unsuitable, or the network does not put out what the check wants.
    PictureError
        If a calibration picture cannot be read.
    """
    _check_options(architecture, normalization, calibration, percentile, scales)
    facts: dict[str, Any] = {"normalization": normalization}
    if is_nir(state):
        raise InputError(f"{state}: is a NIR file, of a network that spikes already; read_nir reads it")
    imported = read_onnx(state) if is_onnx(state) else state  # type: ignore[arg-type]
    if isinstance(imported, Imported):
        network, facts = imported.network, {**facts, **imported.facts}
        _check_no_entry(entry)
    elif isinstance(state, Network):
        network = state
    else:
        network, facts = _built(find_weights(state, entry), architecture, batch_norm_epsilon, facts)
    _check_trained_neurons(facts, normalization, neuron, check)
    if neuron is None:
        facts |= _who_chose_the_neurons(network)
    network = _with_chosen_neurons(network) if neuron is None else _with_neurons_like(network, neuron)
    if normalization != "none" and calibration is not None:
        about = {**network.metadata, **(metadata or {})}
        # What the network is for says whether it will see pictures padded.
        network = network.replace(metadata=about)
        pictures = calibration_pictures(
            calibration, network.input.channels, preprocessing=about.get("preprocessing", ())
        )
        check_sizes(network, pictures, facts.get("input_size"), fixed=about.get("task") == "classify")
        network, found = _normalized(network, pictures, percentile, normalization, scales, about.get("steps"))
        facts |= found
    if neuron is not None:
        network = _with_pools_that_pass_all(network, neuron)
    facts |= _checked_against(network, imported, check, force=force)
    if (metadata or {}).get("task") == "segment" and (pair := two_classes(network)) is not network:
        network, facts = pair, {**facts, "classes": "0 and the only logit"}
    return network.replace(metadata={**network.metadata, **(metadata or {}), "conversion": facts})


def _built(
    weights: Weights, architecture: str, epsilon: float, facts: dict[str, Any]
) -> tuple[Network, dict[str, Any]]:
    """The network of a state dict, and the facts: where it was, what its architecture assumes, what its keys lost."""
    try:
        return _built_of(weights, architecture, epsilon, facts)
    except StateDictError as fault:
        if weights.source is None:
            raise
        raise StateDictError(f"{weights.source}: {fault}") from None


def _built_of(
    weights: Weights, architecture: str, epsilon: float, facts: dict[str, Any]
) -> tuple[Network, dict[str, Any]]:
    arrays = checked(weights.arrays)
    name = recognised(arrays, epsilon) if architecture == AUTO else architecture
    try:
        network, removed = _unwrapped(arrays, name, epsilon)
    except StateDictError:
        others = fitting(arrays, epsilon)
        if not others or name in others:
            raise
        raise StateDictError(
            f"the state dict is not of the architecture {name!r} but of {first_few(map(repr, others))}; "
            "say so (--architecture, architecture=)"
        ) from None
    if isinstance(weights.arrays, KerasArrays):
        network = _padded_as_keras_does(network, name, weights.arrays)
        if weights.arrays.undecided:
            facts["kernels"] = f"not depthwise, which the file leaves open: {first_few(weights.arrays.undecided)}"
    assumed = network.metadata.get("conversion", {})
    told = {"recognised": True} if architecture == AUTO else {}
    facts = {**facts, "architecture": name, **told, **weights.facts, **assumed}
    return network, {**facts, **({"prefixes": removed} if removed else {})}


def _padded_as_keras_does(network: Network, architecture: str, arrays: KerasArrays) -> Network:
    """A network of an architecture that is written with PyTorch's layers; one that is any function pads as it likes."""
    return with_keras_padding(network, arrays) if isinstance(ARCHITECTURES[architecture], Blueprint) else network


def _unwrapped(arrays: StateDict, architecture: str, epsilon: float) -> tuple[Network, list[str]]:
    build = ARCHITECTURES[architecture]
    return build_unwrapped(arrays, lambda candidate: build(candidate, epsilon))


def _checked_against(
    network: Network, imported: Any, check: Check | Literal[False] | None, *, force: bool
) -> dict[str, Any]:
    """Facts of how far the network is off what the user's framework puts out; InputError where that is too far."""
    beside = imported.check if isinstance(imported, Imported) else None
    chosen = beside if check is None else check
    if chosen is None or chosen is False:
        return {}
    error = relative_error(network, chosen, imported.endings if isinstance(imported, Imported) else ())
    require_agreement(error, chosen, force=force)
    return {"relative_error": error, **({"check": named(chosen)} if named(chosen) else {})}


def _normalized(
    network: Network,
    pictures: Sequence[Any],
    percentile: float | None,
    normalization: Normalization,
    scales: ScaleChoice | None,
    steps: Any,
) -> tuple[Network, dict[str, Any]]:
    """The network with its scales, and the facts: how they were chosen."""
    chosen = chosen_scales(scales, percentile)
    fitted = steps if isinstance(steps, int) and steps > 0 else None
    found = activation_scales(network, pictures, percentile, normalization, scales, fitted)
    facts: dict[str, Any] = {"scales": chosen, "calibration_pictures": len(pictures)}
    if chosen == "percentile":
        facts["percentile"] = DEFAULT_PERCENTILE if percentile is None else float(percentile)
    else:
        facts["scales_steps"] = fitted or max((fitting_steps(node.model) for node in network.neurons), default=1)
    return normalize(network, found), facts


def _who_chose_the_neurons(network: Network) -> dict[str, int]:
    """How many populations get the default model, and how many keep one that was chosen before."""
    default = sum(node.model is UNCHOSEN for node in network.neurons)
    found = {"default_neurons": default, "kept_neurons": len(network.neurons) - default}
    return {name: count for name, count in found.items() if count}


def _with_chosen_neurons(network: Network) -> Network:
    """Neurons whose model nobody chose round to the nearest level; the others stay as they are."""
    model = MultiThreshold.rounding()
    return network.replace(
        [
            replace(node, model=model) if isinstance(node, Neurons) and node.model is UNCHOSEN else node
            for node in network.nodes
        ]
    )


def _with_neurons_like(network: Network, model: NeuronModel) -> Network:
    """The network with `model` wherever neurons stand for what it stands for, a ReLU or the identity."""
    chosen = {node.name for node in network.neurons if rectifies(node.model) == rectifies(model)}
    if network.neurons and not chosen:
        stands, others = ("a ReLU", "the identity") if rectifies(model) else ("the identity", "a ReLU")
        raise InputError(
            f"{type(model).__name__} stands for {stands}, but every population of this network for {others}: it would "
            "become another function; build the network with the neurons that suit each layer, Neurons(name, source, "
            "model) (docs/neurons.md)"
        )
    return network.replace(
        [
            replace(node, model=model) if isinstance(node, Neurons) and node.name in chosen else node
            for node in network.nodes
        ]
    )


def _with_pools_that_pass_all(network: Network, neuron: NeuronModel) -> Network:
    """The network with those of its neurons behind max pooling half a threshold up that would begin at 0.

    What a window puts out are differences of sums. In exact arithmetic these are multiples of the threshold, which
    neurons that floor pass on; rounded, some are a little less, and a spike would wait for the next one.
    """
    if not isinstance(neuron, (BurstNeuron, IntegrateAndFire)) or neuron.initial:
        return network
    if isinstance(neuron, IntegrateAndFire) and neuron.reset != "subtract":
        return network
    higher = replace(neuron, initial=neuron.threshold / 2)

    def raised(node: Node) -> Node:
        if not isinstance(node, Neurons) or node.model != neuron:
            return node
        source = network[node.source]
        return replace(node, model=higher) if isinstance(source, Synapses) and source.goes_by_sums else node

    return network.replace([raised(node) for node in network.nodes])


def _check_trained_neurons(
    facts: Mapping[str, Any], normalization: str, neuron: NeuronModel | None, check: Check | Literal[False] | None
) -> None:
    """InputError where a network trained with its neurons would get others, or be taken for an artificial one."""
    trained = facts.get("trained_neurons")
    if trained is not None and check not in (None, False):
        raise InputError(
            "the check compares artificial networks, and this one was trained with its neurons; leave the check out "
            "(--check), and compare what `simulate` puts out"
        )
    if trained is not None and (normalization != "none" or neuron is not None):
        raise InputError(
            f"the network was trained with its neurons, {trained}, for which its weights are as they are; leave the "
            "neuron model out, and take normalization 'none' (--normalization none)"
        )


def _check_no_entry(entry: str | None) -> None:
    if entry is not None:
        raise InputError(f"an ONNX file has no entries; leave {entry!r:.100} out")


def _check_options(
    architecture: str,
    normalization: str,
    calibration: Pictures | None,
    percentile: float | None,
    scales: ScaleChoice | None,
) -> None:
    if architecture != AUTO and architecture not in ARCHITECTURES:
        raise InputError(f"unknown architecture {architecture!r}; there are {', '.join((AUTO, *ARCHITECTURES))}")
    if normalization not in NORMALIZATIONS:
        raise InputError(f"unknown normalization {normalization!r}; use one of {', '.join(NORMALIZATIONS)}")
    if scales is not None and scales not in SCALES:
        raise InputError(f"unknown scales {scales!r}; use one of {', '.join(SCALES)}")
    number = isinstance(percentile, (int, float)) and not isinstance(percentile, bool)
    if percentile is not None and not (number and 0 < percentile <= 100):
        raise InputError(f"the percentile must lie above 0 and at most at 100 (got {percentile!r})")
    chosen_scales(scales, percentile)
    given = {"scales": scales, "percentile": percentile}
    for name, value in given.items() if normalization == "none" else ():
        if value is not None:
            raise InputError(f"{name} {value!r} has no meaning for normalization 'none'; leave one of them out")
    if normalization != "none" and calibration is None:
        raise InputError(
            f"normalization {normalization!r} needs calibration pictures, such as the network will see; "
            "pass calibration=PICTURES or normalization='none'"
        )
