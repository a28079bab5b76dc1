"""`/v1/computed_files/`, `/v1/original_files/`, `/v1/computational_results/`."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import described, models
from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.downloads import free_address, signed_address, size_of
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Filter, Parameters, read_query
from refinebio_assets.api.filters import Query as ListQuery
from refinebio_assets.api.lists import answer, file_numbered, rows_numbered
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.runs import Kind
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf, WithToken

COMPUTED: Final = Parameters(
    filters=(
        Filter("id", "integer"),
        Filter("samples", sql="sample = ?"),
        Filter("is_qn_target", "boolean"),
        Filter("is_smashable", "boolean"),
        Filter("is_qc", "boolean"),
        Filter("is_compendia", "boolean"),
        Filter("quant_sf_only", "boolean"),
        Filter("svd_algorithm"),
        Filter("compendium_version", "integer"),
        Filter("created_at", "time"),
        Filter("last_modified", "time"),
        Filter("result__id", "integer", "result_id = ?"),
        Filter("filename"),
    ),
    orderings=("id", "created_at", "last_modified", "compendium_version", "filename"),
    default_ordering="-id",
)
ORIGINAL: Final = Parameters(
    filters=(
        Filter("id", "integer"),
        Filter("filename"),
        Filter("samples", sql="list_contains(samples, ?)"),
        Filter("size_in_bytes", "integer"),
        Filter("source_url"),
        Filter("is_archive", "boolean"),
        Filter("source_filename"),
        Filter("has_raw", "boolean"),
        Filter("created_at", "time"),
        Filter("last_modified", "time"),
        Filter("sha1", sql="? IS NULL"),  # raw files are known by their SHA-256
    ),
    orderings=("id", "filename", "size_in_bytes", "created_at", "last_modified"),
    default_ordering="-id",
    others=("processor_jobs", "downloader_jobs"),
)
RESULTS: Final = Parameters(
    filters=(Filter("processor__id", "integer", "processor_id = ?"),), default_ordering="-id"
)
# The run that spoke last of each sample.
RUNS_OF: Final = """
SELECT DISTINCT experiment, sample, run_id FROM catalogue.main.sample_status
WHERE experiment IN ($among)
"""
OF_RUNS: Final = """
list_has_any(samples, (SELECT coalesce(list(sample), []) FROM catalogue.main.sample_status
                       WHERE run_id IN (SELECT unnest(?::VARCHAR[]))))
"""

router = APIRouter(prefix="/v1", tags=["files"])


@router.get("/computed_files/", openapi_extra=COMPUTED.openapi(), response_model_exclude_unset=True)
def list_computed_files(
    request: Request, service: ServiceOf, reader: ReaderOf, with_token: WithToken
) -> PageOf[models.ComputedFile]:
    """Files that were made."""
    query = read_query(request, COMPUTED)
    found = answer(
        request,
        reader,
        "computed_files",
        query,
        lambda rows: _computed(reader, rows, request, service, with_token),
    )
    return PageOf[models.ComputedFile].model_validate(found)


@router.get("/computed_files/{number}/", response_model_exclude_unset=True)
def get_computed_file(
    request: Request, number: str, service: ServiceOf, reader: ReaderOf, with_token: WithToken
) -> models.ComputedFile:
    """A file that was made."""
    row = file_numbered(reader, "computed_files", number)
    if row is None:
        raise NotThere("There is no such file.")
    [told] = _computed(reader, [row], request, service, with_token)
    return models.ComputedFile.model_validate(told)


@router.get("/original_files/", openapi_extra=ORIGINAL.openapi())
def list_original_files(
    request: Request, service: ServiceOf, reader: ReaderOf
) -> PageOf[models.OriginalFile]:
    """Files as they were submitted."""
    query = read_query(request, ORIGINAL)
    conditions = query.conditions
    kinds: tuple[Kind, Kind] = ("processor", "downloader")
    for kind in kinds:
        if f"{kind}_jobs" in query.others:
            number = query.others[f"{kind}_jobs"]
            conditions = conditions.and_also(OF_RUNS, service.runs.run_ids(kind, number))
    found = answer(
        request,
        reader,
        "original_files",
        ListQuery(conditions, query.order),
        lambda rows: _original(reader, rows, service),
    )
    return PageOf[models.OriginalFile].model_validate(found)


@router.get("/original_files/{number}/")
def get_original_file(number: str, service: ServiceOf, reader: ReaderOf) -> models.OriginalFile:
    """A file as it was submitted."""
    row = file_numbered(reader, "original_files", number)
    if row is None:
        raise NotThere("There is no such file.")
    return models.OriginalFile.model_validate(_original(reader, [row], service)[0])


@router.get("/computational_results/", openapi_extra=RESULTS.openapi())
def list_results(
    request: Request, service: ServiceOf, reader: ReaderOf
) -> PageOf[models.ResultWithFiles]:
    """How files were made."""
    query = read_query(request, RESULTS)
    found = answer(
        request,
        reader,
        "results",
        query,
        lambda rows: _with_files(reader, rows, request, service),
    )
    return PageOf[models.ResultWithFiles].model_validate(found)


@router.get("/computational_results/{number}/")
def get_result(
    request: Request, number: str, service: ServiceOf, reader: ReaderOf
) -> models.ResultWithFiles:
    """How files were made."""
    row = file_numbered(reader, "results", number)
    if row is None:
        raise NotThere("There is no such result.")
    [told] = _with_files(reader, [row], request, service)
    return models.ResultWithFiles.model_validate(told)


def _computed(
    reader: Reader, rows: list[Row], request: Request, service: Service, with_token: bool
) -> list[dict[str, Any]]:
    samples = described.short_samples(reader, [row["sample"] for row in rows if row["sample"]])
    of_results = rows_numbered(reader, "results", [row["result_id"] for row in rows])
    results = described.results(
        reader, of_results, lambda number: free_address(service, request, "index", number)
    )
    told = []
    for row in rows:
        brief = described.file(row, service.storage)
        free = row["is_qn_target"]
        one = {
            **brief,
            "samples": [samples[row["sample"]]] if row["sample"] in samples else [],
            **{
                name: row[name]
                for name in (
                    "is_qn_target",
                    "is_compendia",
                    "quant_sf_only",
                    "compendium_version",
                    "compendia_organism_name",
                )
            },
            "s3_url": free_address(service, request, "qn_target", row["id"]) if free else None,
            "result": results.get(row["result_id"]),
        }
        if with_token:
            one["download_url"] = one["s3_url"]
            if row["is_compendia"]:
                one["download_url"] = signed_address(service, request, "compendium", row["id"])
        told.append(one)
    return told


def _original(reader: Reader, rows: list[Row], service: Service) -> list[dict[str, Any]]:
    names = [name for row in rows for name in row["samples"]]
    samples = described.short_samples(reader, names)
    runs: dict[tuple[str, str], str] = {
        (each["experiment"], each["sample"]): each["run_id"]
        for each in reader.rows_among(RUNS_OF, sorted({row["experiment"] for row in rows}))
    }
    numbers = service.runs.numbers(sorted(set(runs.values())))
    told = []
    for row in rows:
        theirs = {runs.get((row["experiment"], name), "") for name in row["samples"]}
        jobs = {run: numbers[run] for run in theirs if run in numbers}
        told.append(
            {
                **{name: row[name] for name in models.OriginalFile.model_fields if name in row},
                "samples": [samples[name] for name in row["samples"] if name in samples],
                "processor_jobs": sorted(jobs.values()),
                "downloader_jobs": sorted(jobs.values()),
                "sha1": None,
            }
        )
    return told


def _with_files(
    reader: Reader, rows: list[Row], request: Request, service: Service
) -> list[dict[str, Any]]:
    results = described.results(
        reader, rows, lambda number: free_address(service, request, "index", number)
    )
    files: dict[int, list[Any]] = {number: [] for number in results}
    for each in rows_numbered(reader, "computed_files", list(results), "result_id"):
        size = size_of(service.storage, each["path"])
        files[each["result_id"]].append(described.file(each, service.storage, size))
    return [{**results[row["id"]], "files": files[row["id"]]} for row in rows]
