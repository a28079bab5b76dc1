"""Samples as they are aggregated: cleaned as a table of them would be, one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidExpressionTable
from refinebio_assets.matrix import sample_files
from refinebio_assets.matrix.expression import write_array_values
from refinebio_assets.matrix.genes import clean_table
from refinebio_assets.matrix.sample_files import SamplesOfFile, read_samples

IDS = ["1007_s_at", "1007_s.1", "AFFX-x_at", "ENSG1.1", "ENSG1.2", "ENSG2", "Y7.3", "_at"]


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), few=st.sampled_from([1, 2, 500]), averaged=st.sampled_from([1, 2, 256]))
def test_are_those_of_a_cleaned_table(
    data: st.DataObject, few: int, averaged: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, in one turn or several."""
    monkeypatch.setattr(sample_files, "FEW_SAMPLES", few)
    monkeypatch.setattr(sample_files, "_AVERAGED_AT_A_TIME", averaged)
    genes = sorted(data.draw(st.sets(st.sampled_from(IDS), min_size=1)))
    samples = [f"s{number}" for number in range(data.draw(st.integers(1, 5)))]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.normal(size=(len(genes), len(samples))).astype(np.float32)
    values[rng.random(values.shape) < data.draw(st.sampled_from([0, 0.4]))] = np.nan
    path = tmp_path / "e.parquet"
    write_array_values(path, genes, samples, values, {"experiment": "E"})
    wanted = data.draw(st.permutations([*samples, "absent"]))
    found = list(read_samples([SamplesOfFile(path, wanted)], data.draw(st.integers(1, 30))))
    assert [each.sample for each in found] == wanted
    for each in found:
        assert each.values.dtype == np.float32
        if each.sample == "absent":
            assert len(each.genes) == 0
            continue
        column = values[:, samples.index(each.sample)]
        table = clean_table(pl.DataFrame({"gene": genes, "value": column}).drop_nans())
        if table.width == 1:  # the sample has not one value
            assert len(each.values) == 0
            continue
        assert each.genes.to_list() == table["gene"].to_list()
        np.testing.assert_array_equal(each.values, table["value"].to_numpy())


def test_samples_with_the_same_genes_share_them(tmp_path: Path) -> None:
    values = np.ones((3, 4), np.float32)
    values[1, [0, 2]] = np.nan
    path = tmp_path / "e.parquet"
    write_array_values(path, list("abc"), list("wxyz"), values, {"experiment": "E"})
    w, x, y, z = read_samples([SamplesOfFile(path, list("wxyz"))])
    assert w.genes is y.genes
    assert x.genes is z.genes
    assert (w.genes.to_list(), x.genes.to_list()) == (["a", "c"], ["a", "b", "c"])


def test_files_come_one_after_the_other_and_when_they_are_asked_for(tmp_path: Path) -> None:
    for name, number in (("e", 1.0), ("f", 2.0)):
        values = np.full((1, 1), number, np.float32)
        write_array_values(tmp_path / f"{name}.parquet", ["g"], ["s"], values, {"experiment": "E"})
    names = ("e", "f", "gone")
    reading = read_samples([SamplesOfFile(tmp_path / f"{name}.parquet", ["s"]) for name in names])
    assert [next(reading).values.tolist() for _ in range(2)] == [[1], [2]]
    with pytest.raises(OSError, match="No such file"):
        next(reading)
    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidExpressionTable, match=r"e\.parquet cannot be read"):
        list(read_samples([SamplesOfFile(tmp_path / "e.parquet", ["s"])]))
