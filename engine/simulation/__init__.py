"""Run a network on pictures: layer by layer, step by step or tile by tile, with the same spikes."""

from ..results.result import Result
from ..results.state import State
from .simulate import simulate

__all__ = ["Result", "State", "simulate"]
