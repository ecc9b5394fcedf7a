# %% [markdown]
# # A neuron of your own
#
# A neuron model is a dataclass with a step in plain Python, which is its own specification. Registered, it runs
# compiled in the engine and is counted, saved and checked like the others. (`my_neuron.py` also fine-tunes one.)

# %%
import io
from dataclasses import dataclass

import numpy as np

from spikeunet.engine import Conv2d, Input, Network, Neurons, Output, load_model, register_neuron, save_model, simulate


# %%
@register_neuron
@dataclass(frozen=True)
class Tired:
    """Fires at a threshold that each spike raises for a while; `fatigue` wears off by a tenth at each step."""

    threshold: float = 0.5
    rise: float = 0.5
    initial: float = 0.0

    def state(self):
        return {"v": self.initial, "fatigue": 0.0}

    def levels(self):
        return 0.0, self.threshold

    @staticmethod
    def step(current, v, fatigue, threshold, rise):
        v += current
        if v >= threshold + rise * fatigue:
            return 1, v - (threshold + rise * fatigue), 0.9 * fatigue + 1
        return 0, v, 0.9 * fatigue


# %% [markdown]
# A current that stays the same: the neuron fires fast at first and slows down.

# %%
network = Network(
    [
        Input("light", 1),
        Conv2d("synapse", "light", np.ones((1, 1, 1, 1))),
        Neurons("tired", "synapse", Tired()),
        Conv2d("readout", "tired", np.ones((1, 1, 1, 1))),
        Output("output", "readout"),
    ]
)
picture = np.full((1, 1, 1), 0.45, np.float32)
result = simulate(network, picture, steps=24, record=("spikes",), probes={"tired": [(0, 0, 0)]})
print("spikes: ", "".join("|" if spike else "." for spike in result.spikes["tired"].ravel()))
print("fatigue:", np.round(result.traces["tired"]["fatigue"].ravel()[:6], 2))

# %%
file = io.BytesIO()
save_model(network, file)
file.seek(0)
print("the same after saving:", np.array_equal(simulate(load_model(file), picture, steps=24).output, result.output))

# %% [markdown]
# The kit checks what must hold: silence at rest, levels that are what the step says, and that compiled code does what
# Python says.

# %%
try:
    from spikeunet.engine.testing import check_neuron
except ImportError:
    print("pip install 'spikeunet[testing]' to check it")
else:
    check_neuron(Tired())
    print("all checks hold")
