"""The paper's study: neurons x normalisation x time steps, before and after fine-tuning, the ANN as a line.

    python benchmarks/study.py drive=FOLDER --network drive.npz --out STUDY
    python benchmarks/study.py set12=FOLDER bsd68=FOLDER --network denoise-gray-converted --train PICTURES --out STUDY

A network is a state dict, or a model converted from one, whose conversion is then undone. It is converted for each
arm (multi-threshold or integrate-and-fire neurons; normalised connection by connection or layer by layer), and
fine-tuned by `spikeunet finetune`, always on training pictures. One run of the most steps serves all smaller numbers.

Options that begin with words hold for what the words name alone, the most words winning: `--steps if=1,4,16`,
`--limit bsd68=10`, `--tune if:layer=`, `--tuning camseq01="--iterations 500 --crop 96"`.

Finished arms are kept in STUDY, an interrupted one goes on after its last picture or checkpoint. Prints and writes
`study.md`, `study.csv`, `study_pictures.csv` and a plot for each data set.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import _common as common
import click
from _study_arms import (
    Recipe,
    Source,
    chosen,
    listed,
    make_networks,
    wanted_arms,
)
from _study_measure import CLOSE, SCORES, Measuring, measure, measure_ann, pinned
from _study_plots import draw
from _study_tables import (
    FIELDS,
    answer,
    cost_table,
    csv_rows,
    paired_tests,
    picture_rows,
    score_table,
    significance_table,
    write_csv,
)

from spikeunet.engine.datasets import LAYOUTS
from spikeunet.engine.files.atomic import atomic_write
from spikeunet.engine.neurons.multi_threshold import RECOMMENDED_THRESHOLDS
from spikeunet.engine.operations.energy import DEFAULT_ENERGY_MODEL, ENERGY_MODELS

STEPS = ("multi-threshold=1,2,4,8,16", "if=1,2,4,8,16,32,64,128,256,512", "if:fine-tuned=1,2,4,8,16,32,64")
THRESHOLDS = ",".join(map(str, RECOMMENDED_THRESHOLDS))


def sources_of(datasets, networks, trains):
    """The data sets by name, each with its network and its training pictures."""
    sources = []
    for text in datasets:
        name, separator, folder = text.partition("=")
        if name not in LAYOUTS or not separator:
            raise SystemExit(f"a data set is NAME=FOLDER with one of the names {', '.join(LAYOUTS)} (got {text!r})")
        network = chosen(networks, {name})
        train = chosen(trains, {name}) if LAYOUTS[name].task == "denoise" else None
        if not network:
            raise SystemExit(f"say what to convert: --network {name}=FILE")
        sources.append(Source(name, Path(folder), network, Path(train) if train else None))
    return sources


def recipe_for(source, options):
    """How the networks of a data set are made."""
    return Recipe(
        thresholds=tuple(listed(float, chosen(options["thresholds"], {source.name}, [THRESHOLDS]))),
        initial=options["initial"],
        percentile=options["percentile"],
        pictures=options["calibration"],
        sigma=options["noise"],
        tuning=lambda arm: shlex.split(chosen(options["tuning"], {source.name, *arm.words}, [""])),
        threads=options["threads"],
    )


def run_dataset(source, options):
    """The ANN's entry and those of all arms wanted."""
    arms = wanted_arms(
        lambda arm: listed(int, chosen(options["tune"], {source.name, arm.neuron, arm.normalization}, ["4"])),
        options["only"],
        source.name,
    )
    if not arms:
        raise SystemExit(f"{source.name}: --only leaves no arm")
    steps = {arm: listed(int, chosen(options["steps"], {source.name, *arm.words}, STEPS)) for arm in arms}
    crop, limit = (listed(int, chosen(options[name], {source.name}, [""])) for name in ("crop", "limit"))
    how = Measuring(
        folder=options["out"],
        sigma=options["sigma"],
        crop=crop[0] if crop else None,
        limit=limit[0] if limit else None,
        threads=options["threads"],
    )
    paths = make_networks(source, arms, recipe_for(source, options), options["out"] / "networks")
    entries = [entry for arm in arms for entry in measure(source, arm, paths[arm], steps[arm], how)]
    return measure_ann(source, paths[arms[0].base], how), entries


def report(results, options):
    """Write all tables and plots; returns the text."""
    out, sections = options["out"], []
    for source, ann, entries in results:
        title, close = SCORES[source.name][1], CLOSE[source.task]
        tests = paired_tests(entries, listed(int, options["compare"]))
        parts = [
            f"## {source.name}: {source.network}, {len(ann.by_picture)} pictures",
            answer(source.name, title, ann, entries, close),
            score_table(title, ann, entries, close),
            cost_table(title, ann, entries),
            "Paired over pictures, Wilcoxon's signed-rank test, two-sided:",
            significance_table(tests, title) if tests else "No two arms differ in one thing alone.",
        ]
        sections.append("\n\n".join(parts))
        draw(out / f"study_{source.name}.png", source.name, title, ann, entries, close)
    text = "\n\n".join([circumstances(options), *sections])
    with atomic_write(out / "study.md") as stream:
        stream.write((text + "\n").encode())
    write_csv(out / "study.csv", FIELDS, (row for each in results for row in csv_rows(each[0].name, *each[1:])))
    header = ("set", "picture", "arm", "steps", "score")
    write_csv(out / "study_pictures.csv", header, (r for e in results for r in picture_rows(e[0].name, *e[1:])))
    return text


def circumstances(options):
    """The machine and what holds for all data sets."""
    threads = "all" if options["threads"] is None else f"{options['threads']} (pinned)"
    return (
        f"{options['machine']}; threads: {threads}; noise of sigma {options['sigma']:g} for denoisers. Scores of a "
        "segmentation are of all pixels together, PSNR is the mean; costs are means per picture. Initial potential: "
        f"{options['initial']:g} of the smallest threshold. Energy, graded events as multiply-accumulates and binary "
        f"ones as accumulates: {ENERGY_MODELS[DEFAULT_ENERGY_MODEL].source}"
    )


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="NAME=FOLDER...")
@click.option("--network", multiple=True, metavar="[WORDS=]FILE", help="State dict, or converted model.")
@click.option("--train", multiple=True, metavar="[WORDS=]FOLDER", help="Clean training pictures, for denoisers.")
@click.option("--steps", multiple=True, metavar="[WORDS=]T,...", help="Numbers of time steps.")
@click.option("--tune", multiple=True, metavar="[WORDS=]T,...", help="Steps to fine-tune for; empty for none. [4]")
@click.option("--tuning", multiple=True, metavar="[WORDS=]OPTIONS", help="Options of `spikeunet finetune`.")
@click.option("--thresholds", multiple=True, metavar="[WORDS=]A,...", help=f"Of multi-threshold. [{THRESHOLDS}]")
@click.option("--initial", default=0.5, show_default=True, help="Initial potential, a share of the lowest threshold.")
@click.option("--percentile", default=99.9, show_default=True, help="Activation that becomes 1.")
@click.option("--calibration", default=16, show_default=True, help="Training pictures to normalise with.")
@click.option("--noise", default="5:50", show_default=True, help="S or LOW:HIGH, of denoisers' training pictures.")
@click.option("--sigma", default=25.0, show_default=True, help="Noise of the test pictures.")
@click.option("--limit", multiple=True, metavar="[WORDS=]N", help="Only the first pictures.")
@click.option("--crop", multiple=True, metavar="[WORDS=]PIXELS", help="Only the middle of each picture.")
@click.option("--only", multiple=True, metavar="WORDS", help="Only these arms: if:connection, converted, ...")
@click.option("--compare", default="4", show_default=True, metavar="T,...", help="Steps to test differences at.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Pinned to as many processors. [all]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results/study"))
def main(datasets, network, train, **options):
    """Make the study on data sets that `spikeunet evaluate` knows."""
    options["out"].mkdir(parents=True, exist_ok=True)
    options["machine"] = common.machine()
    results = []
    with pinned(options["threads"]):
        for source in sources_of(datasets, network, train):
            results.append((source, *run_dataset(source, options)))
            text = report(results, options)
        print(text)


if __name__ == "__main__":
    main()
