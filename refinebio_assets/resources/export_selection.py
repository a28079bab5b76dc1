"""What exports are to be made of today: an organism's RNA-seq samples, and what is said of them.

Every processed RNA-seq sample is in, once, with the values of the first of its experiments.
Not here: reading values, and the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.resources.dataset_records import Key, quantifications_of, read_records
from refinebio_assets.resources.dataset_selection import (
    SAMPLE_VERSIONS,
    SelectedSample,
    list_samples,
    metadata_version,
)
from refinebio_assets.resources.qn_targets import BuiltTarget, targets_of
from refinebio_assets.resources.references import gene_map_path, newest_transcriptome
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from refinebio_assets.matrix.join import LeftOut
    from refinebio_assets.matrix.sample_files import SamplesOfFile
    from refinebio_assets.publish.records import SampleRecord

_SAMPLES = f"""
SELECT v.sample, v.experiment, v.organism, v.technology, v.platform, v.version, v.recorded_at
FROM ({SAMPLE_VERSIONS}) AS v
WHERE v.organism = $organism AND v.technology = '{RNA_SEQ}'
ORDER BY v.experiment, v.sample
"""  # noqa: S608 — of constants

# Every experiment that lists one of the samples, processed there or not. In sample sheets
# the same name may be another sample's, which its raw files tell.
_SERIES = """
SELECT s.sample, s.experiment,
       s.source_database = 'LOCAL' AND list_sort(other.raw_sha256) <> list_sort(mine.raw_sha256)
           AS is_another,
       s.source_database = 'LOCAL' AND other.raw_sha256 IS NULL AS is_unknown
FROM samples AS s
JOIN chosen ON chosen.sample = s.sample
JOIN quantifications AS mine
    ON mine.experiment = chosen.experiment AND mine.sample = chosen.sample
LEFT JOIN quantifications AS other
    ON other.experiment = s.experiment AND other.sample = s.sample
WHERE s.organism = $organism OR s.experiment = chosen.experiment
ORDER BY s.sample, s.experiment
"""

_REFERENCES = """
SELECT DISTINCT reference_database, reference_release, reference_assembly, salmon_version
FROM quantifications SEMI JOIN chosen USING (experiment, sample) ORDER BY ALL
"""
_SYMBOLS = "SELECT gene, symbol FROM genes WHERE organism = ? ORDER BY gene"


@dataclass(frozen=True)
class ExportSelection:
    """What goes into an organism's exports.

    Attributes
    ----------
    samples
        Each once, in the order of its experiments.
    series
        Sample -> all experiments that have it.
    left_out
        (experiment, sample): another sample's name.
    records
        (experiment, sample) -> what the catalogue says, for each of `series`.
    quantifications
        Sample -> its row of `quantifications`.
    symbols
        gene, symbol: of the organism's reference.
    target
        The organism's quantile-normalisation target, if it has one.
    references
        In words, what its values were made with.
    metadata_version
        Digest of what is said of the experiments and samples.
    """

    organism: str
    samples: list[SelectedSample]
    series: Mapping[str, list[str]]
    left_out: list[Key]
    records: Mapping[Key, SampleRecord]
    quantifications: Mapping[str, Mapping[str, Any]]
    symbols: pl.DataFrame
    target: BuiltTarget | None
    references: list[str]
    metadata_version: str

    def of(self, sample: SelectedSample) -> SampleRecord:
        """The record under the experiment from which its values are."""
        return self.records[sample.experiment, sample.sample]

    def single_cell_probability(self, sample: str) -> float:
        """How probably a sample is of single cells; where that is not known, 0."""
        return self.quantifications[sample]["single_cell_probability"] or 0.0

    def namesakes(self) -> list[LeftOut]:
        """Those of `left_out`, with the reason."""
        from refinebio_assets.matrix.join import LeftOut

        return [
            LeftOut(sample, f"That of {experiment} is another sample of the same name.")
            for experiment, sample in self.left_out
        ]

    def files(self, storage: Storage) -> list[SamplesOfFile]:
        """The expression files, each with its samples."""
        from refinebio_assets.matrix.sample_files import SamplesOfFile

        by_file: dict[Path, list[str]] = {}
        for each in self.samples:
            by_file.setdefault(each.path(storage), []).append(each.sample)
        return [SamplesOfFile(path, names) for path, names in by_file.items()]

    def quant_files(self, storage: Storage) -> dict[str, Path]:
        """Sample -> Salmon's quant.sf."""
        folders = self.quantifications
        return {
            each.sample: storage.root / folders[each.sample]["quant_folder"] / "quant.sf"
            for each in self.samples
        }

    def inputs(self, *, with_target: bool = False) -> dict[str, str]:
        """What an export depends on: a name for people -> its version."""
        versions = {
            "refinebio_assets": __version__,
            "samples": _digest(f"{each.sample} {each.version}" for each in self.samples),
            "series": _digest(f"{sample} {each}" for sample, each in sorted(self.series.items())),
            "metadata": self.metadata_version,
            "symbols": _digest(map(str, self.symbols.iter_rows())),
            "single cells": _digest(
                f"{each.sample} {self.single_cell_probability(each.sample)}"
                for each in self.samples
            ),
        }
        if not with_target:
            return versions
        target = self.target
        return {**versions, "target": f"{target.version}: {target.sha256}" if target else "none"}


def select_for_export(
    organism: str, database: duckdb.DuckDBPyConnection, storage: Storage
) -> ExportSelection:
    """What an organism's next exports are made of, with the catalogue as it is.

    Raises
    ------
    NothingToDeliver
        The organism has no processed RNA-seq sample.
    """
    import polars as pl

    from refinebio_assets.publish.recipe import Recipe

    found: dict[str, SelectedSample] = {}
    for row in database.execute(_SAMPLES, {"organism": organism}).fetchall():
        found.setdefault(row[0], SelectedSample(*row))
    if not found:
        raise NothingToDeliver(
            f"{organism} has no processed RNA-seq sample.",
            remedy="Process experiments that have some, and build the warehouse.",
        )
    samples = list(found.values())
    list_samples(database, "chosen", [(each.experiment, each.sample) for each in samples])
    series: dict[str, list[str]] = {each.sample: [] for each in samples}
    left_out: list[Key] = []
    for sample, experiment, is_another, is_unknown in database.execute(
        _SERIES, {"organism": organism}
    ).fetchall():
        if is_another:
            left_out.append((experiment, sample))
        elif not is_unknown:
            series[sample].append(experiment)
    references = database.execute(_REFERENCES).fetchall()
    by_experiment: dict[str, list[str]] = {}
    for sample, experiments in series.items():
        for experiment in experiments:
            by_experiment.setdefault(experiment, []).append(sample)
    pairs = [
        (experiment, sample) for experiment, names in by_experiment.items() for sample in names
    ]
    list_samples(database, "wanted", pairs)
    recipe = Recipe({key: tuple(names) for key, names in sorted(by_experiment.items())})
    _, records = read_records(recipe, database)
    made = quantifications_of(database)
    targets = targets_of(storage, organism)
    return ExportSelection(
        organism=organism,
        samples=samples,
        series=series,
        left_out=left_out,
        records=records,
        quantifications={each.sample: made[each.experiment, each.sample] for each in samples},
        symbols=pl.DataFrame(
            database.execute(_SYMBOLS, [organism]).fetchall(),
            schema={"gene": pl.String, "symbol": pl.String},
            orient="row",
        ),
        target=targets[-1] if targets else None,
        references=[
            f"{where} {release} ({assembly}), Salmon {salmon}"
            for where, release, assembly, salmon in references
        ],
        metadata_version=metadata_version(database),
    )


def transcripts_described(transcripts: pl.Series, organism: str, storage: Storage) -> pl.DataFrame:
    """Columns ensembl_id, ensembl_gene, symbol, by the newest gene map; missing where unknown."""
    import polars as pl

    named = transcripts.alias("ensembl_id").to_frame()
    newest = newest_transcriptome(storage, organism)
    if newest is None:
        nothing = pl.lit(None, pl.String)
        return named.with_columns(ensembl_gene=nothing, symbol=nothing)
    columns = pl.col("transcript").alias("ensembl_id"), pl.col("gene").alias("ensembl_gene")
    known = (
        pl.read_parquet(gene_map_path(newest[1]))
        .select(*columns, "symbol")
        .unique("ensembl_id", keep="first")
    )
    return named.join(known, on="ensembl_id", how="left", maintain_order="left")


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()
