"""What became of a sample at one stage: processed, waiting, failed or skipped, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from refinebio_assets.errors import RefinebioError

Status = Literal["processed", "waiting", "failed", "skipped"]


@dataclass(frozen=True)
class SampleStatus:
    """One sample's verdict; `reason_code`, `reason` and `remedy` are null when processed."""

    sample: str
    status: Status
    reason_code: str | None = None
    reason: str | None = None
    remedy: str | None = None

    @classmethod
    def of_error(cls, sample: str, error: RefinebioError) -> SampleStatus:
        """`failed` where the fault is the sample's own, else `waiting`."""
        status: Status = "failed" if error.blames_sample else "waiting"
        return cls(sample, status, error.code, error.message, error.remedy)


def write_statuses(
    statuses: Iterable[SampleStatus],
    path: Path,
    *,
    experiment: str,
    stage: str,
    code_version: str,
    run_id: str,
    recorded_at: datetime,
) -> None:
    """Write one experiment's statuses after one stage as Parquet."""
    from refinebio_assets.matrix.tables import frame, write_parquet
    from refinebio_assets.tables import SAMPLE_STATUS

    shared = {
        "experiment": experiment,
        "stage": stage,
        "code_version": code_version,
        "run_id": run_id,
        "recorded_at": recorded_at,
    }
    rows = [{**asdict(status), **shared} for status in statuses]
    write_parquet(frame(SAMPLE_STATUS, rows), path)
