"""A network that is shown one input after the other and keeps its state: a camera's frames, or one until it is sure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .encoders import Events
from .errors import InputError
from .graph import Network
from .simulation import Result, State, simulate
from .simulation.simulate import MAXIMUM_STEPS, check_record, check_whole
from .simulation.state import check_is_state

MOST_STEPS = 1_000


class Stream:
    """A network that runs for as long as it is shown something.

    Parameters
    ----------
    network : Network
    steps : int
        Steps for which each input is shown.
    threads : int, optional
        As `simulate` takes them.
    kernels : str or collection of str
        Likewise.

    Raises
    ------
    InputError
        If `steps` is no whole number, 1 or more.

    Attributes
    ----------
    state : State or None
        What the network carries; None before the first input and after `reset`. May be set to one that was kept.

    Examples
    --------
    >>> stream = Stream(network, steps=2)  # doctest: +SKIP
    >>> for frame in frames:  # doctest: +SKIP
    ...     output = stream.push(frame).output
    """

    def __init__(
        self, network: Network, steps: int = 1, threads: int | None = None, kernels: str | Collection[str] = "auto"
    ) -> None:
        self.network = network
        self.steps = check_whole("steps", steps, MAXIMUM_STEPS)
        self.threads = threads
        self.kernels = kernels
        self.state: State | None = None

    def reset(self) -> None:
        """Forget all inputs so far."""
        self.state = None

    def push(
        self,
        x: ArrayLike | Mapping[str, ArrayLike],
        record: Collection[str] = (),
        time_axis: int | None = None,
    ) -> Result:
        """Show the network an input, and go on from what it carries.

        Parameters
        ----------
        x : (C, H, W) or (N, C, H, W) float32, or EventStream
            As `simulate` takes it, all of one size until the next `reset`. With `time_axis` several, a step each;
            events have steps of their own.
        record : collection of str
            As `simulate` takes it.
        time_axis : int, optional
            Likewise.

        Returns
        -------
        Result
            Of these steps: its output is the mean over them, its counts are theirs alone.

        Raises
        ------
        InputError, RangeError
            As `simulate` raises them; the state then stays as it was.
        """
        before = None if self.state is None else check_is_state(self.state).without_readouts()
        # Events have steps of their own, as frames along a time axis have.
        own = time_axis is not None or any(isinstance(each, Events) for each in self.network.encoded.values())
        return self._run(x, record, time_axis, None if own else self.steps, before)

    def run_until_stable(
        self,
        x: ArrayLike | Mapping[str, ArrayLike],
        tolerance: float = 0.0,
        patience: int = 1,
        most_steps: int = 64,
        labels: bool = False,
    ) -> Result:
        """Show the network an input, from rest, until its output hardly changes: easy inputs take few steps.

        Parameters
        ----------
        x : (C, H, W) or (N, C, H, W) float32
        tolerance : float
            Largest change of the output, the mean since the first step, that counts as none; with `labels` the largest
            share of the pixels whose label changes.
        patience : int
            How many times in a row it must not have changed; it is looked at every `steps` steps.
        most_steps : int
            When to stop at the latest.
        labels : bool
            Whether the output is scores of classes, of which only the highest counts: of all layers' channels, the
            first axis.

        Returns
        -------
        Result
            Of the last steps; its output is the mean over all steps, of which `state.steps` says how many there were.

        Raises
        ------
        InputError, RangeError
            As `simulate` raises them, and for options out of range.
        """
        check_whole("most_steps", most_steps, MOST_STEPS, least=self.steps)
        check_whole("patience", patience, MOST_STEPS)
        if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not tolerance >= 0:
            raise InputError(f"tolerance must be a number, 0 or more (got {tolerance!r})")
        if not isinstance(labels, (bool, np.bool_)):
            raise InputError(f"labels must be True or False (got {labels!r})")
        result = self._run(x, (), None, self.steps, None)
        unchanged = 0
        while unchanged < patience and result.state.steps + self.steps <= most_steps:
            before, result = result, self._run(x, (), None, self.steps, result.state)
            pairs = [(before.outputs[name], output) for name, output in result.outputs.items()]
            change = max(_share_of_labels(*pair) if labels else _largest_change(*pair) for pair in pairs)
            unchanged = unchanged + 1 if change <= tolerance else 0
        return result

    def _run(
        self,
        x: ArrayLike | Mapping[str, ArrayLike],
        record: Collection[str],
        time_axis: int | None,
        steps: int | None,
        before: State | None,
    ) -> Result:
        result = simulate(
            self.network,
            x,
            steps,
            threads=self.threads,
            record=check_record(record) | {"state"},
            kernels=self.kernels,
            time_axis=time_axis,
            state=before,
        )
        self.state = result.state
        return result


def _largest_change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float(np.abs(after - before).max(initial=0))


def _share_of_labels(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float((before.argmax(axis=-3) != after.argmax(axis=-3)).mean())
