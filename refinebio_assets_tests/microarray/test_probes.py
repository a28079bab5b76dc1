"""Probe tables and gene maps: their order, what they refuse, and their Parquet form."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray.probes import (
    GeneMap,
    ProbeTable,
    gene_map,
    probe_table,
    read_gene_map_parquet,
    read_probe_table,
    write_gene_map_parquet,
    write_probe_table,
)

SEQUENCE = "ACGT" * 6 + "A"
Cells = dict[tuple[int, int], tuple[str, set[str]]]  # x, y -> sequence, probe sets
coordinates = st.integers(0, 40)
names = st.text("ab1_é", min_size=1, max_size=4)
probe_rows = st.dictionaries(
    st.tuples(coordinates, coordinates),
    st.tuples(st.text("ACGTNa", min_size=25, max_size=25), st.sets(names, min_size=1, max_size=3)),
    min_size=1,
    max_size=30,
)
gene_rows = st.lists(st.tuples(coordinates, coordinates, names), min_size=1, max_size=40)


def rows_of(cells: Cells) -> list[tuple[int, int, str, str]]:
    return [
        (x, y, sequence, probe_set)
        for (x, y), (sequence, probe_sets) in cells.items()
        for probe_set in probe_sets
    ]


def table_of(rows: list[tuple[int, int, str, str]], columns: int | None = None) -> ProbeTable:
    schema = {"x": pl.Int32, "y": pl.Int32, "sequence": pl.String, "probe_set": pl.String}
    return probe_table("rows", pl.DataFrame(rows, schema=schema, orient="row"), columns)


def map_of(rows: list[tuple[int, int, str]]) -> GeneMap:
    schema = {"x": pl.Int32, "y": pl.Int32, "gene": pl.String}
    return gene_map("rows", pl.DataFrame(rows, schema=schema, orient="row"))


def assert_equal_tables(one: ProbeTable, other: ProbeTable) -> None:
    assert (one.probe_sets, one.columns) == (other.probe_sets, other.columns)
    for name in ("x", "y", "sequence", "probe_set"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_equal_maps(one: GeneMap, other: GeneMap) -> None:
    assert one.genes == other.genes
    for name in ("x", "y", "gene"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype == np.int32
        np.testing.assert_array_equal(ours, theirs)


@given(probe_rows, st.randoms())
def test_probes_come_in_the_order_of_their_cells(cells: Cells, random: Random) -> None:
    rows = rows_of(cells)
    wanted = sorted(rows, key=lambda row: (row[1] * 41 + row[0], row[3]))
    shuffled = rows * 2
    random.shuffle(shuffled)
    table = table_of(shuffled, columns=41)
    assert table.probe_sets == sorted({row[3] for row in rows})
    assert [
        (x, y, table.probe_sets[number])
        for x, y, number in zip(table.x, table.y, table.probe_set, strict=True)
    ] == [(x, y, probe_set) for x, y, _, probe_set in wanted]
    codes = {"A": 0, "C": 1, "G": 2}
    assert table.sequence.tolist() == [[codes.get(base, 3) for base in row[2]] for row in wanted]
    assert (np.diff(table.cells(41)) >= 0).all()


def test_probes_of_another_length_are_left_out() -> None:
    table = table_of([(1, 1, SEQUENCE, "a"), (2, 1, SEQUENCE[1:], "a"), (3, 1, "", "b")])
    assert (table.x.tolist(), table.probe_sets) == ([1], ["a"])
    with pytest.raises(InvalidProbeAnnotation, match="no probe of 25 bases"):
        table_of([(1, 1, SEQUENCE * 2, "a")])


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (10, 0), (0, 40_000)])
def test_cells_outside_of_the_chip(x: int, y: int) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=f"x = {x}, y = {y}"):
        table_of([(x, y, SEQUENCE, "a")], columns=10)


def test_a_cell_with_two_sequences() -> None:
    with pytest.raises(InvalidProbeAnnotation, match=r"x = 7, y = 3 two sequences"):
        table_of([(7, 3, SEQUENCE, "a"), (7, 3, SEQUENCE[::-1].replace("A", "C"), "b")])


@given(gene_rows)
def test_a_gene_map_has_each_pair_once(rows: list[tuple[int, int, str]]) -> None:
    genes = map_of(rows)
    found = [
        (x, y, genes.genes[number])
        for x, y, number in zip(genes.x, genes.y, genes.gene, strict=True)
    ]
    assert found == sorted(set(rows), key=lambda row: (row[1], row[0], row[2]))


@given(probe_rows, st.sampled_from([None, 41, 712]))
def test_a_probe_table_reads_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, cells: Cells, columns: int | None
) -> None:
    path = tmp_path_factory.mktemp("probes") / "probes [1]*.parquet"
    table = table_of(rows_of(cells), columns)
    write_probe_table(path, table)
    assert_equal_tables(read_probe_table(path), table)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@given(gene_rows)
def test_a_gene_map_reads_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, str]]
) -> None:
    path = tmp_path_factory.mktemp("genes") / "genes.parquet"
    genes = map_of(rows)
    write_gene_map_parquet(path, genes)
    assert_equal_maps(read_gene_map_parquet(path), genes)


def test_columns_of_parquet_may_be_spelt_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    pl.DataFrame({"GENE": ["b", "a"], "note": [1, 2], "Y": [0, 0], "X": [1, 1]}).with_columns(
        pl.col("X").cast(pl.Int16), pl.col("GENE").cast(pl.Categorical)
    ).write_parquet(path)
    assert_equal_maps(read_gene_map_parquet(path), map_of([(1, 0, "a"), (1, 0, "b")]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1], "y": [1]}, "no column gene"),
        ({"x": [1, None], "y": [1, 1], "gene": ["a", "b"]}, "row 2 lacks"),
        ({"x": ["1", "one"], "y": [1, 1], "gene": ["a", "b"]}, "row 2 lacks"),
        ({"x": [1 << 40], "y": [1], "gene": ["a"]}, "row 1 lacks"),
        ({"x": [], "y": [], "gene": []}, "no cell"),
    ],
)
def test_malformed_parquet(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    path = tmp_path / "map.parquet"
    pl.DataFrame(columns).write_parquet(path)
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_gene_map_parquet(path)


def test_damaged_parquet(tmp_path: Path) -> None:
    path, random = tmp_path / "probes.parquet", np.random.default_rng(4)
    write_probe_table(path, table_of([(x, 0, SEQUENCE, f"s{x % 7}") for x in range(300)]))
    whole = path.read_bytes()
    refused = 0
    for end in random.integers(0, len(whole), 20):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidProbeAnnotation):
            read_probe_table(path)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            read_probe_table(path)
        except InvalidProbeAnnotation:
            refused += 1
    assert refused
