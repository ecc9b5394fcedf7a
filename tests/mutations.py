"""Plant bugs in a copy of the engine and see that `spikeunet.engine.testing` catches each of them.

`python tests/mutations.py [NAME ...]` prints what caught each bug and exits with status 1 if one got away. Most bugs
are planted in Python, where no kernel has to be compiled again: kernels on disk are known by their source.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import spikeunet.engine

ENGINE = Path(spikeunet.engine.__file__).resolve().parent
"""The engine that the tests run, which may be an installed one."""

SEARCH = """
import sys, traceback
import spikeunet.engine
from hypothesis import Phase, given, settings
from spikeunet.engine import IntegrateAndFire, LeakyIntegrateAndFire, MultiThreshold, RefractoryLeakyIntegrateAndFire
from spikeunet.engine import SignedMultiThreshold
from spikeunet.engine.testing import check_all, check_neuron, checks, strategies
assert spikeunet.engine.__file__.startswith(sys.argv[1]), spikeunet.engine.__file__
examples = int(sys.argv[2])
options = dict(max_examples=examples, derandomize=True, database=None, phases=[Phase.generate], print_blob=False)
try:
    if sys.argv[3] == "queues":
        settings(**options, deadline=None)(given(strategies.event_queues())(lambda queue: checks.queue_counts(queue)))()
    if sys.argv[3] == "large":
        checks.threads_agree(checks.large_case())
    if sys.argv[4]:
        cases = strategies.cases(kinds=tuple(sys.argv[4].split()), sums=True, delays=True)
        check = getattr(checks, sys.argv[5])
        settings(**options, deadline=None)(given(cases)(lambda case: check(case)))()
    for model in (MultiThreshold(), IntegrateAndFire(), LeakyIntegrateAndFire(decay=0.5),
                  RefractoryLeakyIntegrateAndFire(decay=0.5), SignedMultiThreshold((1.0, 0.5), (0.75,))):
        check_neuron(model)
    check_all(**options)
except Exception as error:
    ours = [frame.name for frame in traceback.extract_tb(error.__traceback__) if "/testing/" in frame.filename]
    found = [name for name in ours if name not in ("check_all", "check_case", "on_random_networks", "run", "require")]
    where = found[0] if found else "?"
    print(f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:90]}")
    sys.exit(3)
"""


@dataclass(frozen=True)
class Mutation:
    """A bug: in `file`, `right` becomes `wrong`; found within so many examples of each search.

    With first = "queues" counts of random event queues are looked at first, which takes few kernels: those of a copy
    with a bug in a kernel have to be compiled again; with "large" a network that is cut into bands. With kinds of
    synapses, networks of those alone come next, of which `check` is asked. All else comes after that, for all bugs.
    """

    name: str
    file: str
    right: str
    wrong: str
    examples: int = 40
    first: str = "neurons"
    kinds: str = ""
    check: str = "check_case"


MUTATIONS = [
    Mutation(
        "wrong border of a convolution",
        "layers/taps.py",
        "tap * dilation - padding for tap in taps",
        "tap * dilation - min(padding, 1) for tap in taps",
    ),
    Mutation(
        "off by one in a concatenation",
        "binding/program.py",
        "offset += channels",
        "offset += channels - 1",
    ),
    Mutation(
        ">= for >",
        "neurons/firing.py",
        "compare = subtract if strict else",
        "compare = subtract if not strict else",
    ),
    Mutation(
        "reset to zero",
        "neurons/firing.py",
        'zero_reset = reset == "zero"',
        "zero_reset = True",
    ),
    Mutation(
        "lost event at the edge of a block of channels",
        "kernels/compact.py",
        "rows.channels, channels, levels, place, masks, mask)",
        "rows.channels, channels, levels, place, masks, mask)\n"
        "                place -= rows.channels % 8 == 0 and place > start[row, x]",
    ),
    Mutation(
        "swapped stride",
        "layers/conv2d.py",
        "zip(self.weight.shape[2:], self.stride,",
        "zip(self.weight.shape[2:], self.stride[::-1],",
    ),
    Mutation(
        "transposed convolution one pixel off",
        "layers/taps.py",
        "place = tap * dilation - padding",
        "place = tap * dilation - padding - 1",
    ),
    Mutation(
        "groups of a transposed convolution in the wrong order",
        "layers/kernels_of_groups.py",
        "kernel[:, :, whole, part] = taps[:, :, whole]",
        "kernel[:, :, whole, part] = taps[:, :, whole][:, :, ::-1]",
        examples=120,
    ),
    Mutation(
        "membrane forgotten from one group of steps to the next",
        "simulation/bands/phases.py",
        "LadderNeurons(self.layer.neuron, state.membrane, padded, state.membrane, padded)",
        "LadderNeurons(self.layer.neuron, self.layer.initial[0][0], 0, state.membrane, padded)",
    ),
    Mutation(
        "state of a registered neuron forgotten likewise",
        "simulation/bands/phases.py",
        "* padded, padded, False)",
        "* padded, padded, True)",
    ),
    Mutation(
        "spikes of a level counted as one",
        "kernels/count_by_level.py",
        "factor * spikes[level]",
        "factor",
        first="queues",
    ),
    Mutation(
        "events of the step before are read",
        "simulation/picture_run.py",
        "self._before = {name: self._queues[name].at(group.steps - 1) for name in lasting}",
        "self._before = self._before or {name: self._queues[name].at(group.steps - 1) for name in lasting}",
        kinds="scale conv2d",
    ),
    Mutation(
        "memory of events is given away while they are read",
        "simulation/memory/queue_memory.py",
        "if part[2] >= index]",
        "if part[2] > index]",
        first="large",
    ),
    Mutation(
        "fan-out of a pool without its padding",
        "layers/pool.py",
        "sliding_axis(*horizontal)",
        "sliding_axis(*horizontal[:2], 0)",
    ),
    Mutation(
        "one event too many for a byte of the counter",
        "kernels/count.py",
        "_FLUSH = 255",
        "_FLUSH = 256",
        first="queues",
    ),
    Mutation(
        "a carry lost where the bits of many levels are added",
        "kernels/bit_counts.py",
        "builder.or_(builder.and_(first, second), builder.and_(either, third))",
        "builder.and_(first, second)",
        first="queues",
    ),
    Mutation(
        "a neuron's first threshold counted alone",
        "results/recording.py",
        "table.spikes[levels]",
        "(levels > 0)",
    ),
    Mutation(
        "zero weights counted as effective",
        "binding/layer.py",
        "if not self.zero_weights:",
        "if True:",
    ),
    Mutation(
        "subnormal numbers are computed with",
        "kernels/float_mode.py",
        "_write(mode & ~_FLUSHING | bits)",
        "_write(mode)",
    ),
    Mutation(
        "what is left of a registered neuron may be subnormal",
        "kernels/stepped.py",
        "return 0.0 if abs(number) < _SMALLEST else number",
        "return number",
    ),
    Mutation(
        "the positive side's quantum on the negative side",
        "neurons/signed_multi_threshold.py",
        "max(1.0, down / quantum_below)",
        "max(1.0, down / quantum)",
    ),
    Mutation(
        "padding may be the largest",
        "layers/max_pool2d.py",
        "self.padding[1], self.padding[1] + width)",
        "0, 2 * self.padding[1] + width)",
        kinds="max_pool2d conv2d",
    ),
    Mutation(
        "sums of a max pool forgotten from one group of steps to the next",
        "simulation/currents/values.py",
        "self.state.synaptic[first:last]",
        "self.state.synaptic[first:last].copy()",
        kinds="max_pool2d conv2d",
    ),
    Mutation(
        "the last of several largest is let through",
        "kernels/max_pool.py",
        "if sums[tap] > after:",
        "if sums[tap] >= after:",
        kinds="max_pool2d conv2d",
    ),
    Mutation(
        "shares of neighbours swapped where a picture is enlarged",
        "layers/upsample.py",
        "low * (1 - share) + values.take(side.high - first, axis) * share",
        "low * share + values.take(side.high - first, axis) * (1 - share)",
        kinds="upsample conv2d",
    ),
    Mutation(
        "the last part of a sum is lost",
        "simulation/bands/phases.py",
        "for place, each in enumerate(self._summands):",
        "for place, each in enumerate(self._summands[:-1]):",
        kinds="conv2d",
    ),
    Mutation(
        "what the second part of a sum meets is counted for the first one",
        "simulation/bands/bound_program.py",
        "own, counts = counts[: len(queues)], counts[len(queues) :]",
        "own = counts[: len(queues)]",
        examples=200,
        kinds="conv2d",
    ),
    Mutation(
        "few channels read a row of the picture below their own",
        "kernels/picture_rows.py",
        "read = y * taps.step_y + taps.rows[row]",
        "read = y * taps.step_y + taps.rows[row] + 1",
        kinds="conv2d",
    ),
    Mutation(
        "every part of a sum reads the rows of the first one",
        "simulation/tiles/tiling.py",
        "zip(layer.parts, step.windows, pictures, strict=True)",
        "zip(layer.parts, step.windows[:1] * len(step.windows), pictures, strict=True)",
        kinds="conv2d",
        check="tiles_agree",
    ),
    Mutation(
        "counts of a delay at the step before",
        "results/run_counts.py",
        "arrived[..., delay:] = fired[..., :-delay]",
        "arrived[...] = fired",
        kinds="scale conv2d",
    ),
    Mutation(
        "a delay that is none",
        "simulation/picture_run.py",
        "return one_step_later(before, emitted)",
        "return emitted",
        kinds="scale conv2d",
        check="equals_dense",
    ),
    Mutation(
        "channels of a depthwise convolution in the wrong order",
        "layers/conv2d.py",
        "currents.swapaxes(3, 4).reshape(*shape[:3], -1)",
        "currents.reshape(*shape[:3], -1)",
        examples=120,
    ),
    Mutation(
        "rows and columns of a pixel shuffle exchanged",
        "layers/dense/pixels.py",
        "blocks.transpose(0, 1, 4, 2, 5, 3)",
        "blocks.transpose(0, 1, 5, 2, 4, 3)",
        kinds="pixel_shuffle",
    ),
    Mutation(
        "rows and columns of a pixel unshuffle exchanged",
        "layers/dense/pixels.py",
        "blocks.transpose(0, 1, 3, 5, 2, 4)",
        "blocks.transpose(0, 1, 3, 5, 4, 2)",
        kinds="pixel_unshuffle",
    ),
    Mutation(
        "features in the order of pixels",
        "layers/flatten.py",
        "values.transpose(0, 3, 1, 2)",
        "values",
        kinds="flatten conv2d",
    ),
    Mutation(
        "factors of zero are no zero weights",
        "layers/scale.py",
        "1 - nonzero[None, None]",
        "0 * nonzero[None, None]",
        kinds="scale conv2d",
    ),
]
NOTHING = Mutation("nothing", "__init__.py", "", "", examples=2, first="queues")
"""No bug: a copy of the engine is not what is found fault with."""
SOME = (
    "the positive side's quantum on the negative side",
    "membrane forgotten from one group",
    "a carry lost where the bits",
    "memory of events is given away",
    "every part of a sum reads the rows",
    "a delay that is none",
)
"""Of each kind one: of neurons, of the kernels, of memory, of counts, of tiles and of time."""


def plant(mutation: Mutation, folder: Path) -> None:
    """Copy the engine into `folder` as spikeunet.engine, with one bug."""
    copy = folder / "spikeunet" / "engine"
    # The package itself, too: one without a file would lose to the one that is installed.
    copy.parent.mkdir()
    shutil.copy(spikeunet.__file__, copy.parent)
    shutil.copytree(ENGINE, copy, ignore=shutil.ignore_patterns("models", "command_line"))
    shutil.copytree(ENGINE / "models", copy / "models", ignore=shutil.ignore_patterns("*.npz"))
    text = (copy / mutation.file).read_text("utf-8")
    if mutation is not NOTHING:
        if text.count(mutation.right) != 1:
            raise LookupError(f"{mutation.name}: {mutation.file} has no single {mutation.right!r}; update MUTATIONS")
        (copy / mutation.file).write_text(text.replace(mutation.right, mutation.wrong), "utf-8")


def same_storage() -> dict[str, str]:
    """For a process in another folder: where Hypothesis keeps the numbers in all sources, which take long to read."""
    name = "HYPOTHESIS_STORAGE_DIRECTORY"
    return {name: os.environ.get(name, str(Path(".hypothesis").resolve()))}


def search(mutation: Mutation, folder: Path) -> tuple[bool, str]:
    """Whether the kit finds fault with a copy of the engine in `folder`, and what it says."""
    with contextlib.ExitStack() as stack:
        if mutation is not NOTHING:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        plant(mutation, folder)
        path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        how = (str(mutation.examples), mutation.first, mutation.kinds, mutation.check)
        # -P: the current folder must not come before the copy.
        done = subprocess.run(
            [sys.executable, "-P", "-c", SEARCH, str(folder), *how],
            env={**os.environ, "PYTHONPATH": path, **same_storage()},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 3:
        return True, done.stdout.strip().splitlines()[-1]
    if done.returncode == 0:
        return False, "nothing found"
    raise RuntimeError(f"{mutation.name}: the search itself failed\n{done.stdout}{done.stderr}")


def main(names: list[str]) -> int:
    chosen = [mutation for mutation in MUTATIONS if not names or any(name in mutation.name for name in names)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        folder = Path(name).resolve()
        # First, and alone: what it compiles is on disk for the others.
        results = [search(NOTHING, folder)]
        results += pool.map(lambda mutation: search(mutation, folder), chosen)
    for mutation, (found, message) in zip([NOTHING, *chosen], results, strict=True):
        print(f"{'caught' if found else 'passed'}  {mutation.name}: {message}")
    missed = [mutation.name for mutation, (found, _) in zip(chosen, results[1:], strict=True) if not found]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} bugs caught")
    return 1 if missed or results[0][0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
