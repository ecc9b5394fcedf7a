"""SoftLIF: networks are trained as smooth firing rates and run as leaky integrate-and-fire neurons."""

from .passes import filtered, rate_gradients, rates, run_rates
from .rate import lif_rate, softlif
from .small_network import small_network
from .trainer import TRAINER, SoftLIFSettings, SoftLIFTrainer

__all__ = [
    "TRAINER",
    "SoftLIFSettings",
    "SoftLIFTrainer",
    "filtered",
    "lif_rate",
    "rate_gradients",
    "rates",
    "run_rates",
    "small_network",
    "softlif",
]
