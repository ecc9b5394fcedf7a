"""`simulate`: check the arguments once, build the network for the picture's shape, run it in one of two orders."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..binding import allowed_kernels, build_program
from ..binding.bounds import check_counts, watched
from ..errors import InputError
from ..events import STEPS_PER_QUEUE
from ..graph import Network
from ..inputs.event_inputs import Given, check_encoded, without_events
from ..inputs.pictures import check_input, shown_steps
from ..results.batch import of_batch
from ..results.result import RECORDABLE, Result
from ..results.state import State, check_state
from ..samples.given import given_samples
from ..samples.plan import sample_plan
from ..samples.recording import SampleRecorder
from ..samples.run import SampleRun
from ..threads import WorkerThreads, available_processors
from .picture_run import PictureRun
from .probes import is_trace, probed, trace_names
from .tiles.tile_size import choose_tile
from .tiles.tiling import TiledRun

ORDERS = ("layer", "time")
MAXIMUM_STEPS = 100_000
MAXIMUM_ROWS = 1 << 30


def simulate(
    network: Network,
    x: ArrayLike | Given | Mapping[str, ArrayLike | Given],
    steps: int | None = None,
    order: str = "layer",
    threads: int | None = None,
    record: Collection[str] = (),
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    time_axis: int | None = None,
    state: State | None = None,
    probes: Mapping[str, ArrayLike] | None = None,
) -> Result:
    """Run a spiking network on one picture or a batch.

    Layers act in topological order within a step: what a layer emits at step t reaches the next one at step t. The
    spikes are the same in both orders and for any number of threads.

    Parameters
    ----------
    network : Network
    x : (C, H, W) or (N, C, H, W) float32
        Analog input, injected at every step (direct coding). Of four axes the first one is a batch and never time: N
        pictures that know nothing of each other, each run for all `steps`. Of a network with several inputs a mapping
        of their names to such arrays, all of one height and width. The size must suit the network: see
        `Network.size_multiple`, to which `denoise` pads. With `time_axis`, input that changes: (T, C, H, W), or
        (T, N, C, H, W) or (N, T, C, H, W) of a batch. For an Input whose encoder is `Events` what `bin_events` returns,
        a list of these for a batch, or EventQueues one after the other; or, with `time_axis`, such an array of counts
        of spikes, of any kind of numbers.
    steps : int, optional
        Number of time steps T; by default 8, or as many as x has along `time_axis` or in events.
    order : "layer" or "time"
        Layer by layer, each over eight steps at a time (fast), or step by step over all layers. Of a network with
        loops, layers that are parts of one always go step by step together.
    threads : int, optional
        Worker threads; by default as many as the process may use processors (of a container's quota, whole ones).
    record : collection of str
        What to keep besides the output: "spikes", "membrane", "spike_count", "readout". Each is a dense array for every
        layer (or, for the readout, every step); without it memory follows the number of events. "state" is what another
        run needs to go on, see `state`. "traces" are all state variables of neurons after each step, "traces.membrane"
        the one of that name, in `Result.traces`: of all neurons, or of those that `probes` names. The network is then
        run step by step.
    tile : int, optional
        Rows of the picture to work on at a time, with the same spikes, output and counts: memory then follows the
        picture's width, not its height. By default all rows, or fewer where the events of all would need more than
        1 GiB. Layer by layer only.
    kernels : str or collection of str
        Which kernels may compute currents; changes nothing but the time. `Result.kernels` says what each layer used.
        "auto": from event to event, or with silent neurons where that is faster at the activity that is met; in
        integers wherever the weights are (see `quantize_weights`) and the processor is fast at that. "events": from
        event to event, in float32. "event-integers": from event to event, in integers. "integers": in integers, with
        silent neurons, whatever fires. Otherwise one or more of "events", "event-integers", "amx", "vnni" and
        "portable", the last three being kinds of kernels in integers, with silent neurons; a layer that none of them
        can compute runs from event to event.
    time_axis : int, optional
        Which axis of x are steps, 0 or, of a batch, 0 or 1: each step has an input of its own. Never guessed. An input
        that stays the same for some steps is computed once.
    state : State, optional
        What another run has left, of the same network on pictures of the same size: this one goes on where that
        stopped, with the spikes, potentials and output of one run of all steps. `Result.state` of a run that recorded
        "state", or went on itself.
    probes : mapping of str to (n, 3) int, optional
        By Neurons node, (channel, row, column) of neurons whose state variables, all or those that `record` names, are
        noted after each step, in `Result.traces`. The network is then run step by step.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If x has another shape, is not floating-point, has NaN or infinities, or does not fit the network; if steps,
        order, threads, record, tile, kernels, time_axis or probes are out of range, or the processor does not have the
        kernels; if the state is that of another network or size; if so many steps may take more accumulates than 64
        bits count.
    RangeError
        If a potential, or another number of the run, leaves the range of float32.

    Notes
    -----
    Li et al., arXiv 2307.10974, section III; the order of events within a step does not matter.
    """
    if order not in ORDERS:
        raise InputError(f"order must be one of {', '.join(ORDERS)} (got {order!r})")
    if isinstance(kernels, str) and kernels == "auto" and tile is None and state is None and probes is None:
        begin = time.perf_counter()
        side_by_side = _side_by_side(network, x, steps, threads, record, time_axis)
        if side_by_side is not None:
            side_by_side.seconds = time.perf_counter() - begin
            return side_by_side
    arrays, streams, time_axis = without_events(network, x, time_axis)
    pictures, batched = check_input(network, arrays, time_axis)
    check_encoded(network, pictures)
    steps = _check_steps(steps, shown_steps(pictures, time_axis, streams))
    kinds = check_record(record, network)
    most = _most_threads(threads)
    traced = probes is not None or any(map(is_trace, kinds))
    goes_on = time_axis is not None or state is not None
    carries = bool(network.encoded) or goes_on or traced or "state" in kinds
    if tile is not None and (network.delays or carries):
        raise _refused_tile(tile, carries)
    program = build_program(network, pictures.shape[-3:], allowed_kernels(kernels))
    if state is not None:
        check_state(state, program, len(pictures) if batched else None)
    check_counts(program, steps + (0 if state is None else state.steps))
    what = probed(probes, kinds, program)
    height = pictures.shape[-2]
    most_steps = 1 if order == "time" or what is not None else STEPS_PER_QUEUE
    rows = check_tile(tile, order) or height
    if tile is None and order == "layer" and not (carries or network.delays):
        rows = program.known(("tile", steps), lambda: choose_tile(program, height, steps))

    def run(number: int) -> Result:
        given = program, pictures[number], steps, kinds, workers
        if rows < height:
            return TiledRun(*given, rows).run()
        before = state.of_picture(number) if state is not None and batched else state
        return PictureRun(*given, most_steps, before, what, number, streams[number] if streams else {}).run()

    begin = time.perf_counter()
    with WorkerThreads(most) as workers:
        results = [run(number) for number in range(len(pictures))]
    seconds = time.perf_counter() - begin
    if batched:
        return of_batch(results, seconds)
    results[0].seconds = seconds
    return results[0]


def _side_by_side(
    network: Network, x: Any, steps: int | None, threads: int | None, record: Collection[str], time_axis: int | None
) -> Result | None:
    """The run of a network in which no pixel meets another, see `sample_plan` and `SampleRun`.

    None of another network, and where more is asked for than such a run has.
    """
    kinds = check_record(record, network)
    if not (network.encoded and kinds <= SampleRecorder.KINDS):
        return None
    given = given_samples(network, x, time_axis)
    if given is None:
        return None
    program = build_program(network, (given.channels, *given.pixels), allowed_kernels())
    plan = sample_plan(program)
    if plan is None or watched(program, given.steps, 0.0):
        return None
    check_counts(program, _check_steps(steps, given.steps))
    with WorkerThreads(_most_threads(threads)) as workers:
        return SampleRun(plan, given, kinds).run(workers)


def _most_threads(threads: int | None) -> int:
    return available_processors() if threads is None else check_whole("threads", threads, 1024)


def _check_steps(steps: int | None, shown: int | None) -> int:
    """How many steps are to be run; `shown` is how many the input has, None where it does not change."""
    if steps is None:
        return check_whole("the steps of x", 8 if shown is None else shown, MAXIMUM_STEPS)
    steps = check_whole("steps", steps, MAXIMUM_STEPS)
    if shown is not None and steps != shown:
        raise InputError(
            f"steps must be {shown}, as many as x has along time_axis or in events, or left out (got {steps})"
        )
    return steps


def check_whole(name: str, value: object, most: int, least: int = 1) -> int:
    """`value` where it is a whole number in range; InputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most} (got {value!r})")
    return int(value)


def check_record(record: Collection[str], network: Network) -> frozenset[str]:
    """The kinds of recordings that are asked for; InputError where they are none."""
    if not isinstance(record, Iterable):
        raise InputError(f"record can name {', '.join(RECORDABLE)} (got {record!r})")
    kinds = [record] if isinstance(record, str) else list(record)
    unknown = [kind for kind in kinds if kind not in RECORDABLE]
    known = [*RECORDABLE, *trace_names(network)] if unknown else RECORDABLE
    unknown = sorted(str(kind) for kind in unknown if kind not in known)
    if unknown:
        raise InputError(f"record can name {', '.join(known)} (got {', '.join(unknown)})")
    return frozenset(kinds)


def check_tile(tile: int | None, order: str) -> int | None:
    """`tile` where it is a number of rows, or None, that suits the order; InputError otherwise."""
    if tile is None:
        return None
    if order != "layer":
        raise InputError(f"tile needs order 'layer' (got tile {tile!r} and order {order!r}); leave one of them out")
    return check_whole("tile", tile, MAXIMUM_ROWS)


def _refused_tile(tile: int, carries: bool) -> InputError:
    """What is said of a tile where all rows are to be run at each step."""
    of_delays = (
        f"needs a network without delays, which runs layer by layer (got tile {tile!r} and a network with delays)"
    )
    of_steps = f"cannot be had with time_axis, state, traces, probes or encoders (got tile {tile!r})"
    return InputError(f"tile {of_steps if carries else of_delays}; leave it out")
