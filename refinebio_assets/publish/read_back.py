"""Exports as they lie on disk, read back: digests of all values, and those of some samples.

HDF5 and Zarr give zeros for chunks that are not there, so values are compared, not only
opened. Memory follows from SAMPLES_AT_A_TIME and the number of genes. Not here: writing
(`archs4.py`, `anndata_layers.py`), and what the values should be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anndata
import h5py
import numpy as np
import zarr
from numpy.typing import NDArray

from refinebio_assets.publish.sample_blocks import SampleBlock

Counts = NDArray[np.uint32]
Reals = NDArray[np.float32]

SAMPLES_AT_A_TIME: Final = 256


@dataclass
class LayerDigests:
    """Of values that pass by, samples after samples.

    Attributes
    ----------
    sha256
        Layer -> digest of its values, little-endian float32.
    not_finite
        Layer -> how many of its values are missing or infinite.
    """

    not_finite: dict[str, int] = field(default_factory=dict)
    _digests: dict[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> dict[str, str]:
        """Layer -> digest."""
        return {layer: digest.hexdigest() for layer, digest in self._digests.items()}

    def add(self, layers: Mapping[str, NDArray[Any]]) -> None:
        """Values of the next samples, (samples, genes)."""
        for layer, values in layers.items():
            kept = np.ascontiguousarray(values, "<f4")
            self._digests.setdefault(layer, hashlib.sha256()).update(kept.data)
            self.not_finite[layer] = self.not_finite.get(layer, 0) + int((~np.isfinite(kept)).sum())


def passing(blocks: Iterable[SampleBlock], digests: LayerDigests) -> Iterator[SampleBlock]:
    """The same blocks, with their digests taken."""
    for block in blocks:
        digests.add(block.layers)
        yield block


# --- AnnData --------------------------------------------------------------------------


@dataclass(frozen=True)
class LayersReadBack:
    """What an AnnData file or store holds."""

    samples: list[str]
    genes: list[str]
    digests: LayerDigests


def read_back_layers(path: Path) -> LayersReadBack:
    """All values of all layers of an h5ad file or a Zarr store.

    Raises
    ------
    OSError, ValueError, KeyError
        It cannot be read, or is not AnnData.
    """
    digests = LayerDigests()
    with _layers(path) as (file, layers):
        obs, var = anndata.io.read_elem(file["obs"]), anndata.io.read_elem(file["var"])
        for start in range(0, len(obs), SAMPLES_AT_A_TIME):
            rows = slice(start, start + SAMPLES_AT_A_TIME)
            digests.add({name: layer[rows] for name, layer in layers.items()})
        if not np.array_equal(file["X"][:1], layers["counts"][:1]):
            raise ValueError("X is not the layer of counts.")
    return LayersReadBack(list(obs.index), list(var.index), digests)


def layers_of(path: Path, rows: Sequence[int]) -> dict[str, Reals]:
    """The values of some samples, by layer: (rows, genes), in the order given."""
    with _layers(path) as (_, layers):
        return {
            name: np.stack([np.asarray(layer[row]) for row in rows])
            for name, layer in layers.items()
        }


@contextmanager
def _layers(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    if path.is_dir():
        store = zarr.open_group(path, mode="r")
        group: Any = store["layers"]
        yield store, {name: group[name] for name in sorted(group.array_keys())}
        return
    with h5py.File(path, "r") as file:
        yield file, dict(file["layers"].items())


# --- ARCHS4 ---------------------------------------------------------------------------


@dataclass(frozen=True)
class CountsReadBack:
    """What a file in the layout of ARCHS4 holds.

    Attributes
    ----------
    columns
        Sample and series of each.
    features
        Ids of genes or transcripts.
    sha256
        Of the counts, sample after sample.
    unsure
        Columns whose probability of single cells is missing.
    """

    columns: list[tuple[str, str]]
    features: list[str]
    sha256: str
    unsure: int


def read_back_counts(path: Path) -> CountsReadBack:
    """All counts of a file.

    Raises
    ------
    OSError, KeyError
        It cannot be read, or has another layout.
    """
    digest = hashlib.sha256()
    with h5py.File(path, "r") as file:
        expression = file["data/expression"]
        for start in range(0, expression.shape[1], SAMPLES_AT_A_TIME):
            counts = expression[:, start : start + SAMPLES_AT_A_TIME]
            digest.update(np.ascontiguousarray(counts.T, "<u4").data)
        samples = file["meta/samples"]
        return CountsReadBack(
            list(zip(_texts(samples["geo_accession"]), _texts(samples["series_id"]), strict=True)),
            _texts(_ids(file)),
            digest.hexdigest(),
            int(np.isnan(samples["singlecellprobability"][:]).sum()),
        )


def counts_of(path: Path, columns: Sequence[int]) -> Counts:
    """The counts of some columns, (columns, features), in the order given."""
    with h5py.File(path, "r") as file:
        expression = file["data/expression"]
        return np.stack([np.asarray(expression[:, column]) for column in columns])


def _ids(file: Any) -> Any:
    return file["meta/genes/ensembl_gene" if "genes" in file["meta"] else _TRANSCRIPTS]


_TRANSCRIPTS: Final = "meta/transcripts/ensembl_id"


def _texts(dataset: Any) -> list[str]:
    return [each.decode() for each in dataset[:]]
