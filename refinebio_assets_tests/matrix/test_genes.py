"""Identifiers and duplicates, against examples, plain loops and real arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidExpressionTable
from refinebio_assets.matrix.genes import clean_gene_ids, clean_table, mean_of_duplicates
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("1007_s_at", "1007_s"),
        ("x_atp5", "xp5"),
        ("a_at_at", "a"),
        ("ENSG00000141510.6", "ENSG00000141510"),
        ("ENSG00000141510_at", "ENSG00000141510"),
        ("fgenesh2_kg.7__3016__AT5G35080.1", "fgenesh2_kg.7__3016__AT5G35080"),
        ("Y74C9A.3", "Y74C9A"),
        ("AFFX-BioB-5_at", None),
        ("my.AFFX-x", None),
        ("AFFX_at-x", None),
        ("affx-x", "affx-x"),
        ("GENE.", "GENE"),
        ("_at", None),
        (".7", None),
        ("", None),
        (None, None),
    ],
)
def test_identifiers_are_cleaned(raw: str | None, clean: str | None) -> None:
    assert clean_gene_ids(pl.Series([raw], dtype=pl.String)).to_list() == [clean]


@given(st.lists(st.text("ab_at.-AFX\n", max_size=12), max_size=20))
def test_cleaning_follows_its_steps(ids: list[str]) -> None:
    expected: list[str | None] = []
    for each in ids:
        short = each.replace("_at", "")
        bare = short.rsplit(".", 1)[0] if "." in short else short
        expected.append(None if "AFFX-" in short or not bare else bare)
    assert clean_gene_ids(pl.Series(ids, dtype=pl.String)).to_list() == expected


rows = st.lists(
    st.tuples(
        st.sampled_from(["g1", "g2", "g3", "g4", None]),
        st.lists(st.integers(-99, 99) | st.just(math.nan), min_size=3, max_size=3),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(rows, st.sampled_from([np.float32, np.float64]), st.sampled_from("CF"))
def test_duplicates_are_averaged_in_order_of_appearance(
    rows: list[tuple[str | None, list[float]]], dtype: type[np.floating[Any]], order: Any
) -> None:
    expected: dict[str, list[list[float]]] = {}
    for gene, values in rows:
        if gene is not None:
            expected.setdefault(gene, []).append(values)
    ids = pl.Series([gene for gene, _ in rows], dtype=pl.String)
    matrix = np.array([values for _, values in rows], dtype, order=order).reshape(len(rows), 3)
    genes, means = mean_of_duplicates(ids, matrix)
    assert genes.to_list() == list(expected)
    assert means.dtype == np.float32
    for found, group in zip(means, expected.values(), strict=True):
        for column in range(3):
            known = [values[column] for values in group if not math.isnan(values[column])]
            mean = np.float32(sum(known) / len(known)) if known else math.nan
            np.testing.assert_array_equal(found[column], mean)


def test_blocks_of_samples_are_averaged_alike() -> None:
    rng = np.random.default_rng(5)
    ids = pl.Series([f"g{number}" for number in rng.integers(0, 700, 1500)])
    values = rng.normal(size=(1500, 6000)).astype(np.float32)  # more than one block
    values[rng.random(values.shape) < 0.05] = np.nan
    genes, means = mean_of_duplicates(ids, values)
    for at in (0, 2999, 5990):
        part_genes, part = mean_of_duplicates(ids, values[:, at : at + 10])
        assert part_genes.equals(genes)
        np.testing.assert_array_equal(part, means[:, at : at + 10])


def test_sum_does_not_lose_what_float32_would() -> None:
    ids = pl.Series(["g"] * 3)
    _, means = mean_of_duplicates(ids, np.array([[2.0**24], [1.0], [1.0]], np.float32))
    assert means[0, 0] == np.float32((2.0**24 + 2) / 3)


def test_table_is_made_ready() -> None:
    table = pl.DataFrame(
        {
            "ID": ["1007_s_at", "AFFX-BioB_at", "b.1", "b.2", None],
            " GSM1 ": [1.5, 2.0, 3.0, None, 9.0],
            "empty": pl.Series([None] * 5, dtype=pl.String),
            "nothing": [math.nan] * 5,
            "text": ["1", "2", "3", "5", "8"],
        }
    )
    found = clean_table(table)
    assert found.schema == {"ID": pl.String, "GSM1": pl.Float32, "text": pl.Float32}
    assert found.rows() == [("1007_s", 1.5, 1.0), ("b", 3.0, 4.0)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pl.DataFrame(), "no column"),
        (pl.DataFrame({"ID": ["a"], "GSM1": ["high"]}), "numbers"),
        (pl.DataFrame({"ID": ["a"], "GSM1": [1.0], "GSM1 ": [2.0]}), "one name"),
        (pl.DataFrame({"ID": ["a"], "GSM1": [[1.0]]}), "numbers"),
    ],
)
def test_what_is_no_table_is_refused(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(InvalidExpressionTable, match=message):
        clean_table(table)


def test_real_probe_sets() -> None:
    """Means as Polars makes them, once Affymetrix' controls are out."""
    table = pl.read_parquet(shared_data("matrix/chowdary.parquet"))
    table = table.select("feature_id", "chowdary_1", "chowdary_2")
    doubled = pl.concat([table, table.with_columns(pl.col("chowdary_1") * 3)])
    found = clean_table(doubled)
    controls = table["feature_id"].str.starts_with("AFFX-").sum()
    assert controls > 50
    assert found.height == table.height - controls
    assert not found["feature_id"].str.contains("_at").any()
    kept = table.filter(~pl.col("feature_id").str.starts_with("AFFX-"))
    np.testing.assert_allclose(found["chowdary_1"], 2 * kept["chowdary_1"].to_numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found["chowdary_2"], kept["chowdary_2"])
