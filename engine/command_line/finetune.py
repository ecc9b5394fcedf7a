"""`spikeunet finetune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .claims import Claims
from .console import print_fields
from .conversion import noise_levels
from .jobs import check_folder, check_model_suffix, tell_skipped, tell_skipped_by_class
from .neuron_options import numbers
from .options import FILE, grouped, no_sigma, threads_option
from .output import put_data
from .piped_models import MODEL

if TYPE_CHECKING:
    from ..graph import Network, Node
    from ..learning.finetune import Settings
    from .training_files import Files
    from .training_tasks import TrainingTask

_settings_options = grouped(
    click.option("--steps", type=int, metavar="T", default=4, show_default=True, help="Time steps to train for."),
    click.option("--method", type=click.Choice(["flow", "bptt"]), default="flow", show_default=True),
    click.option("--iterations", type=int, metavar="N", default=2000, show_default=True),
    click.option("--rate", type=float, default=1e-4, show_default=True, help="Largest learning rate."),
    click.option(
        "--loss", type=click.Choice(["mse", "l1", "log-mse", "ssim", "l1-ssim", "cross-entropy"]),
        help="Of the noise or picture that is put out, by ssim of the picture; or of the classes.  [default: mse; "
        "cross-entropy of classes]",
    ),
    click.option(
        "--penalty", type=float, default=0.0, show_default=True,
        help="Weight of the spike-count penalty: fewer operations for less quality.",
    ),
    click.option("--optimizer", type=click.Choice(["adam", "sgd"]), default="adam", show_default=True),
    click.option("--momentum", type=float, default=0.9, show_default=True),
    click.option(
        "--schedule", type=click.Choice(["cosine", "step", "constant"]), default="cosine", show_default=True,
        help="Course of the learning rate.",
    ),
    click.option("--warmup", type=float, default=0.02, show_default=True, help="Share of the run that it rises in."),
    click.option("--clip", type=float, default=1.0, show_default=True, help="Largest gradient norm; 0 for any."),
    click.option(
        "--average", type=float, metavar="DECAY", default=0.0, show_default=True,
        help="Validate and keep a moving average of the weights, with this decay (0.999 for instance); 0 for none.",
    ),
    click.option(
        "--surrogate", type=click.Choice(["triangle", "fast-sigmoid", "arctan", "rectangle"]), default="triangle",
        show_default=True, help="Of bptt.",
    ),
    click.option("--width", type=float, default=1.0, show_default=True, help="Of the surrogate, in thresholds."),
    click.option("--detach-reset", is_flag=True, help="bptt takes the reset for a constant."),
    click.option(
        "--saturating", is_flag=True, help="flow passes no gradient on where neurons emit the most that they can."
    ),
    click.option(
        "--train-thresholds", type=click.Choice(["none", "layer", "channel"]), default="none", show_default=True,
        help="Scale them, by a factor for each.",
    ),
    click.option("--train-initial", is_flag=True, help="Train each layer's initial potential."),
    click.option(
        "--weight-bits", type=int, metavar="N",
        help="Train for weights rounded to N bits, 2 to 8, and save these; see spikeunet quantize.",
    ),
    click.option(
        "--batch-norm", type=float, metavar="A",
        help="Train through time with batch norms, whose scale begins with A thresholds (0.7 is usual).",
    ),
    click.option(
        "--weight-decay", type=float, metavar="W",
        help="Share of the weights, times the rate, that each step takes off them.",
    ),
    click.option(
        "--shares", type=int, metavar="N", default=1, show_default="1, or as many as --processes",
        help="Parts of a batch whose gradients are added up: what the numbers depend on where --processes differ.",
    ),
    click.option("--seed", type=int, metavar="K", default=0, show_default=True),
)  # fmt: skip


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.option("--train", metavar="FOLDER", required=True, type=FILE, help="Clean pictures.")
@click.option("--validate", metavar="FOLDER", type=FILE, help="Pictures to measure the quality on.")
@click.option(
    "--noisy",
    metavar="FOLDER",
    type=FILE,
    help="Noisy versions of --train's pictures, of the same names, in place of --add-noise.",
)
@click.option("--validate-noisy", metavar="FOLDER", type=FILE, help="And of --validate's.")
@click.option(
    "--teacher",
    metavar="MODEL",
    type=MODEL,
    help="Learn what this model's ANN makes of noisy pictures, in place of the clean ones.",
)
@click.option("--labels", metavar="FOLDER", type=FILE, help="Label pictures, to train on.")
@click.option("--validate-labels", metavar="FOLDER", type=FILE, help="And of the others.")
@click.option("--void", type=click.IntRange(min=0), metavar="LABEL", help="Label that does not count.")
@click.option("--upright", is_flag=True, help="Do not turn labelled pictures, which have an up and a down.")
@click.option(
    "--balance",
    type=float,
    default=0.0,
    show_default=True,
    help="Weigh rare classes up: by median frequency / frequency to this power, 0 to 1.",
)
@click.option("--classes", metavar="FILE", type=FILE, help="Names of a classifier's classes.  [default: its own]")
@click.option(
    "--shift",
    type=click.IntRange(min=0),
    metavar="PIXELS",
    default=0,
    show_default=True,
    help="Move pictures with a class by so many pixels at most.",
)
@click.option("--mirror", is_flag=True, help="Exchange left and right in half of them; not of digits and letters.")
@click.option("-o", "--output", metavar="OUT.npz", required=True, type=FILE, help="Model file.")
@click.option("--task", type=click.Choice(["denoise", "segment", "classify"]), default="denoise", show_default=True)
@click.option(
    "--add-noise",
    "sigma",
    metavar="S|LOW:HIGH",
    default="5:50",
    show_default=True,
    help="To the clean pictures, 0-255 scale.",
)
@no_sigma
@click.option(
    "--validate-noise", type=float, metavar="S", default=25.0, show_default=True, help="To add to those of --validate."
)
@click.option("--crop", type=int, metavar="PIXELS", default=64, show_default=True, help="Side of the training crops.")
@click.option("--batch", type=int, metavar="N", default=8, show_default=True, help="Crops in a batch.")
@click.option(
    "--thresholds",
    metavar="A,B,...",
    help="Train for multi-threshold neurons with these, descending, that round to the nearest level, in place of the "
    "model's own neurons; signed ones where these are signed.",
)
@_settings_options
@click.option(
    "--interval",
    type=click.IntRange(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="Iterations between validations, log lines and checkpoints.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run.")
@click.option("--checkpoint", type=FILE, metavar="FILE", help="[default: OUT.checkpoint.npz]")
@click.option("--log", type=FILE, metavar="FILE", help="CSV log.  [default: OUT.csv]")
@click.option("--curve", type=FILE, metavar="FILE", help="Picture of the course.  [default: OUT.png]")
@threads_option
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Share each batch out to N processes; --threads is then for each.  [default: none, threads alone]",
)
@click.option("--description", help="A line about the model.")
def finetune(
    model: str,
    train: Path,
    output: Path,
    task: str,
    sigma: str,
    thresholds: str | None,
    interval: int,
    resume: bool,
    checkpoint: Path | None,
    log: Path | None,
    curve: Path | None,
    threads: int | None,
    processes: int | None,
    description: str | None,
    **options: Any,
) -> None:
    """Fine-tune a converted model, so that it needs fewer steps or fewer operations.

    MODEL is a shipped model or a model file. It is trained on random crops of the pictures in the folder --train, with
    noise of --add-noise or with their noisy versions in --noisy, by accumulated spiking flow or by backpropagation
    through time. A log and a curve are written beside OUT.npz; a checkpoint too, which --resume goes on from and which
    goes away when the run is done.

    With --teacher, the network that MODEL was rounded or cut down from for instance, what its artificial network (ANN)
    puts out is learnt in place of the noise itself, which needs no clean pictures (--train may then hold noisy ones,
    with --add-noise 0).

    With --task segment, --labels has the label pictures of --train, by name; or --train is NAME=FOLDER, a data set that
    `spikeunet evaluate` knows, whose training split is taken (of --validate the test split).

    With --task classify, --train and --validate have a folder of pictures for each class, called by its name. Pictures
    are taken as a whole; --shift and --mirror vary them where that leaves their class as it is.

    \b
    Examples:
      spikeunet finetune denoise-gray --train pictures/ --validate held-out/ --steps 4 -o tuned.npz
      spikeunet finetune model.npz --train pictures/ --steps 1 --loss log-mse --penalty 2 --average 0.99 -o sparse.npz
      spikeunet finetune model.npz --train pictures/ --steps 2 --method bptt --thresholds 0.5,0.25,0.125 -o coarse.npz
      spikeunet finetune model.npz --train pictures/ --steps 2 --method bptt -o tuned.npz --resume
      spikeunet finetune denoise-gray-fast --train pictures/ --steps 1 --weight-bits 8 -o fast8.npz
      spikeunet finetune denoise-gray --train clean/ --noisy noisy/ --steps 2 --loss log-mse -o micrographs.npz
      spikeunet finetune rounded.npz --train pictures/ --steps 1 --weight-bits 8 --teacher converted.npz -o close.npz
      spikeunet finetune digits.npz --task classify --train train/ --validate test/ --steps 1 --shift 1 -o tuned.npz
      spikeunet finetune street.npz --task segment --train pictures/ --labels labels/ --void 11 --upright -o tuned.npz
    """
    from ..files.lock import only_run
    from ..files.model_file import save_model
    from ..learning.finetune import Trainer
    from .model_metadata import check_facts
    from .training_files import Files
    from .training_run import TrainingRun
    from .training_tasks import check_options

    check_options(task)
    check_facts({"description": description})
    settings = _settings(options, task)
    levels = noise_levels(sigma)
    check_model_suffix(output)
    files = Files.beside(output, checkpoint, log, curve)
    models = [each for each in (model, options["teacher"]) if each is not None]
    _check_paths(files, models, [train, *(options[name] for name in _FOLDERS)], options["classes"])
    click.get_current_context().with_resource(only_run(files.output))
    files.check(resume)
    work = _task(task, model, train, levels, options)
    settings = dataclasses.replace(settings, class_weights=work.class_weights)
    for folder in (train, *(options[name] for name in ("validate", "noisy", "validate_noisy"))):
        if folder is not None and folder.is_dir():
            (tell_skipped_by_class if task == "classify" else tell_skipped)(folder)
    network = work.network if thresholds is None else with_thresholds(work.network, thresholds)
    trainer = click.get_current_context().with_resource(Trainer(network, work.batches, settings, threads, processes))
    run = TrainingRun(trainer, files, work, interval)
    if resume:
        run.resume()
    run.to_the_end()
    metadata = {**trainer.result().metadata, "task": task}
    if description is not None:
        metadata["description"] = description
    save_model(trainer.result().replace(metadata=metadata), output)
    run.draw()
    files.checkpoint.unlink(missing_ok=True)
    put_data({"model": str(output), **run.facts()})
    print_fields([("model", str(output)), *run.summary()])


_FOLDERS = ("validate", "noisy", "validate_noisy", "labels", "validate_labels")


def _task(task: str, model: str, train: Path, levels: Sequence[float], options: Mapping[str, Any]) -> TrainingTask:
    """What a model is trained for, and on what, from the options that describe it."""
    from .training_tasks import NoisyPictures, classification_task, denoising_task, segmentation_task

    def given(*names: str) -> Iterator[Any]:
        return (options[name] for name in names)

    if task == "denoise":
        noise = NoisyPictures((levels[0], levels[-1]), *given("validate_noise", "noisy", "validate_noisy", "teacher"))
        return denoising_task(model, train, options["validate"], noise, *given("crop", "batch"))
    if task == "classify":
        return classification_task(model, train, *given("validate", "classes", "shift", "mirror", "balance", "batch"))
    labelled = given("labels", "validate", "validate_labels", "void", "upright", "balance", "crop", "batch")
    return segmentation_task(model, train, *labelled)


def with_thresholds(network: Network, thresholds: str) -> Network:
    """The network with multi-threshold neurons that round to the nearest level, signed ones where they are signed."""
    from ..graph import Neurons
    from ..neurons import MultiThreshold, SignedMultiThreshold, rectifies

    ladder = numbers("--thresholds", thresholds, ",")

    def exchanged(node: Node) -> Node:
        if not isinstance(node, Neurons):
            return node
        rounding = MultiThreshold.rounding if rectifies(node.model) else SignedMultiThreshold.rounding
        return dataclasses.replace(node, model=rounding(ladder))

    return network.replace(map(exchanged, network.nodes))


def _settings(options: dict[str, Any], task: str) -> Settings:
    """Settings from the options that describe them; InputError where one is out of range."""
    from ..learning.finetune import Schedule, Settings, Surrogate

    by_class = task in ("segment", "classify")
    fitting = options["loss"] or ("cross-entropy" if by_class else "mse")
    if (fitting == "cross-entropy") != by_class:
        raise InputError(f"--loss {fitting} is not for --task {task}; leave it out")
    return Settings(
        steps=options["steps"],
        method=options["method"],
        iterations=options["iterations"],
        loss=fitting,
        penalty=options["penalty"],
        optimizer=options["optimizer"],
        momentum=options["momentum"],
        rate=options["rate"],
        schedule=Schedule(options["schedule"], options["warmup"]),
        clip=options["clip"] or None,
        average=options["average"],
        surrogate=Surrogate(options["surrogate"], options["width"], options["detach_reset"]),
        saturating=options["saturating"],
        scales=options["train_thresholds"],
        initial=options["train_initial"],
        weight_bits=options["weight_bits"],
        batch_norm=options["batch_norm"],
        weight_decay=options["weight_decay"],
        shares=options["shares"],
        seed=options["seed"],
    )


def _check_paths(files: Files, models: list[str], folders: list[Path | None], classes: Path | None) -> None:
    """InputError where a file of the run would replace the model, a picture to train with or another file of it."""
    claims = Claims()
    for model in models:
        claims.reads_model(model)
    claims.reads("the names of the classes", *([] if classes is None else [classes]))
    for folder in folders:
        if folder is not None:
            claims.reads_examples(folder)
    written = {"the model": files.output, "the checkpoint": files.checkpoint, "the log": files.log}
    for what, path in {**written, "the curve": files.curve}.items():
        check_folder(path.parent)
        claims.writes(what, path)
