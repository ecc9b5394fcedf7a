"""`spikeunet finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .console import print_fields
from .convert import noise_levels
from .jobs import check_folder, file_identity

if TYPE_CHECKING:
    from ..finetune import Settings

_SETTINGS = (
    click.option("--steps", type=int, metavar="T", default=4, show_default=True, help="Time steps to train for."),
    click.option("--method", type=click.Choice(["flow", "bptt"]), default="flow", show_default=True),
    click.option("--iterations", type=int, metavar="N", default=2000, show_default=True),
    click.option("--rate", type=float, default=1e-4, show_default=True, help="Largest learning rate."),
    click.option(
        "--loss", type=click.Choice(["mse", "l1", "log-mse"]), default="mse", show_default=True,
        help="Of the noise that the network sees.",
    ),
    click.option(
        "--penalty", type=float, default=0.0, show_default=True,
        help="Weight of the spike-count penalty: fewer accumulates for less quality.",
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
        "--surrogate", type=click.Choice(["triangle", "fast-sigmoid", "arctan", "rectangle"]), default="triangle",
        show_default=True, help="Of bptt.",
    ),
    click.option("--width", type=float, default=1.0, show_default=True, help="Of the surrogate, in thresholds."),
    click.option("--detach-reset", is_flag=True, help="bptt takes the reset for a constant."),
    click.option(
        "--train-thresholds", type=click.Choice(["none", "layer", "channel"]), default="none", show_default=True,
        help="Scale them, by a factor for each.",
    ),
    click.option("--train-initial", is_flag=True, help="Train each layer's initial potential."),
    click.option("--seed", type=int, metavar="K", default=0, show_default=True),
)  # fmt: skip


def _settings_options(command: Any) -> Any:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--train", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Clean pictures.")
@click.option(
    "--validate", metavar="FOLDER", type=click.Path(path_type=Path), help="Clean pictures to measure PSNR on."
)
@click.option("-o", "--output", metavar="OUT.npz", required=True, type=click.Path(path_type=Path), help="Model file.")
@click.option("--task", type=click.Choice(["denoise"]), default="denoise", show_default=True)
@click.option("--sigma", metavar="S|LOW:HIGH", default="5:50", show_default=True, help="Noise to add, 0-255 scale.")
@click.option("--validate-sigma", type=float, metavar="S", default=25.0, show_default=True)
@click.option("--crop", type=int, metavar="PIXELS", default=64, show_default=True, help="Side of the training crops.")
@click.option("--batch", type=int, metavar="N", default=8, show_default=True, help="Crops in a batch.")
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
@click.option("--checkpoint", type=click.Path(path_type=Path), metavar="FILE", help="[default: OUT.checkpoint.npz]")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="CSV log.  [default: OUT.csv]")
@click.option(
    "--curve", type=click.Path(path_type=Path), metavar="FILE", help="Picture of the course.  [default: OUT.png]"
)
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="Worker threads.  [default: all processors]")
@click.option("--description", help="A line about the model.")
def finetune(
    model: str,
    train: Path,
    validate: Path | None,
    output: Path,
    task: str,
    sigma: str,
    validate_sigma: float,
    crop: int,
    batch: int,
    interval: int,
    resume: bool,
    checkpoint: Path | None,
    log: Path | None,
    curve: Path | None,
    threads: int | None,
    description: str | None,
    **options: Any,
) -> None:
    """Fine-tune a converted model, so that it needs fewer steps or fewer accumulates.

    MODEL is a shipped model or a model file. It is trained on random crops of the pictures in the folder --train, with
    noise of --sigma, by accumulated spiking flow or by backpropagation through time. A log and a curve are written
    beside OUT.npz; a checkpoint too, which --resume goes on from and which goes away when the run is done.

    \b
    Examples:
      spikeunet finetune denoise-gray --train pictures/ --validate held-out/ --steps 4 -o tuned.npz
      spikeunet finetune model.npz --train pictures/ --steps 2 --method bptt --penalty 0.001 -o sparse.npz
      spikeunet finetune model.npz --train pictures/ --steps 2 --method bptt --penalty 0.001 -o sparse.npz --resume
    """
    from ..denoising import denoiser
    from ..finetune import DenoisingBatches, Trainer, read_pictures
    from ..finetune.data import check_crop
    from ..model_file import save_model
    from ..noise import check_sigma
    from .training_files import Files
    from .training_run import TrainingRun

    settings = _settings(options)
    levels = noise_levels(sigma)
    check_sigma(validate_sigma)
    files = Files.beside(output, checkpoint, log, curve)
    _check_paths(files, model)
    files.check(resume)
    network = denoiser(model)
    check_crop(crop, network.size_multiple)
    batches = DenoisingBatches(
        read_pictures(train, network.input.channels), (levels[0], levels[-1]), crop=crop, batch=batch
    )
    held_out = read_pictures(validate, network.input.channels) if validate is not None else []
    trainer = Trainer(network, batches, settings, threads)
    run = TrainingRun(trainer, files, held_out, validate_sigma, interval)
    if resume:
        run.resume()
    run.to_the_end()
    metadata = {**trainer.result().metadata, "task": task}
    if description is not None:
        metadata["description"] = description
    save_model(trainer.result().replace(metadata=metadata), output)
    files.checkpoint.unlink(missing_ok=True)
    print_fields([("model", str(output)), *run.summary()])


def _settings(options: dict[str, Any]) -> Settings:
    """Settings from the options that describe them; InputError where one is out of range."""
    from ..finetune import Schedule, Settings, Surrogate

    return Settings(
        steps=options["steps"],
        method=options["method"],
        iterations=options["iterations"],
        loss=options["loss"],
        penalty=options["penalty"],
        optimizer=options["optimizer"],
        momentum=options["momentum"],
        rate=options["rate"],
        schedule=Schedule(options["schedule"], options["warmup"]),
        clip=options["clip"] or None,
        surrogate=Surrogate(options["surrogate"], options["width"], options["detach_reset"]),
        scales=options["train_thresholds"],
        initial=options["train_initial"],
        seed=options["seed"],
    )


def _check_paths(files: Any, model: str) -> None:
    if files.output.suffix != ".npz":
        raise InputError(f"{files.output}: a model file ends in .npz; choose another name")
    written = {"the model": files.output, "the checkpoint": files.checkpoint, "the log": files.log}
    written["the curve"] = files.curve
    seen: dict[Any, str] = {file_identity(Path(model)): "the model to start from"}
    for what, path in written.items():
        check_folder(path.parent)
        other = seen.setdefault(file_identity(path), what)
        if other is not what:
            raise InputError(f"{path}: {what} would overwrite {other}; choose another name")
