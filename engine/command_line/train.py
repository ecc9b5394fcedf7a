"""`spikeunet train METHOD`: a command for each training method, whose settings are its options."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .claims import Claims
from .console import print_fields
from .jobs import check_folder, check_model_suffix
from .neuron_options import numbers
from .options import FILE, threads_option
from .output import add_output_options, put_data

if TYPE_CHECKING:
    from ..learning import Method, TrainingSettings

_COMMON = (
    click.option(
        "--data", metavar="DATA", required=True,
        help="digits, mnist=FOLDER, cifar10=FOLDER, or a FOLDER that has a folder of pictures for each class, or has "
        "such folders train and test.",
    ),
    click.option("-o", "--output", metavar="OUT.npz", required=True, type=FILE, help="What is trained."),
    click.option(
        "--pictures", type=click.IntRange(min=1), metavar="N", help="Learn from N alone, taken evenly from all."
    ),
    click.option(
        "--curves", multiple=True, type=FILE, metavar="FILE",
        help="Figures by epoch: a picture (.png, .svg, .pdf) or numbers (.json); may be given twice.",
    ),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run."),
    click.option("--checkpoint", type=FILE, metavar="FILE", help="[default: OUT.checkpoint.npz]"),
    threads_option,
)  # fmt: skip


class MethodGroup(click.Group):
    """Commands that are made when they are asked for: a method's module need not be imported before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the methods."""
        from ..learning import METHODS

        return list(METHODS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a method, None where there is none."""
        from ..learning import METHODS

        return _command(METHODS[cmd_name]) if cmd_name in METHODS else None


@click.group(cls=MethodGroup)
def train() -> None:
    """Train a network that learns from spikes, by one of several methods.

    Pictures with a class each are learnt from, and those that are held out for testing are told apart after each epoch.
    A checkpoint is written beside OUT.npz, which --resume goes on from and which goes away when the run is done.

    \b
    Examples:
      spikeunet train dsr --data digits -o digits.npz
      spikeunet train dsr --data mnist=FOLDER --steps 10 --layers 256 --curves curves.png -o mnist.npz
      spikeunet train dsr --data pictures/ -o mine.npz --resume
    """


def _command(method: Method) -> click.Command:
    """`spikeunet train NAME`."""
    settings = method.settings

    def run(**options: Any) -> None:
        _train(method, _settings(settings, options), options)

    help_text = f"{method.summary}\n\nWhat is written: {method.writes}. See docs/learning.md."
    own = [_option(settings, each) for each in dataclasses.fields(settings)]
    for add in reversed((*_COMMON, *own)):
        run = add(run)
    made = click.command(method.name, help=help_text, short_help=method.summary)(run)
    # Those of the group are asked for before the method's name.
    add_output_options(made)
    return made


def _option(settings: type[TrainingSettings], field: dataclasses.Field[Any]) -> Any:
    """The option that sets a field."""
    kind: Any = typing.get_type_hints(settings)[field.name]
    names = [f"--{field.name.replace('_', '-')}", field.name]
    text, default = field.metadata["help"], typing.cast("Any", field.default)
    if kind is bool:
        return click.option(
            f"{names[0]}/--no-{names[0][2:]}", field.name, default=default, show_default=True, help=text
        )
    if field.metadata["choices"]:
        kind = click.Choice(field.metadata["choices"])
    elif typing.get_origin(kind) is tuple:
        kind, default = str, ",".join(map(str, default))
    return click.option(*names, type=kind, default=default, show_default=True, help=text)


def _settings(settings: type[TrainingSettings], options: dict[str, Any]) -> TrainingSettings:
    """Settings out of the options that are named as their fields, which are taken out; InputError where one is bad."""
    kinds = typing.get_type_hints(settings)
    values = {each.name: options.pop(each.name) for each in dataclasses.fields(settings)}
    for name, kind in kinds.items():
        if typing.get_origin(kind) is tuple and name in values:
            values[name] = _several(f"--{name.replace('_', '-')}", typing.get_args(kind)[0], values[name])
    return settings(**values)


def _several(option: str, kind: type, text: str) -> tuple[Any, ...]:
    """Values with commas between them."""
    if kind is str:
        return tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    found = numbers(option, text, ",") if text.strip() else ()
    if kind is int and any(value != int(value) for value in found):
        raise InputError(f"{option} must be whole numbers (got {text!r})")
    return tuple(kind(value) for value in found)


def _train(method: Method, settings: TrainingSettings, options: dict[str, Any]) -> None:
    """Check everything, train, write the model and the curves, and say what came out."""
    from ..files.lock import only_run
    from ..learning import read_data
    from .train_run import LearningRun, check_curves
    from .training_files import check_checkpoint

    output: Path = options["output"]
    checkpoint: Path = options["checkpoint"] or output.with_suffix(".checkpoint.npz")
    check_model_suffix(output)
    check_curves(options["curves"])
    _check_paths(options["data"], output, checkpoint, options["curves"])
    click.get_current_context().with_resource(only_run(output))
    check_checkpoint(checkpoint, options["resume"])
    pictures, test = read_data(options["data"])
    if options["pictures"] is not None:
        pictures = pictures.spread(options["pictures"])
    try:
        run = LearningRun(method.trainer(pictures, settings, options["threads"]), test, checkpoint)
        if options["resume"]:
            run.trainer.resume(checkpoint)
        run.to_the_end()
        run.trainer.save(output)
    except MemoryError:
        raise InputError("not enough memory for this training; take a narrower network, or a smaller batch") from None
    for path in options["curves"]:
        run.write_curves(path, f"{method.name}, {options['data']}")
    checkpoint.unlink(missing_ok=True)
    put_data({"model": str(output), "method": method.name, **run.facts()})
    print_fields([("model", str(output)), *run.summary()])


def _check_paths(data: str, output: Path, checkpoint: Path, curves: tuple[Path, ...]) -> None:
    """InputError where a file of the run would replace another one of it, or a picture; OSError without a place."""
    from ..files.atomic import check_replaceable

    claims = Claims()
    place = Path(data.partition("=")[2] or data)
    if place.is_dir() or place.is_file():
        claims.reads("the data set", *_files_of(place))
    named = [("the model", output), ("the checkpoint", checkpoint), *(("the curves", path) for path in curves)]
    for what, path in named:
        check_folder(path.parent)
        check_replaceable(path)
        claims.writes(what, path)


def _files_of(place: Path) -> list[Path]:
    """Files that reading a data set may open; others may lie beside them, such as what earlier runs wrote."""
    from ..pictures.formats import SUFFIXES

    if place.is_file():
        return [place]
    data_files = [path for pattern in ("*ubyte*", "*.bin", "*_jpeg.npz") for path in place.glob(pattern)]
    return [*data_files, *(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)]
