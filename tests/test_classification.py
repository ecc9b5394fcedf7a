"""`classify`: class, scores and probabilities of a picture; what is refused; preprocessing to a size and a mean."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from small_classifier import SIDE, picture_of_class, small_classifier
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import Conv2d, Input, Network, Output, classify, forward, segment, simulate
from spikeunet.engine.errors import InputError, PictureWarning, SpikeunetError
from spikeunet.engine.pictures.preprocessing import channels_behind, check_preprocessing, final_size, preprocess
from spikeunet.engine.tasks.classification import classifier, ranking

EVEN = np.tile(np.float32([0, 0.8]), (SIDE, SIDE // 2))
"""Of a brightness of 0.4."""


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_class_is_the_largest_readout(classes):
    for label in range(classes):
        found = classify(picture_of_class(label, classes), small_classifier(classes))
        assert (found.label, found.name) == (label, f"class {label}")
        assert found.scores.shape == found.probabilities.shape == (classes,)
        assert (found.result.steps, found.size) == (3, (SIDE, SIDE))


def test_scores_and_probabilities_by_hand():
    # Slopes 0, 1 and 2 and biases 0, -1/3 and -1: at a brightness of 0.4 the scores are 0, 1/15 and -1/5.
    found = classify(EVEN, small_classifier(classes=["dark", "grey", "bright"]))
    np.testing.assert_allclose(found.scores, [0, 1 / 15, -1 / 5], atol=1e-6)
    exponentials = np.exp([0, 1 / 15, -1 / 5])
    np.testing.assert_allclose(found.probabilities, exponentials / exponentials.sum(), rtol=1e-5)
    assert [name for name, _, _ in found.top(2)] == ["grey", "dark"]
    assert found.top(9)[2][0] == "bright"
    assert found.top(1)[0][1:] == pytest.approx((found.probabilities[1], 1 / 15))
    sigmoid = small_classifier(conversion={"endings": ["Sigmoid"]})
    found = classify(EVEN, sigmoid)
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp([0, -1 / 15, 1 / 5])), rtol=1e-5)


def test_of_equal_scores_the_first_comes_first():
    np.testing.assert_array_equal(ranking(np.float32([1, 3, 3, 2, 3])), [1, 2, 4, 3, 0])


def test_the_run_is_that_of_the_picture_as_it_is():
    picture, network = picture_of_class(1, 3), small_classifier()
    found = classify(picture, network)
    result = simulate(network, picture[None].astype(np.float32) / 255, steps=3)
    np.testing.assert_array_equal(found.scores, result.output[:, 0, 0])
    assert found.result.total_accumulates == result.total_accumulates > 0
    np.testing.assert_allclose(
        forward(network, picture[None].astype(np.float32) / 255)[0][:, 0, 0], found.scores, atol=1e-6
    )
    for options in ({"order": "time"}, {"threads": 2}):
        np.testing.assert_array_equal(classify(picture, network, **options).scores, found.scores)


def test_other_names_of_classes():
    found = classify(picture_of_class(2, 3), small_classifier(classes=["a", "b", "c"]), classes=["x", "y", "z"])
    assert found.name == "z"
    with pytest.raises(InputError, match="2 names of classes are given, but the model has 3 outputs"):
        classify(picture_of_class(2, 3), small_classifier(), classes=["x", "y"])
    with pytest.raises(InputError, match="3 different names of classes"):
        classify(picture_of_class(2, 3), small_classifier(), classes=["x", "y", "x"])


def test_gray_and_colour_are_not_made_of_each_other_unless_the_model_says_so():
    gray, colour = picture_of_class(1, 3), picture_of_class(1, 3, shape=(SIDE, SIDE, 3))
    with pytest.raises(InputError, match=r'is colour, but the model takes gray; .* the preprocessing step "rgb2gray"'):
        classify(colour, small_classifier())
    with pytest.raises(InputError, match=r'is gray, but the model takes colour; .* the preprocessing step "gray2rgb"'):
        classify(gray, small_classifier(channels=3))
    assert classify(colour, small_classifier(preprocessing=[{"name": "rgb2gray"}])).label == 1
    assert classify(gray, small_classifier(channels=3, preprocessing=[{"name": "gray2rgb"}])).label == 1
    # A black-and-white picture that is stored as colour is gray; transparency is not looked at.
    alike = np.dstack([gray, gray, gray])
    np.testing.assert_array_equal(classify(alike, small_classifier()).scores, classify(gray, small_classifier()).scores)
    opaque = np.dstack([colour, np.zeros((SIDE, SIDE), np.uint8)])
    assert classify(opaque, small_classifier(channels=3)).label == 1
    with pytest.raises(InputError, match=r"is gray, but the model takes pictures of 2 channels; convert the picture$"):
        classify(gray, small_classifier(channels=2))


def test_little_contrast_is_no_other_range_but_a_dark_picture_is():
    low = np.tile(np.uint8([86, 189]), (SIDE, SIDE // 2))
    assert classify(low, small_classifier()).label == 1
    with pytest.warns(PictureWarning, match="its samples go from 0 to 16, but white is taken for 255"):
        classify(np.tile(np.uint8([0, 16]), (SIDE, SIDE // 2)), small_classifier())
    with pytest.warns(PictureWarning, match="its samples go from 86 to 4000, but white is taken for 65535"):
        classify(np.tile(np.uint16([86, 4000]), (SIDE, SIDE // 2)), small_classifier())
    stretched = small_classifier(preprocessing=[{"name": "rescale_intensity"}])
    assert classify(np.tile(np.uint8([0, 16]), (SIDE, SIDE // 2)), stretched).label == 1


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.ma.masked_array(np.full((SIDE, SIDE), 200, np.uint8), np.eye(SIDE)), "masked"),
        ([[1], [2, 3]], "picture"),
        (None, "picture"),
        (np.zeros((0, 8), np.uint8), "empty|at least|shape"),
        (np.full((SIDE, SIDE), np.nan, np.float32), "NaN"),
    ],
    ids=range(5),
)
def test_what_is_no_picture(picture, message):
    with pytest.raises(SpikeunetError, match=message):
        classify(picture, small_classifier())


def test_pictures_of_another_size():
    large = picture_of_class(2, 3, shape=(9, SIDE))
    with pytest.raises(InputError, match="puts out 3x2x1 for a picture of 9x8"):
        classify(large, small_classifier_of_any_size())
    exported = small_classifier(conversion={"input_size": [SIDE, SIDE]})
    with pytest.raises(
        InputError, match=r"the picture has 9x8 pixels, but the model was made for 8x8; .* --resize 8x8"
    ):
        classify(large, exported)
    resized = {"name": "resize", "height": SIDE, "width": SIDE}
    assert classify(large, small_classifier(preprocessing=[resized], conversion={"input_size": [8, 8]})).label == 2
    for odd in ([8], "8x8", [0, 8], [8.0, 8.0], None, [True, 8]):
        assert classify(picture_of_class(2, 3), small_classifier(conversion={"input_size": odd})).label == 2


def small_classifier_of_any_size():
    nodes = [
        Input("input"),
        Conv2d("classes", "input", np.zeros((3, 1, SIDE, SIDE), np.float32)),
        Output("output", "classes"),
    ]
    return Network(nodes, {"task": "classify"})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (small_segmenter(), "is for 'segment', not for classification; .*`spikeunet segment`"),
        (small_denoiser(task="classify"), "has 1 output; classification needs 2 to"),
        (small_classifier(classes=["a", "b"]), "3 different names of classes"),
        (small_classifier(classes=["a", "b", "a"]), "3 different names of classes"),
        (
            small_classifier(preprocessing=[{"name": "resize", "height": 9, "width": 9}]),
            "has 9x9 pixels, which the model does not take",
        ),
        (small_classifier(conversion={"input_size": [9, 9]}), "has 9x9 pixels, which the model does not take"),
        (small_segmenter(task="classify", conversion={"input_size": [8, 8]}), "puts out 2x8x8 .* a global average"),
    ],
    ids=range(7),
)
def test_models_that_classify_nothing(network, message):
    with pytest.raises(InputError, match=message):
        classifier(network)


def test_a_classifier_does_not_segment():
    with pytest.raises(InputError, match=r"is for 'classify', not for segmentation; .*`spikeunet classify`"):
        segment(picture_of_class(0, 3), small_classifier())


# --- Preprocessing ---------------------------------------------------------------------------------------------------


def noise(*shape):
    return np.random.default_rng(4).random(shape, np.float32)


def test_resizing_is_pillows():
    picture = noise(20, 30, 3)
    found = preprocess(picture, [{"name": "resize", "height": 7, "width": 9}])
    for channel in range(3):
        wanted = np.asarray(Image.fromarray(picture[..., channel]).resize((9, 7), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(found[..., channel], wanted)
    assert preprocess(noise(20, 31, 1), [{"name": "resize_shorter", "side": 10}]).shape == (10, 15, 1)
    assert preprocess(noise(31, 20, 1), [{"name": "resize_shorter", "side": 10}]).shape == (15, 10, 1)
    np.testing.assert_array_equal(preprocess(picture, [{"name": "resize", "height": 20, "width": 30}]), picture)


def test_the_middle_of_a_picture():
    picture = np.arange(35, dtype=np.float32).reshape(5, 7, 1)
    found = preprocess(picture, [{"name": "center_crop", "height": 2, "width": 4}])
    # 1.5 rows are left on each side, and 2 go above, as torchvision rounds.
    np.testing.assert_array_equal(found, picture[2:4, 2:6])
    with pytest.raises(InputError, match="is 5x7, too small to take 6x4 out of its middle"):
        preprocess(picture, [{"name": "center_crop", "height": 6, "width": 4}])


def test_mean_and_deviation():
    picture = noise(4, 5, 3)
    found = preprocess(picture, [{"name": "normalize", "mean": [0.1, 0.2, 0.3], "std": [2.0]}])
    np.testing.assert_allclose(found, (picture - [0.1, 0.2, 0.3]) / 2, rtol=1e-6, atol=1e-7)
    assert found.dtype == np.float32
    with pytest.raises(InputError, match=r"has 3 means and 1 standard deviations, but the picture 1 channel"):
        preprocess(picture[..., :1], [{"name": "normalize", "mean": [0.1, 0.2, 0.3], "std": [2.0]}])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "resize", "height": 8}, "needs the parameter 'width'"),
        ({"name": "resize", "height": 8, "width": 5000}, "width .* must be a whole number from 1 to 4096"),
        ({"name": "resize", "height": 8, "width": 8.0}, "width .* must be a whole number"),
        ({"name": "resize_shorter", "side": 0}, "side .* from 1 to 4096"),
        (
            {"name": "normalize", "mean": [0.5], "std": [0]},
            r"std .* must be a list of 1 to 4 numbers from 0.0001 to 1000",
        ),
        ({"name": "normalize", "mean": 0.5, "std": [1]}, "mean .* must be a list"),
        ({"name": "normalize", "mean": "0.5", "std": [1]}, "mean .* must be a list"),
        ({"name": "normalize", "mean": [], "std": [1]}, "mean .* must be a list"),
        ({"name": "normalize", "mean": [0] * 5, "std": [1]}, "mean .* must be a list"),
        ({"name": "normalize", "mean": [True], "std": [1]}, "mean .* must be a list"),
        ({"name": "normalize", "mean": [float("nan")], "std": [1]}, "mean .* must be a list"),
    ],
)
def test_steps_that_make_no_sense(step, message):
    with pytest.raises(InputError, match=message):
        check_preprocessing([step])


def test_a_shorter_side_cannot_fill_the_memory():
    with pytest.raises(InputError, match="resized to 4096x4096000, more than 16777216 pixels"):
        preprocess(np.zeros((1, 1000, 1), np.float32), [{"name": "resize_shorter", "side": 4096}])


def test_what_steps_do_to_size_and_channels():
    resize = {"name": "resize", "height": 8, "width": 9}
    assert final_size([resize, {"name": "normalize", "mean": [0], "std": [1]}]) == (8, 9)
    assert final_size([resize, {"name": "resize_shorter", "side": 5}]) is None
    assert final_size([{"name": "resize_shorter", "side": 5}, {"name": "center_crop", "height": 4, "width": 3}]) == (
        4,
        3,
    )
    assert final_size([]) is None
    assert channels_behind([{"name": "rgb2gray"}, {"name": "gray2rgb"}], 1) == 3
    assert channels_behind([{"name": "channel", "index": 1}], 3) == 1
    assert channels_behind([resize], 3) == 3


def test_labels_are_of_the_pictures_own_pixels():
    with pytest.raises(InputError, match="changes the size of pictures, but labels are of the picture's own pixels"):
        segment(
            np.zeros((8, 8), np.uint8), small_segmenter(preprocessing=[{"name": "resize", "height": 8, "width": 8}])
        )
