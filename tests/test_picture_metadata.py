"""What a picture's file says besides its samples: kept where the output can hold it and it stays true."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import PictureError, PictureWarning, read_picture, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.folders import pictures_in
from spikeunet.engine.pictures.picture_files import load_picture
from spikeunet.engine.pictures.png_chunks import join_chunks

GRAY = np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8)
COLOR = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="24" SizeY="16" SizeC="1" SizeZ="{planes}" SizeT="1" '
    'PhysicalSizeX="0.2"><TiffData IFD="0" PlaneCount="1">{file}</TiffData></Pixels></Image></OME>'
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def denoised(capsys):
    """Denoise a file with a model that halves it."""
    save_model(small_denoiser(), "model.npz")

    def run(source, target):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", source, "-o", target, "--model", "model.npz"])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return printed.err

    return run


def camera_exif(orientation=1):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8298] = "Maker", orientation, "Nobody"
    inner = exif.get_ifd(0x8769)
    inner[0x9003], inner[0xA002], inner[0xA003] = "2020:01:01 00:00:00", 24, 16
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_is_kept_without_the_orientation_that_was_applied(denoised, suffix, orientation):
    Image.fromarray(COLOR).save("in.jpg", exif=camera_exif(orientation), dpi=(300, 200), icc_profile=PROFILE)
    assert denoised("in.jpg", f"out{suffix}") == ""
    with Image.open(f"out{suffix}") as result:
        exif = result.getexif()
        assert result.size == ((24, 16) if orientation == 1 else (16, 24))
        assert (exif[0x010F], exif[0x8298], 0x0112 in exif) == ("Maker", "Nobody", False)
        inner = exif.get_ifd(0x8769)
        assert inner[0x9003] == "2020:01:01 00:00:00"
        # The sizes of a picture that was turned are no longer those.
        assert (0xA002 in inner) == (orientation == 1)
        assert result.info["icc_profile"] == PROFILE
        if suffix != ".webp":
            resolution = (300, 200) if orientation == 1 else (200, 300)
            assert result.info["dpi"] == pytest.approx(resolution, abs=0.02)


def test_exif_of_16_bits_and_texts_to_and_from_tiff(denoised):
    exif = camera_exif(3)
    Image.fromarray(GRAY.astype(np.uint16) * 257).save("in.png", exif=exif, dpi=(300, 300))
    denoised("in.png", "out.tif")
    with tifffile.TiffFile("out.tif") as tiff:
        tags = tiff.pages[0].tags
        assert (tags["Make"].value, tags["Copyright"].value) == ("Maker", "Nobody")
        assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == pytest.approx(300, abs=0.01)
        assert tags["ResolutionUnit"].value == 2
        assert "Orientation" not in tags
    denoised("out.tif", "again.png")
    with Image.open("again.png") as result:
        assert result.mode == "I;16"
        assert dict(result.getexif()) == {0x010F: "Maker", 0x8298: "Nobody"}
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_the_thumbnail_of_the_noisy_picture_goes():
    exif = camera_exif()
    thumbnail = io.BytesIO()
    Image.fromarray(GRAY[:8, :8]).save(thumbnail, "JPEG")
    exif._ifds[1] = {0x0103: 6, 0x0201: thumbnail.getvalue()}
    Image.fromarray(GRAY).save("in.png", exif=exif)
    assert b"JFIF" not in (load_picture("in.png").metadata.exif or b"")


def test_damaged_exif_makes_a_picture_no_worse(denoised):
    Image.fromarray(GRAY).save("in.jpg", exif=b"Exif\0\0MM\0*" + bytes(range(200)))
    assert denoised("in.jpg", "out.jpg") == ""


def test_texts_and_colour_chunks_of_a_png(denoised):
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (45455).to_bytes(4, "big"))
    chunks.add_text("Title", "A slope")
    chunks.add_itxt("Comment", "Süß", "de")
    chunks.add_itxt("XML:com.adobe.xmp", '<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="1"/>')
    Image.fromarray(GRAY).save("in.png", pnginfo=chunks)
    denoised("in.png", "out.png")
    with Image.open("out.png") as result:
        result.load()
        assert result.text == {"Title": "A slope", "Comment": "Süß"}
        assert result.info["gamma"] == 0.45455


def test_a_pixels_shape_without_a_unit(denoised):
    write_picture("in.png", GRAY)
    size = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\0"
    Path("in.png").write_bytes(join_chunks(Path("in.png").read_bytes(), [(b"pHYs", size)]))
    denoised("in.png", "out.png")
    with Image.open("out.png") as result:
        assert result.info["aspect"] == (2, 1)


@pytest.mark.parametrize(
    ("description", "kept"),
    [
        ("A slope", True),
        ("ImageJ=1.54f\nunit=um\n", True),
        (OME.format(planes=1, file=""), True),
        (OME.format(planes=1, file='<UUID FileName="in.ome.tif">urn:uuid:1</UUID>'), False),
        ('{"shape": [16, 24]}', True),
    ],
)
def test_descriptions_of_a_tiff(denoised, description, kept):
    tifffile.imwrite("in.tif", GRAY, description=description, metadata=None, resolution=(5, 7), resolutionunit=3)
    denoised("in.tif", "out.tif")
    with tifffile.TiffFile("out.tif") as tiff:
        page = tiff.pages[0]
        assert page.description.strip() == (description.strip() if kept else "")
        assert [page.tags[name].value for name in ("XResolution", "YResolution")] == [(5, 1), (7, 1)]
        assert page.tags["ResolutionUnit"].value == 3


def test_descriptions_for_programs_go_where_they_are_no_longer_true(denoised):
    tifffile.imwrite("in.tif", GRAY, description='{"shape": [16, 24]}', metadata=None, extratags=[(274, 3, 1, 6, True)])
    denoised("in.tif", "out.tif")
    with tifffile.TiffFile("out.tif") as tiff:
        assert tiff.pages[0].shape == (24, 16)
        assert tiff.pages[0].description == ""
    denoised("in.tif", "out.png")
    with Image.open("out.png") as result:
        assert not dict(result.getexif())
    # Channels that are stored one after the other are written beside each other.
    tifffile.imwrite("in.tif", np.stack([GRAY] * 3), photometric="rgb", planarconfig="separate")
    denoised("in.tif", "out.tif")
    with tifffile.TiffFile("out.tif") as tiff:
        assert tiff.pages[0].shape == (16, 24, 3)
        assert tiff.pages[0].description == ""


def test_an_overlay_has_the_resolution_and_no_profile_of_grays(denoised, capsys):
    gray_profile = bytearray(PROFILE)
    gray_profile[16:20] = b"GRAY"
    Image.fromarray(GRAY).save("in.png", dpi=(300, 300), icc_profile=bytes(gray_profile))
    save_model(small_segmenter(3), "segment.npz")
    with pytest.raises(SystemExit):
        main(["segment", "in.png", "-o", "labels.png", "--overlay", "seen.png", "--model", "segment.npz"])
    assert capsys.readouterr().err == ""
    with Image.open("seen.png") as seen:
        assert seen.info["dpi"] == pytest.approx((300, 300), abs=0.02)
        assert "icc_profile" not in seen.info


def test_a_profile_of_other_colours_than_the_pictures(denoised):
    Image.fromarray(GRAY).save("in.jpg", icc_profile=PROFILE)
    with pytest.warns(PictureWarning, match=r"in\.jpg: its colour profile is not one of grays, as the picture is"):
        read_picture("in.jpg")
    assert denoised("in.jpg", "out.png").count("left out") == 1
    with Image.open("out.png") as result:
        assert "icc_profile" not in result.info
    with pytest.raises(PictureError, match=r"a\.png: the colour profile is not one of this picture's colours; leave"):
        write_picture("a.png", GRAY, PROFILE)


def test_gray_comes_back_from_webp_as_gray():
    for picture in (GRAY, np.dstack([GRAY, np.maximum(GRAY, 1)])):
        write_picture("a.webp", picture)
        np.testing.assert_array_equal(read_picture("a.webp"), picture)
    Image.fromarray(np.dstack([GRAY] * 3)).save("a.webp", lossless=True, icc_profile=PROFILE)
    assert read_picture("a.webp").shape == (16, 24, 3)


@pytest.mark.parametrize(("suffix", "shape"), [(".pnm", (4, 5)), (".pnm", (4, 5, 3)), (".pgm", (4, 5))])
def test_the_pnm_formats_are_read_and_written(suffix, shape):
    picture = COLOR[:4, :5] if len(shape) == 3 else GRAY[:4, :5]
    write_picture(f"a{suffix}", picture)
    np.testing.assert_array_equal(read_picture(f"a{suffix}"), picture)


def test_pictures_in_folders_by_every_suffix_that_is_read(denoised):
    Path("folder").mkdir()
    Image.fromarray(GRAY > 100).save("folder/a.pbm", "PPM")
    Image.fromarray(GRAY).save("folder/b.MPO", "JPEG")
    Image.fromarray(GRAY).save("folder/c.pnm", "PPM")
    assert [path.name for path in pictures_in(Path("folder"))] == ["a.pbm", "b.MPO", "c.pnm"]
    np.testing.assert_array_equal(read_picture("folder/a.pbm"), (GRAY > 100) * 255)
    denoised("folder/a.pbm", "a.png")


def test_files_of_several_pictures():
    images = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    images[0].save("a.mpo", "MPO", save_all=True, append_images=images[1:])
    with pytest.warns(PictureWarning, match=r"a\.mpo: holds 2 pictures \(MPO\), of which the first is taken"):
        assert np.abs(read_picture("a.mpo").astype(int) - GRAY).mean() < 8
    for image in (*images[:1], images[0].convert("1"), images[0].convert("RGB"), Image.fromarray(GRAY * np.uint16(9))):
        stream = io.BytesIO()
        image.save(stream, "PPM")
        one = stream.getvalue()
        assert read_picture(io.BytesIO(one)).shape[:2] == (16, 24)
        with pytest.raises(PictureError, match="holds 2 or more pictures; save the one to use"):
            read_picture(io.BytesIO(one * 2))


def test_tiffs_of_several_pictures_and_of_part_of_them():
    tifffile.imwrite("a.tif", GRAY, description="ImageJ=1.54f\nimages=7\nslices=7\n", metadata=None)
    with pytest.raises(PictureError, match=r"a\.tif: holds 7 pictures"):
        read_picture("a.tif")
    tifffile.imwrite("a.ome.tif", GRAY, description=OME.format(planes=3, file=""), metadata=None)
    with pytest.warns(PictureWarning, match="is one of 3 pictures that its OME description speaks of"):
        np.testing.assert_array_equal(read_picture("a.ome.tif"), GRAY)
    with tifffile.TiffWriter("a.tif") as tiff:
        tiff.write(GRAY[::2, ::2], subfiletype=1, metadata=None)
        tiff.write(GRAY, metadata=None)
    with pytest.raises(PictureError, match="begins with a smaller version of a picture; save the one to use"):
        read_picture("a.tif")
    with tifffile.TiffWriter("a.tif") as tiff:
        tiff.write(GRAY, metadata=None)
        tiff.write(GRAY[::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_picture("a.tif"), GRAY)


def test_channels_that_a_tiff_does_not_name():
    tifffile.imwrite("a.tif", COLOR, photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(PictureError, match=r"uint8, 8 bits, MINISBLACK, 3 in a pixel, are not supported"):
        read_picture("a.tif")
    four = np.dstack([COLOR, GRAY])
    tifffile.imwrite("a.tif", four, photometric="rgb", extrasamples=[0], metadata=None)
    with pytest.warns(PictureWarning, match=r"does not say what its last channel is .*; taken for transparency"):
        np.testing.assert_array_equal(read_picture("a.tif"), four)
