"""The dispatcher: a sensor, and a nightly schedule, that start what is missing or stale.

It asks the catalogue which samples wait, cuts contiguous batches, and counts attempts; an
experiment that did not come through after several is parked, until `refinebio retry`. When
runs have finished since the catalogue was built, the catalogue is rebuilt first.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from refinebio_assets.dispatch import Limits, Work, cut_batches
from refinebio_assets.errors import RefinebioError
from refinebio_assets.jobs import (
    datasets_job,
    experiments_job,
    platforms_job,
    reference_job,
    survey_job,
    targets_job,
    warehouse_job,
)
from refinebio_assets.partitions import RANGE_END, RANGE_START, range_tags
from refinebio_assets.resources.attempts import Attempts
from refinebio_assets.resources.settings import read_limits
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse

EVERY_MINUTE = 60
CHANGING_JOBS = tuple(
    job.name
    for job in (
        experiments_job,
        survey_job,
        reference_job,
        platforms_job,
        targets_job,
        datasets_job,
    )
)

# Samples that wait, and those made with another reference than there is now.
_WORK = """
WITH files AS (
    SELECT experiment, sample, sum(expected_bytes) AS bytes FROM sample_files GROUP BY ALL
), stale AS (
    SELECT q.experiment, q.sample FROM quantifications q
    JOIN organisms o USING (organism) WHERE q.reference_release <> o.reference_release
    UNION SELECT a.experiment, a.sample FROM arrays a
    JOIN platforms p USING (platform) WHERE a.annotation_sha256 <> p.annotation_sha256
), wanted AS (
    SELECT experiment, sample FROM sample_status WHERE status = 'waiting'
    UNION SELECT experiment, sample FROM stale
)
SELECT experiment, count(*), coalesce(sum(bytes), 0)::BIGINT
FROM wanted LEFT JOIN files USING (experiment, sample) GROUP BY experiment
"""


@dg.sensor(
    name="dispatcher",
    jobs=[experiments_job, warehouse_job],
    minimum_interval_seconds=EVERY_MINUTE,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def dispatcher(
    context: dg.SensorEvaluationContext, storage: Storage, warehouse_database: Warehouse
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Start what is missing or stale, a few batches at a time."""
    yield from _dispatch(context, storage, warehouse_database, nightly=False)


@dg.schedule(
    name="nightly_sweep",
    job=experiments_job,
    cron_schedule="0 2 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def nightly_sweep(
    context: dg.ScheduleEvaluationContext, storage: Storage, warehouse_database: Warehouse
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The same once a night, as much as the day's ceiling allows."""
    yield from _dispatch(context, storage, warehouse_database, nightly=True)


def _dispatch(
    context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext,
    storage: Storage,
    warehouse: Warehouse,
    *,
    nightly: bool,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    instance = context.instance
    if not nightly and (run := _newer_run(instance, storage)):
        yield dg.RunRequest(run_key=f"catalogue after {run}", job_name=warehouse_job.name)
        return
    try:
        limits, wanted = read_limits(storage), _work(storage, warehouse)
    except RefinebioError as error:
        yield dg.SkipReason(f"{error.code}: {error}")
        return
    attempts = Attempts(storage)
    counts = attempts.counts()
    attempts.forget(set(counts) - set(wanted))
    parked = {name for name in wanted if counts.get(name, 0) >= limits.attempts}
    order = instance.get_dynamic_partitions("experiments")
    busy = _in_flight(instance, order)
    ready = {name: work for name, work in wanted.items() if name not in parked | busy}
    left_today = max(limits.runs_per_day - attempts.runs_today(), 0)
    ceiling = left_today if nightly else min(limits.runs_per_tick, left_today)
    batches = cut_batches(order, ready, limits)
    told = (
        f"{len(wanted)} experiments have work: {len(busy & set(wanted))} in progress, "
        f"{len(parked)} parked; {min(len(batches), ceiling)} of {len(batches)} batches started"
    )
    if not batches[:ceiling]:
        yield dg.SkipReason(told)
        return
    context.log.info(told)
    for batch in batches[:ceiling]:
        attempts.add(batch)
        yield _request(batch, counts, limits)


def _request(batch: list[str], counts: dict[str, int], limits: Limits) -> dg.RunRequest:
    attempt = 1 + sum(counts.get(name, 0) for name in batch)
    config = {"parallel_samples": limits.parallel_samples}
    return dg.RunRequest(
        run_key=f"process:{batch[0]}:{batch[-1]}:{attempt}",
        job_name=experiments_job.name,
        tags=range_tags(batch[0], batch[-1]),
        run_config={"ops": {"experiments": {"config": config}}},
    )


def _work(storage: Storage, warehouse: Warehouse) -> dict[str, Work]:
    if not storage.catalogue().exists():
        return {}
    with warehouse.connect(storage) as database:
        rows = database.execute(_WORK).fetchall()
    return {experiment: Work(samples, size) for experiment, samples, size in rows}


def _newer_run(instance: dg.DagsterInstance, storage: Storage) -> str | None:
    """The last run that finished after the catalogue was built, if there is one."""
    path = storage.catalogue()
    built = path.stat().st_mtime if path.exists() else 0.0
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    for job in CHANGING_JOBS:
        runs = dg.RunsFilter(job_name=job, statuses=finished)
        for record in instance.get_run_records(runs, limit=1):
            if record.end_time and record.end_time > built:
                return record.dagster_run.run_id
    return None


def _in_flight(instance: dg.DagsterInstance, order: Sequence[str]) -> set[str]:
    place = {name: number for number, name in enumerate(order)}
    unfinished = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    busy: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(job_name=experiments_job.name, statuses=unfinished)):
        first = place.get(run.tags.get(RANGE_START) or run.tags.get("dagster/partition", ""))
        last = place.get(run.tags.get(RANGE_END) or run.tags.get("dagster/partition", ""))
        if first is not None and last is not None:
            busy.update(order[first : last + 1])
    return busy
