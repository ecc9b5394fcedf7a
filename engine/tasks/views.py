"""What a network sees of a picture: as it is, turned and mirrored, or every other pixel of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import Network
from ..simulation import Result
from .endings import ended
from .inference import joined, run_padded
from .restorers import as_shown, prediction_in

SELF_ENSEMBLES = (1, 2, 4, 8)
"""How many views of a picture the mean may be of."""


class View(NamedTuple):
    """A picture turned by so many times 90 degrees, counterclockwise, then mirrored left to right or not."""

    turns: int
    mirrored: bool

    def of(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is seen of a picture (H, W) or (H, W, C)."""
        return self._seen(picture, (0, 1))

    def of_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is seen of pictures (N, C, H, W)."""
        return self._seen(batch, (-2, -1))

    def _seen(self, array: NDArray[np.float32], axes: tuple[int, int]) -> NDArray[np.float32]:
        turned = np.rot90(array, self.turns, axes)
        return np.flip(turned, axes[1]) if self.mirrored else turned

    def back(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """What was put out for it, (N, O, H, W), as the picture lies."""
        upright = np.flip(output, -1) if self.mirrored else output
        return np.rot90(upright, -self.turns, (-2, -1))


VIEWS = tuple(View(turns, mirrored) for mirrored in (False, True) for turns in (0, 2, 1, 3))
"""In such an order that the first two, four and eight have most to say."""


class Seeing(NamedTuple):
    """A network, how it is run (`steps` and others of `run_padded`), and how many views its outputs are the mean of."""

    network: Network
    options: Mapping[str, Any]
    views: int = 1


def check_self_ensemble(views: object) -> int:
    """`views` where it is one of SELF_ENSEMBLES; InputError otherwise."""
    if isinstance(views, bool) or not isinstance(views, (int, np.integer)) or views not in SELF_ENSEMBLES:
        raise InputError(
            f"self-ensemble must be 1, 2, 4 or 8, how often the picture is shown, turned and mirrored (got {views!r})"
        )
    return int(views)


def output_for(seen: NDArray[np.float32], seeing: Seeing) -> tuple[NDArray[np.float32], Result]:
    """What a network puts out for a picture, (N, O, H, W), the mean over its views, and the runs."""
    first, *others = VIEWS[: seeing.views]
    output, result = _seen_as(first, seen, seeing)
    if not others:
        return output, result
    sums = output.copy()
    for view in others:
        output, another = _seen_as(view, seen, seeing)
        sums += output
        result = joined(result, another)
    sums /= np.float32(seeing.views)
    return sums, result


def _seen_as(view: View, seen: NDArray[np.float32], seeing: Seeing) -> tuple[NDArray[np.float32], Result]:
    run = run_padded(seeing.network, batch_of(view.of(seen), seeing.network), **seeing.options)
    return view.back(ended(run.cropped(run.result.output), seeing.network.metadata)), run.result


def noise_in(shown: NDArray[np.float32], seeing: Seeing) -> tuple[NDArray[np.float32], Result]:
    """The noise that a network sees, in the shape of the picture."""
    output, result = output_for(shown, seeing)
    found = as_shown(output, shown.shape)
    return (found if prediction_in(seeing.network.metadata) == "noise" else shown - found), result


def noise_in_every_other(shown: NDArray[np.float32], seeing: Seeing) -> tuple[NDArray[np.float32], Result]:
    """The noise that a network sees in the four pictures that every other pixel makes, put together again.

    There noise that neighbours share is less alike: Y. Zhou et al., "When AWGN-based denoiser meets real noises", AAAI
    2020.
    """
    height, width = shown.shape[:2]
    even = np.pad(shown, [(0, height % 2), (0, width % 2), *[(0, 0)] * (shown.ndim - 2)], mode="edge")
    noise = np.empty_like(even)
    total: Result | None = None
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = (slice(place[0], None, 2), slice(place[1], None, 2))
        noise[part], result = noise_in(even[part], seeing)
        total = result if total is None else joined(total, result)
    assert total is not None
    return noise[:height, :width], total


def batch_of(seen: NDArray[np.float32], network: Network) -> NDArray[np.float32]:
    """What a network takes for a picture, (N, C, H, W)."""
    return seen.reshape(*seen.shape[:2], -1, network.input.channels).transpose(2, 3, 0, 1)
