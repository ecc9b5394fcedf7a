# %% [markdown]
# # A layer of your own
#
# A layer is a dataclass that computes a current for rows of its output, in NumPy or Numba. Everything else, neurons,
# counts, threads, files, comes with it. (`my_layer.py` has one with weights that is fine-tuned.)

# %%
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikeunet.engine import (
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Projection,
    padded_rows,
    read_picture,
    register_layer,
    simulate,
    window_fan_out,
    window_rows,
    write_picture,
)

WINDOW = ((3, 3), (1, 1), (1, 1))  # size, stride, padding


# %%
@register_layer
@dataclass(frozen=True, eq=False)
class Retina(Projection):
    """Each pixel less a share of the eight around it, as ganglion cells of a retina see it."""

    share: float = 0.125

    file_fields: ClassVar = {"share": "number"}

    def output_shape(self, shape):
        return shape

    def input_rows(self, first, last, incoming):
        return window_rows(first, last, incoming, *WINDOW)

    def fan_out(self, incoming):
        return window_fan_out(incoming, *WINDOW, channels=1)

    def current(self, values, rows, state=None):
        padded, width = padded_rows(values, rows, *WINDOW), values.shape[2]
        found = (1 + self.share) * padded[:, 1:-1, 1:-1]
        for i in range(3):
            for j in range(3):
                found -= self.share * padded[:, i : i + rows.height, j : j + width]
        return found


# %% [markdown]
# Two of them one behind the other: edges, and what changes along edges.

# %%
network = Network(
    [
        Input("picture", 1),
        Retina("first", "picture"),
        Neurons("cells", "first", MultiThreshold.rounding()),
        Retina("second", "cells"),
        Output("output", "second"),
    ]
)
picture = read_picture("pictures/camera.png")[:256, :256]
result = simulate(network, picture[None].astype(np.float32) / 255, steps=4)
print(result.operations)

# %%
edges = np.clip(np.abs(result.output[0]) * 8, 0, 1).astype(np.float32)
write_picture("edges.png", (255 * edges).astype(np.uint8))

# %%
try:
    from spikeunet.engine.testing import check_layer
except ImportError:
    print("pip install 'spikeunet[testing]' to check it")
else:
    check_layer(Retina("first", "anything", 0.25), (2, 5, 4))
    print("all checks hold")
