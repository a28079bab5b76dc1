"""How often the dispatcher has started each experiment: a small SQLite file in REFINEBIO_HOME."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from refinebio_assets.resources.storage import Storage

_CREATE = """
CREATE TABLE IF NOT EXISTS attempts (
    experiment TEXT PRIMARY KEY, attempts INTEGER NOT NULL, last_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS started (day TEXT PRIMARY KEY, runs INTEGER NOT NULL);
"""


class Attempts:
    """Counts that outlive the dispatcher; several processes may use them."""

    def __init__(self, storage: Storage) -> None:
        self._path = storage.root / "dispatch.sqlite"

    def counts(self) -> dict[str, int]:
        """Attempts of every experiment that has been started since it last came through."""
        with self._open() as database:
            return dict(database.execute("SELECT experiment, attempts FROM attempts"))

    def runs_today(self) -> int:
        """Runs started today (UTC)."""
        with self._open() as database:
            row = database.execute("SELECT runs FROM started WHERE day = ?", [_today()]).fetchone()
        return int(row[0]) if row else 0

    def add(self, batch: Iterable[str]) -> None:
        """One more attempt for each experiment of a batch, one more run for today."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._open() as database:
            database.executemany(
                "INSERT INTO attempts VALUES (?, 1, ?) ON CONFLICT (experiment) DO UPDATE "
                "SET attempts = attempts + 1, last_at = excluded.last_at",
                [(experiment, now) for experiment in batch],
            )
            database.execute(
                "INSERT INTO started VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET runs = runs + 1",
                [_today()],
            )

    def forget(self, experiments: Iterable[str]) -> None:
        """Begin to count anew: after success, or when a person wants another try."""
        with self._open() as database:
            database.executemany(
                "DELETE FROM attempts WHERE experiment = ?", [(each,) for each in experiments]
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=60)) as database, database:
            database.executescript(_CREATE)
            yield database


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
