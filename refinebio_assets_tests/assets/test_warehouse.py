"""The asset `warehouse`: what it tells of the catalogue, and its checks."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl

from refinebio_assets.assets.warehouse import warehouse
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.resources.warehouse_checks import CHECKS
from refinebio_assets_tests.resources.test_warehouse import fill


def checked(storage: Storage) -> dict[str, dg.AssetCheckEvaluation]:
    """The check results of one materialization."""
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"storage": storage, "warehouse_database": Warehouse()}
        done = dg.materialize([warehouse], instance=instance, resources=resources)
    return {each.check_name: each for each in done.get_asset_check_evaluations()}


def test_all_checks_pass(tmp_path: Path) -> None:
    storage = Storage(home=str(tmp_path / "home"))
    fill(storage)
    results = checked(storage)
    assert set(results) == set(CHECKS)
    assert all(each.passed for each in results.values())
    assert "nothing wrong" in (results["keys_are_unique"].description or "")


def test_a_sample_twice_fails_and_a_withdrawn_one_warns(tmp_path: Path) -> None:
    storage = Storage(home=str(tmp_path / "home"))
    fill(storage)
    path = storage.table_file("quantifications", "LAB-1")
    row = pl.read_parquet(path)
    row.with_columns(sample=pl.lit("s9")).write_parquet(path)
    gone = checked(storage)["references_hold"]
    assert not gone.passed
    assert gone.severity == dg.AssetCheckSeverity.WARN
    assert "quantifications: 1 values of (experiment, sample) that are not in samples" in (
        gone.description or ""
    )
    pl.concat([row, row]).write_parquet(path)
    twice = checked(storage)["keys_are_unique"]
    assert not twice.passed
    assert twice.severity == dg.AssetCheckSeverity.ERROR
    assert "LAB-1 s1" in (twice.description or "")
