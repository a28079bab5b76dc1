"""Ranks by a radix sort: several times as fast as `np.argsort`."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Values = NDArray[np.float32]
Ranked = NDArray[np.uint64]

MISSING: Final = 0xFFFFFFFF  # the key of NaN, the largest

_SIGN: Final = np.uint64(1 << 31)
_KEY: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_DIGIT: Final = 11  # bits; three of them make a key
_DIGITS: Final = 1 << _DIGIT


@njit(cache=True, nogil=True)
def ranked(values: Values) -> Ranked:
    """The values ascending, each as its key in the upper 32 bits and its index in the lower.

    Equal values have equal keys (also 0 and -0) and stay in the order given; NaN, of
    whichever sign, comes last and has the key MISSING.
    """
    n = len(values)
    bits = values.view(np.uint32)
    packed = np.empty(n, np.uint64)
    places = np.zeros((3, _DIGITS), np.int64)
    for i in range(n):
        if np.isnan(values[i]):
            key = _KEY
        elif values[i] == 0:
            key = _SIGN
        else:
            key = np.uint64(bits[i])
            key = ~key & _KEY if key & _SIGN else key | _SIGN
        packed[i] = key << _HALF | np.uint64(i)
        for digit in range(3):
            places[digit, (key >> np.uint64(_DIGIT * digit)) & np.uint64(_DIGITS - 1)] += 1
    moved = np.empty_like(packed)
    for digit in range(3):
        place = places[digit]
        total = 0
        for number in range(_DIGITS):
            count = place[number]
            place[number] = total
            total += count
        shift = np.uint64(32 + _DIGIT * digit)
        for i in range(n):
            number = (packed[i] >> shift) & np.uint64(_DIGITS - 1)
            moved[place[number]] = packed[i]
            place[number] += 1
        packed, moved = moved, packed
    return packed


@njit(cache=True, nogil=True)
def values_of(packed: Ranked) -> Values:
    """The values that were ranked, ascending (0 for -0)."""
    bits = np.empty(len(packed), np.uint32)
    for i in range(len(packed)):
        key = packed[i] >> _HALF
        bits[i] = key & ~_SIGN if key & _SIGN else ~key & _KEY
    return bits.view(np.float32)


@njit(cache=True, nogil=True)
def stable_order(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """The indices that sort values, equal ones in the order given; NaN last.

    A radix sort on the bits of the numbers, 11 at a time: several times as fast as
    `np.argsort(kind="stable")`.
    """
    n = len(values)
    keys = (values + 0.0).view(np.uint64)  # + 0.0: one zero, not two
    digits, passes = 2048, 6
    places = np.zeros((passes, digits), np.int64)
    sign = np.uint64(1 << 63)
    for i in range(n):
        keys[i] = ~keys[i] if keys[i] & sign else keys[i] | sign
        for step in range(passes):
            places[step, (keys[i] >> np.uint64(11 * step)) & np.uint64(digits - 1)] += 1
    order = np.arange(n).astype(np.int32)
    next_keys, next_order = np.empty_like(keys), np.empty_like(order)
    for step in range(passes):
        place = places[step]
        if place.max() == n:
            continue  # all alike
        total = 0
        for digit in range(digits):
            count = place[digit]
            place[digit] = total
            total += count
        for i in range(n):
            digit = (keys[i] >> np.uint64(11 * step)) & np.uint64(digits - 1)
            next_keys[place[digit]] = keys[i]
            next_order[place[digit]] = order[i]
            place[digit] += 1
        keys, next_keys = next_keys, keys
        order, next_order = next_order, order
    return order
