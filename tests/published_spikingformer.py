"""A Spikingformer in PyTorch by its published equations, straight from a state dict; and random state dicts."""

from __future__ import annotations

import numpy as np

CIFAR = (["block0", "block1", "block2", "block3", "block4"], (3, 4))
IMAGENET = (["proj", "proj1", "proj2", "proj3", "proj4"], (1, 2, 3, 4))


def random_state(dim=16, depth=1, classes=5, channels=3, ratio=2, stem=CIFAR, seed=0):
    """Weights and batch norms under the published names, with which all layers fire."""
    random = np.random.default_rng(seed)
    state = {}

    def norm(name, width):
        low, high = (1.2, 1.8) if name.endswith(("q_bn", "k_bn", "v_bn")) else (0.1, 0.7)  # attention needs many
        state[f"{name}.weight"] = random.uniform(0.8, 1.6, width)
        state[f"{name}.bias"] = random.uniform(low, high, width)
        state[f"{name}.running_mean"] = random.normal(0, 0.2, width)
        state[f"{name}.running_var"] = random.uniform(0.2, 0.6, width)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    def layer(name, into, out, *kernel, bias=True, norm_name=None):
        size = into * int(np.prod(kernel))
        state[f"{name}.weight"] = random.normal(0, 1.2 / np.sqrt(size), (out, into, *kernel))
        if bias:
            state[f"{name}.bias"] = random.normal(0, 0.1, out)
        if norm_name:
            norm(norm_name, out)

    widths = [channels, dim // 8, dim // 4, dim // 2, dim, dim]
    for name, into, out in zip(stem[0], widths, widths[1:], strict=False):
        layer(f"patch_embed.{name}_conv", into, out, 3, 3, bias=False, norm_name=f"patch_embed.{name}_bn")
    for block in range(depth):
        for name in ("q", "k", "v", "proj"):
            of = f"block.{block}.attn.{name}"
            layer(f"{of}_conv", dim, dim, 1, bias=name == "proj", norm_name=f"{of}_bn")
        of = f"block.{block}.mlp"
        layer(f"{of}.mlp1_conv", dim, ratio * dim, 1, 1, norm_name=f"{of}.mlp1_bn")
        layer(f"{of}.mlp2_conv", ratio * dim, dim, 1, 1, norm_name=f"{of}.mlp2_bn")
        for number in (1, 2):  # which the published code makes and never uses
            state[f"block.{block}.norm{number}.weight"], state[f"block.{block}.norm{number}.bias"] = (
                np.ones(dim),
                np.zeros(dim),
            )
    layer("head", dim, classes)
    return state


class Published:
    """The network in evaluation mode.

    Parameters
    ----------
    state : dict of str to array
    heads : int
    dtype : torch's type, in which everything is computed
    """

    def __init__(self, state, heads, stem=CIFAR, tau=2.0, dtype=None):
        import torch

        self.torch, self.heads, self.stem, self.tau = torch, heads, stem, tau
        self.dtype = torch.float64 if dtype is None else dtype
        self.state = {name: torch.tensor(value).to(self.dtype) for name, value in state.items()}
        self.spikes = {}
        self.distance = {}

    def lif(self, name, x, threshold=1.0):
        """Spikes of currents (T, ...): v += (x - v) / tau, a spike where v >= threshold, then v = 0."""
        v, spikes, nearest = self.torch.zeros_like(x[0]), [], np.inf
        for current in x:
            v = v + (current - v) / self.tau
            spike = (v >= threshold).to(self.dtype)
            nearest = min(nearest, float((v - threshold).abs().min()))
            v = v * (1 - spike)
            spikes.append(spike)
        self.spikes[name], self.distance[name] = self.torch.stack(spikes), nearest
        return self.spikes[name]

    def norm(self, name, x):
        part = [self.state[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias")]
        return self.torch.nn.functional.batch_norm(x, *part, False, 0.0, 1e-5)

    def conv(self, name, x, padding=0):
        """A convolution over (T, C, H, W), Conv1d's weights as those of 1x1."""
        weight, bias = self.state[f"{name}_conv.weight"], self.state.get(f"{name}_conv.bias")
        weight = weight[..., None] if weight.ndim == 3 else weight
        return self.norm(f"{name}_bn", self.torch.nn.functional.conv2d(x, weight, bias, padding=padding))

    def attention(self, name, x):
        x = self.lif(f"{name}.proj_lif", x)
        q, k, v = (self.lif(f"{name}.{part}_lif", self.conv(f"{name}.{part}", x)) for part in "qkv")
        by_head = [part.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3) for part in (q, k, v)]
        mixed = (by_head[0] @ by_head[1].transpose(2, 3)) @ by_head[2] * 0.125
        mixed = mixed.transpose(2, 3).reshape(x.shape)
        return self.conv(f"{name}.proj", self.lif(f"{name}.attn_lif", mixed, 0.5))

    def __call__(self, picture, steps=4):
        """What the head puts out, (classes,), of a picture (C, H, W)."""
        x = self.torch.tensor(picture).to(self.dtype)[None].repeat(steps, 1, 1, 1)
        names, pools = self.stem
        for number, name in enumerate(names):
            x = self.lif(f"patch_embed.{name}_lif", x) if number else x
            x = self.torch.nn.functional.max_pool2d(x, 3, 2, 1) if number in pools else x
            x = self.conv(f"patch_embed.{name}", x, 1)
        for block in range(sum(key.endswith("attn.q_conv.weight") for key in self.state)):
            x = x + self.attention(f"block.{block}.attn", x)
            of = f"block.{block}.mlp"
            x = x + self.conv(
                f"{of}.mlp2", self.lif(f"{of}.mlp2_lif", self.conv(f"{of}.mlp1", self.lif(f"{of}.mlp1_lif", x)))
            )
        mean = x.mean((2, 3)).mean(0)
        return (self.state["head.weight"] @ mean + self.state["head.bias"]).numpy()
