"""SCAN's last step on probes: residuals divided by the spread of probes alike.

Not here: where the residuals come from (`scan`).
"""

from __future__ import annotations

import numpy as np

from refinebio_assets.errors import ModelNotFitted
from refinebio_assets.matrix.ranking import stable_order
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
