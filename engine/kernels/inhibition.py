"""Rank order with lateral inhibition: the largest coefficient that is left, and what it takes off its neighbours'."""

from __future__ import annotations

import numpy as np

from .compilation import compiled


@compiled
def rank_coefficients(values, scales, maps, profiles, extent, order, ranked, least):
    """Fill `order` and `ranked` with the coefficients as they are ranked; how many there are.

    With unit kernels k_i, cut at the picture's edge, the largest coefficient c_i that is left is next, and then c_j -=
    c_i <k_i, k_j> for all j whose kernels meet it: what is left is that of the picture without c_i k_i. A kernel is the
    difference of two products of profiles, p_0(y) p_0(x) - p_1(y) p_1(x), so that <k_i, k_j> is a sum of four products.

    values : float64, (n,), coefficients, map after map, row after row; those that are ranked become -inf
    scales : float64, (n,), what the kernels were multiplied with to get the norm 1
    maps : (M,) CELL_MAP
    profiles : float64, (kinds, 2, longest), each kind's in the middle, zeros beyond it
    extent : int64, (2 + kinds,), the picture's height and width, and half the size of each kind of kernel
    order : int64, (most,)
    ranked : float64, (most,)
    least : coefficients that are no larger are left out
    """
    middle = profiles.shape[2] // 2
    first_rows = np.zeros(len(maps) + 1, np.int64)
    for index in range(len(maps)):
        first_rows[index + 1] = first_rows[index] + maps[index].rows
    best = np.empty(first_rows[len(maps)], np.int64)
    for index in range(len(maps)):
        for row in range(maps[index].rows):
            best[first_rows[index] + row] = _best_of_row(values, maps[index], row)
    longest = 0
    for index in range(len(maps)):
        longest = max(longest, maps[index].rows, maps[index].columns)
    along_rows, along_columns = np.empty((4, longest)), np.empty((4, longest))
    for rank in range(len(order)):
        chosen, home = -1, 0
        for index in range(len(maps)):
            for row in range(first_rows[index], first_rows[index + 1]):
                if chosen < 0 or values[best[row]] > values[chosen]:
                    chosen, home = best[row], index
        size = values[chosen]
        if not size > least:
            return rank
        order[rank], ranked[rank] = chosen, size
        values[chosen] = -np.inf
        own = maps[home]
        inside = chosen - own.first
        y = own.first_y + inside // own.columns * own.stride
        x = own.first_x + inside % own.columns * own.stride
        for index in range(len(maps)):
            other = maps[index]
            if other.channel != own.channel:
                continue
            halves = (extent[2 + own.kind], extent[2 + other.kind])
            reach = halves[0] + halves[1]
            top, bottom = _reached(y, reach, other.first_y, other.stride, other.rows)
            left, right = _reached(x, reach, other.first_x, other.stride, other.columns)
            pair = (profiles[own.kind], profiles[other.kind], middle)
            _overlaps(pair, halves, y, other.first_y, other.stride, top, bottom, extent[0], along_rows)
            _overlaps(pair, halves, x, other.first_x, other.stride, left, right, extent[1], along_columns)
            factor = size * scales[chosen] * own.sign * other.sign
            for row in range(top, bottom):
                sums = along_rows[:, row] * factor
                start = other.first + row * other.columns
                for column in range(left, right):
                    product = 0.0
                    for which in range(4):
                        part = sums[which] * along_columns[which, column]
                        product += part if which % 3 == 0 else -part  # of two differences of profiles
                    values[start + column] -= product * scales[start + column]
                best[first_rows[index] + row] = _best_of_row(values, other, row)
    return len(order)


@compiled
def _best_of_row(values, of_map, row):
    """Place of a row's largest value, the first of equal ones."""
    start = of_map.first + row * of_map.columns
    best = start
    for place in range(start + 1, start + of_map.columns):
        if values[place] > values[best]:
            best = place
    return best


@compiled
def _reached(place, reach, first, stride, count):
    """First and last + 1 of the places first, first + stride, ... that are no further than `reach`."""
    low = -((first - place + reach) // stride)  # the smallest index with first + index * stride >= place - reach
    high = (place + reach - first) // stride + 1
    return min(max(low, 0), count), max(min(high, count), 0)


@compiled
def _overlaps(pair, halves, place, first, stride, low, high, extent, sums):
    """Along an axis, sums of products of the profiles of a kernel and of others, within the picture.

    sums : (4, ...), written from `low` on: profiles 0 and 0, 0 and 1, 1 and 0, 1 and 1
    """
    mine, theirs, middle = pair
    for index in range(low, high):
        other = first + index * stride
        start = max(0, place - halves[0], other - halves[1])
        end = min(extent, place + halves[0] + 1, other + halves[1] + 1)
        for which in range(4):
            total = 0.0
            for at in range(start, end):
                total += mine[which // 2, middle + at - place] * theirs[which % 2, middle + at - other]
            sums[which, index] = total
