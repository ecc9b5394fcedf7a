"""`spikeunet classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from ..errors import InputError
from .claims import Claims
from .class_names import read_class_names
from .classify_picture import ClassifySettings, classify_file
from .jobs import plan_readings
from .one_picture import Model
from .options import FILE
from .picture_command import RunOptions, check_run_options, inputs_argument, process_pictures, run_options, steps_option
from .piped_models import MODEL
from .pipes import PIPE


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@inputs_argument
@steps_option
@click.option(
    "--top", type=click.IntRange(min=1), metavar="K", default=5, show_default=True, help="Classes to name of a picture."
)
@click.option("--classes", metavar="FILE", type=FILE, help="Names of the classes.  [default: the model's own]")
@click.option("--json", "as_json", is_flag=True, help="As --report -: JSON on stdout, alone there.")
@run_options
def classify(
    model: str,
    inputs: tuple[Path | str, ...],
    steps: int | None,
    top: int,
    classes: Path | None,
    as_json: bool,
    report: str | None,
    **run: Unpack[RunOptions],
) -> None:
    """Tell the class of pictures.

    MODEL is the name of a model or a model file, IN are picture files and folders of them, or - for a pipe. Of one
    picture the classes with the largest scores are printed, with their probabilities (softmax) and scores (readout
    divided by T); of several a table with the class of each.

    Size, mean and deviation that the network wants are in the model (spikeunet convert --resize --mean --std); a
    picture of another size, or a colour picture for a network that takes gray, is refused where the model does not say
    what to do with it. --classes FILE has a name on each line, or is a JSON list (.json), or a folder of labelled
    pictures, the names of whose folders are taken in their order.

    \b
    Examples:
      spikeunet classify digits.npz seven.png
      spikeunet classify flowers.npz garden/ rose.jpg --top 3 --classes names.txt
      spikeunet classify flowers.npz garden/ --json > garden.json
    """
    from ..tasks.classification import classifier, with_classes

    check_run_options(steps, run["order"], run["tile"], run["kernels"])
    if as_json and report is not None:
        raise InputError(f"--json is --report -; leave one of --json and --report {report} out")
    report = PIPE if as_json else report
    claims = Claims()
    claims.reads_model(model)
    claims.reads("the names of the classes", *([] if classes is None else [classes]))
    jobs = plan_readings(inputs, claims, report)
    network = with_classes(classifier(model), None if classes is None else read_class_names(classes))
    chosen = Model.of(model, network, steps)
    settings = ClassifySettings(model_for=lambda _: chosen, top=top, **run)
    process_pictures(jobs, classify_file, settings, "Classifying", report)
