"""Registry of the architectures whose state dicts can be converted."""

from __future__ import annotations

from collections.abc import Callable

from spikeunet.engine.graph import Network

from ..state_dict import StateDict
from .blueprint import Blueprint
from .dncnn import DNCNN, FDNCNN, FFDNET, IRCNN
from .esdnet import ESDNET
from .mlp import MLP
from .resnet import RESNET
from .spiking_unet import SPIKING_UNET
from .unet import UNET
from .vgg import VGG
from .wnet import SINGLE, WNET

Architecture = Callable[[StateDict, float], Network]
"""Builds the network, not normalised, from a state dict with finite arrays and the epsilon of its batch norms.

It raises StateDictError where the keys do not fit (`check_keys`). What it assumes beyond the state dict it puts into
the network's metadata, under "conversion". A Blueprint is one.
"""

OWN: tuple[Blueprint, ...] = (SPIKING_UNET, UNET, WNET, SINGLE, DNCNN, IRCNN, FDNCNN, FFDNET, VGG, RESNET, MLP, ESDNET)

ARCHITECTURES: dict[str, Architecture] = {blueprint.name: blueprint for blueprint in OWN}
"""Architectures by the name that `convert` takes; add one by adding an entry."""
