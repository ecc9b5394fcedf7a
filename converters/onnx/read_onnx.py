"""Read an ONNX file: no framework takes part, nothing in it is run, and no more memory is taken than it justifies."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeunet.engine.errors import GraphError, SpikeunetError, StateDictError, first_few
from spikeunet.engine.graph import Network, Node

from ..weights.beginnings import beginning, is_onnx_content, stand_in
from ..weights.refusals import UnreadableError, refusals
from .imported import Imported

MOST_BYTES = 2**31 - 1
"""Protobuf knows no larger messages; larger networks keep their numbers in files beside."""

EXAMPLES = {"inputs.npy", "outputs.npy"}
"""Members of a file of what a network reads and puts out."""

_SIZES = ((768, 1280), (1024, 512))
"""Height and width of pictures for which a graph of open size is converted: the network must be the same for both."""
_BATCHES = (2, 3)


def is_onnx(path: object) -> bool:
    """Whether a path is that of an ONNX file, by what it begins with or by its name."""
    return isinstance(path, (str, os.PathLike)) and is_onnx_content(Path(os.fspath(path)), beginning(path))


def read_onnx(path: str | os.PathLike[str]) -> Imported:
    """A network out of an ONNX file.

    Parameters
    ----------
    path : str or path-like
        Opset 11 or newer; numbers that lie in files of their own are read from the same folder.

    Returns
    -------
    Imported

    Raises
    ------
    StateDictError
        If the file cannot be read, or holds something for which there is no layer; names it and says what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise StateDictError(f"{path}: is no file; check the path")
    with _refusals(path):
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableError(f"is larger than the {MOST_BYTES} bytes that ONNX allows")
        instead = stand_in(beginning(path))
        if instead:
            raise UnreadableError(instead)
        return replace(_imported(_parsed(path)), check=examples_beside(path))


def examples_beside(path: Path) -> Path | None:
    """The NPZ file of inputs and outputs that the exporter writes beside a file, and nothing else of that name."""
    beside = path.with_suffix(".npz")
    try:
        with zipfile.ZipFile(beside) as archive:
            return beside if set(archive.namelist()) == EXAMPLES else None
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return None


def _parsed(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise UnreadableError("is an ONNX file, which needs the extra: pip install spikeunet[onnx]") from None
    from .arrays import Arrays
    from .graph import plain_graph
    from .wire import check_amount

    content = path.read_bytes()
    check_amount(content, onnx.ModelProto.DESCRIPTOR)
    model = onnx.ModelProto()
    model.ParseFromString(content)
    return plain_graph(model, Arrays(path.parent))


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """`refusals`, of the errors of protobuf, too, which are of no kind that Python knows."""
    with refusals(path, "an ONNX file"):
        try:
            yield
        except GraphError as error:
            raise UnreadableError(f"makes a network that is none: {error}") from None
        except (UnreadableError, SpikeunetError, OSError, ValueError):
            raise
        except Exception as error:
            if type(error).__module__.startswith("google.protobuf"):
                raise ValueError(str(error)) from None
            raise


def _imported(graph: Any) -> Imported:
    from .graph import check_input
    from .spelling import check_spelling
    from .walk import walk

    check_spelling(graph)
    batch, _, *sides = graph.input_shape
    open_size = None in sides
    walked = walk(graph, _shape(graph, 0), open_size=open_size)
    if open_size or batch is None:
        other = walk(graph, _shape(graph, 1), open_size=open_size)
        _check_alike(walked.nodes, other.nodes)
    check_input(graph)  # last: an operator that is not read is the better reason
    facts: dict[str, Any] = {"source": "onnx", "opset": graph.opset, "producer": graph.producer}
    if sides and not open_size:
        facts["input_size"] = [int(side) for side in sides]
    if walked.endings:
        facts["endings"] = [ending.name for ending in walked.endings]
    return Imported(Network(walked.nodes, walked.metadata), facts, walked.endings)


def _shape(graph: Any, trial: int) -> tuple[int, ...]:
    """What the graph reads, with sizes for those that it leaves open."""
    batch, channels, *sides = graph.input_shape
    usual = _SIZES[trial][2 - len(sides) :]
    return (
        _BATCHES[trial] if batch is None else batch,
        channels,
        *(size if size is not None else fill for size, fill in zip(sides, usual, strict=True)),
    )


def _check_alike(nodes: list[Node], others: list[Node]) -> None:
    """Refuse a graph that becomes another network for pictures of another size."""
    differing = [node.name for node, other in zip(nodes, others, strict=False) if not _alike(node, other)]
    if differing or len(nodes) != len(others):
        raise UnreadableError(
            f"becomes another network for pictures of another size ({first_few(differing) or 'its layers'}); export it "
            "with a fixed size"
        )


def _alike(node: Node, other: Node) -> bool:
    names = [each.name for each in fields(node)]
    return type(node) is type(other) and all(np.array_equal(getattr(node, n), getattr(other, n)) for n in names)
