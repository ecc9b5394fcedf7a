"""Property tests for networks and neuron models: strategies, invariants, and the slow specification behind them.

Needs Hypothesis: `pip install "spikeunet[testing]"`. `strategies` draws neurons, layers, networks, event queues and
dyadic weights; `neuron_checks` holds a neuron model against what every neuron must do, `layer_checks` and
`weight_checks` hold a kind of layer against what every layer must do; `checks` holds the engine against `reference`, a
dense simulation in plain NumPy, and against brute-force counts of its operations.
"""

try:
    import hypothesis  # noqa: F401
except ImportError:
    raise ImportError("spikeunet.engine.testing needs Hypothesis: pip install 'spikeunet[testing]'") from None

from . import binary, brute_force, checks, layer_checks, neuron_checks, reference, strategies, weight_checks
from .binary import check_binary_inputs
from .checks import check_all, check_case
from .layer_checks import check_layer
from .neuron_checks import check_neuron
from .strategies import Case

__all__ = [
    "Case",
    "binary",
    "brute_force",
    "check_all",
    "check_binary_inputs",
    "check_case",
    "check_layer",
    "check_neuron",
    "checks",
    "layer_checks",
    "neuron_checks",
    "reference",
    "strategies",
    "weight_checks",
]
