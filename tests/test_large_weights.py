"""What is computed of a layer's many weights goes part by part; the parts make the same whole."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import Conv2d, ConvTranspose2d
from spikeunet.engine.binding.integer_plan import integer_weights
from spikeunet.engine.fixed_point import HIGHEST_EXPONENT, LOWEST_EXPONENT, codes_and_exponents, scaled_codes
from spikeunet.engine.float32 import SMALLEST, without_subnormals

LAYERS = [(Conv2d, (90, 100, 3, 3)), (ConvTranspose2d, (100, 90, 3, 3)), (Conv2d, (3, 70_000, 1, 1))]
"""More weights than are looked at in one go; of the last, a channel's alone are."""


def integer_layer(kind, shape, exponents=(0, 1)):
    generator = np.random.default_rng(0)
    codes = generator.integers(-127, 128, shape)
    node = kind("layer", "input", np.zeros(shape, np.float32))
    exponents = generator.integers(*exponents, node.out_channels, endpoint=True)
    return kind("layer", "input", scaled_codes(node, codes, exponents)), codes, exponents


@pytest.mark.parametrize(("kind", "shape"), LAYERS)
def test_codes_are_found_again(kind, shape):
    node, codes, exponents = integer_layer(kind, shape)
    found, found_exponents = codes_and_exponents(node)
    np.testing.assert_array_equal(found, codes)
    np.testing.assert_array_equal(found_exponents, exponents)
    last = node.weight.copy()
    last[-1, -1, -1, -1] += 2**-10
    assert codes_and_exponents(kind("layer", "input", last)) is None


@pytest.mark.parametrize(
    "exponents", [(LOWEST_EXPONENT, LOWEST_EXPONENT + 9), (HIGHEST_EXPONENT - 8, HIGHEST_EXPONENT)]
)
def test_scaled_codes_are_rounded_once(exponents):
    codes, powers = np.arange(-127, 128).reshape(1, -1, 1, 1).repeat(10, 0), np.linspace(*exponents, 10).astype(int)
    node = Conv2d("layer", "input", np.zeros(codes.shape, np.float32))
    with np.errstate(over="ignore"):
        expected = np.ldexp(codes.astype(np.float64), powers[:, None, None, None]).astype(np.float32)
    np.testing.assert_array_equal(scaled_codes(node, codes, powers), expected)


@pytest.mark.parametrize(("kind", "shape"), LAYERS)
def test_the_largest_sums_are_those_of_all_weights(kind, shape):
    node, codes, _ = integer_layer(kind, shape)
    highest = np.random.default_rng(1).integers(0, 256, node.in_channels).astype(np.uint8)
    by_channel = codes if kind is Conv2d else codes.transpose(1, 0, 2, 3)
    products = by_channel * highest[:, None, None].astype(np.int64)
    sums = [np.maximum(sign * products, 0).sum(axis=(1, 2, 3)) for sign in (1, -1)]
    found = integer_weights(node, (node.in_channels, 1, 1)).largest_sums(highest)
    np.testing.assert_array_equal(found, np.maximum(*sums))


@pytest.mark.parametrize("place", [0, 65_536, 199_999])
def test_a_subnormal_number_is_found_wherever_it_is(place):
    numbers = np.zeros((2, 100_000), np.float32)
    numbers[:, ::3] = 1
    assert without_subnormals(numbers) is numbers
    assert without_subnormals(numbers.T).base is numbers
    numbers.reshape(-1)[place] = SMALLEST / 2
    for array in (numbers, numbers.T):
        found = without_subnormals(array)
        assert np.count_nonzero(found) == np.count_nonzero(array) - 1
        assert not np.any(np.abs(found[found != 0]) < SMALLEST)
