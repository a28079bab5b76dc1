"""The declarations of the published tables, and that rows are written as declared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from refinebio_assets.errors import TruncatedFastq, UnexpectedError
from refinebio_assets.matrix.tables import frame, polars_schema, write_parquet
from refinebio_assets.sample_status import SampleStatus, write_statuses
from refinebio_assets.tables import CATALOGUE, Column, Table

DECLARED = pytest.mark.parametrize("table", CATALOGUE, ids=lambda table: table.name)


def test_table_names_are_unique() -> None:
    names = [table.name for table in CATALOGUE]
    assert len(set(names)) == len(names)


@DECLARED
def test_every_table_and_column_has_a_meaning(table: Table) -> None:
    names = table.column_names()
    assert len(set(names)) == len(names)
    assert table.meaning.endswith(".")
    for column in table.columns:
        assert column.name.isidentifier()
        assert column.name.islower()
        assert column.meaning


def test_the_unit_is_part_of_the_comment() -> None:
    assert Column("length", "DOUBLE", "Length", "bases").comment == "Length [bases]"
    assert Column("length", "DOUBLE", "Length").comment == "Length"


@DECLARED
def test_a_written_table_has_the_declared_types(tmp_path: Path, table: Table) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(frame(table, []), path)
    described = duckdb.sql(f"DESCRIBE FROM '{path}'").fetchall()
    assert [row[:2] for row in described] == [(each.name, each.type) for each in table.columns]


def test_keys_that_are_not_given_are_null_and_others_are_dropped() -> None:
    table = Table("t", "T.", (Column("a", "INTEGER", "A"), Column("b", "VARCHAR[]", "B")))
    rows = frame(table, [{"b": ["x"], "c": 1}, {"a": 2}])
    assert rows.rows() == [(None, ["x"]), (2, None)]
    assert rows.schema == pl.Schema(polars_schema(table))


def test_statuses_say_whose_fault_it_is(tmp_path: Path) -> None:
    statuses = [
        SampleStatus("good", "processed"),
        SampleStatus.of_error("cut", TruncatedFastq("It ends early.")),
        SampleStatus.of_error("unlucky", UnexpectedError("A fault.", remedy="Wait.")),
    ]
    path = tmp_path / "status.parquet"
    now = datetime(2026, 1, 2, tzinfo=UTC)
    write_statuses(
        statuses,
        path,
        experiment="LAB-1",
        stage="raw_samples",
        code_version="0.1",
        run_id="r",
        recorded_at=now,
    )
    found = pl.read_parquet(path)
    assert found.select("sample", "status", "reason_code", "reason", "remedy").rows() == [
        ("good", "processed", None, None, None),
        ("cut", "failed", "truncated_fastq", "It ends early.", TruncatedFastq.remedy),
        ("unlucky", "waiting", "unexpected_error", "A fault.", "Wait."),
    ]
    assert set(found["recorded_at"]) == {now}
