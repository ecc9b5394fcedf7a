"""Evaluate a model on data sets: plan the pictures, run those that are not finished, gather rows and summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..datasets import Dataset, Example, find_dataset
from ..errors import InputError
from ..models import model_digest, shared_model
from ..pictures.noise import check_sigma
from ..tasks.classification import known_classes, with_classes
from ..tasks.inference import check_steps, recommended_steps, task_of
from ..tasks.networks import network_for
from ..tasks.views import check_self_ensemble
from .journal import Journal
from .picture_task import Outcome, PictureTask, Row
from .results import circumstances
from .scored_tasks import SCORED
from .scores import require_scikit_learn
from .summary import summarise
from .workplace import Workplace

DEFAULT_SIGMA = 25.0


@dataclass(frozen=True)
class Plan:
    """Every picture to evaluate, checked as far as it goes without reading them.

    Parameters
    ----------
    model : str
        Name or absolute path.
    model_sha256 : str
    metadata : dict
        The model's.
    task : "denoise", "segment" or "classify"
    steps : tuple of int
        Ascending.
    sigmas : tuple of float
        Noise levels of the denoising data sets without noisy pictures of their own.
    seed : int
        Of the noise of the first picture of each data set; the next one's is one more.
    ann : bool
    self_ensemble : 1, 2, 4 or 8
        How many views of each picture the outputs are the mean of.
    datasets : tuple of Dataset
    """

    model: str
    model_sha256: str
    metadata: dict[str, Any]
    task: str
    steps: tuple[int, ...]
    sigmas: tuple[float, ...]
    seed: int
    ann: bool
    self_ensemble: int
    datasets: tuple[Dataset, ...]

    @property
    def signature(self) -> dict[str, Any]:
        """What the rows of every picture depend on, as JSON values."""
        return {
            "version": version("spikeunet"),
            "model_sha256": self.model_sha256,
            "task": self.task,
            "steps": list(self.steps),
            "seed": self.seed,
            "ann": self.ann,
            "self_ensemble": self.self_ensemble,
            # The labels of pictures follow from it.
            **({"classes": self.metadata.get("classes")} if self.task == "classify" else {}),
        }

    def tasks(self, threads: int | None) -> list[PictureTask]:
        """One for each picture and noise level, in order."""
        return [
            PictureTask(
                model=self.model,
                model_sha256=self.model_sha256,
                version=version("spikeunet"),
                task=self.task,
                dataset=dataset.name,
                split=dataset.split,
                example=example,
                void=dataset.void,
                sigma=sigma,
                seed=None if sigma is None else self.seed + example.index,
                steps=self.steps,
                ann=self.ann,
                threads=threads,
                self_ensemble=self.self_ensemble,
            )
            for dataset in self.datasets
            for sigma in self._levels(dataset)
            for example in dataset.examples
        ]

    def _levels(self, dataset: Dataset) -> tuple[float | None, ...]:
        clean = self.task == "denoise" and dataset.examples[0].reference is None
        return self.sigmas if clean else (None,)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    plan : Plan
    rows : tuple of dict
        Scores and costs of each picture with each method, in the order of the plan.
    failures : tuple of Outcome
        Pictures that could not be evaluated.
    resumed : int
        Pictures that were finished before.
    """

    plan: Plan
    rows: tuple[Row, ...]
    failures: tuple[Outcome, ...]
    resumed: int

    @property
    def summary(self) -> list[dict[str, Any]]:
        """Means and pooled scores; see `summarise`."""
        return summarise(self.rows, self.plan.task)

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON values, with what it takes to make it again."""
        plan = self.plan
        return {
            **circumstances(),
            "model": plan.model,
            "model_sha256": plan.model_sha256,
            "model_metadata": plan.metadata,
            "task": plan.task,
            "steps": list(plan.steps),
            "sigmas": list(plan.sigmas) if plan.task == "denoise" else [],
            "seed": plan.seed,
            "ann": plan.ann,
            "self_ensemble": plan.self_ensemble,
            "datasets": [
                {"name": each.name, "split": each.split, "pictures": len(each.examples), "void": each.void}
                for each in plan.datasets
            ],
            "summary": self.summary,
            "pictures": list(self.rows),
            "failures": [{"picture": str(each.task.example.picture), "error": each.error} for each in self.failures],
        }


def plan_evaluation(
    model: str | os.PathLike[str],
    datasets: Sequence[str],
    *,
    data: Path | None = None,
    split: str = "test",
    steps: Sequence[int] | None = None,
    sigmas: Sequence[float] = (DEFAULT_SIGMA,),
    seed: int = 0,
    ann: bool = False,
    self_ensemble: int = 1,
    void: int | None = None,
    limit: int | None = None,
    classes: Sequence[str] | None = None,
) -> Plan:
    """Find the model, the data sets and their files; everything that can be wrong with them is found here.

    Parameters
    ----------
    model : str or path
        Name of a shipped model, or a model file.
    datasets : sequence of str
        As `find_dataset` takes them.
    data : Path, optional
        Folder of the data sets that are given by name alone.
    split : "test", "train" or "all"
    steps : sequence of int, optional
        Numbers of time steps; by default what the model's metadata recommends, or 8.
    sigmas : sequence of float
        Noise levels on the 0-255 scale.
    seed : int
    ann : bool
        Whether to evaluate the ANN, too.
    self_ensemble : 1, 2, 4 or 8
        How many times a denoiser sees each picture, turned and mirrored; the mean of the outputs is scored, and what it
        costs is the sum, of the ANN, too (as `denoise`'s).
    void : int, optional
        Label that does not count, for folders of one's own.
    limit : int, optional
        Take only the first pictures of each data set; of pictures by class, so many evenly spread.
    classes : sequence of str, optional
        Names of a classifier's classes in place of those that its metadata have.

    Raises
    ------
    InputError, ModelFileError, OSError
        If something is missing, does not fit or is out of range.
    """
    task = task_of(shared_model(model))
    if task not in SCORED:
        raise InputError(f"the model {os.fspath(model)!r} is for {task!r}; evaluate knows {', '.join(SCORED)}")
    if classes is not None and task != "classify":
        raise InputError(f"names of classes are for classifiers (the model {os.fspath(model)!r} is for {task!r})")
    if check_self_ensemble(self_ensemble) > 1 and task != "denoise":
        raise InputError(f"self-ensemble is for denoisers (the model {os.fspath(model)!r} is for {task!r})")
    network = with_classes(network_for(task, model), classes)
    if task == "segment":
        require_scikit_learn()
    counts = [recommended_steps(network)] if steps is None else [check_steps(number) for number in steps]
    levels = tuple(dict.fromkeys(check_sigma(sigma) for sigma in sigmas))
    if not counts or not levels or not datasets:
        raise InputError("an evaluation needs at least one number of steps, noise level and data set")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"the noise seed must be an integer of at least 0 (got {seed!r})")
    if limit is not None and limit < 1:
        raise InputError(f"the number of pictures must be at least 1 (got {limit})")
    if void is not None and task == "classify":
        raise InputError(f"void {void} is for label pictures; a classifier's pictures have a class each")
    known = known_classes(network) if task == "classify" else None
    found = [find_dataset(text, task, data, split, void, known) for text in datasets]
    names = [dataset.name for dataset in found]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise InputError(f"the data set {doubled[0]} is named twice; name it once")
    is_path = not isinstance(model, str) or model.endswith(".npz") or Path(model).name != model
    return Plan(
        model=os.fspath(Path(model).resolve()) if is_path else os.fspath(model),
        model_sha256=model_digest(model),
        metadata=dict(network.metadata),
        task=task,
        steps=tuple(sorted(set(counts))),
        sigmas=levels,
        seed=seed,
        ann=ann,
        self_ensemble=int(self_ensemble),
        datasets=tuple(replace(each, examples=_absolute(_limited(each, limit))) for each in found),
    )


def evaluate(
    plan: Plan,
    workplace: Workplace | None = None,
    *,
    journal: Journal | Path | None = None,
    threads: int | None = None,
    observe: Callable[[Iterator[Outcome], int], Iterator[Outcome]] | None = None,
) -> Evaluation:
    """Evaluate every picture of a plan.

    Parameters
    ----------
    plan : Plan
    workplace : Workplace, optional
        By default this process. Several processes start anew with the caller's main module, which therefore must be
        guarded by `if __name__ == "__main__"`.
    journal : Journal or Path, optional
        Where finished pictures are kept; those that stand in it are not evaluated again. The caller removes it when
        the results are written.
    threads : int, optional
        For each picture.
    observe : function of an iterator and its length, optional
        Gives the outcomes on, for a progress bar or messages.

    Raises
    ------
    InputError
        If the journal is another evaluation's, another process writes it, or the scheduler cannot be reached or goes
        away.
    """
    if not isinstance(journal, Journal):
        with Journal(journal, plan.signature) as kept:
            return evaluate(plan, workplace, journal=kept, threads=threads, observe=observe)
    workplace = workplace or Workplace()
    tasks = plan.tasks(workplace.threads() if threads is None else threads)
    done = {task.key: tuple(rows) for task in tasks if (rows := journal.finished(task)) is not None}
    remaining = [task for task in tasks if task.key not in done]
    resumed = len(done)
    failures: dict[Any, Outcome] = {}
    with closing(workplace.run(remaining)) as outcomes:
        for outcome in outcomes if observe is None else observe(outcomes, len(remaining)):
            journal.add(outcome)
            if outcome.error is None:
                done[outcome.task.key] = outcome.rows
            else:
                failures[outcome.task.key] = outcome
    rows = tuple(row for task in tasks for row in done.get(task.key, ()))
    failed = tuple(failures[task.key] for task in tasks if task.key in failures)
    return Evaluation(plan, rows, failed, resumed)


def _limited(dataset: Dataset, limit: int | None) -> Sequence[Example]:
    """The first examples; of pictures by class, the first of which are all of one, evenly spread ones."""
    count = len(dataset.examples)
    if limit is None or limit >= count or dataset.task != "classify":
        return dataset.examples[:limit]
    return [dataset.examples[index * count // limit] for index in range(limit)]


def _absolute(examples: Sequence[Example]) -> tuple[Example, ...]:
    """With absolute paths, which mean the same in every process."""
    return tuple(
        replace(
            example,
            picture=example.picture.resolve(),
            reference=example.reference and example.reference.resolve(),
            mask=example.mask and example.mask.resolve(),
        )
        for example in examples
    )
