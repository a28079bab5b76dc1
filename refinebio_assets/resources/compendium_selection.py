"""What a compendium is to be made of today: organisms, samples, target, and what is said of them.

Not here: reading values, and what is made of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.resources.dataset_records import Key, read_records
from refinebio_assets.resources.dataset_selection import (
    SAMPLE_VERSIONS,
    SelectedSample,
    list_samples,
    metadata_version,
)
from refinebio_assets.resources.qn_targets import BuiltTarget, newest_target
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb

    from refinebio_assets.compendium.exclusion import Excluded, ExclusionRules
    from refinebio_assets.compendium.rules import Rules
    from refinebio_assets.publish.group_samples import GroupSample
    from refinebio_assets.publish.recipe import Recipe
    from refinebio_assets.publish.records import ExperimentRecord, SampleRecord

SUBMITTED = "submitter-processed"

# Organisms of the genus that were measured on a platform of the primary organism's.
_GENUS = """
SELECT DISTINCT organism FROM arrays
WHERE starts_with(organism, $genus) AND method <> $submitted AND platform IN (
    SELECT platform FROM arrays WHERE organism = $primary AND method <> $submitted
)
ORDER BY organism
"""

# Made from raw data; of a sample in several experiments, the first counts.
_SAMPLES = f"""
SELECT v.sample, v.experiment, v.organism, v.technology, v.platform, v.version, v.recorded_at
FROM ({SAMPLE_VERSIONS}) AS v
LEFT JOIN arrays AS a USING (experiment, sample)
WHERE v.organism IN (SELECT unnest($organisms)) AND coalesce(a.method, '') <> $submitted
QUALIFY row_number() OVER (PARTITION BY v.sample ORDER BY v.experiment) = 1
ORDER BY v.technology, v.sample
"""  # noqa: S608 — of constants

# To be asked after `read_records`, which lists the samples.
_RELATIONS = """
SELECT experiment, target FROM experiment_relations
WHERE experiment IN (SELECT experiment FROM asked) ORDER BY ALL
"""
_REFERENCES = """
SELECT 'platform' AS kind, platform AS name, annotation_release AS release,
       annotation_sha256 AS sha256, count(*) AS samples
FROM arrays SEMI JOIN asked USING (experiment, sample) GROUP BY ALL
UNION ALL
SELECT 'index', organism || ', ' || index_length, reference_release, index_sha256, count(*)
FROM quantifications SEMI JOIN asked USING (experiment, sample) GROUP BY ALL
ORDER BY ALL
"""


@dataclass(frozen=True)
class CompendiumSelection:
    """What goes into a release.

    Attributes
    ----------
    organisms
        The primary one first, then those of its genus.
    samples
        Wanted ones, arrays before RNA-seq, each by accession.
    excluded
        (experiment, sample) -> the rule that keeps it out.
    target
        Of the primary organism; None where values are not to be normalised.
    metadata_version
        Digest of what is said of the experiments and samples.
    """

    organisms: list[str]
    samples: list[SelectedSample]
    excluded: dict[Key, Excluded]
    target: BuiltTarget | None
    metadata_version: str

    @property
    def primary(self) -> str:
        """The organism after which the compendium is called."""
        return self.organisms[0]

    def group_samples(self, storage: Storage) -> list[GroupSample]:
        """The samples with the files that have their values."""
        from refinebio_assets.publish.group_samples import GroupSample

        return [
            GroupSample(each.sample, each.organism, each.technology, each.path(storage))
            for each in self.samples
        ]

    def inputs(self, rules: Rules) -> dict[str, str]:
        """What the release depends on: a name for people -> its version."""
        target = self.target
        return {
            "refinebio_assets": __version__,
            "rules": _digest([str(sorted(rules.to_json().items()))]),
            "samples": _digest(f"{each.sample} {each.version}" for each in self.samples),
            "metadata": self.metadata_version,
            "excluded": _digest(
                f"{sample} {why.rule}" for (_, sample), why in sorted(self.excluded.items())
            ),
            "target": f"{target.version}: {target.sha256}" if target else "none",
        }


@dataclass(frozen=True)
class CompendiumRecords:
    """What the catalogue says of a compendium's experiments and samples, also the excluded.

    Attributes
    ----------
    recipe
        All samples, by experiment.
    relations
        Experiments and records that they are related to.
    references
        Of what its values were made: kind (platform or index), name, release, digest, and
        how many samples.
    """

    recipe: Recipe
    experiments: list[ExperimentRecord]
    samples: Mapping[Key, SampleRecord]
    relations: list[tuple[str, str]]
    references: list[dict[str, Any]]

    @cached_property
    def _experiment_of(self) -> dict[str, str]:
        return {sample: each for each, names in self.recipe.samples.items() for sample in names}

    def of(self, sample: str) -> tuple[str, SampleRecord]:
        """The experiment under which a sample is taken, and its record."""
        experiment = self._experiment_of[sample]
        return experiment, self.samples[experiment, sample]

    def references_in_words(self) -> list[str]:
        """A sentence for each reference."""
        kinds = {"platform": "Probe annotation of", "index": "Salmon index of"}
        return [
            f"{kinds[each['kind']]} {each['name']}, release {each['release']} "
            f"({each['samples']:,} samples)"
            for each in self.references
        ]


def genus_group(primary: str, database: duckdb.DuckDBPyConnection) -> list[str]:
    """The organism, and those of its genus that were measured on the same arrays."""
    found = database.execute(
        _GENUS,
        {"genus": f"{primary.split('_')[0]}_", "primary": primary, "submitted": SUBMITTED},
    ).fetchall()
    return [primary, *(organism for (organism,) in found if organism != primary)]


def select_for_compendium(
    primary: str,
    database: duckdb.DuckDBPyConnection,
    storage: Storage,
    *,
    rules: Rules,
    exclusion: ExclusionRules,
    genus: bool,
) -> CompendiumSelection:
    """What an organism's next release is made of, with the catalogue as it is.

    Parameters
    ----------
    exclusion
        The rules that keep samples out; what people decided on single ones wins over them.
    genus
        Whether organisms of the same genus on the same arrays are taken in.

    Raises
    ------
    MissingTarget
        The organism has no quantile-normalisation target, and the rules want one.
    InvalidSettings
        The decisions on single samples cannot be read.
    """
    from refinebio_assets.compendium.exclusion import excluded_samples, read_decisions
    from refinebio_assets.resources.compendium_facts import facts_of

    organisms = genus_group(primary, database) if genus else [primary]
    target = newest_target(storage, primary) if rules.quantile_normalize else None
    rows = database.execute(_SAMPLES, {"organisms": organisms, "submitted": SUBMITTED}).fetchall()
    found = [SelectedSample(*row) for row in rows]
    facts = facts_of(database, organisms)
    mine = {key: facts[key] for key in ((each.experiment, each.sample) for each in found)}
    decisions = read_decisions(storage.compendium_exclusions())
    excluded = excluded_samples(mine, exclusion, decisions)
    samples = [each for each in found if (each.experiment, each.sample) not in excluded]
    list_samples(database, "wanted", [(each.experiment, each.sample) for each in found])
    return CompendiumSelection(organisms, samples, excluded, target, metadata_version(database))


def read_compendium_records(
    selection: CompendiumSelection, database: duckdb.DuckDBPyConnection
) -> CompendiumRecords:
    """What the catalogue says of the samples, also of those that are excluded."""
    from refinebio_assets.publish.recipe import Recipe

    by_experiment: dict[str, list[str]] = {}
    keys = [*((each.experiment, each.sample) for each in selection.samples), *selection.excluded]
    for experiment, sample in sorted(keys):
        by_experiment.setdefault(experiment, []).append(sample)
    recipe = Recipe(
        {experiment: tuple(names) for experiment, names in by_experiment.items()},
        aggregate_by="SPECIES",
        quantile_normalize=selection.target is not None,
    )
    experiments, samples = read_records(recipe, database)
    columns = ("kind", "name", "release", "sha256", "samples")
    return CompendiumRecords(
        recipe=recipe,
        experiments=experiments,
        samples=samples,
        relations=database.execute(_RELATIONS).fetchall(),
        references=[
            dict(zip(columns, row, strict=True)) for row in database.execute(_REFERENCES).fetchall()
        ],
    )


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()
