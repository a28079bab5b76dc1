"""The routes of v1: what they list, leave out, refuse, and in which form."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from refinebio_assets import __version__
from refinebio_assets.api import models
from refinebio_assets.api.ids import number_of
from refinebio_assets.api.pages import LARGEST_LIMIT
from refinebio_assets.publish.records import sample_record
from refinebio_assets_tests.api.conftest import ORGANISM
from refinebio_assets_tests.end_to_end.conftest import Laboratory

LISTS = (
    "search",
    "experiments",
    "samples",
    "organisms",
    "processors",
    "transcriptome_indices",
    "compendia",
    "computed_files",
    "original_files",
    "computational_results",
    "jobs/survey",
    "jobs/downloader",
    "jobs/processor",
)
STRICT = tuple(name for name in LISTS if name not in ("search", "processors"))


def get(client: TestClient, address: str, status: int = 200, **parameters: Any) -> Any:
    answer = client.get(f"/v1/{address}", params=parameters or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Source-Revision"] == __version__
    return answer.json()


def accessions(found: Any) -> list[str]:
    return [each["accession_code"] for each in found["results"]]


@pytest.mark.parametrize("name", [*LISTS, "platforms", "institutions", "qn_targets", "stats-about"])
def test_with_and_without_a_slash(client: TestClient, name: str) -> None:
    assert get(client, name) == get(client, f"{name}/")


@pytest.mark.parametrize("name", STRICT)
def test_what_is_not_known_is_refused(client: TestClient, name: str) -> None:
    refused = get(client, name, 400, nonsense="1", more="2")
    assert refused["error_type"] == "invalid_filters"
    assert refused["details"] == ["nonsense", "more"]
    assert set(refused) == {"error_type", "message", "details"}


@pytest.mark.parametrize("name", ["search", "processors", "platforms", "institutions"])
def test_what_is_not_known_is_passed_over(client: TestClient, name: str) -> None:
    assert get(client, name, nonsense="1") == get(client, name)


@pytest.mark.parametrize("name", ["samples", "computed_files", "original_files", "search"])
def test_pages_are_the_list(client: TestClient, name: str) -> None:
    whole = get(client, name, limit=LARGEST_LIMIT)
    assert whole["next"] is None
    assert whole["previous"] is None
    found, answer = [], get(client, name, limit=2)
    assert answer["previous"] is None
    while True:
        found += answer["results"]
        if answer["next"] is None:
            break
        before = answer
        answer = client.get(answer["next"]).json()
        assert client.get(answer["previous"]).json()["results"] == before["results"]
    assert found == whole["results"]
    assert len(found) == whole["count"]


def test_the_last_value_counts(client: TestClient) -> None:
    found = client.get("/v1/samples/?limit=1&limit=3&title=x&title=").json()
    assert (len(found["results"]), found["count"]) == (3, 7)
    several = client.get("/v1/search/?accession_code=LAB-A&accession_code=LAB-R").json()
    assert sorted(accessions(several)) == ["LAB-A", "LAB-R"]


@pytest.mark.parametrize(
    ("address", "parameters", "kind", "details"),
    [
        ("samples", {"age": "old"}, "invalid", "age"),
        ("samples", {"is_processed": "perhaps"}, "invalid", "is_processed"),
        ("samples", {"ordering": "nothing"}, "invalid_choice", "ordering"),
        ("experiments", {"created_at": "soon"}, "invalid", "created_at"),
        ("compendia", {"compendium_version": "1.5"}, "invalid", "compendium_version"),
        ("search", {"num_processed_samples__gt": "x"}, "invalid", "num_processed_samples__gt"),
        ("search", {"id__range": "1"}, "invalid", "id__range"),
        ("jobs/processor", {"id": "x"}, "invalid", "id"),
        ("stats", {"range": "decade"}, "invalid_choice", "range"),
    ],
)
def test_values_have_types(
    client: TestClient, address: str, parameters: dict[str, str], kind: str, details: str
) -> None:
    refused = get(client, address, 400, **parameters)
    assert (refused["error_type"], refused["details"]) == (kind, details)


def test_several_faults_are_told_together(client: TestClient) -> None:
    refused = get(client, "samples", 400, age="old", has_raw="no!")
    assert refused["error_type"] == "multiple_errors"
    assert {each["details"] for each in refused["details"]} == {"age", "has_raw"}


def test_what_is_not_there(client: TestClient) -> None:
    for address in (
        "experiments/LAB-X",
        "samples/nobody",
        "samples/?experiment_accession_code=LAB-X",
        "samples/?dataset_id=none",
        "organisms/HOMO",
        "processors/1",
        "processors/x",
        "qn_targets/MUS_MUSCULUS",
        "transcriptome_indices/99999999999999999999",
        "compendia/0",
        "computed_files/-1",
        "jobs/survey/77",
        "token/none",
        "dataset/none",
        "no/such/route",
    ):
        found = get(client, address, 404)
        assert found["status_code"] == 404
        assert set(found) == {"message", "docs", "status_code"}
    outside = client.get("/anything")
    assert outside.status_code == 404
    assert outside.json()["message"] != get(client, "no", 404)["message"]
    assert client.delete("/v1/samples/").status_code == 405
    assert client.get("/", follow_redirects=False).headers["location"] == "/v1/"


def test_samples_are_chosen(client: TestClient) -> None:
    assert accessions(get(client, "samples", experiment_accession_code="LAB-B")) == [
        "b1",
        "b2",
        "bad",
    ]
    assert accessions(get(client, "samples", accession_codes="r1, a2,nobody")) == ["a2", "r1"]
    number = number_of("sample", "b2")
    assert accessions(get(client, "samples", ids=f"{number},12,x")) == ["b2"]
    assert accessions(get(client, "samples", technology="RNA-SEQ")) == ["r1"]
    assert accessions(get(client, "samples", is_processed="False")) == ["bad"]
    assert accessions(get(client, "samples", filter_by="SAMPLE B2")) == ["b2"]
    assert get(client, "samples", filter_by="female")["count"] == 7
    assert get(client, "samples", is_public="false")["count"] == 0
    assert get(client, "samples", organism__name=ORGANISM, sex="male")["count"] == 0
    down = get(client, "samples", ordering="-accession_code")
    assert accessions(down) == sorted(accessions(down), reverse=True)


def test_an_experiment(client: TestClient) -> None:
    found = get(client, "experiments/LAB-B/")
    assert found["num_total_samples"] == 3
    assert found["num_processed_samples"] == found["num_downloadable_samples"] == 2
    assert found["sample_metadata"] == ["sex"]
    [listed] = get(client, "experiments", accession_code="LAB-B")["results"]
    assert listed["processed_samples"] == ["b1", "b2"]
    assert listed["technologies"] == ["MICROARRAY"]
    assert get(client, "experiments", organisms=ORGANISM)["count"] == 3
    assert get(client, "experiments", organisms="MUS_MUSCULUS")["count"] == 0


def test_a_sample_tells_what_it_was_made_with(client: TestClient, installation: Laboratory) -> None:
    run = get(client, "samples/r1")
    indices = [each["organism_index"] for each in run["results"]]
    assert {each["release_version"] for each in indices} == {"1"}
    assert {each["index_type"] for each in indices} == {"TRANSCRIPTOME_LONG"}
    assert run["most_recent_quant_file"]["filename"] == "quant.sf"
    assert run["annotations"][0]["data"]["batch"] == "0"
    array = get(client, "samples/a1")
    [row] = rows(installation, "SELECT * FROM samples WHERE sample = 'a1'")
    [made] = rows(installation, "SELECT * FROM arrays WHERE sample = 'a1'")
    processor = sample_record(row, [], array=made).processor
    assert processor is not None
    told = array["results"][0]["processor"]
    assert (told["name"], told["version"]) == (processor.name, processor.version)
    assert get(client, f"processors/{told['id']}") == told


def test_run_versions_are_those_of_datasets(client: TestClient, installation: Laboratory) -> None:
    [row] = rows(installation, "SELECT * FROM samples WHERE sample = 'r1'")
    [made] = rows(installation, "SELECT * FROM quantifications WHERE sample = 'r1'")
    expected = {
        (each.name, each.version)
        for only in (True, False)
        if (each := sample_record(row, [], quantification=made, quant_sf_only=only).processor)
    }
    told = [each["processor"] for each in get(client, "samples/r1")["results"]]
    assert {(each["name"], each["version"]) for each in told} == expected


def rows(installation: Laboratory, question: str) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect(installation.storage.catalogue(), read_only=True) as database:
        found = database.execute(question)
        names = [each[0] for each in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_no_path_of_the_machine_is_told(client: TestClient, installation: Laboratory) -> None:
    home = str(installation.home.parent)
    for name in (*LISTS, "samples/r1", "experiments/LAB-R", "qn_targets/homo_sapiens"):
        answer = client.get(f"/v1/{name}/")
        assert answer.status_code == 200
        assert home not in answer.text, name
    results = get(client, "computational_results", limit=100)["results"]
    assert any("salmon quant" in command for each in results for command in each["commands"])


def test_compendia_by_version(client: TestClient) -> None:
    versions = [each["compendium_version"] for each in get(client, "compendia")["results"]]
    assert sorted(versions) == [1, 2]
    [latest] = get(client, "compendia", latest_version="True")["results"]
    assert latest["compendium_version"] == 2
    [first] = get(client, "compendia", compendium_version=1, quant_sf_only="false")["results"]
    assert get(client, f"compendia/{first['id']}") == first
    assert "download_url" not in first["computed_file"]
    [file] = get(client, "computed_files", compendium_version=1)["results"]
    assert file["id"] == first["computed_file"]["id"]
    assert get(client, "compendia", result__id=file["result"]["id"])["results"] == [first]
    assert get(client, "organisms", has_compendia="true")["count"] == 1


def test_indices_in_any_spelling(client: TestClient) -> None:
    for name in ("organism__name", "organism_name"):
        found = get(client, "transcriptome_indices", **{name: "Homo sapiens", "length": "LONG"})
        [index] = found["results"]
        assert index["index_type"] == "TRANSCRIPTOME_LONG"
        assert get(client, f"transcriptome_indices/{index['id']}") == index
    assert get(client, "transcriptome_indices", result_id=index["result_id"])["count"] == 1


def test_results_lead_to_files_and_back(client: TestClient) -> None:
    for result in get(client, "computational_results", limit=100)["results"]:
        alone = get(client, f"computational_results/{result['id']}")
        assert alone == result
        for file in result["files"]:
            found = get(client, f"computed_files/{file['id']}")
            assert found["result"]["id"] == result["id"]
            assert found["size_in_bytes"] > 0


def test_jobs_are_runs(client: TestClient) -> None:
    [job] = get(client, "jobs/downloader")["results"]
    assert job["batch_job_queue"] == "process_experiments"
    assert job["success"] is True
    file = get(client, f"original_files/{job['original_files'][0]}")
    assert file["downloader_jobs"] == [job["id"]]
    assert get(client, "original_files", downloader_jobs=job["id"])["count"] == 8
    assert get(client, "original_files", downloader_jobs=99999)["count"] == 0
    every = get(client, "jobs/processor")
    assert {each["pipeline_applied"] for each in every["results"]} >= {
        "AFFY_TO_PCL",
        "QN_REFERENCE",
    }
    numbers = [each["id"] for each in every["results"]]
    assert numbers == sorted(numbers, reverse=True)
    up = get(client, "jobs/processor", ordering="created_at")
    assert [each["id"] for each in up["results"]] == sorted(numbers)
    chosen = get(client, "jobs/processor", pipeline_applied="QN_REFERENCE")
    assert chosen["count"] == 1
    assert get(client, "jobs/processor", sample_accession_code="nobody")["count"] == 0
    good = get(client, "jobs/processor", success="true")["results"]
    assert all(each["success"] for each in good)


def test_statistics(client: TestClient) -> None:
    found = get(client, "stats", range="day")
    assert found["processed_samples"]["total"] == 6
    assert found["processed_samples"]["technology"] == {"MICROARRAY": 5, "RNA-SEQ": 1}
    assert found["unprocessed_samples"]["total"] == 1
    assert found["experiments"]["total"] == found["processed_experiments"]["total"] == 3
    assert sum(each["total"] for each in found["downloader_jobs"]["timeline"]) == 1
    assert get(client, "stats-about")["samples_available"] == 6
    failures = get(client, "stats/failures/processor")["results"]
    failed = get(client, "jobs/processor", success="false")["count"]
    assert sum(each["job_count"] for each in failures) == failed
    get(client, "stats/failures/survey", 404)


def test_the_documents(client: TestClient) -> None:
    schema = get(client, "schema")
    assert schema["paths"].keys() >= {f"/v1/{name}/" for name in LISTS}
    for page in ("/v1/", "/v1/swagger"):
        content = client.get(page).text
        assert "https://" not in content  # scripts come from here
    script = client.get("/api-scripts/redoc.standalone.js")
    assert script.status_code == 200


def test_fields_are_those_of_v1() -> None:
    """What no list shows here: the fields that a client would refuse if there were more."""
    assert set(models.SurveyJob.model_fields) == {
        *("id", "source_type", "success", "batch_job_id", "batch_job_queue", "ram_amount"),
        *("start_time", "end_time", "created_at", "last_modified", "is_queued"),
    }
    assert len(models.Sample.model_fields) == 41
