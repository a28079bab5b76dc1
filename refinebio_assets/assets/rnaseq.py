"""`transcript_quantification` and `gene_counts`: from reads to genes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets import previews
from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw_files import RAW_STAGE, drop_fetched
from refinebio_assets.assets.raw_reads import stored_reads
from refinebio_assets.assets.stage import (
    StageOutcome,
    Toolbox,
    counts_by_status,
    failed_at,
    for_each_sample,
    processable,
    record_statuses,
    surveyed,
)
from refinebio_assets.errors import (
    ExperimentIncomplete,
    NoSampleLeft,
    RawFilesDropped,
    RefinebioError,
)
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.resources.references import BuiltIndex, gene_map_path, newest_index
from refinebio_assets.resources.storage import Storage, read_json
from refinebio_assets.sample_status import SampleStatus

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from refinebio_assets.rnaseq.quantification import SalmonOptions
    from refinebio_assets.rnaseq.raw_reads import RawReads
    from refinebio_assets.rnaseq.tximport import GeneQuantification
    from refinebio_assets.sources.records import Experiment, Sample

QUANTIFICATION_STAGE = "transcript_quantification"
GENE_COUNTS_STAGE = "gene_counts"
RECORD = "quantification.json"
_PREVIEWED = (
    "sample",
    "organism",
    "num_genes",
    "num_genes_detected",
    "library_size",
    "single_cell_probability",
)


# --- transcript_quantification --------------------------------------------------------


def quantify_transcripts(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Run Salmon on every sample whose raw reads are verified; publish rates and folders."""
    from refinebio_assets.matrix.tables import frame, write_parquet
    from refinebio_assets.tables import QUANTIFICATIONS

    found = processable(surveyed(experiment, toolbox.storage), RNA_SEQ)
    if found:
        toolbox.salmon.version()
    ready = {
        each.sample: (each, reads)
        for each in found
        if (reads := stored_reads(experiment, each.sample, toolbox))
    }
    overall = Progress(toolbox.log, f"{experiment}: quantified", len(ready), "samples", every=0)
    results = for_each_sample(
        ready,
        lambda name: _quantify(experiment, *ready[name], toolbox, overall),
        toolbox,
        experiment,
    )
    statuses = results.statuses()
    record_statuses(experiment, QUANTIFICATION_STAGE, statuses, toolbox)
    rows = list(results.values())
    path = toolbox.storage.table_file("quantifications", experiment)
    with toolbox.storage.publish_file(path) as staged:
        write_parquet(frame(QUANTIFICATIONS, rows), staged)
    if found and not rows:
        raise results.nothing(f"No sample of {experiment} could be quantified.")
    return StageOutcome(
        statuses,
        metadata=_rates(rows, statuses),
        findings=odd_samples(experiment, rows, toolbox),
        transient=results.transient,
    )


def is_quantified(experiment: str, sample: Sample, reads: RawReads, toolbox: Toolbox) -> bool:
    """Whether a finished quantification of these reads, with the current index, exists."""
    try:
        index = _index_for(sample, reads, toolbox)
    except RefinebioError:
        return False
    record = read_json(toolbox.storage.quant_folder(experiment, sample.sample) / RECORD)
    return record is not None and record["inputs"] == _inputs(reads, index, toolbox)


def _quantify(
    experiment: str, sample: Sample, reads: RawReads, toolbox: Toolbox, overall: Progress
) -> dict[str, Any]:
    final = toolbox.storage.quant_folder(experiment, sample.sample)
    row = quantified(experiment, sample, reads, final, toolbox.storage, toolbox)
    overall.advance()
    return row


def quantified(
    experiment: str,
    sample: Sample,
    reads: RawReads,
    final: Path,
    into: Storage,
    toolbox: Toolbox,
    *,
    index: BuiltIndex | None = None,
) -> dict[str, Any]:
    """The sample's row of `quantifications`; Salmon runs unless `final` has its finished work.

    Parameters
    ----------
    final
        Folder of Salmon's output, anywhere below the root of `into`.
    index
        None: the newest of the organism that suits the reads.
    """
    index = index or _index_for(sample, reads, toolbox)
    inputs = _inputs(reads, index, toolbox)
    record = read_json(final / RECORD)
    if record is None or record["inputs"] != inputs:
        if not all(path.exists() for path in reads.paths):
            raise RawFilesDropped("The raw files are not there any more.")
        with into.publish_folder(final) as folder:
            row = {
                "experiment": experiment,
                "sample": sample.sample,
                **_run_salmon(f"{experiment}, {sample.sample}", reads, index, folder, toolbox),
                "quant_folder": str(final.relative_to(into.root)),
                **toolbox.lineage(),
            }
            text = json.dumps({"inputs": inputs, "row": row}, indent=1, default=str)
            (folder / RECORD).write_text(text)
        record = json.loads(text)
    return _row(record["row"])


def _run_salmon(
    label: str, reads: RawReads, index: BuiltIndex, folder: Path, toolbox: Toolbox
) -> dict[str, Any]:
    from refinebio_assets.rnaseq.quantification import read_arguments, read_salmon_output

    progress = Progress(toolbox.log, label, reads.reads, "fragments")
    started = time.monotonic()
    toolbox.log(f"{label}: Salmon against {index.release}, {index.length} index")
    with _readable(reads, toolbox) as (paths, unmated):
        toolbox.salmon.quantify(
            index.folder,
            read_arguments(paths, reads.layout, _options(toolbox)),
            folder,
            lambda line: toolbox.log(f"{label}: {line}"),
            progress.update,
        )
    result = read_salmon_output(folder)
    return {
        "organism": index.organism,
        "layout": reads.layout,
        "reads": reads.reads,
        "mean_read_length": reads.mean_length,
        **asdict(result),
        "disagreement": result.disagreement,
        "unmated_reads": sum(unmated),
        "index_length": index.length,
        "reference_database": index.database,
        "reference_release": index.release,
        "reference_assembly": index.assembly,
        "raw_sha256": reads.sha256,
        "seconds": time.monotonic() - started,
    }


@contextmanager
def _readable(reads: RawReads, toolbox: Toolbox) -> Iterator[tuple[list[Path], list[int]]]:
    """Paths that Salmon can open; the list receives the number of unmated reads dropped."""
    unmated: list[int] = []
    if reads.format == "FASTQ":
        yield reads.paths, unmated
        return
    with toolbox.sra_toolkit.reads(reads.paths[0], reads.layout) as dumped:
        yield dumped.pipes, unmated
    unmated.append(dumped.unmated)


def _index_for(sample: Sample, reads: RawReads, toolbox: Toolbox) -> BuiltIndex:
    from refinebio_assets.rnaseq.reads import index_length

    return newest_index(toolbox.storage, sample.organism, index_length(reads.mean_length))


def _options(toolbox: Toolbox) -> SalmonOptions:
    from refinebio_assets.rnaseq.quantification import SalmonOptions

    return SalmonOptions(
        gc_bias_of_paired=toolbox.config.gc_bias_of_paired,
        equivalence_classes=toolbox.config.equivalence_classes,
        unmapped_names=toolbox.config.unmapped_names,
    )


def _inputs(reads: RawReads, index: BuiltIndex, toolbox: Toolbox) -> dict[str, Any]:
    """What a quantification depends on: as long as it is the same, it is not repeated."""
    return {
        "raw_sha256": reads.sha256,
        "layout": reads.layout,
        "organism": index.organism,
        "release": index.release,
        "index_sha256": index.sha256,
        "salmon_version": toolbox.salmon.version(),
        "options": asdict(_options(toolbox)),
    }


def _row(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {**stored, "recorded_at": datetime.fromisoformat(stored["recorded_at"])}


def _rates(rows: list[dict[str, Any]], statuses: list[SampleStatus]) -> dict[str, Any]:
    rates = {row["sample"]: row["percent_mapped"] for row in rows}
    columns = ("sample", "num_processed", "num_mapped", "percent_mapped", "library_type")
    return {
        **counts_by_status(statuses),
        "mapping_rate": sum(rates.values()) / max(len(rates), 1),
        "fragments": sum(row["num_processed"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "mapping_rates": previews.bars(rates, "% mapped"),
        "preview": previews.table([{name: row[name] for name in columns} for row in rows]),
    }


def odd_samples(
    experiment: str, rows: list[dict[str, Any]], toolbox: Toolbox
) -> dict[str, list[str]]:
    """For each check, the samples of which it warns, in words."""
    config = toolbox.config
    found: dict[str, list[str]] = {"mapping_rate": [], "reads": [], "library_type": []}
    for row in rows:
        who = f"{experiment}, {row['sample']}"
        if row["percent_mapped"] < config.warn_mapping_rate:
            found["mapping_rate"].append(f"{who}: {row['percent_mapped']:.1f} % mapped")
        if row["num_processed"] < config.warn_reads:
            found["reads"].append(f"{who}: {row['num_processed']:,} fragments")
        if row["disagreement"]:
            found["library_type"].append(f"{who}: {row['disagreement']}")
    return found


# --- gene_counts ----------------------------------------------------------------------


def count_genes(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Bring transcripts to genes with tximport, organism by organism; publish the values."""
    from refinebio_assets.matrix.expression import samples_of

    record = surveyed(experiment, toolbox.storage)
    samples = processable(record, RNA_SEQ)
    failed = failed_at((RAW_STAGE, QUANTIFICATION_STAGE), experiment, toolbox)
    hopeful = [each.sample for each in samples if each.sample not in failed]
    rows = _quantified(experiment, hopeful, toolbox)
    if samples and not rows:
        raise NoSampleLeft(f"No sample of {experiment} is quantified.")
    _refuse_incomplete(experiment, hopeful, rows, toolbox)
    written: list[dict[str, Any]] = []
    for organism in sorted({row["organism"] for row in rows.values()}):
        mine = [row for row in rows.values() if row["organism"] == organism]
        written += _publish_genes(record, organism, mine, toolbox)
    _publish_profiles(experiment, written, toolbox)
    statuses = [SampleStatus(row["sample"], "processed") for row in written]
    files = _current_files(experiment, {row["organism"] for row in rows.values()}, toolbox)
    record_statuses(experiment, GENE_COUNTS_STAGE, statuses, toolbox)
    if not toolbox.config.keep_raw:
        for row in written:
            reads = stored_reads(experiment, row["sample"], toolbox)
            drop_fetched(reads.files if reads else ())
    in_matrix = {sample for path in files for sample in samples_of(path)}
    return StageOutcome(
        statuses,
        metadata={
            "n_samples": len(samples),
            "n_processed": len(written),
            "n_genes": max((row["num_genes"] for row in written), default=0),
            "genes_detected": previews.bars(
                {row["sample"]: row["num_genes_detected"] for row in written}, "genes"
            ),
            "preview": previews.table(
                [{name: row[name] for name in _PREVIEWED} for row in written]
            ),
        },
        findings={
            "genes_detected": [
                f"{experiment}, {row['sample']}: {row['num_genes_detected']:,} genes"
                for row in written
                if row["num_genes_detected"] < toolbox.config.warn_genes
            ],
            "all_samples_processed": [
                f"{experiment}, {each.sample}" for each in samples if each.sample not in in_matrix
            ],
            "same_samples": [
                f"{experiment}, {sample}: in only one of matrix and sample table"
                for sample in sorted(in_matrix ^ {each.sample for each in statuses})
            ],
        },
    )


def _quantified(experiment: str, samples: list[str], toolbox: Toolbox) -> dict[str, dict[str, Any]]:
    """The finished quantifications of an experiment's samples."""
    records = {
        sample: read_json(toolbox.storage.quant_folder(experiment, sample) / RECORD)
        for sample in samples
    }
    return {sample: _row(record["row"]) for sample, record in records.items() if record}


def _refuse_incomplete(
    experiment: str, eligible: list[str], rows: Mapping[str, Any], toolbox: Toolbox
) -> None:
    """tximport waits for every sample that may still come, or for most of many."""
    done, config = len(rows), toolbox.config
    early = len(eligible) > config.early_samples and done > config.early_fraction * len(eligible)
    if done < len(eligible) and not early:
        raise ExperimentIncomplete(
            f"{done} of {len(eligible)} samples of {experiment} are quantified."
        )


def _publish_genes(
    record: Experiment, organism: str, rows: list[dict[str, Any]], toolbox: Toolbox
) -> list[dict[str, Any]]:
    """One expression file: samples quantified with the same index are summarised together.

    Returns their rows of `rnaseq_profiles`.
    """
    from refinebio_assets.matrix.expression import write_gene_counts

    experiment = record.experiment
    summarised = []
    for group in of_one_index(rows):
        files = {
            row["sample"]: toolbox.storage.quant_folder(experiment, row["sample"]) / "quant.sf"
            for row in group
        }
        gene_map = read_gene_map(organism, group[0]["reference_release"], toolbox)
        summarised.append(to_genes(files, gene_map, toolbox))
    path = toolbox.storage.expression_file(organism, "RNA-SEQ", experiment)
    with toolbox.storage.publish_file(path) as staged:
        write_gene_counts(staged, summarised, _provenance(experiment, rows, toolbox))
    toolbox.log(f"{experiment}: {len(rows)} samples of {organism} brought to genes")
    known = {each.sample: each for each in record.samples}
    return [
        {
            "experiment": experiment,
            "sample": sample,
            "organism": organism,
            **_profile(record, known[sample], genes.counts[:, column]),
            **toolbox.lineage(),
        }
        for genes in summarised
        for column, sample in enumerate(genes.samples)
    ]


def _profile(record: Experiment, sample: Sample, counts: NDArray[np.float64]) -> dict[str, Any]:
    """What the counts look like, and how probably the run is of single cells."""
    from refinebio_assets.metadata.single_cell import text_evidence
    from refinebio_assets.rnaseq.single_cell import profile_of, single_cell_probability

    profile = profile_of(counts)
    told = text_evidence(record, sample)
    return {
        **asdict(profile),
        "zero_share": profile.zero_share,
        "single_cell_probability": single_cell_probability(told.log_odds, profile),
        "text_log_odds": told.log_odds,
        "single_cell_signs": list(told.signs),
    }


def _publish_profiles(experiment: str, rows: list[dict[str, Any]], toolbox: Toolbox) -> None:
    from refinebio_assets.matrix.tables import frame, write_parquet
    from refinebio_assets.tables import RNASEQ_PROFILES

    path = toolbox.storage.table_file("rnaseq_profiles", experiment)
    with toolbox.storage.publish_file(path) as staged:
        write_parquet(frame(RNASEQ_PROFILES, rows), staged)


def _provenance(experiment: str, rows: list[dict[str, Any]], toolbox: Toolbox) -> dict[str, str]:
    """What a file of expression values was made from; sample by sample: `quantifications`."""
    return {
        "experiment": experiment,
        "salmon_version": ", ".join(sorted({row["salmon_version"] for row in rows})),
        "reference_release": ", ".join(sorted({row["reference_release"] for row in rows})),
        "tximport": "R" if toolbox.config.tximport_in_r else "refinebio_assets",
        **{name: str(value) for name, value in toolbox.lineage().items()},
    }


def of_one_index(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows of `quantifications` in groups that were made with the same index."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["reference_release"], row["index_length"], row["index_sha256"])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def read_gene_map(organism: str, release: str, toolbox: Toolbox) -> pl.DataFrame:
    """Transcript, gene and symbol of one release."""
    import polars as pl

    path = gene_map_path(toolbox.storage.reference(organism, release))
    return pl.read_parquet(path, glob=False)


def to_genes(
    files: Mapping[str, Path], gene_map: pl.DataFrame, toolbox: Toolbox
) -> GeneQuantification:
    """Salmon's files of samples (of one index) brought to genes by tximport, ours or R's."""
    from refinebio_assets.rnaseq.tximport import GeneQuantification, gene_level

    if not toolbox.config.tximport_in_r:
        return gene_level(files, gene_map)
    found = toolbox.r.tximport(files, gene_map, "no")
    return GeneQuantification(samples=list(files), unmapped_transcripts=0, **found)


def _current_files(experiment: str, organisms: set[str], toolbox: Toolbox) -> list[Path]:
    """The experiment's expression files; one of an organism it no longer has is removed."""
    kept = {toolbox.storage.expression_file(each, "RNA-SEQ", experiment) for each in organisms}
    for path in toolbox.storage.expression_files("RNA-SEQ", experiment):
        if path not in kept:
            path.unlink()
    return sorted(kept)
