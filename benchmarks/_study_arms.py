"""The arms of `study.py`: what each is called, which options apply to it, and the networks that they measure."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spikeunet.converters import calibration_pictures, convert, normalize
from spikeunet.engine import IntegrateAndFire, MultiThreshold, load_model, read_picture, save_model
from spikeunet.engine.command_line.conversion import noise_levels
from spikeunet.engine.command_line.finetune import finetune as finetune_command
from spikeunet.engine.datasets import LAYOUTS, find_dataset
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.files.atomic import atomic_write
from spikeunet.engine.layers import AvgPool2d
from spikeunet.engine.models import model_digest
from spikeunet.engine.pictures.preprocessing import network_input

NEURONS = ("multi-threshold", "if")
NORMALIZATIONS = ("connection", "layer")
WORDS = {*LAYOUTS, *NEURONS, *NORMALIZATIONS, "converted", "fine-tuned"}
"""What an option can be for: a data set, a neuron, a normalisation, a network before or after fine-tuning."""

_UPRIGHT = ("camseq01",)
"""Data sets whose pictures have an up and a down."""


@dataclass(frozen=True)
class Arm:
    """A kind of neuron, a normalisation, and the number of steps that the network was fine-tuned for, 0 for none."""

    neuron: str
    normalization: str
    trained_for: int = 0

    @property
    def base(self):
        """The arm before fine-tuning."""
        return Arm(self.neuron, self.normalization)

    @property
    def words(self):
        return {self.neuron, self.normalization, "fine-tuned" if self.trained_for else "converted"}

    @property
    def name(self):
        return f"{self.neuron}-{self.normalization}" + (f"-T{self.trained_for}" if self.trained_for else "")

    @property
    def label(self):
        neuron = "IF" if self.neuron == "if" else "multi-threshold"
        trained = f", fine-tuned for T = {self.trained_for}" if self.trained_for else ""
        return f"{neuron}, {self.normalization}-wise{trained}"


@dataclass(frozen=True)
class Source:
    """A data set to measure on, and the trained network to convert for it."""

    name: str
    folder: Path
    network: str
    train: Path | None

    @property
    def task(self):
        return LAYOUTS[self.name].task

    @property
    def stem(self):
        return Path(self.network).stem


@dataclass(frozen=True)
class Recipe:
    """How networks are converted and fine-tuned; every number that they depend on but the pictures themselves.

    `initial` is a share of the smallest threshold, `sigma` the noise for denoisers (S or LOW:HIGH); `tuning` of an arm
    are its options of `spikeunet finetune`.
    """

    thresholds: tuple[float, ...]
    initial: float
    percentile: float
    pictures: int
    sigma: str
    tuning: Callable
    threads: int | None

    def neuron(self, kind):
        if kind == "if":
            return IntegrateAndFire(1.0, initial=self.initial)
        return MultiThreshold(self.thresholds, initial=self.initial * self.thresholds[-1])


def chosen(options, words, default=()):
    """Value of the option [WORD:WORD...=]VALUE with the most words, all of which apply; the last of equals.

    Where none applies, that of the `default` options; None where none of them does.
    """
    best, most = None, -1
    for text in options:
        found = re.fullmatch(r"(?:([a-z][\w:-]*)=)?(.*)", text)
        wanted = set(found[1].split(":")) if found[1] else set()
        if unknown := sorted(wanted - WORDS):
            raise SystemExit(f"{text!r}: an option can be for {', '.join(sorted(WORDS))} (got {unknown[0]!r})")
        if wanted <= words and len(wanted) >= most:
            best, most = found[2], len(wanted)
    return chosen(default, words) if best is None and default else best


def wanted_arms(tuned_for, only, dataset):
    """All arms of a data set; `tuned_for(arm)` gives the numbers of steps to fine-tune an arm for."""
    arms = [Arm(*pair) for pair in itertools.product(NEURONS, NORMALIZATIONS)]
    arms += [Arm(arm.neuron, arm.normalization, steps) for arm in arms for steps in tuned_for(arm)]
    patterns = [set(text.split(":")) for text in only]
    if unknown := sorted(set().union(*patterns) - WORDS):
        raise SystemExit(f"--only takes {', '.join(sorted(WORDS))}, with ':' between those that must meet ({unknown})")
    return [arm for arm in arms if not only or any(pattern <= {dataset, *arm.words} for pattern in patterns)]


def trained_network(source):
    """The trained network with the scale it was trained with, from a state dict or from a model converted from one."""
    facts = {**LAYOUTS[source.name].metadata(), "task": source.task}
    try:
        network = load_model(source.network)
    except ModelFileError:
        if not source.network.endswith(".npz"):
            raise
        return convert(source.network, normalization="none", metadata=facts)
    if "fine_tuning" in network.metadata:
        raise SystemExit(f"{source.network}: was fine-tuned; give the network that it was converted to before")
    return unnormalized(network).replace(metadata=facts)


def unnormalized(network):
    """The network as before its conversion: each layer's activations times the lambda that they were divided by."""
    lambdas = network.normalization
    weighted = [node for node in network.neurons if not isinstance(network[node.source], AvgPool2d)]
    unknown = [node.name for node in weighted if node.name not in lambdas]
    if network.metadata.get("conversion", {}).get("normalization") == "channel" and unknown:
        raise SystemExit(f"{unknown[0]} was normalised channel by channel, which cannot be undone; convert it anew")
    return normalize(network, {node.source: 1 / lambdas[node.name] for node in weighted if node.name in lambdas})


def calibration(source, network, recipe):
    """Training pictures, evenly spaced, as the network sees them."""
    channels = network.input.channels
    if source.task == "denoise":
        if source.train is None:
            raise SystemExit(f"say what to calibrate on: --train {source.name}=FOLDER of clean pictures")
        return calibration_pictures(source.train, channels, noise_levels(recipe.sigma), recipe.pictures)
    examples = find_dataset(f"{source.name}={source.folder}", "segment", split="train").examples
    count = min(recipe.pictures, len(examples))
    evenly = [examples[index * len(examples) // count] for index in range(count)]
    return [network_input(read_picture(example.picture), network) for example in evenly]


def make_networks(source, arms, recipe, work):
    """Model file of each arm and of its base; what is missing is made, an interrupted fine-tuning goes on."""
    work.mkdir(parents=True, exist_ok=True)
    settings = work / f"{source.stem}.json"
    _check_settings(settings, _settings(source, recipe))
    bases = dict.fromkeys(arm.base for arm in arms)
    paths = {arm: work / f"{source.stem}-{arm.name}.npz" for arm in (*bases, *arms)}
    if missing := [base for base in bases if not paths[base].exists()]:
        _convert(source, {base: paths[base] for base in missing}, recipe, settings)
    for arm, path in paths.items():
        if arm.trained_for:
            _check_settings(path.with_suffix(".json"), {"tuning": recipe.tuning(arm)})
        if not path.exists():
            _finetune(source, arm, paths[arm.base], path, recipe)
    return paths


def _convert(source, paths, recipe, settings):
    """Write the converted networks of arms, {arm: path}, and the settings that they are made with."""
    network = trained_network(source)
    pictures = calibration(source, network, recipe)
    _write_settings(settings, _settings(source, recipe))
    for normalization in dict.fromkeys(arm.normalization for arm in paths):
        converted = convert(
            network,
            normalization=normalization,
            calibration=pictures,
            percentile=recipe.percentile,
            metadata=network.metadata,
        )
        for arm, path in paths.items():
            if arm.normalization == normalization:
                save_model(converted.with_neurons(recipe.neuron(arm.neuron)), path)


def _finetune(source, arm, base, path, recipe):
    """One run of `spikeunet finetune`, on the training split or on --train."""
    if source.task == "segment":
        options = ["--task", "segment", "--train", f"{source.name}={source.folder}"]
        options += ["--upright"] if source.name in _UPRIGHT else []
    else:
        options = ["--train", str(source.train), "--add-noise", recipe.sigma]
    options += ["--steps", str(arm.trained_for), *recipe.tuning(arm), "-o", str(path)]
    options += [] if recipe.threads is None else ["--threads", str(recipe.threads)]
    options += ["--resume"] if path.with_suffix(".checkpoint.npz").exists() else []
    print(f"fine-tuning {path.stem}{' (resumed)' if options[-1] == '--resume' else ''}", flush=True)
    _write_settings(path.with_suffix(".json"), {"tuning": recipe.tuning(arm)})
    finetune_command.main([str(base), *options], standalone_mode=False)


def _settings(source, recipe):
    """All that converted networks depend on, as JSON values."""
    settings = {name: getattr(recipe, name) for name in ("initial", "percentile", "pictures", "sigma")}
    settings |= {"thresholds": list(recipe.thresholds), "network": model_digest(source.network)}
    return settings | {"train": str(source.train or source.folder)}


def _check_settings(path, settings):
    """Refuse a folder whose networks were made otherwise."""
    before = json.loads(path.read_text()) if path.exists() else settings
    if different := [name for name, value in settings.items() if before.get(name) != value]:
        raise SystemExit(
            f"{path}: the networks here were made with another {', '.join(different)}; take those, or another --out"
        )


def _write_settings(path, settings):
    with atomic_write(path) as stream:
        stream.write(json.dumps(settings, indent=1).encode())


def listed(kind, text):
    """Values of a kind (int, float) from "1,2,4", none from an empty text."""
    try:
        return [kind(word) for word in text.split(",") if word]
    except ValueError:
        raise SystemExit(f"{text!r}: must be numbers with ',' between them") from None
