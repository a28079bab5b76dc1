"""RNA-seq samples as AnnData with layers, in one HDF5 file (h5ad) or a Zarr store.

X are the counts; every layer, the counts too, is under its own name. Values are float32 in
chunks of CHUNK (samples, genes): a sample and a gene are read at about the same cost. Zarr
is of version 3, a shard for each ROWS_AT_A_TIME samples, so that there are few files; it is
read by anndata >= 0.12 and zarr >= 3. Memory follows from ROWS_AT_A_TIME and the number of
genes and layers, 164 MB for four of 40,000, and as much again of the blocks that are read.
Not here: which samples and layers there are (`sample_blocks.py`), a matrix without layers
(`matrix_files.py`), and writing whole or not at all, which is the caller's.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import polars as pl
import zarr
from anndata.io import write_elem
from zarr.codecs import BloscCodec

from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.publish.hdf5_chunks import FILTERS, write_chunks
from refinebio_assets.publish.matrix_files import annotation
from refinebio_assets.publish.sample_blocks import SampleBlock, Values, regrouped

OnDone = Callable[[int], None]

ROWS_AT_A_TIME: Final = 256
CHUNK: Final = (256, 512)
X_LAYER: Final = "counts"

_ANNDATA: Final = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
_ARRAY: Final = {"encoding-type": "array", "encoding-version": "0.2.0"}
_DICTIONARY: Final = {"encoding-type": "dict", "encoding-version": "0.1.0"}
_EMPTY: Final = ("obsm", "obsp", "varm", "varp")
# What is written of a layer: its name, the first of the samples, and their values.
_Put = Callable[[str, int, Values], None]


def write_layered_h5ad(
    path: Path,
    blocks: Iterable[SampleBlock],
    genes: pl.DataFrame,
    described: pl.DataFrame | None = None,
    about: Mapping[str, str] | None = None,
    on_done: OnDone = lambda samples: None,
    threads: int = 2,
) -> int:
    """Write an h5ad file; the number of samples. The same blocks give the same bytes.

    Parameters
    ----------
    path
        The file to make.
    blocks
        All with the same layers, `counts` among them; each sample once.
    genes
        Of the blocks' columns, in their order: `gene`, each once, becomes the index of var;
        the other columns (`symbol`) become its columns.
    described
        What is known of samples, by `sample`, each once and in any order; the other columns
        become those of obs.
    about
        Becomes `uns`: where the values come from.
    on_done
        Is told the number of samples written.

    Raises
    ------
    NothingToDeliver
        There is no sample.
    ValueError
        Names or layers break these rules.
    """
    with h5py.File(path, "w") as file, ThreadPoolExecutor(max(1, threads)) as workers:
        samples = _write(
            file, _hdf5_layers(file, workers), blocks, genes, described, about, on_done
        )
        file["X"] = file[f"layers/{X_LAYER}"]  # a second name, not a second array
    return samples


def write_layered_zarr(
    folder: Path,
    blocks: Iterable[SampleBlock],
    genes: pl.DataFrame,
    described: pl.DataFrame | None = None,
    about: Mapping[str, str] | None = None,
    on_done: OnDone = lambda samples: None,
) -> int:
    """Write a Zarr store, a folder that is not there yet; see `write_layered_h5ad`.

    `counts` lie there twice, also as X: Zarr has no links.
    """
    store = zarr.open_group(folder, mode="w-", zarr_format=3)
    with _quiet():
        samples = _write(store, _zarr_layers(store), blocks, genes, described, about, on_done)
    shutil.copytree(folder / "layers" / X_LAYER, folder / "X")
    return samples


# --- what both have in common ---------------------------------------------------------


def _write(
    target: Any,
    put: _Put,
    blocks: Iterable[SampleBlock],
    genes: pl.DataFrame,
    described: pl.DataFrame | None,
    about: Mapping[str, str] | None,
    on_done: OnDone,
) -> int:
    if genes["gene"].null_count() or genes["gene"].n_unique() < len(genes):
        raise ValueError("A gene has no name, or occurs twice.")
    if described is not None and described["sample"].n_unique() < len(described):
        raise ValueError("A sample is described twice.")
    target.attrs.update(_ANNDATA)
    target.create_group("layers").attrs.update(_DICTIONARY)
    samples: list[str] = []
    for block in regrouped(blocks, ROWS_AT_A_TIME):
        if X_LAYER not in block.layers:
            raise ValueError(f"There is no layer {X_LAYER}.")
        for layer, values in block.layers.items():
            if values.shape[1] != len(genes):
                raise ValueError(f"{values.shape[1]} values of a sample, and {len(genes)} genes")
            put(layer, len(samples), values)
        samples += block.samples
        on_done(len(samples))
    if not samples:
        raise NothingToDeliver("No sample has values.")
    if len(set(samples)) < len(samples):
        raise ValueError("A sample occurs twice.")
    of_samples = None
    if described is not None:
        names = pl.DataFrame({"sample": samples})
        of_samples = names.join(described, on="sample", how="left", maintain_order="left")
        of_samples = of_samples.drop("sample")
    write_elem(target, "obs", annotation(samples, of_samples))
    write_elem(target, "var", annotation(genes["gene"].to_list(), genes.drop("gene")))
    write_elem(target, "uns", dict(about or {}))
    for part in _EMPTY:
        write_elem(target, part, {})
    return len(samples)


def _hdf5_layers(file: Any, workers: Executor) -> _Put:
    def put(layer: str, first: int, values: Values) -> None:
        name = f"layers/{layer}"
        wide = values.shape[1]
        if name not in file:
            chunk = (CHUNK[0], min(CHUNK[1], wide))
            file.create_dataset(
                name, (0, wide), np.float32, maxshape=(None, wide), chunks=chunk, **FILTERS
            ).attrs.update(_ARRAY)
        file[name].resize(first + len(values), axis=0)
        write_chunks(file[name], (first, 0), values, workers)

    return put


def _zarr_layers(store: Any) -> _Put:
    arrays: dict[str, Any] = {}

    def put(layer: str, first: int, values: Values) -> None:
        wide = values.shape[1]
        if layer not in arrays:
            arrays[layer] = store.create_array(
                f"layers/{layer}",
                shape=(0, wide),
                dtype=np.float32,
                chunks=CHUNK,
                shards=(ROWS_AT_A_TIME, -(-wide // CHUNK[1]) * CHUNK[1]),
                compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
                attributes=_ARRAY,
            )
        arrays[layer].resize((first + len(values), wide))
        arrays[layer][first:] = values

    return put


@contextmanager
def _quiet() -> Iterator[None]:
    """Without anndata's notice that a later version will shard small arrays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*autosharding.*")
        yield
