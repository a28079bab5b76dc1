"""What the catalogue says of a dataset's experiments and samples."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from refinebio_assets.resources.dataset_selection import list_samples

if TYPE_CHECKING:
    import duckdb

    from refinebio_assets.publish.recipe import Recipe
    from refinebio_assets.publish.records import ExperimentRecord, SampleRecord

Key = tuple[str, str]


def read_records(
    recipe: Recipe, database: duckdb.DuckDBPyConnection
) -> tuple[list[ExperimentRecord], dict[Key, SampleRecord]]:
    """The experiments, in the recipe's order, and the samples by experiment and accession.

    A sample without values is there too.
    """
    from refinebio_assets.publish.records import experiment_record, sample_record

    wanted = [(each, name) for each, names in recipe.samples.items() for name in names]
    list_samples(database, "asked", wanted)
    members: dict[str, list[str]] = defaultdict(list)
    for row in _rows(
        database,
        "SELECT experiment, sample FROM samples "
        "WHERE experiment IN (SELECT experiment FROM asked) ORDER BY ALL",
    ):
        members[row["experiment"]].append(row["sample"])
    experiments = {
        row["experiment"]: experiment_record(row, members[row["experiment"]])
        for row in _rows(
            database, "SELECT * FROM experiments WHERE experiment IN (SELECT experiment FROM asked)"
        )
    }
    attributes: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(database, _of_asked("sample_attributes")):
        attributes[row["experiment"], row["sample"]].append(row)
    arrays = _by_key(database, "arrays")
    quantifications = _by_key(database, "quantifications")
    samples = {
        key: sample_record(
            row,
            attributes[key],
            array=arrays.get(key),
            quantification=quantifications.get(key),
            quant_sf_only=recipe.quant_sf_only,
        )
        for key, row in _by_key(database, "samples").items()
    }
    return [experiments[name] for name in recipe.samples if name in experiments], samples


def quantifications_of(database: duckdb.DuckDBPyConnection) -> dict[Key, dict[str, Any]]:
    """The rows of `quantifications` by experiment and sample; asked after `read_records`."""
    return _by_key(database, "quantifications")


def quant_folders(database: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Where Salmon's output of each sample lies; to be asked after `read_records`."""
    return {key: row["quant_folder"] for key, row in quantifications_of(database).items()}


def _by_key(database: duckdb.DuckDBPyConnection, table: str) -> dict[Key, dict[str, Any]]:
    return {(row["experiment"], row["sample"]): row for row in _rows(database, _of_asked(table))}


def _of_asked(table: str) -> str:
    return (
        f"SELECT {table}.* FROM {table} SEMI JOIN asked USING (experiment, sample) "  # noqa: S608
        "ORDER BY ALL"
    )


def _rows(database: duckdb.DuckDBPyConnection, question: str) -> list[dict[str, Any]]:
    found = database.execute(question)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
