"""Whether a catalogue is as declared: each fault is named, and by the right check."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.resources.warehouse_checks import CHECKS, Finding, check_catalogue
from refinebio_assets.tables import CATALOGUE, Table
from refinebio_assets_tests.resources.test_warehouse import fill

DECLARED = pytest.mark.parametrize("table", CATALOGUE, ids=lambda table: table.name)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A home with one experiment, and its catalogue."""
    storage = Storage(home=str(tmp_path / "home"))
    fill(storage)
    Warehouse().build(storage)
    return storage


def wrong(storage: Storage, *statements: str) -> list[Finding]:
    """What is wrong after some statements."""
    with duckdb.connect(storage.catalogue()) as database:
        for statement in statements:
            database.execute(statement)
        return [each for each in check_catalogue(database, storage) if each.num_wrong]


@DECLARED
def test_keys_and_references_are_columns(table: Table) -> None:
    others = {each.name: each for each in CATALOGUE}
    assert set(table.key) <= set(table.column_names())
    for reference in table.references:
        assert set(reference.columns) <= set(table.column_names())
        assert set(reference.columns) <= set(others[reference.table].key)


def test_a_sound_catalogue_of_something_and_of_nothing(storage: Storage, tmp_path: Path) -> None:
    empty = Storage(home=str(tmp_path / "empty"))
    Warehouse().build(empty)
    for each in (storage, empty):
        findings = Warehouse().check(each)
        assert [str(finding) for finding in findings if finding.num_wrong] == []
        assert {finding.check for finding in findings} == set(CHECKS)
        assert list((each.root / "staging").iterdir()) == []


def test_every_declared_key_is_asked_for(storage: Storage) -> None:
    asked = {each.table for each in Warehouse().check(storage) if each.check == "keys_are_unique"}
    keyed = {table.name for table in CATALOGUE if table.key}
    assert keyed - asked == {"compendium_expression"}


def test_rows_of_the_same_key(storage: Storage) -> None:
    [finding] = wrong(storage, "INSERT INTO samples FROM samples WHERE sample = 's1'")
    assert (finding.check, finding.is_error) == ("keys_are_unique", True)
    assert str(finding) == (
        "samples: 1 values of (experiment, sample) that are in several rows, or incomplete: "
        "LAB-1 s1"
    )


def test_a_key_that_is_not_given(storage: Storage) -> None:
    [finding] = wrong(storage, "UPDATE genes SET gene = NULL WHERE gene = 'G1'")
    assert (finding.check, finding.table) == ("keys_are_unique", "genes")
    assert finding.examples == ("HOMO_SAPIENS –",)


def test_what_is_referred_to_is_gone(storage: Storage) -> None:
    findings = wrong(storage, "DELETE FROM samples WHERE sample = 's1'")
    assert {each.check for each in findings} == {"references_hold"}
    severe = {each.table: each.is_error for each in findings}
    assert severe == {
        "sample_attributes": True,
        "sample_files": True,
        "sample_status": True,
        "quantifications": False,  # a sample may be withdrawn at its source
        "expression": False,
        "gene_counts": False,
    }
    assert all(each.examples == ("LAB-1 s1",) for each in findings)


def test_values_in_rows_of_the_same_gene_and_sample(storage: Storage) -> None:
    [path] = storage.expression_files("RNA-SEQ", "LAB-1")
    kept = storage.root / "kept.parquet"
    path.rename(kept)
    duckdb.sql(f"COPY (FROM '{kept}' UNION ALL FROM '{kept}') TO '{path}' (FORMAT parquet)")
    findings = wrong(storage)
    assert [(each.check, each.table, each.num_wrong) for each in findings] == [
        ("keys_are_unique", "expression", 2),
        ("keys_are_unique", "gene_counts", 2),
    ]
    assert findings[0].examples == ("LAB-1 s1 G1", "LAB-1 s1 G2")


def test_a_column_of_another_type_and_one_without_comment(storage: Storage) -> None:
    findings = wrong(
        storage,
        "ALTER TABLE genes ALTER num_transcripts TYPE BIGINT",
        "COMMENT ON COLUMN samples.title IS NULL",
    )
    assert [(each.table, each.examples) for each in findings] == [
        ("samples", ("title",)),
        ("genes", ("num_transcripts",)),
    ]
    assert {each.check for each in findings} == {"columns_as_declared"}


def test_files_without_experiment_and_experiments_without_file(storage: Storage) -> None:
    [path] = storage.expression_files("RNA-SEQ", "LAB-1")
    path.rename(path.with_name("LAB-7.parquet"))
    findings = {each.table: each for each in wrong(storage) if each.check == "files_are_known"}
    assert findings["expression"].examples == ("LAB-7",)
    assert not findings["expression"].is_error
    assert findings["sample_status"].examples == ("LAB-1",)
    assert findings["sample_status"].is_error


def test_only_the_first_examples_are_named(storage: Storage) -> None:
    many = "INSERT INTO genes SELECT 'X', 'G' || i, NULL, 1 FROM range(9) AS r(i)"
    [finding] = wrong(storage, many, many, "INSERT INTO organisms (organism) VALUES ('X')")
    assert finding.num_wrong == 9
    assert str(finding).endswith("incomplete: X G0, X G1, X G2, …")
