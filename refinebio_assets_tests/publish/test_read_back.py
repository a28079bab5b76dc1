"""Exports read back: the digests are of the values, and what was damaged is seen."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

from refinebio_assets.publish import read_back
from refinebio_assets.publish.anndata_layers import write_layered_h5ad, write_layered_zarr
from refinebio_assets.publish.archs4 import NEEDED, CountBlock, write_gene_counts
from refinebio_assets.publish.read_back import (
    LayerDigests,
    counts_of,
    layers_of,
    passing,
    read_back_counts,
    read_back_layers,
)
from refinebio_assets.publish.sample_blocks import SampleBlock

GENES = [f"ENSG{number}" for number in range(600)]
LAYERS = ("counts", "tpm")
SAMPLES = [f"s{number}" for number in range(7)]

forms = pytest.mark.parametrize("form", ["h5ad", "zarr"])


def layers(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shape = len(SAMPLES), len(GENES)
    return {layer: rng.gamma(0.5, 100, shape).astype(np.float32) for layer in LAYERS}


def blocks(values: dict[str, Any]) -> list[SampleBlock]:
    return [
        SampleBlock(SAMPLES[part], {layer: of[part] for layer, of in values.items()})
        for part in (slice(0, 3), slice(3, 7))
    ]


def written(folder: Path, form: str, values: dict[str, Any]) -> tuple[Path, LayerDigests]:
    path, digests = folder / f"x.{form}", LayerDigests()
    write: Any = write_layered_h5ad if form == "h5ad" else write_layered_zarr
    write(path, passing(blocks(values), digests), pl.DataFrame({"gene": GENES}))
    return path, digests


@forms
@pytest.mark.parametrize("at_a_time", [2, 256])
def test_layers_are_read_back(
    form: str, at_a_time: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "SAMPLES_AT_A_TIME", at_a_time)
    values = layers()
    path, digests = written(tmp_path, form, values)
    found = read_back_layers(path)
    assert (found.samples, found.genes) == (SAMPLES, GENES)
    expected = {layer: hashlib.sha256(of.tobytes()).hexdigest() for layer, of in values.items()}
    assert found.digests.sha256 == digests.sha256 == expected
    assert found.digests.not_finite == {"counts": 0, "tpm": 0}
    some = layers_of(path, [5, 0])
    for layer, of in values.items():
        np.testing.assert_array_equal(some[layer], of[[5, 0]])


@forms
def test_values_that_are_missing_are_counted(form: str, tmp_path: Path) -> None:
    values = layers()
    values["tpm"][2, 5], values["tpm"][6, 7] = np.nan, np.inf
    path, _ = written(tmp_path, form, values)
    assert read_back_layers(path).digests.not_finite == {"counts": 0, "tpm": 2}


def test_a_chunk_that_is_gone_is_seen_though_it_reads_as_zeros(tmp_path: Path) -> None:
    path, digests = written(tmp_path, "zarr", layers())
    shutil.rmtree(path / "layers" / "tpm" / "c")
    found = read_back_layers(path)
    assert found.digests.sha256["tpm"] != digests.sha256["tpm"]
    assert found.digests.sha256["counts"] == digests.sha256["counts"]


def test_an_x_that_is_not_the_counts_is_an_error(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "h5ad", layers())
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = file["layers/tpm"]
    with pytest.raises(ValueError, match="X is not"):
        read_back_layers(path)


def test_counts_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "SAMPLES_AT_A_TIME", 3)
    counts = np.rint(layers()["counts"]).astype(np.uint32)
    records = pl.DataFrame(
        {
            **dict.fromkeys(NEEDED, [""] * len(SAMPLES)),
            "geo_accession": SAMPLES,
            "series_id": ["SRP1"] * len(SAMPLES),
            "singlecellprobability": [0.25] * len(SAMPLES),
        }
    )
    path = tmp_path / "genes.h5"
    genes = pl.DataFrame({"ensembl_gene": GENES, "symbol": GENES[::-1]})
    made = write_gene_counts(path, genes, [CountBlock(records, counts)], {})
    found = read_back_counts(path)
    assert found.columns == [(sample, "SRP1") for sample in SAMPLES]
    assert found.features == GENES
    assert found.sha256 == made.sha256 == hashlib.sha256(counts.tobytes()).hexdigest()
    assert found.unsure == 0
    np.testing.assert_array_equal(counts_of(path, [6, 1]), counts[[6, 1]])
    with h5py.File(path, "r+") as file:
        file["data/expression"][17, 4] += 1
        file["meta/samples/singlecellprobability"][2] = np.nan
    damaged = read_back_counts(path)
    assert damaged.sha256 != made.sha256
    assert damaged.unsure == 1
