"""A small ESDNet (T. Song et al., IJCAI 2024), with the keys of examples/train_derainer.py.

Three levels of residual blocks, `encoder1.0`, `encoder1.1` ... `decoder1.0` ..., each of two convolutions that read
spikes, `first` and `second`, and, where the network has it, `attention`; convolutions with a stride between the levels
down (`down1`, `down2`), bilinear upsampling and convolutions up (`up2`, `up1`), and what joins both (`join2`, `join1`).
Each convolution but `embed` and `readout` is `conv` with a batch norm `norm` behind it.

The numbers `neurons.threshold` and `neurons.decay` are those of leaky neurons with a reset to zero; `stream.quantum`
and `branch.quantum` the smallest levels of the signed graded spikes that carry a block's stream and what its attention
reads. Without them it is the artificial twin: ReLUs, and numbers between. A spike's value is the threshold here, and 1
in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spikeunet.engine.errors import GraphError, StateDictError
from spikeunet.engine.graph import FILE_WEIGHTS, UNCHOSEN, Input, Network, Neurons, Node, Output
from spikeunet.engine.layers import Add, AttentionGates, Concat, Conv2d, Scale, Upsample
from spikeunet.engine.neurons import LeakyIntegrateAndFire, SignedMultiThreshold

from ..batch_norm import PARAMETERS, STATISTICS, folded_into, norm_fault
from ..state_dict import StateDict
from .blueprint import Blueprint
from .layers import Layers
from .survey import Survey

STAGES = ("encoder1", "encoder2", "middle", "decoder2", "decoder1")
WIDTHS = (1, 2, 4, 2, 1)
"""Channels of each stage, in those of the first."""

THRESHOLD, DECAY, STREAM, BRANCH = "neurons.threshold", "neurons.decay", "stream.quantum", "branch.quantum"
NUMBERS = (THRESHOLD, DECAY, STREAM, BRANCH)

_LEVEL_BITS = 7
"""Of the graded spikes, beside the sign."""


@dataclass(frozen=True)
class EsdNet(Blueprint):
    """The blueprint, which brings its neurons along: a walk through layers knows of ReLUs alone."""

    def __call__(self, state: StateDict, epsilon: float) -> Network:
        """The network that a state dict describes, with its neurons; those of the artificial twin have none chosen.

        Raises
        ------
        StateDictError
            If keys are missing, unexpected or misshapen, a number cannot be the one of such neurons, or epsilon is not
            positive.
        """
        if not (math.isfinite(epsilon) and epsilon > 0):
            raise StateDictError(f"the epsilon of batch norm must be positive (got {epsilon})")
        self.survey(state, epsilon).check(self.name)
        try:
            return _Assembly(_Plan.of(state), epsilon).network()
        except GraphError as error:
            raise StateDictError(f"the state dict makes a network that is none: {error}") from None

    def survey(self, state: StateDict, epsilon: float) -> Survey:
        """Which keys are taken, and which have another shape."""
        survey, wanted = Survey(state, epsilon), _Plan.of(state).shapes()
        survey.required |= wanted.keys()
        for key, shape in wanted.items():
            found = state[key].shape if key in state else shape
            survey.require(key, f"expected {shape}, got {found}", found == shape)
        return survey


@dataclass(frozen=True)
class _Plan:
    """What a state dict must hold: blocks in each stage, the first level's channels, whether there is attention."""

    state: StateDict
    width: int
    blocks: tuple[int, ...]
    attention: bool

    @classmethod
    def of(cls, state: StateDict) -> _Plan:
        """As the keys tell; of what is missing, one block and one channel."""
        keys = {tuple(key.split(".")[:2]) for key in state if key.count(".") >= 2}
        blocks = tuple(next(n for n in range(len(keys) + 1) if (stage, str(n)) not in keys) for stage in STAGES)
        embed = state.get("embed.weight")
        width = len(embed) if embed is not None and embed.ndim == 4 else 1
        attention = any(".attention." in key for key in state)
        return cls(state, max(width, 1), tuple(max(number, 1) for number in blocks), attention)

    @property
    def spiking(self) -> bool:
        """Whether it has neurons; else it is the artificial twin."""
        return any(name in self.state for name in NUMBERS)

    def convolutions(self) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
        """Keys of the convolutions with a batch norm, and the shapes of their weights."""
        one, two, four = (self.width * times for times in (1, 2, 4))
        for stage, times, number in zip(STAGES, WIDTHS, self.blocks, strict=True):
            channels = self.width * times
            for index in range(number):
                yield from ((f"{stage}.{index}.{part}", (channels, channels, 3, 3)) for part in ("first", "second"))
        yield from (("down1", (two, one, 3, 3)), ("down2", (four, two, 3, 3)))
        yield from (("up2", (two, four, 3, 3)), ("up1", (one, two, 3, 3)))
        yield from (("join2", (two, 2 * two, 1, 1)), ("join1", (one, 2 * one, 1, 1)))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all arrays."""
        found: dict[str, tuple[int, ...]] = dict.fromkeys(NUMBERS, ()) if self.spiking else {}
        for stem, outputs, inputs in (("embed", self.width, 3), ("readout", 3, self.width)):
            found |= {f"{stem}.weight": (outputs, inputs, 3, 3), f"{stem}.bias": (outputs,)}
        for key, shape in self.convolutions():
            found[f"{key}.conv.weight"] = shape
            found |= {f"{key}.norm.{part}": shape[:1] for part in (*PARAMETERS, *STATISTICS)}
            if self.attention and key.endswith(".second"):
                stem, channels = key.removesuffix("second") + "attention", shape[0]
                found |= {f"{stem}.weight": (channels + 2, channels), f"{stem}.bias": (channels + 2,)}
        return found


@dataclass
class _Assembly:
    """Puts the nodes together; methods return the name of the node that was placed last."""

    plan: _Plan
    epsilon: float
    nodes: list[Node] = field(default_factory=list)
    file_weights: dict[str, list[int]] = field(default_factory=dict)

    def network(self) -> Network:
        """The whole network."""
        self._place(Input("picture", 3))
        skips = {}
        value = self._stage("encoder1", self._stream("stream1", self._convolution("embed", "picture")))
        for level in (1, 2):
            skips[level] = self._spikes(f"skip{level}", self._same(value))
            down = self._folded(f"down{level}", skips[level], stride=2)
            value = self._stage(("encoder2", "middle")[level - 1], self._stream(f"stream{level + 1}", down))
        for level in (2, 1):
            larger = self._place(Upsample(f"larger{level}", value, (2, 2), "bilinear"))
            risen = self._folded(f"up{level}", self._spikes(f"risen{level}", larger))
            both = (self._spikes(f"up{level}.spikes", risen), skips[level])
            joined = self._folded(f"join{level}", self._place(Concat(f"both{level}", both)))
            value = self._stage(f"decoder{level}", self._stream(f"joined{level}", joined))
        self._place(Output("output", self._convolution("readout", value)))
        facts: dict[str, Any] = {
            "batch_norms": len(list(self.plan.convolutions())),
            "batch_norm_epsilon": self.epsilon,
            "upsampling": "bilinear, corners not aligned",
        }
        if self.plan.spiking:
            facts["trained_neurons"] = repr(self._model())
        return Network(self.nodes, {"conversion": facts, FILE_WEIGHTS: self.file_weights})

    def _stage(self, stage: str, value: str) -> str:
        for index in range(self.plan.blocks[STAGES.index(stage)]):
            value = self._block(f"{stage}.{index}", value)
        return value

    def _block(self, key: str, stream: str) -> str:
        same = self._same(stream)
        first = self._folded(f"{key}.first", self._spikes(f"{key}.spikes1", same))
        found = self._folded(f"{key}.second", self._spikes(f"{key}.spikes2", first))
        if self.plan.attention:
            branch = self._graded(f"{key}.branch", found, BRANCH)
            weight, bias = (self.plan.state[f"{key}.attention.{part}"] for part in PARAMETERS)
            found = self._place(AttentionGates(f"{key}.attention", branch, weight, bias))
        return self._stream(f"{key}.stream", self._place(Add(f"{key}.sum", (found, same))))

    # --- Neurons -----------------------------------------------------------------------------------------------------

    def _spikes(self, name: str, current: str) -> str:
        return self._place(Neurons(name, current, self._model() if self.plan.spiking else UNCHOSEN))

    def _model(self) -> LeakyIntegrateAndFire:
        return LeakyIntegrateAndFire(self._number(THRESHOLD), self._number(DECAY), "zero")

    def _stream(self, name: str, current: str) -> str:
        return self._graded(name, current, STREAM)

    def _graded(self, name: str, current: str, quantum: str) -> str:
        smallest = self._number(quantum) if self.plan.spiking else 1.0
        ladder = [smallest * 2**bit for bit in reversed(range(_LEVEL_BITS))]
        return self._place(Neurons(name, current, SignedMultiThreshold.rounding(ladder)))

    def _number(self, name: str) -> float:
        value = float(str(np.float32(self.plan.state[name])))  # the shortest text of it: 0.15, as it was written
        if not (0 <= value < 1 if name == DECAY else 0 < value <= 1):
            raise StateDictError(f"{name} must lie between 0 and 1 (got {value})")
        return value

    # --- Synapses ----------------------------------------------------------------------------------------------------

    def _same(self, source: str) -> str:
        """The current of what a stream's neurons emit, as it is."""
        name = f"{source}.same"
        if not any(node.name == name for node in self.nodes):
            channels = self._channels(source)
            self._place(Scale(name, source, np.ones(channels, np.float32)))
            self.file_weights[name] = [0, channels]
        return name

    def _channels(self, stream: str) -> int:
        stage = {"stream1": 0, "stream2": 1, "stream3": 2, "joined2": 3, "joined1": 4}
        index = stage[stream] if stream in stage else STAGES.index(stream.partition(".")[0])
        return self.plan.width * WIDTHS[index]

    def _convolution(self, key: str, source: str) -> str:
        weight, bias = (self.plan.state[f"{key}.{part}"] for part in PARAMETERS)
        return self._place(Conv2d(key, source, weight, bias, padding=(1, 1)))

    def _folded(self, key: str, source: str, stride: int = 1) -> str:
        """A convolution with its batch norm, and spikes as large as their threshold."""
        weight = self.plan.state[f"{key}.conv.weight"]
        names = {part: f"{key}.norm.{part}" for part in (*PARAMETERS, *STATISTICS)}
        parts = {part: self.plan.state[name] for part, name in names.items()}
        if fault := norm_fault(parts, len(weight)):
            raise StateDictError(f"batch norms in the state dict do not fit: {key}.norm ({fault}); export the network")
        made, bias = folded_into(weight, None, parts, self.epsilon)
        made = made / np.float64(np.float32(self._number(THRESHOLD))) if self.plan.spiking else made
        padding = weight.shape[2] // 2
        return self._place(
            Conv2d(key, source, made, bias, stride=(stride, stride), padding=(padding, padding))  # type: ignore[arg-type]
        )

    def _place(self, node: Any) -> str:
        self.nodes.append(node)
        return str(node.name)


def _walk(_layers: Layers) -> None:
    raise NotImplementedError


ESDNET = EsdNet("esdnet", "the small ESDNet of examples/derainer.py, which takes rain off pictures", _walk)
