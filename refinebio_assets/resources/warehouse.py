"""The DuckDB catalogue: built aside from the files under REFINEBIO_HOME, swapped in by rename.

Parquet is the truth; the catalogue holds copies of the small tables and views over the
expression files, and can be rebuilt at any time. Readers never wait: whoever has the old
file open goes on reading it. The SELECTs are in `warehouse_queries`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from refinebio_assets.errors import NoCatalogue, RefinebioError
from refinebio_assets.metadata.platforms import arrays, is_bead_array
from refinebio_assets.resources.annotations import built_annotations
from refinebio_assets.resources.datasets import dataset_row, requested_datasets
from refinebio_assets.resources.qn_targets import all_targets
from refinebio_assets.resources.references import (
    GENE_MAP,
    index_folder,
    newest_transcriptome,
    transcriptome_folder,
)
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse_checks import Finding, check_catalogue
from refinebio_assets.resources.warehouse_compendia import fill_compendia
from refinebio_assets.resources.warehouse_exports import fill_exports
from refinebio_assets.resources.warehouse_queries import MACROS, TABLES, VIEWS
from refinebio_assets.resources.warehouse_search import SEARCH_MACROS, make_searchable
from refinebio_assets.tables import (
    CATALOGUE,
    DATASETS,
    GENES,
    ORGANISMS,
    PLATFORMS,
    QN_TARGETS,
    Table,
    sql_text,
)

if TYPE_CHECKING:
    import duckdb


# As part of a path: taken for a URL's query, a separator, a column of the files below.
_UNFIT_FOR_DUCKDB = re.compile(r"\?|\\|(organism|technology)=")


class Warehouse(dg.ConfigurableResource):
    """Builds and opens the catalogue."""

    memory_limit: str = Field(default="2GB", description="Memory DuckDB may use while building.")

    def build(self, storage: Storage) -> dict[str, int]:
        """Rebuild the catalogue and swap it in; return the rows of each table (not view)."""
        import duckdb

        final = storage.catalogue()
        unfit = _UNFIT_FOR_DUCKDB.search(str(final))
        if unfit:
            raise RefinebioError(
                f"No catalogue can be kept under {storage.root}: DuckDB misreads {unfit[0]!r}.",
                remedy="Set REFINEBIO_HOME to another folder.",
            )
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.memory_limit
        }
        with (
            storage.publish_file(final) as staged,
            duckdb.connect(staged, config=config) as database,
        ):
            database.begin()
            _fill(database, storage)
            database.commit()  # rows have their final numbers only then, which searches use
            database.begin()
            make_searchable(database)
            _comment(database)
            counts = _counts(database)
            database.commit()
        return counts

    def check(self, storage: Storage) -> list[Finding]:
        """Look whether the catalogue is as declared: keys, references, columns, files."""
        with storage.staging() as scratch, self.connect(storage) as database:
            database.execute(f"SET memory_limit = {sql_text(self.memory_limit)}")
            database.execute(f"SET temp_directory = {sql_text(str(scratch))}")
            return check_catalogue(database, storage)

    def organisms(self, storage: Storage) -> list[str]:
        """The organisms of which there are values."""
        with self.connect(storage) as database:
            rows = database.execute(
                "SELECT organism FROM arrays UNION SELECT organism FROM quantifications ORDER BY 1"
            ).fetchall()
        return [organism for (organism,) in rows]

    def connect(self, storage: Storage) -> duckdb.DuckDBPyConnection:
        """Open the catalogue for reading.

        Raises
        ------
        NoCatalogue
        """
        import duckdb

        if not storage.catalogue().exists():
            raise NoCatalogue(f"There is no catalogue under {storage.root}.")
        return duckdb.connect(storage.catalogue(), read_only=True)


_FILES = {
    "survey": "experiments/*.parquet",
    "statuses": "sample_status/*/*.parquet",
    "quantifications": "quantifications/*.parquet",
    "profiles": "rnaseq_profiles/*.parquet",
    "arrays": "arrays/*.parquet",
    "rnaseq": "expression/organism=*/technology=RNA-SEQ/*.parquet",
    "microarray": "expression/organism=*/technology=MICROARRAY/*.parquet",
}


def _fill(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    processed = storage.root / "processed"
    declared = {table.name: table for table in CATALOGUE}
    _fill_platforms(database, storage)
    for name, (needs, query) in TABLES.items():
        body = query if not needs else _over_files(query, needs, processed)
        database.execute(f"CREATE TABLE {name} AS {body or _nothing(declared[name])}")
    for name, (kinds, query) in VIEWS.items():
        parts = [part for needs in kinds if (part := _over_files(query, needs, processed))]
        body = " UNION ALL ".join(parts) or _nothing(declared[name])
        database.execute(f"CREATE VIEW {name} AS {body}")
    _fill_references(database, storage)
    _fill_targets(database, storage)
    _fill_datasets(database, storage)
    fill_compendia(database, storage)
    fill_exports(database, storage)
    for macro in MACROS:
        database.execute(macro.definition())


def _over_files(query: str, needs: str, processed: Path) -> str | None:
    """The query over the files of a kind; None where there are none."""
    glob = _FILES[needs]
    if not any(processed.glob(glob)):
        return None
    return query.replace("$files", sql_text(f"{_verbatim(processed)}/{glob}"))


def _fill_platforms(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    built = {each.platform: each for each in built_annotations(storage)}
    known = {each.internal: each for each in arrays()}
    rows = []
    for name in sorted({*known, *built}):
        array, annotation = known.get(name), built.get(name)
        record = annotation.record if annotation else {}
        rows.append(
            (
                name,
                array.name if array else None,
                array.manufacturer if array else "ILLUMINA" if is_bead_array(name) else None,
                record.get("organism") or (array.organism if array else None),
                list(array.external) if array else [],
                annotation is not None,
                record.get("release"),
                record.get("sha256"),
                record.get("num_probes"),
                record.get("num_probe_sets"),
                record.get("num_genes"),
            )
        )
    database.execute(f"CREATE TABLE {PLATFORMS.name} AS {_nothing(PLATFORMS)}")
    marks = ", ".join("?" for _ in PLATFORMS.columns)
    database.executemany(f"INSERT INTO {PLATFORMS.name} VALUES ({marks})", rows)  # noqa: S608


def _fill_references(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    database.execute(f"CREATE TABLE {ORGANISMS.name} AS {_nothing(ORGANISMS)}")
    database.execute(f"CREATE TABLE {GENES.name} AS {_nothing(GENES)}")
    for organism in sorted((storage.root / "reference").glob("*")):
        newest = newest_transcriptome(storage, organism.name)
        if newest is not None:
            _insert_reference(database, *newest)


def _fill_targets(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    database.execute(f"CREATE TABLE {QN_TARGETS.name} AS {_nothing(QN_TARGETS)}")
    found = all_targets(storage)
    current = {each.organism: each.version for each in found}  # the last of each is the newest
    rows = [
        [
            each.version == current[each.organism]
            if name == "is_current"
            else each.record.get(name)
            for name in QN_TARGETS.column_names()
        ]
        for each in found
    ]
    if rows:
        marks = ", ".join("?" for _ in QN_TARGETS.columns)
        database.executemany(f"INSERT INTO {QN_TARGETS.name} VALUES ({marks})", rows)  # noqa: S608


def _fill_datasets(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    database.execute(f"CREATE TABLE {DATASETS.name} AS {_nothing(DATASETS)}")
    rows = [
        [entry.get(name) for name in DATASETS.column_names()]
        for entry in (dataset_row(storage, each) for each in requested_datasets(storage))
    ]
    if rows:
        marks = ", ".join("?" for _ in DATASETS.columns)
        database.executemany(f"INSERT INTO {DATASETS.name} VALUES ({marks})", rows)  # noqa: S608


def _insert_reference(
    database: duckdb.DuckDBPyConnection, record: dict[str, Any], reference: Path
) -> None:
    row = {
        **record,
        "has_short_index": index_folder(reference, "short").exists(),
        "has_long_index": index_folder(reference, "long").exists(),
    }
    values = [row.get(name) for name in ORGANISMS.column_names()]
    marks = ", ".join("?" for _ in values)
    database.execute(f"INSERT INTO {ORGANISMS.name} VALUES ({marks})", values)  # noqa: S608
    database.execute(
        "INSERT INTO genes SELECT ?, gene, any_value(symbol), count(*) "
        "FROM read_parquet(?) GROUP BY gene ORDER BY gene",
        [record["organism"], _verbatim(transcriptome_folder(reference) / GENE_MAP)],
    )


def _verbatim(path: Path) -> str:
    """A glob that matches this path only."""
    return re.sub(r"[*?\[]", r"[\g<0>]", str(path))


def _nothing(table: Table) -> str:
    columns = ", ".join(f"NULL::{column.type} AS {column.name}" for column in table.columns)
    return f"SELECT {columns} WHERE false"


def _comment(database: duckdb.DuckDBPyConnection) -> None:
    """Put the declared meanings on the catalogue's tables, views and columns."""
    kinds = dict(
        database.execute(
            "SELECT table_name, CASE table_type WHEN 'VIEW' THEN 'VIEW' ELSE 'TABLE' END "
            "FROM information_schema.tables"
        ).fetchall()
    )
    for table in CATALOGUE:
        _set_comment(database, kinds[table.name], table.name, table.meaning)
        for column in table.columns:
            _set_comment(database, "COLUMN", f"{table.name}.{column.name}", column.comment)
    for macro in (*MACROS, *SEARCH_MACROS):
        kind = "MACRO TABLE" if macro.is_table else "MACRO"
        _set_comment(database, kind, macro.name, macro.meaning)


def _set_comment(database: duckdb.DuckDBPyConnection, kind: str, name: str, comment: str) -> None:
    database.execute(f"COMMENT ON {kind} {name} IS {sql_text(comment)}")


def _counts(database: duckdb.DuckDBPyConnection) -> dict[str, int]:
    names = [
        name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    ]
    return {
        name: database.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]  # noqa: S608
        for name in sorted(names)
    }
