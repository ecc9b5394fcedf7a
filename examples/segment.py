# %% [markdown]
# # Segment a picture
#
# `segment-vessels` marks the vessels of a retina. A network says by its metadata how pictures are prepared for it.

# %%
from pathlib import Path

from spikeunet.engine import load_model, read_picture, segment, write_picture

# %%
retina = read_picture(Path("pictures/retina.png"))[100:356, 100:356]
network = load_model("segment-vessels")
print(network.metadata["description"])
print([step["name"] for step in network.metadata["preprocessing"]])

# %%
segmented = segment(retina, network)
print(segmented.labels.shape, segmented.labels.dtype)
for name, share in segmented.shares.items():
    print(f"{name}: {share:.1%} of the pixels")
print(f"{segmented.accumulates_per_pixel:,.0f} operations a pixel, {segmented.result.seconds:.2f} s")

# %% [markdown]
# Labels are class numbers; as a picture they are stretched to black and white.

# %%
write_picture("vessels.png", (segmented.labels * 255).astype("uint8"))
