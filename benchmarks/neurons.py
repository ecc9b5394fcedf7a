"""Neurons at speed: samples a second beside snnTorch on the CPU and a plain NumPy loop, with the same spikes.

A fully connected layer of 256 inputs and 256 neurons, and a readout of 10; N samples, each with spikes of its own at
each of 25 steps, which all three take as one array of zeros and ones over time. In each run the engine's spikes,
snnTorch's and the loop's are compared, all of them, before any time is taken; then the three take turns. Weights and
decays are dyadic, so that few sums are rounded.

    python benchmarks/neurons.py [--neurons Leaky,RSynaptic] [--batches 1,16,128] [--shares 0.02,0.1,0.5] [--threads 1]

`--scaling` says what threads gain, by wall clock and of the engine alone, because PyTorch's and NumPy's threads keep
processors busy for some time after their work; with these beside it `--threads 2 --clock wall` does. The ledger of
counts is worked out when it is asked for; with `--ledger` it is, in each run. `--half` takes no time: it says how many
spikes change where potentials are kept in half precision.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import statistics
import time

SIZE, STEPS, CLASSES = 256, 25, 10
_UNTIMED = 3  # runs before those that are timed: compiling, and memory that is new


def make_models():
    """By name: the engine's model, and what makes snnTorch's."""
    import snntorch

    from spikeunet.engine import AlphaNeuron, CurrentBasedLeakyIntegrateAndFire, Lapicque

    rise, fall = -0.001 / math.log(0.5), -0.001 / math.log(0.75)
    late = {"dt": 0.001, "integration": "euler", "late_reset": True, "strict": True}
    return {
        "Leaky": (Lapicque(0.004, 4.0, **late), lambda: snntorch.Leaky(beta=0.75), 1),
        "Lapicque": (
            Lapicque(0.004, 4.0, **late),
            lambda: snntorch.Lapicque(R=4.0, C=0.001, time_step=0.001),
            1,
        ),
        "Synaptic": (
            CurrentBasedLeakyIntegrateAndFire(0.002, 0.004, 2.0, 4.0, **late),
            lambda: snntorch.Synaptic(alpha=0.5, beta=0.75),
            2,
        ),
        "Alpha": (AlphaNeuron(rise, fall, dt=0.001), lambda: snntorch.Alpha(alpha=0.75, beta=0.5), 3),
        "RLeaky": (Lapicque(0.004, 4.0, **late), lambda: snntorch.RLeaky(beta=0.75, linear_features=SIZE), 1),
        "RSynaptic": (
            CurrentBasedLeakyIntegrateAndFire(0.002, 0.004, 2.0, 4.0, **late),
            lambda: snntorch.RSynaptic(alpha=0.5, beta=0.75, linear_features=SIZE),
            2,
        ),
    }


def make_weights(name):
    """Forward and, of a recurrent layer, backward weights: multiples of 1/64."""
    import numpy as np

    generator = np.random.default_rng(0)
    forward = (np.round(generator.normal(0, 8, (SIZE, SIZE))) / 64).astype(np.float32)
    backward = (np.round(generator.normal(-1, 4, (SIZE, SIZE))) / 64).astype(np.float32)
    return forward, backward if name in ("RLeaky", "RSynaptic") else None


def make_inputs(batch, share):
    """(T, N, inputs) float32 of 0 and 1."""
    import numpy as np

    return (np.random.default_rng(1).random((STEPS, batch, SIZE)) < share).astype(np.float32)


def make_network(model, forward, backward):
    """Full connections of pictures of one pixel, each of them a sample."""
    from spikeunet.engine import Add, Events, Input, Linear, Network, Neurons, Output

    nodes = [Linear("in", "input", forward), Neurons("neurons", "in", model)]
    if backward is not None:
        back = Linear("back", "neurons", backward, delay=1)
        nodes = [nodes[0], back, Add("sum", ("in", "back")), Neurons("neurons", "sum", model)]
    last = Linear("last", "neurons", make_readout())
    return Network([Input("input", SIZE, Events()), *nodes, last, Output("output", "last")])


def make_readout():
    import numpy as np

    return (np.round(np.random.default_rng(2).normal(0, 16, (CLASSES, SIZE))) / 64).astype(np.float32)


def engine_run(network, inputs, threads, record=(), ledger=False):
    from spikeunet.engine import simulate

    result = simulate(network, inputs[..., None, None], time_axis=0, threads=threads, record=record)
    return result.operations if ledger else result


def snntorch_run(make, states, forward, backward, inputs):
    """Spikes (T, N, neurons) and the readout (N, classes) in PyTorch."""
    import snntorch
    import torch

    snntorch.SpikingNeuron.instances.clear()  # it keeps every neuron that was ever made
    neurons = make()
    weight = torch.from_numpy(forward.T.copy())
    state = [torch.zeros(inputs.shape[1], SIZE) for _ in range(states)]
    spikes = []
    with torch.no_grad():
        if backward is not None:
            neurons.recurrent.weight[:], neurons.recurrent.bias[:] = torch.from_numpy(backward), 0.0
            state = [torch.zeros(inputs.shape[1], SIZE), *state]
        for frame in torch.from_numpy(inputs):
            found = neurons(frame @ weight, *state)
            state = list(found if backward is not None else found[1:])
            spikes.append(found[0])
        spikes = torch.stack(spikes)
        return spikes.numpy(), (spikes.mean(0) @ torch.from_numpy(make_readout()).T).numpy()


def numpy_run(model, forward, backward, inputs, kept=None):
    """The same as equations on arrays, one step after the other; `kept` rounds what is left for the next one."""
    import numpy as np

    batch, weight = inputs.shape[1], forward.T.copy()
    zero = np.zeros((batch, SIZE), np.float32)
    v, first, second, spike = zero, zero, zero, zero
    names = {name: np.float32(getattr(model, name)) for name in _CONSTANTS if hasattr(model, name)}
    back = None if backward is None else backward.T.copy()
    spikes = np.empty((len(inputs), batch, SIZE), np.float32)
    for step, frame in enumerate(inputs):
        current = frame @ weight
        if back is not None:
            current = current + spike @ back
        if "rising" in names:
            quiet = 1 - spike
            first = (names["falling"] * first + current) * quiet
            second = (names["rising"] * second - current) * quiet
            v = names["scale"] * (first + second)
        else:
            if "syn_decay" in names:
                first = current = names["syn_decay"] * first + names["syn_gain"] * current
            v = names["decay"] * v + names["gain"] * current - spike * names["threshold"]
        if kept is not None:
            v, first, second = kept(v), kept(first), kept(second)
        spike = (v > names["threshold"]).astype(np.float32)
        spikes[step] = spike
    return spikes, spikes.mean(0) @ make_readout().T


_CONSTANTS = ("decay", "gain", "threshold", "syn_decay", "syn_gain", "rising", "falling", "scale")


def half_precision_run(model, forward, backward, inputs):
    """Spikes as of `numpy_run`, had it kept potentials and synaptic currents in float16 from step to step."""
    import numpy as np

    def kept(state):
        return state.astype(np.float16).astype(np.float32)

    return numpy_run(model, forward, backward, inputs, kept)[0]


def compare_half(names, batch, share):
    """Print how many spikes, and spike trains of a neuron and a sample, half precision changes."""
    print("| neuron | spikes that differ, of those there are | spike trains that differ |\n|---|---|---|")
    for name in names:
        model, *_ = make_models()[name]
        given = model, *make_weights(name), make_inputs(batch, share)
        expected, found = numpy_run(*given)[0], half_precision_run(*given)
        different = expected != found
        print(f"| {name} | {different.sum() / expected.sum():.2%} | {different.any(0).mean():.2%} |", flush=True)


def compare_threads(names, batches, shares, threads, repeat):
    """Print samples a second with one thread, and with more, which take turns."""
    print("| neuron | batch | inputs that spike | threads | samples/s | times as many |\n|---|---|---|---|---|---|")
    for name in names:
        network = make_network(make_models()[name][0], *make_weights(name))
        for batch in batches:
            for share in shares:
                inputs = make_inputs(batch, share)
                runs = [functools.partial(engine_run, network, inputs, number + 1) for number in range(threads)]
                times = timed(runs, repeat, time.perf_counter)
                for number, each in enumerate(times, 1):
                    median, least, most = _rate(batch, each)
                    gain = times[0][0] / each[0]
                    rate = f"{median:,.0f} ({least:,.0f} to {most:,.0f})"
                    print(f"| {name} | {batch} | {share:.0%} | {number} | {rate} | {gain:.2f} |", flush=True)


def timed(functions, repeat, clock):
    """Median, least and most seconds of `repeat` runs of functions that take turns, after some that may compile."""
    times = [[] for _ in functions]
    for number in range(-_UNTIMED, repeat):
        for function, of_function in zip(functions, times, strict=True):
            begin = clock()
            function()
            if number >= 0:
                of_function.append(clock() - begin)
    return [(statistics.median(each), min(each), max(each)) for each in times]


def compare(name, batch, share, threads, repeat, clock, ledger):
    """One row: spikes compared, then all three timed."""
    import numpy as np

    model, make, states = make_models()[name]
    forward, backward = make_weights(name)
    inputs = make_inputs(batch, share)
    network = make_network(model, forward, backward)
    spikes = engine_run(network, inputs, threads, ("spikes",)).spikes["neurons"]
    found = spikes[..., 0, 0].swapaxes(0, 1)
    expected, _ = snntorch_run(make, states, forward, backward, inputs)
    plain, _ = numpy_run(model, forward, backward, inputs)
    if not (np.array_equal(found != 0, expected != 0) and np.array_equal(found != 0, plain != 0)):
        different = int((found != expected).sum()), int((found != plain).sum())
        raise SystemExit(
            f"{name}, batch {batch}, {share:.0%}: spikes differ from snnTorch's and the loop's: {different}"
        )
    runs = (
        lambda: engine_run(network, inputs, threads, (), ledger),
        lambda: snntorch_run(make, states, forward, backward, inputs),
        lambda: numpy_run(model, forward, backward, inputs),
    )
    return [
        name,
        batch,
        share,
        float((found != 0).mean()),
        *(_rate(batch, each) for each in timed(runs, repeat, clock)),
    ]


def _rate(batch, times):
    """Samples a second: median, lowest, highest."""
    median, least, most = times
    return batch / median, batch / most, batch / least


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", default="Leaky,Lapicque,Synaptic,Alpha,RLeaky,RSynaptic")
    parser.add_argument("--batches", default="1,16,128")
    parser.add_argument("--shares", default="0.02,0.1,0.5")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--ledger", action="store_true")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--clock", choices=("processor", "wall"), default="processor")
    arguments = parser.parse_args()
    if arguments.half:
        compare_half(arguments.neurons.split(","), 128, 0.1)
        return
    if arguments.scaling:
        batches = [int(each) for each in arguments.batches.split(",")]
        shares = [float(each) for each in arguments.shares.split(",")]
        compare_threads(arguments.neurons.split(","), batches, shares, arguments.threads, arguments.repeat)
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)
    import torch
    from _common import machine

    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.clock == "processor" else time.perf_counter
    print(
        f"{machine()}; {arguments.threads} threads each; {SIZE} inputs, {SIZE} neurons, {STEPS} steps; medians of "
        f"{arguments.repeat} (lowest to highest), {arguments.clock} time"
    )
    print("| neuron | batch | inputs that spike | neurons that fire | engine / samples/s | snnTorch | NumPy | ratios |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.neurons.split(","):
        for batch in map(int, arguments.batches.split(",")):
            for share in map(float, arguments.shares.split(",")):
                *_, fired, engine, torch_rate, numpy_rate = compare(
                    name, batch, share, arguments.threads, arguments.repeat, clock, arguments.ledger
                )
                rates = [
                    f"{median:,.0f} ({least:,.0f} to {most:,.0f})"
                    for median, least, most in (engine, torch_rate, numpy_rate)
                ]
                ratios = [f"{engine[0] / other[0]:.1f}" for other in (torch_rate, numpy_rate)]
                print(
                    "| "
                    + " | ".join([name, str(batch), f"{share:.0%}", f"{fired:.1%}", *rates, ", ".join(ratios)])
                    + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
