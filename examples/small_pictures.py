"""Small labelled pictures: scikit-learn's digits, and MNIST and CIFAR-10 from files in the formats of their makers.

Each has training and test pictures, (N, C, H, W) uint8, and their classes. No file is unpickled.
"""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS_TEST = 360
"""The last so many digits of scikit-learn are for testing; writers of the first ones are others."""
MNIST_TEST = 2000
"""Where only MNIST's 10,000 test pictures are there, the last so many of them."""


@dataclass(frozen=True)
class Pictures:
    """Pictures (N, C, H, W) uint8 and their classes (N,) int64."""

    pictures: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, which) -> Pictures:
        return Pictures(self.pictures[which], self.labels[which])


@dataclass(frozen=True)
class Labelled:
    """A data set: names of its classes, pictures to train on and others to test with."""

    classes: tuple[str, ...]
    train: Pictures
    test: Pictures


def digits() -> Labelled:
    """1,797 handwritten digits of 8x8 pixels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    # Samples from 0 to 16.
    pictures = np.rint(found.images[:, None] * (255 / 16)).astype(np.uint8)
    return _split(tuple(map(str, range(10))), Pictures(pictures, found.target.astype(np.int64)), DIGITS_TEST)


def mnist(folder: Path) -> Labelled:
    """MNIST's gzipped IDX files; where those of its 60,000 training pictures are missing, the test set is split."""
    classes = tuple(map(str, range(10)))
    test = _idx_pair(folder, "t10k")
    if (folder / "train-images-idx3-ubyte.gz").is_file():
        return Labelled(classes, _idx_pair(folder, "train"), test)
    return _split(classes, test, MNIST_TEST)


def cifar10(folder: Path) -> Labelled:
    """CIFAR-10's binary version (data_batch_1.bin, ...), or JPEG pictures in cifar10_jpeg.npz."""
    packed = folder / "cifar10_jpeg.npz"
    if packed.is_file():
        return _cifar10_jpeg(packed)
    batches = [_cifar10_batch(folder / f"data_batch_{number}.bin") for number in range(1, 6)]
    train = Pictures(*(np.concatenate([getattr(b, name) for b in batches]) for name in ("pictures", "labels")))
    return Labelled(CIFAR10, train, _cifar10_batch(folder / "test_batch.bin"))


def write_folders(data: Pictures, classes: tuple[str, ...], folder: Path) -> None:
    """PNG files in a folder for each class, as `spikeunet evaluate` and `spikeunet classify` read them."""
    for index, (picture, label) in enumerate(zip(data.pictures, data.labels, strict=True)):
        place = folder / classes[label]
        place.mkdir(parents=True, exist_ok=True)
        samples = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        Image.fromarray(samples).save(place / f"{index:05}.png")


def _split(classes: tuple[str, ...], all_of_them: Pictures, test: int) -> Labelled:
    return Labelled(classes, all_of_them.part(slice(None, -test)), all_of_them.part(slice(-test, None)))


def _idx_pair(folder: Path, part: str) -> Pictures:
    pictures, labels = (_idx(folder / f"{part}-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    return Pictures(pictures[:, None], labels.astype(np.int64))


def _idx(path: Path) -> np.ndarray:
    """Bytes of an IDX file: a type, the number of axes, their sizes, the samples."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SystemExit(f"{path}: cannot be unpacked ({error}); fetch it anew") from None
    axes = content[3] if len(content) > 3 else 0
    if content[:3] != b"\x00\x00\x08" or not axes or len(content) < 4 + 4 * axes:
        raise SystemExit(f"{path}: is no IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", axes, 4)
    samples = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if samples.size != int(np.prod(sizes, dtype=np.int64)):
        raise SystemExit(f"{path}: has {samples.size} samples where its sizes say {sizes.tolist()}")
    return samples.reshape(sizes)


def _cifar10_batch(path: Path) -> Pictures:
    samples = np.fromfile(path, np.uint8)
    if samples.size % (1 + 3 * 32 * 32):
        raise SystemExit(f"{path}: is no file of CIFAR-10's binary version; it has {samples.size} bytes")
    rows = samples.reshape(-1, 1 + 3 * 32 * 32)
    return Pictures(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64))


def _cifar10_jpeg(path: Path) -> Labelled:
    with np.load(path, allow_pickle=False) as arrays:
        packed = {name: arrays[name] for name in arrays}
    content, ends = packed["jpeg"].tobytes(), packed["offset"]
    pictures = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(content[start:end])).convert("RGB")).transpose(2, 0, 1)
            for start, end in itertools.pairwise(ends)
        ]
    )
    data = Pictures(pictures, packed["label"].astype(np.int64))
    return Labelled(tuple(packed["classes"].tolist()), data.part(~packed["is_test"]), data.part(packed["is_test"]))
