"""`/v1/jobs/`: Dagster's runs, in the shape of refine.bio's jobs.

A run over experiments both fetches and processes, and is a downloader's and a processor's
job. `id` is the number of Dagster's storage, `batch_job_id` the run's id, `batch_job_queue`
the job in Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import models
from refinebio_assets.api.catalogue import Reader
from refinebio_assets.api.errors import NotThere, Refused, refused_together
from refinebio_assets.api.filters import (
    ORDERING,
    Filter,
    Parameters,
    last_values,
    read_query,
    typed,
)
from refinebio_assets.api.pages import PageOf, page_body, read_page
from refinebio_assets.api.runs import (
    DATASETS_JOB,
    EXPERIMENTS_JOB,
    Kind,
    partitions_of,
    retries,
    told,
)
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf
from refinebio_assets.metadata.accessions import source_of

if TYPE_CHECKING:
    from dagster import RunRecord

_TIMES: Final = tuple(
    Filter(name, "time") for name in ("start_time", "end_time", "created_at", "last_modified")
)
_COMMON: Final = (
    Filter("id", "integer"),
    Filter("success", "boolean"),
    Filter("batch_job_id"),
    Filter("batch_job_queue"),
    Filter("ram_amount", "integer"),
    *_TIMES,
    Filter("is_queued", "boolean"),
)
_TRIED: Final = (
    Filter("num_retries", "integer"),
    Filter("retried", "boolean"),
    Filter("worker_id"),
    Filter("worker_version"),
    Filter("failure_reason"),
    Filter("original_files", "integer"),
)
_ORDERINGS: Final = ("id", "start_time", "end_time", "created_at", "last_modified")


def _parameters(*filters: Filter, others: tuple[str, ...] = ()) -> Parameters:
    return Parameters((*_COMMON, *filters), _ORDERINGS, "-id", others)


_OF_SAMPLE: Final = ("sample_accession_code",)
SURVEY: Final = _parameters(Filter("source_type"))
DOWNLOADER: Final = _parameters(
    Filter("downloader_task"), Filter("was_recreated", "boolean"), *_TRIED, others=_OF_SAMPLE
)
PROCESSOR: Final = _parameters(
    Filter("pipeline_applied"),
    Filter("volume_index"),
    Filter("datasets"),
    *_TRIED,
    others=_OF_SAMPLE,
)

PIPELINES: Final = {
    "build_references": "TRANSCRIPTOME_INDEX_LONG",
    "build_qn_targets": "QN_REFERENCE",
    "build_normalized_compendia": "CREATE_COMPENDIA",
    "build_rnaseq_compendia": "CREATE_QUANTPENDIA",
    DATASETS_JOB: "SMASHER",
}
# The commonest of what a run did to samples.
PIPELINES_OF_RUNS: Final = """
WITH done AS (
    SELECT run_id, CASE method WHEN 'Illumina SCAN' THEN 'ILLUMINA_TO_PCL'
                               WHEN 'submitter-processed' THEN 'NO_OP'
                               ELSE 'AFFY_TO_PCL' END AS pipeline
    FROM catalogue.main.arrays
    UNION ALL
    SELECT run_id, 'SALMON' FROM catalogue.main.quantifications
)
SELECT run_id, mode(pipeline) AS pipeline FROM done
WHERE run_id IN ($among) GROUP BY run_id
"""
FILES_OF_RUNS: Final = """
WITH samples AS (
    SELECT DISTINCT run_id, experiment, sample FROM catalogue.main.sample_status
    WHERE run_id IN ($among)
), files AS (
    SELECT id, experiment, unnest(samples) AS sample FROM memory.api.original_files
    WHERE experiment IN (SELECT experiment FROM samples)
)
SELECT run_id, list(DISTINCT id ORDER BY id) AS files
FROM samples JOIN files USING (experiment, sample) GROUP BY run_id
"""
RUNS_OF_SAMPLE: Final = """
SELECT run_id FROM catalogue.main.sample_status WHERE sample = ?
UNION SELECT run_id FROM catalogue.main.quantifications WHERE sample = ?
UNION SELECT run_id FROM catalogue.main.arrays WHERE sample = ?
"""

Told = dict[str, Any]
Dresser = Callable[[Sequence["RunRecord"], Service, Reader], list[Told]]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/survey/", openapi_extra=SURVEY.openapi())
def list_survey_jobs(
    request: Request, service: ServiceOf, reader: ReaderOf
) -> PageOf[models.SurveyJob]:
    """Runs that read the records of experiments, the newest first."""
    found = _answer(request, service, reader, "survey", SURVEY, _survey)
    return PageOf[models.SurveyJob].model_validate(found)


@router.get("/survey/{number}/")
def get_survey_job(number: str, service: ServiceOf, reader: ReaderOf) -> models.SurveyJob:
    """A run that read the records of experiments."""
    return models.SurveyJob.model_validate(_one(service, reader, "survey", number, _survey))


@router.get("/downloader/", openapi_extra=DOWNLOADER.openapi())
def list_downloader_jobs(
    request: Request, service: ServiceOf, reader: ReaderOf
) -> PageOf[models.DownloaderJob]:
    """Runs that fetched raw files, the newest first."""
    found = _answer(request, service, reader, "downloader", DOWNLOADER, _downloader)
    return PageOf[models.DownloaderJob].model_validate(found)


@router.get("/downloader/{number}/")
def get_downloader_job(number: str, service: ServiceOf, reader: ReaderOf) -> models.DownloaderJob:
    """A run that fetched raw files."""
    found = _one(service, reader, "downloader", number, _downloader)
    return models.DownloaderJob.model_validate(found)


@router.get("/processor/", openapi_extra=PROCESSOR.openapi())
def list_processor_jobs(
    request: Request, service: ServiceOf, reader: ReaderOf
) -> PageOf[models.ProcessorJob]:
    """Runs that made values, references, targets, compendia or datasets, the newest first."""
    found = _answer(request, service, reader, "processor", PROCESSOR, _processor)
    return PageOf[models.ProcessorJob].model_validate(found)


@router.get("/processor/{number}/")
def get_processor_job(number: str, service: ServiceOf, reader: ReaderOf) -> models.ProcessorJob:
    """A run that made something."""
    found = _one(service, reader, "processor", number, _processor)
    return models.ProcessorJob.model_validate(found)


def _answer(
    request: Request,
    service: Service,
    reader: Reader,
    kind: Kind,
    known: Parameters,
    dress: Dresser,
) -> dict[str, Any]:
    read_query(request, known)  # for what it refuses
    given = last_values(request.query_params.multi_items())
    wanted = _wanted(given, known)
    page = read_page(given)
    run_ids = None
    if "sample_accession_code" in given:
        name = given["sample_accession_code"]
        run_ids = [row["run_id"] for row in reader.rows(RUNS_OF_SAMPLE, name, name, name)]
    end = page.offset + page.limit
    if not wanted and ORDERING not in given:
        records = service.runs.newest(kind, end, run_ids)[page.offset :]
        count = service.runs.count(kind, run_ids)
        return page_body(request, page, count, dress(records, service, reader))
    every = dress(service.runs.newest(kind, None, run_ids), service, reader)
    chosen = [each for each in every if all(_is(each[name], wanted[name]) for name in wanted)]
    column = given.get(ORDERING, "-id")
    chosen.sort(key=lambda each: _sorting(each[column.removeprefix("-")]))
    if column.startswith("-"):
        chosen.reverse()
    return page_body(request, page, len(chosen), chosen[page.offset : end])


def _wanted(given: Mapping[str, str], known: Parameters) -> dict[str, Any]:
    errors: list[Refused] = []
    found = {}
    for each in known.filters:
        if each.name in given:
            try:
                found[each.name] = typed(each.name, given[each.name], each.type)
            except Refused as error:
                errors.append(error)
    if errors:
        raise refused_together(errors)
    return found


def _sorting(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _is(value: Any, wanted: Any) -> bool:
    return wanted in value if isinstance(value, list) else bool(value == wanted)


def _one(service: Service, reader: Reader, kind: Kind, number: str, dress: Dresser) -> Told:
    found = [each for each in service.runs.newest(kind) if str(each.storage_id) == number]
    if not found:
        raise NotThere("There is no such job.")
    return dress(found, service, reader)[0]


def _survey(records: Sequence[RunRecord], service: Service, reader: Reader) -> list[Told]:
    return [
        {**told(record), "source_type": source_of(partitions_of(record)[0]) or "LOCAL"}
        for record in records
    ]


def _downloader(records: Sequence[RunRecord], service: Service, reader: Reader) -> list[Told]:
    return [
        {
            **told(record),
            **tried,
            "downloader_task": source_of(partitions_of(record)[0]) or "NONE",
            "was_recreated": False,
        }
        for record, tried in zip(records, _tries(records, service, reader), strict=True)
    ]


def _processor(records: Sequence[RunRecord], service: Service, reader: Reader) -> list[Told]:
    run_ids = [record.dagster_run.run_id for record in records]
    pipelines = {
        row["run_id"]: row["pipeline"] for row in reader.rows_among(PIPELINES_OF_RUNS, run_ids)
    }
    made = [name for record in records for name in _datasets_of(record)]
    started = service.store.started_as(made)
    return [
        {
            **told(record),
            **tried,
            "pipeline_applied": pipelines.get(record.dagster_run.run_id)
            or PIPELINES.get(record.dagster_run.job_name, "NONE"),
            "volume_index": None,
            "datasets": [each for name in _datasets_of(record) for each in started.get(name, [])],
        }
        for record, tried in zip(records, _tries(records, service, reader), strict=True)
    ]


def _tries(records: Sequence[RunRecord], service: Service, reader: Reader) -> list[Told]:
    run_ids = [
        record.dagster_run.run_id
        for record in records
        if record.dagster_run.job_name == EXPERIMENTS_JOB
    ]
    files = {row["run_id"]: row["files"] for row in reader.rows_among(FILES_OF_RUNS, run_ids)}
    return [
        {
            **retries(record),
            "failure_reason": service.runs.failure_of(record.dagster_run.run_id)
            if told(record)["success"] is False
            else None,
            "original_files": files.get(record.dagster_run.run_id, []),
        }
        for record in records
    ]


def _datasets_of(record: RunRecord) -> list[str]:
    first, _ = partitions_of(record)
    return [first] if record.dagster_run.job_name == DATASETS_JOB and first else []
