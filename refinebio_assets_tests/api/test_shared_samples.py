"""A sample of two experiments is one: told once, counted once, processed if it is in either."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from fastapi.testclient import TestClient

from refinebio_assets.api.app import create_app
from refinebio_assets_tests.api.conftest import UNLIMITED
from refinebio_assets_tests.api.test_catalogue import Home
from refinebio_assets_tests.api.test_catalogue import empty as empty
from refinebio_assets_tests.api.test_catalogue import home as home

ORGANISM, OTHER = "HOMO_SAPIENS", "MUS_MUSCULUS"
# Experiment, sample, organism, technology, status; humans have a target.
ROWS = [
    ("E1", "s1", ORGANISM, "MICROARRAY", "processed"),
    ("E1", "s2", ORGANISM, "MICROARRAY", "waiting"),
    ("E2", "s2", ORGANISM, "MICROARRAY", "processed"),
    ("E2", "s3", ORGANISM, "RNA-SEQ", "processed"),
    ("E2", "s4", OTHER, "RNA-SEQ", "processed"),
    ("E3", "s5", ORGANISM, "RNA-SEQ", "failed"),
]


@pytest.fixture
def client(home: Home) -> TestClient:
    home.build("E1")
    with duckdb.connect(home.storage.catalogue()) as database:
        database.execute("DELETE FROM experiments")
        for name in ("E1", "E2", "E3"):
            rows = [row for row in ROWS if row[0] == name]
            database.execute(
                "INSERT INTO experiments (experiment, technology, organisms, recorded_at) "
                "VALUES (?, ?, ?, now())",
                [
                    name,
                    ";".join(sorted({row[3] for row in rows})),
                    sorted({row[2] for row in rows}),
                ],
            )
        for experiment, sample, organism, technology, status in ROWS:
            database.execute(
                "INSERT INTO samples (experiment, sample, organism, technology, platform) "
                "VALUES (?, ?, ?, ?, 'p1')",
                [experiment, sample, organism, technology],
            )
            database.execute(
                "INSERT INTO sample_status (experiment, sample, status, recorded_at) "
                "VALUES (?, ?, ?, now())",
                [experiment, sample, status],
            )
        database.execute(
            "INSERT INTO qn_targets (organism, version, is_current, recorded_at) "
            "VALUES (?, 1, true, now())",
            [ORGANISM],
        )
    return TestClient(create_app(home.storage, settings=UNLIMITED))


def facets(client: TestClient, **parameters: Any) -> Any:
    return client.get("/v1/search/", params=parameters).json()["facets"]


def test_it_is_told_once(client: TestClient) -> None:
    found = client.get("/v1/samples/").json()
    assert [each["accession_code"] for each in found["results"]] == ["s1", "s2", "s3", "s4", "s5"]
    sample = client.get("/v1/samples/s2/").json()
    assert sample["is_processed"] is True
    assert sample["experiment_accession_codes"] == ["E1", "E2"]
    first = client.get("/v1/experiments/E1/").json()
    assert first["num_processed_samples"] == first["num_downloadable_samples"] == 2
    assert client.get("/v1/experiments/E2/").json()["num_downloadable_samples"] == 2
    assert client.get("/v1/experiments/E3/").json()["samples"][0]["is_unable_to_be_processed"]


def test_it_is_counted_once(client: TestClient) -> None:
    """By experiments' values: s2 is in E1 and E2, s4 has no target, E3 has nothing to download."""
    every = facets(client)
    assert every["technology"] == {"microarray": 3, "rna-seq": 2}
    assert every["downloadable_organism_names"] == {ORGANISM: 3}
    assert every["platform_accession_codes"] == {"p1": 3}
    assert every["has_publication"] == {"false": 3}
    assert facets(client, accession_code="E3")["technology"] == {"rna-seq": 0}
    assert facets(client, accession_code="E1")["platform_accession_codes"] == {"p1": 2}
    assert facets(client, technology="rna-seq")["has_publication"] == {"false": 2}
