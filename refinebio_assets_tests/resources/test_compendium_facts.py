"""Facts for the rules of a compendium, asked from a catalogue of a few samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from refinebio_assets.compendium.exclusion import (
    Decisions,
    ExclusionRules,
    SampleFacts,
    excluded_samples,
)
from refinebio_assets.matrix.tables import frame, write_parquet
from refinebio_assets.metadata.platforms import MICROARRAY, RNA_SEQ
from refinebio_assets.resources.compendium_facts import facts_of
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.sources.records import Attribute, Experiment, Sample, write_experiment
from refinebio_assets.tables import ARRAYS, QUANTIFICATIONS, RNASEQ_PROFILES, Table

LINEAGE: dict[str, Any] = {
    "code_version": "0.1",
    "run_id": "run",
    "recorded_at": datetime(2026, 1, 2, tzinfo=UTC),
}
MAN, MOUSE = "HOMO_SAPIENS", "MUS_MUSCULUS"
GONE = "This series has been withdrawn by its authors."


def sample(name: str, *statuses: str, source: str = "GEO", **more: Any) -> Sample:
    attributes = tuple(Attribute("status", text) for text in statuses)
    given: dict[str, Any] = {"technology": RNA_SEQ, "organism": MAN, "title": name, **more}
    return Sample(sample=name, source_database=source, attributes=attributes, **given)


def publish(storage: Storage, experiment: Experiment) -> None:
    path = storage.table_file("experiments", experiment.experiment)
    with storage.publish_file(path) as staged:
        write_experiment(experiment, staged, **LINEAGE)


def write_rows(storage: Storage, table: Table, experiment: str, rows: list[dict[str, Any]]) -> None:
    complete = [{"experiment": experiment, "organism": MAN, **LINEAGE, **row} for row in rows]
    with storage.publish_file(storage.table_file(table.name, experiment)) as staged:
        write_parquet(frame(table, complete), staged)


@pytest.fixture
def storage(tmp_path: Any) -> Storage:
    """Reads of two experiments at SRA and GEO, arrays of three, a mouse, a sample never made."""
    storage = Storage(home=str(tmp_path / "home"))
    reads = Experiment(
        "SRP000001",
        "SRA",
        (
            sample("SRR1", "public", "5", source="SRA"),
            sample("SRR2", "7", source="SRA"),
            sample("SRR3", source="SRA"),
        ),
        "0" * 64,
        title="Blood was withdrawn",
        description="Cells.",
    )
    publish(storage, reads)
    numbers = {"num_mapped": 10**6, "percent_mapped": 80.0}
    made = [{"sample": name, **numbers} for name in ("SRR1", "SRR2", "SRR3")]
    write_rows(storage, QUANTIFICATIONS, "SRP000001", made)
    profiles = [
        {"sample": "SRR1", "single_cell_probability": 0.97},
        {"sample": "SRR2", "single_cell_probability": 0.03},
    ]
    write_rows(storage, RNASEQ_PROFILES, "SRP000001", profiles)

    arrays = Experiment(
        "GSE2",
        "GEO",
        (
            sample("GSM1", "Public on Jan 01 2009", "5", technology=MICROARRAY),
            sample("GSM2", "5", technology=MICROARRAY),
            sample("GSM3", technology=MICROARRAY),
            sample("GSM9", technology=MICROARRAY),
        ),
        "0" * 64,
    )
    publish(storage, arrays)
    correlations = [("GSM1", 0.95), ("GSM2", 0.94), ("GSM3", 0.2)]
    write_rows(
        storage,
        ARRAYS,
        "GSE2",
        [
            {"sample": name, "correlation": each, "percent_saturated": 0.5}
            for name, each in correlations
        ],
    )
    two = replace(
        arrays,
        experiment="GSE3",
        description=GONE,
        samples=tuple(sample(name, technology=MICROARRAY) for name in ("GSM4", "GSM5")),
    )
    publish(storage, two)
    unlike = [{"sample": name, "correlation": 0.1} for name in ("GSM4", "GSM5")]
    write_rows(storage, ARRAYS, "GSE3", unlike)
    mouse = replace(
        arrays,
        experiment="GSE4",
        samples=(sample("GSM6", technology=MICROARRAY, organism=MOUSE),),
    )
    publish(storage, mouse)
    write_rows(storage, ARRAYS, "GSE4", [{"sample": "GSM6", "organism": MOUSE}])
    Warehouse().build(storage)
    return storage


def test_facts_of_every_processed_sample(storage: Storage) -> None:
    with Warehouse().connect(storage) as database:
        found = facts_of(database, [MAN])
        assert facts_of(database, [MOUSE]) == {("GSE4", "GSM6"): SampleFacts()}
        assert len(facts_of(database, [MAN, MOUSE])) == 9
        assert facts_of(database, []) == {}
    reads = SampleFacts(percent_mapped=80.0, num_mapped=10**6, texts=("Blood was withdrawn",))
    array = SampleFacts(percent_saturated=0.5)
    assert found == {
        ("SRP000001", "SRR1"): replace(reads, single_cell_probability=0.97, status="public"),
        ("SRP000001", "SRR2"): replace(
            reads, single_cell_probability=0.03, status="temporarily suppressed"
        ),
        ("SRP000001", "SRR3"): reads,
        ("GSE2", "GSM1"): replace(array, correlation=0.95, status="Public on Jan 01 2009"),
        ("GSE2", "GSM2"): replace(array, correlation=0.94, status="5"),
        ("GSE2", "GSM3"): replace(array, correlation=0.2),
        ("GSE3", "GSM4"): SampleFacts(texts=(GONE,)),
        ("GSE3", "GSM5"): SampleFacts(texts=(GONE,)),
    }


def test_the_rules_follow_from_the_facts(storage: Storage) -> None:
    with Warehouse().connect(storage) as database:
        facts = facts_of(database, [MAN])
    found = excluded_samples(facts, ExclusionRules(), Decisions({}, {}))
    assert {key: why.rule for key, why in found.items()} == {
        ("SRP000001", "SRR1"): "single_cell",
        ("SRP000001", "SRR2"): "withdrawn",
        ("GSE2", "GSM3"): "failed_check",
        ("GSE3", "GSM4"): "withdrawn",
        ("GSE3", "GSM5"): "withdrawn",
    }


def test_a_home_without_profiles_has_a_catalogue(storage: Storage) -> None:
    """Nor are they in `quantifications` that were written before there were any."""
    [profiles] = storage.processed("rnaseq_profiles").glob("*.parquet")
    profiles.unlink()
    path = storage.table_file("quantifications", "SRP000001")
    older = frame(QUANTIFICATIONS, [{"experiment": "SRP000001", "sample": "SRR1", "organism": MAN}])
    with storage.publish_file(path) as staged:
        write_parquet(older.drop("single_cell_probability"), staged)
    Warehouse().build(storage)
    with Warehouse().connect(storage) as database:
        facts = facts_of(database, [MAN])
        rows = database.execute("SELECT single_cell_probability FROM quantifications").fetchall()
    assert rows == [(None,)]
    assert facts["SRP000001", "SRR1"].single_cell_probability is None
    assert not any(
        why.rule == "single_cell"
        for why in excluded_samples(facts, ExclusionRules(), Decisions({}, {})).values()
    )
