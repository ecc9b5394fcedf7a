"""The training loop: draw, run, compare, go back, step."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpikeunetError
from ...files.model_file import save_model
from ...graph import Network
from ...tasks.endings import bends
from ...tasks.inference import task_of
from ...tasks.restorers import RESTORING, prediction_in
from ...threads import using_threads
from .checkpoint import fingerprint, read_checkpoint, write_checkpoint
from .data import Batches
from .examples import check_batch, check_target
from .losses import OF_PICTURES, loss_named
from .optimizers import clip_factor, decay_weights, gradient_norm, optimizer_named, update_averages
from .runs import Run, Runner, numbers_may_leave_their_range
from .settings import MAXIMUM_SHARES, Settings, check_whole
from .share_processes import ShareProcesses
from .shares import run_shares
from .teaching import TaughtBatches
from .trainable import Trainable
from .trainable_arrays import in_kernel_order

Array = NDArray[Any]

Score = TypeVar("Score")


@dataclass(frozen=True)
class StepReport:
    """What an iteration did.

    Parameters
    ----------
    iteration : int
        Iterations done so far.
    loss, penalty : float
        Of the batch; the penalty without its weight.
    gradient_norm : float
        Before clipping.
    rate : float
        Learning rate.
    accumulates_per_pixel : float
        Of the batch, all steps together.
    """

    iteration: int
    loss: float
    penalty: float
    gradient_norm: float
    rate: float
    accumulates_per_pixel: float


class Trainer:
    """State of a training run, with the verbs of the other methods: step, validate, checkpoint, resume, save.

    `parameters` are the numbers in training, `averages` their moving averages where `settings.average` asks for them.

    Parameters
    ----------
    network : Network
        Where to start from.
    batches : Batches
        Draws the examples.
    settings : Settings
    threads : int, optional
        Worker threads; by default all processors. The numbers do not depend on how many there are.
    processes : int, optional
        Run the shares of each batch in so many processes, each of so many threads (by default the processors are
        shared by them). The numbers depend on `settings.shares` alone, which become as many where they are 1.
        Processes end with `close`, or with the `with` statement that the trainer is used in.
    """

    def __init__(
        self,
        network: Network,
        batches: Batches,
        settings: Settings,
        threads: int | None = None,
        processes: int | None = None,
    ) -> None:
        if processes is not None:
            check_whole("processes", processes, 1, MAXIMUM_SHARES)
            if settings.shares == 1:
                settings = dataclasses.replace(settings, shares=processes)
        _check_ending(network)
        self.trainable = Trainable(
            network,
            settings.scales,
            settings.initial,
            settings.weights,
            settings.biases,
            settings.weight_bits,
            settings.batch_norm,
        )
        self.batches = batches
        self.settings = settings
        self.threads = threads
        self.parameters = self.trainable.parameters()
        trained = self.trainable.parameters() if settings.average else {}
        self.averages = {name: trained[name] for name in self.trainable.trained if name in trained}
        self.optimizer = optimizer_named(settings.optimizer, settings.momentum)
        self.generator = np.random.default_rng(settings.seed)
        self.iteration = 0
        self.notes: dict[str, Any] = {}
        self._loss = loss_named(settings.loss, settings.class_weights)
        self._runner = Runner(network, settings)
        self._processes = None if processes is None else ShareProcesses(network, settings, processes, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Pickles keep no order of memory but two, and optimisers change arrays in that of `flat`."""
        self.__dict__.update(state)
        for arrays in (self.parameters, self.averages):
            arrays.update({name: in_kernel_order(array) for name, array in arrays.items()})

    def close(self) -> None:
        """End the processes, where there are such; the next step would start new ones."""
        if self._processes is not None:
            self._processes.close()

    starts_from = "network"

    @property
    def fingerprint(self) -> str:
        """Digest of the network that training starts from, and of the teacher where there is one."""
        start = fingerprint(self.trainable.source)
        return start if self.teacher is None else f"{start} {self.teacher}"

    @property
    def teacher(self) -> str | None:
        """Digest of the network that the batches' targets come from, None where they come from data."""
        return self.batches.fingerprint if isinstance(self.batches, TaughtBatches) else None

    @property
    def iterations(self) -> int:
        """Length of the run."""
        return self.settings.iterations

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the parameters in training."""
        return self.trainable.trained

    @property
    def finished(self) -> bool:
        """Whether all iterations are done."""
        return self.iteration >= self.settings.iterations

    def step(self) -> StepReport:
        """Train on one batch.

        Raises
        ------
        InputError
            If the loss or the gradients are no longer finite, or the batch's arrays do not fit the network.
        """
        with using_threads(self.threads):
            return self._step()

    def _step(self) -> StepReport:
        batch, target = self.batches.draw(self.generator)
        with numbers_may_leave_their_range():
            run, loss, gradients = self._back(batch, target)
            norm = gradient_norm(gradients)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._diverged(f"loss {loss:g}, gradient norm {norm:g}")
        rate = self.settings.rate * self.settings.schedule(self.iteration, self.settings.iterations)
        if self.settings.weight_decay is not None:
            decay_weights(self.parameters, gradients, rate * self.settings.weight_decay)
        self.optimizer.step(self.parameters, gradients, rate, clip_factor(norm, self.settings.clip))
        if self.settings.average:
            update_averages(self.averages, self.parameters, self.settings.average, self.iteration)
        self.iteration += 1
        accumulates = run.accumulates() / (batch.size / batch.shape[3])
        return StepReport(self.iteration, loss, run.penalty(), norm, rate, accumulates)

    def gradients(self, batch: Array, target: Array) -> tuple[float, dict[str, Array]]:
        """Loss of a batch such as `batches.draw` gives, and gradients of the trained parameters, penalty included."""
        with using_threads(self.threads):
            _, loss, gradients = self._back(batch, target)
        return loss, gradients

    def _back(self, batch: Array, target: Array) -> tuple[Run, float, dict[str, Array]]:
        """Run forward, compare, and go back to the parameters."""
        check_batch(batch, self.trainable.source.input.channels)
        network = self.trainable.network(self.parameters)
        try:
            run = self._run(network, batch)
        except SpikeunetError:
            if all(np.isfinite(array).all() for array in _numbers(network)):
                raise
            raise self._diverged("weights that are no numbers") from None
        loss, gradient = self._compared(run.output, target, batch)
        return run, loss, self.trainable.pull_back(self.parameters, run.gradients(gradient))

    def _diverged(self, found: str) -> InputError:
        return InputError(
            f"training diverged at iteration {self.iteration + 1} ({found}); start again with a smaller learning rate"
        )

    def _run(self, network: Network, batch: Array) -> Run:
        if self._processes is not None:
            return self._processes.run(network, batch)
        if self.settings.shares > 1:
            return run_shares(self._runner, network, batch)
        return self._runner.run(network, batch)

    def _compared(self, output: Array, target: Array, batch: Array) -> tuple[float, Array]:
        """Loss, and its gradient by the output; of pictures of what the network leaves where it puts out noise."""
        check_target(self.settings.loss, target, output)
        if self.settings.loss not in OF_PICTURES or prediction_in(self.trainable.source.metadata) == "picture":
            return self._loss(output, target)
        loss, gradient = self._loss(batch - output, batch - target)
        return loss, -gradient

    def current_network(self) -> Network:
        """The network as it is now, for evaluation: with the averages where there are; unchecked."""
        return self.trainable.ordinary_network({**self.parameters, **self.averages})

    def result(self) -> Network:
        """The trained network, checked, with what was done in its metadata, and what was done to it before."""
        settings = self.settings
        done: dict[str, Any] = {
            "steps": settings.steps,
            "method": settings.method,
            "iterations": self.iteration,
            "loss": settings.loss,
            "penalty": settings.penalty,
            "rate": settings.rate,
            "average": settings.average,
            "seed": settings.seed,
        }
        if settings.class_weights:
            done["class_weights"] = list(settings.class_weights)
        for name in ("weight_bits", "batch_norm", "weight_decay"):
            if getattr(settings, name) is not None:
                done[name] = getattr(settings, name)
        if settings.saturating:
            done["saturating"] = True
        if settings.shares > 1:
            done["shares"] = settings.shares
        if self.teacher is not None:
            done["teacher"] = self.teacher
        before = self.trainable.source.metadata.get("fine_tuning")
        if before is not None:
            done["previous"] = before
        network = self.trainable.export({**self.parameters, **self.averages})
        facts = {**network.metadata, "steps": settings.steps, "fine_tuning": done}
        # What was said of the weights to start from is true no more.
        facts = {name: value for name, value in facts.items() if name not in ("weight_bits", "weight_snr_db")}
        if settings.weight_bits is not None:
            facts["weight_bits"] = settings.weight_bits
        return network.replace(metadata=facts)

    def validate(self, measure: Callable[[Network, int, int | None], Score]) -> Score:
        """What `measure` says of the network as it is now, which it is given with the steps and threads of this run.

        Such as ``lambda network, steps, threads: validate_denoiser(network, pictures, 25, steps, threads)``.
        """
        return measure(self.current_network(), self.settings.steps, self.threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained network as a model file, completely or not at all."""
        save_model(self.result(), path)

    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that is needed to go on, completely or not at all."""
        write_checkpoint(path, self)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint: every number that follows is the one that an uninterrupted run would have given.

        Raises
        ------
        ModelFileError
            If the file cannot be read, or belongs to another network or other settings.
        """
        read_checkpoint(path, self)


def finetune(
    network: Network,
    batches: Batches,
    settings: Settings | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    interval: int = 500,
    resume: bool = False,
    observe: Callable[[Trainer, StepReport], None] | None = None,
    threads: int | None = None,
    processes: int | None = None,
) -> Network:
    """Fine-tune a spiking network.

    Parameters
    ----------
    network : Network
        Any network that `simulate` runs.
    batches : Batches
        Where the examples come from: DenoisingBatches, TaughtBatches, or any object with such a `draw`.
    settings : Settings, optional
        By default accumulated spiking flow at 4 steps.
    checkpoint : path, optional
        NPZ file for a checkpoint at every `interval` iterations.
    interval : int
        An interrupted run loses at most so many iterations.
    resume : bool
        Whether to go on from `checkpoint`.
    observe : function of a Trainer and a StepReport, optional
        Called after each iteration.
    threads : int, optional
        Worker threads; by default all processors.
    processes : int, optional
        Run the shares of each batch in so many processes; see Trainer.

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If training diverges or an argument is out of range.
    ModelFileError
        If the checkpoint cannot be read or belongs to another run.
    """
    check_interval(interval)
    with Trainer(network, batches, settings or Settings(), threads, processes) as trainer:
        if resume:
            if checkpoint is None:
                raise InputError("resume needs the path of a checkpoint (got none)")
            trainer.resume(checkpoint)
        while not trainer.finished:
            report = trainer.step()
            if checkpoint is not None and (trainer.iteration % interval == 0 or trainer.finished):
                trainer.checkpoint(checkpoint)
            if observe is not None:
                observe(trainer, report)
        return trainer.result()


def _numbers(network: Network) -> Iterator[Array]:
    """Weights and biases, of which there are none but finite ones in any network but one in training."""
    for node in network.nodes:
        yield from (getattr(node, part) for part in ("weight", "bias") if hasattr(node, part))


def check_interval(interval: int) -> int:
    """`interval` where it is a positive whole number; InputError otherwise."""
    check_whole("the checkpoint interval", interval, 1)
    return interval


def _check_ending(network: Network) -> None:
    """InputError where a restorer's pictures come of a function that training would not go through."""
    left_out = bends(network.metadata)
    if left_out and task_of(network) in RESTORING:
        raise InputError(
            f"the model ends in {', '.join(left_out)}, which fine-tuning does not go through; take one that puts out "
            "the picture or the noise itself"
        )
