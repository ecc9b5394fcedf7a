"""How a network is run on the frames of a stream: by exact increments, or each until its output hardly changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import Network
from ..increments import LayerIncrement, Savings
from ..results.lazy_result import LazyResult, joined_ledger
from ..results.result import joined_kernels
from ..simulation import Result, simulate
from ..stream import Stream, check_stopping

RECORDED = "shown in a report"
"""Why all of a picture was computed: its run is recorded."""


class FrameRuns:
    """Runs of what a network sees of one frame after the other: more than one picture where it sees colours one by one.

    Parameters
    ----------
    threads : int, optional
    exact_increments : bool
        Whether each picture is brought up to date from the one that was seen in its place of the frame before.
    tolerance : float, optional
        Each frame is run until the output changes by no more than this; see `Stream.run_until_stable`.
    patience : int
        How many times in a row it must not have changed.
    labels : bool
        Whether the tolerance is a share of labels.

    Raises
    ------
    InputError
        If both are asked for, or the tolerance or the patience is out of range.

    Attributes
    ----------
    savings : Savings
        What increments have saved.
    increments : list of dict of str to LayerIncrement
        Of each picture that was seen of the last frame, what was done by layer; empty where it was run in full.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        exact_increments: bool = False,
        tolerance: float | None = None,
        patience: int = 1,
        labels: bool = False,
    ) -> None:
        if exact_increments and tolerance is not None:
            raise InputError(
                f"exact_increments takes single steps, and tolerance ({tolerance!r}) several; leave one out"
            )
        if tolerance is not None:
            check_stopping(tolerance, patience)
        self._threads = threads
        self._exact = exact_increments
        self._tolerance, self._patience, self._labels = tolerance, patience, labels
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._streams: list[Stream] = []
        self._recorded = Savings()
        self.next_frame()

    def next_frame(self) -> None:
        """Begin with what is seen of another frame."""
        self._seen = 0
        self.increments: list[dict[str, LayerIncrement]] = []

    @property
    def savings(self) -> Savings:
        """Of all that was seen."""
        return sum((stream.savings for stream in self._streams), self._recorded)

    def note_recorded(self, result: Result) -> None:
        """Count pictures that were run by themselves, in full, for what was recorded of them."""
        self._recorded += Savings.of_full_run(RECORDED, result.operations)

    def run(self, network: Network, pictures: NDArray[np.float32], steps: int) -> Result:
        """The network's result for pictures, (N, C, H, W) or one of them, as `simulate` has it.

        `steps` are those of each; with a tolerance the most.

        Raises
        ------
        InputError, RangeError
            As `simulate`; of increments also where the network cannot be run so, or for more than one step.
        """
        if self._tolerance is not None:
            stream = Stream(network, threads=self._threads)
            return stream.run_until_stable(pictures, self._tolerance, self._patience, steps, self._labels)
        if not self._exact:
            return simulate(network, pictures, steps, threads=self._threads)
        check_one_step(steps)
        if pictures.ndim == 3:
            return self._shown(network, pictures)
        return _batch_of([self._shown(network, picture) for picture in pictures])

    def _shown(self, network: Network, picture: NDArray[np.float32]) -> Result:
        """Of what is seen next of a frame."""
        if self._seen == len(self._streams):
            self._streams.append(Stream(network, 1, self._threads, exact_increments=True))
        stream = self._streams[self._seen]
        self._seen += 1
        result = stream.push(picture)
        self.increments.append(stream.increments)
        return result


def check_one_step(steps: int) -> None:
    """InputError for a number of steps that increments do not take."""
    if steps != 1:
        raise InputError(f"exact increments take one step a picture, and there are {steps}; ask for steps 1")


def _batch_of(results: list[Result]) -> Result:
    """Results of single pictures as that of a batch."""
    first = results[0]
    return LazyResult(
        ledger=joined_ledger(results),
        outputs={name: np.stack([result.outputs[name] for result in results]) for name in first.outputs},
        steps=first.steps,
        seconds=sum(result.seconds for result in results),
        kernels=joined_kernels(*results),
    )
