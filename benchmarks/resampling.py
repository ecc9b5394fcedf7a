"""Learned resampling on Set5: PSNR of luma beside the published figures, and time beside scikit-image's bicubic.

Beside LeRF's tables a spiking network at each number of steps, and its ANN; it takes the place of both of the tables'
stages, or of the second one. Then what the network takes, as `spikeunet resample` prints the mean over a folder:
operations for each pixel of the small picture, all channels together and the margin around them counted, and
millijoules a picture of 45 nm CMOS in 32 bits, memory left out, in the reading of events that is true of the network.

    python benchmarks/resampling.py FOLDER [--tables lerf-g] [--model resample-small] [--threads 1]

FOLDER holds Set5/HR, Set5/LR_bicubic/rrLR_X2.00_2.00 and so on, and folders of tables.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

PUBLISHED = {"LeRF-G": {2: 35.71, 3: 32.02, 4: 30.15}, "LeRF-L": {2: 34.84, 3: 30.72, 4: 29.13}}


def pairs(folder, scale):
    """Small and large pictures, (H, W, 3) uint8."""
    from spikeunet.engine import read_picture

    for path in sorted((folder / "Set5/HR").iterdir()):
        yield read_picture(folder / f"Set5/LR_bicubic/rrLR_X{scale}.00_{scale}.00" / path.name), read_picture(path)


def luma_psnr(found, large, scale):
    """As the authors measure it: results in 8 bits, the outermost `scale` pixels left out."""
    from spikeunet.engine import psnr

    height, width = np.minimum(found.shape, large.shape)[:2]
    inner = np.s_[scale : height - scale, scale : width - scale]
    luma = [each[inner] @ np.array([65.481, 128.553, 24.966]) / 255**2 for each in (large, found)]
    return psnr(*luma)


def bicubic(small, scale):
    from skimage.transform import resize

    size = (small.shape[0] * scale, small.shape[1] * scale)
    return np.rint(255 * np.clip(resize(small, size, order=3, mode="edge"), 0, 1)).astype(np.uint8)


def measured(function, folder, scale, repeat):
    """Mean PSNR, and the median processor milliseconds for all five."""
    scores = [luma_psnr(function(small, scale), large, scale) for small, large in pairs(folder, scale)]
    smalls, times = [small for small, _ in pairs(folder, scale)], []
    for _ in range(repeat):
        begin = time.process_time()
        for small in smalls:
            function(small, scale)
        times.append(time.process_time() - begin)
    return np.mean(scores), 1e3 * statistics.median(times)


def methods(tables, network, steps, threads):
    """By name: what enlarges a picture."""
    from spikeunet.engine import resample
    from spikeunet.engine.resampling import resample_by_tables

    beside = first_stage(tables, network)

    def by(number):
        return lambda small, scale: resample(small, scale, network, number, threads, tables=beside).picture

    found = {"bicubic, scikit-image": bicubic}
    found[tables.name] = lambda small, scale: resample_by_tables(small, tables, scale, threads)
    found["network, ANN"] = lambda small, scale: by_ann(small, scale, network, beside, threads)
    return found | {f"spiking, T = {number}": by(number) for number in steps}


def first_stage(tables, network):
    """The tables where the network stands in place of their second stage alone, else None."""
    from spikeunet.engine.resampling import WHOLE

    return None if network.channels[network.output.name] == WHOLE else tables


def by_ann(small, scale, network, tables, threads):
    """Enlarged by what the artificial network says."""
    from spikeunet.engine import forward
    from spikeunet.engine.resampling.enlargement import enlargement_of
    from spikeunet.engine.resampling.networks import question_of
    from spikeunet.engine.threads import using_threads

    with using_threads(threads):
        question = question_of(enlargement_of(small, (0.0, 255.0), scale, None, fine=tables is None), tables)
        return question.picture(forward(network, question.batch)[0])


def costs(folder, tables, network, steps, threads):
    """Rows of what the network takes for the small pictures at x2, means: of its ANN, and at each number of steps."""
    from spikeunet.engine import resample

    smalls = [small for small, _ in pairs(folder, 2)]
    for number in steps:
        runs = [resample(small, 2, network, number, threads, tables=first_stage(tables, network)) for small in smalls]
        if number == steps[0]:
            macs = [sum(run.result.dense_macs.values()) / run.pixels for run in runs]
            dense = [run.result.operations.energy().dense for run in runs]
            yield "ANN", "multiply-accumulate", statistics.fmean(macs), statistics.fmean(dense)
        operations = statistics.fmean(run.accumulates_per_pixel for run in runs)
        joules = statistics.fmean(run.joules() for run in runs)
        yield f"spiking, T = {number}", runs[0].result.operations.reading.name, operations, joules


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", default="lerf-g")
    parser.add_argument("--model", default="resample-small")
    parser.add_argument("--steps", default="1,2,4,8")
    parser.add_argument("--scales", default="2,3,4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    from _common import machine

    from spikeunet.engine import load_model
    from spikeunet.engine.resampling import read_tables

    print(f"{machine()}; {arguments.threads} threads; median of {arguments.repeat}")
    print("| method | scale | PSNR / dB | published | time of five pictures / ms |\n|---|---|---|---|---|")
    tables = read_tables(arguments.folder / arguments.tables)
    steps = [int(number) for number in arguments.steps.split(",")]
    network = load_model(arguments.model)
    for name, function in methods(tables, network, steps, arguments.threads).items():
        for scale in map(int, arguments.scales.split(",")):
            score, milliseconds = measured(function, arguments.folder, scale, arguments.repeat)
            published = PUBLISHED.get(name, {}).get(scale, "")
            print(f"| {name} | {scale} | {score:.2f} | {published} | {milliseconds:.0f} |", flush=True)
    print("\n| network | operations per pixel | which | mJ a picture |\n|---|---|---|---|")
    for name, reading, operations, joules in costs(arguments.folder, tables, network, steps, arguments.threads):
        print(f"| {name} | {operations:,.0f} | {reading} | {1e3 * joules:.3g} |", flush=True)


if __name__ == "__main__":
    main()
