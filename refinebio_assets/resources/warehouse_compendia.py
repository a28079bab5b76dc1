"""The compendia in the catalogue: their releases, samples and genes as tables, values as a view."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refinebio_assets.resources.compendia import FOLDERS, all_releases
from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import (
    COMPENDIA,
    COMPENDIUM_EXPRESSION,
    COMPENDIUM_GENES,
    COMPENDIUM_LEFT_OUT,
    COMPENDIUM_SAMPLES,
    Table,
    sql_text,
)

if TYPE_CHECKING:
    import duckdb

# File of a release -> the table that all of them make.
FILES = {
    "samples.parquet": COMPENDIUM_SAMPLES,
    "genes.parquet": COMPENDIUM_GENES,
    "left_out.parquet": COMPENDIUM_LEFT_OUT,
}

MACRO_MEANINGS = {
    "compendium_gene": "Values of a gene in a release: "
    "compendium_gene('HOMO_SAPIENS', 1, 'ENSG…').",
    "compendium_sample": "Values of a sample in a release: "
    "compendium_sample('HOMO_SAPIENS', 1, 'GSM…').",
    "compendium_matrix": "Values of some samples of a release: "
    "compendium_matrix('HOMO_SAPIENS', 1, ['GSM…', 'GSM…']).",
}


def fill_compendia(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    """Put all releases into a catalogue that is being built."""
    from refinebio_assets.compendium.tiles import COMPENDIUM_EXPRESSION as EXPRESSION_QUERY
    from refinebio_assets.compendium.tiles import COMPENDIUM_MACROS

    _fill_releases(database, storage)
    for name, table in FILES.items():
        columns = ", ".join(table.column_names())
        pattern = f"{FOLDERS['normalized']}/*/*/{name}"
        body = f"SELECT {columns} FROM read_parquet({sql_text(_below(storage, pattern))})"  # noqa: S608
        there = any(storage.root.glob(pattern))
        database.execute(f"CREATE TABLE {table.name} AS {body if there else _nothing(table)}")
    values = f"{FOLDERS['normalized']}/*/*/values/*.parquet"
    there = any(storage.root.glob(values))
    body = EXPRESSION_QUERY.replace("$files", sql_text(_below(storage, values)))
    database.execute(
        f"CREATE VIEW {COMPENDIUM_EXPRESSION.name} AS "
        f"{body if there else _nothing(COMPENDIUM_EXPRESSION)}"
    )
    for macro in COMPENDIUM_MACROS:
        database.execute(macro)
    for name, meaning in MACRO_MEANINGS.items():
        database.execute(f"COMMENT ON MACRO TABLE {name} IS {sql_text(meaning)}")


def _fill_releases(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    database.execute(f"CREATE TABLE {COMPENDIA.name} AS {_nothing(COMPENDIA)}")
    found = [each for kind in FOLDERS for each in all_releases(storage, kind)]
    newest = {(each.kind, each.organism): each.version for each in found}
    rows = []
    for each in found:
        told = {
            **each.record,
            "kind": each.kind,
            "is_current": newest[each.kind, each.organism] == each.version,
        }
        rows.append([told.get(name) for name in COMPENDIA.column_names()])
    if rows:
        marks = ", ".join("?" for _ in COMPENDIA.columns)
        database.executemany(f"INSERT INTO {COMPENDIA.name} VALUES ({marks})", rows)  # noqa: S608


def _below(storage: Storage, pattern: str) -> str:
    """A glob below the home folder, whose own name is taken as it is."""
    root = re.sub(r"[*?\[]", r"[\g<0>]", str(storage.root))
    return f"{root}/{pattern}"


def _nothing(table: Table) -> str:
    columns = ", ".join(f"NULL::{column.type} AS {column.name}" for column in table.columns)
    return f"SELECT {columns} WHERE false"
