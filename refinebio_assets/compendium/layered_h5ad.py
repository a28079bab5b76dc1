"""The values of a release as one AnnData file: X, and of every value what it is.

X is samples × genes, float32; the layer `origin` has, for every value, its place in
`assembly.ORIGINS`, which stands in `uns["origins"]`. A missing value is NaN. Both lie in chunks
of CHUNK (samples, genes), so that a sample and a gene are each read from few of them, shuffled
and gzipped, which every HDF5 reads. Not here: what the values are, and reading them again
(`reader.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy as np
import polars as pl
from anndata.io import write_elem
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.publish.disk_matrix import Values
from refinebio_assets.publish.hdf5_chunks import FILTERS, write_chunks
from refinebio_assets.publish.matrix_files import annotation

Origins = NDArray[np.uint8]

CHUNK: Final = (128, 256)
ORIGIN_LAYER: Final = "origin"

_ROWS_AT_A_TIME: Final = 4 * CHUNK[0]
_ANNDATA: Final = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
_ARRAY: Final = {"encoding-type": "array", "encoding-version": "0.2.0"}
_DICTIONARY: Final = {"encoding-type": "dict", "encoding-version": "0.1.0"}
_EMPTY: Final = ("obsp", "varm", "varp")  # parts of AnnData


class LayeredH5ad:
    """Writes a release's matrix, given in blocks of any size, in order; used as a context.

    The file is only to be trusted once the context has ended well: an exception leaves a part,
    which the owner of the folder removes. The same matrix gives the same bytes, whatever the
    blocks. Holds some ten bytes for each value of 512 samples.

    Parameters
    ----------
    path
        The file to make.
    genes, samples
        Each once, in the order of the blocks.
    threads
        That compress.
    """

    def __init__(
        self, path: Path, genes: pl.Series, samples: Sequence[str], *, threads: int = 2
    ) -> None:
        if not len(genes) or not samples:
            raise ValueError("There are no genes or no samples.")
        if genes.n_unique() < len(genes) or len(set(samples)) < len(samples):
            raise ValueError("A gene or a sample occurs twice.")
        self._genes, self._samples = genes, list(samples)
        self._described: dict[str, Any] = {}
        self._done = 0
        rows = min(_ROWS_AT_A_TIME, len(samples))
        self._values = np.empty((rows, len(genes)), np.float32)
        self._origins = np.empty((rows, len(genes)), np.uint8)
        self._file = h5py.File(path, "w")
        self._workers = ThreadPoolExecutor(max(1, threads))
        self._file.attrs.update(_ANNDATA)
        self._x = self._dataset("X", np.float32)
        self._file.create_group("layers").attrs.update(_DICTIONARY)
        self._layer = self._dataset(f"layers/{ORIGIN_LAYER}", np.uint8)

    def __enter__(self) -> Self:
        return self

    def write(self, values: Values, origins: Origins) -> None:
        """Add samples: (some, genes) both."""
        if values.shape != origins.shape or values.shape[1:] != (len(self._genes),):
            raise ValueError(f"{values.shape} and {origins.shape} are not some samples' genes.")
        if self._done + len(values) > len(self._samples):
            raise ValueError("More samples are written than have names.")
        start = 0
        while start < len(values):
            at = self._done % len(self._values)
            taken = min(len(values) - start, len(self._values) - at)
            self._values[at : at + taken] = values[start : start + taken]
            self._origins[at : at + taken] = origins[start : start + taken]
            start, self._done = start + taken, self._done + taken
            if at + taken == len(self._values) or self._done == len(self._samples):
                self._put(at + taken)

    def describe(
        self,
        obs: pl.DataFrame | None = None,
        var: pl.DataFrame | None = None,
        uns: Mapping[str, str] | None = None,
        components: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Say what is known beside the values; at any time before the end.

        Parameters
        ----------
        obs, var
            A row for each sample, and each gene, in their order. Text becomes categories.
        uns
            Where the values come from.
        components
            (samples, some) becomes `obsm["X_pca"]`.
        """
        for frame, names in ((obs, self._samples), (var, self._genes)):
            if frame is not None and len(frame) != len(names):
                raise ValueError(f"{len(frame)} rows are to describe {len(names)}.")
        if components is not None and len(components) != len(self._samples):
            raise ValueError("Components are not of the samples.")
        self._described = {
            "obs": annotation(self._samples, obs),
            "var": annotation(self._genes.to_list(), var),
            "uns": {**(uns or {}), "origins": np.array(ORIGINS, object)},
            "obsm": {} if components is None else {"X_pca": np.asarray(components, np.float32)},
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workers.shutdown()
        with self._file:
            if kind is not None:
                return
            if self._done < len(self._samples):
                raise ValueError(f"{self._done} of {len(self._samples)} samples were written.")
            if not self._described:
                self.describe()
            for name, part in {**self._described, **{each: {} for each in _EMPTY}}.items():
                write_elem(self._file, name, part)

    def _dataset(self, name: str, kind: type[np.generic]) -> Any:
        shape = (len(self._samples), len(self._genes))
        chunk = (min(CHUNK[0], shape[0]), min(CHUNK[1], shape[1]))
        dataset = self._file.create_dataset(name, shape, kind, chunks=chunk, **FILTERS)
        dataset.attrs.update(_ARRAY)
        return dataset

    def _put(self, rows: int) -> None:
        at = (self._done - rows, 0)
        write_chunks(self._x, at, self._values[:rows], self._workers)
        write_chunks(self._layer, at, self._origins[:rows], self._workers)
