"""SCAN's last step on probes: residuals divided by the spread of probes alike.

Not here: where the residuals come from (`scan`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted
from refinebio_assets.microarray.sequence_effects import Floats


def scaled_in_groups(residuals: Floats, predicted: Floats, size: int) -> Floats:
    """Divide residuals by their root mean square over probes with a like prediction.

    With probes ranked 1, 2, … by prediction (ties in the order given), group i = 1, 2, … is of
    the ranks i * size to (i + 1) * size, both included: the probe at a border counts in two
    groups and is scaled as one of the later. Ranks below `size` are in no group: 0. Where n is
    a multiple of `size`, the last group is one probe: 1 or -1.

    Parameters
    ----------
    residuals, predicted
        (n,), n >= size.

    Raises
    ------
    ModelNotFitted
        All residuals of a group are 0.
    """
    n = len(residuals)
    order = stable_order(predicted)
    ranked = residuals[order]
    squares = ranked**2
    starts = np.arange(size - 1, n, size)
    scaled_probes = np.diff(starts, append=n)
    sums = np.add.reduceat(squares, starts)
    sums[:-1] += squares[starts[1:]]
    counts = scaled_probes.copy()
    counts[:-1] += 1
    if not sums.all():
        raise ModelNotFitted("A group of probes equals its predicted background exactly.")
    scaled = np.zeros(n)
    spread = np.repeat(np.sqrt(sums / counts), scaled_probes)
    scaled[order[size - 1 :]] = ranked[size - 1 :] / spread
    return scaled


@njit(cache=True, nogil=True)
def stable_order(values: Floats) -> NDArray[np.int32]:
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
