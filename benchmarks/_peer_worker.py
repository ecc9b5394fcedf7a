"""One process of benchmarks/peers.py, pinned to so many processors: measures, checks or scores; prints JSON lines.

The number of threads is set before anything that starts threads is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time


def pin(threads: int) -> list[int]:
    """Keep this process, and all threads that it will start, on the first `threads` processors that it may use."""
    processors = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, processors)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)
    return processors


PAUSE = 0.1
"""Seconds before each measurement, so that threads of the one before have stopped spinning."""


def artificial(network, threads: int, wanted: list[str]) -> dict:
    """The artificial networks of those wanted, functions of a picture by name."""
    import torch
    from _peer_ann import OnnxAnn, TorchAnn
    from _peer_int8 import Int8Ann
    from _peer_openvino import OpenVinoAnn

    makers = {
        "ann-torch": lambda: TorchAnn(network),
        "ann-torch-bf16": lambda: TorchAnn(network, torch.bfloat16),
        "ann-onnxruntime": lambda: OnnxAnn(network, threads),
        "ann-onnxruntime-int8": lambda: Int8Ann(network, threads),
        "ann-openvino": lambda: OpenVinoAnn(network, threads),
        "ann-openvino-bf16": lambda: OpenVinoAnn(network, threads, "bf16"),
        "ann-openvino-int8": lambda: OpenVinoAnn(network, threads, "int8"),
    }
    return {name: make().run for name, make in makers.items() if name in wanted}


def simulators(network, threads: int, wanted: list[str]) -> dict:
    """Functions of (picture, steps) by name; those that know integrate-and-fire only get such a network."""
    from _peer_dense import Optimised, Straightforward
    from _peer_frameworks import SnnTorch, SpikingJelly

    from spikeunet.engine import IntegrateAndFire, simulate

    fires = network.with_neurons(IntegrateAndFire())

    def engine(net, kernels="auto"):
        return lambda picture, steps: simulate(net, picture, steps, threads=threads, kernels=kernels)

    def ann(run):
        return lambda picture, _: run(picture)

    makers = {
        "engine": lambda: engine(network),
        "engine-vnni": lambda: engine(network, ("events", "vnni")),
        "engine-events": lambda: engine(network, "events"),
        "engine-event-integers": lambda: engine(network, "event-integers"),
        "optimised": lambda: Optimised(network, threads).run,
        "straightforward": lambda: Straightforward(network).run,
        "if-engine": lambda: engine(fires),
        "if-optimised": lambda: Optimised(fires, threads).run,
        "if-spikingjelly": lambda: SpikingJelly(fires).run,
        "if-snntorch": lambda: SnnTorch(fires).run,
    }
    anns = {name: ann(run) for name, run in artificial(network, threads, wanted).items()}
    return {name: anns[name] if name in anns else makers[name]() for name in wanted}


def measure(task: dict) -> None:
    """Time every simulator, one after the other, round after round."""
    from _peer_pictures import noisy_picture

    from spikeunet.engine import load_model

    network = load_model(task["model"])
    runs = simulators(network, task["threads"], task["simulators"])
    for size in task["sizes"]:
        picture = noisy_picture(size)
        for steps in task["steps"]:
            most = task["pixels"]
            here = {name: run for name, run in runs.items() if most[name] is None or size * size * steps <= most[name]}
            for name, run in here.items():
                # Kernels are compiled for a number of steps; slow simulators compile nothing, and one run is enough.
                if most[name] is None or steps == min(task["steps"]):
                    run(picture, steps)
            for repeat in range(max(task["repeats"].values())):
                for name, run in here.items():
                    if repeat < task["repeats"][name]:
                        time.sleep(PAUSE)
                        if most[name] is None:
                            # Processors that have idled are slow for some milliseconds, and more so for two threads;
                            # those of some of the simulators have not, because threads of the one before still spin.
                            run(picture, steps)
                        begin = time.perf_counter()
                        run(picture, steps)
                        seconds = time.perf_counter() - begin
                        say(size=size, steps=steps, simulator=name, repeat=repeat, seconds=seconds)


def check(task: dict) -> None:
    """Compare spikes with the engine's: of the exact twin, where all must be equal, and of the network as it is."""
    from _peer_check import compare, exact_twin
    from _peer_dense import Optimised, Straightforward
    from _peer_frameworks import SnnTorch, SpikingJelly
    from _peer_pictures import noisy_picture

    from spikeunet.engine import IntegrateAndFire, forward, load_model

    picture, threads, steps = noisy_picture(task["size"]), task["threads"], task["steps"]
    network = load_model(task["model"])
    known = {
        "straightforward": (network, Straightforward),
        "optimised": (network, lambda net: Optimised(net, threads)),
        "if-optimised": (network.with_neurons(IntegrateAndFire()), lambda net: Optimised(net, threads)),
        "if-spikingjelly": (network.with_neurons(IntegrateAndFire()), SpikingJelly),
        "if-snntorch": (network.with_neurons(IntegrateAndFire(strict=True)), SnnTorch),
    }
    for name in task["simulators"]:
        if name in known:
            original, make = known[name]
            twin, rounded, bits = exact_twin(original, picture, steps)
            for kind, net, shown in (("twin", twin, rounded), ("model", original, picture)):
                found, gap = compare(net, shown, steps, make(net).run)
                say(simulator=name, kind=kind, bits=bits, share=found.share, density=found.fired / found.compared,
                    different=found.different, compared=found.compared, gap=gap)  # fmt: skip
    expected, _ = forward(network, picture)
    for name, run in artificial(network, threads, task["simulators"]).items():
        gaps = run(picture) - expected
        error = float((gaps**2).mean() ** 0.5 / (expected**2).mean() ** 0.5)
        say(simulator=name, kind="model", gap=float(abs(gaps).max()), largest=float(abs(expected).max()), error=error)


def quality(task: dict) -> None:
    """PSNR of the picture that is measured, by size and steps; of the artificial networks, which have none, as 0."""
    from _common import restored_by_steps
    from _peer_pictures import clean_picture, noisy_picture

    from spikeunet.engine import IntegrateAndFire, load_model, psnr

    network = load_model(task["model"])
    spiking = {"engine": network, "if-engine": network.with_neurons(IntegrateAndFire())}
    anns = artificial(network, task["threads"], task["simulators"])
    for size in task["sizes"]:
        clean, noisy = clean_picture(size), noisy_picture(size)
        say(size=size, simulator="noisy", steps=0, psnr=psnr(clean, noisy[0]))
        for name in task["simulators"]:
            if name in anns:
                say(size=size, simulator=name, steps=0, psnr=psnr(clean, (noisy - anns[name](noisy))[0].clip(0, 1)))
            elif name in spiking:
                for steps, (restored, _) in restored_by_steps(spiking[name], noisy[0], task["steps"]).items():
                    say(size=size, simulator=name, steps=steps, psnr=psnr(clean, restored))


def say(**fields) -> None:
    """Print a JSON line."""
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Do the task that the first argument describes."""
    task = json.loads(sys.argv[1])
    processors = pin(task["threads"])

    import torch

    torch.set_num_threads(task["threads"])
    say(processors=processors)
    {"measure": measure, "check": check, "quality": quality}[task["kind"]](task)


if __name__ == "__main__":
    main()
