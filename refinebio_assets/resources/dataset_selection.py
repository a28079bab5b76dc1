"""A recipe against the catalogue: which samples it means, of what data, in what versions.

The versions make a dataset's id: as long as they are the same, so are its files. Not here:
reading values, and what is made of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.errors import InvalidRequest, MissingTarget
from refinebio_assets.publish.recipe import ALL_SAMPLES, Recipe
from refinebio_assets.resources.qn_targets import BuiltTarget, newest_target
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb

LISTED = 20
ID_LENGTH = 32
NOT_PROCESSED = "It has not been processed."

# What the values of a sample were made from, and when: Salmon's are not the same to the last
# digit when it runs again. tximport looks at all samples of an experiment,
# so a sample's counts depend on all of them.
SAMPLE_VERSIONS = """
WITH counted AS (
    SELECT experiment, organism, sample,
           concat_ws(',', array_to_string(raw_sha256, '+'), index_sha256, salmon_version,
                     epoch_us(recorded_at)) AS made_of
    FROM quantifications
), together AS (
    SELECT experiment, organism,
           sha256(string_agg(sample || made_of, ';' ORDER BY sample)) AS all_of
    FROM counted GROUP BY ALL
)
SELECT experiment, sample, organism, 'MICROARRAY' AS technology, platform,
       concat_ws(',', raw_sha256, annotation_sha256, method, engine, epoch_us(recorded_at))
           AS version, recorded_at
FROM arrays
UNION ALL
SELECT q.experiment, q.sample, q.organism, 'RNA-SEQ', s.platform,
       concat_ws(',', t.all_of), q.recorded_at
FROM quantifications AS q
JOIN together AS t USING (experiment, organism)
JOIN samples AS s USING (experiment, sample)
JOIN sample_status AS w USING (experiment, sample)
WHERE w.status = 'processed'
"""


@dataclass(frozen=True)
class SelectedSample:
    """A sample of a dataset: its data, and of which experiment it was asked for first."""

    sample: str
    experiment: str
    organism: str
    technology: str
    platform: str | None
    version: str
    recorded_at: Any

    def path(self, storage: Storage) -> Path:
        """The file that holds its values."""
        return storage.expression_file(self.organism, self.technology, self.experiment)


@dataclass(frozen=True)
class Selection:
    """What a recipe means today.

    Attributes
    ----------
    recipe
        With ALL replaced by the samples that it means.
    samples
        With values, in the order asked for; one that is in two experiments is there once.
    missing
        (experiment, sample) -> why there are no values.
    targets
        Organism -> its quantile-normalisation target, where the recipe wants one.
    metadata_version
        Digest of what is said of the experiments and samples.
    """

    recipe: Recipe
    samples: list[SelectedSample]
    missing: dict[tuple[str, str], str]
    targets: dict[str, BuiltTarget]
    metadata_version: str

    @property
    def id(self) -> str:
        """The hash of the recipe and of the versions of all that it uses."""
        return self.recipe.digest(*self.versions().values())[:ID_LENGTH]

    def versions(self) -> dict[str, str]:
        """What the dataset depends on: a name for people -> its version."""
        return {
            "refinebio_assets": __version__,
            "metadata": self.metadata_version,
            **{f"sample {each.sample}": each.version for each in self.samples},
            **{
                f"target of {organism}": f"{target.version}: {target.sha256}"
                for organism, target in sorted(self.targets.items())
            },
            **{f"missing {sample}": why for (_, sample), why in sorted(self.missing.items())},
        }

    def groups(self) -> dict[str, list[SelectedSample]]:
        """The samples of each matrix, in order; a sample may be in two experiments' ones."""
        found: dict[str, list[SelectedSample]] = {}
        if self.recipe.aggregate_by == "EXPERIMENT":
            by_name = {each.sample: each for each in self.samples}
            for experiment, names in self.recipe.samples.items():
                theirs = [by_name[name] for name in names if name in by_name]
                found[experiment] = theirs
            return found
        for each in self.samples:
            name = each.organism if self.recipe.aggregate_by == "SPECIES" else "ALL"
            found.setdefault(name, []).append(each)
        return found


def select_today(recipe: Recipe, storage: Storage) -> Selection:
    """As `select`, with the catalogue as it lies there now."""
    from refinebio_assets.resources.warehouse import Warehouse

    with Warehouse().connect(storage) as database:
        return select(recipe, database, storage)


def select(recipe: Recipe, database: duckdb.DuckDBPyConnection, storage: Storage) -> Selection:
    """What a recipe means with the catalogue as it is.

    Raises
    ------
    InvalidRequest
        It names experiments or samples that are not known, or nothing that is processed.
    MissingTarget
        An organism has no quantile-normalisation target, and the recipe wants one.
    """
    named = _expanded(recipe, database)
    rows = [(experiment, sample) for experiment, names in named.items() for sample in names]
    if not rows:
        raise InvalidRequest("The dataset names no sample that is processed.")
    list_samples(database, "wanted", rows)
    _refuse_unknown(database)
    samples = _with_values(database)
    missing = _without_values(database, {each.sample for each in samples})
    organisms = sorted({each.organism for each in samples})
    wants = recipe.quantile_normalize and not recipe.quant_sf_only
    targets = _targets(organisms, storage) if wants else {}
    complete = Recipe(**{**vars(recipe), "samples": named})
    return Selection(complete, samples, missing, targets, metadata_version(database))


def list_samples(
    database: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[str, str]]
) -> None:
    """Put experiments and samples into a temporary table, with their place in the list."""
    import polars as pl

    from refinebio_assets.matrix.expression import ArrowStream

    columns = {"experiment": pl.String, "sample": pl.String}
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_row_index("place")
    database.register("listed", ArrowStream(frame))
    database.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM listed")  # noqa: S608
    database.unregister("listed")


def _expanded(recipe: Recipe, database: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    found = {}
    for experiment, names in recipe.samples.items():
        if names != (ALL_SAMPLES,):
            found[experiment] = names
            continue
        rows = database.execute(
            "SELECT sample FROM sample_status WHERE experiment = ? AND status = 'processed' "
            "ORDER BY sample",
            [experiment],
        ).fetchall()
        if not rows:
            raise InvalidRequest(f"{experiment} has no sample that is processed.")
        found[experiment] = tuple(sample for (sample,) in rows)
    return found


def _refuse_unknown(database: duckdb.DuckDBPyConnection) -> None:
    unknown = database.execute(
        "SELECT experiment || ': ' || sample FROM wanted ANTI JOIN samples "
        "USING (experiment, sample) ORDER BY place"
    ).fetchall()
    if unknown:
        listed = ", ".join(name for (name,) in unknown[:LISTED])
        more = ", …" if len(unknown) > LISTED else ""
        raise InvalidRequest(f"Samples that are not known ({len(unknown)}): {listed}{more}.")


def _with_values(database: duckdb.DuckDBPyConnection) -> list[SelectedSample]:
    rows = database.execute(
        f"SELECT v.sample, v.experiment, v.organism, v.technology, v.platform, v.version, "  # noqa: S608
        f"v.recorded_at FROM wanted JOIN ({SAMPLE_VERSIONS}) AS v USING (experiment, sample) "
        "QUALIFY row_number() OVER (PARTITION BY v.sample ORDER BY place) = 1 ORDER BY place"
    ).fetchall()
    return [SelectedSample(*row) for row in rows]


def _without_values(
    database: duckdb.DuckDBPyConnection, there: set[str]
) -> dict[tuple[str, str], str]:
    rows = database.execute(
        "SELECT experiment, sample, reason FROM wanted LEFT JOIN sample_status "
        "USING (experiment, sample) ORDER BY place"
    ).fetchall()
    return {
        (experiment, sample): reason or NOT_PROCESSED
        for experiment, sample, reason in rows
        if sample not in there
    }


def _targets(organisms: Iterable[str], storage: Storage) -> dict[str, BuiltTarget]:
    found, without = {}, []
    for organism in organisms:
        try:
            found[organism] = newest_target(storage, organism)
        except MissingTarget:
            without.append(organism)
    if without:
        raise MissingTarget(f"No quantile-normalisation target: {', '.join(without)}.")
    return found


def metadata_version(database: duckdb.DuckDBPyConnection) -> str:
    """Of all that is said of the wanted samples and their experiments, but when it was read."""
    digest = hashlib.sha256()
    for question in (
        "SELECT DISTINCT experiments.* EXCLUDE (code_version, run_id, recorded_at) "
        "FROM experiments SEMI JOIN wanted USING (experiment) ORDER BY experiment",
        "SELECT samples.* FROM samples SEMI JOIN wanted USING (experiment, sample) "
        "ORDER BY experiment, sample",
        "SELECT sample_attributes.* FROM sample_attributes SEMI JOIN wanted "
        "USING (experiment, sample) ORDER BY experiment, sample, position",
    ):
        cursor = database.execute(question)
        while rows := cursor.fetchmany(10_000):
            digest.update(json.dumps(rows, default=str).encode())
    return digest.hexdigest()


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> Sequence[str]:
    """What differs between the versions of two selections, in words."""
    told = []
    for name in dict.fromkeys([*before, *now]):
        if name not in now:
            told.append(f"{name}: no longer")
        elif name not in before:
            told.append(f"{name}: new")
        elif before[name] != now[name]:
            told.append(f"{name}: changed")
    return told
