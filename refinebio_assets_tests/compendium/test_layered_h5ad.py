"""The AnnData file of a release: anndata, and plain HDF5 with its own filters, read it."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.compendium.layered_h5ad import CHUNK, LayeredH5ad
from refinebio_assets_tests.compendium.example_matrix import Example, example


def write(made: Example, path: Path, sizes: list[int], threads: int = 2) -> None:
    with LayeredH5ad(path, made.genes, made.samples, threads=threads) as file:
        made.write_into(file, sizes)


@settings(max_examples=25, deadline=None)
@given(
    samples=st.sampled_from([1, 2, 127, 128, 129, 511, 512, 513, 700]),
    genes=st.sampled_from([1, 2, 255, 256, 257, 600]),
    gaps=st.booleans(),
    sizes=st.lists(st.sampled_from([1, 100, 128, 513, 1000]), min_size=1, max_size=3),
)
def test_anndata_reads_every_value(samples: int, genes: int, gaps: bool, sizes: list[int]) -> None:
    made = example(samples, genes, gaps=gaps)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "H.h5ad"
        write(made, path, sizes)
        found = ad.read_h5ad(path)
    np.testing.assert_array_equal(found.X, made.values)
    np.testing.assert_array_equal(found.layers["origin"], made.origins)
    assert found.obs_names.to_list() == made.samples
    assert found.var_names.to_list() == made.genes.to_list()
    assert found.uns["origins"].tolist() == list(ORIGINS)


def test_what_is_known_comes_along(tmp_path: Path) -> None:
    made = example(5, 6)
    components = np.arange(10.0).reshape(5, 2)
    with LayeredH5ad(tmp_path / "H.h5ad", made.genes, made.samples) as file:
        file.describe(
            pl.DataFrame({"technology": ["MICROARRAY", None, "RNA-SEQ", "RNA-SEQ", None]}),
            pl.DataFrame({"held_out_rmse": [0.5, None, 1, 2, 3, 4]}),
            {"version": "3", "digest": "abc"},
            components,
        )
        made.write_into(file, [2])
    found = ad.read_h5ad(tmp_path / "H.h5ad")
    assert found.obs["technology"].cat.categories.tolist() == ["MICROARRAY", "RNA-SEQ"]
    assert found.obs["technology"].isna().tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(found.var["held_out_rmse"], [0.5, np.nan, 1, 2, 3, 4])
    assert (found.uns["version"], found.uns["digest"]) == ("3", "abc")
    np.testing.assert_array_equal(found.obsm["X_pca"], components.astype(np.float32))
    backed = ad.read_h5ad(tmp_path / "H.h5ad", backed="r")
    np.testing.assert_array_equal(backed[2:4, [5, 1]].to_memory().X, made.values[2:4][:, [5, 1]])
    backed.file.close()


def test_chunks_and_filters_are_those_that_every_hdf5_reads(tmp_path: Path) -> None:
    write(example(300, 600), tmp_path / "H.h5ad", [300])
    with h5py.File(tmp_path / "H.h5ad") as file:
        for name, kind in (("X", np.float32), ("layers/origin", np.uint8)):
            assert file[name].chunks == CHUNK
            assert file[name].dtype == kind
            assert (file[name].compression, file[name].shuffle) == ("gzip", True)


def test_the_same_matrix_gives_the_same_bytes(tmp_path: Path) -> None:
    made = example(700, 300, gaps=True)
    contents = []
    for sizes, threads in (([700], 1), ([3, 128, 200], 4)):
        write(made, tmp_path / "H.h5ad", sizes, threads)
        contents.append((tmp_path / "H.h5ad").read_bytes())
        time.sleep(1.1)  # HDF5 counts in seconds
    assert contents[0] == contents[1]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = example(3, 4)
    path = tmp_path / "H.h5ad"
    for genes, samples in ((made.genes[[0, 0]], made.samples), (made.genes, ["a", "a"])):
        with pytest.raises(ValueError, match="twice"):
            LayeredH5ad(path, genes, samples)
    with pytest.raises(ValueError, match="no samples"):
        LayeredH5ad(path, made.genes, [])
    with (
        pytest.raises(ValueError, match="2 of 3 samples"),
        LayeredH5ad(path, made.genes, made.samples) as file,
    ):
        file.write(made.values[:2], made.origins[:2])
    with LayeredH5ad(path, made.genes, made.samples) as file:
        with pytest.raises(ValueError, match="2 rows are to describe 3"):
            file.describe(obs=pl.DataFrame({"a": [1, 2]}))
        with pytest.raises(ValueError, match="Components"):
            file.describe(components=np.zeros((2, 2)))
        with pytest.raises(ValueError, match="are not some samples"):
            file.write(made.values[:, :2], made.origins[:, :2])
        made.write_into(file, [2])
        with pytest.raises(ValueError, match="More samples"):
            file.write(made.values[:1], made.origins[:1])
