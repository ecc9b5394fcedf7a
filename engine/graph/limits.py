"""What a network may ask for at most: far beyond any real network, so that a small model file cannot cost hours.

Weights are bounded by the size of the file that they come from. What is listed here is not: a few bytes can name a
stride of a million, or double the channels node by node.
"""

from __future__ import annotations

MOST_NODES = 1 << 14
"""Nodes of a network."""

MOST_JOINED = 1 << 16
"""Parts that all synapses of a network read together, seen through average pools and through Concats, each of which
counts as a part of its own."""

MOST_ADDED = 1 << 12
"""Parts that sums give to all neurons and the readout together, seen through sums, each of which counts, too."""

MOST_INPUT_CHANNELS = 1 << 10
"""Channels of the Input: a gray picture is repeated for each of them."""

MOST_GROUPS = 1 << 16
"""Groups of a convolution."""

LARGEST_EXTENT = 1 << 13
"""Stride, padding and dilation, and height and width of a kernel with the gaps of its dilation, in pixels."""

MOST_HEAD_CHANNELS = 1 << 11
"""Channels of a head of attention, which holds a number for every two of them."""

MOST_DELAY = 1
"""Steps by which an edge may delay what it carries."""

MOST_PHASES = 1 << 16
"""Vertical times horizontal stride of a transposed convolution: output pixels for each one of the input."""

MOST_SPREAD_WEIGHTS = 1 << 28
"""Weights of a convolution in groups, zeros between the groups included: the kernels of the simulation read them so."""

LARGEST_MULTIPLE = 1 << 11
"""`Network.size_multiple`: pictures are padded to it."""

ELEMENTS_PER_PIXEL = 1 << 17
"""Elements (channels x height x width, padding included) that all nodes put out together for each pixel of the picture,
and what synapses keep from step to step, such as a max pool the sums of its windows. Of what is put out, fewer than
`FEWEST_CHANNELS` channels count as that many, because the kernels fill them up."""

FEWEST_CHANNELS = 16

FEWEST_PIXELS = 1 << 9
"""A smaller picture counts as one of so many pixels."""
