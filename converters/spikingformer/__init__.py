"""Spikingformer (Zhou et al., arXiv 2304.11954) out of weights under the names of the published code.

The network spikes already: nothing is normalised. Its neurons follow v <- v + (x - v) / tau and are put to zero by a
spike. That is v <- (1 - 1 / tau) v + x / tau, the engine's leaky neuron where x / tau is what its synapses put out: the
factor, the threshold and the batch norms are folded into the weights. With tau = 2 the factor is a power of two.

What the published network adds up between its blocks are real numbers, but only neurons read them, and the head. So
each population here receives the sum of the currents of all branches before it (`Add`), and the head, which is linear,
is folded into every branch (`MeanConv2d`): all weights but those of the first convolution meet binary events.
"""

from .keys import looks_like_spikingformer
from .read import read_spikingformer

__all__ = ["looks_like_spikingformer", "read_spikingformer"]
