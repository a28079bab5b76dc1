"""Running a job from the command line, in this process: the same runs as from the UI.

Partitions are cut into contiguous ranges of registration order, as a backfill would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from refinebio_assets.errors import ExperimentNotFound

LARGEST_BATCH = 50


def contiguous_batches(known: list[str], wanted: Iterable[str], largest: int) -> list[list[str]]:
    """The wanted keys, as runs of neighbours in `known` of at most `largest` keys.

    Raises
    ------
    ExperimentNotFound
        If a wanted key is not registered.
    """
    place = {key: number for number, key in enumerate(known)}
    wanted = list(wanted)
    missing = [key for key in wanted if key not in place]
    if missing:
        raise ExperimentNotFound(f"{', '.join(missing[:5])} is not registered.")
    batches: list[list[str]] = []
    for key in sorted(set(wanted), key=place.__getitem__):
        last = batches[-1] if batches else []
        if last and place[key] == place[last[-1]] + 1 and len(last) < largest:
            last.append(key)
        else:
            batches.append([key])
    return batches


@dataclass(frozen=True)
class BatchResult:
    """One run: its partition keys (none for a job without partitions), and what failed."""

    keys: list[str]
    run_id: str
    errors: list[str]


def run_job(
    instance: dg.DagsterInstance,
    job_name: str,
    keys: list[str],
    settings: dict[str, Any] | None = None,
) -> Iterator[BatchResult]:
    """Run a job, batch after batch, and tell of each.

    A job without partitions takes no keys and is one batch.
    """
    from refinebio_assets.definitions import defs

    job = defs.resolve_job_def(job_name)
    batches: list[list[str]] = [[]]
    if job.partitions_def is not None:
        known = list(job.partitions_def.get_partition_keys(dynamic_partitions_store=instance))
        batches = contiguous_batches(known, keys, LARGEST_BATCH)
    for batch in batches:
        result = job.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {}}, **(settings or {})},
            tags=_range(batch),
            raise_on_error=False,
        )
        errors = [_words(event) for event in result.all_events if event.is_step_failure]
        yield BatchResult(batch, result.run_id, errors)


def _words(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    told = failure.user_failure_data
    if told is not None and told.description:
        return told.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else str(event.message)


def _range(batch: list[str]) -> dict[str, str]:
    if not batch:
        return {}
    return {
        "dagster/asset_partition_range_start": batch[0],
        "dagster/asset_partition_range_end": batch[-1],
    }
