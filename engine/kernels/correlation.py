"""Dense correlation and its gradients, in register blocks of pixels or channels x output channels.

Inputs lie in planes of 16 channels, (..., plane, row, column, 16): the pixels and channels that a block reads have
constant distances then, so that every multiply-add takes its factor straight from memory. What is read may go beyond a
row's end: those pixels are zeros, or are multiplied by zeros, or belong to outputs that are computed twice.

The order of additions (tap, channel; for gradients picture, row, column) depends neither on threads nor on how wide
vectors are.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import types
from numba.extending import intrinsic

from .compilation import compiled
from .vectors import _data, _fused_multiply_add, _load_vector, _offset, _splat, _store_vector
from .window_block import empty_block, next_pixel, store_pixel

CHANNELS = 16
"""Channels in a plane."""


class PlaneReading(NamedTuple):
    """What `correlate` reads: how many planes, and the distances of planes, of rows and of pictures, in numbers."""

    planes: int
    plane: int
    row: int
    picture: int


class PixelWriting(NamedTuple):
    """What `correlate` writes: distances of neighbouring outputs, of rows and of pictures, in numbers."""

    pixel: int
    row: int
    picture: int


class PixelGroups(NamedTuple):
    """The groups of pixels first ... end - 1, of pictures whose output has so many rows and columns.

    Groups are counted along rows, then pictures; the last one of a row overlaps the one before where the columns are no
    multiple of GROUP.
    """

    first: int
    end: int
    rows: int
    columns: int


class PairReading(NamedTuple):
    """What `correlate_outer` reads: distances in numbers.

    Parameters
    ----------
    row, picture : int
        Of the inputs.
    gradient_row, gradient_picture, gradient_plane : int
        Of the output's gradient.
    columns : int
        Of the output's gradient; pixels.
    """

    row: int
    picture: int
    gradient_row: int
    gradient_picture: int
    gradient_plane: int
    columns: int


class TapWriting(NamedTuple):
    """What `correlate_outer` writes: distances of taps and of input channels, in numbers."""

    tap: int
    channel: int


class PictureChunks(NamedTuple):
    """The pictures first ... end - 1, of so many rows, in chunks of so many pictures and rows that fit into a cache."""

    first: int
    end: int
    rows: int
    pictures_at_once: int
    rows_at_once: int


GROUP = 4
"""Neighbouring pixels that are always taken together."""


def _scalar(builder, data, index, lanes):
    return _splat(builder, builder.load(builder.gep(data, [index], inbounds=True)), lanes)


def _unpacked(builder, value, block):
    return [builder.extract_value(value, place) for place in range(block.steps * block.vectors)]


def _packed(builder, value, parts):
    for place, part in enumerate(parts):
        value = builder.insert_value(value, part, place)
    return value


@intrinsic
def multiply_add_pixels(typing_context, block, weights, weight, planes, first, second):
    """Add the products of 16 input channels of two groups of pixels with 16 rows of weights.

    The block's steps are the pixels: half of them begin at planes[first], half at planes[second]. The weights are
    (16, block width) from weights[weight] on.
    """

    def generate(context, builder, signature, arguments):
        value, weights, weight, planes, *groups = arguments
        weights = _data(context, builder, signature.args[1], weights)
        planes = _data(context, builder, signature.args[3], planes)
        fused = _fused_multiply_add(builder, block.lanes)
        sums = _unpacked(builder, value, block)
        half = block.steps // 2
        for channel in range(CHANNELS):
            base = channel * block.vectors * block.lanes
            rows = [
                _load_vector(builder, weights, _offset(builder, weight, base + vector * block.lanes), block.lanes)
                for vector in range(block.vectors)
            ]
            for pixel in range(block.steps):
                place = _offset(builder, groups[pixel // half], pixel % half * CHANNELS + channel)
                factor = _scalar(builder, planes, place, block.lanes)
                for vector, row in enumerate(rows):
                    index = pixel * block.vectors + vector
                    sums[index] = builder.call(fused, [factor, row, sums[index]])
        return _packed(builder, value, sums)

    return block(block, weights, types.intp, planes, types.intp, types.intp), generate


@intrinsic
def store_pixels(typing_context, block, target, first, second, stride):
    """Write a block's pixels: half of them to target[first], target[first + stride], ..., half from `second` on."""

    def generate(context, builder, signature, arguments):
        target = _data(context, builder, signature.args[1], arguments[1])
        sums, half = _unpacked(builder, arguments[0], block), block.steps // 2
        for start, pixels in ((arguments[2], range(half)), (arguments[3], range(half, block.steps))):
            place = start
            for pixel in pixels:
                for vector in range(block.vectors):
                    part = sums[pixel * block.vectors + vector]
                    _store_vector(builder, part, target, _offset(builder, place, vector * block.lanes))
                place = builder.add(place, arguments[4])
        return context.get_dummy_value()

    return types.void(block, target, types.intp, types.intp, types.intp), generate


@intrinsic
def multiply_add_outer(typing_context, block, rows, row, plane, values, value):
    """Add, for a group of pixels, the products of each of the block's steps (channels) with each of its vectors.

    A pixel's channels begin at values[value], those of the next pixel 16 later. Vector v of a pixel begins at
    rows[row + v * plane].
    """

    def generate(context, builder, signature, arguments):
        current, rows, row, plane, values, value = arguments
        rows = _data(context, builder, signature.args[1], rows)
        values = _data(context, builder, signature.args[4], values)
        fused = _fused_multiply_add(builder, block.lanes)
        sums = _unpacked(builder, current, block)
        starts = [row]
        for _ in range(1, block.vectors):
            starts.append(builder.add(starts[-1], plane))
        for pixel in range(GROUP):
            vectors = [
                _load_vector(builder, rows, _offset(builder, start, pixel * CHANNELS), block.lanes) for start in starts
            ]
            for channel in range(block.steps):
                factor = _scalar(builder, values, _offset(builder, value, pixel * CHANNELS + channel), block.lanes)
                for place, vector in enumerate(vectors):
                    index = channel * block.vectors + place
                    sums[index] = builder.call(fused, [factor, vector, sums[index]])
        return _packed(builder, current, sums)

    return block(block, rows, types.intp, types.intp, values, types.intp), generate


@compiled
def correlate(token, planes, weights, bias, taps, reading, target, writing, groups):
    """Outputs of one block of channels, for some groups of pixels.

    planes : float32, flat; from where the first output's window is counted
    weights : float32, (taps, planes, 16, block width), flat; bias : float32, (block width,)
    taps : (K,) int64, distance of what each tap reads
    reading : PlaneReading
    target : float32, flat, from the first output's first channel on
    writing : PixelWriting
    groups : PixelGroups
    """
    width = len(token.vectors) * len(token.lanes)
    for group in range(groups.first, groups.end, 2):
        first, first_target = _place(group, groups, reading, writing)
        second, second_target = _place(min(group + 1, groups.end - 1), groups, reading, writing)
        block = next_pixel(empty_block(token), bias, 0, 0)
        weight = 0
        for tap in taps:
            shift = tap
            for _ in range(reading.planes):
                block = multiply_add_pixels(block, weights, weight, planes, first + shift, second + shift)
                weight += CHANNELS * width
                shift += reading.plane
        store_pixels(block, target, first_target, second_target, writing.pixel)


@compiled
def _place(group, groups, reading, writing):
    """Where a group of pixels is read and written."""
    per_row = (groups.columns + GROUP - 1) // GROUP
    per_picture = groups.rows * per_row
    picture = group // per_picture
    rest = group - picture * per_picture
    row = rest // per_row
    column = max(min((rest - row * per_row) * GROUP, groups.columns - GROUP), 0)
    source = picture * reading.picture + row * reading.row + column * CHANNELS
    return source, picture * writing.picture + row * writing.row + column * writing.pixel


@compiled
def correlate_outer(token, values, rows, start, taps, reading, target, writing, chunks):
    """Gradient of the weights between a plane of input channels and a block of output channels.

    values, rows : float32, flat; the plane of inputs, and the planes of the output's gradient, zero to the right
    start : float32, (block width,), zeros
    taps : (K,) int64, distance in `values` of what each tap reads
    reading : PairReading
    target : float32, flat
    writing : TapWriting
    chunks : PictureChunks
    """
    channels = len(token.steps)
    for picture in range(chunks.first, chunks.end, chunks.pictures_at_once):
        last_picture = min(picture + chunks.pictures_at_once, chunks.end)
        for row in range(0, chunks.rows, chunks.rows_at_once):
            last_row = min(row + chunks.rows_at_once, chunks.rows)
            for tap in range(taps.size):
                for channel in range(0, CHANNELS, channels):
                    place = tap * writing.tap + channel * writing.channel
                    if picture == chunks.first and row == 0:
                        block = next_pixel(empty_block(token), start, 0, 0)
                    else:
                        block = next_pixel(empty_block(token), target, place, writing.channel)
                    for m in range(picture, last_picture):
                        for y in range(row, last_row):
                            value = m * reading.picture + y * reading.row + taps[tap] + channel
                            gradient = m * reading.gradient_picture + y * reading.gradient_row
                            for _ in range(0, reading.columns, GROUP):
                                block = multiply_add_outer(block, rows, gradient, reading.gradient_plane, values, value)
                                value += GROUP * CHANNELS
                                gradient += GROUP * CHANNELS
                    store_pixel(block, target, place, writing.channel)


@compiled
def pack_picture(token, source, rows, columns, planes, channel, plane):
    """Copy a picture (H, W, C) float32 to planes of 16 channels, its first channel to the channel `channel` there.

    rows, columns : int64, where each row and column goes; negative where it is not wanted
    planes : float32, flat; plane : distance of planes
    """
    flat = source.reshape(-1)
    height, width, channels = source.shape
    for y in range(height):
        if rows[y] < 0:
            continue
        for x in range(width):
            if columns[x] < 0:
                continue
            pixel, place = (y * width + x) * channels, rows[y] + columns[x]
            done = 0
            if channel % CHANNELS == 0:
                place += channel // CHANNELS * plane
                while done + CHANNELS <= channels:
                    store_pixel(next_pixel(empty_block(token), flat, pixel + done, 0), planes, place, 0)
                    place += plane
                    done += CHANNELS
                for rest in range(done, channels):
                    planes[place + rest - done] = flat[pixel + rest]
            else:
                for rest in range(channels):
                    other = channel + rest
                    planes[place + other // CHANNELS * plane + other % CHANNELS] = flat[pixel + rest]


@compiled
def pack_weights(kernel, order, transposed, target, first, width):
    """Copy a block of output channels, (taps, planes, 16, width), of a kernel (taps, C, O) float32.

    order : (K,) int64, the taps in the order wanted
    transposed : whether the kernel's O are the inputs and its C the outputs
    target : float32, flat
    first : first output channel of the block; beyond the last one there are zeros
    """
    inputs = kernel.shape[2] if transposed else kernel.shape[1]
    outputs = kernel.shape[1] if transposed else kernel.shape[2]
    filled = min(width, outputs - first)
    padded = (inputs + CHANNELS - 1) // CHANNELS * CHANNELS
    for index in range(order.size):
        taps = kernel[order[index]]
        for channel in range(padded):
            place = (index * padded + channel) * width
            if channel >= inputs:
                target[place : place + width] = 0
                continue
            if transposed:
                for lane in range(filled):
                    target[place + lane] = taps[first + lane, channel]
            else:
                for lane in range(filled):
                    target[place + lane] = taps[channel, first + lane]
            target[place + filled : place + width] = 0
