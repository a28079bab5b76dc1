"""`/v1/stats/`, `/v1/stats-about/`: how much there is, and how the work goes; ten minutes old."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from fastapi import APIRouter, Request

from refinebio_assets.api.catalogue import Reader
from refinebio_assets.api.errors import NotThere, Refused
from refinebio_assets.api.pages import PageOf, page_body, read_page
from refinebio_assets.api.runs import JOBS, Kind, told
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf
from refinebio_assets.resources.datasets import record_of

if TYPE_CHECKING:
    from dagster import RunRecord

Range = Literal["day", "week", "month", "year"]
CACHED_FOR: Final = 600  # seconds
LONGEST_REASON: Final = 80
_LENGTHS: Final[dict[str, timedelta]] = {
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
_STEPS: Final[dict[str, str]] = {"day": "hour", "week": "day", "month": "day", "year": "month"}
_RANGE: Final = {
    "parameters": [
        {"name": "range", "in": "query", "schema": {"type": "string", "enum": get_args(Range)}},
        {"name": "dashboard", "in": "query", "schema": {"type": "string"}},
    ]
}
_FAILURES: Final = {
    "parameters": [
        _RANGE["parameters"][0],
        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
        {"name": "offset", "in": "query", "schema": {"type": "integer"}},
    ]
}

SAMPLES: Final = """
SELECT technology, organism_name, count(*) AS total,
       count(*) FILTER (last_modified > now() - INTERVAL 1 HOUR) AS last_hour
FROM memory.api.samples WHERE is_processed = ? GROUP BY ALL
"""
TIMELINE: Final = """
SELECT date_trunc('{step}', {column}) AS start, count(*) AS total FROM {source}
WHERE {column} >= ? GROUP BY start ORDER BY start
"""
INPUT: Final = "SELECT coalesce(sum(size_in_bytes), 0)::BIGINT FROM memory.api.original_files"
ABOUT: Final = """
SELECT count(*) FILTER (
           s.is_processed OR s.technology = 'RNA-SEQ' AND s.accession_code IN
               (SELECT sample FROM catalogue.main.quantifications)) AS samples_available
FROM memory.api.samples AS s
"""
SUPPORTED: Final = """
SELECT count(*) FROM (SELECT organism FROM catalogue.main.qn_targets
                      UNION SELECT organism FROM catalogue.main.quantifications)
"""
PROCESSED_EXPERIMENTS: Final = (
    "SELECT count(*) FROM memory.api.experiments WHERE num_processed_samples > 0"
)
UNPROCESSED_OF_RUNS: Final = """
SELECT run_id, count(*) AS samples FROM catalogue.main.sample_status
WHERE status <> 'processed' AND run_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY run_id
"""

router = APIRouter(prefix="/v1", tags=["statistics"])


class _Kept:
    """Answers that are kept for ten minutes."""

    def __init__(self) -> None:
        self._answers: dict[Any, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def answer(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            found = self._answers.get(key)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        made = make()
        with self._lock:
            self._answers[key] = (time.monotonic() + CACHED_FOR, made)
        return made


@router.get("/stats/", openapi_extra=_RANGE)
def stats(request: Request, service: ServiceOf, reader: ReaderOf) -> dict[str, Any]:
    """Jobs, experiments, samples and datasets; with `range`, over time."""
    range_ = _range(request)
    found: dict[str, Any] = _kept(request).answer(
        ("stats", range_), lambda: _stats(range_, service, reader)
    )
    return found


@router.get("/stats-about/")
def about(request: Request, reader: ReaderOf) -> dict[str, int]:
    """How much there is, in four numbers."""
    found: dict[str, int] = _kept(request).answer(
        "about",
        lambda: {
            "samples_available": reader.value(ABOUT),
            "total_size_in_bytes": reader.value(INPUT),
            "supported_organisms": reader.value(SUPPORTED),
            "experiments_processed": reader.value(PROCESSED_EXPERIMENTS),
        },
    )
    return found


@router.get("/stats/failures/{kind}/", openapi_extra=_FAILURES)
def failures(
    request: Request, kind: str, service: ServiceOf, reader: ReaderOf
) -> PageOf[dict[str, Any]]:
    """Why jobs failed, the commonest reason first; `kind` is downloader or processor."""
    of_kind: Kind
    if kind == "downloader":
        of_kind = "downloader"
    elif kind == "processor":
        of_kind = "processor"
    else:
        raise NotThere("There are no such failures.")
    since = datetime.now(UTC) - _LENGTHS[_range(request) or "day"]
    counted: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    failed = [
        each["batch_job_id"]
        for each in map(told, service.runs.newest(of_kind))
        if each["success"] is False and each["created_at"] >= since
    ]
    unprocessed = {
        row["run_id"]: row["samples"] for row in reader.rows(UNPROCESSED_OF_RUNS, failed)
    }
    for run_id in failed:
        reason = (service.runs.failure_of(run_id) or "")[:LONGEST_REASON]
        counted[reason] += 1
        samples[reason] += unprocessed.get(run_id, 0)
    rows = [
        {"reason": reason, "job_count": count, "sample_count": samples[reason]}
        for reason, count in sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    ]
    page = read_page(request.query_params)
    chosen = rows[page.offset : page.offset + page.limit]
    return PageOf[dict[str, Any]].model_validate(page_body(request, page, len(rows), chosen))


def _kept(request: Request) -> _Kept:
    state = request.app.state
    if not hasattr(state, "kept"):
        state.kept = _Kept()
    kept: _Kept = state.kept
    return kept


def _range(request: Request) -> str | None:
    wanted = request.query_params.get("range") or None
    if wanted is not None and wanted not in _LENGTHS:
        raise Refused("invalid_choice", f"Enter one of {', '.join(_LENGTHS)}.", "range")
    return wanted


def _stats(range_: str | None, service: Service, reader: Reader) -> dict[str, Any]:
    since = datetime.now(UTC) - _LENGTHS[range_] if range_ else None
    kinds: tuple[Kind, ...] = get_args(Kind)
    records = {kind: service.runs.newest(kind) for kind in kinds}
    found: dict[str, Any] = {"generated_on": datetime.now(UTC)}
    for kind in kinds:
        found[f"{kind}_jobs"] = _jobs(records[kind], range_, since)
    experiments = reader.value("SELECT count(*) FROM memory.api.experiments")
    found["experiments"] = {"total": experiments}
    found["processed_samples"] = _samples(reader, True)
    found["unprocessed_samples"] = _samples(reader, False)
    if range_ and since:
        step = _STEPS[range_]
        sources = {
            "experiments": ("memory.api.experiments", "created_at"),
            "processed_samples": ("(FROM memory.api.samples WHERE is_processed)", "last_modified"),
            "unprocessed_samples": (
                "(FROM memory.api.samples WHERE NOT is_processed)",
                "last_modified",
            ),
        }
        for name, (source, column) in sources.items():
            question = TIMELINE.format(step=step, column=column, source=source)
            found[name]["timeline"] = reader.rows(question, since)
        found["input_data_size"] = reader.value(INPUT)
        found["output_data_size"] = _output_size(service)
    found["processed_experiments"] = {"total": reader.value(PROCESSED_EXPERIMENTS)}
    found["dataset"] = _datasets(service, range_, since)
    found |= _open_jobs(records)
    return found


def _jobs(records: Sequence[RunRecord], range_: str | None, since: Any) -> dict[str, Any]:
    every = [told(record) for record in records]
    chosen = [each for each in every if since is None or each["created_at"] >= since]
    took = [
        (each["end_time"] - each["start_time"]).total_seconds()
        for each in chosen
        if each["end_time"] and each["start_time"]
    ]
    found: dict[str, Any] = {
        "total": len(chosen),
        "successful": sum(each["success"] is True for each in chosen),
        "failed": sum(each["success"] is False for each in chosen),
        "pending": sum(each["success"] is None and not each["start_time"] for each in chosen),
        "open": sum(each["success"] is None and bool(each["start_time"]) for each in chosen),
        "average_time": sum(took) / len(took) if took else 0.0,
    }
    if range_:
        found["timeline"] = _timeline([each["created_at"] for each in chosen], _STEPS[range_])
    return found


def _timeline(times: Sequence[datetime], step: str) -> list[dict[str, Any]]:
    starts = {"hour": {}, "day": {"hour": 0}, "month": {"hour": 0, "day": 1}}
    zeros: dict[str, Any] = {"minute": 0, "second": 0, "microsecond": 0, **starts[step]}
    counted = Counter(each.replace(**zeros) for each in times)
    return [{"start": start, "total": total} for start, total in sorted(counted.items())]


def _samples(reader: Reader, processed: bool) -> dict[str, Any]:
    rows = reader.rows(SAMPLES, processed)
    technologies: Counter[str] = Counter()
    organisms: Counter[str] = Counter()
    for row in rows:
        technologies[row["technology"]] += row["total"]
        organisms[row["organism_name"]] += row["total"]
    return {
        "total": sum(row["total"] for row in rows),
        "last_hour": sum(row["last_hour"] for row in rows),
        "technology": dict(sorted(technologies.items())),
        "organism": dict(sorted(organisms.items())),
    }


def _datasets(service: Service, range_: str | None, since: Any) -> dict[str, Any]:
    every = [
        (wish, datetime.fromisoformat(wish.created_at)) for wish in service.store.all_datasets()
    ]
    chosen = [(wish, made) for wish, made in every if since is None or made >= since]
    found: dict[str, Any] = {
        "total": len(chosen),
        "aggregated_by_experiment": sum(w.aggregate_by == "EXPERIMENT" for w, _ in chosen),
        "aggregated_by_species": sum(w.aggregate_by == "SPECIES" for w, _ in chosen),
    }
    for scale in ("none", "minmax", "standard", "robust"):
        found[f"scale_by_{scale}"] = sum(w.scale_by == scale.upper() for w, _ in chosen)
    if range_:
        found["timeline"] = _timeline([made for _, made in chosen], _STEPS[range_])
    return found


def _output_size(service: Service) -> int:
    made = {wish.made_as for wish in service.store.all_datasets() if wish.made_as}
    records = [record_of(service.storage, each) for each in sorted(made)]
    return sum(int(record.get("num_bytes") or 0) for record in records if record)


def _open_jobs(records: dict[Kind, list[RunRecord]]) -> dict[str, Any]:
    by_run = {each["batch_job_id"]: each for kind in JOBS for each in map(told, records[kind])}
    waiting = [each for each in by_run.values() if each["success"] is None]
    found: dict[str, Any] = {}
    for name, started in (("pending_jobs", False), ("running_jobs", True)):
        chosen = [each for each in waiting if bool(each["start_time"]) == started]
        by_queue = dict(Counter(each["batch_job_queue"] for each in chosen))
        found |= {name: len(chosen), f"{name}_by_type": by_queue, f"{name}_by_queue": by_queue}
    return found
