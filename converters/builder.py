"""Nodes of the network, put together operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import FILE_WEIGHTS, Input, Neurons, Node, Output, Shape, Weighted
from spikeunet.engine.layers import Add, Concat, Conv2d, Flatten, Scale
from spikeunet.engine.neurons import SignedMultiThreshold

from .values import Current, Emitted, Value
from .weights.refusals import UnreadableError

Array = NDArray[Any]

SIGNED = SignedMultiThreshold.rounding()
"""Neurons of populations whose values may be negative."""

MOST_REPEATED = 8
"""Weights of the network for each number in the file, at most, beyond `MOST_EXTRA`: a file can use one tensor often."""

MOST_EXTRA = 1 << 24


class Builder:
    """Nodes that have been placed so far.

    Parameters
    ----------
    numbers : int
        In the arrays of the file.

    Attributes
    ----------
    file_weights : dict of str to (int, int)
        By name of a placed node that was made with more weights than the file has for it: the file's, and these.
    """

    def __init__(self, numbers: int) -> None:
        self.nodes: list[Node] = []
        self._names: set[str] = set()
        self._counts: dict[str, int] = {}
        self._ones: dict[str, Emitted] = {}
        self._pictures: dict[str, list[Emitted]] = {}  # the Input, and what it is joined with others in: of which parts
        self._scaled_pictures: dict[str, Emitted] = {}
        self.file_weights: dict[str, tuple[int, int]] = {}
        self._left = MOST_REPEATED * numbers + MOST_EXTRA

    def spend(self, numbers: int) -> None:
        """UnreadableError where so many more numbers would be far more than the file holds."""
        self._left -= numbers
        if self._left < 0:
            raise UnreadableError("makes far more weights than it holds numbers; export it without shared weights")

    def unique(self, hint: str) -> str:
        """A name that no node has yet, printable and short, made of what a file calls it."""
        plain = "".join(c for c in hint if c.isprintable()).strip("/ ")[:80] or "node"
        name = plain
        while name in self._names:
            self._counts[plain] = self._counts.get(plain, 1) + 1
            name = f"{plain}-{self._counts[plain]}"
        self._names.add(name)
        return name

    def add_input(self, name: str, shape: Shape) -> Emitted:
        """The Input."""
        node = Input(self.unique(name), shape[0])
        self.nodes.append(node)
        self._pictures[node.name] = []
        return Emitted(node.name, shape, False)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the metadata of the network say of weights that are none of the file's; nothing where all are."""
        added = {name: list(counts) for name, counts in self.file_weights.items()}
        return {FILE_WEIGHTS: added} if added else {}

    # --- Currents ----------------------------------------------------------------------------------------------------

    def current(self, node: Any, reads: Emitted, positive: bool = False, *, file_weights: int | None = None) -> Current:
        """Synapses that read something, not placed yet; GraphError where they do not fit it.

        `file_weights` is how many weights the file has for them, where it is not as many as they have here.
        """
        if isinstance(node, Weighted):
            self.spend(node.weight.size)
        elif self.holds_picture(reads):
            # What has no weights would hand on the picture's scale, 1, to the neurons that read it.
            reads = self._picture_with_a_scale(reads)
            node = replace(node, source=reads.name)
        return Current(
            node.name, node.output_shape(reads.shape), positive, node, reads=reads, file_weights=file_weights
        )

    def holds_picture(self, reads: Emitted) -> bool:
        """Whether it is the picture itself, or the picture joined with others."""
        return reads.name in self._pictures

    def _picture_with_a_scale(self, reads: Emitted) -> Emitted:
        """The picture through neurons: it may lie beyond their thresholds, and has no scale that could be found."""
        if reads.name not in self._scaled_pictures:
            parts = self._pictures[reads.name]
            scaled = [self._picture_with_a_scale(part) if self.holds_picture(part) else part for part in parts]
            found = self._joined(reads.name, scaled) if parts else self.emit(self.identity(reads.name, reads))
            self._scaled_pictures[reads.name] = found
        return self._scaled_pictures[reads.name]

    def total(self, hint: str, parts: Iterable[Value]) -> Current:
        """The sum of currents of one shape; what has no weights is emitted first, so that it can be normalised."""
        flat = [each for part in parts for each in self._addends(hint, part)]
        positive = all(part.positive for part in flat)
        return Current(hint, flat[0].shape, positive, parts=tuple(flat))

    def _addends(self, hint: str, value: Value) -> tuple[Current, ...]:
        """The currents that a part of a sum stands for."""
        if isinstance(value, Current) and value.emitted is None:
            # What others read, too, would be computed anew by each of the sums that follow one another.
            if value.parts and not value.shared:
                return value.parts
            if isinstance(value.node, Weighted):
                return (value,)
        return (self.identity(hint, value),)

    def identity(self, hint: str, value: Value, gain: Any = 1.0, shift: Any = 0.0, *, of_file: bool = False) -> Current:
        """What is emitted, times a gain and with a shift, channel by channel.

        Its weights are none of the file's, unless the file multiplies so (`of_file`).
        """
        reads = self.emit(value)
        weight, bias = (np.broadcast_to(np.float32(each), (reads.shape[0],)).copy() for each in (gain, shift))
        positive = reads.positive and bool((weight >= 0).all() and (bias >= 0).all())
        own = None if of_file else 0
        return self.current(Scale(f"{hint}.scale", reads.name, weight, bias), reads, positive, file_weights=own)

    def scaled(self, hint: str, value: Value, gain: Any, shift: Any = 0.0, *, of_file: bool = False) -> Current:
        """The same of any value; folded into its synapses where they have weights."""
        if isinstance(value, Emitted) or value.shared:
            return self.identity(hint, value, gain, shift, of_file=of_file)
        if value.parts:
            if all(isinstance(part.node, Weighted) for part in value.parts):
                # The file multiplies the sum, once: for nothing where one of its own layers takes that in.
                taken = any(part.file_weights != 0 and not part.shared for part in value.parts)
                # What is added twice stays one current, and the shift is spread over as many as take it.
                times = Counter(map(id, value.parts))
                first = min(value.parts, key=lambda part: times[id(part)])
                share = np.asarray(shift, np.float64) / times[id(first)]
                found = {id(first): self.scaled(hint, first, gain, share, of_file=of_file and not taken)}
                for part in value.parts:
                    if id(part) not in found:
                        found[id(part)] = self.scaled(hint, part, gain)
                parts = tuple(found[id(part)] for part in value.parts)
                return replace(_fresh(value), parts=parts, positive=False)
        elif isinstance(value.node, Weighted):
            return self._folded(value, gain, shift, of_file=of_file)
        return self.identity(hint, value, gain, shift, of_file=of_file)

    def _folded(self, current: Current, gain: Any, shift: Any, *, of_file: bool) -> Current:
        node = current.node
        assert isinstance(node, Weighted)
        if of_file and current.file_weights == 0:
            # There was nothing of the file's to fold it into: one product for each number that is put out.
            current = replace(current, file_weights=node.out_channels)
        self.spend(node.weight.size)
        factor = np.broadcast_to(np.asarray(gain, np.float64), (node.out_channels,))
        weight = node.weight.astype(np.float64) * node.along_outputs(factor)
        changed = replace(node, weight=weight, bias=node.bias * factor + np.asarray(shift, np.float64))
        return replace(_fresh(current), node=changed, positive=False)

    def read_through(self, node: Any, value: Value, *, convolves: bool = False) -> Current:
        """The current of weights that read a value; a Scale before them is folded into them.

        Where a convolution (`convolves`) puts zeros around what it reads, a shift is no bias: it goes into the weights
        of one channel more, which is 1 everywhere.
        """
        if isinstance(value, Current) and isinstance(value.node, Weighted) and value.reads is not None:
            scale = value.node
            if scale.scales_channels and (node.sums_all_weights or not scale.bias.any()):
                return self._through(node, scale, value.reads)
            if scale.scales_channels and convolves and node.group_count == 1:
                return self._through_ones(node, scale, value.reads)
        reads = self.emit(value)
        return self.current(replace(node, source=reads.name), reads)

    def _through(self, node: Any, scale: Weighted, reads: Emitted) -> Current:
        node.output_shape(reads.shape)  # refuses what does not fit, before it is computed with
        if node.weight.ndim == 2 and reads.flattened is not None:
            reads = reads.flattened  # of as many numbers, in the order of a matrix, without neurons between
        weight = node.weight.astype(np.float64)
        shift = node.sum_by_output(weight * node.along_inputs(scale.bias.astype(np.float64)))
        gained = weight * node.along_inputs(scale.weight.astype(np.float64))
        return self.current(replace(node, source=reads.name, weight=gained, bias=node.bias + shift), reads)

    def _through_ones(self, node: Any, scale: Weighted, reads: Emitted) -> Current:
        node.output_shape(reads.shape)
        weight = node.weight.astype(np.float64)
        shift = (weight * node.along_inputs(scale.bias.astype(np.float64))).sum(1, keepdims=True)
        gained = weight * node.along_inputs(scale.weight.astype(np.float64))
        joined = self.with_ones(reads)
        widened = replace(node, source=joined.name, weight=np.concatenate((gained, shift), 1))
        return self.current(widened, joined, file_weights=node.weight.size)

    def with_ones(self, reads: Emitted) -> Emitted:
        """What is emitted with one channel more, which is 1 everywhere."""
        if reads.name not in self._ones:
            weight: Any = np.zeros((1, reads.shape[0], 1, 1))
            bias: Any = np.ones(1)
            ones = Conv2d(f"{reads.name}.ones", reads.name, weight, bias)
            current = self.current(ones, reads, True, file_weights=0)
            self._ones[reads.name] = self._joined(f"{reads.name}.with-ones", [reads, self.rectify("", current)])
        return self._ones[reads.name]

    # --- Placing -----------------------------------------------------------------------------------------------------

    def place(self, current: Current) -> str:
        """Name of a current's node, which is put into the network with the first call."""
        if current.placed is None:
            if current.parts:
                # A sum lists its parts itself, so no sum is within another.
                made: Any = Add("", parts=tuple(self.place(part) for part in current.parts))
            else:
                made = current.node
            current.placed = self.unique(current.hint)
            self.nodes.append(replace(made, name=current.placed))
            if isinstance(made, Weighted) and current.file_weights not in (None, made.weight.size):
                self.file_weights[current.placed] = (current.file_weights, made.weight.size)
        return current.placed

    def emit(self, value: Value) -> Emitted:
        """A value as something that is emitted: a current through neurons of its own, which stand for the identity."""
        if isinstance(value, Emitted):
            return value
        if value.joined:
            # Each part through neurons of its own, if any: together, those that need none would get some, too.
            if value.emitted is None:
                value.emitted = self._joined(value.hint, [self.emit(part) for part in value.joined])
            return value.emitted
        if value.positive:
            return self.rectify("", value)
        if value.emitted is None:
            value.emitted = self._neurons(f"{value.hint}.neurons", value, model=SIGNED)
        return value.emitted

    def rectify(self, hint: str, value: Value) -> Emitted:
        """A value through neurons that stand for a ReLU."""
        if isinstance(value, Emitted):
            if value.positive:
                return value
            value = self.identity(hint, value)
        if value.rectified is None:
            value.rectified = self._neurons(hint or f"{value.hint}.neurons", value)
        return value.rectified

    def _neurons(self, hint: str, current: Current, **model: Any) -> Emitted:
        source = self.place(current)
        node = Neurons(self.unique(hint), source, **model)
        self.nodes.append(node)
        identity = bool(model) or current.positive
        return Emitted(node.name, current.shape, not model, current.flattened if identity else None)

    def join(self, hint: str, values: list[Value]) -> Value:
        """Values side by side along the channels.

        Where some are what is emitted times a gain and with a shift, all of them are: so what reads them can take these
        into its weights.
        """
        scales = [self._scale(value) for value in values]
        if not any(scale is not None for scale in scales):
            return self._joined(hint, [self.emit(value) for value in values])
        raw, weights, biases = [], [], []
        for value, scale in zip(values, scales, strict=True):
            raw.append(self.emit(value) if scale is None else value.reads)  # type: ignore[union-attr]
            weights.append(np.ones(value.shape[0]) if scale is None else scale.weight)
            biases.append(np.zeros(value.shape[0]) if scale is None else scale.bias)
        reads = self._joined(hint, raw)  # type: ignore[arg-type]
        scale_of_all = Scale(f"{hint}.scale", reads.name, np.concatenate(weights), np.concatenate(biases))
        own = sum(0 if scale is None else _of_file(value) for value, scale in zip(values, scales, strict=True))
        current = self.current(scale_of_all, reads, all(value.positive for value in values), file_weights=own)
        return replace(current, joined=tuple(values))

    def _scale(self, value: Value) -> Weighted | None:
        """The Scale that a value is the current of, if it is one."""
        node = value.node if isinstance(value, Current) and value.reads is not None else None
        return node if isinstance(node, Weighted) and node.scales_channels else None

    def _joined(self, hint: str, parts: list[Emitted]) -> Emitted:
        node = Concat(self.unique(hint), tuple(part.name for part in parts))
        shape = node.output_shape(*(part.shape for part in parts))
        self.nodes.append(node)
        if any(map(self.holds_picture, parts)):
            self._pictures[node.name] = parts
        return Emitted(node.name, shape, all(part.positive for part in parts))

    def flat(self, hint: str, value: Value) -> Value:
        """A value as single features (C * H * W, 1, 1)."""
        if value.shape[1:] == (1, 1):
            return value
        reads = self.emit(value)
        return replace(self.current(Flatten(f"{hint}.flatten", reads.name), reads, reads.positive), flattened=reads)

    def finish(self, value: Value) -> list[Node]:
        """All nodes that lead to an Output which reads a value.

        What has no weights gets neurons and a Scale: the Output has the scale 1, which they would hand on.
        """
        weighted = isinstance(value, Current) and (value.parts or isinstance(value.node, Weighted))
        current = value if isinstance(value, Current) and weighted else self.identity("output", value)
        self.nodes.append(Output(self.unique("output"), self.place(current)))
        by_name = {node.name: node for node in self.nodes}
        wanted, waiting = set[str](), [self.nodes[-1].name]
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting += by_name[name].sources
        return [node for node in self.nodes if node.name in wanted]


def _of_file(value: Value) -> int:
    """How many weights the file has for a Scale."""
    assert isinstance(value, Current)
    return value.shape[0] if value.file_weights is None else value.file_weights


def _fresh(current: Current) -> Current:
    """A current of which nothing has been placed yet, and which is about to become another one."""
    return replace(current, zeros=None, joined=(), placed=None, emitted=None, rectified=None)
