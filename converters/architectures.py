"""Registry of the architectures whose state dicts can be converted."""

from __future__ import annotations

from collections.abc import Callable

from spikeunet.engine.graph import Network

from .dncnn import build_dncnn
from .spiking_unet import build_spiking_unet
from .state_dict import StateDict

Architecture = Callable[[StateDict, float], Network]
"""Builds the network, not normalised, from a state dict with finite arrays and the epsilon of its batch norms.

It raises StateDictError where the keys do not fit (`check_keys`). What it assumes beyond the state dict it puts into
the network's metadata, under "conversion".
"""

ARCHITECTURES: dict[str, Architecture] = {"spiking-unet": build_spiking_unet, "dncnn": build_dncnn}
"""Architectures by the name that `convert` takes; add one by adding an entry."""
