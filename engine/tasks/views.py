"""What a network sees of a picture: as it is, turned and mirrored, or every other pixel of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
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

    def of(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is seen of pictures (N, C, H, W)."""
        turned = np.rot90(pictures, self.turns, (-2, -1))
        return np.flip(turned, -1) if self.mirrored else turned

    def back(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """What was put out for it, (..., H, W), as the pictures lie."""
        upright = np.flip(output, -1) if self.mirrored else output
        return np.rot90(upright, -self.turns, (-2, -1))


_VIEWS = tuple(View(turns, mirrored) for mirrored in (False, True) for turns in (0, 2, 1, 3))
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
    results: list[Result] = []

    def put_out(shown: NDArray[np.float32]) -> NDArray[np.float32]:
        run = run_padded(seeing.network, shown, **seeing.options)
        results.append(run.result)
        return ended(run.cropped(run.result.output), seeing.network.metadata)

    output = mean_over_views(batch_of(seen, seeing.network), seeing.views, put_out)
    return output, reduce(joined, results)


def mean_over_views(
    pictures: NDArray[np.float32], views: int, put_out: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Mean of what is put out, (..., H, W), for so many views of pictures (N, C, H, W), as the pictures lie."""
    first, *others = _VIEWS[:views]
    output = first.back(put_out(first.of(pictures)))
    if not others:
        return output
    sums = output.copy()
    for view in others:
        sums += view.back(put_out(view.of(pictures)))
    sums /= np.float32(views)
    return sums


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
