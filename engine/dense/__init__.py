"""The analog network (ANN): every Neurons node acts as a ReLU; float32, matrix products by BLAS on all cores.

Inside, a value is a tuple of arrays (H, W, channels), one after the other along the channels, so that a Concat costs
nothing.
"""

from .forward import evaluate, forward

__all__ = ["evaluate", "forward"]
