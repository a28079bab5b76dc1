"""Making the files of a compendium's release: values, what is known of them, and the zip."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.progress import SECONDS_BETWEEN_LINES, Log, by_stage, duration
from refinebio_assets.resources.compendia import FOLDERS, RECORD, Release
from refinebio_assets.resources.compendium_selection import (
    CompendiumRecords,
    CompendiumSelection,
    read_compendium_records,
)
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from refinebio_assets.compendium.assembly import JoinedMatrix
    from refinebio_assets.compendium.card import Card
    from refinebio_assets.compendium.comparability import Comparability
    from refinebio_assets.compendium.documents import CompendiumContents
    from refinebio_assets.compendium.final_matrix import FinalMatrix
    from refinebio_assets.compendium.gaps import FilledGaps
    from refinebio_assets.compendium.held_out import HeldOut, NotMeasured
    from refinebio_assets.compendium.rules import Rules
    from refinebio_assets.matrix.impute import Progress as PassProgress
    from refinebio_assets.publish.metadata_files import DatasetMetadata
    from refinebio_assets.publish.plots import Plot

VALUES = "values"
SAMPLES, GENES, LEFT_OUT = "samples.parquet", "genes.parquet", "left_out.parquet"
FACTORS, COMPONENTS = "factors.npz", "components.npz"
BY_VALUES = "values"  # the rule by which the join leaves samples out
COMPARED, IMPUTATION = ("technology", "first component", "replicates"), "imputation"  # verdicts
LISTED = 10


@dataclass(frozen=True)
class MadeRelease:
    """A release in its folder, before it is put in place, and what is to be told of it."""

    record: dict[str, Any]
    card: Card
    plots: Mapping[str, Plot]
    left_out: pl.DataFrame


@dataclass(frozen=True)
class _Made:
    """What the values of a release came to."""

    joined: JoinedMatrix
    held_out: HeldOut | NotMeasured
    gaps: FilledGaps
    seen: FinalMatrix
    comparability: Comparability


def make_release(
    selection: CompendiumSelection,
    rules: Rules,
    version: int,
    *,
    earlier: Release | None,
    database: duckdb.DuckDBPyConnection,
    storage: Storage,
    folder: Path,
    scratch: Path,
    run_id: str,
    log: Log,
) -> MadeRelease:
    """Fill a release's folder.

    Parameters
    ----------
    earlier
        The release from whose factors imputation starts, if any.
    scratch
        A folder with room for eight bytes a value, and the documents.

    Raises
    ------
    NothingToDeliver, CannotImpute, ToolMissing
    """
    from refinebio_assets.compendium.assembly import join_samples
    from refinebio_assets.compendium.card import make_card

    organism = selection.primary
    known = read_compendium_records(selection, database)
    wanted = selection.group_samples(storage)
    log(f"{organism}: {len(wanted):,} samples; {len(selection.excluded):,} are excluded by rules")
    with join_samples(wanted, rules, scratch, on_progress=by_stage(organism, log)) as joined:
        size = f"{len(joined.samples):,} samples × {len(joined.genes):,} genes"
        log(f"{organism}: joined to {size}, {100 * joined.share_missing:.1f} % missing")
        made = _make_values(joined, selection, known, rules, earlier, storage, folder, scratch, log)
        left_out = _left_out(selection, joined, known, version)
        _write_tables(made, selection, known, left_out, version, folder)
        card = make_card(f"{organism}, release {version}", made.comparability, made.held_out)
        metadata = _dataset_metadata(selection, known, joined, left_out, version)
        zipped = _write_zip(
            made, selection, known, rules, card, metadata, folder, scratch / "documents", log
        )
    record = {
        "organism": organism,
        "version": version,
        "organisms": selection.organisms,
        "num_samples": len(joined.samples),
        "num_experiments": len({each.experiment for each in made.comparability.samples}),
        "num_genes": len(joined.genes),
        "num_left_out": len(left_out),
        "percent_imputed": 100 * joined.share_missing,
        "percent_zero_restored": 100 * joined.zeros_restored / _cells(joined),
        "held_out_rmse": getattr(made.held_out, "rmse", None),
        "engine": rules.engine,
        "iterations": len(made.gaps.imputation.changes) if made.gaps.imputation else None,
        "passes": made.gaps.imputation.passes if made.gaps.imputation else None,
        "started_from": earlier.version if earlier and made.gaps.imputation else None,
        "rules": rules.to_json(),
        "dropped_genes": joined.dropped_genes,
        "target_version": selection.target.version if selection.target else None,
        "target_sha256": selection.target.sha256 if selection.target else None,
        "references": known.references,
        "comparability": made.comparability.to_json(),
        "checks": _checks(
            made, rules, card, _inconsistencies(organism, joined, folder, scratch / "documents")
        ),
        "inputs": selection.inputs(rules),
        "num_bytes": zipped.size,
        "sha256": zipped.sha256,
        "sha1": zipped.sha1,
        "file": f"{FOLDERS['normalized']}/{organism}/{version}/{organism}.zip",
        "code_version": __version__,
        "run_id": run_id,
        "recorded_at": metadata.created_at.isoformat(),
    }
    (folder / RECORD).write_text(json.dumps(_finite(record), indent=1) + "\n", encoding="utf-8")
    return MadeRelease(
        record=record,
        card=card,
        plots={"distributions": _distributions(made), **card.plots},
        left_out=left_out,
    )


def _make_values(
    joined: JoinedMatrix,
    selection: CompendiumSelection,
    known: CompendiumRecords,
    rules: Rules,
    earlier: Release | None,
    storage: Storage,
    folder: Path,
    scratch: Path,
    log: Log,
) -> _Made:
    """From the joined matrix to the final one, and the files of values."""
    from refinebio_assets.compendium.comparability import Comparison
    from refinebio_assets.compendium.final_matrix import finish
    from refinebio_assets.compendium.gaps import fill_gaps
    from refinebio_assets.compendium.held_out import held_out_error
    from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
    from refinebio_assets.compendium.replicates import labelled
    from refinebio_assets.compendium.tiles import TileWriter
    from refinebio_assets.publish.sample_frame import sample_frame

    organism = selection.primary
    tell = by_stage(organism, log)
    held_out = held_out_error(joined.matrix, joined.is_rnaseq, rules, scratch, on_progress=tell)
    checkpoint = storage.checkpoint(f"compendium-{organism}")
    gaps = fill_gaps(
        joined,
        rules,
        start=earlier.folder / FACTORS if earlier else None,
        checkpoint=checkpoint,
        on_pass=_telling_passes(organism, log),
    )
    records = [known.of(each) for each in joined.samples]
    comparison = Comparison(
        [labelled(record, experiment) for experiment, record in records],
        len(joined.genes),
        known.relations,
    )
    with (
        TileWriter(folder / VALUES, joined.genes, joined.samples) as tiles,
        LayeredH5ad(folder / f"{organism}.h5ad", joined.genes, joined.samples) as h5ad,
    ):
        writers = [tiles.write, h5ad.write, comparison.add]
        target = selection.target.numbers() if selection.target else None
        seen = finish(joined, gaps.fill, target, writers, tell)
        comparability = comparison.result(joined.matrix, tell)
        components = comparability.components
        h5ad.describe(
            sample_frame(records).drop("sample"),
            _genes(joined, held_out).drop("gene"),
            {"compendium": organism, "software": f"refinebio_assets {__version__}"},
            None if components is None else components.coordinates,
        )
    if gaps.imputation is not None:
        gaps.save_factors(folder / FACTORS, joined)
    checkpoint.unlink(missing_ok=True)
    return _Made(joined, held_out, gaps, seen, comparability)


def _telling_passes(organism: str, log: Log) -> Callable[[PassProgress], None]:
    """Tells of passes now and then, with the time left where that can be told."""
    started = last = time.monotonic()

    def tell(found: PassProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        left = ""
        if found.passes_left is not None:
            seconds = (now - started) / found.passes * found.passes_left
            left = f", about {duration(seconds)} left"
        log(
            f"{organism}: imputing, pass {found.passes}, iteration {found.iterations}: "
            f"squared change {found.change:.3g}{left}"
        )

    return tell


def _checks(
    made: _Made, rules: Rules, card: Card, inconsistencies: list[str]
) -> list[dict[str, Any]]:
    """What was looked at, in words; a release that fails a blocking check is not published."""
    seen, gaps_stay = made.seen, rules.engine == "none"
    compared = [card.verdicts[name] for name in COMPARED]
    careful = [each.words for each in compared if each.state == "careful"]
    imputation = card.verdicts[IMPUTATION]
    unlike = f"{len(seen.unlike_target)} of {seen.compared} samples have not"
    if seen.unlike_target:
        unlike += f": {', '.join(seen.unlike_target[:LISTED])}"
    if seen.smallest_p is not None:
        unlike += f". Kolmogorov-Smirnov, upper halves: p-values from {seen.smallest_p:.3g} on"
    missing = f"{seen.not_finite:,} values are missing"
    found = (
        (
            "matrix_is_its_metadata",
            True,
            not inconsistencies,
            "; ".join(inconsistencies) or "They are, in all files.",
        ),
        (
            "nothing_missing",
            True,
            gaps_stay or not seen.not_finite,
            f"{missing}, as was asked for." if gaps_stay else f"{missing}.",
        ),
        ("distributed_as_the_target", True, not seen.unlike_target, f"{unlike}."),
        (
            "technologies_comparable",
            False,
            not careful,
            " ".join(careful or [each.words for each in compared]),
        ),
        (
            "imputation_better_than_means",
            False,
            imputation.state != "careful",
            imputation.words,
        ),
    )
    return [
        {"check": name, "blocking": blocking, "passed": bool(passed), "words": words}
        for name, blocking, passed, words in found
    ]


# --- tables ---------------------------------------------------------------------------


def _left_out(
    selection: CompendiumSelection, joined: JoinedMatrix, known: CompendiumRecords, version: int
) -> pl.DataFrame:
    """A row of `tables.COMPENDIUM_LEFT_OUT` for each."""
    import polars as pl

    rows: list[tuple[str, str, str, str]] = [
        (sample, experiment, why.rule, why.reason)
        for (experiment, sample), why in sorted(selection.excluded.items())
    ]
    rows += [
        (each.sample, known.of(each.sample)[0], BY_VALUES, each.reason) for each in joined.left_out
    ]
    columns = ("sample", "experiment", "rule", "reason")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    return _of_release(frame, selection.primary, version)


def _genes(joined: JoinedMatrix, held_out: HeldOut | NotMeasured) -> pl.DataFrame:
    import polars as pl

    from refinebio_assets.compendium.held_out import HeldOut

    frame = pl.DataFrame({"gene": joined.genes, "percent_imputed": 100 * joined.missing_per_gene})
    if not isinstance(held_out, HeldOut):
        nothing = pl.lit(None, pl.Float64)
        return frame.with_columns(
            num_hidden=pl.lit(0, pl.Int64), held_out_rmse=nothing, standard_deviation=nothing
        )
    return frame.with_columns(
        num_hidden=pl.Series(held_out.hidden_per_gene),
        held_out_rmse=pl.Series(held_out.rmse_per_gene, nan_to_null=True),
        standard_deviation=pl.Series(held_out.sd_per_gene, nan_to_null=True),
    )


def _write_tables(
    made: _Made,
    selection: CompendiumSelection,
    known: CompendiumRecords,
    left_out: pl.DataFrame,
    version: int,
    folder: Path,
) -> None:
    import numpy as np
    import polars as pl

    joined, seen = made.joined, made.seen
    versions = {each.sample: each.version for each in selection.samples}
    records = [known.of(each) for each in joined.samples]
    samples = pl.DataFrame(
        {
            "sample": joined.samples,
            "experiment": [experiment for experiment, _ in records],
            "sample_organism": [record.organism for _, record in records],
            "technology": [record.technology for _, record in records],
            "platform": [record.platform for _, record in records],
            "percent_imputed": 100 * seen.imputed_of_sample / len(joined.genes),
            "percent_zero_restored": 100 * seen.zeros_of_sample / len(joined.genes),
            "data_version": [versions[each] for each in joined.samples],
            "place": np.arange(len(joined.samples)),
        }
    )
    tables = {SAMPLES: samples, GENES: _genes(joined, made.held_out)}
    for name, table in tables.items():
        _of_release(table, selection.primary, version).write_parquet(folder / name)
    left_out.write_parquet(folder / LEFT_OUT)
    components = made.comparability.components
    if components is not None:
        np.savez(
            folder / COMPONENTS,
            allow_pickle=False,
            genes=joined.genes.gather(components.genes).to_numpy().astype(str),
            means=components.means,
            axes=components.axes,
            shares=components.shares,
            coordinates=components.coordinates,
        )


def _of_release(frame: pl.DataFrame, organism: str, version: int) -> pl.DataFrame:
    import polars as pl

    return frame.select(
        pl.lit(organism).alias("organism"), pl.lit(version, pl.Int32).alias("version"), pl.all()
    )


# --- the zip --------------------------------------------------------------------------


def _dataset_metadata(
    selection: CompendiumSelection,
    known: CompendiumRecords,
    joined: JoinedMatrix,
    left_out: pl.DataFrame,
    version: int,
) -> DatasetMetadata:
    from refinebio_assets.publish.metadata_files import DatasetMetadata
    from refinebio_assets.publish.records import FilteredSample

    return DatasetMetadata(
        recipe=known.recipe,
        created_at=max(each.recorded_at for each in selection.samples),
        experiments=known.experiments,
        samples=[known.of(each)[1] for each in joined.samples],
        groups={selection.primary: joined.samples},
        filtered=[
            FilteredSample(
                known.samples[row["experiment"], row["sample"]], row["experiment"], row["reason"]
            )
            for row in left_out.iter_rows(named=True)
        ],
        compendium_version=version,
    )


def _write_zip(
    made: _Made,
    selection: CompendiumSelection,
    known: CompendiumRecords,
    rules: Rules,
    card: Card,
    metadata: DatasetMetadata,
    folder: Path,
    documents: Path,
    log: Log,
) -> Any:
    """The documented zip; the matrix as text is made while it is written."""
    from refinebio_assets.compendium.documents import write_compendium_documents
    from refinebio_assets.publish.archive import Shape, write_archive
    from refinebio_assets.publish.matrix_files import tsv_pieces

    organism, joined = selection.primary, made.joined
    tell = by_stage(organism, log)
    written = write_compendium_documents(
        metadata, _contents(made, selection, known, rules), card, documents
    )
    genes, samples = len(joined.genes), len(joined.samples)
    matrix = f"{organism}/{organism}.tsv"
    return write_archive(
        {
            **written.files,
            matrix: lambda: tsv_pieces(
                joined.matrix,
                joined.genes,
                joined.samples,
                lambda done: tell("written as text", done, genes),
            ),
        },
        folder / f"{organism}.zip",
        shapes={matrix: Shape(genes, samples + 1)},
    )


def _contents(
    made: _Made, selection: CompendiumSelection, known: CompendiumRecords, rules: Rules
) -> CompendiumContents:
    from refinebio_assets.compendium.documents import CompendiumContents
    from refinebio_assets.publish.readme import TargetUsed

    organism, joined, target = selection.primary, made.joined, selection.target
    imputation = made.gaps.imputation
    return CompendiumContents(
        organism=organism,
        software=f"refinebio_assets {__version__}",
        rules=rules,
        genes=len(joined.genes),
        genes_seen=joined.genes_seen,
        genes_considered=joined.genes_considered,
        genes_with_low_counts=joined.genes_with_low_counts,
        dropped_genes=joined.dropped_genes,
        share_imputed=joined.share_missing,
        share_zeros=joined.zeros_restored / _cells(joined),
        iterations=len(imputation.changes) if imputation else None,
        converged=imputation.converged if imputation else True,
        target=None
        if target is None
        else TargetUsed(
            organism,
            target.version,
            target.record["num_samples"],
            target.record["num_genes"],
            target.sha256,
        ),
        files={f"{organism}/{organism}.tsv": "the matrix: genes as rows, samples as columns"},
        beside={
            f"{organism}.h5ad": "the matrix with, for every value, its origin",
            f"{VALUES}/": "the same as Parquet, for SQL",
            GENES: "of every gene, how much is imputed, and how sure",
        },
        references=known.references_in_words(),
    )


def _distributions(made: _Made) -> Plot:
    from refinebio_assets.publish.plots import Histograms, distributions

    panels = {
        title: Histograms(dict(zip(made.joined.samples, shown.heights, strict=True)), shown.edges)
        for title, shown in (
            ("before normalisation", made.seen.before),
            ("after normalisation", made.seen.after),
        )
        if shown is not None
    }
    return distributions(panels)


def _cells(joined: JoinedMatrix) -> int:
    return len(joined.samples) * len(joined.genes)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _inconsistencies(
    organism: str, joined: JoinedMatrix, folder: Path, documents: Path
) -> list[str]:
    """Files whose samples are not those of the matrix in its order, read from the files."""
    import csv

    import polars as pl

    from refinebio_assets.compendium.reader import open_release_matrix

    with open_release_matrix(folder) as matrix:
        h5ad = list(matrix.samples)
    table = documents / organism / f"metadata_{organism}.tsv"
    with table.open(encoding="utf-8", newline="") as file:
        metadata = [row[0] for row in csv.reader(file, delimiter="\t")][1:]
    listed = pl.read_parquet(folder / SAMPLES, columns=["sample"])["sample"].to_list()
    there = {f"{organism}.h5ad": h5ad, table.name: metadata, SAMPLES: listed}
    return [
        f"{name} has not the {len(joined.samples)} samples of the matrix in its order"
        for name, samples in there.items()
        if samples != joined.samples
    ]
