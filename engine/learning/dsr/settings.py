"""Settings of training on the spike representation."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ...neurons import IntegrateAndFire, LeakyIntegrateAndFire
from ..connected import Model, check_widths
from ..gradient_trainer import GradientSettings
from ..settings import option

POOLS = ("stride", "average", "max")


@dataclass(frozen=True)
class DsrSettings(GradientSettings):
    """Settings of DSR."""

    steps: int = option(
        10, "Time steps T; 0 trains the artificial network with clipped activations.", least=0, most=1000
    )
    convolutions: tuple[int, ...] = option(
        (), "Channels of 3x3 convolutions before the full connections; none by default.", least=1, most=65536
    )
    pool: str = option(
        "stride", "What halves the picture at each convolution: its stride, or pooling behind it.", choices=POOLS
    )
    layers: tuple[int, ...] = option((128,), "Widths of the populations of full connections.", least=1, most=65536)
    neuron: str = option("if", "Integrate-and-fire, or with a leak.", choices=("if", "lif"))
    leak: float = option(0.9, "Share of a lif neuron's potential that is left after a step.", above=0, below=1)
    threshold: float = option(1.0, "First threshold of all populations.", above=0)
    alpha: float = option(0.5, "Share of the threshold at which a neuron fires.", above=0, most=1)
    train_thresholds: bool = option(True, "Train a threshold for each population.")
    floor: float = option(0.01, "Smallest threshold.", above=0)

    def check(self) -> None:
        """InputError where there is no population, or pools whose neurons would leak."""
        if not self.convolutions:
            check_widths(self.layers)
        elif self.neuron == "lif" and self.pool != "stride":
            raise InputError(
                f"the neurons behind {self.pool} pooling cannot leak: what a pool hands on would be weighted twice; "
                "take pool stride, or neuron if"
            )

    @property
    def kept(self) -> float:
        """What is left of a potential after a step."""
        return self.leak if self.neuron == "lif" else 1.0

    def model(self, threshold: float) -> tuple[Model, float]:
        """The engine's neurons of a population, in which alpha is an initial potential, and what its biases rise by."""
        ahead = (1 - self.alpha) * threshold
        if self.neuron == "if":
            return IntegrateAndFire(threshold, initial=ahead), 0.0
        return LeakyIntegrateAndFire(threshold, self.leak, initial=ahead), (1 - self.leak) * ahead
