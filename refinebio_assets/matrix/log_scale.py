"""The log2 rules by which a sample's values come onto the scale of the others.

Source: refine.bio, whose datasets put samples from many files side by side. Not here: which
of the two rules a sample's values need.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LARGEST_LOG: Final = 100  # values on the log scale stay below

Reals = NDArray[np.floating[Any]]


def log2_if_raw(values: Reals) -> Reals:
    """log2 of the values if any is above 100, otherwise the values themselves.

    Parameters
    ----------
    values
        All values of one file, for they are judged together; of any shape, in which missing
        ones (NaN) stay missing. Zeros become -inf and negative values missing.
    """
    if not (values > LARGEST_LOG).any():  # NaN is not
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        logged: Reals = np.log2(values)
    return logged


def log2_of_counts(values: Reals) -> Reals:
    """log2(x + 1) of RNA-seq values, which are on the scale of counts; cell by cell."""
    logged: Reals = np.log2(values + 1)
    return logged
