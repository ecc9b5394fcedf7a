"""Spikingformer (arXiv 2304.11954) and its ANN twin in PyTorch; `train_spikingformer.py` trains them.

Needs torch and numpy alone; on a CUDA device with Triton, on a CPU with Numba, the populations are two kernels, forward
and backward.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None
try:
    import numba
except ImportError:
    numba = None

TAU = 2.0
SLOPE = 4.0  # of the surrogate: the derivative of sigmoid(SLOPE * (potential - threshold))


BLOCK = 2048  # currents that a kernel on a CPU takes at once, all steps of them: they stay in its cache


# --- Populations: v += (x - v) / tau, a spike where v >= threshold, which puts v to zero -----------------------------

if triton is not None:

    @triton.jit
    def _spikes_kernel(x, out, size, threshold, steps: tl.constexpr, block: tl.constexpr):
        at = tl.program_id(0) * block + tl.arange(0, block)
        inside = at < size
        v = tl.zeros([block], tl.float32)
        for t in tl.static_range(steps):
            v += (tl.load(x + t * size + at, inside, other=0.0).to(tl.float32) - v) * 0.5
            fired = v >= threshold
            tl.store(out + t * size + at, tl.where(fired, 1.0, 0.0).to(out.dtype.element_ty), inside)
            v = tl.where(fired, 0.0, v)

    @triton.jit
    def _gradient_kernel(x, grad, out, size, threshold, slope, steps: tl.constexpr, block: tl.constexpr):
        at = tl.program_id(0) * block + tl.arange(0, block)
        inside = at < size
        later = tl.zeros([block], tl.float32)
        for back in tl.static_range(steps):
            v = tl.zeros([block], tl.float32)
            for t in tl.static_range(steps - back):  # the potentials again: reading them would cost more than this
                v = tl.where(v >= threshold, 0.0, v) if t > 0 else v
                v += (tl.load(x + t * size + at, inside, other=0.0).to(tl.float32) - v) * 0.5
            sigmoid = 1.0 / (1.0 + tl.exp(-slope * (v - threshold)))
            step = grad + (steps - 1 - back) * size
            incoming = tl.load(step + at, inside, other=0.0).to(tl.float32)
            flow = incoming * slope * sigmoid * (1.0 - sigmoid) + tl.where(v >= threshold, 0.0, later)
            target = out + (steps - 1 - back) * size
            tl.store(target + at, (flow * 0.5).to(out.dtype.element_ty), inside)
            later = flow * 0.5


if numba is not None:

    @numba.njit(error_model="numpy", nogil=True)
    def _spikes_on_cpu(x: np.ndarray, out: np.ndarray, threshold: np.float32) -> None:
        half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
        v = np.empty(BLOCK, np.float32)
        for at in range(0, x.shape[1], BLOCK):
            size = min(BLOCK, x.shape[1] - at)
            v[:size] = zero
            for t in range(x.shape[0]):
                current, into = x[t, at : at + size], out[t, at : at + size]
                for i in range(size):
                    u = v[i] + (current[i] - v[i]) * half
                    into[i] = one if u >= threshold else zero
                    v[i] = zero if u >= threshold else u

    @numba.njit(error_model="numpy", nogil=True)
    def _gradient_on_cpu(x: np.ndarray, grad: np.ndarray, out: np.ndarray, threshold: np.float32, slope: np.float32):
        half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
        c2, c4, c6, c8 = np.float32(1 / 2), np.float32(1 / 24), np.float32(1 / 720), np.float32(1 / 40320)
        potentials, later = np.empty((x.shape[0] + 1, BLOCK), np.float32), np.empty(BLOCK, np.float32)
        potentials[0] = zero
        for at in range(0, x.shape[1], BLOCK):
            size = min(BLOCK, x.shape[1] - at)
            for t in range(x.shape[0]):
                current, before, v = x[t, at : at + size], potentials[t], potentials[t + 1]
                for i in range(size):
                    kept = zero if before[i] >= threshold else before[i]
                    v[i] = kept + (current[i] - kept) * half
            later[:size] = zero
            for t in range(x.shape[0] - 1, -1, -1):
                v, incoming, into = potentials[t + 1], grad[t, at : at + size], out[t, at : at + size]
                for i in range(size):
                    # the sigmoid's derivative is slope / (4 cosh(y)^2); cosh by its series is vectorised, 1e-4 near
                    y = slope * half * (v[i] - threshold)
                    y = y * y
                    cosh = one + y * (c2 + y * (c4 + y * (c6 + y * c8)))
                    flow = incoming[i] * (slope / (np.float32(4) * cosh * cosh))
                    later[i] = (flow + (zero if v[i] >= threshold else later[i])) * half
                    into[i] = later[i]


def potentials_of(x: Tensor, threshold: float) -> list[Tensor]:
    """Potentials before reset, a step each, of currents x (T, M), in float32."""
    v, potentials = torch.zeros_like(x[0], dtype=torch.float32), []
    for current in x.float():
        v = v + (current - v) / TAU
        potentials.append(v)
        v = torch.where(v >= threshold, 0.0, v)
    return potentials


class Spikes(torch.autograd.Function):
    """Spikes of currents (T, M); the reset is left out of the gradient."""

    fused = False
    on_cpu = False  # by the kernels of Numba; x is then float32 and so is what they give

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: float, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x)
        ctx.threshold = threshold
        if Spikes.on_cpu:
            out = torch.empty_like(x)
            _spikes_on_cpu(x.detach().numpy(), out.numpy(), np.float32(threshold))
            return out
        if not (Spikes.fused and x.is_cuda):
            return torch.stack([(v >= threshold).to(dtype) for v in potentials_of(x, threshold)])
        out = torch.empty(x.shape, dtype=dtype, device=x.device)
        grid = (triton.cdiv(x.shape[1], 1024),)
        _spikes_kernel[grid](x, out, x.shape[1], threshold, steps=x.shape[0], block=1024)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,), threshold = ctx.saved_tensors, ctx.threshold
        grad = grad.contiguous()
        if Spikes.on_cpu:
            out = torch.empty_like(x)
            _gradient_on_cpu(x.numpy(), grad.numpy(), out.numpy(), np.float32(threshold), np.float32(SLOPE))
            return out, None, None
        if Spikes.fused and x.is_cuda:
            out, grid = torch.empty_like(x), (triton.cdiv(x.shape[1], 1024),)
            _gradient_kernel[grid](x, grad, out, x.shape[1], threshold, SLOPE, steps=x.shape[0], block=1024)
            return out, None, None
        flows, later = [], torch.zeros_like(x[0], dtype=torch.float32)
        for incoming, v in zip(grad.float().flip(0), reversed(potentials_of(x, threshold)), strict=True):
            sigmoid = torch.sigmoid(SLOPE * (v - threshold))
            flow = incoming * SLOPE * sigmoid * (1 - sigmoid) + torch.where(v >= threshold, 0.0, later)
            later = flow / TAU
            flows.append(later)
        return torch.stack(flows[::-1]).to(x.dtype), None, None


class Population(nn.Module):
    """LIF neurons over T steps, or ReLU in the twin (steps = 0); input and output are (T * B, C, H, W)."""

    def __init__(self, steps: int, threshold: float = 1.0) -> None:
        super().__init__()
        self.steps, self.threshold = steps, threshold

    def forward(self, x: Tensor) -> Tensor:
        if not self.steps:
            return functional.relu(x)
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") and x.is_cuda else torch.float32
        pixels = x.permute(0, 2, 3, 1).contiguous()
        pixels = pixels.float() if Spikes.on_cpu else pixels
        spikes = Spikes.apply(pixels.reshape(self.steps, -1), self.threshold, dtype)
        return spikes.reshape(pixels.shape).permute(0, 3, 1, 2)


# --- The network -----------------------------------------------------------------------------------------------------


class Tokenizer(nn.Module):
    """An analog convolution, then four of population, (pooling,) convolution and batch norm: a quarter of the size."""

    def __init__(self, channels: int, dim: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        widths = [channels, dim // 8, dim // 4, dim // 2, dim, dim]
        for i in range(5):
            setattr(self, f"block{i}_conv", nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, bias=False))
            setattr(self, f"block{i}_bn", nn.BatchNorm2d(widths[i + 1]))
        self.population = Population(steps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block0_bn(self.block0_conv(x))  # the same at every step: computed once
        x = x.repeat(max(self.steps, 1), 1, 1, 1)
        for i in range(1, 5):
            x = self.population(x)
            x = functional.max_pool2d(x, 3, stride=2, padding=1) if i > 2 else x
            x = getattr(self, f"block{i}_bn")(getattr(self, f"block{i}_conv")(x))
        return x


class Attention(nn.Module):
    """q (k^T v) on spikes, without softmax; 1 x 1 convolutions with batch norm before and after."""

    def __init__(self, dim: int, heads: int, steps: int) -> None:
        super().__init__()
        self.heads, self.steps = heads, steps
        for name in ("q", "k", "v", "proj"):
            setattr(self, f"{name}_conv", nn.Conv2d(dim, dim, 1, bias=name == "proj"))
            setattr(self, f"{name}_bn", nn.BatchNorm2d(dim))
        self.population, self.attn_population = Population(steps), Population(steps, 0.5)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, C, H, W) as (B, heads, H * W, C / heads)."""
        return x.permute(0, 2, 3, 1).reshape(len(x), -1, self.heads, x.shape[1] // self.heads).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.population(x)
        parts = [getattr(self, f"{n}_bn")(getattr(self, f"{n}_conv")(x)) for n in "qkv"]
        q, k, v = (self.tokens(self.population(part)) for part in parts)
        scale = 0.125 if self.steps else 1 / q.shape[2]
        mixed = (q @ (k.transpose(-2, -1) @ v)) * scale
        back = mixed.transpose(1, 2).reshape(len(x), x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)
        return self.proj_bn(self.proj_conv(self.attn_population(back)))


class Perceptron(nn.Module):
    """Two 1 x 1 convolutions with batch norm, four times as wide between them."""

    def __init__(self, dim: int, ratio: int, steps: int) -> None:
        super().__init__()
        self.mlp1_conv, self.mlp1_bn = nn.Conv2d(dim, ratio * dim, 1), nn.BatchNorm2d(ratio * dim)
        self.mlp2_conv, self.mlp2_bn = nn.Conv2d(ratio * dim, dim, 1), nn.BatchNorm2d(dim)
        self.population = Population(steps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mlp1_bn(self.mlp1_conv(self.population(x)))
        return self.mlp2_bn(self.mlp2_conv(self.population(x)))


class Block(nn.Module):
    """Attention and perceptron, each added to the stream of real values."""

    def __init__(self, dim: int, heads: int, ratio: int, steps: int) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(dim, heads, steps), Perceptron(dim, ratio, steps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x).float()
        return x + self.mlp(x).float()


class Spikingformer(nn.Module):
    """The whole network; steps = 0 makes the ANN twin."""

    def __init__(self, channels: int, classes: int, dim: int, heads: int, depth: int, ratio: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.patch_embed = Tokenizer(channels, dim, steps)
        self.block = nn.ModuleList(Block(dim, heads, ratio, steps) for _ in range(depth))
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).float()
        for block in self.block:
            x = block(x)
        x = x.mean((2, 3))
        return self.head(x.reshape(max(self.steps, 1), -1, x.shape[1]).mean(0))


# --- From the twin ---------------------------------------------------------------------------------------------------


def upper(values: list[Tensor], share: float) -> float:
    """What so large a share of the values, a hundred thousand of them evenly taken, does not exceed."""
    flat = torch.cat([each.flatten() for each in values])
    return max(float(flat[:: max(1, len(flat) // 100_000)].quantile(share)), 1e-3)


def recorded(twin: Spikingformer, x: Tensor) -> dict[str, list[Tensor]]:
    """What batch norms put out, and what attentions, their last populations and perceptrons read, by module."""
    found: dict[str, list[Tensor]] = {}
    handles = []
    for name, module in twin.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            hook = lambda _, __, out, name=name: found.setdefault(name, []).append(out)  # noqa: E731
        elif isinstance(module, (Attention, Perceptron)) or name.endswith("attn_population"):
            hook = lambda _, given, __, name=name: found.setdefault(name, []).append(given[0])  # noqa: E731
        else:
            continue
        handles.append(module.register_forward_hook(hook))
    twin.eval()(x)
    for handle in handles:
        handle.remove()
    return found


def set_norm(model: nn.Module, name: str, scale: float, offset: float = 1.0) -> None:
    """Divide what a batch norm puts out by the scale, and add the offset."""
    norm = model.get_submodule(name)
    norm.weight.div_(scale)
    norm.bias.div_(scale).add_(offset)


def set_block(model: nn.Module, name: str, scales: dict[str, float], stream: float, tokens: int) -> None:
    """Scale a block, its q, k and v such that what the attention adds up goes to four times the threshold of 0.5."""
    triple = [scales[f"{name}.attn.{each}_bn"] for each in "qkv"]
    mixed = scales[f"{name}.attn.attn_population"] * tokens * 0.125 / 0.5
    factor = (mixed / math.prod(triple) / 4) ** (1 / 3)
    for each, scale in zip("qkv", triple, strict=True):
        set_norm(model, f"{name}.attn.{each}_bn", scale * factor)
    set_norm(model, f"{name}.mlp.mlp1_bn", scales[f"{name}.mlp.mlp1_bn"])
    set_norm(model, f"{name}.attn.proj_bn", stream, 0.0)
    set_norm(model, f"{name}.mlp.mlp2_bn", stream, 0.0)


@torch.no_grad()
def start_from_twin(model: Spikingformer, twin: Spikingformer, x: Tensor, share: float = 0.85) -> None:
    """Give the spiking model the twin's weights, such that its rates begin near the twin's activations.

    With tau = 2 and T = 4 a constant current fires from 16/15 times the threshold on, and at every step from twice the
    threshold on: nearly in proportion to what exceeds the threshold. So where the twin has ReLU of z, the current is
    1 + z / scale; the scale is what the given share of z does not exceed, in pictures x (B, C, H, W) up to 1. The batch
    norm behind each convolution takes its input's scale back out; the head is told of scale and offset.
    """
    model.load_state_dict(twin.state_dict())
    found = recorded(twin, x)
    stream = upper([v for name, values in found.items() if name.endswith(("attn", "mlp")) for v in values], share)
    scales = {name: upper(values, share) for name, values in found.items()}
    for i in range(5):
        name = f"patch_embed.block{i}_bn"
        set_norm(model, name, scales[name] if i < 4 else stream)
    for i in range(len(model.block)):
        set_block(model, f"block.{i}", scales, stream, x.shape[2] * x.shape[3] // 16)
    model.head.bias.sub_(stream * model.head.weight.sum(1))
    model.head.weight.mul_(stream)


# --- Names of weights -------------------------------------------------------------------------------------------------


def published_names(model: nn.Module) -> dict[str, np.ndarray]:
    """Weights under the published names and shapes, where the matrices of attention are Conv1d's; float16, float32."""
    arrays = {}
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        array = value.detach().float().cpu().contiguous().numpy()
        if ".attn." in name and name.endswith("conv.weight"):
            array = array[..., 0]
        weight = name.endswith(("conv.weight", "head.weight"))
        arrays[name] = array.astype(np.float16) if weight else array
    return arrays


def module_state(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The inverse of `published_names`."""
    found = {}
    for name, array in arrays.items():
        square = ".attn." in name and name.endswith("conv.weight")
        found[name] = torch.from_numpy(np.float32(array[..., None] if square else array))
    return found


def fused_works() -> bool:
    """Whether the fused kernels compile here and agree with the plain computation."""
    if triton is None:
        return False
    x = torch.randn(4, 5000, device="cuda") * 2
    wanted, got = [], []
    for Spikes.fused, into in ((False, wanted), (True, got)):
        given = x.clone().requires_grad_()
        out = Spikes.apply(given, 1.0, torch.float32)
        out.backward(torch.linspace(-1, 1, out.numel(), device="cuda").reshape(out.shape))
        into += [out.detach(), given.grad]
    return bool(torch.equal(wanted[0], got[0]) and torch.allclose(wanted[1], got[1], atol=1e-5))
