"""Tiles: what DuckDB answers is what was written, and it opens no more files than it needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium import tiles
from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.compendium.tiles import (
    COMPENDIUM_EXPRESSION,
    COMPENDIUM_MACROS,
    TileWriter,
    block_name,
    place_of,
)
from refinebio_assets_tests.compendium.example_matrix import Example, example

HUMAN, MOUSE = "HOMO_SAPIENS", "MUS_MUSCULUS"


def write(made: Example, folder: Path, sizes: list[int]) -> None:
    with TileWriter(folder, made.genes, made.samples) as writer:
        made.write_into(writer, sizes)


def read(folder: Path) -> pl.DataFrame:
    """All rows, read by Polars, which is not what wrote them."""
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])


def catalogue(root: Path) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    view = COMPENDIUM_EXPRESSION.replace("$files", f"'{root}/*/*/values/*.parquet'")
    database.execute(f"CREATE VIEW compendium_expression AS {view}")
    for macro in COMPENDIUM_MACROS:
        database.execute(macro)
    return database


def ask(database: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    return pl.DataFrame(database.sql(query))


@pytest.fixture
def small_blocks() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "BLOCK_SAMPLES", 4)
        yield 4


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(1, 13),
    genes=st.integers(1, 40),
    gaps=st.booleans(),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_every_value_comes_back_from_its_block(
    samples: int, genes: int, gaps: bool, sizes: list[int]
) -> None:
    made = example(samples, genes, gaps=gaps)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(tiles, "BLOCK_SAMPLES", 4)
        write(made, Path(folder), sizes)
        names = sorted(path.name for path in Path(folder).iterdir())
        assert names == [block_name(number) for number in range(-(-samples // 4))]
        for number, name in enumerate(names):
            found = pl.read_parquet(Path(folder) / name)
            mine = slice(4 * number, 4 * number + 4)
            part = Example(
                made.genes, made.samples[mine], made.values[mine], made.origins[mine]
            ).rows()
            assert found.select("gene", "sample", "value").equals(part.drop("origin"))
            assert [ORIGINS[each] for each in found["origin"]] == part["origin"].to_list()


def test_a_place_is_a_block_and_a_position(small_blocks: int) -> None:
    assert [place_of(number) for number in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 0), (2, 1)]
    assert block_name(12) == "block=00012.parquet"


def test_the_view_has_all_values_and_each_macro_its_own(tmp_path: Path, small_blocks: int) -> None:
    made, older, other = example(10, 50, gaps=True), example(6, 50, seed=1), example(5, 9, seed=2)
    for place, each in ((f"{HUMAN}/3", made), (f"{HUMAN}/12", older), (f"{MOUSE}/1", other)):
        write(each, tmp_path / place / "values", [3])
    database = catalogue(tmp_path)
    rows = made.rows().sort("gene", "sample")
    found = ask(
        database,
        f"FROM compendium_expression WHERE organism = '{HUMAN}' AND version = 3 "
        "ORDER BY gene, sample",
    )
    assert found.columns == ["organism", "version", "gene", "sample", "value", "origin"]
    assert found.drop("organism", "version").equals(rows)
    kinds = ask(database, "SELECT DISTINCT organism, version FROM compendium_expression ORDER BY 2")
    assert kinds.rows() == [(MOUSE, 1), (HUMAN, 3), (HUMAN, 12)]

    gene, samples = made.genes[31], [made.samples[7], made.samples[0]]
    found = ask(database, f"FROM compendium_gene('{HUMAN}', 3, '{gene}')")
    assert found.equals(rows.filter(gene=gene).drop("gene"))
    found = ask(database, f"FROM compendium_sample('{HUMAN}', 3, '{samples[0]}')")
    assert found.equals(rows.filter(sample=samples[0]).drop("sample"))
    found = ask(database, f"FROM compendium_matrix('{HUMAN}', 3, {samples})")
    assert found.equals(rows.filter(pl.col("sample").is_in(samples)))
    assert ask(database, f"FROM compendium_gene('{HUMAN}', 4, '{gene}')").is_empty()


def test_only_the_files_of_the_release_are_opened(tmp_path: Path, small_blocks: int) -> None:
    for place, samples in ((f"{HUMAN}/1", 20), (f"{HUMAN}/2", 10), (f"{MOUSE}/2", 20)):
        write(example(samples, 30), tmp_path / place / "values", [7])
    plan = catalogue(tmp_path).sql(
        "EXPLAIN ANALYZE SELECT sample, value FROM compendium_expression "
        "WHERE organism = 'HOMO_SAPIENS' AND version = 2 AND gene = 'ENSG00000000010'"
    )
    assert "Total Files Read: 3" in plan.fetchall()[0][1]


def test_a_gene_is_in_few_row_groups_and_a_sample_can_be_passed_over(tmp_path: Path) -> None:
    made = example(1030, 600)
    write(made, tmp_path, [200])
    said = duckdb.connect().execute(
        "SELECT parse_filename(file_name), path_in_schema, stats_min_value, stats_max_value "
        "FROM parquet_metadata(?) WHERE path_in_schema IN ('gene', 'sample') ORDER BY ALL",
        [f"{tmp_path}/*.parquet"],
    )
    bounds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for file, column, least, most in said.fetchall():
        bounds.setdefault((file, column), []).append((least, most))
    gene = made.genes[300]
    holding = [low <= gene <= high for low, high in bounds[block_name(0), "gene"]]
    assert len(holding) == 3
    assert sum(holding) <= 2
    first, second = sorted(made.samples[:1024]), sorted(made.samples[1024:])
    assert set(bounds[block_name(0), "sample"]) == {(first[0], first[-1])}
    assert set(bounds[block_name(1), "sample"]) == {(second[0], second[-1])}


def test_the_file_says_what_origins_mean(tmp_path: Path) -> None:
    write(example(2, 3), tmp_path, [2])
    found = duckdb.connect().execute(
        "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'origins'",
        [str(tmp_path / block_name(0))],
    )
    assert found.fetchall() == [(", ".join(ORIGINS),)]


def test_the_bytes_do_not_depend_on_the_blocks_given(tmp_path: Path, small_blocks: int) -> None:
    made = example(11, 700, gaps=True)
    contents = []
    for number, sizes in enumerate(([1], [11], [3, 5])):
        write(made, tmp_path / str(number), sizes)
        contents.append([path.read_bytes() for path in sorted((tmp_path / str(number)).iterdir())])
    assert len(contents[0]) == 3
    assert contents[0] == contents[1] == contents[2]


def test_names_with_quotes_are_only_names(tmp_path: Path) -> None:
    genes = pl.Series(["a'); DROP TABLE wide; --", "b"])
    values, origins = np.ones((2, 2), np.float32), np.zeros((2, 2), np.uint8)
    made = Example(genes, ["it's", 'ö "x"'], values, origins)
    write(made, tmp_path / "o'clock", [1])
    found = read(tmp_path / "o'clock")
    assert found["gene"].to_list() == [genes[0], genes[0], "b", "b"]
    assert found["sample"].to_list() == made.samples * 2


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = example(3, 4)
    for genes, samples in (
        (made.genes[::-1], made.samples),
        (made.genes[[0, 0]], made.samples),
        (made.genes, ["a", "a"]),
        (made.genes[:0], made.samples),
        (made.genes, []),
    ):
        with pytest.raises(ValueError, match=r"order|twice|no genes"):
            TileWriter(tmp_path, genes, samples)
    with (
        pytest.raises(ValueError, match="2 of 3 samples"),
        TileWriter(tmp_path, made.genes, made.samples) as writer,
    ):
        writer.write(made.values[:2], made.origins[:2])
    with TileWriter(tmp_path, made.genes, made.samples) as writer:
        made.write_into(writer, [3])
        with pytest.raises(ValueError, match="More samples"):
            writer.write(made.values[:1], made.origins[:1])
        with pytest.raises(ValueError, match="are not some samples"):
            writer.write(made.values[:, :2], made.origins[:, :2])


def test_an_error_of_the_writing_thread_is_told(tmp_path: Path, small_blocks: int) -> None:
    made = example(12, 5)
    (tmp_path / block_name(1)).mkdir()
    with pytest.raises((duckdb.Error, OSError)):
        write(made, tmp_path, [12])


def test_the_callers_own_error_comes_through(tmp_path: Path, small_blocks: int) -> None:
    made = example(12, 5)
    with (  # noqa: PT012 — the error is to come from inside
        pytest.raises(KeyError, match="mine"),
        TileWriter(tmp_path, made.genes, made.samples) as writer,
    ):
        writer.write(made.values[:9], made.origins[:9])
        raise KeyError("mine")
    assert not (tmp_path / block_name(2)).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
from refinebio_assets.compendium.tiles import TileWriter
from refinebio_assets_tests.compendium.example_matrix import example
root = Path(sys.argv[1])
made = example(1500, 20)
(root / "new").mkdir()
with (
    TileWriter(root / "new/values", made.genes, made.samples) as tiles,
    LayeredH5ad(root / "new/H.h5ad", made.genes, made.samples) as h5ad,
):
    for writer in (tiles, h5ad):
        writer.write(made.values[:1200], made.origins[:1200])
    os.kill(os.getpid(), signal.SIGKILL)
(root / "new").rename(root / "1")
"""


def test_killed_midway_nothing_is_a_release(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, tmp_path]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
