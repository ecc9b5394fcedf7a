"""`segment`: labels, scores and probabilities of pictures of any size; label pictures, palettes, preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
from small_denoiser import small_denoiser
from small_segmenter import brightness_classes, small_segmenter
from unets import random_pictures, random_state

from spikeunet.converters import convert
from spikeunet.engine import forward, segment, simulate
from spikeunet.engine.errors import InputError, PictureError, SpikeunetError
from spikeunet.engine.pictures.labels import class_indices, default_palette, overlay, read_labels, write_labels
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.pictures.preprocessing import check_preprocessing, network_input, preprocess
from spikeunet.engine.tasks.segmentation import segmenter, softmax


def picture_of(shape, seed=0):
    """Gray levels that lie well inside the classes of `small_segmenter`, for 2, 3 and 5 classes."""
    return np.random.default_rng(seed).choice(np.array([3, 60, 90, 120, 140, 180, 250], np.uint8), shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 7), (4, 4), (33, 18)], ids=str)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_labels_are_the_largest_output_at_any_size(shape, classes):
    picture = picture_of(shape)
    segmented = segment(picture, small_segmenter(classes))
    assert segmented.labels.dtype == np.uint8
    np.testing.assert_array_equal(segmented.labels, brightness_classes(picture, classes))
    assert segmented.scores.shape == (classes, *shape)
    assert segmented.size == shape
    assert segmented.result.steps == 3


def test_scores_and_probabilities_by_hand():
    # Two classes: scores 0 and x - 1/2 (the line of slope 1 less 1 * 2 / 4).
    segmented = segment(np.array([[0.0, 0.5, 1.0]], np.float32), small_segmenter())
    np.testing.assert_allclose(segmented.scores[:, 0], [[0, 0, 0], [-0.5, 0, 0.5]], atol=1e-6)
    np.testing.assert_array_equal(segmented.labels, [[0, 0, 1]])  # the first of equal ones
    likely = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(segmented.probabilities[1, 0], [1 - likely, 0.5, likely], atol=1e-6)
    np.testing.assert_allclose(segmented.probabilities.sum(axis=0), 1, atol=1e-6)
    assert segmented.shares == {"class 0": 2 / 3, "class 1": 1 / 3}


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(softmax(np.float32([[[1e4]], [[1e4]], [[-1e4]]]))[:, 0, 0], [0.5, 0.5, 0])


def test_readout_accumulates_over_the_steps_of_a_random_unet():
    state = random_state(1, channels=3, outputs=4, width=4)
    network = convert(state, calibration=random_pictures(channels=3), metadata={"task": "segment"})
    picture = np.random.default_rng(2).integers(0, 256, (21, 37, 3), dtype=np.uint8)
    segmented = segment(picture, network, steps=5)
    padded = np.pad(picture, ((5, 6), (5, 6), (0, 0)), mode="reflect").transpose(2, 0, 1).astype(np.float32) / 255
    result = simulate(network, padded, steps=5, record=("readout",))
    expected = result.readout[-1][:, 5:26, 5:42]
    np.testing.assert_array_equal(segmented.labels, expected.argmax(axis=0))
    np.testing.assert_allclose(segmented.scores, expected / 5, rtol=1e-5, atol=1e-6)
    assert len(np.unique(segmented.labels)) > 1
    assert segmented.result.total_accumulates == result.total_accumulates > 0
    # Many steps come to the ANN's decision nearly everywhere.
    ann = forward(network, padded)[0][:, 5:26, 5:42].argmax(axis=0)
    assert (segment(picture, network, steps=256).labels == ann).mean() > 0.95


def test_orders_and_threads_give_the_same_labels():
    picture = picture_of((19, 23))
    first = segment(picture, small_segmenter(), threads=1)
    for options in ({"order": "time"}, {"threads": 2}, {"tile": 4}):
        other = segment(picture, small_segmenter(), **options)
        np.testing.assert_array_equal(other.scores, first.scores)
        assert other.result.total_events == first.result.total_events > 0


def test_colour_and_gray_meet_models_of_the_other_kind():
    gray = picture_of((6, 5))
    colour = np.dstack([gray, gray, gray])
    expected = brightness_classes(gray, 3)
    for picture in (gray, colour, np.dstack([gray, np.zeros_like(gray)]), np.dstack([colour, np.zeros_like(gray)])):
        for channels in (1, 3):
            np.testing.assert_array_equal(segment(picture, small_segmenter(3, channels)).labels, expected)
    red = np.dstack([np.full_like(gray, 255), np.zeros_like(gray), np.zeros_like(gray)])
    np.testing.assert_array_equal(segment(red, small_segmenter(3)).labels, 0)  # the mean is 1/3, where 0 ends


def test_names_and_colours_come_from_the_metadata():
    names, colors = ["night", "dusk", "day"], [[0, 0, 9], [90, 60, 60], [255, 255, 200]]
    segmented = segment(picture_of((4, 4)), small_segmenter(3, classes=names, palette=colors))
    assert segmented.classes == ("night", "dusk", "day")
    assert segmented.palette == ((0, 0, 9), (90, 60, 60), (255, 255, 200))
    plain = segment(picture_of((4, 4)), small_segmenter(3))
    assert plain.classes == ("class 0", "class 1", "class 2")
    assert plain.palette == ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def test_default_palettes():
    assert default_palette(2) == ((0, 0, 0), (255, 255, 255))
    # The first and the last of the challenge's 21 classes, and number 255.
    assert default_palette(21)[15] == (192, 128, 128)
    assert default_palette(21)[20] == (0, 64, 128)
    assert default_palette(256)[255] == (224, 224, 192)
    assert len(set(default_palette(256))) == 256


def test_overlay_by_hand():
    picture = np.array([[0, 100]], np.uint8)
    labels = np.array([[0, 1]], np.uint8)
    found = overlay(picture, labels, [(200, 0, 0), (0, 0, 255)], opacity=0.25)
    np.testing.assert_array_equal(found, [[[50, 0, 0], [75, 75, 139]]])
    segmented = segment(np.uint8([[0, 255]]), small_segmenter())
    np.testing.assert_array_equal(segmented.overlay(np.uint8([[0, 255]])), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("classes", [2, 3, 11, 200])
def test_label_pictures_are_indexed_png(tmp_path, classes):
    from PIL import Image

    labels = np.random.default_rng(0).integers(0, classes, (13, 9))
    write_labels(tmp_path / "labels.png", labels, default_palette(classes))
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colors, np.array(default_palette(classes))[labels])
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), labels)


@pytest.mark.parametrize("name", ["labels.png", "labels.tif", "labels.pgm", "labels.bmp"])
def test_gray_label_pictures_are_read_as_they_are(tmp_path, name):
    labels = np.array([[0, 1, 11], [255, 3, 2]], np.uint8)
    write_picture(tmp_path / name, labels)
    np.testing.assert_array_equal(read_labels(tmp_path / name), labels)


def test_black_and_white_label_pictures(tmp_path):
    from PIL import Image

    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(class_indices(read_labels(tmp_path / "bits.png"), 2), [[1, 0]])


def test_colour_is_no_label_picture(tmp_path):
    write_picture(tmp_path / "colour.png", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(PictureError, match=r"colour.png: a label picture has one channel .* \(got 2x3x3 uint8\)"):
        read_labels(tmp_path / "colour.png")


def test_class_indices():
    labels = np.array([[0, 1, 255]])
    np.testing.assert_array_equal(class_indices(np.array([[0, 255]]), 2), [[0, 1]])
    with pytest.raises(InputError, match=r"labels 1 and 255 could both be class 1; name the void label"):
        class_indices(labels, 2)
    np.testing.assert_array_equal(class_indices(labels, 2, void=255), [[0, 1, -1]])
    np.testing.assert_array_equal(class_indices(np.array([[0, 10, 11]]), 11, void=11), [[0, 10, -1]])
    np.testing.assert_array_equal(class_indices(np.array([[0, 1]]), 2, void=0), [[-1, 1]])
    with pytest.raises(InputError, match=r"label 11 is not one of the classes 0 to 10; name the void label"):
        class_indices(np.array([[0, 10, 11]]), 11)
    with pytest.raises(InputError, match=r"label 4 is not one of the classes 0 to 2 nor void \(9\)"):
        class_indices(np.array([[0, 4, 9]]), 3, void=9)


@pytest.mark.parametrize("labels", [[[0, 2]], [[-1, 0]], [0, 1], [[0.0, 1.0]], np.zeros((0, 2), int)], ids=str)
def test_labels_that_do_not_fit_the_palette(tmp_path, labels):
    with pytest.raises(PictureError, match=r"labels must be \(H, W\) class indices from 0 to 1"):
        write_labels(tmp_path / "labels.png", np.array(labels), default_palette(2))
    assert not list(tmp_path.iterdir())


def test_labels_only_go_into_png(tmp_path):
    with pytest.raises(PictureError, match="label pictures are indexed PNG files"):
        write_labels(tmp_path / "labels.jpg", np.zeros((2, 2), int), default_palette(2))


PREPROCESSED = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)


def test_preprocessing_is_scikit_images():
    from skimage import color, exposure

    gray = color.rgb2gray(PREPROCESSED)
    equalized = exposure.equalize_adapthist(gray, clip_limit=0.02, kernel_size=8)
    expected = exposure.adjust_gamma(equalized, 1 / 1.2)
    steps = [
        {"name": "rgb2gray"},
        {"name": "equalize_adapthist", "clip_limit": 0.02, "kernel_size": 8},
        {"name": "adjust_gamma", "gamma": 1 / 1.2},
    ]
    found = preprocess(PREPROCESSED, steps)
    assert (found.dtype, found.shape) == (np.float32, (24, 32, 1))
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-6)
    assert np.abs(found - gray[..., None]).max() > 0.1


def test_other_steps_by_hand():
    np.testing.assert_array_equal(preprocess(PREPROCESSED, [{"name": "channel", "index": 1}]), PREPROCESSED[..., 1:2])
    gray = np.float32([[[0.25], [0.5]]])
    np.testing.assert_array_equal(preprocess(gray, [{"name": "channel", "index": 2}]), gray)
    np.testing.assert_array_equal(preprocess(gray, [{"name": "rgb2gray"}]), gray)
    np.testing.assert_array_equal(preprocess(gray, [{"name": "rescale_intensity"}]), [[[0], [1]]])
    np.testing.assert_allclose(preprocess(gray, [{"name": "adjust_gamma", "gamma": 2, "gain": 0.5}]), gray**2 / 2)
    colour = preprocess(PREPROCESSED, [{"name": "equalize_adapthist"}])
    assert colour.shape == PREPROCESSED.shape


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (3, 3, 3), (7, 5, 3)], ids=str)
@pytest.mark.parametrize("value", [None, 0.0, 1.0])
def test_preprocessing_of_small_and_even_pictures(shape, value):
    picture = np.random.default_rng(0).random(shape) if value is None else np.full(shape, value)
    steps = [{"name": "equalize_adapthist"}, {"name": "rescale_intensity"}, {"name": "adjust_gamma", "gamma": 0.8}]
    found = preprocess(picture.astype(np.float32), steps)
    assert found.shape == shape
    assert np.isfinite(found).all()


def test_the_models_preprocessing_is_applied():
    picture = picture_of((8, 8))
    plain = segment(picture, small_segmenter()).labels
    brighter = small_segmenter(preprocessing=[{"name": "adjust_gamma", "gamma": 0.2}])
    lifted = np.rint((picture / 255) ** 0.2 * 255).astype(np.uint8)
    np.testing.assert_array_equal(segment(picture, brighter).labels, brightness_classes(lifted, 2))
    assert (segment(picture, brighter).labels != plain).any()
    assert network_input(picture, brighter).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("rgb2gray", r"preprocessing must be a list of steps"),
        (["rgb2gray"], r"must have one of the names rgb2gray, .* \(got 'rgb2gray'\)"),
        ([{"name": "os.system"}], r"must have one of the names"),
        ([{}], r"must have one of the names"),
        ([{"name": "adjust_gamma"}], r"adjust_gamma needs the parameter 'gamma'; it has gamma, gain"),
        ([{"name": "rgb2gray", "weights": 1}], r"rgb2gray takes no parameter 'weights'; it has none"),
        ([{"name": "adjust_gamma", "gamma": 0}], r"gamma .* must be a number from 0.01 to 100 \(got 0\)"),
        ([{"name": "adjust_gamma", "gamma": True}], r"must be a number"),
        ([{"name": "adjust_gamma", "gamma": float("nan")}], r"must be a number"),
        ([{"name": "channel", "index": 1.5}], r"index .* must be a whole number from 0 to 2 \(got 1.5\)"),
        ([{"name": "equalize_adapthist", "clip_limit": 3}], r"clip_limit .* from 0 to 1 \(got 3\)"),
    ],
)
def test_preprocessing_that_makes_no_sense(steps, message):
    with pytest.raises(InputError, match=message):
        check_preprocessing(steps)
    with pytest.raises(InputError, match=message):
        segmenter(small_segmenter(preprocessing=steps))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small_denoiser(), r"is for 'denoise', not for segmentation; choose another, or use `spikeunet denoise`"),
        (small_denoiser(task="generate"), r"is for 'generate', not for segmentation; choose another"),
        (small_denoiser(task="segmentation"), r"puts out 1x4x4 for a picture of 4x4; .* needs a picture of 2 to 256"),
        (small_segmenter(classes=["one"]), r"must have 2 different names of classes, one an output \(got \['one'\]\)"),
        (small_segmenter(classes=["one", "one"]), r"must have 2 different names"),
        (small_segmenter(classes="ab"), r"must have 2 different names"),
        (small_segmenter(palette=[[0, 0, 0]]), r"must have a palette of 2 colours"),
        (small_segmenter(palette=[[0, 0, 0], [0, 0, 256]]), r"must have a palette of 2 colours"),
        (small_segmenter(palette=[[0, 0, 0], [0, 0, 0.5]]), r"must have a palette of 2 colours"),
        (small_segmenter(palette=[0, 1]), r"must have a palette of 2 colours"),
        (small_segmenter(steps=0), r"steps must be a whole number from 1 to 1000 \(got 0\)"),
        ("no-such-model", r"'no-such-model'"),
    ],
)
def test_models_that_do_not_fit(model, message):
    with pytest.raises(SpikeunetError, match=message):
        segment(np.zeros((4, 4), np.uint8), model)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 2), np.int64), r"uint8, uint16 or float \(got int64\)"),
        (np.zeros((2, 2, 5), np.uint8), r"none of them 0 \(got \(2, 2, 5\)\)"),
        (np.full((2, 2), np.nan), r"4 of its 4 samples are NaN or infinite"),
    ],
)
def test_arrays_that_are_no_picture(picture, message):
    with pytest.raises(PictureError, match=message):
        segment(picture, small_segmenter())


@pytest.mark.parametrize("steps", [0, 1001, 2.5])
def test_steps_out_of_range(steps):
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 to 1000"):
        segment(np.zeros((4, 4), np.uint8), small_segmenter(), steps=steps)


def test_the_shipped_network_finds_the_vessels_of_the_example(repository):
    picture = read_picture(repository / "examples" / "pictures" / "retina.png")
    segmented = segment(picture, "segment-vessels")
    # The arteries and veins above the optic disc, and the fovea, which has none.
    assert segmented.labels[45:75, 40:80].mean() > 0.35
    assert segmented.labels[120:150, 245:265].mean() < 0.05
    assert 0.08 < segmented.shares["vessel"] < 0.18
