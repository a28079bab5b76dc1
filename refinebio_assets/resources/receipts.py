"""Where a value comes from: from the gene of a sample back to raw files, reference and run.

Not here: how receipts are shown.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.errors import InvalidRequest
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    import duckdb

MANIFEST = "raw.json"

_VALUES = """
SELECT * FROM receipt($gene, $sample) ORDER BY experiment
"""
_FILES = """
SELECT filename, source_url FROM sample_files
WHERE experiment = $experiment AND sample = $sample ORDER BY position
"""


@dataclass(frozen=True)
class RawFile:
    """A raw file of a sample; `sha256` None where the catalogue has no digest of it."""

    name: str
    source_url: str | None
    sha256: str | None


@dataclass(frozen=True)
class Receipt:
    """Where one value comes from.

    Attributes
    ----------
    value
        The row of the SQL macro `receipt`: gene, symbol, sample, experiment, the value, what
        made it (method, program, version, reference, its release and digest), the code's
        version, the Dagster run, when, and the file that holds it.
    raw_files
        That the sample names; the digests of those that were processed.
    """

    value: dict[str, Any]
    raw_files: tuple[RawFile, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A JSON document; moments as text."""
        told = {name: _plain(each) for name, each in self.value.items()}
        return {**told, "raw_files": [asdict(each) for each in self.raw_files]}


def receipt_of(
    database: duckdb.DuckDBPyConnection, storage: Storage, gene: str, sample: str
) -> list[Receipt]:
    """A receipt for each value: of each experiment that has the sample, and each gene of a symbol.

    Raises
    ------
    InvalidRequest
        There is no such value.
    """
    found = database.execute(_VALUES, {"gene": gene, "sample": sample})
    names = [column[0] for column in found.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    if not rows:
        raise InvalidRequest(
            f"There is no value of {gene[:80]} in {sample[:80]}.",
            remedy="Genes are named by id or symbol; see sample_status for the sample.",
        )
    return [Receipt(row, _raw_files(database, storage, row)) for row in rows]


def _raw_files(
    database: duckdb.DuckDBPyConnection, storage: Storage, row: dict[str, Any]
) -> tuple[RawFile, ...]:
    """The digests are in the order of the manifest, which names the files; else of the record."""
    digests = list(row["raw_sha256"] or [])
    manifest = read_json(storage.raw_folder(row["experiment"], row["sample"]) / MANIFEST) or {}
    stored = manifest.get("files") or [each for each in [manifest.get("file")] if each]
    known = {each["sha256"]: each for each in stored}
    if digests and all(digest in known for digest in digests):
        return tuple(
            RawFile(Path(known[digest]["path"]).name, known[digest]["source_url"], digest)
            for digest in digests
        )
    asked = {"experiment": row["experiment"], "sample": row["sample"]}
    files = database.execute(_FILES, asked).fetchall()
    if len(files) == len(digests):
        return tuple(
            RawFile(name, url, digest) for (name, url), digest in zip(files, digests, strict=True)
        )
    unnamed = tuple(RawFile(row["raw_name"] or "", None, digest) for digest in digests)
    return unnamed + tuple(RawFile(name, url, None) for name, url in files)


# --- is it still so? ------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """What was looked at again: `state` is as recorded, changed, or not there any more."""

    what: str
    state: str


def verify(storage: Storage, receipt: Receipt) -> list[Verified]:
    """Compare what is still there with the receipt: raw files by digest, and the value's file."""
    row = receipt.value
    manifest = read_json(storage.raw_folder(row["experiment"], row["sample"]) / MANIFEST) or {}
    stored = manifest.get("files") or [each for each in [manifest.get("file")] if each]
    paths = {each["sha256"]: Path(each["path"]) for each in stored}
    found = [
        Verified(f"raw file {each.name}", _state(paths.get(each.sha256), each.sha256))
        for each in receipt.raw_files
        if each.sha256
    ]
    values = storage.expression_file(row["organism"], row["technology"], row["experiment"])
    state = "as recorded" if _value_in(values, row) else "changed"
    found.append(Verified(values.name, state if values.exists() else "not there any more"))
    return found


def _state(path: Path | None, sha256: str) -> str:
    if path is None or not path.exists():
        return "not there any more"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    return "as recorded" if same else "changed"


def _value_in(path: Path, row: dict[str, Any]) -> bool:
    import polars as pl

    if not path.exists():
        return False
    chosen = (pl.col("gene") == row["gene"]) & (pl.col("sample") == row["sample"])
    values = pl.scan_parquet(path, glob=False).filter(chosen).select("value").collect()
    return values["value"].to_list() == [row["value"]]


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
