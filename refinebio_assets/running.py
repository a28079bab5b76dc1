"""Running a job from the command line, in this process: the same runs as from the UI.

Partitions are cut into contiguous ranges of registration order, as a backfill would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from refinebio_assets.dispatch import Limits, Work, cut_batches
from refinebio_assets.errors import ExperimentNotFound
from refinebio_assets.partitions import EXPERIMENTS_PER_RUN, range_tags


def contiguous_batches(known: list[str], wanted: Iterable[str], largest: int) -> list[list[str]]:
    """The wanted keys, as runs of neighbours in `known` of at most `largest` keys.

    Raises
    ------
    ExperimentNotFound
        If a wanted key is not registered.
    """
    wanted = list(wanted)
    registered = set(known)
    missing = [key for key in wanted if key not in registered]
    if missing:
        raise ExperimentNotFound(f"{', '.join(missing[:5])} is not registered.")
    return cut_batches(known, dict.fromkeys(wanted, Work(0, 0)), Limits(largest))


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
    assets: Sequence[str] | None = None,
) -> Iterator[BatchResult]:
    """Run a job, or some of its assets, batch after batch, and tell of each.

    A job without partitions takes no keys and is one batch.
    """
    from refinebio_assets.definitions import defs

    job = defs.resolve_job_def(job_name)
    batches: list[list[str]] = [[]]
    if job.partitions_def is not None:
        known = list(job.partitions_def.get_partition_keys(dynamic_partitions_store=instance))
        batches = contiguous_batches(known, keys, EXPERIMENTS_PER_RUN)
    for batch in batches:
        result = job.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {}}, **(settings or {})},
            tags=range_tags(batch[0], batch[-1]) if batch else {},
            raise_on_error=False,
            asset_selection=[dg.AssetKey(each) for each in assets] if assets else None,
        )
        errors = [failure_words(event) for event in result.all_events if event.is_step_failure]
        yield BatchResult(batch, result.run_id, errors)


def failure_words(event: dg.DagsterEvent) -> str:
    """Why a step failed, in words."""
    failure = event.step_failure_data
    told = failure.user_failure_data
    if told is not None and told.description:
        return told.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else str(event.message)
