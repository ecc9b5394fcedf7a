"""The analog network (ANN), float32, matrix products by BLAS on all cores.

Every Neurons node acts as a ReLU, or not at all where its neurons emit negative values; in the quantised twin, as
stairs with as many levels as the neurons have.

Inside, a value is a tuple of arrays (H, W, channels), one after the other along the channels, so that a Concat costs
nothing.
"""

from .forward import activations, evaluate, forward
from .twin import quantised_twin, twin_bits

__all__ = ["activations", "evaluate", "forward", "quantised_twin", "twin_bits"]
