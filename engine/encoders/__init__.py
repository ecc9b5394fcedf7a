"""Encoders of an Input: how what is shown, or what comes as events, becomes spikes. One file for each kind."""

from .binning import bin_events
from .delta import Delta
from .encoder import Encoder
from .event_files import read_events
from .event_stream import EventStream, stream_of_queues
from .foveal import Foveal, RankedCoefficients
from .one_spike import Latency, RankOrder
from .plain_events import Events
from .rate import Rate

ENCODERS: dict[str, type[Encoder]] = {kind.__name__: kind for kind in (Rate, Latency, RankOrder, Foveal, Delta, Events)}
"""What a model file may name."""

__all__ = [
    "ENCODERS",
    "Delta",
    "Encoder",
    "EventStream",
    "Events",
    "Foveal",
    "Latency",
    "RankOrder",
    "RankedCoefficients",
    "Rate",
    "bin_events",
    "read_events",
    "stream_of_queues",
]
