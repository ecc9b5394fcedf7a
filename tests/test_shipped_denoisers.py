"""The shipped denoisers on the example pictures: the figures that the documents name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spikeunet.engine import add_noise, denoise, load_model, psnr, read_picture, simulate
from spikeunet.engine.tasks.denoising import DEFAULT_MODELS
from spikeunet.engine.testing.comparison import RECORDS, assert_same

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parent.parent


def noisy_and_clean(name):
    clean = read_picture(REPOSITORY / "examples" / "pictures" / name) / 255
    return add_noise(clean, 25, 0), clean


@pytest.mark.parametrize(
    ("model", "picture", "document", "figure"),
    [
        (None, "camera.png", "README.md", r"PSNR +20\.16 -> ([0-9.]+) dB"),
        (None, "chelsea.png", "docs/pictures.md", r"sigma 25, ([0-9.]+) dB where the gray one"),
        ("denoise-gray", "chelsea.png", "docs/pictures.md", r"gray one, channel by channel, gets\s+([0-9.]+)\.\s"),
    ],
)
def test_a_picture_is_as_good_as_the_documents_say(model, picture, document, figure):
    noisy, clean = noisy_and_clean(picture)
    found = re.search(figure, (REPOSITORY / document).read_text("utf-8"))[1]
    assert psnr(clean, denoise(noisy, model).restored) == pytest.approx(float(found), abs=0.01)


def test_the_colour_denoiser_fires_the_same_by_all_kernels():
    """It has what the gray one has not: sums of currents of three strides, chrominance at a quarter of the size."""
    noisy, _ = noisy_and_clean("chelsea.png")
    network = load_model(DEFAULT_MODELS[3])
    picture = noisy[100:172, 150:238].transpose(2, 0, 1).astype("float32")
    first, *others = (
        simulate(network, picture, 2, threads=threads, kernels=kernels, order=order, record=RECORDS)
        for threads, kernels, order in ((1, "auto", "layer"), (2, "events", "time"), (2, "portable", "layer"))
    )
    for each in others:
        assert_same(first, each)
