"""Train the networks that `spikeunet convert` turns into denoisers that work at half the picture's size.

A network predicts the noise of a picture, whose level it is not told. `denoise-gray`, `denoise-colour`, `denoise-tiny`,
`denoise-photo` and `denoise-micrograph` come from here:

    python examples/train_fast_denoiser.py --pictures BSDS500 --out gray.npz --minutes 4
    python examples/train_fast_denoiser.py --pictures BSDS500 --channels 3 --start gray.npz --out colour.npz
    python examples/train_fast_denoiser.py --pictures BSDS500 --channels 3 --noise camera --pairs POLYU \
        --start colour.npz --out photo.npz
    python examples/train_fast_denoiser.py --pictures BSDS500 --noise micrograph --start gray.npz --out micrograph.npz
    python examples/train_fast_denoiser.py --pictures BSDS500 --size tiny --out tiny.npz --rate 2e-3
    python examples/train_fast_denoiser.py --pictures BSDS500 --size chrominance --optimizer muon \
        --rate 3e-3 --out chrominance.npz
    python examples/train_fast_denoiser.py --pictures BSDS500 --size colour --start gray.npz \
        --chrominance chrominance.npz --out colour.npz
    python examples/train_fast_denoiser.py --pictures BSDS500 --size colour --noise camera --pairs POLYU \
        --varied PHOTOGRAPHS --start colour.npz --out photo.npz

Recipe: random crops of 128x128, turned and mirrored, of the pictures at several sizes; the mean over the batch of the
logarithm of each crop's squared error, so that every level of noise pulls on the weights alike, which is what a mean of
PSNRs asks for; the rest as in training_loop.py. Four minutes of an H200 are 33,000 batches of 64 crops; two processor
cores need about a day for as many, and with `--optimizer muon` far fewer do. OUT-network.onnx, for `spikeunet convert`,
is written behind the run.

A network of `--size colour` has two parts (denoising_unet.py), a large one for luminance, which begins as a gray one,
and a small one for chrominance, which is trained by itself first. In place of a state dict, --start takes a model file,
too, that was made of one.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import camera_noise
import numpy as np
import torch
from denoising_unet import SIZES, ChrominanceUNet, ColourDenoisingUNet, DenoisingUNet, balance
from export_torch import export
from picture_crops import Crops, Samples, read_pairs, read_pictures, shrunk
from starting_weights import begin, blend
from torch import Tensor, nn
from training_loop import Lesson, Trainer, add_arguments

HELD_OUT = 8
"""The last pictures by name are not learnt from."""
SIGMA = (5.0, 50.0)
SHRUNK = (0.85, 0.7)
CAMERAS = ("Canon5D2", "Nikon")
"""Of PolyU, to learn from; two others are held out, and the fifth is for tests."""
HELD_OUT_CAMERAS = ("Canon600D", "Canon80D")
PHOTOGRAPHIC = {"camera": (0.5, 0.1, (0.0, 25.0)), "all": (0.25, 0.5, SIGMA)}
"""Kinds of noise learnt from photographs: their share of a batch, that of pictures with white noise, and its levels.
The others have a camera's noise."""
MULTIPLE = 16
"""Of pixels, that scored pictures are cut to: JPEG's blocks with colour at half the size."""
FLOOR = (0.3 / 255) ** 2
"""Squared errors below this are as good as none: a picture without noise must not outweigh the others."""
COLOUR = "colour"
CHROMINANCE = "chrominance"
LEFT_OF_LUMINANCE = 0.1
"""What a gray network leaves of the luminance's noise, at sigma 25, as a share of the chrominance's noise."""

Pair = tuple[Tensor, Tensor]
Draw = Callable[[np.random.Generator], Pair]


def log_error(found: Tensor, noise: Tensor) -> Tensor:
    """Mean over the batch of the logarithm of each crop's mean squared error."""
    return ((found - noise).square().mean((1, 2, 3)) + FLOOR).log().mean()


def chrominance_error(found: Tensor, noise: Tensor) -> Tensor:
    """As `log_error`, where an error of the luminance comes on top: crops without colours must not outweigh others."""
    left = LEFT_OF_LUMINANCE * noise.square().mean((1, 2, 3))
    return ((found - noise).square().mean((1, 2, 3)) + left).log().mean()


def without_luminance(noise: Tensor) -> Tensor:
    """What the channels' noise differs from their mean by, (N, 3, H, W)."""
    return noise - noise.mean(1, keepdim=True)


def drawing(options: argparse.Namespace, pictures: Sequence[Samples], device: torch.device) -> Draw:
    """What is learnt from: noisy crops and their noise."""
    crops = Crops(shrunk(pictures, options.shrunk), device)
    if options.noise in PHOTOGRAPHIC:
        return camera_drawing(options, crops, device)

    def draw(_: np.random.Generator) -> tuple[Tensor, Tensor]:
        (clean,) = crops.draw(options.batch, options.crop)
        if options.noise == "white":
            noisy = camera_noise.white(clean, SIGMA)
        else:
            noisy, clean = camera_noise.micrograph(clean)
        noise = noisy - clean
        return noisy, without_luminance(noise) if options.size == CHROMINANCE else noise

    return draw


def camera_drawing(options: argparse.Namespace, crops: Crops, device: torch.device) -> Draw:
    """Photographs, pictures with white noise and pictures with a camera's noise, as PHOTOGRAPHIC says."""
    photographs = read_varied(options.varied) if options.varied else read_pairs(options.pairs, CAMERAS)
    noisy_pairs, clean_pairs = (Crops(side, device) for side in photographs)
    *shares, sigma = PHOTOGRAPHIC[options.noise]
    real, white = (int(options.batch * share) for share in shares)

    def draw(_: np.random.Generator) -> tuple[Tensor, Tensor]:
        noisy, clean = noisy_pairs.draw(real, options.crop, clean_pairs)
        (others,) = crops.draw(options.batch - real, options.crop)
        made = torch.cat([camera_noise.white(others[:white], sigma), camera_noise.camera(others[white:])])
        return torch.cat([noisy, made]), torch.cat([noisy - clean, made - others])

    return draw


def read_varied(folder: Path) -> tuple[list[Samples], list[Samples]]:
    """Noisy and clean photographs of a folder that make_noisy_pairs.py has written."""
    sides = [folder / side for side in ("noisy", "clean")]
    missing = [str(side) for side in sides if not side.is_dir()]
    if missing:
        raise SystemExit(f"{missing[0]}: is no folder; make it with make_noisy_pairs.py --noise photograph")
    noisy, clean = (read_pictures(side, 3) for side in sides)
    if [each.shape for each in noisy] != [each.shape for each in clean]:
        raise SystemExit(f"{folder}: its noisy and its clean pictures differ in number or size; make them anew")
    return noisy, clean


@torch.no_grad()
def validate(network: nn.Module, pairs: Sequence[Pair]) -> float:
    """Mean PSNR in dB over noisy and clean pictures, (C, H, W)."""
    errors = [
        ((noisy - network(noisy[None])[0]).clamp(0, 1) - clean.clamp(0, 1)).square().mean() for noisy, clean in pairs
    ]
    return float(np.mean([-10 * math.log10(float(error)) for error in errors]))


def held_out(options: argparse.Namespace, pictures: Sequence[Samples], device: torch.device) -> dict[str, list[Pair]]:
    """Noisy and clean pictures for scores, by what they are."""
    clean = [on_device(picture, device) for picture in pictures]
    if options.noise == "micrograph":
        return {
            f"{photons} photons": [
                tuple(side[0] for side in camera_noise.micrograph(picture[None], (photons, photons + 0.01)))
                for picture in clean
            ]
            for photons in (5, 20, 100, 500)
        }
    noisy = {sigma: [noisy_at(sigma, seed, picture) for seed, picture in enumerate(clean)] for sigma in (15, 25, 50)}
    if options.size == CHROMINANCE:
        return {
            f"colours at sigma {sigma}": [
                (each, each - without_luminance((each - picture)[None])[0])
                for each, picture in zip(noisy[sigma], clean, strict=True)
            ]
            for sigma in noisy
        }
    found = {f"sigma {sigma}": list(zip(noisy[sigma], clean, strict=True)) for sigma in noisy}
    if options.noise not in PHOTOGRAPHIC:
        return found
    real = [
        tuple(on_device(side, device) for side in pair)
        for pair in zip(*read_pairs(options.pairs, HELD_OUT_CAMERAS), strict=True)
    ]
    made = [(camera_noise.camera(picture[None])[0], picture) for picture in clean]
    return {"photographs": real, "made": made} | (found if options.noise == "all" else {})


def on_device(picture: Samples, device: torch.device) -> Tensor:
    """(C, H, W) float32 from 0 to 1 of (H, W, C) uint8, the sides cut to multiples of 16."""
    height, width = (side // MULTIPLE * MULTIPLE for side in picture.shape[:2])
    return torch.from_numpy(picture[:height, :width].copy()).permute(2, 0, 1).to(device, torch.float32) / 255


def noisy_at(sigma: float, seed: int, picture: Tensor) -> Tensor:
    """A picture with white noise that is the same in every run."""
    noise = np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
    return picture + torch.from_numpy(noise).to(picture.device) * (sigma / 255)


def a_share(text: str) -> float:
    """A number between 0 and 1, both left out."""
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1 (got {text})")
    return share


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a blind denoiser with PyTorch.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of clean pictures, at least 256x256 each")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="1 for gray, 3 for colour")
    parser.add_argument("--noise", choices=("white", "micrograph", *PHOTOGRAPHIC), default="white")
    parser.add_argument("--pairs", type=Path, help="PolyU's folder of noisy and clean photographs, for camera and all")
    parser.add_argument(
        "--varied", type=Path, help="photographs to learn from in place of those of --pairs, by make_noisy_pairs.py"
    )
    parser.add_argument(
        "--size", choices=(*SIZES, CHROMINANCE, COLOUR), default="standard", help="size and build of the network"
    )
    parser.add_argument(
        "--bypass", action="store_true", help="a linear convolution past the U-Net, see denoising_unet.py"
    )
    parser.add_argument("--start", type=Path, help="state dict or model file, NPZ, to begin with: gray for colour, too")
    parser.add_argument(
        "--chrominance", type=Path, help="the same of that part of --size colour; --start is a gray one then"
    )
    parser.add_argument(
        "--blend", type=Path, help="the same of a network that began with --start: begins with a mean of both"
    )
    parser.add_argument("--share", type=float, default=0.5, help="of --blend in that mean")
    parser.add_argument(
        "--balance",
        action="store_true",
        help="rescale channels of --start: a model file's are scaled as its neurons are",
    )
    parser.add_argument(
        "--wake", action="store_true", help="begin channels anew that fall silent, see dormant_channels.py"
    )
    parser.add_argument(
        "--shrunk",
        type=a_share,
        nargs="*",
        default=SHRUNK,
        metavar="SHARE",
        help="sizes that pictures have, too",
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_arguments(parser, out="denoiser-ann.npz", minutes=1440, rate=1e-3, report=4000, width=None)
    options = parser.parse_args()
    complete(options, parser)
    return options


def complete(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Set the number of channels, and refuse options that do not go together."""
    colour = options.size in (CHROMINANCE, COLOUR)
    if colour and options.channels == 1:
        parser.error(f"--size {options.size} is for colour (got --channels 1)")
    options.channels = options.channels or (3 if colour else 1)
    if options.size == CHROMINANCE and options.bypass:
        parser.error("--bypass is of a colour network's other part, the luminance's (got --size chrominance)")
    if options.size == CHROMINANCE and options.noise != "white":
        parser.error(f"--size chrominance learns from white noise (got --noise {options.noise})")
    if options.noise in PHOTOGRAPHIC and (options.pairs is None or options.channels != 3):
        parser.error(f"--noise {options.noise} learns from colour photographs: give --channels 3 and --pairs FOLDER")
    if options.varied is not None and options.noise not in PHOTOGRAPHIC:
        parser.error(f"--varied is for --noise {' and '.join(PHOTOGRAPHIC)} (got --noise {options.noise})")
    if options.crop < 1 or options.crop % MULTIPLE:
        parser.error(f"--crop must be a multiple of {MULTIPLE} (got {options.crop})")
    check_beginning(options, parser)


def check_beginning(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse files to begin with that do not go together."""
    if options.chrominance is not None and options.start is None:
        parser.error("--chrominance is one of two parts to begin with: give the other one, a gray network, as --start")
    if options.size != COLOUR and options.chrominance is not None:
        parser.error(f"--chrominance is a part of networks of --size colour (got --size {options.size})")
    if options.blend is not None and options.start is None:
        parser.error("--blend is the second of two networks: give the first one as --start")
    if options.balance and (options.start is None or options.size not in SIZES):
        parser.error("--balance rescales what --start names, a network that is not of --size chrominance or colour")
    if not 0 < options.share < 1:
        parser.error(f"--share must lie between 0 and 1 (got {options.share})")


def make_network(options: argparse.Namespace) -> nn.Module:
    """The network that is asked for, with fresh weights."""
    if options.size == CHROMINANCE:
        return ChrominanceUNet()
    if options.size == COLOUR:
        return ColourDenoisingUNet(options.bypass)
    return DenoisingUNet(options.channels, **SIZES[options.size], bypass=options.bypass)


def main() -> None:
    options = parse()
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True
    device = torch.device(options.device)
    pictures = read_pictures(options.pictures, options.channels)
    if len(pictures) <= HELD_OUT:
        raise SystemExit(f"{options.pictures}: has {len(pictures)} pictures, but {HELD_OUT} are held out; give more")
    scored = held_out(options, pictures[-HELD_OUT:], device)
    draw = drawing(options, pictures[:-HELD_OUT], device)
    network = make_network(options)
    if options.start:
        noisy, _ = draw(np.random.default_rng(options.seed))
        begin(network, options, noisy.cpu())
    if options.blend:
        blend(network, options)
    if options.balance:
        balance(network)
    lesson = Lesson(
        draw,
        chrominance_error if options.size == CHROMINANCE else log_error,
        lambda average: ", ".join(f"{name} {validate(average, pairs):.3f} dB" for name, pairs in scored.items()),
        options.wake,
    )
    trainer = Trainer(network, lesson, options, device)
    trainer.run()
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxscript"):
        example = torch.zeros(1, options.channels, options.crop, options.crop)
        export(trainer.average, example, options.out.with_name(f"{options.out.stem}-network.onnx"))
    else:
        print("no ONNX file: needs the packages onnx and onnxscript", flush=True)


if __name__ == "__main__":
    main()
