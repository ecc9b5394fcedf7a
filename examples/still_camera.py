# %% [markdown]
# # A camera that stands still
#
# From frame to frame little changes, and so there is little to compute. By exact increments a stream computes what is
# not as in the frame before, with the bits of a full run.

# %%
from pathlib import Path

import numpy as np

from spikeunet.engine import DenoiseStream, denoise, read_picture

still = read_picture(Path("pictures/camera.png"))[64:192, 64:224]
noisy = np.clip(still + np.random.default_rng(0).normal(0, 15, still.shape), 0, 255).astype(np.uint8)


def frame(number):
    """The same noisy picture, a bright square of 16x16 pixels further to the right each time."""
    found = noisy.copy()
    found[40:56, 20 + 4 * number : 36 + 4 * number] = 230
    return found


# %% [markdown]
# Frame by frame: how many of the full run's accumulates were done.

# %%
stream = DenoiseStream("denoise-tiny", exact_increments=True)
for number in range(6):
    restored = stream.push(frame(number)).picture
    layers = stream.increments[0].values()
    done, full = sum(layer.done for layer in layers), sum(layer.full for layer in layers)
    print(f"frame {number}: {done / full:.1%} of the accumulates")

# %% [markdown]
# The result is that of the frame alone, to the last bit.

# %%
print(np.array_equal(restored, denoise(frame(5), "denoise-tiny").picture))
print(stream.savings.text)

# %% [markdown]
# Where it does not help: noise that is new in each frame changes nearly each pixel. Then all frames are run in full,
# which the stream says, and nothing is lost but the comparison.

# %%
stream.reset()
for number in range(4):
    fresh = np.random.default_rng(number).normal(0, 15, still.shape)
    stream.push(np.clip(still + fresh, 0, 255).astype(np.uint8))
print(stream.savings.text)
