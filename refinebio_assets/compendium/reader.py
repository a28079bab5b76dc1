"""A release's matrix read again, by samples or by genes, from its AnnData file.

What is asked for is held, and not much more. Not here: which releases there are, and where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
from anndata.io import read_elem
from numpy.typing import NDArray

from refinebio_assets.compendium.layered_h5ad import ORIGIN_LAYER
from refinebio_assets.errors import DamagedCompendium, NotInCompendium
from refinebio_assets.publish.disk_matrix import Values

Origins = NDArray[np.uint8]

CELLS_AT_A_TIME: Final = 4_000_000
_CACHE_BYTES: Final = 32 << 20  # of chunks
_NAMED: Final = 5  # in a message


def open_release_matrix(folder: Path) -> ReleaseMatrix:
    """Open the matrix of the release in a folder; to be closed, or used as a context.

    Raises
    ------
    DamagedCompendium
        There is no matrix, or it cannot be read.
    """
    found = sorted(folder.glob("*.h5ad"))
    if len(found) != 1:
        raise DamagedCompendium(f"{folder} has {len(found)} AnnData files, not one.")
    return ReleaseMatrix(found[0])


class ReleaseMatrix:
    """A release's values (float32) and what they are (places in `assembly.ORIGINS`).

    Attributes
    ----------
    genes, samples
        In the order of the matrix.

    Every method raises DamagedCompendium where the file cannot be read; bad bits are noticed
    where they are read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._readable():
            self._file = h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
        try:
            with self._readable():
                self._values, self._origins = self._file["X"], self._file["layers"][ORIGIN_LAYER]
                self.samples, self.genes = self._names("obs"), self._names("var")
                self._high, self._wide = self._values.chunks
                shape = (len(self.samples), len(self.genes))
                if self._values.shape != shape or self._origins.shape != shape:
                    raise ValueError("names and values differ in number")
        except BaseException:
            self._file.close()
            raise
        self._place_of_sample = {name: place for place, name in enumerate(self.samples)}
        self._place_of_gene = {name: place for place, name in enumerate(self.genes)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_samples(self, names: Sequence[str]) -> tuple[Values, Origins]:
        """Samples in the order given: values and origins, (some, genes).

        Raises
        ------
        NotInCompendium
            The release has no such sample.
        """
        places = _places(names, self._place_of_sample, "sample")
        shape = (len(places), len(self.genes))
        values, origins = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        with self._readable():
            for start, wanted in _by_chunk(places, self._high):
                inside = places[wanted] - start
                rows = slice(start + int(inside.min()), start + int(inside.max()) + 1)
                values[wanted] = self._values[rows][inside - inside.min()]
                origins[wanted] = self._origins[rows][inside - inside.min()]
        return values, origins

    def read_genes(self, names: Sequence[str]) -> tuple[Values, Origins]:
        """Genes in the order given: values and origins, (samples, some).

        Raises
        ------
        NotInCompendium
            The release has no such gene.
        """
        places = _places(names, self._place_of_gene, "gene")
        shape = (len(self.samples), len(places))
        values, origins = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        height = self._high * max(1, CELLS_AT_A_TIME // (self._high * self._wide))
        with self._readable():
            for start, wanted in _by_chunk(places, self._wide):
                inside = places[wanted] - start
                columns = slice(start + int(inside.min()), start + int(inside.max()) + 1)
                for first in range(0, len(self.samples), height):
                    rows = slice(first, first + height)
                    some = self._values[rows, columns]
                    values[rows, wanted] = some[:, inside - inside.min()]
                    some = self._origins[rows, columns]
                    origins[rows, wanted] = some[:, inside - inside.min()]
        return values, origins

    def describe(self, names: Sequence[str]) -> pl.DataFrame:
        """What is known of samples, in the order given: the columns of obs, null where nothing.

        Raises
        ------
        NotInCompendium
            The release has no such sample.
        """
        places = _places(names, self._place_of_sample, "sample")
        with self._readable():
            frame = self._file["obs"]
            columns = {
                str(name): np.asarray(read_elem(frame[name])[places], object)
                for name in frame.attrs["column-order"]
            }
        described = {
            name: [
                None if missing else value
                for value, missing in zip(values, pd.isna(values), strict=True)
            ]
            for name, values in columns.items()
        }
        return pl.DataFrame({"sample": list(names), **described}, strict=False)

    def blocks(self, most_cells: int = CELLS_AT_A_TIME) -> Iterator[tuple[int, Values, Origins]]:
        """All samples: the number of a block's first, values and origins, (some, genes).

        A block has the samples of some chunks, of one at least.
        """
        step = self._high * max(1, most_cells // (self._high * len(self.genes)))
        for first in range(0, len(self.samples), step):
            with self._readable():
                rows = slice(first, first + step)
                values, origins = self._values[rows], self._origins[rows]
            yield first, values, origins

    def _names(self, part: str) -> list[str]:
        frame = self._file[part]
        return [str(name) for name in read_elem(frame[frame.attrs["_index"]])]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise DamagedCompendium(f"{self._path} cannot be read ({error}).") from error


def _places(names: Sequence[str], place_of: dict[str, int], what: str) -> NDArray[np.intp]:
    unknown = [name for name in names if name not in place_of]
    if unknown:
        named = ", ".join(repr(name[:80]) for name in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise NotInCompendium(f"The release has no {what} {named}{more}.")
    return np.array([place_of[name] for name in names], np.intp)


def _by_chunk(places: NDArray[np.intp], size: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Every chunk's first place, and which of the places lie in it."""
    chunks = places // size
    for chunk in np.unique(chunks):
        yield int(chunk) * size, np.flatnonzero(chunks == chunk)
