"""Layered AnnData, as HDF5 and as Zarr: opened by anndata, the same in both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.publish import anndata_layers
from refinebio_assets.publish.anndata_layers import write_layered_h5ad, write_layered_zarr
from refinebio_assets.publish.sample_blocks import SampleBlock

Write = Callable[..., int]

LAYERS = ("counts", "tpm", "effective_length")
GENES = pl.DataFrame({"gene": ["ENSG1", "ENSG2", "ENSG3"], "symbol": ["TP53", None, "Y_RNA"]})

both = pytest.mark.parametrize(
    ("write", "read"),
    [(write_layered_h5ad, ad.read_h5ad), (write_layered_zarr, ad.read_zarr)],
    ids=["h5ad", "zarr"],
)


def blocks_of(sizes: list[int], genes: int, seed: int = 0) -> list[SampleBlock]:
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes])
    return [
        SampleBlock(
            [f"s{start + number}" for number in range(size)],
            {layer: rng.gamma(0.5, 100, (size, genes)).astype(np.float32) for layer in LAYERS},
        )
        for start, size in zip(starts, sizes, strict=False)
    ]


def together(blocks: list[SampleBlock], layer: str) -> Any:
    return np.vstack([block.layers[layer] for block in blocks])


@both
@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    genes=st.integers(1, 40),
    rows=st.sampled_from([4, 8]),
)
def test_every_value_reads_back(
    sizes: list[int],
    genes: int,
    rows: int,
    write: Write,
    read: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the blocks and the chunks are."""
    monkeypatch.setattr(anndata_layers, "ROWS_AT_A_TIME", rows)
    monkeypatch.setattr(anndata_layers, "CHUNK", (4, 16))
    path = tmp_path_factory.mktemp("layers") / "a"
    blocks = blocks_of(sizes, genes)
    names = pl.DataFrame({"gene": [f"g{number}" for number in range(genes)]})
    done: list[int] = []
    assert write(path, blocks, names, on_done=done.append) == sum(sizes)
    assert done == [*range(rows, sum(sizes), rows), sum(sizes)]
    found = read(path)
    assert found.obs_names.to_list() == [name for block in blocks for name in block.samples]
    assert found.var_names.to_list() == names["gene"].to_list()
    assert set(found.layers) == set(LAYERS)
    for layer in LAYERS:
        assert found.layers[layer].dtype == np.float32
        np.testing.assert_array_equal(found.layers[layer], together(blocks, layer))
    np.testing.assert_array_equal(found.X, found.layers["counts"])


@both
def test_keeps_what_is_known_of_samples_and_genes(
    write: Write, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    described = pl.DataFrame(
        {
            "sample": ["s2", "s0", "elsewhere"],
            "sex": ["female", None, "male"],
            "age": [3.5, None, 1],
            "single_cell": [True, False, True],
            "time/point": ["1", "2", "3"],
        }
    )
    write(tmp_path / "a", blocks_of([3], 3), GENES, described, {"organism": "HOMO_SAPIENS"})
    found = read(tmp_path / "a")
    rows = [
        [None if pd.isna(value) else value for value in row]
        for row in found.obs.astype(object).to_numpy()
    ]
    assert list(found.obs) == ["sex", "age", "single_cell", "time|point"]
    assert rows == [
        [None, None, False, "2"],
        [None, None, None, None],  # of s1 nothing is known
        ["female", 3.5, True, "1"],
    ]
    assert found.var["symbol"].astype(object).where(
        found.var["symbol"].notna(), None
    ).to_list() == [
        "TP53",
        None,
        "Y_RNA",
    ]
    assert dict(found.uns) == {"organism": "HOMO_SAPIENS"}


def test_h5ad_holds_the_counts_once_and_opens_backed(tmp_path: Path) -> None:
    blocks = blocks_of([300, 5], 700)
    genes = pl.DataFrame({"gene": [f"g{number}" for number in range(700)]})
    write_layered_h5ad(tmp_path / "a.h5ad", blocks, genes)
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X"] == file["layers/counts"]
        assert file["X"].chunks == anndata_layers.CHUNK
    found = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    part = found[298:303, [0, 650]].to_memory()
    np.testing.assert_array_equal(part.X, together(blocks, "counts")[298:303][:, [0, 650]])
    np.testing.assert_array_equal(part.layers["tpm"], together(blocks, "tpm")[298:303][:, [0, 650]])
    found.file.close()


def test_zarr_is_of_version_3_with_few_files(tmp_path: Path) -> None:
    genes = pl.DataFrame({"gene": [f"g{number}" for number in range(1200)]})
    blocks = blocks_of([300], 1200)
    write_layered_zarr(tmp_path / "a.zarr", blocks, genes)
    store = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert store.metadata.zarr_format == 3
    array = store["layers/tpm"]
    assert isinstance(array, zarr.Array)
    assert array.chunks == anndata_layers.CHUNK
    shards = [path for path in (tmp_path / "a.zarr/layers/tpm/c").rglob("*") if path.is_file()]
    assert len(shards) == 2  # of 256 and 44 samples
    with pytest.raises(FileExistsError):
        write_layered_zarr(tmp_path / "a.zarr", blocks, genes)


def test_the_same_blocks_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_layered_h5ad(tmp_path / f"{name}.h5ad", blocks_of([5], 3), GENES)
        write_layered_zarr(tmp_path / f"{name}.zarr", blocks_of([5], 3), GENES)
        time.sleep(1.1)  # HDF5 counts in seconds

    def contents(name: str) -> Iterator[tuple[Path, bytes]]:
        yield Path(), (tmp_path / f"{name}.h5ad").read_bytes()
        for path in sorted((tmp_path / f"{name}.zarr").rglob("*")):
            if path.is_file():
                yield path.relative_to(tmp_path / f"{name}.zarr"), path.read_bytes()

    assert list(contents("one")) == list(contents("two"))


@both
def test_scanpy_works_on_it(write: Write, read: Callable[[Path], Any], tmp_path: Path) -> None:
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
    genes = pl.DataFrame({"gene": [f"g{number}" for number in range(60)]})
    blocks = blocks_of([40], 60)
    write(tmp_path / "a", blocks, genes)
    found = read(tmp_path / "a")
    scanpy.pp.normalize_total(found, target_sum=1e4)
    scanpy.pp.log1p(found)
    scanpy.tl.pca(found, n_comps=5)
    assert found.obsm["X_pca"].shape == (40, 5)
    np.testing.assert_allclose(np.expm1(found.X).sum(axis=1), 1e4, rtol=1e-4)


@both
def test_refuses_what_is_no_anndata(
    write: Write, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    twice = blocks_of([2], 3) * 2
    bare = [SampleBlock(["s"], {"tpm": np.ones((1, 3), np.float32)})]
    repeated = pl.DataFrame({"sample": ["s0", "s0"], "sex": ["f", "m"]})
    cases: list[tuple[Any, pl.DataFrame, pl.DataFrame | None, str]] = [
        (twice, GENES, None, "A sample occurs twice"),
        (bare, GENES, None, "There is no layer counts"),
        (blocks_of([2], 3), pl.concat([GENES, GENES]), None, "occurs twice"),
        (blocks_of([2], 4), GENES, None, "4 values of a sample, and 3 genes"),
        (blocks_of([2], 3), GENES, repeated, "described twice"),
    ]
    for number, (blocks, genes, described, message) in enumerate(cases):
        with pytest.raises(ValueError, match=message):
            write(tmp_path / str(number), blocks, genes, described)
    with pytest.raises(NothingToDeliver):
        write(tmp_path / "empty", [], GENES)
