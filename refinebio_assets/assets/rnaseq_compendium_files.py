"""Making the files of an RNA-seq sample compendium's release: the zip, and what is told of it.

Files of Salmon's are not copied: the zip is written from hard links to them, by which they
stay as they were read, whatever becomes of their folders meanwhile.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.assets.progress import Log, Progress
from refinebio_assets.errors import NothingToDeliver, RefinebioError
from refinebio_assets.resources.compendia import FOLDERS, RECORD
from refinebio_assets.resources.dataset_records import Key
from refinebio_assets.resources.rnaseq_compendium_selection import (
    LINEAGE,
    QUANT_SF,
    QuantSelection,
    digest,
    expected_runs,
    known_samples,
    read_in_parts,
)
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from refinebio_assets.compendium.documents import RnaseqContents
    from refinebio_assets.compendium.quant_archive import FoundInArchive, QuantFile
    from refinebio_assets.publish.metadata_files import DatasetMetadata
    from refinebio_assets.publish.record_spool import RecordSpool

SAMPLES, LEFT_OUT = "samples.parquet", "left_out.parquet"
NO_FILE = "It has no quant.sf."
PROBABLY_SINGLE_CELL = 0.5  # probability from which a sample is counted as one
RUNS_AT_A_TIME = 1_000
LISTED = 20
# Errors that are no sample's own: they end the run.
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS)

# Rules by which a run is left out.
NOT_QUANTIFIED, NOT_THERE, MALFORMED, FOREIGN, UNFIT = (
    "not_quantified",
    "no_file",
    "malformed",
    "other_organism",
    "name",
)


@dataclass(frozen=True, eq=False)
class ReadRuns:
    """The runs of a compendium after their files were read.

    Attributes
    ----------
    delivered
        Those that can be: the columns of `QuantSelection.runs`, `transcripts` and `sha256`.
    folders
        Where the files of each lie while the zip is written, in the same order.
    left_out
        `experiment`, `sample`, `rule`, `reason`; those without any quantification too.
    """

    delivered: pl.DataFrame
    folders: list[Path]
    left_out: pl.DataFrame

    def inputs(self, selection: QuantSelection, *, whole_folders: bool) -> dict[str, str]:
        """What the release depends on: a name for people -> its version.

        Samples that were never quantified make no new release.
        """
        samples = self.delivered.select(
            "experiment", "sample", "sha256", "index_sha256", "salmon_version"
        )
        lost = self.left_out.filter(self.left_out["rule"] != NOT_QUANTIFIED)
        return {
            "refinebio_assets": __version__,
            "samples": digest(map(str, samples.iter_rows())),
            "left_out": digest(map(str, lost.select("experiment", "sample", "rule").iter_rows())),
            "metadata": selection.metadata_version,
            "files": "all of Salmon's" if whole_folders else QUANT_SF,
        }


@dataclass(frozen=True, eq=False)
class MadeRnaseqRelease:
    """A release in its folder, before it is put in place, and what is to be told of it.

    `experiments` has `experiment`, `title`, `samples` and `bytes`, the largest first.
    """

    record: dict[str, Any]
    left_out: pl.DataFrame
    experiments: pl.DataFrame


# --- Salmon's files ---------------------------------------------------------------------


def read_runs(
    selection: QuantSelection,
    storage: Storage,
    scratch: Path,
    *,
    whole_folders: bool,
    threads: int,
    log: Log,
) -> ReadRuns:
    """Read the `quant.sf` of every run to its end, so that a bad one is left out.

    Raises
    ------
    NothingToDeliver
        Not one is whole.
    """
    import polars as pl

    from refinebio_assets.compendium.quant_archive import UNFIT_NAME, QuantFile, unfit_runs

    runs = selection.runs
    progress = Progress(log, f"{selection.organism}: read", len(runs), "quant.sf files")

    def read(place: int) -> QuantFile | tuple[str, str]:
        row = runs.row(place, named=True)
        found = _read_run(
            row, selection.organism, storage, _held_folder(scratch, place), whole=whole_folders
        )
        progress.advance()
        return found

    found: list[QuantFile | tuple[str, str]] = []
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(runs), RUNS_AT_A_TIME):
            found += pool.map(read, range(start, min(start + RUNS_AT_A_TIME, len(runs))))
    keys: list[Key] = runs.select("experiment", "sample").rows()
    good = [key for key, each in zip(keys, found, strict=True) if isinstance(each, QuantFile)]
    unfit = set(unfit_runs(good, whole_folders=whole_folders))
    places = [
        place
        for place, each in enumerate(found)
        if isinstance(each, QuantFile) and keys[place] not in unfit
    ]
    if not places:
        reasons = {each[1] for each in found if not isinstance(each, QuantFile)}
        raise NothingToDeliver(
            f"Of {len(runs):,} quantified samples of {selection.organism} none has a whole "
            f"quant.sf: {' '.join(sorted(reasons)[:3])}"
        )
    whole = [each for place in places if isinstance(each := found[place], QuantFile)]
    left_out = [
        (*key, *(each if not isinstance(each, QuantFile) else (UNFIT, UNFIT_NAME)))
        for key, each in zip(keys, found, strict=True)
        if not isinstance(each, QuantFile) or key in unfit
    ]
    names = ("experiment", "sample", "rule", "reason")
    lost = pl.DataFrame(left_out, schema=dict.fromkeys(names, pl.String), orient="row")
    others = selection.not_quantified.with_columns(rule=pl.lit(NOT_QUANTIFIED)).select(names)
    return ReadRuns(
        runs[places].with_columns(
            bytes=pl.Series([each.size for each in whole], dtype=pl.Int64),
            transcripts=pl.Series([each.transcripts for each in whole], dtype=pl.Int64),
            sha256=pl.Series([each.sha256 for each in whole], dtype=pl.String),
        ),
        [_held_folder(scratch, place) for place in places],
        pl.concat([lost, others]).sort("experiment", "sample"),
    )


def _held_folder(scratch: Path, place: int) -> Path:
    return scratch / "held" / str(place // RUNS_AT_A_TIME) / str(place)


def _read_run(
    run: Mapping[str, Any], organism: str, storage: Storage, held: Path, *, whole: bool
) -> QuantFile | tuple[str, str]:
    """The file of a run that can be delivered, else the rule and reason why it cannot."""
    from refinebio_assets.compendium.quant_archive import read_quant_file

    if run["bytes"] is None:
        return NOT_THERE, NO_FILE
    if run["index_organism"] not in (None, organism):
        return FOREIGN, f"It was quantified as {run['index_organism']}."
    try:
        _hold(storage.quant_folder(run["experiment"], run["sample"]), held, whole=whole)
        return read_quant_file(held / QUANT_SF)
    except FileNotFoundError:
        return NOT_THERE, NO_FILE
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        return MALFORMED, f"Its files cannot be read: {error.strerror}."
    except RefinebioError as error:
        return MALFORMED, f"Its quant.sf is cut or malformed: {error.message}"


def _hold(folder: Path, held: Path, *, whole: bool) -> None:
    """Keep a run's files as they are now; if they are just being replaced, once more.

    Raises
    ------
    FileNotFoundError
        There is no `quant.sf`.
    """
    for last_try in (False, True):
        try:
            before = folder.stat().st_ino
            _link(folder, held, whole=whole)
            if folder.stat().st_ino == before:
                return
        except FileNotFoundError:
            if last_try:
                raise
        shutil.rmtree(held, ignore_errors=True)
    raise FileNotFoundError(folder)


def _link(folder: Path, held: Path, *, whole: bool) -> None:
    """Hard links to files or, where there can be none, symbolic ones."""
    from refinebio_assets.compendium.quant_archive import files_of_folder

    for name in {QUANT_SF, *(files_of_folder(folder) if whole else ())}:
        target = held / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = (folder / name).resolve(strict=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without hard links
            target.symlink_to(source)


# --- the release ------------------------------------------------------------------------


def make_rnaseq_release(
    selection: QuantSelection,
    runs: ReadRuns,
    version: int,
    *,
    whole_folders: bool,
    threads: int,
    database: duckdb.DuckDBPyConnection,
    folder: Path,
    scratch: Path,
    run_id: str,
    log: Log,
) -> MadeRnaseqRelease:
    """Fill a release's folder, and read the finished zip.

    Parameters
    ----------
    scratch
        Where the documents are written, and records that do not fit into memory.
    """
    from refinebio_assets.compendium.documents import write_rnaseq_documents
    from refinebio_assets.publish.archive import write_archive
    from refinebio_assets.publish.record_spool import RecordSpool

    organism, delivered = selection.organism, runs.delivered
    _write_tables(selection, runs, version, folder)
    with ExitStack() as stack:
        kept, lost = (stack.enter_context(RecordSpool(scratch)) for _ in range(2))
        metadata = _metadata(selection, runs, version, database, kept, lost, log)
        log(f"{organism}: writing the documents of {len(kept):,} samples")
        contents = _contents(organism, delivered, whole_folders=whole_folders)
        written = write_rnaseq_documents(metadata, contents, scratch / "documents")
    quants = dict(_members(runs, whole_folders=whole_folders))
    name = f"{organism}_rnaseq_compendium.zip"
    members = {**written.files, **quants}
    zipped = write_archive(
        members,
        folder / name,
        on_member=Progress(log, f"{organism}: zipped", len(members), "files").advance,
    )
    found = _read_zip(folder, name, organism, threads, log)
    touched = runs.left_out["experiment"].is_in(selection.runs["experiment"].unique().implode())
    num_left_out = int(touched.sum())
    record = {
        "kind": "rnaseq",
        "organism": organism,
        "version": version,
        "organisms": [organism],
        "num_samples": delivered["sample"].n_unique(),
        "num_files": len(delivered),
        "num_experiments": delivered["experiment"].n_unique(),
        "num_left_out": num_left_out,
        "num_of_other_experiments": len(touched) - num_left_out,
        "num_probably_single_cell": _single_cells(delivered),
        "references": _references(delivered).to_dicts(),
        "whole_folders": whole_folders,
        "checks": [
            _zip_is_whole(found),
            _all_samples_delivered(found, organism, num_left_out, folder, database),
        ],
        "inputs": runs.inputs(selection, whole_folders=whole_folders),
        "state": selection.state(whole_folders=whole_folders),
        "num_bytes": zipped.size,
        "num_bytes_unpacked": sum(path.stat().st_size for path in members.values()),
        "sha256": zipped.sha256,
        "sha1": zipped.sha1,
        "file": f"{FOLDERS['rnaseq']}/{organism}/{version}/{name}",
        "newest_values": metadata.created_at.isoformat(),
        "code_version": __version__,
        "run_id": run_id,
        "recorded_at": datetime.now(UTC).isoformat(),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    titles = {each.accession: each.title for each in metadata.experiments}
    return MadeRnaseqRelease(record, runs.left_out, _experiments(delivered, titles))


def _write_tables(selection: QuantSelection, runs: ReadRuns, version: int, folder: Path) -> None:
    import polars as pl

    tables = {
        SAMPLES: runs.delivered.select(
            "experiment",
            "sample",
            *(name for name in LINEAGE if name not in ("index_organism", "recorded_at")),
            pl.col("recorded_at").alias("quantified_at"),
            (pl.col("status") == "processed").fill_null(False).alias("is_processed"),
            "transcripts",
            "bytes",
            "sha256",
        ),
        LEFT_OUT: runs.left_out,
    }
    for name, table in tables.items():
        table.select(
            pl.lit(selection.organism).alias("organism"),
            pl.lit(version, pl.Int32).alias("version"),
            pl.all(),
        ).write_parquet(folder / name)


def _members(runs: ReadRuns, *, whole_folders: bool) -> Iterator[tuple[str, Path]]:
    from refinebio_assets.compendium.quant_archive import member_name

    keys = runs.delivered.select("experiment", "sample").iter_rows()
    for (experiment, sample), folder in zip(keys, runs.folders, strict=True):
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = path.relative_to(folder).as_posix()
            yield member_name(experiment, sample, name, whole_folder=whole_folders), path


# --- what is said of the samples --------------------------------------------------------


def _metadata(
    selection: QuantSelection,
    runs: ReadRuns,
    version: int,
    database: duckdb.DuckDBPyConnection,
    kept: RecordSpool,
    lost: RecordSpool,
    log: Log,
) -> DatasetMetadata:
    """The zip's metadata, with records on disk; of a sample in two experiments the first's.

    Left out are samples of experiments of which something was quantified.
    """
    from refinebio_assets.publish.metadata_files import DatasetMetadata
    from refinebio_assets.publish.recipe import Recipe
    from refinebio_assets.publish.record_spool import Lazy
    from refinebio_assets.publish.records import FilteredSample, Processor

    delivered: list[Key] = runs.delivered.select("experiment", "sample").rows()
    salmon = dict(zip(delivered, runs.delivered["salmon_version"], strict=True))
    anywhere = {sample for _, sample in delivered}
    touched = set(selection.runs["experiment"])
    reasons: dict[Key, str] = {
        (experiment, sample): reason
        for experiment, sample, reason in runs.left_out.select(
            "experiment", "sample", "reason"
        ).iter_rows()
        if experiment in touched
    }
    wanted: dict[str, list[str]] = {}
    for experiment, sample in sorted([*delivered, *reasons]):
        wanted.setdefault(experiment, []).append(sample)
    progress = Progress(log, f"{selection.organism}: described", len(salmon), "samples")
    experiments, filtered, seen = [], [], set()
    for found, records in read_in_parts(wanted, database):
        experiments += [
            replace(
                each,
                samples=tuple(
                    name
                    for name in each.samples
                    if (each.accession, name) in salmon or name not in anywhere
                ),
            )
            for each in found
        ]
        for key, record in sorted(records.items()):
            if key in reasons:
                lost.append(record)
                filtered.append(key)
            elif key[1] not in seen:
                seen.add(key[1])
                known = salmon[key]
                if record.processor is None and known is not None:
                    record = replace(record, processor=Processor("Salmon Quant", f"salmon {known}"))
                kept.append(record)
        progress.update(len(kept))
    groups: dict[str, list[str]] = {}
    for experiment, sample in delivered:
        groups.setdefault(experiment, []).append(sample)
    asked = {
        experiment: tuple(
            name for name in names if (experiment, name) in salmon or name not in anywhere
        )
        for experiment, names in wanted.items()
    }
    return DatasetMetadata(
        recipe=Recipe(asked, quantile_normalize=False, quant_sf_only=True),
        created_at=_newest(runs.delivered),
        experiments=experiments,
        samples=kept.records(),
        groups=groups,
        filtered=Lazy(
            len(filtered),
            lambda place: FilteredSample(
                lost.read(place), filtered[place][0], reasons[filtered[place]]
            ),
        ),
        compendium_version=version,
    )


def _newest(runs: pl.DataFrame) -> datetime:
    """When the newest values were made; by the files, where nothing else is known."""
    moments = runs["recorded_at"].drop_nulls().to_list()
    seconds = max(runs["changed_ns"]) // 1_000_000_000
    return max(moments) if moments else datetime.fromtimestamp(seconds, UTC)


def _contents(organism: str, runs: pl.DataFrame, *, whole_folders: bool) -> RnaseqContents:
    from refinebio_assets.compendium.documents import RnaseqContents

    return RnaseqContents(
        organism=organism,
        software=f"refinebio_assets {__version__}",
        references={
            f"{row['reference']} (SHA-256 {(row['index_sha256'] or 'unknown')[:12]})": row[
                "samples"
            ]
            for row in _references(runs).iter_rows(named=True)
        },
        warnings=list(_warnings(runs)),
        whole_folders=whole_folders,
    )


def _references(runs: pl.DataFrame) -> pl.DataFrame:
    """Transcriptomes that were quantified against: `reference`, `index_sha256`, `samples`."""
    import polars as pl

    names = ("reference_database", "reference_release", "reference_assembly")
    words = pl.concat_str([pl.col(name).fill_null("unknown") for name in names], separator=" ")
    return (
        runs.group_by(words.alias("reference"), "index_sha256")
        .agg(samples=pl.len())
        .sort("samples", "reference", "index_sha256", descending=[True, False, False])
    )


def _warnings(runs: pl.DataFrame) -> Iterator[str]:
    """Sentences for whoever uses the files."""
    import polars as pl

    single = _single_cells(runs)
    if single:
        yield (
            f"{single:,} samples are probably single cells, and not left out here: "
            f"`single_cell_probability` of the release's {SAMPLES} says which."
        )
    raw = runs.filter(pl.col("raw_sha256").is_not_null()).group_by("sample")
    several = raw.agg(pl.col("raw_sha256").list.join(",").n_unique()).filter(
        pl.col("raw_sha256") > 1
    )
    if len(several):
        yield (
            f"{len(several):,} names stand for other reads in one experiment than in another "
            f"({', '.join(sorted(several['sample'])[:5])}, …): the metadata tables have what the "
            "first experiment says of them."
        )
    waiting = int((runs["status"] != "processed").fill_null(True).sum())
    if waiting:
        yield (
            f"{waiting:,} files are of samples that are not processed to genes: what the catalogue "
            "says of them may change."
        )


def _single_cells(runs: pl.DataFrame) -> int:
    return int((runs["single_cell_probability"] >= PROBABLY_SINGLE_CELL).sum())


def _experiments(runs: pl.DataFrame, titles: Mapping[str, str]) -> pl.DataFrame:
    import polars as pl

    found = runs.group_by("experiment").agg(samples=pl.len(), bytes=pl.col("bytes").sum())
    of_each = [titles.get(each, "") for each in found["experiment"]]
    return (
        found.with_columns(title=pl.Series(of_each, dtype=pl.String))
        .select("experiment", "title", "samples", "bytes")
        .sort("samples", "experiment", descending=[True, False])
    )


# --- the finished zip -------------------------------------------------------------------


def _read_zip(folder: Path, name: str, organism: str, threads: int, log: Log) -> FoundInArchive:
    import polars as pl

    from refinebio_assets.compendium.quant_archive import read_archive

    table = pl.read_parquet(folder / SAMPLES, columns=["experiment", "sample", "sha256"])
    digests = {(experiment, sample): sha256 for experiment, sample, sha256 in table.iter_rows()}
    progress = Progress(log, f"{organism}: read back from the zip", len(digests), "files")
    return read_archive(folder / name, digests, threads=threads, on_progress=progress.advance)


def _zip_is_whole(found: FoundInArchive) -> dict[str, Any]:
    faults = found.faults
    return {
        "check": "zip_is_whole",
        "blocking": True,
        "passed": not faults,
        "words": f"{len(faults):,} faults: {_some(faults)}."
        if faults
        else f"{len(found.runs):,} files were unpacked, and are those that were read.",
    }


def _all_samples_delivered(
    found: FoundInArchive,
    organism: str,
    num_left_out: int,
    folder: Path,
    database: duckdb.DuckDBPyConnection,
) -> dict[str, Any]:
    """What is in the finished zip against the catalogue's sample table, read once more."""
    import polars as pl

    told = pl.read_parquet(folder / LEFT_OUT, columns=["experiment", "sample", "reason"])
    reasons: dict[Key, str] = {
        (experiment, sample): reason for experiment, sample, reason in told.iter_rows()
    }
    missing = [key for key in expected_runs(organism, database) if key not in found.runs]
    lost = [f"{key[1]} of {key[0]}: {reasons[key]}" for key in missing if key in reasons]
    wrong = [f"{key[1]} of {key[0]} (no reason is known)" for key in missing if key not in reasons]
    unknown = found.runs - known_samples(organism, database)
    wrong += [f"{sample} of {experiment} (not in it)" for experiment, sample in sorted(unknown)]
    words = f"{len(found.runs):,} quantified samples are in the zip"
    words += (
        f"; {len(lost):,} left out: {_some(lost)}" if lost else ", all that the sample table has."
    )
    others = num_left_out - len(lost)
    if others:
        words += f" {others:,} more of their experiments were not quantified: {LEFT_OUT} says why."
    if wrong:
        words += f" {len(wrong):,} are not as the sample table says: {_some(wrong)}."
    return {
        "check": "all_samples_delivered",
        "blocking": bool(wrong),
        "passed": not (lost or wrong),
        "words": words,
    }


def _some(texts: list[str]) -> str:
    return "; ".join(texts[:LISTED]) + (" …" if len(texts) > LISTED else "")
