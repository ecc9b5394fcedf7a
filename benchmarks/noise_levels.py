"""What is known of a picture's noise, and what `--model auto` makes of it, beside the default models.

    python benchmarks/noise_levels.py --data DATA

Five tables (docs/noise.md): estimated levels beside the true ones (`estimates`), PSNR over noise levels from 0 to 100
(`levels`, with docs/noise_levels.png), noise of colour pictures that neighbouring pixels share (`shared`), photographs
with real noise (`photographs`, DATA/polyu) and micrographs in part of 16 bits, simulated from scikit-image's pictures
(`micrographs`). DATA holds `denoise/bsd68`, `denoise/cbsd68`,
`denoise/set12` and `polyu`.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import time
import warnings
from pathlib import Path

import _common as common
import click
import numpy as np
from PIL import Image
from skimage import data as pictures
from skimage.color import rgb2gray
from skimage.restoration import denoise_nl_means

from spikeunet.engine import PictureWarning, denoise, estimate_noise, psnr, read_picture
from spikeunet.engine.command_line.console import progress
from spikeunet.engine.pictures.noise import add_noise

LEVELS = (0, 1, 2, 3, 5, 7, 10, 15, 25, 35, 50, 60, 75, 100)
PEAKS = (5, 20, 100, 500)
READ_NOISE = 0.5
"""Of the detector, in photons."""

MICROGRAPHS = ("cell", "microaneurysms", "immunohistochemistry", "hubble_deep_field", "coins", "moon", "camera")
CAMERAS = ("Canon5D2", "NikonD800", "Canon600D", "Canon80D", "Sony")
BEST = 100.0
"""PSNR that stands for equal pictures, so that means can be taken."""


def score(clean, picture):
    """PSNR in dB of a picture from 0 to 1."""
    return min(BEST, psnr(clean, np.clip(picture, 0, 1)))


def loaded(folder, every):
    """Pictures from 0 to 1 of a folder with their index in the order of names, which is the noise's seed."""
    return [(seed, read_picture(path) / 255) for seed, path in list(enumerate(sorted(folder.iterdir())))[::every]]


def both(noisy, sample_range=None):
    """A picture denoised by --model auto and by the default model."""
    return denoise(noisy, "auto", sample_range=sample_range), denoise(noisy, sample_range=sample_range)


def measure_levels(folder, every):
    """Rows of one set: by level and picture, PSNR of the noisy picture, of auto and of the default model."""
    for level in LEVELS:
        for seed, clean in progress(loaded(folder, every), f"{folder.name}, sigma {level}"):
            noisy = add_noise(clean, level, seed)
            chosen, default = both(noisy, (0, 1))
            yield {
                "set": folder.name,
                "sigma": level,
                "picture": seed,
                "noisy": score(clean, noisy),
                "auto": score(clean, chosen.restored),
                "default": score(clean, default.restored),
                "kind": chosen.plan.estimate.kind,
                "estimate": chosen.plan.estimate.level,
            }


def measure_estimates(sets, every):
    """Rows by kind of noise and true level: mean, spread and extremes of the estimate, and what it was taken for."""
    kinds = {
        "white": add_noise,
        "white, 8 bits": lambda clean, level, seed: np.rint(add_noise(clean, level, seed).clip(0, 1) * 255) / 255,
        "white, JPEG quality 90": lambda clean, level, seed: through_jpeg(add_noise(clean, level, seed), 90),
        "white, JPEG quality 50": lambda clean, level, seed: through_jpeg(add_noise(clean, level, seed), 50),
        "shared by neighbours": shared_noise,
        "photons": photon_noise,
    }
    clean = [pair for folder in sets for pair in loaded(folder, every)]
    for kind, make in kinds.items():
        for level in (0, 1, 2, 3, 5, 10, 25, 50, 100) if kind == "white" else (0, 5, 10, 25):
            begun = time.perf_counter()
            found = [estimate_noise(make(picture, level, seed), (0, 1)) for seed, picture in clean]
            seconds = (time.perf_counter() - begun) / len(found)
            levels = np.array([each.level for each in found])
            names = [each.kind for each in found]
            shares = {
                name: f"{names.count(name) / len(names):.0%}" for name in sorted(set(names), key=names.count)[::-1]
            }
            yield {
                "noise": kind,
                "sigma": level,
                "mean": levels.mean(),
                "spread": levels.std(),
                "least": levels.min(),
                "most": levels.max(),
                "taken for": ", ".join(f"{name} {share}" for name, share in shares.items()),
                "ms": seconds * 1e3,
            }


def through_jpeg(picture, quality):
    """A picture compressed and read again."""
    stream = io.BytesIO()
    samples = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(samples).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)) / 255


def shared_noise(clean, level, seed):
    """Noise whose neighbours were averaged by a Gaussian of 0.7 pixels."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(clean.shape), 0.7, mode="wrap", axes=(0, 1))
    return clean + noise / noise.std() * level / 255


def demosaiced(clean, level, seed):
    """A picture, and its noisy version (H, W, 3) as interpolated linearly from one colour at each pixel."""
    from scipy.ndimage import convolve

    seen = np.zeros(clean.shape)
    seen[::2, ::2, 0] = seen[::2, 1::2, 1] = seen[1::2, ::2, 1] = seen[1::2, 1::2, 2] = 1
    kernel = np.outer((1, 2, 1), (1, 2, 1))[..., None]
    weights = convolve(seen, kernel, mode="mirror")
    return clean, convolve(add_noise(clean, level, seed) * seen, kernel, mode="mirror") / weights


def enlarged_twice(clean, level, seed):
    """The means of 2x2 pixels of a picture and their noisy version (H, W, 3), enlarged linearly."""
    from scipy.ndimage import zoom

    rows, columns = (side // 2 for side in clean.shape[:2])
    small = clean[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3).mean((1, 3))
    return tuple(zoom(picture, (2, 2, 1), order=1) for picture in (small, add_noise(small, level, seed)))


SHARED = {
    "averaged": (lambda clean, level, seed: (clean, shared_noise(clean, level, seed)), (0, 2, 5, 10, 20)),
    "demosaiced": (demosaiced, (0, 5, 10, 20)),
    "enlarged twice": (enlarged_twice, (0, 5, 10, 20)),
}
"""Kinds of noise that neighbours share, and its levels before they do."""


def measure_shared(folder, every):
    """Rows by kind of noise and level: PSNR of colour pictures in 8 bits, and what the noise was taken for."""
    for kind, (make, levels) in SHARED.items():
        for level in levels:
            scores, kinds = [], []
            for seed, picture in progress(loaded(folder, every), f"{kind}, sigma {level}"):
                clean, noisy = make(picture, level, seed)
                noisy = np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)
                chosen, default = both(noisy)
                scores.append([score(clean, each) for each in (noisy / 255, default.restored, chosen.restored)])
                kinds.append(chosen.plan.estimate.kind)
            names = ("noisy", "default", "auto")
            yield {
                "noise": kind,
                "sigma": level,
                **dict(zip(names, map(float, np.mean(scores, axis=0)), strict=True)),
                "worst gain of auto": min(after - before for before, _, after in scores),
                "left as they are": f"{kinds.count('none')} of {len(kinds)}",
            }


def photon_noise(clean, level, seed):
    """Poisson noise that is as strong as white noise of this level on the average over the picture."""
    if not level:
        return clean
    peak = clean.mean() / (level / 255) ** 2
    return np.random.default_rng(seed).poisson(peak * clean) / peak


def peers():
    """Denoisers of others by name, at one setting for all photographs; BM3D where its package (bm3d) is installed.

    Each has the setting of a few that was tried at which it did best on the test camera, Sony.
    """
    found = {
        "non-local means": lambda noisy: denoise_nl_means(
            noisy, patch_size=5, patch_distance=6, h=0.016, sigma=0.02, fast_mode=True, channel_axis=-1
        )
    }
    if importlib.util.find_spec("bm3d") is not None:
        from bm3d import bm3d_rgb

        found["BM3D"] = lambda noisy: bm3d_rgb(noisy, 16 / 255)
    return found


def measure_photographs(folder, every, cameras, models):
    """Rows by camera: PSNR of the photographs, of auto and of the default model, against the mean of many shots."""
    others = {name: lambda noisy, name=name: denoise(noisy, name).restored for name in models}
    others |= {name: lambda noisy, peer=peer: peer(noisy / 255) for name, peer in peers().items()}
    for camera in cameras:
        scores, kinds = [], []
        for path in progress(sorted(folder.glob(f"{camera}*_real.JPG"))[::every], camera):
            noisy, clean = read_picture(path), read_picture(str(path).replace("_real", "_mean")) / 255
            chosen, default = both(noisy)
            beside = [denoiser(noisy) for denoiser in others.values()]
            restored = (noisy / 255, chosen.restored, default.restored, *beside)
            scores.append([score(clean, each) for each in restored])
            kinds.append(chosen.plan.estimate.kind)
        noisy, auto, default, *beside = np.mean(scores, axis=0)
        worst = min(after - before for before, after, *_ in scores)
        yield {
            "camera": camera,
            "pictures": len(scores),
            "noisy": noisy,
            "default": default,
            "auto": auto,
            **dict(zip(others, beside, strict=True)),
            "worst gain of auto": worst,
            "left as they are": kinds.count("none"),
        }


def micrograph(clean, peak, seed, used=0.05, offset=300):
    """A micrograph of `peak` photons in 16 bits of which it uses a part, and what it would be without noise."""
    random, unit = np.random.default_rng(seed), used * 65535 / (peak + 3 * peak**0.5)
    clean = (clean - clean.min()) / np.ptp(clean)
    counts = random.poisson(peak * clean) + random.normal(0, READ_NOISE, clean.shape)
    return np.rint(offset + unit * counts).clip(0, 65535).astype(np.uint16), offset + unit * peak * clean


def measure_micrographs():
    """Rows by picture and photons: PSNR on the range of the clean picture."""
    for name in MICROGRAPHS:
        picture = getattr(pictures, name)()[:512, :512]
        picture = picture / 255 if picture.ndim == 2 else rgb2gray(picture)
        for seed, peak in enumerate(PEAKS):
            noisy, clean = micrograph(picture, peak, seed)
            chosen, default = both(noisy)
            whole = denoise(noisy, sample_range=(0, 65535))
            decibels = (
                10 * np.log10(np.ptp(clean) ** 2 / np.square(each.astype(float) - clean).mean())
                for each in (noisy, whole.picture, default.picture, chosen.picture)
            )
            names = ("noisy", "white 65535", "default, range found", "auto")
            yield {"picture": name, "photons": peak, **dict(zip(names, decibels, strict=True))}


def table(rows):
    """Rows as Markdown."""
    names = list(rows[0])
    cells = [[f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in cells)])


def means(rows):
    """By set and level, means over the pictures and the worst gain of auto."""
    for name in dict.fromkeys(row["set"] for row in rows):
        for level in LEVELS:
            group = [row for row in rows if (row["set"], row["sigma"]) == (name, level)]
            scores = {each: float(np.mean([row[each] for row in group])) for each in ("noisy", "default", "auto")}
            worst = min(row["auto"] - row["noisy"] for row in group)
            yield {"set": name, "sigma": level, **scores, "worst gain of auto": worst}


def plot(rows, path):
    """Gain in dB over the noise level, a panel for each set."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure, panels = plt.subplots(1, len(sets), figsize=(5 * len(sets), 4), layout="constrained", squeeze=False)
    for name, axes in zip(sets, panels[0], strict=True):
        group = [row for row in rows if row["set"] == name and row["sigma"]]
        levels = [row["sigma"] for row in group]
        for method, style in (("auto", "o-"), ("default", "s--")):
            axes.plot(levels, [row[method] - row["noisy"] for row in group], style, label=method)
        axes.axhline(0, color="black", linewidth=1)
        axes.set(title=name, xlabel="sigma of 255", ylabel="gain / dB", xscale="log", xticks=[1, 2, 5, 10, 25, 50, 100])
        axes.set_xticks([1, 2, 5, 10, 25, 50, 100], ["1", "2", "5", "10", "25", "50", "100"])
        axes.minorticks_off()
        axes.legend()
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--only", default="estimates,levels,shared,photographs,micrographs", show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Every so manyth picture of a set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
@click.option("--beside", multiple=True, metavar="MODEL", help="A model to set beside them, for photographs.")
@click.option("--camera", multiple=True, type=click.Choice(CAMERAS), default=CAMERAS, help="Of photographs.")
def main(data, only, every, out, beside, camera):
    """Measure what is found of noise and done about it."""
    warnings.simplefilter("ignore", PictureWarning)
    out.mkdir(parents=True, exist_ok=True)
    measures = {
        "estimates": lambda: measure_estimates([data / "denoise" / "bsd68", data / "denoise" / "set12"], every),
        "levels": lambda: (
            row for name in ("bsd68", "cbsd68") for row in measure_levels(data / "denoise" / name, every)
        ),
        "shared": lambda: measure_shared(data / "denoise" / "cbsd68", every),
        "photographs": lambda: measure_photographs(data / "polyu", every, camera, beside),
        "micrographs": measure_micrographs,
    }
    print(common.machine())
    for name in only.split(","):
        rows = list(measures[name]())
        with open(out / f"noise_{name}.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        if name == "levels":
            rows = list(means(rows))
            plot(rows, out / "noise_levels.png")
        (out / f"noise_{name}.md").write_text(table(rows) + "\n")
        print(f"\n{name}\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
