"""An architecture by its walk: what `ARCHITECTURES` holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from spikeunet.engine.errors import GraphError, StateDictError
from spikeunet.engine.graph import Network

from ..state_dict import StateDict
from .assembly import Assembly
from .layers import Layers
from .survey import Survey


@dataclass(frozen=True)
class Blueprint:
    """Builds the network of an architecture, and tells whether a state dict is of it without building anything.

    Parameters
    ----------
    name : str
    description : str
        What it is, and whose keys it has.
    walk : function of Layers
        Goes through all layers, from `input` to `finish`, by the keys of their arrays. It may raise StateDictError.
    """

    name: str
    description: str
    walk: Callable[[Layers], None]

    def __call__(self, state: StateDict, epsilon: float) -> Network:
        """The network that a state dict describes, not normalised, with default neurons.

        Raises
        ------
        StateDictError
            If keys are missing, unexpected or misshapen, or epsilon is not positive.
        """
        if not (math.isfinite(epsilon) and epsilon > 0):
            raise StateDictError(f"the epsilon of batch norm must be positive (got {epsilon})")
        self.survey(state, epsilon).check(self.name)
        assembly = Assembly(state, epsilon)
        try:
            self.walk(assembly)
        except GraphError as error:
            raise StateDictError(f"the state dict makes a network that is none: {error}") from None
        return assembly.network

    def survey(self, state: StateDict, epsilon: float) -> Survey:
        """What the architecture takes of a state dict, and what does not fit."""
        survey = Survey(state, epsilon)
        try:
            self.walk(survey)
        except StateDictError as error:
            survey.refusal = error
        return survey
