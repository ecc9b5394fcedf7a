"""`spikeunet info`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, printable
from .console import print_fields, print_line, print_rows
from .output import put_data
from .piped_models import MODEL

if TYPE_CHECKING:
    from ..graph import Network, Node, Shape
    from ..neurons import LevelTable


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("--shape", metavar="HxW", help="Also the shapes and the ANN's multiply-accumulates for such a picture.")
def info(model: str, shape: str | None) -> None:
    """Show what a model consists of, and its card: data, scores, limits and training.

    MODEL is a name out of `spikeunet models` or a model file, whose card is a JSON file of the same name beside it.

    \b
    Examples:
      spikeunet info denoise-gray
      spikeunet info model.npz --shape 256x256
      spikeunet info denoise-gray-fast --json
    """
    from ..models import load_model
    from ..models.cards import card_of

    size = None if shape is None else parse_size(shape)
    network = load_model(model)
    card = card_of(model)
    shapes = None if size is None else _padded_shapes(network, size)
    put_data(_data(model, network, card, shapes))
    print_fields(_fields(model, network) + _energy(network, shapes))
    print_line()
    if card is not None:
        print_fields(card_lines(card))
        print_line()
    header = ["node", "kind", "reads", "settings", "parameters"]
    rows = [_row(network, node) for node in network.nodes]
    if shapes is not None:
        header += ["shape", "dense MACs"]
        macs = _dense_macs(network, shapes)
        for row, node in zip(rows, network.nodes, strict=True):
            row += ["x".join(map(str, shapes[node.name])), str(macs[node.name])]
        rows.append(["total", "", "", "", str(network.parameters), "", str(sum(macs.values()))])
    else:
        rows.append(["total", "", "", "", str(network.parameters)])
    print_rows(header, rows)


def card_lines(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A model card's fields by their names, lists over several lines; what the file says by itself is left out."""
    from ..models.cards import FIELDS, texts

    return [
        (title if number == 0 else "", line)
        for field, title in FIELDS.items()
        if field not in ("name", "task", "channels")
        for number, line in enumerate(texts(card, field))
    ]


def _data(
    model: str, network: Network, card: Mapping[str, Any] | None, shapes: dict[str, Shape] | None
) -> dict[str, Any]:
    """What is printed, as numbers."""
    macs = {} if shapes is None else _dense_macs(network, shapes)
    nodes = [
        {
            "name": node.name,
            "kind": type(node).__name__,
            "reads": list(node.sources),
            "settings": _settings(network, node),
            "parameters": _parameters(node),
            **({} if shapes is None else {"shape": list(shapes[node.name]), "dense_macs": macs[node.name]}),
        }
        for node in network.nodes
    ]
    return {
        "model": printable(model),
        "card": card,
        "channels": network.input.channels,
        "size_multiple": network.size_multiple,
        "parameters": network.parameters,
        "metadata": dict(network.metadata),
        "nodes": nodes,
        **({} if shapes is None else {"dense_macs": sum(macs.values())}),
    }


def parse_size(text: str, option: str = "--shape") -> tuple[int, int]:
    """(height, width) from "HxW", the value of an option; InputError where it is something else."""
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if match is None:
        large = "each up to 999999" if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text) else "for instance 256x256"
        raise InputError(f"{option} must be HEIGHTxWIDTH, {large} (got {text!r})")
    return int(match[1]), int(match[2])


def _padded_shapes(network: Network, size: tuple[int, int]) -> dict[str, Shape]:
    from ..pictures.fitting import fitting_size

    return network.shapes((network.input.channels, *fitting_size(network, size)))


def _dense_macs(network: Network, shapes: dict[str, Shape]) -> dict[str, int]:
    from ..graph import Projection, ann_macs, file_shares

    shares = file_shares(network)
    return {
        node.name: ann_macs(node, shapes[node.source], shares) if isinstance(node, Projection) else 0
        for node in network.nodes
    }


def _fields(model: str, network: Network) -> list[tuple[str, str]]:
    models = dict.fromkeys(repr(node.model) for node in network.neurons)
    fields = [
        ("model", model),
        ("input", f"{network.input.channels} channel{'s' * (network.input.channels > 1)}"),
        ("size multiple", f"{network.size_multiple}, {_padding(network)}"),
        ("parameters", f"{network.parameters:,}"),
        ("weights", _weights(network)),
        *(("neurons", model) for model in models),
    ]
    facts = [(name, _value(value)) for name, value in network.metadata.items()]
    return fields + _unsaid(network) + facts


def _padding(network: Network) -> str:
    from ..pictures.fitting import PADDING_TASKS

    task = network.metadata.get("task")
    if task == "classify":
        return "but pictures are not padded"
    return f"to which pictures are padded{'' if task in PADDING_TASKS else ' that it does not take as they are'}"


def _energy(network: Network, shapes: dict[str, Shape] | None) -> list[tuple[str, str]]:
    """How events are read, and the ANN's energy for pictures of a shape."""
    from .energy_lines import dense_energy, sources

    fields = [("events", _events(network))]
    if shapes is not None:
        fields += [("energy of the ANN", dense_energy(sum(_dense_macs(network, shapes).values()))), *sources()]
    return fields


def _events(network: Network) -> str:
    """Which readings are true of the network's events, the one that is charged by default first."""
    from ..operations.readings import ACCUMULATE, MIXED, reading_of

    tables = _meeting_weights(network)
    if not (tables or network.neurons or network.encoded):
        return "none"
    name = reading_of(table.graded for table in tables)
    if name == ACCUMULATE:
        return "binary: accumulates" if tables else "meet no weights: accumulates"
    some = ", those that are binary accumulates" if name == MIXED else ""
    shifts = "shift-adds, too" if all(table.shifts for table in tables) else "no shift-adds"
    return f"graded: multiply-accumulates{some}; {shifts}"


def _meeting_weights(network: Network) -> list[LevelTable]:
    """Levels of all that synapses with weights read events of: neurons, and Inputs with an encoder."""
    from ..graph import Weighted
    from ..neurons import level_table

    tables = {node.name: level_table(node.model) for node in network.neurons}
    tables |= {name: encoder.level_table() for name, encoder in network.encoded.items()}
    weighted = [node for node in network.nodes if isinstance(node, Weighted)]
    return [tables[leaf] for node in weighted for leaf in network.leaves(node.source) if leaf in tables]


def _unsaid(network: Network) -> list[tuple[str, str]]:
    """What a denoiser is taken to put out where its metadata do not say."""
    from ..tasks.inference import task_of

    silent = task_of(network) == "denoise" and "predicts" not in network.metadata
    return [("predicts", "noise, as the file says nothing else")] if silent else []


def _weights(network: Network) -> str:
    """Bits of the weights, and in how many layers: "8 bits in 22 layers, float32 in 1 layer"."""
    from ..fixed_point import weight_bits
    from ..graph import Weighted

    bits = [weight_bits(node) for node in network.nodes if isinstance(node, Weighted)]
    parts = {f"{number} bits" if number else "float32": bits.count(number) for number in sorted(bits, key=_float_last)}
    return ", ".join(f"{name} in {count} layer{'s' * (count > 1)}" for name, count in parts.items()) or "none"


def _float_last(bits: int | None) -> tuple[bool, int]:
    return bits is None, -(bits or 0)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parameters(node: Node) -> int:
    from ..graph import Synapses, weights_and_biases

    return sum(weights_and_biases(node)) if isinstance(node, Synapses) else 0


def _row(network: Network, node: Node) -> list[str]:
    settings = _settings(network, node)
    return [node.name, type(node).__name__, ", ".join(node.sources) or "-", settings or "-", str(_parameters(node))]


def _settings(network: Network, node: Node) -> str:
    """Kernel, stride and padding of synapses; thresholds and normalisation of neurons."""
    from ..fixed_point import weight_bits
    from ..graph import Weighted

    words = []
    if isinstance(node, Weighted):
        channels = f" channel{'s' * (len(node.weight) > 1)}" if node.weight.ndim == 1 else ""
        words.append("x".join(map(str, node.weight.shape)) + channels)
        bits = weight_bits(node)
        words += [f"{bits} bits"] if bits else []
    words += [_field(name, getattr(node, name)) for name in _unusual(node)]
    if getattr(node, "encoder", None) is not None:
        words.append(repr(node.encoder))  # type: ignore[attr-defined]
    if hasattr(node, "model"):
        words.append(_neuron(node.model))
    if node.name in network.normalization:
        words.append(f"lambda {network.normalization[node.name]:.6g}")
    return ", ".join(words)


def _unusual(node: Node) -> list[str]:
    """Fields of synapses that are not as they are by default; of a node without weights all that say something."""
    defaults = {each.name: each.default for each in dataclasses.fields(node)}
    names = [*getattr(node, "file_fields", {}), *(["delay"] if hasattr(node, "delay") else [])]
    return [name for name in names if name != "parts" and _says_something(node, name, defaults[name])]


def _says_something(node: Node, name: str, default: object) -> bool:
    value = getattr(node, name)
    if default is None:  # it follows from others
        left_out: dict[str, Any] = {name: None}
        return bool(value != getattr(dataclasses.replace(node, **left_out), name))
    if hasattr(node, "weight") or not any(value if isinstance(value, tuple) else (value,)):
        return bool(value != default)
    return True


def _field(name: str, value: object) -> str:
    if isinstance(value, tuple):
        value = value[0] if len(set(value)) == 1 else "x".join(map(str, value))
    return f"{name} {value}"


def _neuron(model: object) -> str:
    if hasattr(model, "levels"):  # a registered model, whatever its parameters
        return repr(model)
    thresholds = getattr(model, "thresholds", None) or (getattr(model, "threshold", float("nan")),)
    ladder = " ".join(f"{threshold:g}" for threshold in thresholds)
    return f"{type(model).__name__} {ladder}, initial {getattr(model, 'initial', 0.0):g}"
