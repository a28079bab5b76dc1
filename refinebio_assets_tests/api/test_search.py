"""Searching experiments: words, filters, facets, and both ways to ask."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from refinebio_assets_tests.api.conftest import ORGANISM


def search(client: TestClient, **parameters: Any) -> Any:
    answer = client.get("/v1/search/", params=parameters)
    assert answer.status_code == 200, answer.text
    posted = client.post("/v1/search", json=parameters)
    assert posted.status_code == 200, posted.text
    fields = ("count", "results", "facets")
    assert [posted.json()[name] for name in fields] == [answer.json()[name] for name in fields]
    return answer.json()


def found(answer: Any) -> list[str]:
    return [each["accession_code"] for each in answer["results"]]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["LAB-A", "LAB-B", "LAB-R"]),
        ({"search": ""}, ["LAB-A", "LAB-B", "LAB-R"]),
        ({"search": "?!"}, ["LAB-A", "LAB-B", "LAB-R"]),
        ({"search": "LAB-B"}, ["LAB-B"]),
        ({"search": "b2"}, ["LAB-B"]),
        ({"search": ["lab", "r1"]}, ["LAB-R"]),
        ({"search": "accession_code:lab-a"}, ["LAB-A"]),
        ({"search": "title:lab-a"}, []),
        ({"search": "unheard"}, []),
        ({"search": "Human Genome U133A"}, ["LAB-A", "LAB-B"]),
        ({"search": "'; DROP TABLE samples; --"}, []),
        ({"technology": "rna-seq"}, ["LAB-R"]),
        ({"technology": ["RNA-SEQ", "microarray"]}, ["LAB-A", "LAB-B", "LAB-R"]),
        ({"platform": "hgu133a"}, ["LAB-A", "LAB-B"]),
        ({"organism": "MUS_MUSCULUS"}, []),
        ({"downloadable_organism": ORGANISM}, ["LAB-A", "LAB-B", "LAB-R"]),
        ({"has_publication": "true"}, []),
        ({"num_processed_samples__gt": 2}, ["LAB-A"]),
        ({"num_downloadable_samples__range": "1__2"}, ["LAB-B", "LAB-R"]),
        ({"num_downloadable_samples__in": "1__3"}, ["LAB-A", "LAB-R"]),
        ({"accession_code__in": "LAB-A__LAB-R"}, ["LAB-A", "LAB-R"]),
        ({"accession_code": ["LAB-A", "LAB-R"], "technology": "rna-seq"}, ["LAB-R"]),
        ({"sample_keywords": "liver"}, []),
    ],
)
def test_what_is_found(client: TestClient, parameters: Any, expected: list[str]) -> None:
    assert sorted(found(search(client, **parameters))) == expected


def test_the_larger_comes_first(client: TestClient) -> None:
    answer = search(client)
    sizes = [each["num_total_samples"] for each in answer["results"]]
    assert sizes == sorted(sizes, reverse=True)
    up = search(client, ordering="num_total_samples")
    assert [each["num_total_samples"] for each in up["results"]] == sorted(sizes)
    [first] = search(client, limit=1)["results"]
    assert first == answer["results"][0]


def test_facets_count_downloadable_samples(client: TestClient) -> None:
    """Also those of platforms that the words did not ask for, of experiments that match."""
    assert search(client)["facets"] == {
        "technology": {"microarray": 5, "rna-seq": 1},
        "downloadable_organism_names": {ORGANISM: 6},
        "platform_accession_codes": {"hgu133a": 5},
        "has_publication": {"false": 6},
    }
    assert search(client, search="b1")["facets"]["technology"] == {"microarray": 2}
    assert search(client, search="unheard")["facets"]["technology"] == {}
    everything = search(client, search="b1", facet=["technology_global", "nothing"])["facets"]
    assert everything["technology_global"] == {"microarray": 5, "rna-seq": 1}
    assert len(everything) == 5


@pytest.mark.parametrize("value", [None, {"a": 1}, [None], [[]]])
def test_values_that_cannot_be_are_refused(client: TestClient, value: Any) -> None:
    answer = client.post("/v1/search/", json={"technology": value})
    assert answer.status_code == 400
    assert answer.json()["error_type"] == "invalid_filters"
    assert answer.json()["details"] == ["technology"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/search/", content=body)
    assert (answer.status_code, answer.json()["error_type"]) == (400, "bad_request")
