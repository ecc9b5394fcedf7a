"""Run a network on pictures: layer by layer or step by step, with the same spikes."""

from .result import Result
from .simulate import simulate
from .state import State

__all__ = ["Result", "State", "simulate"]
