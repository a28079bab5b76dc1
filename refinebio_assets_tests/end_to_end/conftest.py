"""A home folder with built references, copied for every test, and a Dagster instance."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from refinebio_assets.partitions import register_experiments, register_organisms
from refinebio_assets.resources.registry import register_references, register_sample_sheet
from refinebio_assets.resources.storage import Storage
from refinebio_assets.running import BatchResult, run_job
from refinebio_assets_tests.synthetic import Transcriptome, make_transcriptome, write_catalogue

HUMAN = make_transcriptome("HOMO_SAPIENS", seed=1)
MOUSE = make_transcriptome("MUS_MUSCULUS", seed=2)


@dataclass
class Laboratory:
    """One installation, used as a person would."""

    home: Path
    inputs: Path
    instance: dg.DagsterInstance

    @property
    def storage(self) -> Storage:
        return Storage(home=str(self.home))

    def survey(self, sheet: Path) -> list[str]:
        return register_experiments(self.instance, register_sample_sheet(self.storage, str(sheet)))

    def process(self, *experiments: str, **config: Any) -> list[BatchResult]:
        settings = {"ops": {"experiments": {"config": {"retry_seconds": 0, **config}}}}
        return list(run_job(self.instance, "process_experiments", list(experiments), settings))

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        [batch] = run_job(self.instance, "build_warehouse", [])
        assert batch.errors == []
        with duckdb.connect(self.storage.catalogue(), read_only=True) as database:
            return database.execute(sql, values).fetchall()

    def statuses(self) -> dict[str, tuple[str, str | None]]:
        found = self.ask("SELECT sample, status, reason_code FROM sample_status")
        return {sample: (status, code) for sample, status, code in found}


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References of two organisms, built once through Dagster."""
    home = tmp_path_factory.mktemp("built")
    catalogue = write_catalogue(home / "inputs", HUMAN, MOUSE)
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(home / "home"))
        found = register_references(Storage(), str(catalogue)).organisms
        organisms = [each.organism for each in found]
        register_organisms(instance, organisms)
        for organism in organisms:
            [batch] = run_job(instance, "build_references", [organism])
            assert batch.errors == []
    return home


@pytest.fixture
def laboratory(
    built_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Laboratory]:
    shutil.copytree(built_home / "home", tmp_path / "home")
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    (tmp_path / "inputs").mkdir()
    with dg.instance_for_test() as instance:
        yield Laboratory(tmp_path / "home", tmp_path / "inputs", instance)


__all__ = ["HUMAN", "MOUSE", "Laboratory", "Transcriptome"]
