"""Parquet of our own writing, as Polars and DuckDB read it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.publish.wide_parquet import write_wide_parquet

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 20), st.integers(0, 40)),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=matrices, data=st.data())
@example(values=np.zeros((0, 0), np.float32), data=None)
def test_others_read_it(
    values: NDArray[np.float32], data: st.DataObject | None, tmp_path: Path
) -> None:
    samples, genes = [], []
    if data is not None:
        size = len(values)
        samples = data.draw(
            st.lists(
                names.filter(lambda name: name.lower() not in ("gene", "")),
                min_size=size,
                max_size=size,
                unique_by=str.lower,
            )
        )
        size = values.shape[1]
        genes = data.draw(st.lists(names, min_size=size, max_size=size))
    path = tmp_path / "wide.parquet"
    write_wide_parquet(path, pl.Series(genes, dtype=pl.String), zip(samples, values, strict=True))
    found = pl.read_parquet(path, glob=False)
    assert found.schema == {"Gene": pl.String, **dict.fromkeys(samples, pl.Float32)}
    assert found["Gene"].to_list() == genes
    for sample, row in zip(samples, values, strict=True):
        np.testing.assert_array_equal(found[sample].to_numpy(), row)
    with duckdb.connect() as database:
        rows = database.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert [row[0] for row in rows] == genes
    theirs = np.array([row[1:] for row in rows], np.float32).reshape(len(genes), len(samples))
    np.testing.assert_array_equal(theirs.T, values)


def test_many_columns_of_one_sample_each(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(700, 300)).astype(np.float32)
    genes = pl.Series([f"ENSG{number:011}" for number in range(300)])
    path = tmp_path / "wide.parquet"
    write_wide_parquet(path, genes, ((f"s{n}", row) for n, row in enumerate(values)))
    with duckdb.connect() as database:
        [column] = database.execute(
            "SELECT row_group_num_rows, num_values FROM parquet_metadata(?) "
            "WHERE path_in_schema = 's321'",
            [str(path)],
        ).fetchall()
    assert column == (300, 300)
    np.testing.assert_array_equal(
        pl.scan_parquet(path).select("s321").collect().to_numpy()[:, 0], values[321]
    )


def test_a_sample_with_other_genes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s has 2 values of 1 genes"):
        write_wide_parquet(tmp_path / "w", pl.Series(["g"]), [("s", np.ones(2, np.float32))])
