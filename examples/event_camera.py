# %% [markdown]
# # Events of a camera
#
# An event camera tells changes of brightness, each with its place, time and sign. Here a bar moves across an imaginary
# one; `read_events` reads recordings.

# %%
import numpy as np

from spikeunet.engine import (
    AvgPool2d,
    Conv2d,
    Input,
    LeakyIntegrateAndFire,
    Network,
    Neurons,
    Output,
    Stream,
    bin_events,
    simulate,
)

HEIGHT, WIDTH, STEPS = 32, 48, 40


# %%
def moving_bar():
    """A bright bar that moves one column a millisecond: on events at its front, off events at its back."""
    fields = [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")]
    rows = np.arange(8, 24)
    parts = []
    for step in range(STEPS):
        for column, polarity in ((step, 1), (step - 4, 0)):
            if 0 <= column < WIDTH:
                part = np.zeros(len(rows), fields)
                part["x"], part["y"], part["t"], part["p"] = column, rows, 1000 * step, polarity
                parts.append(part)
    return np.concatenate(parts)


events = moving_bar()
stream = bin_events(events, (2, HEIGHT, WIDTH), time_step=1000, steps=STEPS)
print(f"{len(events)} events in {STEPS} steps of 1 ms")

# %% [markdown]
# A filter that answers to vertical edges, leaky neurons that forget, and a mean over regions that follows the bar.

# %%
edge = np.zeros((1, 2, 3, 3), np.float32)
edge[0, 1], edge[0, 0] = [[0, 0, 0.5]] * 3, [[-0.25, 0, 0]] * 3
network = Network(
    [
        Input("camera", 2, encoder=stream.encoder),
        Conv2d("edges", "camera", edge, padding=1),
        Neurons("relu1", "edges", LeakyIntegrateAndFire(0.5, decay=0.5)),
        AvgPool2d("regions", "relu1", 8),
        Output("output", "regions"),
    ]
)
result = simulate(network, stream, record=("spikes",))
positions = [np.flatnonzero(step[0].any(axis=0)).mean() for step in result.spikes["relu1"] if step.any()]
print(f"the edge moves from column {positions[0]:.0f} to {positions[-1]:.0f}")
print(f"{result.total_events} events of neurons, {result.total_accumulates} operations: what is silent costs none")

# %% [markdown]
# As a stream, part after part, the network keeps its state: the counts are those of one run.

# %%
camera = Stream(network)
parts = [camera.push(stream[first : first + 10]) for first in range(0, STEPS, 10)]
print([part.total_events for part in parts], sum(part.total_events for part in parts) == result.total_events)
