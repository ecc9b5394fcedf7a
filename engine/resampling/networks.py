"""Networks that say how to enlarge a picture, in place of LeRF's tables: of their second stage, or of both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..dense import forward
from ..errors import InputError
from ..tasks.inference import check_steps, model_for, recommended_steps, run_padded

if TYPE_CHECKING:
    from ..graph import Network
    from ..simulation import Result

DEFAULT_MODEL = "resample-small"
"""Shipped network to take where neither tables nor a network are named."""

MARGIN = 8
"""Pixels by which the last ones go on beyond the border for a network, whose layers take what lies there for black."""

SHAPES = (1, 3)
"""Outputs of a network in place of the second stage: the slope of a tent, or the three numbers of a Gaussian."""

WHOLE = 4
"""Outputs of a network in place of both stages: a Gaussian's, and what to add to the pixel."""

Plane = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Spiking:
    """A spiking network that says of each pixel what the tables of stage 2 say, or of both stages.

    Parameters
    ----------
    network : Network
        Puts out, for a gray picture (1, H, W) in [0, 1], (3, H, W) or (1, H, W) numbers from -1 to 1, which take the
        place of stage 2; or (4, H, W), the fourth of which is added to the pixel, and no tables are needed.
    steps : int, optional
        Time steps; None for the network's analog form, which does not spike.

    Raises
    ------
    InputError
        If the network takes or puts out another number of channels.
    """

    network: Network
    steps: int | None

    def __post_init__(self) -> None:
        inputs = self.network.input.channels
        if inputs != 1 or self.outputs not in (*SHAPES, WHOLE):
            raise InputError(
                f"the network takes {inputs} channels and puts out {self.outputs}; one that says how to resample takes "
                "1 and puts out 4, or to go with tables 3 or 1"
            )

    @property
    def outputs(self) -> int:
        """Channels that the network puts out."""
        return self.network.channels[self.network.output.name]

    @property
    def is_whole(self) -> bool:
        """Whether it takes the place of both stages, so that there are no tables."""
        return self.outputs == WHOLE


def resampler(model: str | os.PathLike[str] | Network, steps: int | None = None) -> Spiking:
    """The network that a model is for `resample`, with the number of steps that it recommends where none is named.

    Raises
    ------
    InputError
        If it is for another task, has other channels, or `steps` is no number of steps.
    ModelFileError
        If there is no such model, or it cannot be read.
    """
    network = model_for("resample", model)
    return Spiking(network, recommended_steps(network) if steps is None else check_steps(steps))


def network_output(plane: Plane, unit: int, spiking: Spiking) -> tuple[NDArray[np.float32], Result | None]:
    """What the network says of a picture with levels from 0 to 255 * unit, (C, H, W), and its run where it spikes.

    The output is divided by the number of steps.
    """
    picture = np.pad((plane / np.float64(255 * unit)).astype(np.float32), MARGIN, mode="edge")
    inner = np.s_[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    if spiking.steps is None:
        return forward(spiking.network, picture[None])[0][inner], None
    run = run_padded(spiking.network, picture[None, None], steps=spiking.steps)
    return run.cropped(run.result.output).reshape(spiking.outputs, *picture.shape)[inner], run.result


def as_shapes(output: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Numbers from -1 to 1, (C, H, W), on the scale of the tables: (H, W, C) uint8."""
    found: NDArray[np.uint8] = np.clip(np.rint(127 + 127 * output.astype(np.float64)), 0, 255).astype(np.uint8)
    return np.moveaxis(found, 0, 2)


def corrected(plane: Plane, unit: int, added: NDArray[np.float32]) -> Plane:
    """A picture to which the network adds something, (H, W), black 0 and white 1, on its own scale and within it."""
    white = 255 * unit
    levels: Plane = np.clip(np.rint(plane + white * added.astype(np.float64)), 0, white).astype(np.int32)
    return levels


def by_network(plane: Plane, unit: int, spiking: Spiking) -> tuple[Plane, NDArray[np.uint8]]:
    """Both stages by a network of four outputs: the picture to take the mean of, and the shapes of the weights."""
    output, _ = network_output(plane, unit, spiking)
    return corrected(plane, unit, output[WHOLE - 1]), as_shapes(output[: WHOLE - 1])
