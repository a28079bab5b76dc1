"""Objects of v1 of which several routes tell, made of rows of `api`'s views."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.downloads import size_of
from refinebio_assets.resources.storage import Storage

IndexAddress = Callable[[int], str]

SHORT_SAMPLES: Final = """
SELECT accession_code, platform_name, pretty_platform, technology, is_processed,
       is_unable_to_be_processed
FROM memory.api.samples WHERE accession_code IN ($among)
ORDER BY accession_code
"""
PROCESSORS: Final = "SELECT * FROM memory.api.processors WHERE id IN ($among)"
INDICES: Final = "SELECT * FROM memory.api.indices WHERE sha256 IN ($among)"


def processor(row: Row) -> dict[str, Any]:
    """A row of `processors`."""
    family = "cmd_line" if row["tool"] == "salmon" else "python"
    return {
        "id": row["id"],
        "name": row["name"],
        "version": row["version"],
        "docker_image": "",
        "environment": {family: {row["tool"]: row["tool_version"]}},
    }


def index(row: Row, address: IndexAddress) -> dict[str, Any]:
    """A row of `indices`."""
    names = ("id", "assembly_name", "organism_name", "database_name", "release_version")
    return {
        **{name: row[name] for name in (*names, "index_type", "salmon_version", "result_id")},
        "download_url": address(row["id"]),
        "last_modified": row["created_at"],
    }


def short_samples(reader: Reader, accessions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Accession -> the sample in short."""
    rows = reader.rows_among(SHORT_SAMPLES, sorted(set(accessions)))
    return {row["accession_code"]: row for row in rows}


def with_makers(
    reader: Reader, rows: list[Row], address: IndexAddress
) -> dict[int, dict[str, Any]]:
    """Number of a result -> how it is told of in short: its processor and its index."""
    wanted = sorted({row["processor_id"] for row in rows if row["processor_id"] is not None})
    processors = {row["id"]: processor(row) for row in reader.rows_among(PROCESSORS, wanted)}
    digests = sorted({row["index_sha256"] for row in rows if row["index_sha256"]})
    indices = {
        (row["sha256"], row["organism_name"], row["index_type"]): index(row, address)
        for row in reader.rows_among(INDICES, digests)
    }
    return {
        row["id"]: {
            "id": row["id"],
            "processor": processors.get(row["processor_id"]),
            "organism_index": indices.get(
                (row["index_sha256"], row["organism"], row["index_type"])
            ),
        }
        for row in rows
    }


def results(reader: Reader, rows: list[Row], address: IndexAddress) -> dict[int, dict[str, Any]]:
    """Number -> a result, of rows of `results`."""
    makers = with_makers(reader, rows, address)
    return {
        row["id"]: {
            **makers[row["id"]],
            "commands": commands(row["command"]),
            "is_ccdl": False,
            "annotations": [],
            "time_start": row["time_start"],
            "time_end": row["time_end"],
            "created_at": row["time_end"],
            "last_modified": row["time_end"],
        }
        for row in rows
    }


def commands(command: str | None) -> list[str]:
    """The call of Salmon, of its `cmd_info.json`; of paths, only their last part."""
    found = document(command)
    if not isinstance(found, Mapping):
        return []
    options = [f"--{name} {_without_folders(value)}".strip() for name, value in found.items()]
    return [" ".join(["salmon", "quant", *options])]


def _without_folders(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " ".join(PurePosixPath(str(each)).name for each in values)


def file(row: Row, storage: Storage, size: int | None = None) -> dict[str, Any]:
    """A row of `computed_files`, in short."""
    return {
        "id": row["id"],
        "filename": row["filename"],
        "size_in_bytes": size if size is not None else size_of(storage, row["path"]),
        "is_smashable": row["is_smashable"],
        "is_qc": row["is_qc"],
        "sha1": None,
        "s3_bucket": None,
        "s3_key": row["path"],
        "created_at": row["created_at"],
        "last_modified": row["last_modified"],
    }


def document(text: str | None) -> Any:
    """The JSON value of a text that is one, else the text."""
    try:
        return json.loads(text or '""')
    except ValueError:
        return text
