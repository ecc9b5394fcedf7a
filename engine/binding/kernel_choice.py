"""Which kernels may compute a layer's currents, and which of them do at an activity: the one place where it is chosen.

All kernels give the same currents, bit for bit (see integer_plan.py), so that a choice changes nothing but the time.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import InputError
from ..kernels.dot import host_dots
from ..kernels.pairs import host_pairs
from ..kernels.processor import host_lanes
from ..kernels.quads import LANES

if TYPE_CHECKING:
    from .layer import Layer

EVENTS = "events"  # from event to event; every layer can be computed so
EVENT_INTEGERS = "event-integers"  # likewise in integers, four at a time; for currents that are sums of integers
PICTURE = "picture"  # the analog input's current, a dense convolution; layers that read nothing else have no choice
VALUES = "values"  # all values that are read; kinds of layers without kernels of their own have no choice
# Planes of bytes are multiplied, silent neurons included, or but fours of silent ones (fours.py); the fastest first.
INTEGERS = ("amx", "vnni", "portable")
PLANES = "planes"  # means of levels spread out over planes of bytes, in integers too; for layers that average

CHOICES = ("auto", EVENTS, EVENT_INTEGERS, "integers", *INTEGERS)
"""What `simulate` and the command line take as `kernels`."""

SHARE_THAT_PAYS = {"amx": 0.02, "vnni": 0.12, "portable": 1.0, PLANES: 0.03}
"""Share of the neurons that a layer reads that must fire in a group of steps for kernels in integers to be faster than
from event to event: with fewer, the products of silent ones take longer."""

SHARE_BESIDE_EVENT_INTEGERS = {"amx": 0.06, "vnni": 0.30, "portable": 1.0}
"""The same where those from event to event are in integers, too, and at their full rate; for AMX it follows from the
rates of both kernels."""

FULL_RATE_WIDTH = 4 * LANES
"""Of so many output channels and more, the kernels that walk in integers interleave whole vectors of bytes. Of fewer
input channels a smaller share pays: a pixel has fewer events, and walking to it takes as long."""


class AllowedKernels(frozenset[str]):
    """The kernels that a run may use, out of "events", "event-integers", "planes" and the kinds of integers.

    A layer that none of them can compute runs from event to event.
    """

    @property
    def integers(self) -> str | None:
        """The fastest kind of kernels in integers among them, None without one."""
        return next((kind for kind in INTEGERS if kind in self), None)


def host_kernels() -> tuple[str, ...]:
    """What this processor has besides "events" and "planes"."""
    walks = host_pairs() or ("vnni" in host_dots() and host_lanes() == LANES)
    return *((EVENT_INTEGERS,) if walks else ()), *host_dots()


def allowed_kernels(kernels: str | Collection[str] = "auto") -> AllowedKernels:
    """What `kernels`, as `simulate` takes it, allows on this processor: of "integers" the fastest that there are.

    Where several are allowed, one of them from event to event, the faster at the activity that is met is taken.
    InputError for a name that is unknown, or that the processor does not have.
    """
    given = [kernels] if isinstance(kernels, str) or not isinstance(kernels, Collection) else list(kernels)
    if not given or not all(name in CHOICES for name in given):
        raise InputError(f"kernels can be {', '.join(CHOICES)} (got {', '.join(map(repr, given)) or 'none'})")
    names = frozenset(given)
    fastest = host_dots()[0]
    found = names - {"auto", "integers"}
    known = (EVENTS, *host_kernels())
    missing = sorted(found.difference(known))
    if missing:
        raise InputError(f"this processor has no kernels {missing[0]!r}; it has {', '.join(known)}")
    if "auto" in names:
        found |= {EVENTS, fastest} - {"portable"} | {EVENT_INTEGERS} & set(known)
    if "integers" in names:
        found |= {fastest}
    return AllowedKernels(found if names == {EVENTS} else found | {PLANES})


def choose_kernels(layer: Layer, active: int) -> str:
    """The kernels that compute the currents of a layer of whose inputs so many fire in a group of steps."""
    dense = layer.dense_kernels
    return layer.own_kernels if dense is None or active < least_active(layer) else dense


def least_active(layer: Layer) -> int:
    """Neurons that must fire, of those that a layer reads, for kernels to be chosen that take silent ones along."""
    dense = layer.dense_kernels
    if dense is None or not layer.kernels & {EVENTS, EVENT_INTEGERS}:
        return 0  # which a layer that can run in integers then does at any activity
    share = SHARE_THAT_PAYS[dense]
    if layer.own_kernels == EVENT_INTEGERS and layer.padded_channels >= FULL_RATE_WIDTH:
        share = SHARE_BESIDE_EVENT_INTEGERS[dense] * min(layer.incoming[0] / FULL_RATE_WIDTH, 1.0)
    return math.ceil(share * math.prod(layer.incoming))
