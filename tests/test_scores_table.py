"""The table of all shipped networks (benchmarks/scores.py): its figures, and that what is finished is only read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser
from small_segmenter import brightness_classes, small_segmenter

pytest.importorskip("sklearn")

import scores

from spikeunet.engine import denoise, psnr, read_picture, save_model, write_picture
from spikeunet.engine.pictures.labels import default_palette, write_labels
from spikeunet.engine.pictures.noise import add_noise


@pytest.fixture
def small_sets(tmp_path, monkeypatch):
    """Networks and pictures in place of the real ones: denoisers for set12, a perfect segmentation for em."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKEUNET_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(scores, "SETS", {"set12": (("half", ("tuned",)), ("other", ())), "em": (("two", ()),)})
    (tmp_path / "models").mkdir()
    save_model(small_denoiser(), "models/half.npz")
    save_model(small_denoiser(steps=2), "models/tuned.npz")
    save_model(small_denoiser(steps=3), "models/other.npz")
    save_model(small_segmenter(2), "models/two.npz")
    random = np.random.default_rng(0)
    for folder in ("set12", "em/image", "em/label"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(2):
        write_picture(f"data/set12/{index}.png", random.integers(0, 256, (16, 20), dtype=np.uint8))
    for index in (24, 25):
        picture = random.integers(0, 256, (16, 20), dtype=np.uint8)
        write_picture(f"data/em/image/{index}.png", picture)
        write_labels(f"data/em/label/{index}.png", brightness_classes(picture, 2), default_palette(2))


def table(*arguments):
    scores.main.main(["--data", "data", "--steps", "1", "--out", "out", *arguments], standalone_mode=False)
    with open("out/scores.md") as stream:
        return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in stream][2:]


@pytest.mark.usefixtures("small_sets")
def test_every_network_has_its_lines():
    lines = table("--sets", "set12,em")
    assert [line[:3] for line in lines] == [
        ["set12", "`half`, ANN", ""],
        ["set12", "`half`", "1"],
        ["set12", "`tuned`", "2"],
        ["set12", "`other`, ANN", ""],
        ["set12", "`other`", "1"],
        ["em", "`two`, ANN", ""],
        ["em", "`two`", "1"],
    ]
    assert "F1 1.0000" in lines[6][3]
    clean = [read_picture(f"data/set12/{index}.png") / 255 for index in range(2)]
    restored = [denoise(add_noise(each, 25, seed), "tuned") for seed, each in enumerate(clean)]
    quality = np.mean([psnr(each, found.restored) for each, found in zip(clean, restored, strict=True)])
    assert lines[2][3].startswith(f"PSNR {quality:.2f} dB")
    assert lines[2][4] == f"{np.mean([each.accumulates_per_pixel for each in restored]) / 1e3:.1f} k"


@pytest.mark.usefixtures("small_sets")
def test_what_is_finished_is_only_read(monkeypatch):
    first = table("--sets", "em")
    monkeypatch.setattr(scores, "evaluate", None)
    assert table("--sets", "em") == first
    save_model(small_segmenter(2, note="another"), "models/two.npz")
    with pytest.raises(TypeError):  # another model: evaluate is called
        table("--sets", "em")


@pytest.mark.usefixtures("small_sets")
def test_a_picture_that_cannot_be_read_stops_the_table():
    with open("data/em/image/24.png", "wb") as stream:
        stream.write(b"no picture")
    with pytest.raises(SystemExit, match=r"two-em: .*24\.png"):
        table("--sets", "em")
    assert json.loads(Path("out/two-em.jsonl").read_text().splitlines()[0])
