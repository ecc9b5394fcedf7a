"""Series of pictures: stacks, animations and videos, through the command line and page by page in Python."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import refusals
import tifffile
from PIL import Image
from small_segmenter import brightness_classes, small_segmenter

from spikeunet.engine import (
    PictureError,
    denoise,
    read_frames,
    read_picture,
    save_model,
    segment,
    write_frames,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.frames import open_frames
from spikeunet.engine.pictures.labels import read_labels
from spikeunet.engine.pictures.ranges import convert_samples

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 65536, (4, 12, 16), dtype=np.uint16)
OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()


@pytest.fixture
def run(capsys):
    """Run the command, which must succeed; returns the printed fields and the lines on stderr."""

    def invoke(command, *arguments, model="gray.npz"):
        with pytest.raises(SystemExit) as stop:
            main([command, *map(str, arguments), "--model", model])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return dict(line.split(maxsplit=1) for line in printed.out.splitlines()), printed.err.splitlines()

    return invoke


@pytest.fixture
def refused(capsys):
    return lambda *arguments, **named: refusals.refusal(capsys, *arguments, **named)


def pages_of(path):
    return np.stack(list(read_frames(path)))


def expected(stack, model="gray.npz"):
    return np.stack([denoise(page, model).picture for page in stack])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_stack_keeps_its_type_and_every_page_is_denoised_as_by_itself(run, dtype):
    stack = convert_samples(STACK, np.dtype(dtype))
    tifffile.imwrite("in.tif", stack, photometric="minisblack", resolution=(300, 200), resolutionunit="INCH")
    fields, told = run("denoise", "in.tif", "-o", "out.tif", "--report", "report.json")
    assert (fields["pages"], told) == ("4, which all counts are sums over", [])
    written = tifffile.imread("out.tif")
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, expected(stack))
    with tifffile.TiffFile("out.tif") as tiff:
        assert {page.tags["XResolution"].value for page in tiff.pages} == {(300, 1)}
    entry = json.loads(Path("report.json").read_text())["pictures"][0]
    assert (entry["pages"], entry["height"]) == (4, 12)
    alone = [denoise(page, "gray.npz").result for page in stack]
    assert entry["events"] == sum(result.total_events for result in alone)
    assert entry["accumulates"] == sum(result.total_accumulates for result in alone)


def test_colours_and_transparency(run):
    stack = RANDOM.integers(0, 256, (2, 9, 8, 4), dtype=np.uint8)
    tifffile.imwrite("in.tif", stack, photometric="rgb", extrasamples=["unassalpha"])
    run("denoise", "in.tif", "-o", "out.tif", model="colour.npz")
    written = pages_of("out.tif")
    np.testing.assert_array_equal(written, expected(stack, "colour.npz"))
    np.testing.assert_array_equal(written[..., 3], stack[..., 3])


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_descriptions_for_programs_stay_where_they_are_true(run, kind, capsys):
    name = "in.ome.tif" if kind == "ome" else "in.tif"
    metadata = {"axes": "TYX", "fps": 5.0} if kind == "imagej" else {"axes": "TYX"}
    tifffile.imwrite(name, STACK, imagej=kind == "imagej", photometric="minisblack", metadata=metadata)
    output = f"out{name[2:]}"
    run("denoise", name, "-o", output)
    with tifffile.TiffFile(name) as before, tifffile.TiffFile(output) as after:
        assert after.pages[0].description == before.pages[0].description
        assert (after.series[0].axes, after.series[0].shape) == (before.series[0].axes, STACK.shape)
        assert all("Image" not in page.aspage().description for page in after.pages[1:])
    with open_frames(output) as frames:
        assert frames.rate == (5.0 if kind == "imagej" else None)
    # One page is no stack: its description would be untrue.
    run("denoise", name, "-o", f"one{name[2:]}", "--page", "2")
    np.testing.assert_array_equal(read_picture(f"one{name[2:]}"), expected(STACK[2:3])[0])
    # Labels have 8 bits: it would be, too, and that is said; the rate is not lost.
    save_model(small_segmenter(3), "three.npz")
    _, told = run("segment", name, "-o", "labels.tif", model="three.npz")
    about = "its description for programs (ImageJ, OME, tifffile) is not true of the output and left out"
    assert told == [f"spikeunet: warning: {name}: {about}"]
    with open_frames("labels.tif") as frames:
        assert (frames.count, frames.rate) == (4, 5.0 if kind == "imagej" else None)


def test_planes_behind_one_page(run, shared_cases):
    for name in ("imagej_one_ifd.tif", "tifffile_truncated.tif"):
        run("denoise", shared_cases / name, "-o", "out.tif")
        found = pages_of(shared_cases / name)
        assert found.shape == (5, 48, 64)
        np.testing.assert_array_equal(found, tifffile.imread(shared_cases / name))
        np.testing.assert_array_equal(tifffile.imread("out.tif"), expected(found))


def test_a_description_of_more_pages_than_there_are(run):
    tifffile.imwrite("in.tif", STACK, imagej=True)
    with tifffile.TiffFile("in.tif") as tiff:
        described = tiff.pages[0].description.replace("images=4", "images=7")
    files = [f'<TiffData><UUID FileName="{name}.tif"/></TiffData>' for name in "ab"]
    ome = f"{OME}{''.join(files)}</Image></OME>"
    about = {described: "holds 3 of 7 pictures that its ImageJ", ome: "is one of 2 files that its OME"}
    for text, remark in about.items():
        with tifffile.TiffWriter("in.tif") as tiff:
            for page in range(3):
                options = {"description": text.encode() if page == 0 else None, "metadata": None, "compression": "zlib"}
                tiff.write(STACK[page], contiguous=False, photometric="minisblack", **options)
        _, told = run("denoise", "in.tif", "-o", "out.tif")
        assert [line.startswith(f"spikeunet: warning: in.tif: {remark}") for line in told] == [True, False]
        assert "is not true of the output" in told[1]
        with tifffile.TiffFile("out.tif") as tiff:
            assert text not in tiff.pages[0].description


def test_one_page_counts_from_0(run, refused):
    tifffile.imwrite("in.tif", STACK, photometric="minisblack")
    run("denoise", "in.tif", "-o", "out.png", "--page", "3")
    np.testing.assert_array_equal(read_picture("out.png"), expected(STACK[3:])[0])
    assert refused("denoise", "in.tif", "-o", "new.png", "--page", "4") == (
        "in.tif: has no page 4; it holds pages 0 to 3"
    )
    run("denoise", "good.png", "-o", "out.png", "--page", "0")
    save_model(small_segmenter(3), "three.npz")
    run("segment", "in.tif", "-o", "third.png", "--page", "2", model="three.npz")
    run("segment", "in.tif", "-o", "third.tif", "--page", "2", model="three.npz")
    labels = segment(STACK[2], "three.npz").labels
    np.testing.assert_array_equal(tifffile.imread("third.tif"), labels)
    np.testing.assert_array_equal(read_labels("third.png"), labels)
    assert refused("denoise", "good.png", "-o", "new.png", "--page", "1") == (
        "good.png: has no page 1; it holds pages 0 to 0"
    )


def test_a_folder_of_stacks_and_pictures_and_a_pipe(run, refused, monkeypatch):
    tifffile.imwrite("folder/stack.tif", STACK, photometric="minisblack")
    with pytest.raises(SystemExit) as stop:
        main(["denoise", "folder", "-o", "out", "--model", "gray.npz"])
    assert stop.value.code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png", "stack.tif"]
    np.testing.assert_array_equal(pages_of("out/stack.tif"), expected(STACK))
    content = Path("folder/stack.tif").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    run("denoise", "-", "-o", "piped.tif")
    assert Path("piped.tif").read_bytes() == Path("out/stack.tif").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    run("denoise", "-", "-o", "one.tif", "--page", "1")
    np.testing.assert_array_equal(read_picture("one.tif"), expected(STACK[1:2])[0])


def test_an_output_of_one_picture_for_several_is_refused(refused):
    tifffile.imwrite("in.tif", STACK, photometric="minisblack")
    assert refused("denoise", "in.tif", "-o", "out.png") == (
        "in.tif: holds 4 pictures, and out.png would hold one; name a file that ends in .tif, .tiff, .mp4 or .avi for "
        "all, or take one with --page N, 0 to 3"
    )
    save_model(small_segmenter(3), "three.npz")
    told = refused("segment", "in.tif", "-o", "out.png", "--model", "three.npz")
    assert "name a file that ends in .tif or .tiff for all" in told
    for option in (("--clean", "good.png"), ("--add-noise", "25")):
        assert "for single pictures; take a page with --page N" in refused("denoise", "in.tif", "-o", "o.tif", *option)
    told = refused("segment", "in.tif", "-o", "o.tif", "--probabilities", "o.npz", "--model", "three.npz")
    assert "--probabilities are for single pictures" in told
    told = refused("segment", "in.tif", "-o", "o.tif", "--overlay", "o.png", "--model", "three.npz")
    assert told.startswith("o.png: holds one picture")


def test_the_range_is_that_of_the_series(run, refused):
    dark = (STACK >> 6) // np.array([1, 1, 2, 4], np.uint16)[:, None, None]
    tifffile.imwrite("in.tif", dark, photometric="minisblack")
    fields, told = run("denoise", "in.tif", "-o", "out.tif", "--range", "0:1023")
    assert (fields["range"], told) == ("black 0, white 1023 (as named)", [])
    each = [denoise(page, "gray.npz", sample_range=(0, 1023)).picture for page in dark]
    np.testing.assert_array_equal(tifffile.imread("out.tif"), each)
    # The output notes the range, and is read with it.
    assert run("denoise", "out.tif", "-o", "again.tif")[0]["range"] == "black 0, white 1023 (MaxSampleValue)"
    _, told = run("denoise", "in.tif", "-o", "out.tif")
    assert len(told) == 1
    assert (
        f"in.tif: its samples go from {dark.min()} to {dark.max()} (uint16, white 65535); black is taken for" in told[0]
    )
    with tifffile.TiffWriter("in.tif") as tiff:
        for page, white in enumerate((1023, 1023, 4095)):
            tags = [(281, 3, 1, white, True)]
            tiff.write(dark[page], contiguous=False, photometric="minisblack", extratags=tags, metadata=None)
    assert refused("denoise", "in.tif", "-o", "new.tif") == (
        "in.tif: page 2 has black 0 and white 4095, but page 0 has black 0 and white 1023; name one range for all "
        "pages (--range LOW:HIGH, sample_range)"
    )


def mixed(*pages):
    with tifffile.TiffWriter("in.tif") as tiff:
        for page in pages:
            tiff.write(page, contiguous=False, photometric="minisblack", compression="zlib", metadata=None)


def test_pages_that_do_not_fit(refused):
    mixed(STACK[0], STACK[1], STACK[2, :8])
    assert refused("denoise", "in.tif", "-o", "new.tif") == (
        "in.tif: page 2 is 8x16 gray uint16, but page 0 is 12x16 gray uint16; a series needs pages of one size and type"
    )
    mixed(STACK[0], STACK[1].astype(np.uint8))
    assert "page 1 is 12x16 gray uint8, but page 0 is" in refused("denoise", "in.tif", "-o", "new.tif")
    mixed(STACK[0], STACK[1].astype(np.int32))
    assert "in.tif: page 1: TIFF samples of the kind int32" in refused("denoise", "in.tif", "-o", "new.tif")
    broken = STACK[:2].astype(np.float32) / 65535
    broken[1, 3, 4] = np.nan
    mixed(*broken)
    assert "in.tif: page 1: 1 of its 192 samples are NaN" in refused("denoise", "in.tif", "-o", "new.tif")


def test_files_that_break_off_are_not_taken_for_shorter_ones(run, refused):
    mixed(*STACK)
    whole = Path("in.tif").read_bytes()
    with tifffile.TiffFile("in.tif") as tiff:
        third, samples = tiff.pages[2].offset, [page.dataoffsets[0] for page in tiff.pages]
    for cut in (third, third + 7):
        Path("in.tif").write_bytes(whole[:cut])
        for output in ("new.tif", "new.png"):
            assert refused("denoise", "in.tif", "-o", output).startswith("in.tif: page 2: ")
        with pytest.raises(PictureError, match="page 2: "):
            list(read_frames("in.tif"))
        run("denoise", "in.tif", "-o", "one.png", "--page", "1")
        Path("one.png").unlink()
    for page, content in ((3, whole[: samples[3] + 5]), (1, whole[: samples[1]] + bytes(9) + whole[samples[1] + 9 :])):
        Path("in.tif").write_bytes(content)
        assert refused("denoise", "in.tif", "-o", "new.tif").startswith(f"in.tif: page {page}: cannot be read")
    # What was there stays.
    Path("new.tif").write_bytes(b"kept")
    refused("denoise", "in.tif", "-o", "new.tif")


def animation(path, mode="RGB", durations=40):
    frames = [Image.fromarray(np.full((8, 12, 3), 120 * each, np.uint8)).convert(mode) for each in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, lossless=True)
    return np.stack([np.asarray(frame) for frame in frames])


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations(run, refused, suffix):
    stack = animation(f"in.{suffix}")
    np.testing.assert_array_equal(pages_of(f"in.{suffix}"), stack)
    run("denoise", f"in.{suffix}", "-o", "out.tif")
    np.testing.assert_array_equal(pages_of("out.tif"), expected(stack))
    with open_frames("out.tif") as frames:
        assert frames.rate == pytest.approx(25)
    assert "holds 3 pictures" in refused("denoise", f"in.{suffix}", "-o", "new.png")


def test_an_opaque_webp_whose_frames_say_what_has_changed_has_no_transparency(run):
    stack = RANDOM.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    stack[:, 5:20] = 7
    frames = [Image.fromarray(frame) for frame in stack]
    frames[0].save("in.webp", save_all=True, append_images=frames[1:], lossless=True)
    with Image.open("in.webp") as picture:
        assert picture.mode == "RGBA"
    run("denoise", "in.webp", "-o", "out.tif")
    np.testing.assert_array_equal(pages_of("out.tif"), expected(stack))
    frames[2].putalpha(200)
    frames[0].save("in.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert pages_of("in.webp").shape == (3, 32, 32, 4)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_that_break_off(refused, suffix):
    animation(f"in.{suffix}")
    whole = Path(f"in.{suffix}").read_bytes()
    for cut in range(len(whole) // 2, len(whole) - 1, 7):
        Path("cut").write_bytes(whole[:cut])
        with pytest.raises(PictureError, match=r"^cut: "):
            list(read_frames("cut"))
    Path(f"in.{suffix}").write_bytes(whole[:-20])
    assert refused("denoise", f"in.{suffix}", "-o", "new.tif").startswith(f"in.{suffix}: ")


def test_frames_shown_for_different_times_are_said(run):
    animation("in.gif", durations=[40, 40, 200])
    _, told = run("denoise", "in.gif", "-o", "out.tif")
    assert told == [
        "spikeunet: warning: in.gif: its frames are shown for different times; the rate of the first is kept"
    ]


def test_labels_are_a_stack_with_a_palette(run):
    save_model(small_segmenter(3, palette=[[0, 0, 9], [90, 60, 60], [255, 255, 200]]), "three.npz")
    stack = (STACK >> 8).astype(np.uint8)
    tifffile.imwrite("in.tif", stack, photometric="minisblack", metadata=None)
    fields, _ = run("segment", "in.tif", "-o", "labels.tif", "--overlay", "seen.tif", model="three.npz")
    with tifffile.TiffFile("labels.tif") as tiff:
        labels = [page.asarray() for page in tiff.pages]
        assert {page.photometric.name for page in tiff.pages} == {"PALETTE"}
        assert (tiff.pages[0].colormap[:, :3].T >> 8).tolist() == [[0, 0, 9], [90, 60, 60], [255, 255, 200]]
    each = [segment(page, "three.npz").labels for page in stack]
    np.testing.assert_array_equal(labels, each)
    assert f"class 1 {np.equal(each, 1).mean():.1%}" in fields["classes"]
    assert pages_of("seen.tif").shape == (4, 12, 16, 3)
    run("segment", "good.png", "-o", "one.tif", model="three.npz")
    np.testing.assert_array_equal(tifffile.imread("one.tif"), brightness_classes(read_picture("good.png"), 3))


def video(path, colour=True, rate=12.5, pages=4):
    shape = (pages, 16, 24, 3) if colour else (pages, 16, 24)
    stack = np.repeat(np.repeat(RANDOM.integers(0, 256, (pages, 4, 6, *shape[3:]), np.uint8), 4, axis=1), 4, axis=2)
    with write_frames(path, rate=rate) as writer:
        for page in stack:
            writer.write(page)
    return stack


class TestVideos:
    @pytest.fixture(autouse=True)
    def _av(self):
        pytest.importorskip("av")

    @pytest.mark.parametrize("colour", [True, False])
    def test_from_avi_to_avi_nothing_is_lost(self, run, colour):
        stack = video("in.avi", colour)
        np.testing.assert_array_equal(pages_of("in.avi"), stack)
        run("denoise", "in.avi", "-o", "out.avi")
        np.testing.assert_array_equal(pages_of("out.avi"), expected(stack))
        with open_frames("out.avi") as frames:
            assert (frames.kind, frames.count, frames.rate) == ("video", 4, 12.5)

    def test_mp4(self, run, refused):
        stack = video("in.mp4")
        found = pages_of("in.mp4")
        assert np.abs(found.astype(int) - stack).mean() < 16
        _, told = run("denoise", "in.mp4", "-o", "out.tif")
        assert told == []
        np.testing.assert_array_equal(pages_of("out.tif"), expected(found))
        with tifffile.TiffFile("out.tif") as tiff:
            assert tiff.imagej_metadata["fps"] == 12.5
        run("denoise", "in.mp4", "-o", "third.png", "--page", "2")
        np.testing.assert_array_equal(read_picture("third.png"), expected(found)[2])
        run("denoise", "in.mp4", "-o", "out.mp4")
        assert pages_of("out.mp4").shape == stack.shape
        tifffile.imwrite("odd.tif", STACK[:, :11], photometric="minisblack", resolution=(9, 9), metadata=None)
        assert "new.mp4: page 0: .mp4 needs an even height and width" in refused("denoise", "odd.tif", "-o", "new.mp4")
        _, told = run("denoise", "odd.tif", "-o", "out.avi")
        assert [line.removeprefix("spikeunet: warning: odd.tif: ") for line in told] == [
            "does not say how many frames a second it has; taken for 25",
            "its resolution cannot be kept in a video",
        ]

    def test_labels_of_a_clip_with_an_overlay(self, run):
        save_model(small_segmenter(3), "three.npz")
        stack = video("in.avi", colour=False)
        run("segment", "in.avi", "-o", "labels.tif", "--overlay", "seen.mp4", model="three.npz")
        each = [segment(page, "three.npz").labels for page in stack]
        np.testing.assert_array_equal(tifffile.imread("labels.tif"), each)
        assert pages_of("seen.mp4").shape == (4, 16, 24, 3)

    def test_a_clip_that_breaks_off(self, refused):
        video("in.avi", pages=6)
        content = Path("in.avi").read_bytes()
        Path("in.avi").write_bytes(content[: len(content) * 2 // 3])
        told = refused("denoise", "in.avi", "-o", "new.tif")
        assert told.startswith("in.avi: ")
        assert "truncated" in told
        video("in.mp4")
        Path("in.mp4").write_bytes(Path("in.mp4").read_bytes()[:-100])
        assert "truncated" in refused("denoise", "in.mp4", "-o", "new.tif")

    def test_the_way_up(self):
        """A phone held upright stores what it sees lying down, and says so in the matrix of the track's header."""
        stack = video("in.mp4")
        content = bytearray(Path("in.mp4").read_bytes())
        place = content.index(b"tkhd") + 4 + 40
        clockwise = (0, 1 << 16, 0, -(1 << 16) & 0xFFFFFFFF, 0, 0, 24 << 16, 0, 1 << 30)
        content[place : place + 36] = b"".join(number.to_bytes(4, "big") for number in clockwise)
        upright = pages_of("in.mp4")
        Path("in.mp4").write_bytes(content)
        np.testing.assert_array_equal(pages_of("in.mp4"), np.rot90(upright, -1, axes=(1, 2)))
        assert stack.shape[1:3] == (16, 24)

    def test_a_video_that_does_not_say_how_many_frames_it_has(self, run, refused):
        import av

        with av.open("in.mkv", "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 24, 16, "gray16le"
            for page in STACK[:3]:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.resize(page, (16, 24))), format="gray16le")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with open_frames("in.mkv") as frames:
            assert (frames.count, frames.expected) == (None, 3)
        np.testing.assert_array_equal(pages_of("in.mkv"), [np.resize(page, (16, 24)) for page in STACK[:3]])
        run("denoise", "in.mkv", "-o", "out.tif")
        np.testing.assert_array_equal(pages_of("out.tif"), expected(pages_of("in.mkv")))
        assert "in.mkv: holds several pictures, and new.png would hold one" in refused(
            "denoise", "in.mkv", "-o", "new.png"
        )

    def test_without_pyav_it_is_said(self, refused, monkeypatch):
        video("in.avi")
        monkeypatch.setitem(sys.modules, "av", None)
        told = refused("denoise", "in.avi", "-o", "new.tif")
        assert told == "in.avi: videos need PyAV, which is missing; pip install 'spikeunet[video]'"
        tifffile.imwrite("in.tif", STACK, photometric="minisblack")
        for options in (("-o", "new.avi"), ("-o", "new.mp4")):
            told = refused("denoise", "in.tif", *options)
            assert told == f"{options[1]}: videos need PyAV, which is missing; pip install 'spikeunet[video]'"


def written(path, *pages, **named):
    with write_frames(path, **named) as writer:
        return [writer.write(page) for page in pages]


def test_writing_page_by_page():
    assert written("a.tif", *STACK[:2], rate=10, count=2) == ["uint16"] * 2
    np.testing.assert_array_equal(pages_of("a.tif"), STACK[:2])
    kept = Path("a.tif").read_bytes()
    about = r"a\.tif: page 1: is 8x16 uint16, but page 0 is 12x16 uint16"
    with pytest.raises(PictureError, match=about):
        written("a.tif", STACK[0], STACK[0, :8])
    with pytest.raises(PictureError, match=r"a\.tif: a series needs a picture"), write_frames("a.tif"):
        pass
    assert Path("a.tif").read_bytes() == kept
    with pytest.raises(PictureError, match=r"a\.png: \.png holds no series; use \.tif"), write_frames("a.png"):
        pass
    assert not list(Path().glob(".*"))


def test_what_holds_one_picture_yields_it():
    np.testing.assert_array_equal(pages_of("good.png"), read_picture("good.png")[None])
    Path("empty.tif").write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(PictureError, match=r"empty\.tif: "):
        list(read_frames("empty.tif"))


MEASURED = """
import resource, sys
from spikeunet.engine.command_line import main

def peak():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    # Linux hands ru_maxrss on to a child: it would begin with the peak of the process that runs the tests.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

for name in ("few", "many"):
    try:
        main(["denoise", f"{name}.tif", "-o", "out.tif", "--model", "gray.npz", "--steps", "1"])
    except SystemExit as done:
        assert not done.code
    print(peak(), file=sys.stderr)
"""


@pytest.mark.slow
def test_memory_is_that_of_one_page():
    """In one process, whose peak the many pages would raise."""
    for name, pages in (("few", 2), ("many", 80)):
        page = RANDOM.integers(0, 65536, (256, 512), dtype=np.uint16)
        with write_frames(f"{name}.tif", count=pages) as writer:
            for number in range(pages):
                writer.write(np.roll(page, number, axis=0))
    done = subprocess.run([sys.executable, "-c", MEASURED], check=True, capture_output=True, text=True)
    few, many = map(int, done.stderr.split()[-2:])
    # All pages would be 21 MB, and as many again denoised.
    assert many < few + 12 * 1024
