"""Train Spikingformer (arXiv 2304.11954) and its ANN twin of equal size in PyTorch, on a CPU or a CUDA device.

The network is the published one under the published names of its weights: a spiking tokeniser, blocks of spiking
self-attention and of a two-layer perceptron, both added to a stream of real values that only LIF populations read,
and a linear head on the mean over tokens and steps. The twin has the same weights and sums with ReLU where the
spiking network has a population, runs once instead of T times, and divides the attention by the number of tokens.

This script and `spikingformer_network.py` beside it need torch, numpy and pillow alone (scikit-learn for
``--data digits``, Numba for ``--numba``), not spikeunet. It trains by the clock: the rate follows a cosine over the
minutes given and ends at zero in time, whatever the machine; or, with ``--epochs``, for so many. The twin comes first;
the spiking network then learns from the labels and, with ``--distil``, from the twin's answers as well. With
``--from-twin`` it begins with the twin's weights, and the twin itself goes on for as many epochs with the same loss. In
the end both take the statistics of their batch norms anew, of training pictures as they are.

    python examples/train_spikingformer.py --data cifar10_jpeg.npz --device cuda --minutes 4.5 --out trained
    python examples/train_spikingformer.py --data digits --dim 32 --heads 4 --depth 1 --minutes 2 --out trained
    python examples/train_spikingformer.py --data cifar10_jpeg.npz --dim 64 --depth 1 --pictures 2500 --batch 50 \
        --epochs 20 --from-twin 20 --half --numba --threads 1 --out trained
"""

import argparse
import gzip
import io
import itertools
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from spikingformer_network import (
    Spikes,
    Spikingformer,
    fused_works,
    module_state,
    numba,
    published_names,
    start_from_twin,
)
from torch import Tensor, nn

FAST_PLAIN, FAST_FUSED, FAST_GRAPH = 0, 1, 2


# --- Data ------------------------------------------------------------------------------------------------------------


def read_cifar(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (N, 3, 32, 32) uint8, labels and which are for the test, of an archive of JPEGs."""
    from PIL import Image

    archive = np.load(path)
    data, offset = archive["jpeg"].tobytes(), archive["offset"].astype(np.int64)
    spans = itertools.pairwise(offset)
    pictures = [np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB")) for a, b in spans]
    return np.stack(pictures).transpose(0, 3, 1, 2), archive["label"].astype(np.int64), archive["is_test"].astype(bool)


def read_mnist(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The 10,000 test digits of MNIST as (N, 1, 28, 28) uint8; the last 2,000 are for the test."""
    read = [gzip.decompress(path.read_bytes()) for path in sorted(Path(folder).glob("*-ubyte.gz"))]
    pictures = next(np.frombuffer(raw, np.uint8, offset=16) for raw in read if raw[3] == 3)
    labels = next(np.frombuffer(raw, np.uint8, offset=8) for raw in read if raw[3] == 1)
    return pictures.reshape(-1, 1, 28, 28), labels.astype(np.int64), np.arange(len(labels)) >= 8000


def read_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's digits, every pixel four times, as (N, 1, 16, 16) uint8; every fifth is for the test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)
    pictures = pictures.repeat(2, axis=1).repeat(2, axis=2)[:, None]
    return pictures, digits.target.astype(np.int64), np.arange(len(pictures)) % 5 == 4


def read_data(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Pictures, labels, which are for the test, and whether they're natural pictures, of what `--data` names."""
    if name == "digits":
        return (*read_digits(), False)
    return (*read_cifar(name), True) if name.endswith(".npz") else (*read_mnist(name), False)


def augmented(pictures: Tensor, natural: bool, generator: torch.Generator) -> Tensor:
    """Crops of (B, C, H, W) uint8 pictures padded by an eighth, as float32 up to 1; natural ones mirrored, cut out."""
    n, _, height, width = pictures.shape
    pad, device = height // 8, pictures.device

    def random(limit: int) -> Tensor:
        return torch.randint(limit, (n, 1), generator=generator, device=device)

    padded = functional.pad(pictures.float() / 255, (pad,) * 4, mode="reflect" if natural else "constant")
    rows = random(2 * pad + 1) + torch.arange(height, device=device)
    columns = random(2 * pad + 1) + torch.arange(width, device=device)
    if natural:
        columns = torch.where(random(2) > 0, columns.flip(1), columns)
    at = torch.arange(n, device=device)[:, None, None]
    out = padded.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]]
    if natural:
        hole_rows = (random(height) - torch.arange(height, device=device)).abs() < height // 6
        hole_columns = (random(width) - torch.arange(width, device=device)).abs() < width // 6
        out = out.masked_fill((hole_rows[:, :, None] & hole_columns[:, None, :])[..., None], 0.5)
    return out.permute(0, 3, 1, 2)


# --- Training --------------------------------------------------------------------------------------------------------


class Step:
    """One step of training on static buffers; with FAST_GRAPH it's recorded once as a CUDA graph and replayed."""

    def __init__(self, model: nn.Module, teacher: nn.Module | None, args: argparse.Namespace, shape: tuple) -> None:
        self.model, self.teacher, self.args, self.graph = model, teacher, args, None
        device = args.device
        self.x = torch.zeros(shape, device=device).to(memory_format=torch.channels_last)
        self.y = torch.zeros(shape[0], dtype=torch.long, device=device)
        cuda = device == "cuda"
        rate = torch.tensor(0.0, device=device) if cuda else 0.0
        decayed = [p for p in model.parameters() if p.ndim > 1]
        plain = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, capturable=cuda)

    def set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def compute(self) -> Tensor:
        device, enabled = self.args.device, self.args.device == "cuda" or self.args.half
        half = torch.autocast(device, torch.bfloat16, enabled=enabled, cache_enabled=device != "cuda")
        self.optimizer.zero_grad(set_to_none=True)
        with half:
            logits = self.model(self.x).float()
            loss = functional.cross_entropy(logits, self.y, label_smoothing=0.1)
            if self.teacher is not None and self.args.distil > 0:
                with torch.no_grad():
                    answers = functional.softmax(self.teacher(self.x).float() / 2, 1)
                imitation = functional.cross_entropy(logits / 2, answers) * 4
                loss = (1 - self.args.distil) * loss + self.args.distil * imitation
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return loss.detach()

    def record(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.compute()

    def __call__(self) -> Tensor:
        if self.args.fast == FAST_GRAPH and self.args.device == "cuda":
            if self.graph is None:
                self.record()
            self.graph.replay()
            torch.cuda.synchronize()
            return self.loss
        return self.compute()


def train(model: nn.Module, teacher: nn.Module | None, data: dict, args: argparse.Namespace, stage: dict) -> int:
    """Train for the stage's epochs, or else until the clock (time.time()) reads its `end`; give the number of steps."""
    generator = torch.Generator(device=args.device).manual_seed(args.seed + 1)
    x, y = data["x"], data["y"]
    batch = min(args.batch, len(x))
    step = Step(model, teacher, args, (batch, *x.shape[1:]))
    model.train()
    begin, steps, order, total = time.time(), 0, torch.empty(0, dtype=torch.long, device=args.device), 0.0
    planned, end = stage["epochs"] * len(x) // batch, stage["end"]

    def passed() -> float:
        return steps / planned if planned else (time.time() - begin) / max(end - begin, 1e-9)

    while (progress := passed()) < 1 and steps < args.max_steps:
        if len(order) < batch:
            order = torch.randperm(len(x), generator=generator, device=args.device)
        chosen, order = order[:batch], order[batch:]
        step.x.copy_(augmented(x[chosen], data["natural"], generator))
        step.y.copy_(y[chosen])
        step.set_rate(args.rate * min(1.0, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * progress)))
        loss, steps = step(), steps + 1
        if steps % 100 == 0:
            total = float(loss)
            if not math.isfinite(total):
                raise FloatingPointError(f"the loss is {total} after {steps} steps")
            if steps % 500 == 0:
                print(f"  step {steps}: loss {total:.3f}, {100 * progress:.0f} % of the time", flush=True)
    return steps


@torch.no_grad()
def settle(model: nn.Module, data: dict, args: argparse.Namespace) -> None:
    """Round the weights to float16 as they're saved, and take the statistics of the batch norms anew in float32."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.copy_(module.weight.half().float())
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    generator = torch.Generator(device=args.device).manual_seed(args.seed + 2)
    model.train()
    order = torch.randperm(len(data["x"]), generator=generator, device=args.device)
    for chosen in order[: args.settle].split(250):  # as they'll be met: neither cropped nor cut out
        pictures = data["x"][chosen].float() / 255
        model(pictures.contiguous(memory_format=torch.channels_last))
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of pictures (N, C, H, W) uint8 that the model in evaluation, in float32, names rightly."""
    model.eval()
    right = 0
    for pictures, labels in zip(x.split(250), y.split(250), strict=True):
        given = (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
        right += int((model(given).argmax(1) == labels).sum())
    return right / len(x)


def stored(folder: str, name: str) -> dict[str, Tensor]:
    """What `save` has written of "twin" or "spikingformer"."""
    with np.load(Path(folder, f"{name}.npz")) as archive:
        return module_state(dict(archive))


def save(folder: str, name: str, arrays: dict[str, np.ndarray], log: dict) -> None:
    """The weights and the log, each written beside its place and moved into it."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    weights, text = place / f"{name}.npz.part", place / "log.json.part"
    with weights.open("wb") as file:
        np.savez(file, **arrays)
    weights.replace(place / f"{name}.npz")
    text.write_text(json.dumps(log, indent=1) + "\n")
    text.replace(place / "log.json")


def split(is_test: np.ndarray, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pictures to train and to score with, the former spread evenly over those that aren't for the test."""
    for_training, for_test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    chosen = np.arange(len(for_training))
    if args.pictures:
        if args.pictures > len(chosen):
            raise ValueError(f"--pictures {args.pictures}: {len(chosen)} are there to train with")
        chosen = np.arange(args.pictures) * len(chosen) // args.pictures
    left = np.setdiff1d(np.arange(len(for_training)), chosen)
    if args.validate and not len(left):
        raise ValueError("--validate needs training pictures that --pictures leaves out")
    return for_training[chosen], for_training[left[:: max(1, len(left) // 4000)]] if args.validate else for_test


def load(args: argparse.Namespace) -> tuple[dict, dict]:
    """Training and test sets on the device, and whether they're natural pictures."""
    pictures, labels, is_test, natural = read_data(args.data)
    sets = []
    for chosen in split(is_test, args):
        x = torch.from_numpy(np.ascontiguousarray(pictures[chosen])).to(args.device)
        sets.append({"x": x, "y": torch.from_numpy(labels[chosen]).to(args.device), "natural": natural})
    return sets[0], sets[1]


def prepare(args: argparse.Namespace) -> None:
    """Seed, threads, and how the populations are computed."""
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.numba and (args.device != "cpu" or numba is None):
        raise ValueError("--numba needs Numba and --device cpu: leave it out")
    Spikes.on_cpu = args.numba
    Spikes.fused = args.device == "cuda" and args.fast > FAST_PLAIN and fused_works()


def stages(args: argparse.Namespace, finish: float) -> list[dict]:
    """What is trained, in order: its name, for how many epochs or until when, and whether from the trained twin on."""
    if args.from_twin and not args.epochs:
        raise ValueError("--from-twin needs --epochs, those of the twin that they begin with")
    if args.epochs:
        first = {"name": "twin", "epochs": args.epochs, "end": 0.0, "from_twin": False}
        names = ("twin", "spikingformer")
        again = [{"name": name, "epochs": args.from_twin, "end": 0.0, "from_twin": True} for name in names]
        return [first, *(again if args.from_twin else [{**first, "name": "spikingformer"}])]
    now, closing = time.time(), 0.05 * 60 * args.minutes
    usable = finish - now - 2 * closing
    if usable <= 0:
        raise TimeoutError(f"{finish - now:.0f} s are left, too few to train in")
    ends = {"twin": now + args.twin_share * usable, "spikingformer": finish - closing}
    return [{"name": name, "epochs": 0, "end": end, "from_twin": False} for name, end in ends.items()]


def begun(stage: dict, twin: nn.Module | None, training: dict, args: argparse.Namespace) -> nn.Module:
    """The network of a stage, with the weights that its training begins with."""
    steps = args.steps if stage["name"] != "twin" else 0
    sizes = (training["x"].shape[1], int(training["y"].max()) + 1, args.dim, args.heads, args.depth, args.ratio, steps)
    model = Spikingformer(*sizes).to(args.device).to(memory_format=torch.channels_last)
    if stage["from_twin"] and steps:
        start_from_twin(model, twin, training["x"][:: max(1, len(training["x"]) // 250)].float() / 255)
    elif stage["from_twin"]:
        model.load_state_dict(twin.state_dict())
    elif args.weights:
        model.load_state_dict(stored(args.weights, stage["name"]), strict=False)
    return model


def train_both(args: argparse.Namespace) -> None:
    """Twin, then spiking network; each is saved when it's done."""
    prepare(args)
    training, test = load(args)
    print(f"data after {time.time() - args.started:.0f} s; fused {Spikes.fused}, fast {args.fast}", flush=True)
    log, twin = {"settings": {k: v for k, v in vars(args).items() if k != "started"}}, None
    for stage in stages(args, args.started + 60 * args.minutes):
        name, model = stage["name"], begun(stage, twin, training, args)
        begin, processor = time.time(), time.process_time()
        count = train(model, twin, training, args, stage)
        trained = {"seconds": time.time() - begin, "processor_seconds": time.process_time() - processor}
        settle(model, training, args)
        scores = {"validation" if args.validate else "test": accuracy(model, test["x"], test["y"])}
        some = slice(None, None, max(1, len(training["x"]) // 2000))
        scores["train"] = accuracy(model, training["x"][some], training["y"][some])
        epochs = count * min(args.batch, len(training["x"])) / len(training["x"])
        parameters = sum(p.numel() for p in model.parameters())
        key = "continued twin" if stage["from_twin"] and name == "twin" else name
        log[key] = {"accuracy": scores, "steps": count, "epochs": epochs, **trained, "parameters": parameters}
        print(f"{key}: {log[key]}", flush=True)
        save(args.out, name, published_names(model), log)
        if twin is None:
            twin = model.requires_grad_(False)
    print(f"done after {time.time() - args.started:.0f} s", flush=True)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line; by default the one that the script was called with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="digits, an archive of JPEGs (.npz), or a folder of MNIST")
    parser.add_argument("--out", required=True, help="folder for spikingformer.npz, twin.npz and log.json")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--minutes", type=float, default=4.5, help="in all, from the start of the script to its end")
    for name, value in {"dim": 256, "heads": 8, "depth": 2, "ratio": 4, "steps": 4, "batch": 128, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in {"rate": 2e-3, "decay": 0.05, "distil": 0.5, "twin-share": 0.25}.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--epochs", type=int, default=0, help="of each training, in place of --minutes")
    parser.add_argument("--from-twin", type=int, default=0, help="epochs in which both go on from the trained twin")
    parser.add_argument("--numba", action="store_true", help="compute the populations on a CPU by kernels of Numba")
    parser.add_argument("--pictures", type=int, help="to train with, so many spread evenly over those that are there")
    parser.add_argument("--validate", action="store_true", help="score with training pictures left out, not the test's")
    parser.add_argument("--half", action="store_true", help="convolutions in bfloat16 on a CPU, too")
    parser.add_argument("--weights", help="folder of those to begin with; with --max-steps 0 they're only settled")
    parser.add_argument("--max-steps", type=int, default=10**9, help="stop each training after so many steps")
    parser.add_argument("--settle", type=int, default=10000, help="pictures for the statistics of the batch norms")
    parser.add_argument("--fast", type=int, default=FAST_GRAPH, help="0 plain, 1 fused populations, 2 CUDA graphs too")
    parser.add_argument("--threads", type=int, help="of PyTorch on a CPU; for small networks, 1 is fastest")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    """Train; should a fast way fail on this machine, start again with a plainer one in the time that's left."""
    args = parsed()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # settle and test in float32
    torch.backends.cudnn.benchmark = True
    try:
        train_both(args)
    except Exception:
        if args.device == "cpu" or args.fast == FAST_PLAIN:
            raise
        traceback.print_exc()
        sys.stdout.flush()
        again = ["--started", str(args.started), "--fast", str(args.fast - 1)]
        os.execv(sys.executable, [sys.executable, *sys.argv, *again])


if __name__ == "__main__":
    main()
