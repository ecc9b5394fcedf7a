r"""Feedback networks trained by implicit differentiation at the equilibrium (IDE; Xiao et al., NeurIPS 2021).

A population with a connection to itself that takes a step:

    v <- decay v + W s(t - 1) + F x + b;    s(t) = 1 and v <- v - 1 where v >= 1

(arXiv 2109.14247). Its mean rate a over T steps, of leaky neurons weighted by decay^(T - t), comes as close to the
equilibrium a* = f(a*), f(a) = clip(W a + F x + b, 0, 1), as what is left on the membranes allows: without a leak the
distance falls as 1/T. The loss is one of a readout of a. Its gradient is taken at the equilibrium, whatever the way
that led there: with D = 1 where 0 < W a + F x + b < 1, and the Jacobian J = D W,

    (I - J^T) g = dL/da;    dL/dW = sum over the pictures of (D g) a^T, and likewise for F and b.

g is found by iteration or by Broyden's method. The code published with the paper iterates g <- (J^T g + dL/da) / 2
where it does not use Broyden's method, which ends at (2 I - J^T)^-1 dL/da, another direction; here a damped iteration
is g <- d g + (1 - d) (J^T g + dL/da), whose end does not depend on d. So that there is one equilibrium, the norm of W
is bounded. A threshold of 2 with a norm of 1, as published, is a threshold of 1 with a norm of 1/2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..files.model_file import save_model
from ..graph import Input, Network, Neurons, Output
from ..layers import Add, Linear
from ..neurons import IntegrateAndFire, LeakyIntegrateAndFire
from ..threads import limited_blas
from .connected import Fired, Model, fire, first_currents, first_weights, step_shares
from .gradient_trainer import GradientSettings, GradientTrainer, classification_loss
from .pictures import LabelledPictures
from .settings import option
from .trainer import Figures

Array = NDArray[Any]

VALIDATION_BATCH = 250
TOLERANCE = 1e-6
"""Largest number of the residual, as a share of that of dL/da, at which g is found."""


@dataclass(frozen=True)
class IdeSettings(GradientSettings):
    """Settings of IDE."""

    steps: int = option(10, "Time steps T.", least=1, most=1000)
    units: int = option(128, "Neurons of the population.", least=1, most=65536)
    neuron: str = option("if", "Integrate-and-fire, or with a leak.", choices=("if", "lif"))
    leak: float = option(0.95, "Share of a lif neuron's potential that is left after a step.", above=0, below=1)
    bound: float = option(0.5, "Largest norm of the feedback weights.", above=0, below=1)
    norm: str = option("frobenius", "Which norm that is.", choices=("frobenius", "spectral"))
    initial: float = option(0.0, "Membrane potential before the first step, in thresholds.", least=0, below=1)
    solver: str = option("iteration", "How gradients are solved for.", choices=("iteration", "broyden"))
    solver_steps: int = option(50, "Of the solver, at most.", least=1, most=10**6)
    damping: float = option(0.0, "Share of what was found before that an iteration keeps.", least=0, below=1)

    @property
    def kept(self) -> float:
        """What is left of a potential after a step."""
        return self.leak if self.neuron == "lif" else 1.0


class IdeTrainer(GradientTrainer[IdeSettings]):
    """Trains a population with feedback between two full connections."""

    settings_type: ClassVar[type[Any]] = IdeSettings
    method = "ide"

    def __init__(self, pictures: LabelledPictures, settings: IdeSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        widths = (int(np.prod(pictures.shape)), settings.units, len(pictures.classes))
        self.parameters = dict(first_weights(self.generator, widths, ("enter", "read")))
        feedback = self.generator.normal(0, settings.units**-0.5, (settings.units, settings.units))
        self.parameters["feedback.weight"] = feedback.astype(np.float32)
        self.constrain()

    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """Cross-entropy of the readout of the mean rates, and its gradients at the equilibrium."""
        settings = self.settings
        with limited_blas(1):
            rates = self.fired(batch.pictures).rates
            at = Equilibrium(self.parameters, batch.pictures.reshape(len(batch), -1), rates)
            figures, gradient = classification_loss(at.scores, batch.labels)
            gradients, residual = at.gradients(gradient, settings.solver, settings.solver_steps, settings.damping)
        return {**figures, "distance": at.distance, "residual": residual}, gradients

    def constrain(self) -> None:
        """Bound the norm of the feedback weights."""
        weight = self.parameters["feedback.weight"]
        norm, bound = float(np.linalg.norm(weight)), self.settings.bound
        if norm > bound and self.settings.norm == "spectral":  # which the other norm is never below
            with limited_blas(1):
                norm = float(np.linalg.norm(weight, 2))
        if norm > bound:
            weight *= np.float32(bound / norm)

    def fired(self, pictures: Array, steps: int | None = None) -> Fired:
        """What the population emits, as the engine's simulation of `network` has it; T is that of the settings."""
        shares = step_shares(steps or self.settings.steps, self.settings.kept)
        base = first_currents(pictures, self.parameters["enter.weight"], self.parameters["enter.bias"])
        return fire(base, self._model(), shares, feedback=self.parameters["feedback.weight"])

    def validate(self, pictures: LabelledPictures, steps: int | None = None) -> Figures:
        """Accuracy by the readout that the engine has, the distance to the equilibrium, and the share of spikes."""
        right, distances, rates = 0, list[float](), list[float]()
        for first in range(0, len(pictures), VALIDATION_BATCH):
            part = pictures.part(slice(first, first + VALIDATION_BATCH))
            fired = self.fired(part.pictures, steps)
            scores = fired.mean @ self.parameters["read.weight"].T + self.parameters["read.bias"]
            right += int((scores.argmax(axis=1) == part.labels).sum())
            at = Equilibrium(self.parameters, part.pictures.reshape(len(part), -1), fired.rates)
            distances += [at.distance] * len(part)
            rates += [float(fired.spikes.mean())] * len(part)
        means = {"distance": float(np.mean(distances)), "firing_rate": float(np.mean(rates))}
        return {"accuracy": right / len(pictures), **means}

    def network(self) -> Network:
        """The network as it is now, for the engine."""
        arrays = {name: self.parameters[f"{name}.weight"] for name in ("enter", "feedback", "read")}
        nodes = [
            Input("input", self.pictures.shape[0]),
            Linear("enter", "input", arrays["enter"], self.parameters["enter.bias"]),
            Linear("feedback", "neurons", arrays["feedback"], delay=1),
            Add("driven", ("enter", "feedback")),
            Neurons("neurons", "driven", self._model()),
            Linear("read", "neurons", arrays["read"], self.parameters["read.bias"]),
            Output("output", "read"),
        ]
        return Network(nodes, {**self.facts(), "steps": self.settings.steps})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file."""
        save_model(self.network(), path)

    def _model(self) -> Model:
        settings = self.settings
        if settings.neuron == "if":
            return IntegrateAndFire(1.0, initial=settings.initial)
        return LeakyIntegrateAndFire(1.0, settings.leak, initial=settings.initial)


TRAINER = IdeTrainer


class Equilibrium:
    """The network at mean rates that are close to its equilibrium, or at it.

    Parameters
    ----------
    parameters : mapping of arrays, all of one type
    inputs : (N, I)
        Pictures, flattened.
    rates : (N, J)
    """

    def __init__(self, parameters: Mapping[str, Array], inputs: Array, rates: Array) -> None:
        self.parameters = parameters
        self.inputs = inputs
        self.rates = rates
        entering = inputs @ parameters["enter.weight"].T + parameters["enter.bias"]
        driven = rates @ parameters["feedback.weight"].T + entering
        self.inside = (driven > 0) & (driven < 1)
        self.next_rates = np.clip(driven, 0, 1)
        self.scores = rates @ parameters["read.weight"].T + parameters["read.bias"]

    @property
    def distance(self) -> float:
        """Mean over the pictures of |a - f(a)|."""
        return float(np.linalg.norm(self.rates - self.next_rates, axis=1).mean())

    def gradients(
        self, gradient: Array, solver: str = "iteration", steps: int = 50, damping: float = 0.0
    ) -> tuple[dict[str, Array], float]:
        """Gradients of all parameters from that of the scores (N, K), and what is left of their equation.

        Parameters
        ----------
        gradient : (N, K)
        solver : "iteration" or "broyden"
        steps : int
            Of the solver, at most.
        damping : float
            Of the iteration.
        """
        wanted = gradient @ self.parameters["read.weight"]
        solve = self._broyden if solver == "broyden" else self._iterated
        found, residual = solve(wanted, steps, damping)
        flow = np.where(self.inside, found, 0)
        return {
            "enter.weight": flow.T @ self.inputs,
            "enter.bias": flow.sum(axis=0),
            "feedback.weight": flow.T @ self.rates,
            "read.weight": gradient.T @ self.rates,
            "read.bias": gradient.sum(axis=0),
        }, residual

    def _back(self, found: Array) -> Array:
        """J^T g, (N, J)."""
        product: Array = np.where(self.inside, found, 0) @ self.parameters["feedback.weight"]
        return product

    def _iterated(self, wanted: Array, steps: int, damping: float) -> tuple[Array, float]:
        number = wanted.dtype.type
        scale, found, residual = _largest(wanted) or 1.0, wanted, 0.0
        for _ in range(steps):
            other = self._back(found) + wanted
            residual = _largest(other - found) / scale
            if residual <= TOLERANCE:
                break
            found = other if not damping else number(damping) * found + number(1 - damping) * other
        return found, residual

    def _broyden(self, wanted: Array, steps: int, _damping: float) -> tuple[Array, float]:
        from scipy.optimize import NoConvergence, broyden1

        scale = _largest(wanted) or 1.0

        def left(found: Array) -> Array:
            return found - self._back(found) - wanted / scale

        try:
            found = broyden1(left, wanted / scale, alpha=1.0, maxiter=steps, f_tol=TOLERANCE)
        except NoConvergence as error:  # what was found counts; `residual` says how good it is
            found = np.asarray(error.args[0]).reshape(wanted.shape)
        residual = _largest(left(found))
        return (found * scale).astype(wanted.dtype), residual


def equilibrium_rates(parameters: Mapping[str, Array], inputs: Array, steps: int = 1000) -> Array:
    """(N, J): a* by iteration of f from 0, at most so often, to some units in the last place of 1."""
    rates = np.zeros((len(inputs), len(parameters["feedback.weight"])), inputs.dtype)
    weight = parameters["feedback.weight"].T
    entering = inputs @ parameters["enter.weight"].T + parameters["enter.bias"]
    for _ in range(steps):
        before, rates = rates, np.clip(rates @ weight + entering, 0, 1)
        if np.abs(rates - before).max() <= 2 * np.finfo(rates.dtype).eps:
            break
    return rates


def _largest(array: Array) -> float:
    return float(np.abs(array).max())
