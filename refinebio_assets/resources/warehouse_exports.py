"""The exports in the catalogue: a row for each file of each release."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from refinebio_assets.resources.compendia import (
    EXPORT_FOLDERS,
    Release,
    all_releases,
    manifest_of,
)
from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import EXPORTS

if TYPE_CHECKING:
    import duckdb


def fill_exports(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    """Put all releases into a catalogue that is being built."""
    columns = ", ".join(f"{each.name} {each.type}" for each in EXPORTS.columns)
    database.execute(f"CREATE TABLE {EXPORTS.name} ({columns})")
    found = [each for kind in EXPORT_FOLDERS for each in all_releases(storage, kind)]
    newest = {(each.kind, each.organism): each.version for each in found}
    rows = [
        [
            {**row, "is_current": newest[each.kind, each.organism] == each.version}[name]
            for name in EXPORTS.column_names()
        ]
        for each in found
        for row in export_rows(each, storage)
    ]
    if rows:
        marks = ", ".join("?" for _ in EXPORTS.columns)
        database.executemany(f"INSERT INTO {EXPORTS.name} VALUES ({marks})", rows)  # noqa: S608


def export_rows(release: Release, storage: Storage) -> list[dict[str, Any]]:
    """A row of `tables.EXPORTS` for each file, but for `is_current`."""
    listed = manifest_of(release)
    rows = []
    for file in release.record["files"]:
        parts = [
            each
            for each in listed
            if each["name"] == file["name"] or each["name"].startswith(f"{file['name']}/")
        ]
        rows.append(
            {
                **release.record,
                **file,
                "kind": release.kind,
                "num_bytes": sum(each["bytes"] for each in parts),
                "sha256": _digest(file["name"], parts),
                "file": str((release.folder / file["name"]).relative_to(storage.root)),
            }
        )
    return rows


def _digest(name: str, parts: list[dict[str, Any]]) -> str:
    """Of a file; of a folder, that of the digests and paths of its files, as sha256sum's lines."""
    if [each["name"] for each in parts] == [name]:
        return str(parts[0]["sha256"])
    lines = (f"{each['sha256']}  {each['name']}\n" for each in parts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
