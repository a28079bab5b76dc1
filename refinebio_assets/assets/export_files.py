"""Making a release of an export: its files, what is left out, and its record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.export_anndata import make_anndata
from refinebio_assets.assets.export_archs4 import make_archs4
from refinebio_assets.assets.export_work import ExportWork, MadeFile
from refinebio_assets.assets.progress import Log
from refinebio_assets.resources.compendia import Kind, record_name
from refinebio_assets.resources.export_selection import ExportSelection
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb

LEFT_OUT = "left_out.tsv"


@dataclass(frozen=True)
class MadeExport:
    """A release in its folder, before it is put in place, and what is to be told of it."""

    kind: Kind
    record: dict[str, Any]
    files: list[MadeFile]

    def left_out(self) -> list[dict[str, str]]:
        """Rows of LEFT_OUT."""
        return [
            {"level": file.entry["level"], "sample": each.sample, "reason": each.reason}
            for file in self.files
            for each in file.left_out
        ]


def inputs_of(kind: Kind, selection: ExportSelection) -> dict[str, str]:
    """What a release depends on; as long as it is the same, so is the release."""
    return selection.inputs(with_target=kind != "archs4")


def make_export(
    kind: Kind,
    selection: ExportSelection,
    version: int,
    *,
    database: duckdb.DuckDBPyConnection,
    storage: Storage,
    folder: Path,
    run_id: str,
    log: Log,
) -> MadeExport:
    """Fill a release's folder.

    Raises
    ------
    NothingToDeliver
        No sample has values.
    InvalidCounts
        A sample has counts that an export cannot hold.
    """
    import polars as pl

    log(f"{selection.organism}: {len(selection.samples):,} samples as {kind}")
    work = ExportWork(selection, version, database, storage, folder, log)
    files = make_archs4(work) if kind == "archs4" else make_anndata(work, kind)
    target = selection.target if kind != "archs4" else None
    record = {
        "organism": selection.organism,
        "version": version,
        "files": [each.entry for each in files],
        "references": selection.references,
        "target_version": target.version if target else None,
        "inputs": inputs_of(kind, selection),
        "code_version": __version__,
        "run_id": run_id,
        "recorded_at": datetime.now(UTC).isoformat(),
    }
    text = json.dumps(record, indent=1) + "\n"
    (folder / record_name(kind)).write_text(text, encoding="utf-8")
    made = MadeExport(kind, record, files)
    schema = dict.fromkeys(("level", "sample", "reason"), pl.String)
    pl.DataFrame(made.left_out(), schema=schema).write_csv(folder / LEFT_OUT, separator="\t")
    return made
