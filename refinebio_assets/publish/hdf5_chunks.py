"""Chunks of an HDF5 dataset, compressed here and handed over as they will lie in the file.

HDF5 itself compresses with one thread and a slow gzip. The result is the same: the filters
shuffle and gzip, which every HDF5 reads. Not here: what the values are.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

FILTERS: Final = {"compression": "gzip", "shuffle": True}  # of the dataset that is written to

_LEVEL: Final = 1  # compresses counts as well as zlib's 4, in a tenth of its time


def write_chunks(
    dataset: Any, at: tuple[int, int], values: NDArray[Any], workers: Executor
) -> None:
    """Write values into a dataset whose filters are FILTERS.

    Parameters
    ----------
    dataset
        Of h5py, two-dimensional, chunked; large enough.
    at
        Where the values begin: the corner of a chunk. They end at that of another, or where
        the dataset does.
    values
        Of the dataset's type.
    """
    high, wide = dataset.chunks
    corners = [
        (row, column)
        for row in range(0, values.shape[0], high)
        for column in range(0, values.shape[1], wide)
    ]

    def compressed(corner: tuple[int, int]) -> bytes:
        row, column = corner
        part = values[row : row + high, column : column + wide]
        if part.shape != (high, wide):  # also the last chunk is a whole one
            whole = np.zeros((high, wide), values.dtype)
            whole[: part.shape[0], : part.shape[1]] = part
            part = whole
        shuffled = np.ascontiguousarray(part).view(np.uint8).reshape(-1, values.itemsize).T
        return isal_zlib.compress(np.ascontiguousarray(shuffled), _LEVEL)

    for (row, column), chunk in zip(corners, workers.map(compressed, corners), strict=True):
        dataset.id.write_direct_chunk((at[0] + row, at[1] + column), chunk)
