"""What `spikeunet convert` does with a network that does not spike yet, as its options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError
from .claims import Claims
from .console import print_fields
from .jobs import check_folder, check_model_suffix, tell_skipped
from .neuron_options import neuron_model, numbers, trained_neurons
from .output import put_data
from .preprocessing_options import with_preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikeunet.converters import Weights

    from ..graph import Network
    from ..neurons import NeuronModel
    from ..pictures.ranges import SampleRange

NOISE_LEVELS = 10
"""A range of noise is spread over the calibration pictures in so many equal steps."""


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and how: a field for each option of the command.

    Parameters
    ----------
    preprocessing : dict
        Those of `preprocessing_options`.
    **others
        As `spikeunet convert --help` says.
    """

    state: Path
    output: Path
    calibration: Path | None
    pictures: int | None
    sigma: str | None
    sample_range: SampleRange | None
    entry: str | None
    architecture: str
    normalization: Any
    scales: Any
    percentile: float | None
    neuron: str
    thresholds: str | None
    initial: float | None
    reset: str | None
    decay: float | None
    gamma: int | None
    period: int | None
    parameters: tuple[str, ...]
    tune: bool
    accumulates: float | None
    dt: float | None
    integration: str
    steps: int | None
    heads: int | None
    tau: float | None
    task: str | None
    predicts: str | None
    epsilon: float | None
    dataset: str | None
    metadata: Path | None
    check: Path | None
    no_check: bool
    force: bool
    description: str | None
    dtype: Any
    preprocessing: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Conversion:
        """Of all that the command is given."""
        own = {field.name for field in fields(cls)}
        rest = {name: value for name, value in given.items() if name not in own}
        return cls(**{name: given[name] for name in own & given.keys()}, preprocessing=rest)

    def run(self) -> None:
        """Convert the network, or read one that spikes already, and print what was made."""
        from .convert_spiking import reader_of_spiking

        params = click.get_current_context().params
        read, ahead = reader_of_spiking(params, self.dt, self.integration, self.heads, self.tau)
        if read is None:
            self._convert(ahead)
        else:
            self._check_output(self.check)
            read()

    def _convert(self, ahead: Weights | None) -> None:
        """Convert the network of a file, whose weights may have been read."""
        from spikeunet.converters import convert

        from ..files.model_file import save_model
        from .assumptions import assumptions
        from .convert_tuned import check_tunable, tuned
        from .model_metadata import check_task, given_metadata

        model, levels = self._neuron_model(), noise_levels(self.sigma)
        given = given_metadata(self.task, self.dataset, self.metadata)
        facts, check = self._facts(given), self._check_file()
        self._check_output(check)
        check_tunable(self.tune, self.calibration, self.accumulates)
        self._check_combinations(check)
        weights = self._weights(ahead)
        self._check_calibration()
        held = self._held(check)
        plain = convert(weights, self.architecture, "none", **held)
        samples = self._samples(plain, levels, facts)
        trained = trained_neurons(plain, tune=self.tune)
        options = {
            "normalization": self.normalization,
            "scales": self.scales,
            "percentile": self.percentile,
            "neuron": None if trained else model,
        }
        if self.tune:
            best = tuned(plain, samples or [], self.steps, self.accumulates)
            options, model, facts["steps"] = best.options, best.neuron, best.steps
        network = convert(weights, self.architecture, calibration=samples, **options, metadata=facts, **held)
        check_task(network)
        save_model(network, self.output, self.dtype)
        assumed = assumptions(network, self.predicts or given.get("predicts"), self.epsilon)
        _tell(self.output, network, trained or repr(model), samples, assumed)

    # --- What options say --------------------------------------------------------------------------------------------

    def _neuron_model(self) -> NeuronModel:
        options = {name: getattr(self, name) for name in ("reset", "decay", "gamma", "period")}
        return neuron_model(self.neuron, self.thresholds, self.initial, self.parameters, **options)

    def _facts(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the model file will say of the model; `given` is what a data set or a file says of it."""
        from ..tasks.inference import check_steps
        from .model_metadata import check_facts, with_prediction

        facts = with_preprocessing(with_prediction(given, self.predicts), **self.preprocessing)
        if self.description is not None:
            facts["description"] = self.description
        if self.steps is not None:
            facts["steps"] = check_steps(self.steps)
        check_facts(facts)
        return facts

    def _held(self, check: Path | None) -> dict[str, Any]:
        """What is the same whether activations are normalised or not."""
        from spikeunet.converters.batch_norm import EPSILON

        epsilon = EPSILON if self.epsilon is None else self.epsilon
        return {"batch_norm_epsilon": epsilon, "check": check or False, "force": self.force}

    def _samples(
        self, plain: Network, levels: Sequence[float], facts: dict[str, Any]
    ) -> Sequence[NDArray[np.float32]] | None:
        """Calibration pictures, with noise of some levels, which the facts then say; None without any."""
        from spikeunet.converters import calibration_pictures

        if self.calibration is None:
            return None
        before = facts.get("preprocessing", ())
        given = (plain.input.channels, levels, self.pictures, before, self.sample_range)
        samples = calibration_pictures(self.calibration, *given)
        tell_skipped(self.calibration)
        if self.sigma is not None:
            facts["calibration_sigma"] = [levels[0], levels[-1]]
        return samples

    def _weights(self, ahead: Weights | None) -> Any:
        """What a file holds: a network, or weights; InputError where an option has no meaning."""
        from spikeunet.converters.onnx import is_onnx, read_onnx
        from spikeunet.converters.state_dict import find_weights

        from .assumptions import check_epsilon

        if not is_onnx(self.state):
            weights = find_weights(ahead or self.state, self.entry)
            check_epsilon(self.epsilon, weights.arrays)
            return weights
        said = click.get_current_context().get_parameter_source("architecture") is ParameterSource.COMMANDLINE
        meant = {"--entry": self.entry, "--epsilon": self.epsilon, "--architecture": said or None}
        for option in (name for name, value in meant.items() if value is not None):
            raise InputError(f"{option} has no meaning for an ONNX file, which says it itself; leave it out")
        return read_onnx(self.state)

    def _check_file(self) -> Path | None:
        """The file to compare with: the one named, else the one that the exporter wrote beside an ONNX file."""
        from spikeunet.converters.onnx import examples_beside, is_onnx

        if self.no_check and self.check is not None:
            raise InputError("--check and --no-check contradict each other; leave one of them out")
        alone = self.no_check or self.check is not None or not is_onnx(self.state)
        return self.check if alone else examples_beside(self.state)

    # --- What does not go together -----------------------------------------------------------------------------------

    def _check_combinations(self, check: Path | None) -> None:
        """InputError for an option without the one that gives it a meaning."""
        if self.force and check is None:
            raise InputError("--force has no meaning without --check FILE or a check's file beside it; leave it out")
        about_pictures = {"--pictures": self.pictures, "--add-noise": self.sigma, "--range": self.sample_range}
        given = [name for name, value in about_pictures.items() if value is not None]
        if self.calibration is None and given:
            raise InputError(f"{given[0]} has no meaning without --calibration; name a folder of pictures")

    def _check_calibration(self) -> None:
        """InputError where pictures are needed."""
        if self.calibration is None and self.normalization != "none":
            raise InputError(
                f"--normalization {self.normalization} needs calibration pictures, such as the network will see; "
                "name a folder of them by --calibration, or take --normalization none"
            )

    def _check_output(self, check: Path | None) -> None:
        check_model_suffix(self.output)
        claims = Claims()
        claims.reads("the state dict", self.state)
        read = {
            "the check": check,
            "the picture": self.calibration,
            "the names of the classes": self.preprocessing["classes"],
            "the metadata": self.metadata,
        }
        for what, path in read.items():
            claims.reads(what, *([] if path is None else [path]))
        claims.writes("the model", self.output)
        check_folder(self.output.parent)


def _tell(
    output: Path,
    network: Network,
    neurons: str,
    samples: Sequence[NDArray[np.float32]] | None,
    assumed: list[tuple[str, str]],
) -> None:
    """Print what was made, of how much, and what was taken for granted."""
    from .assumptions import doubts, scales_chosen

    doubtful = doubts(network, samples)
    put_data(
        {
            "model": str(output),
            "parameters": network.parameters,
            "calibration_pictures": len(samples or ()),
            "neurons": neurons,
            "metadata": dict(network.metadata),
            "assumed": dict(assumed),
            "doubts": [text for _, text in doubtful],
        }
    )
    print_fields(
        [
            ("model", str(output)),
            ("parameters", f"{network.parameters:,}"),
            ("neurons", neurons),
            ("calibration", f"{len(samples)} pictures" if samples else "none"),
            ("scales", scales_chosen(network)),
            *assumed,
            *doubtful,
        ]
    )


def noise_levels(sigma: str | None) -> tuple[float, ...]:
    """Levels of noise from "S" or "LOW:HIGH", lowest first; none for no noise."""
    from ..pictures.noise import check_sigma

    if sigma is None:
        return ()
    bounds = [check_sigma(value) for value in numbers("--add-noise", sigma, ":")]
    if len(bounds) == 1:
        return (bounds[0],)
    low, high = bounds[0], bounds[-1]
    if len(bounds) > 2 or low > high:
        raise InputError(f"--add-noise must be a number or LOW:HIGH with LOW <= HIGH (got {sigma!r})")
    return tuple(low + (high - low) * index / (NOISE_LEVELS - 1) for index in range(NOISE_LEVELS))
