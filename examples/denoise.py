# %% [markdown]
# # Denoise a picture
#
# The shipped network finds by itself how noisy a picture is, and denoises it in a single time step. What it did is
# counted exactly.

# %%
from pathlib import Path

import numpy as np

from spikeunet.engine import denoise, read_picture, write_picture
from spikeunet.engine.pictures.metrics import psnr, ssim

# %% [markdown]
# A clean picture, and the same with Gaussian noise of standard deviation 25 (of 255).

# %%
clean = read_picture(Path("pictures/camera.png"))[128:384, 128:384]
noise = np.random.default_rng(0).normal(0, 25, clean.shape)
noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)

# %%
denoised = denoise(noisy)
write_picture("denoised.png", denoised.picture)
print(f"PSNR {psnr(clean, noisy):.2f} -> {psnr(clean, denoised.picture):.2f} dB")
print(f"SSIM {ssim(clean, noisy):.3f} -> {ssim(clean, denoised.picture):.3f}")

# %% [markdown]
# What that took: events, operations, and an estimate of the energy beside that of the artificial network (ANN).

# %%
result = denoised.result
energy = result.operations.energy()
print(f"{result.total_events:,} events in {result.steps} step, {result.density:.1%} of the neurons fire")
print(f"{result.total_accumulates:,} operations; the ANN: {sum(result.dense_macs.values()):,}")
print(f"{1e3 * energy.spiking:.1f} mJ; the ANN: {1e3 * energy.dense:.1f} mJ")
