"""Property tests for networks and neuron models: strategies, invariants, and the slow specification behind them.

Needs Hypothesis: `pip install "spikeunet[testing]"`. `strategies` draws neurons, layers, networks, event queues and
dyadic weights; `neuron_checks` holds a neuron model against what every neuron must do; `checks` holds the engine
against `reference`, a dense simulation in plain NumPy, and against brute-force counts of its operations.
"""

try:
    import hypothesis  # noqa: F401
except ImportError:
    raise ImportError("spikeunet.engine.testing needs Hypothesis: pip install 'spikeunet[testing]'") from None

from . import brute_force, checks, neuron_checks, reference, strategies
from .checks import check_all, check_case
from .neuron_checks import check_neuron
from .strategies import Case

__all__ = [
    "Case",
    "brute_force",
    "check_all",
    "check_case",
    "check_neuron",
    "checks",
    "neuron_checks",
    "reference",
    "strategies",
]
