"""Samples out of expression files: what was written is found again, whatever the batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidExpressionTable
from refinebio_assets.matrix import reader
from refinebio_assets.matrix.expression import write_array_values, write_gene_counts
from refinebio_assets.matrix.reader import count_genes, read_block
from refinebio_assets.rnaseq.tximport import GeneQuantification

NAN = np.nan


def write(path: Path, values: NDArray[np.float32]) -> tuple[list[str], list[str]]:
    """Values (genes, samples), under names that are returned."""
    genes = [f"g{number:04}" for number in range(len(values))]
    samples = [f"s{number:03}" for number in range(values.shape[1])]
    write_array_values(path, genes, samples, values, {"experiment": "E"})
    return genes, samples


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), cut=st.sampled_from([1, 2, 3, 7, 500_000]))
def test_finds_what_was_written(
    data: st.DataObject, cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of some samples, in any order, also of those that the file does not have."""
    monkeypatch.setattr(reader, "ROWS_AT_A_TIME", cut)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.normal(size=data.draw(st.tuples(st.integers(1, 9), st.integers(1, 7))))
    values = values.astype(np.float32)
    values[rng.random(values.shape) < data.draw(st.sampled_from([0, 0.3, 0.9]))] = np.nan
    genes, samples = write(tmp_path / "e.parquet", values)
    wanted = data.draw(st.lists(st.sampled_from([*samples, "x", "y"]), unique=True))
    expected = np.full((len(genes), len(wanted)), np.nan, np.float32)
    for column, sample in enumerate(wanted):
        if sample in samples:
            expected[:, column] = values[:, samples.index(sample)]
    known = ~np.isnan(expected).all(axis=1)
    block = read_block(tmp_path / "e.parquet", wanted)
    assert block.samples == wanted
    assert block.genes.to_list() == [gene for gene, kept in zip(genes, known, strict=True) if kept]
    np.testing.assert_array_equal(block.values, expected[known])
    written = ~np.isnan(values).all(axis=1)
    if written.any():
        assert count_genes(tmp_path / "e.parquet") == written.sum()


def test_reads_across_row_groups(tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(size=(3000, 23)).astype(np.float32)
    values[5::7, 3] = np.nan
    genes, samples = write(tmp_path / "e.parquet", values)
    block = read_block(tmp_path / "e.parquet", samples[::-1])
    assert block.genes.to_list() == genes
    np.testing.assert_array_equal(block.values, values[:, ::-1])
    assert count_genes(tmp_path / "e.parquet") == 3000


def test_reads_length_scaled_tpm_of_rna_seq(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.uniform(1, 1000, (4, 2)) for _ in range(3)]
    quantified = GeneQuantification(list("abcd"), ["s1", "s2"], *arrays, unmapped_transcripts=0)
    write_gene_counts(tmp_path / "e.parquet", [quantified], {"experiment": "E"})
    block = read_block(tmp_path / "e.parquet", ["s2"])
    assert block.genes.to_list() == list("abcd")
    expected = quantified.length_scaled_tpm()[:, 1:].astype(np.float32)
    np.testing.assert_array_equal(block.values, expected)


def test_a_stored_nan_or_null_is_missing(tmp_path: Path) -> None:
    rows = {"gene": list("aabbc"), "sample": list("stsss"), "value": [1.0, NAN, None, 4.0, NAN]}
    pl.DataFrame(rows).write_parquet(tmp_path / "e.parquet")
    block = read_block(tmp_path / "e.parquet", ["s", "t"])
    assert block.genes.to_list() == list("abc")
    np.testing.assert_array_equal(block.values, [[1, NAN], [4, NAN], [NAN, NAN]])


def test_what_is_no_expression_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    with pytest.raises(OSError, match="No such file"):
        read_block(path, ["s"])
    with pytest.raises(OSError, match="No such file"):
        count_genes(path)
    for content in [b"", b"PAR1", b"<html>", b"PAR1" * 40]:
        path.write_bytes(content)
        for refused in (lambda: read_block(path, ["s"]), lambda: count_genes(path)):
            with pytest.raises(InvalidExpressionTable, match=r"e\.parquet cannot be read"):
                refused()
    pl.DataFrame({"gene": ["a"], "value": [1.0]}).write_parquet(path)
    with pytest.raises(InvalidExpressionTable, match="sample"):
        read_block(path, ["s"])
    rows = {"gene": ["a"], "sample": ["s"], "value": ["much"]}
    pl.DataFrame(rows).write_parquet(path)
    with pytest.raises(InvalidExpressionTable, match="much"):
        read_block(path, ["s"])


def test_a_damaged_file_is_refused_or_whole(tmp_path: Path) -> None:
    """Never is a row group less taken for all of it, nor is there any other error."""
    values = np.random.default_rng(3).normal(size=(300, 12)).astype(np.float32)
    _, samples = write(tmp_path / "e.parquet", values)
    content = (tmp_path / "e.parquet").read_bytes()
    rng = np.random.default_rng(1)
    damaged = tmp_path / "d.parquet"
    refused = 0
    for number in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(0, 256)
        damaged.write_bytes(content[: rng.integers(len(content))] if number % 2 else changed)
        try:
            block = read_block(damaged, samples)
        except InvalidExpressionTable:
            refused += 1
        else:
            assert np.count_nonzero(~np.isnan(block.values)) > 0.6 * values.size
    assert refused > 75
