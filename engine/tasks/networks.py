"""The tasks by name, and the network that a model is for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import InputError
from ..graph import Network
from .classification import classifier
from .deraining import derainer
from .inference import named
from .resampling import resampler
from .restorers import denoiser
from .segmentation import segmenter

Model = str | os.PathLike[str] | Network

NETWORKS: Mapping[str, Callable[[Model], Network]] = MappingProxyType(
    {
        "denoise": denoiser,
        "derain": derainer,
        "segment": segmenter,
        "classify": classifier,
        "resample": resampler,
    }
)
"""By task, what gives the network that a model names, where it and its metadata suit the task; InputError otherwise."""


def network_for(task: str, model: Model) -> Network:
    """The network that `model` names, which must be for `task`.

    Raises
    ------
    InputError
        If there is no such task, the model is for another, or its outputs or its metadata do not suit it.
    """
    if task not in NETWORKS:
        raise InputError(f"the model {named(model)} is for {task!r}; there are the tasks {', '.join(NETWORKS)}")
    return NETWORKS[task](model)
