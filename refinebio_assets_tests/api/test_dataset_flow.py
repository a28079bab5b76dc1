"""Datasets through the API: what may be asked, by whom, what can change when, and the end."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from refinebio_assets.api.app import create_app
from refinebio_assets.api.requests_store import open_store
from refinebio_assets.resources.datasets import dataset_folder, request_of
from refinebio_assets_tests.api.conftest import UNLIMITED, Server
from refinebio_assets_tests.end_to_end.conftest import Laboratory

EMAIL = "somebody@example.org"


def post(client: TestClient, status: int = 201, **body: Any) -> Any:
    answer = client.post("/v1/dataset/", json=body, headers=body.pop("headers", {}))
    assert answer.status_code == status, answer.text
    return answer.json()


def put(client: TestClient, name: str, status: int = 200, **body: Any) -> Any:
    headers = body.pop("headers", {})
    answer = client.put(f"/v1/dataset/{name}/", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def token(client: TestClient) -> dict[str, str]:
    made = client.post("/v1/token/", json={"is_activated": True})
    assert made.status_code == 201
    return {"API-KEY": made.json()["id"]}


def test_tokens(client: TestClient) -> None:
    made = client.post("/v1/token")  # without a body, as scripts do
    assert made.status_code == 201
    told = made.json()
    assert told["is_activated"] is False
    assert str(uuid.UUID(told["id"])) == told["id"]
    assert client.get(f"/v1/token/{told['id']}").json() == told
    accepted = client.put(f"/v1/token/{told['id']}/", json={"is_activated": True}).json()
    assert accepted == {**told, "is_activated": True}
    refused = client.put(f"/v1/token/{told['id']}/", json={"is_activated": "yes"})
    assert (refused.status_code, refused.json()["details"]) == (400, "is_activated")
    extra = client.post("/v1/token/", json={"email_address": None})  # as pyrefinebio does
    assert extra.status_code == 201


@pytest.mark.parametrize(
    ("body", "kind", "details"),
    [
        ({}, "required", "data"),
        ({"data": []}, "invalid_data", None),
        ({"data": {"LAB-A": "ALL"}}, "invalid_data", "LAB-A"),
        ({"data": {"LAB-A": []}}, "invalid_data", "LAB-A"),
        ({"data": {"LAB-A": ["a1", "a1"]}}, "invalid_data", "LAB-A"),
        ({"data": {"LAB-A": [1]}}, "invalid_data", "LAB-A"),
        ({"data": {"LAB-A": ["nobody", "a1"]}}, "invalid_data", ["nobody"]),
        ({"data": {"LAB-A": ["b1"]}}, "invalid_data", ["b1"]),
        ({"data": {"LAB-B": ["bad", "b1"]}}, "invalid_data", ["bad"]),
        ({"data": {"LAB-X": ["ALL"]}}, "invalid_data", ["LAB-X"]),
        ({"data": {"LAB-A": ["a1"]}, "quant_sf_only": True}, "invalid_data", ["a1"]),
        ({"data": {"LAB-A": ["ALL"]}, "quant_sf_only": True}, "invalid_data", ["LAB-A"]),
        ({"data": {}, "start": True}, "invalid_data", None),
        ({"data": {}, "aggregate_by": "GENE"}, "invalid_choice", "aggregate_by"),
        ({"data": {}, "scale_by": ["NONE"]}, "invalid_choice", "scale_by"),
        ({"data": {}, "quantile_normalize": "yes"}, "invalid", "quantile_normalize"),
        ({"data": {}, "email_address": "me"}, "invalid", "email_address"),
        ({"data": {}, "start": "now"}, "invalid", "start"),
    ],
)
def test_what_cannot_be_asked(client: TestClient, body: Any, kind: str, details: Any) -> None:
    refused = post(client, 400, **body)
    assert (refused["error_type"], refused["details"]) == (kind, details)


def test_a_draft_changes_freely(client: TestClient) -> None:
    made = post(client, data={"LAB-B": ["ALL"], "LAB-A": ["a2", "a1"]}, scale_by="ROBUST")
    assert made["data"] == {"LAB-B": ["b1", "b2"], "LAB-A": ["a2", "a1"]}
    assert list(made["data"]) == ["LAB-B", "LAB-A"]
    assert made["is_processing"] is made["is_processed"] is made["start"] is False
    assert made["success"] is None
    assert made["has_email"] is False
    assert "download_url" not in made
    assert not {"email_address", "notify_me", "experiments"} & set(made)
    changed = put(client, made["id"], data={"LAB-R": ["r1"]}, email_address=EMAIL)
    assert changed["scale_by"] == "ROBUST"
    assert changed["has_email"] is True
    found = client.get(f"/v1/dataset/{made['id']}?details").json()
    assert found["data"] == {"LAB-R": ["r1"]}
    assert found["organism_samples"] == {"HOMO_SAPIENS": ["r1"]}
    assert [each["accession_code"] for each in found["experiments"]] == ["LAB-R"]
    assert client.get(f"/v1/samples/?dataset_id={made['id']}").json()["count"] == 1


def test_to_start_needs_a_token_and_an_address(client: TestClient) -> None:
    body = {"data": {"LAB-A": ["a1", "a2"]}, "start": True}
    assert post(client, 400, **body, email_address=EMAIL)["error_type"] == "invalid_token"
    sleeping = client.post("/v1/token/").json()["id"]
    refused = post(client, 400, **body, email_address=EMAIL, token_id=sleeping)
    assert refused["error_type"] == "invalid_token"
    draft = post(client, data={"LAB-A": ["a1", "a2"]}, email_address=EMAIL)
    refused = put(client, draft["id"], 400, **body, headers=token(client))
    assert refused["error_type"] == "invalid_email"  # it must be in this very request


def test_from_start_to_the_zip(client: TestClient, server: Server) -> None:
    headers = token(client)
    body = {"data": {"LAB-A": ["a3", "a1"]}, "scale_by": "MINMAX"}
    draft = post(client, **body)
    started = put(client, draft["id"], **body, start=True, email_address=EMAIL, headers=headers)
    assert started["is_processing"] is True
    assert started["download_url"] is None
    busy = put(client, draft["id"], 400, data={"LAB-R": ["r1"]})
    assert busy["error_type"] == "invalid_email"
    other = put(client, draft["id"], data={"LAB-R": ["r1"]}, email_address="other@example.org")
    assert other["data"] == {"LAB-A": ["a3", "a1"]}
    assert server.make_datasets() == 1
    made = client.get(f"/v1/dataset/{draft['id']}/", headers=headers).json()
    assert made["is_processed"] is made["is_available"] is made["success"] is True
    assert made["is_processing"] is False
    content = client.get(made["download_url"])
    assert content.headers["Content-Length"] == str(made["size_in_bytes"])
    assert "Content-Encoding" not in content.headers
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        header = archive.read("LAB-A/LAB-A.tsv").split(b"\n")[0]
        recipe = json.loads(archive.read("aggregated_metadata.json"))
    assert header == b"Gene\ta3\ta1"
    assert recipe["scale_by"] == "MINMAX"
    assert put(client, draft["id"], 400, **body)["error_type"] == "bad_request"
    [job] = client.get("/v1/jobs/processor/?pipeline_applied=SMASHER").json()["results"][:1]
    assert job["datasets"] == [draft["id"]]
    again = post(client, **body, start=True, email_address=EMAIL, headers=headers)
    assert again["is_processed"] is True  # the same, of the same data, is there already


def test_a_failure_is_told(client: TestClient, installation: Laboratory) -> None:
    body = {"data": {"LAB-A": ["a2", "a1"]}, "start": True, "email_address": EMAIL}
    headers = token(client)
    started = post(client, **body, headers=headers)
    store = open_store(None, installation.storage.root / "api" / "requests.sqlite")
    wish = store.dataset(started["id"])
    assert wish is not None
    assert wish.made_as is not None
    assert request_of(installation.storage, wish.made_as).recipe.samples == {"LAB-A": ("a2", "a1")}
    record = dataset_folder(installation.storage, wish.made_as) / "dataset.json"
    record.write_text(json.dumps({"status": "failed", "reason": "No luck."}))
    failed = client.get(f"/v1/dataset/{started['id']}/").json()
    assert failed["success"] is False
    assert failed["is_processing"] is failed["is_processed"] is False
    assert failed["failure_reason"] == "No luck."
    changed = put(client, started["id"], data={"LAB-A": ["a1"]})
    assert changed["success"] is None


def test_a_server_that_starts_again_knows_all(client: TestClient, installation: Laboratory) -> None:
    draft = post(client, data={"LAB-A": ["a1"]})
    headers = token(client)
    other: FastAPI = create_app(installation.storage, installation.instance, settings=UNLIMITED)
    again = TestClient(other).get(f"/v1/dataset/{draft['id']}/", headers=headers).json()
    assert again == {**draft, "download_url": None}


def test_a_run_that_was_killed_is_a_failure(
    client: TestClient, installation: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    from refinebio_assets.definitions import defs
    from refinebio_assets.partitions import range_tags, register_datasets

    body = {"data": {"LAB-B": ["b2", "b1"]}, "start": True, "email_address": EMAIL}
    started = post(client, **body, headers=token(client))
    store = open_store(None, installation.storage.root / "api" / "requests.sqlite")
    wish = store.dataset(started["id"])
    assert wish is not None
    assert wish.made_as is not None
    instance = installation.instance
    register_datasets(instance, [wish.made_as])
    run = instance.create_run_for_job(
        defs.resolve_job_def("make_datasets"), tags=range_tags(wish.made_as, wish.made_as)
    )
    assert client.get(f"/v1/dataset/{started['id']}/").json()["is_processing"] is True
    instance.report_run_failed(run, "killed")
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    told = client.get(f"/v1/dataset/{started['id']}/").json()
    assert (told["is_processing"], told["success"]) == (False, False)
    assert "Dagster" in told["failure_reason"]
