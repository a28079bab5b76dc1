"""The catalogue as the API reads it: open read-only, taken anew when it was replaced.

Each catalogue file is linked aside under a name of its own and attached to a DuckDB of its
own, for DuckDB knows files by their names, and the old and the new one are open at once: who
reads goes on with the old one until done. The new one is opened aside, which takes seconds
where it is large, and answers meanwhile come from the old one; nobody waits for a build. SQL
reaches no other file.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refinebio_assets.api.views import prepare
from refinebio_assets.errors import NoCatalogue
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger(__name__)

Row = dict[str, Any]
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Opened:
    database: duckdb.DuckDBPyConnection
    stamp: Stamp


class Catalogue:
    """Gives readers of the newest catalogue; may be used by many threads at once."""

    def __init__(self, storage: Storage, memory_limit: str = "1GB") -> None:
        self._storage = storage
        self._memory_limit = memory_limit
        self._opening = threading.Lock()
        self._opened: _Opened | None = None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """A reader of the newest catalogue that is open; it keeps it, whatever comes after.

        Raises
        ------
        NoCatalogue
        """
        with self._newest().database.cursor() as cursor:
            cursor.execute("USE catalogue")
            yield Reader(cursor)

    def close(self) -> None:
        """Let go of the catalogue, once nobody reads any more."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.database.close()

    def _newest(self) -> _Opened:
        stamp = _stamp(self._storage)
        opened = self._opened
        if opened is None:
            if stamp is None:
                raise NoCatalogue(f"There is no catalogue under {self._storage.root}.")
            with self._opening:
                return self._open(stamp)
        if stamp not in (None, opened.stamp) and self._opening.acquire(blocking=False):
            threading.Thread(target=self._open_aside, args=(stamp,), daemon=True).start()
        return opened

    def _open_aside(self, stamp: Stamp | None) -> None:
        """Open the new catalogue while the old one serves; the lock was taken for it."""
        try:
            self._open(stamp)
        finally:
            self._opening.release()

    def _open(self, stamp: Stamp | None) -> _Opened:
        before = self._opened
        if before is not None and before.stamp == stamp:  # another thread was first
            return before
        try:
            self._opened = _open(self._storage, self._memory_limit)
        except Exception:
            if before is None:
                raise
            _log.exception("The new catalogue cannot be opened; the old one serves on.")
            return before
        return self._opened


class Reader:
    """Asks one catalogue questions; for one thread."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor

    def rows(self, question: str, *values: Any) -> list[Row]:
        """The rows of an answer, by column."""
        found = self.cursor.execute(question, values)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def rows_among(self, question: str, values: Iterable[Any]) -> list[Row]:
        """The rows of an answer; the values stand where the question has `IN ($among)`.

        Named one by one, they confine what DuckDB reads. For a page's worth of values.
        """
        listed = list(values)
        marks = ", ".join("?" for _ in listed) or "NULL"
        return self.rows(question.replace("$among", marks), *listed)

    def value(self, question: str, *values: Any) -> Any:
        """The first value of the first row; None where there is no row."""
        found = self.cursor.execute(question, values).fetchone()
        return found[0] if found else None


def _open(storage: Storage, memory_limit: str) -> _Opened:
    import duckdb

    with storage.staging() as folder:
        aside = folder / "catalogue.duckdb"
        try:
            os.link(storage.catalogue(), aside)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copy2(storage.catalogue(), aside)
        stamp = _stamp_of(aside.stat())
        database = duckdb.connect(config={"memory_limit": memory_limit})
        try:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(f"ATTACH '{_quoted(str(aside))}' AS catalogue (READ_ONLY)")
            prepare(database, storage)
            database.execute("SET enable_external_access = false")
            database.execute("SET lock_configuration = true")
        except BaseException:
            database.close()
            raise
    return _Opened(database, stamp)


def _quoted(path: str) -> str:
    return path.replace("'", "''")


def _stamp(storage: Storage) -> Stamp | None:
    with suppress(FileNotFoundError):
        return _stamp_of(storage.catalogue().stat())
    return None


def _stamp_of(status: os.stat_result) -> Stamp:
    return (status.st_ino, status.st_mtime_ns, status.st_size)
