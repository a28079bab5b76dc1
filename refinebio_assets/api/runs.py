"""Dagster's runs as the API tells of them; they are only read, and no definitions are loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from refinebio_assets.partitions import RANGE_END, RANGE_START

if TYPE_CHECKING:
    import dagster as dg
    from dagster import RunRecord

Kind = Literal["survey", "downloader", "processor"]
DATASETS_JOB: Final = "make_datasets"
EXPERIMENTS_JOB: Final = "process_experiments"
# A run of process_experiments fetches and processes: it is a job of either kind.
JOBS: Final[dict[Kind, tuple[str, ...]]] = {
    "survey": ("survey_experiments",),
    "downloader": (EXPERIMENTS_JOB,),
    "processor": (
        EXPERIMENTS_JOB,
        "build_references",
        "build_qn_targets",
        "build_normalized_compendia",
        "build_rnaseq_compendia",
        DATASETS_JOB,
    ),
}


class Runs:
    """The runs of an instance; without one, there are none."""

    def __init__(self, instance: dg.DagsterInstance | None) -> None:
        self._instance = instance

    def count(self, kind: Kind, run_ids: list[str] | None = None) -> int:
        """How many runs of a kind there are."""
        if self._instance is None or run_ids == []:
            return 0
        return sum(self._instance.get_runs_count(_filter(job, run_ids)) for job in JOBS[kind])

    def newest(
        self, kind: Kind, most: int | None = None, run_ids: list[str] | None = None
    ) -> list[RunRecord]:
        """Runs of a kind, the newest first."""
        if self._instance is None or run_ids == []:
            return []
        found = [
            record
            for job in JOBS[kind]
            for record in self._instance.get_run_records(_filter(job, run_ids), limit=most)
        ]
        return sorted(found, key=lambda record: record.storage_id, reverse=True)[:most]

    def numbers(self, run_ids: list[str]) -> dict[str, int]:
        """Run id -> the number that Dagster's storage has given it."""
        if self._instance is None or not run_ids:
            return {}
        records = self._instance.get_run_records(_filter(None, run_ids))
        return {record.dagster_run.run_id: record.storage_id for record in records}

    def run_ids(self, kind: Kind, number: str) -> list[str]:
        """The id of the run of that number, in a list; an empty one where there is none."""
        found = [each for each in self.newest(kind) if str(each.storage_id) == number]
        return [each.dagster_run.run_id for each in found]

    def failure_of(self, run_id: str) -> str | None:
        """Why a run failed, in the words of the first step that did."""
        import dagster as dg

        from refinebio_assets.running import failure_words

        if self._instance is None:
            return None
        kind = dg.DagsterEventType.STEP_FAILURE
        found = self._instance.get_records_for_run(run_id, of_type=kind, limit=1).records
        event = found[0].event_log_entry.dagster_event if found else None
        return failure_words(event) if event is not None else None

    def gave_up(self, dataset: str) -> bool:
        """Whether the last run for a dataset ended badly, without Dagster trying again."""
        import dagster as dg

        if self._instance is None:
            return False
        wanted = dg.RunsFilter(job_name=DATASETS_JOB, tags={RANGE_START: dataset})
        found = self._instance.get_run_records(wanted, limit=1)
        if not found:
            return False
        run = found[0].dagster_run
        ended_badly = run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        return ended_badly and run.tags.get("dagster/will_retry") != "true"


def partitions_of(record: RunRecord) -> tuple[str, str]:
    """The first and the last partition of a run; empty where it has none."""
    tags = record.dagster_run.tags
    return tags.get(RANGE_START, ""), tags.get(RANGE_END, "")


def told(record: RunRecord) -> dict[str, Any]:
    """What v1 says of any job."""
    import dagster as dg

    run = record.dagster_run
    ended = {
        dg.DagsterRunStatus.SUCCESS: True,
        dg.DagsterRunStatus.FAILURE: False,
        dg.DagsterRunStatus.CANCELED: False,
    }
    return {
        "id": record.storage_id,
        "success": ended.get(run.status),
        "batch_job_id": run.run_id,
        "batch_job_queue": run.job_name,
        "ram_amount": 0,
        "start_time": _time(record.start_time),
        "end_time": _time(record.end_time),
        "created_at": _in_utc(record.create_timestamp),
        "last_modified": _in_utc(record.update_timestamp),
        "is_queued": run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED),
    }


def retries(record: RunRecord) -> dict[str, Any]:
    """What v1 says of the tries of a job."""
    tags = record.dagster_run.tags
    number = tags.get("dagster/retry_number", "0")
    return {
        "num_retries": int(number) if number.isdigit() else 0,
        "retried": tags.get("dagster/did_retry") == "true" or "dagster/auto_retry_run_id" in tags,
        "worker_id": "",
        "worker_version": "",
    }


def _filter(job: str | None, run_ids: list[str] | None) -> dg.RunsFilter:
    import dagster as dg

    return dg.RunsFilter(job_name=job, run_ids=run_ids)


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
