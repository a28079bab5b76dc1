"""Which experiments are processed next, in which batches. Not here: Dagster, and the catalogue.

A batch is a contiguous range in registration order, bounded by experiments, samples and
bytes; keys that lie apart become batches of one, as in a backfill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much is started at a time; `attempts` is how often before an experiment is parked."""

    experiments_per_run: int = 25
    samples_per_run: int = 500
    bytes_per_run: int = 500 << 30
    runs_per_tick: int = 5
    runs_per_day: int = 200
    attempts: int = 3
    parallel_samples: int = 1


@dataclass(frozen=True)
class Work:
    """What there is to do in one experiment: samples to process, bytes to fetch."""

    samples: int
    bytes: int


def cut_batches(
    order: Sequence[str], wanted: Mapping[str, Work], limits: Limits
) -> list[list[str]]:
    """Contiguous ranges of `order` that cover the wanted experiments.

    An experiment that alone exceeds a bound is a batch of its own. A wanted experiment that
    is not in `order` is left out.
    """
    batches: list[list[str]] = []
    samples = size = 0
    following = False
    for experiment in order:
        work = wanted.get(experiment)
        if work is None:
            following = False
            continue
        fits = (
            following
            and len(batches[-1]) < limits.experiments_per_run
            and samples + work.samples <= limits.samples_per_run
            and size + work.bytes <= limits.bytes_per_run
        )
        if fits:
            batches[-1].append(experiment)
            samples, size = samples + work.samples, size + work.bytes
        else:
            batches.append([experiment])
            samples, size = work.samples, work.bytes
        following = True
    return batches
