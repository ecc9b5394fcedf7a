"""Reading and writing picture files: every format, depth and channel count, and nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spikeunet.engine.errors import PictureError
from spikeunet.engine.pictures.picture_files import FORMATS, SUFFIXES, load_picture, read_picture, write_picture

DTYPES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)


def random_picture(shape, dtype=np.uint8, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, endpoint=True, dtype=dtype)


def smooth_picture(shape, dtype):
    """A slope, on which every row filter of a PNG has something to predict."""
    grid = np.indices(shape).sum(axis=0)
    return (grid * 997 % np.iinfo(dtype).max).astype(dtype)


SHAPES = [(1, 1), (5, 7), (5, 7, 2), (1, 6, 3), (6, 1, 4), (33, 20, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_every_bit(tmp_path, shape, dtype):
    for picture in (random_picture(shape, dtype), smooth_picture(shape, dtype)):
        write_picture(tmp_path / "a.png", picture)
        again = read_picture(tmp_path / "a.png")
        assert again.dtype == dtype
        np.testing.assert_array_equal(again, picture)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiff_keeps_every_bit(tmp_path, shape, dtype):
    picture = random_picture(shape, dtype)
    write_picture(tmp_path / "a.tiff", picture)
    again = read_picture(tmp_path / "a.tiff")
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, picture)


@pytest.mark.parametrize(
    ("suffix", "shape", "dtype"),
    [
        (".bmp", (5, 7), np.uint8),
        (".bmp", (5, 7, 3), np.uint8),
        (".webp", (5, 7, 3), np.uint8),
        (".webp", (5, 7, 4), np.uint8),
        (".pgm", (5, 7), np.uint8),
        (".pgm", (5, 7), np.uint16),
        (".ppm", (5, 7, 3), np.uint8),
    ],
)
def test_other_lossless_formats(tmp_path, suffix, shape, dtype):
    picture = random_picture(shape, dtype)
    if shape[-1] == 4:
        picture[::2, :, 3] = 0  # the colours that full transparency hides are kept, too
    write_picture(tmp_path / f"a{suffix}", picture)
    again = read_picture(tmp_path / f"a{suffix}")
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, picture)


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)])
def test_jpeg_is_close(tmp_path, shape):
    picture = np.full(shape, 90, np.uint8)
    write_picture(tmp_path / "a.jpg", picture)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - picture).max() <= 1


def test_the_16_bit_png_agrees_with_pillow(tmp_path):
    picture = random_picture((31, 18), np.uint16)
    write_picture(tmp_path / "ours.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "ours.png")), picture)
    Image.fromarray(picture).save(tmp_path / "theirs.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "theirs.png"), picture)


def test_16_bit_colour_png_agrees_with_pillow_in_its_8_bits(tmp_path):
    picture = random_picture((31, 18, 3), np.uint16)
    write_picture(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture >> 8)


@pytest.mark.parametrize("interlaced", [False, True])
def test_every_row_filter_and_interlacing_of_a_16_bit_png(tmp_path, interlaced):
    picture = random_picture((21, 13, 3), np.uint16)
    picture[::2] = smooth_picture((11, 13, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(slow_png(picture, interlaced))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)
    # Pillow, which knows every filter, confirms that the file is what it should be.
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture >> 8)


def slow_png(picture, interlaced):
    """A 16-bit colour PNG written byte by byte, with filters 0 to 4 in turn."""
    import struct
    import zlib

    height, width, channels = picture.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    body = b""
    for y, x, dy, dx in passes if interlaced else [(0, 0, 1, 1)]:
        part = picture[y::dy, x::dx]
        previous = bytes(part.shape[1] * channels * 2)
        for number, line in enumerate(part.astype(">u2") if part.shape[1] else []):
            row = line.tobytes()
            body += bytes([number % 5]) + slow_filter(number % 5, row, previous, channels * 2)
            previous = row

    def chunk(kind, content):
        return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def slow_filter(kind, row, previous, step):
    out = []
    for i, value in enumerate(row):
        left, above = (row[i - step] if i >= step else 0), previous[i]
        corner = previous[i - step] if i >= step else 0
        estimate = left + above - corner
        paeth = min((left, above, corner), key=lambda neighbour: abs(estimate - neighbour))
        out.append((value - (0, left, above, (left + above) // 2, paeth)[kind]) % 256)
    return bytes(out)


def test_a_palette_becomes_colour_or_gray(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colors = random_picture((12, 3))
    for name, palette in (("colour", colors), ("gray", np.repeat(colors[:, :1], 3, axis=1))):
        image = Image.fromarray(indices, "L")
        image = image.copy()
        image.putpalette(palette.tobytes())
        image.save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "colour.png"), colors[indices])
    np.testing.assert_array_equal(read_picture(tmp_path / "gray.png"), colors[indices][..., 0])


def test_a_palette_with_transparency_gets_an_alpha_channel(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").copy()
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), [[[10, 20, 30, 255], [40, 50, 60, 0]]])


def test_a_gray_value_that_stands_for_transparency(tmp_path):
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(tmp_path / "a.png", transparency=9)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), [[[7, 255], [9, 0]]])
    Image.fromarray(np.array([[700, 900]], np.uint16)).save(tmp_path / "b.png", transparency=900)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), [[[700, 65535], [900, 0]]])


def test_one_bit_becomes_eight(tmp_path):
    bits = random_picture((9, 5)) > 128
    for suffix in (".png", ".tif"):
        Image.fromarray(bits).save(tmp_path / f"a{suffix}")
        picture = read_picture(tmp_path / f"a{suffix}")
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, bits * np.uint8(255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png8", "png16", "tiff8", "tiff16", "jpeg"])
def test_exif_orientation_is_applied(tmp_path, kind, orientation):
    upright = np.zeros((24, 16), np.uint8)
    upright[:8, :8] = 240  # distinct corners in blocks of 8, which JPEG keeps
    upright[:8, 8:] = 160
    upright[16:, :8] = 80
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    stored = np.ascontiguousarray(undo[orientation](upright))
    path = tmp_path / f"a.{kind.rstrip('0123456789')}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "png16":
        stored, upright = stored.astype(np.uint16) * 257, upright.astype(np.uint16) * 257
    if kind == "tiff16":
        import tifffile

        stored, upright = stored.astype(np.uint16) * 257, upright.astype(np.uint16) * 257
        tifffile.imwrite(path, stored, extratags=[(274, 3, 1, orientation, True)])
    else:
        Image.fromarray(stored).save(path, exif=exif, **({"quality": 100} if kind == "jpeg" else {}))
    picture = read_picture(path)
    assert picture.shape == upright.shape
    assert np.abs(picture.astype(int) - upright).max() <= 2


@pytest.mark.parametrize("planar", [False, True])
def test_16_bit_tiff_in_planes_and_in_the_other_byte_order(tmp_path, planar):
    import tifffile

    picture = random_picture((6, 7, 3), np.uint16)
    stored = np.moveaxis(picture, 2, 0) if planar else picture
    layout = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=layout, byteorder=">")
    again = read_picture(tmp_path / "a.tif")
    assert again.dtype == np.uint16
    assert again.dtype.isnative
    np.testing.assert_array_equal(again, picture)


def test_tiff_where_zero_is_white(tmp_path):
    import tifffile

    picture = random_picture((6, 7), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", 65535 - picture, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_deflate", "packbits", None])
def test_tiff_compressions(tmp_path, compression):
    picture = np.full((16, 16, 3), 90, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), picture)


def tiff_images():
    gray, color = random_picture((13, 17)), random_picture((13, 17, 3))
    with_alpha = Image.fromarray(random_picture((13, 17, 4)))
    return {
        "1": Image.fromarray(gray > 128),
        "L": Image.fromarray(gray),
        "LA": with_alpha.convert("LA"),
        "P of 30": Image.fromarray(color).quantize(30),
        "P of 200": Image.fromarray(color).quantize(200),
        "P of grays": Image.fromarray(gray).convert("P"),
        "RGB": Image.fromarray(color),
        "RGBA": with_alpha,
        "I;16": Image.fromarray(gray.astype(np.uint16) * 200),
        "F": Image.fromarray((gray / 255).astype(np.float32)),
    }


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("kind", tiff_images())
def test_tiffs_are_read_as_pillow_reads_them(tmp_path, kind, compression):
    path = tmp_path / "a.tif"
    try:
        tiff_images()[kind].save(path, compression=compression)
    except OSError:
        pytest.skip(f"this Pillow cannot write {compression}")
    stored = Image.open(path)
    shown = {"1": "L", "P": "RGB"}.get(stored.mode, stored.mode)
    expected = np.asarray(stored if shown == stored.mode else stored.convert(shown))
    picture = read_picture(path)
    if kind == "P of grays":
        expected = expected[..., 0]
    assert picture.dtype == expected.dtype
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_a_tiff_with_colours_that_transparency_has_darkened(tmp_path, mode):
    import tifffile

    image = Image.fromarray(random_picture((13, 17, 4))).convert("LA" if mode == "La" else "RGBA")
    photometric = "minisblack" if mode == "La" else "rgb"
    darkened = np.asarray(image.convert(mode))
    tifffile.imwrite(
        tmp_path / "a.tif", darkened, photometric=photometric, planarconfig="contig", extrasamples=["assocalpha"]
    )
    expected = np.asarray(image.convert(mode).convert(image.mode))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), expected)


def test_a_fax_is_read(tmp_path):
    bits = random_picture((13, 17)) > 128
    for compression in ("tiff_ccitt", "group3", "group4"):
        Image.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), bits * np.uint8(255))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_colour_profile_is_kept(tmp_path, suffix, dtype):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture(tmp_path / f"a{suffix}", random_picture((8, 8, 3), dtype), profile)
    assert load_picture(tmp_path / f"a{suffix}").icc_profile == profile


@pytest.mark.parametrize(
    ("suffix", "dtype", "written"),
    [(".png", np.float32, np.uint16), (".jpg", np.uint16, np.uint8), (".bmp", np.float64, np.uint8)],
)
def test_samples_are_rounded_to_what_the_format_holds(tmp_path, suffix, dtype, written):
    picture = np.full((8, 8), 0.5 if np.dtype(dtype).kind == "f" else 32896, dtype)
    write_picture(tmp_path / f"a{suffix}", picture)
    again = read_picture(tmp_path / f"a{suffix}")
    assert again.dtype == written
    assert abs(int(again[0, 0]) - np.iinfo(written).max * 0.5) <= 1


@pytest.mark.parametrize(
    ("suffix", "channels", "message"),
    [
        (".jpg", 4, r"\.jpg cannot hold transparency; use one of \.png, \.tif"),
        (".pgm", 3, r"\.pgm cannot hold colour; use one of"),
        (".ppm", 1, r"\.ppm cannot hold gray pictures; use one of"),
        (".gif", 1, r"unknown picture suffix '\.gif'; use one of \.png"),
        ("", 1, r"unknown picture suffix ''; use one of \.png"),
    ],
)
def test_formats_that_cannot_hold_the_picture(tmp_path, suffix, channels, message):
    with pytest.raises(PictureError, match=message):
        write_picture(tmp_path / f"a{suffix}", random_picture((4, 4, channels)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 2), np.int32), r"must be uint8, uint16 or float \(got int32\)"),
        (np.zeros((2, 2, 5), np.uint8), r"shape \(H, W\) or \(H, W, 1 to 4\), none of them 0 \(got \(2, 2, 5\)\)"),
        (np.zeros((0, 2), np.uint8), r"got \(0, 2\)"),
        (np.zeros(4, np.uint8), r"got \(4,\)"),
        (np.full((2, 2), 9.5), r"must lie in \[-8, 9\] \(got 9\.5 to 9\.5\)"),
        (np.full((2, 2, 2), 1.5), r"must lie in \[0, 1\] \(got 1\.5 to 1\.5\)"),  # transparency
        (np.full((2, 2), np.nan), r"4 of its 4 samples are NaN or infinite"),
    ],
)
def test_arrays_that_are_no_picture(tmp_path, picture, message):
    with pytest.raises(PictureError, match=message):
        write_picture(tmp_path / "a.tif", picture)
    assert not list(tmp_path.iterdir())


def test_every_format_says_what_it_holds():
    assert {suffix: (target.channels, target.dtypes[0]) for suffix, target in FORMATS.items() if suffix != ".tiff"} == {
        ".png": ((1, 2, 3, 4), "uint16"),
        ".tif": ((1, 2, 3, 4), "float64"),
        ".jpg": ((1, 3), "uint8"),
        ".jpeg": ((1, 3), "uint8"),
        ".webp": ((1, 2, 3, 4), "uint8"),
        ".bmp": ((1, 3), "uint8"),
        ".pgm": ((1,), "uint16"),
        ".ppm": ((3,), "uint8"),
        ".pnm": ((1, 3), "uint16"),
    }
    assert FORMATS[".pnm"].dtypes_for(3) == ("uint8",)
    assert set(SUFFIXES) == {*FORMATS, ".pbm", ".mpo"}


def test_float_beyond_the_scale_is_kept_by_tiff_and_refused_where_it_would_be_clipped(tmp_path):
    noisy = np.array([[-0.25, 1.5]], np.float32)
    write_picture(tmp_path / "a.tif", noisy)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), noisy)
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\] \(got -0\.25 to 1\.5\)"):
        write_picture(tmp_path / "a.png", noisy)
