"""The float32 kernels of fine-tuning against the matrix products in float64, for any geometry, vectors and threads."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import Conv2d, ConvTranspose2d
from spikeunet.engine.kernels.processor import host_lanes
from spikeunet.engine.layers.dense import convolution, correlation
from spikeunet.engine.learning.finetune.trainable_arrays import with_arrays
from spikeunet.engine.threads import on_threads, using_threads

pytestmark = pytest.mark.skipif(host_lanes() < 8, reason="these kernels need vectors of eight numbers or more")

GEOMETRIES = [
    {"kernel": (3, 3), "padding": (1, 1)},
    {"kernel": (1, 1)},
    {"kernel": (1, 1), "padding": (2, 2)},
    {"kernel": (3, 3), "padding": (3, 2)},
    {"kernel": (2, 4), "padding": (1, 0), "dilation": (2, 1)},
    {"kernel": (3, 2), "padding": (2, 1), "dilation": (2, 3)},
    {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)},
    {"kernel": (2, 2), "stride": (3, 1), "padding": (0, 1)},
    {"kernel": (3, 2), "stride": (2, 3), "padding": (2, 0), "dilation": (3, 2)},
]
SHAPES = [((1, 32), (8, 8)), ((16, 16), (7, 9)), ((40, 50), (9, 5)), ((33, 1), (10, 19)), ((5, 7), (8, 9))]
"""Channels read and put out, height and width: whole and broken planes, vectors and groups of pixels."""


def problem(kind, geometry, channels, size, seed=0):
    """A node, what it reads in two parts, and a gradient of its current."""
    random = np.random.default_rng(seed)
    options = dict(geometry)
    kernel, (into, out) = options.pop("kernel"), channels
    shape = (out, into, *kernel) if kind is Conv2d else (into, out, *kernel)
    node = kind("node", "source", random.standard_normal(shape), random.standard_normal(out), **options)
    x = random.standard_normal((3, *size, into)).astype(np.float32)
    flow = random.standard_normal((3, *node.output_shape((into, *size))[1:], out)).astype(np.float32)
    return node, tuple(part for part in (x[..., : into // 3], x[..., into // 3 :]) if part.shape[3]), flow


def everything(node, value, flow):
    into, parameters = node.backward(value, flow)
    return {"current": node.forward(value), "input": into, **parameters}


def exactly(node, value, flow):
    """In float64, through matrix products."""
    wide = {name: getattr(node, name).astype(np.float64) for name in ("weight", "bias")}
    return everything(with_arrays(node, **wide), tuple(part.astype(float) for part in value), flow.astype(float))


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_currents_and_gradients(kind, geometry, lanes, monkeypatch):
    if lanes > host_lanes():
        pytest.skip("this processor's vectors are narrower")
    monkeypatch.setattr(correlation, "host_lanes", lambda: lanes)
    for channels, size in SHAPES:
        made = problem(kind, geometry, channels, size)
        found, expected = everything(*made), exactly(*made)
        for name, array in expected.items():
            assert found[name].dtype == np.float32
            assert found[name].shape == array.shape
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5 * max(1, np.abs(array).max()))


def test_numbers_do_not_depend_on_threads():
    for kind in (Conv2d, ConvTranspose2d):
        for channels in ((64, 32), (8, 90)):
            made = problem(kind, GEOMETRIES[0], channels, (12, 12))
            with using_threads(1):
                expected = everything(*made)
            for threads in (2, 3, 7):
                with using_threads(threads):
                    found = everything(*made)
                for name, array in expected.items():
                    np.testing.assert_array_equal(found[name], array, name)


def test_groups_and_float64_take_the_other_path(monkeypatch):
    monkeypatch.setattr(convolution, "packed", None)
    node, value, flow = problem(Conv2d, GEOMETRIES[0], (4, 6), (8, 8))
    exactly(node, value, flow)
    grouped = Conv2d("node", "source", np.ones((6, 2, 3, 3)), padding=1, groups=2)
    assert everything(grouped, value, flow)["input"].shape == (3, 8, 8, 4)
    with pytest.raises(TypeError):
        everything(node, value, flow)


def test_work_on_threads_comes_back_in_order_and_may_nest():
    with using_threads(3):
        squares = on_threads(lambda n: sum(on_threads(lambda m: m * n, range(n))), range(40))
    assert squares == [n * n * (n - 1) // 2 for n in range(40)]


def test_an_error_in_a_thread_is_raised():
    def work(item):
        if item == 20:
            raise ValueError("item 20")
        return item

    with using_threads(2), pytest.raises(ValueError, match="item 20"):
        on_threads(work, range(100))
    with using_threads(2):
        assert on_threads(work, range(5)) == list(range(5))
