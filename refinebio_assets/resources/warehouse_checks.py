"""Is the catalogue what `refinebio_assets.tables` declares? Keys, references, columns, files.

The questions are generated from the declarations. Tables are checked whole; the views over
expression values for the experiments that were written last, since what was checked once does
not change. `compendium_expression` is not checked here: a release's own asset checks do, once.
Not here: whether values make sense.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import CATALOGUE, COMPENDIUM_EXPRESSION, Reference, Table, sql_text

if TYPE_CHECKING:
    import duckdb

KEYS, REFERENCES, COLUMNS, FILES = (
    "keys_are_unique",
    "references_hold",
    "columns_as_declared",
    "files_are_known",
)
CHECKS = {
    KEYS: "No two rows of a table have the same key, and none is without.",
    REFERENCES: "What a row refers to is there: a sample's experiment, a value's sample, …",
    COLUMNS: "Columns and types are the declared ones, and each has its comment.",
    FILES: "Expression files belong to known experiments, and processed samples have them.",
}

_EXAMPLES = 3
_NEWEST_EXPERIMENTS = 5


@dataclass(frozen=True)
class Finding:
    """What one question found; nothing wrong when `num_wrong` is 0.

    `is_error`: what is wrong makes the check fail, rather than warn.
    """

    check: str
    table: str
    what: str
    num_wrong: int = 0
    examples: tuple[str, ...] = ()
    is_error: bool = True

    def __str__(self) -> str:
        if not self.num_wrong:
            return f"{self.table}: {self.what}"
        more = ", …" if self.num_wrong > len(self.examples) else ""
        return f"{self.table}: {self.num_wrong:,} {self.what}: {', '.join(self.examples)}{more}"


def check_catalogue(database: duckdb.DuckDBPyConnection, storage: Storage) -> list[Finding]:
    """All findings, good ones too, in the order of the tables."""
    newest = _newest_experiments(database)
    views = {
        name for (name,) in database.execute("SELECT view_name FROM duckdb_views()").fetchall()
    }
    findings = []
    for table in CATALOGUE:
        findings += _columns(database, table)
        if table == COMPENDIUM_EXPRESSION:
            continue
        rows = _of_experiments(table, newest) if table.name in views else table.name
        if table.key:
            findings.append(_key(database, table, rows))
        findings += [_reference(database, table, each, rows) for each in table.references]
    return [*findings, *_files(database, storage)]


def _newest_experiments(database: duckdb.DuckDBPyConnection) -> list[str]:
    rows = database.execute(
        "SELECT experiment FROM (SELECT experiment, recorded_at FROM quantifications "
        "UNION ALL SELECT experiment, recorded_at FROM arrays) "
        "GROUP BY experiment ORDER BY max(recorded_at) DESC, experiment LIMIT ?",
        [_NEWEST_EXPERIMENTS],
    ).fetchall()
    return [name for (name,) in rows]


def _of_experiments(table: Table, experiments: Sequence[str]) -> str:
    names = ", ".join(map(sql_text, experiments)) or "NULL"
    return f"(FROM {table.name} WHERE experiment IN ({names}))"


def _key(database: duckdb.DuckDBPyConnection, table: Table, rows: str) -> Finding:
    columns = ", ".join(table.key)
    absent = " OR ".join(f"{name} IS NULL" for name in table.key)
    wrong = f"SELECT {columns} FROM {rows} GROUP BY {columns} HAVING count(*) > 1 OR {absent}"  # noqa: S608
    num_wrong, examples = _counted(database, wrong, table.key)
    if not num_wrong:
        return Finding(KEYS, table.name, f"one row for each {_words(table.key)}")
    return Finding(
        KEYS,
        table.name,
        f"values of ({columns}) that are in several rows, or incomplete",
        num_wrong,
        examples,
    )


def _reference(
    database: duckdb.DuckDBPyConnection, table: Table, reference: Reference, rows: str
) -> Finding:
    columns = ", ".join(reference.columns)
    given = " AND ".join(f"{name} IS NOT NULL" for name in reference.columns)
    wrong = (
        f"SELECT DISTINCT {columns} FROM {rows} ANTI JOIN {reference.table} "  # noqa: S608
        f"USING ({columns}) WHERE {given}"
    )
    num_wrong, examples = _counted(database, wrong, reference.columns)
    what = f"every {_words(reference.columns)} is in {reference.table}"
    if num_wrong:
        what = f"values of ({columns}) that are not in {reference.table}"
    return Finding(REFERENCES, table.name, what, num_wrong, examples, reference.always)


def _counted(
    database: duckdb.DuckDBPyConnection, query: str, columns: Iterable[str]
) -> tuple[int, tuple[str, ...]]:
    """How many rows a query has, and the first few as text."""
    shown = ", ".join(f"coalesce({name}::VARCHAR, '–')" for name in columns)
    rows = database.execute(
        f"WITH wrong AS MATERIALIZED ({query}) "  # noqa: S608
        f"SELECT concat_ws(' ', {shown}), (SELECT count(*) FROM wrong) FROM wrong "
        f"ORDER BY ALL LIMIT {_EXAMPLES}"
    ).fetchall()
    return (rows[0][1] if rows else 0), tuple(text for text, _ in rows)


def _columns(database: duckdb.DuckDBPyConnection, table: Table) -> list[Finding]:
    rows = database.execute(
        "SELECT column_name, data_type, comment FROM duckdb_columns() "
        "WHERE table_name = ? ORDER BY column_index",
        [table.name],
    ).fetchall()
    declared = [(column.name, column.type, column.comment) for column in table.columns]
    if rows == declared:
        return [Finding(COLUMNS, table.name, "columns, types and comments as declared")]
    odd = [str(row[0]) for row in (*rows, *declared) if (row in rows) != (row in declared)]
    examples = tuple(dict.fromkeys(odd))[:_EXAMPLES] or ("their order",)
    return [Finding(COLUMNS, table.name, "columns are not as declared", len(examples), examples)]


def _files(database: duckdb.DuckDBPyConnection, storage: Storage) -> list[Finding]:
    there = {
        (path.stem, path.parent.name.removeprefix("technology="))
        for path in storage.processed("expression").glob("organism=*/technology=*/*.parquet")
    }
    experiments = {
        name for (name,) in database.execute("SELECT experiment FROM experiments").fetchall()
    }
    unknown = sorted({name for name, _ in there} - experiments)
    processed = database.execute(
        "SELECT DISTINCT experiment, 'RNA-SEQ' FROM sample_status SEMI JOIN quantifications "
        "USING (experiment, sample) WHERE status = 'processed' UNION "
        "SELECT DISTINCT experiment, 'MICROARRAY' FROM sample_status SEMI JOIN arrays "
        "USING (experiment, sample) WHERE status = 'processed'"
    ).fetchall()
    without = sorted({name for name, technology in processed if (name, technology) not in there})
    return [
        Finding(
            FILES,
            "expression",
            "files of experiments that are not in experiments"
            if unknown
            else f"all {len(there):,} files belong to known experiments",
            len(unknown),
            tuple(unknown[:_EXAMPLES]),
            is_error=False,
        ),
        Finding(
            FILES,
            "sample_status",
            "experiments with processed samples that have no file of values"
            if without
            else "all experiments with processed samples have a file of values",
            len(without),
            tuple(without[:_EXAMPLES]),
        ),
    ]


def _words(columns: Sequence[str]) -> str:
    *first, last = columns
    return f"{', '.join(first)} and {last}" if first else last
