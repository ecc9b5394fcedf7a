"""A network that is shown one input after the other and keeps its state: a camera's frames, or one until it is sure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .encoders import Events
from .errors import InputError
from .graph import Network
from .increments import IncrementalRun, LayerIncrement, Savings
from .results.result import joined_kernels
from .results.state import check_is_state
from .simulation import Result, State, simulate
from .simulation.simulate import MAXIMUM_STEPS, check_record, check_whole

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
    exact_increments : bool
        Run the network from rest on each picture, as `simulate` does without a state, but compute only what is not as
        for the picture before, with the same bits. Takes single pictures; more than one step is run in full.

    Raises
    ------
    InputError
        If `steps` is no whole number, 1 or more, or `exact_increments` goes with other kernels than "auto".

    Attributes
    ----------
    state : State or None
        What the network carries; None before the first input and after `reset`, and with `exact_increments`. May be set
        to one that was kept.
    increments : dict of str to LayerIncrement
        With `exact_increments`, what was done for the last picture beside what a full run does, by layer; empty where
        it was run in full.
    savings : Savings
        With `exact_increments`, what was done for all pictures since the last `reset`, and which were run in full, why.

    Examples
    --------
    >>> stream = Stream(network, steps=2)  # doctest: +SKIP
    >>> for frame in frames:  # doctest: +SKIP
    ...     output = stream.push(frame).output
    """

    def __init__(
        self,
        network: Network,
        steps: int = 1,
        threads: int | None = None,
        kernels: str | Collection[str] = "auto",
        exact_increments: bool = False,
    ) -> None:
        if not isinstance(exact_increments, (bool, np.bool_)):
            raise InputError(f"exact_increments must be True or False (got {exact_increments!r})")
        if exact_increments and kernels != "auto":
            raise InputError(f"exact_increments chooses kernels itself; leave kernels out (got {kernels!r})")
        self.network = network
        self.steps = check_whole("steps", steps, MAXIMUM_STEPS)
        self.threads = threads
        self.kernels = kernels
        self.state: State | None = None
        self.increments: dict[str, LayerIncrement] = {}
        self.savings = Savings()
        self._by_increments = IncrementalRun(network, self.steps, threads) if exact_increments else None

    def reset(self) -> None:
        """Forget all inputs so far."""
        self.state = None
        self.increments = {}
        self.savings = Savings()
        if self._by_increments is not None:
            self._by_increments.reset()

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
            events have steps of their own. With `exact_increments` (C, H, W) alone.
        record : collection of str
            As `simulate` takes it.
        time_axis : int, optional
            Likewise.

        Returns
        -------
        Result
            Of these steps: its output is the mean over them, its counts are theirs alone. With `exact_increments` both
            are those of a full run; `kernels` has "changes" for a layer that was brought up to date from change to
            change, and "none" for one that read nothing that had changed.

        Raises
        ------
        InputError, RangeError
            As `simulate` raises them; the state then stays as it was. With `exact_increments` also for a network that
            cannot be run so, and for `record`, `time_axis` and a state, which it knows none of.
        """
        if self._by_increments is not None:
            return self._push_by_increments(self._by_increments, x, record, time_axis)
        before = None if self.state is None else check_is_state(self.state).without_readouts()
        # Events have steps of their own, as frames along a time axis have.
        own = time_axis is not None or any(isinstance(each, Events) for each in self.network.encoded.values())
        return self._run(x, record, time_axis, None if own else self.steps, before)

    def _push_by_increments(
        self,
        run: IncrementalRun,
        x: ArrayLike | Mapping[str, ArrayLike],
        record: Collection[str],
        time_axis: int | None,
    ) -> Result:
        for name, given in (("record", record or None), ("time_axis", time_axis), ("a state", self.state)):
            if given is not None:
                raise InputError(f"exact_increments takes single pictures from rest, without {name}; leave it out")
        result, self.increments = run.show(x)
        self.savings += run.savings
        return result

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
            Of all steps, of which `steps` says how many there were: its output is the mean over them, its counts are
            those of all of them, the input's current each time that it was computed, every `steps` of the stream; the
            artificial network is counted once.

        Raises
        ------
        InputError, RangeError
            As `simulate` raises them, and for options out of range.
        """
        if self._by_increments is not None:
            raise InputError("run_until_stable goes on from a state; use a Stream without exact_increments")
        check_whole("most_steps", most_steps, MOST_STEPS, least=self.steps)
        check_stopping(tolerance, patience)
        if not isinstance(labels, (bool, np.bool_)):
            raise InputError(f"labels must be True or False (got {labels!r})")
        result = self._run(x, (), None, self.steps, None)
        unchanged = 0
        while unchanged < patience and result.state.steps + self.steps <= most_steps:
            before, result = result, _followed_by(result, self._run(x, (), None, self.steps, result.state))
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
            record=check_record(record, self.network) | {"state"},
            kernels=self.kernels,
            time_axis=time_axis,
            state=before,
        )
        self.state = result.state
        return result


def check_stopping(tolerance: object, patience: object) -> None:
    """InputError where these are none of `Stream.run_until_stable`."""
    check_whole("patience", patience, MOST_STEPS)
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        raise InputError(f"tolerance must be a number, 0 or more (got {tolerance!r})")


def _followed_by(first: Result, later: Result) -> Result:
    """A run and one that went on from its state as one: what was carried and put out at its end, the counts of both."""
    return replace(
        later,
        steps=first.steps + later.steps,
        operations=first.operations.followed_by(later.operations),
        seconds=first.seconds + later.seconds,
        kernels=joined_kernels(first, later),
    )


def _largest_change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float(np.abs(after - before).max(initial=0))


def _share_of_labels(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    return float((before.argmax(axis=-3) != after.argmax(axis=-3)).mean())
