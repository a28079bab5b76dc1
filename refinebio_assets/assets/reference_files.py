"""Fetching the files that an entry of a reference catalogue names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import dagster as dg

from refinebio_assets.assets.progress import Log, Progress
from refinebio_assets.resources.downloads import Downloads

NETWORK_RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL)


def fetch_named(
    files: Mapping[str, tuple[str, ...]], scratch: Path, label: str, downloads: Downloads, log: Log
) -> dict[str, list[Path]]:
    """The files by their key: where they are, if on this machine, else under `scratch`."""
    fetched: dict[str, list[Path]] = {}
    for kind, urls in files.items():
        for number, url in enumerate(urls):
            name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
            progress = Progress(log, f"{label}: {name}", None, "bytes")
            target = scratch / f"{kind}-{number}" / name
            path = downloads.fetch(url, target, partial(_tell, progress))
            fetched.setdefault(kind, []).append(path)
    return fetched


def _tell(progress: Progress, done: int, _total: int | None) -> None:
    progress.update(done)
