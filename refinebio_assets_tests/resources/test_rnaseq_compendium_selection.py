"""Which runs a compendium is to have: what the catalogue knows, and what lies on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.resources.rnaseq_compendium_selection import (
    LINEAGE,
    QuantSelection,
    expected_runs,
    read_in_parts,
    select_runs,
)
from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import (
    ARRAYS,
    EXPERIMENTS,
    QUANTIFICATIONS,
    SAMPLE_ATTRIBUTES,
    SAMPLE_STATUS,
    SAMPLES,
    Table,
)

ORGANISM = "DANIO_RERIO"
MADE = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


class Catalogue:
    """Tables as the warehouse has them, and quant folders, run by run."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.database = duckdb.connect()
        for table in (EXPERIMENTS, SAMPLES, SAMPLE_STATUS, SAMPLE_ATTRIBUTES, ARRAYS):
            self.create(table)
        self.create(QUANTIFICATIONS)

    def create(self, table: Table, *left_out: str) -> None:
        columns = ", ".join(
            f"{each.name} {each.type}" for each in table.columns if each.name not in left_out
        )
        self.database.execute(f"CREATE OR REPLACE TABLE {table.name} ({columns})")

    def insert(self, table: str, **values: Any) -> None:
        marks = ", ".join("?" for _ in values)
        self.database.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})",  # noqa: S608
            list(values.values()),
        )

    def add(
        self,
        experiment: str,
        sample: str,
        *,
        quantified: bool = False,
        file: bool = False,
        status: str | None = None,
        record: Any = None,
        **values: Any,
    ) -> None:
        key = {"experiment": experiment, "sample": sample}
        row = {"organism": ORGANISM, "technology": "RNA-SEQ", **values}
        self.insert("samples", **key, **row)
        if status:
            self.insert("sample_status", **key, status=status, reason=f"It is {status}.")
        if quantified:
            made = {"salmon_version": "1.10.1", "raw_sha256": ["ab"], "recorded_at": MADE}
            self.insert("quantifications", **key, organism=ORGANISM, **made)
        if file:
            folder = self.storage.quant_folder(experiment, sample)
            folder.mkdir(parents=True)
            (folder / "quant.sf").write_text("whatever")
            if record is not None:
                (folder / "quantification.json").write_text(record)

    def select(self) -> QuantSelection:
        self.database.execute("DROP TABLE IF EXISTS wanted")
        return select_runs(ORGANISM, self.database, self.storage)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    found = Catalogue(Storage(home=str(tmp_path / "home")))
    yield found
    found.database.close()


def test_quantified_and_processed_ones_and_those_with_a_file(catalogue: Catalogue) -> None:
    catalogue.add("SRP1", "SRR1", quantified=True, file=True, status="processed")
    catalogue.add("SRP1", "SRR2", quantified=True, status="waiting")
    catalogue.add("SRP1", "SRR3", status="processed")
    catalogue.add("SRP1", "SRR4", file=True, status="failed")
    catalogue.add("SRP1", "SRR5", status="failed")
    catalogue.add("SRP2", "SRR6")
    catalogue.add("SRP2", "SRR7", quantified=True, organism="MUS_MUSCULUS")
    catalogue.add("SRP3", "GSM1", technology="MICROARRAY", status="processed")
    found = catalogue.select()
    assert found.runs.select("experiment", "sample", "status").rows() == [
        ("SRP1", "SRR1", "processed"),
        ("SRP1", "SRR2", "waiting"),
        ("SRP1", "SRR3", "processed"),
        ("SRP1", "SRR4", "failed"),
    ]
    assert found.runs["bytes"].to_list() == [8, None, None, 8]
    assert found.runs["salmon_version"].to_list() == ["1.10.1", "1.10.1", None, None]
    assert found.runs["recorded_at"][0] == MADE
    assert found.not_quantified.rows() == [
        ("SRP1", "SRR5", "It is failed."),
        ("SRP2", "SRR6", "It has not been processed."),
    ]
    # of the catalogue alone
    assert expected_runs(ORGANISM, catalogue.database) == [
        ("SRP1", "SRR1"),
        ("SRP1", "SRR2"),
        ("SRP1", "SRR3"),
    ]


def test_what_lies_beside_a_file_says_what_the_catalogue_does_not(catalogue: Catalogue) -> None:
    row = {
        "organism": "MUS_MUSCULUS",
        "salmon_version": "1.9.0",
        "raw_sha256": ["cd", "ef"],
        "recorded_at": MADE.isoformat(),
        "num_mapped": 12,
        "percent_mapped": 50,
    }
    catalogue.add("SRP1", "SRR1", file=True, record=json.dumps({"inputs": {}, "row": row}))
    [found] = catalogue.select().runs.to_dicts()
    assert found["index_organism"] == "MUS_MUSCULUS"
    assert found["raw_sha256"] == ["cd", "ef"]
    assert (found["recorded_at"], found["num_mapped"]) == (MADE, 12)
    assert found["layout"] is None


HALVES = st.just("\ud800")  # of a character
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | HALVES,
    lambda inner: (
        st.lists(HALVES, max_size=2)
        | st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.binary(max_size=20)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(["organism", *LINEAGE]), JSON).map(
        lambda row: json.dumps({"row": row}).encode()
    )
)
def test_nothing_that_lies_there_is_fatal(catalogue: Catalogue, content: bytes) -> None:
    if catalogue.database.execute("SELECT count(*) FROM samples").fetchall() == [(0,)]:
        catalogue.add("SRP1", "SRR1", file=True, record="")
    record = catalogue.storage.quant_folder("SRP1", "SRR1") / "quantification.json"
    record.write_bytes(content)
    assert catalogue.select().runs["sample"].to_list() == ["SRR1"]


def test_the_state_follows_all_that_can_be_told_without_reading(catalogue: Catalogue) -> None:
    catalogue.add("SRP1", "SRR1", quantified=True, file=True)
    path = catalogue.storage.quant_folder("SRP1", "SRR1") / "quant.sf"

    def state(whole_folders: bool = False) -> str:
        return catalogue.select().state(whole_folders=whole_folders)

    seen = [state()]
    assert state() == seen[0]
    catalogue.add("SRP2", "SRR9", status="failed")  # never quantified: no matter
    assert state() == seen[0]
    seen.append(state(whole_folders=True))
    os.utime(path, ns=(1, 1))
    seen.append(state())
    path.write_text("more than it was")
    os.utime(path, ns=(1, 1))
    seen.append(state())
    catalogue.insert("sample_attributes", experiment="SRP1", sample="SRR1", key="k", value="v")
    seen.append(state())
    path.unlink()
    seen.append(state())
    assert len(set(seen)) == len(seen)


def test_single_cells_are_told_where_the_catalogue_knows(catalogue: Catalogue) -> None:
    catalogue.add("SRP1", "SRR1", quantified=True)
    name = "single_cell_probability"
    catalogue.create(QUANTIFICATIONS, name)
    catalogue.insert("quantifications", experiment="SRP1", sample="SRR1", organism=ORGANISM)
    assert catalogue.select().runs[name].to_list() == [None]
    catalogue.database.execute(f"ALTER TABLE quantifications ADD COLUMN {name} DOUBLE DEFAULT 0.75")
    assert catalogue.select().runs[name].to_list() == [0.75]


def test_without_any_there_is_nothing(catalogue: Catalogue) -> None:
    catalogue.add("SRP1", "SRR1", status="failed")
    with pytest.raises(NothingToDeliver, match="No RNA-seq sample"):
        catalogue.select()


def test_records_come_in_parts_by_experiment(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, list[str]] = {}
    for number in range(9):
        experiment = f"SRP{number // 3}"
        if not number % 3:
            catalogue.insert("experiments", experiment=experiment, title=f"µ {experiment}")
        catalogue.add(experiment, f"SRR{number}", quantified=True, title=f"t{number}")
        wanted.setdefault(experiment, []).append(f"SRR{number}")
    module = "refinebio_assets.resources.rnaseq_compendium_selection.SAMPLES_AT_A_TIME"
    monkeypatch.setattr(module, 6)
    parts = list(read_in_parts(wanted, catalogue.database))
    assert [len(samples) for _, samples in parts] == [6, 3]
    titles = {each.accession: each.title for experiments, _ in parts for each in experiments}
    assert titles == {name: f"µ {name}" for name in wanted}
    records = {key: each for _, samples in parts for key, each in samples.items()}
    assert {key: each.title for key, each in records.items()} == {
        (f"SRP{number // 3}", f"SRR{number}"): f"t{number}" for number in range(9)
    }
