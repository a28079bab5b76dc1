"""A user's own reads brought to tables of their own, by what every experiment goes through.

Reads are checked, Salmon runs against the organism's index that suits their length, tximport
brings transcripts to genes: the functions are those of the stages (`raw_reads`, `rnaseq`).
Of the installation only the references are used, and nothing is written there. As in an
experiment, length scaling looks at all samples that are given together and of one index.

The folder that is filled:

    salmon/<SAMPLE>/                 as Salmon wrote it; a sample found here is not repeated
    gene_counts.tsv, …               a row for each gene (or transcript), a column for each sample
    transcripts.tsv                  gene and symbol of each transcript: tximport's tx2gene
    samples.tsv                      what became of each sample, rates and versions

Not here: the command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw_reads import fetch_and_measure
from refinebio_assets.assets.rnaseq import (
    odd_samples,
    of_one_index,
    quantified,
    read_gene_map,
    to_genes,
)
from refinebio_assets.assets.stage import SampleResults, Toolbox, for_each_sample
from refinebio_assets.errors import (
    InvalidAccession,
    MissingIndex,
    NoSampleLeft,
    RefinebioError,
    UnequalMates,
)
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.resources.references import LENGTHS, newest_index
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import polars as pl

    from refinebio_assets.rnaseq.pairing import RunFiles
    from refinebio_assets.rnaseq.tximport import GeneQuantification, TranscriptQuantification
    from refinebio_assets.sources.records import Sample

Level = Literal["gene", "transcript"]
Ids = Literal["ensembl", "symbol"]
Format = Literal["tsv", "parquet"]

FIRST_COLUMN = {"gene": "Gene", "transcript": "Transcript"}
MATRICES = ("counts", "tpm", "effective_length", "length_scaled_tpm")
_NO_MATES = "If they are samples of their own, and not mates: --each-alone."
_NOT_OF_USERS = {"experiment", "sample", "run_id"}


@dataclass(frozen=True)
class UserQuantification:
    """What came of a user's reads.

    Attributes
    ----------
    rows
        Of the samples that came through, the row of `quantifications`.
    errors
        Of the others, by name.
    tables
        The matrices that were written.
    features
        How many genes, or transcripts, they have.
    odd
        What is odd of samples that came through, in words.
    """

    rows: list[dict[str, Any]]
    errors: dict[str, RefinebioError]
    tables: list[Path]
    features: int
    odd: list[str]


def quantify_runs(
    runs: Sequence[RunFiles],
    organism: str,
    output: Path,
    toolbox: Toolbox,
    *,
    level: Level = "gene",
    ids: Ids = "ensembl",
    format: Format = "tsv",
) -> UserQuantification:
    """Quantify runs, each by itself, into a folder.

    Parameters
    ----------
    organism
        As in keys, HOMO_SAPIENS.
    output
        The folder; made where it is not there.
    ids
        Of genes: `symbol` adds up the genes of one symbol; a gene without one keeps its id.

    Raises
    ------
    UnsupportedOrganism, MissingIndex, ToolMissing, ToolTooOld
        Before any read is looked at.
    NoSampleLeft
        Not one run came through; `samples.tsv` says why.
    ValueError
        Symbols were asked for of transcripts.
    """
    if level == "transcript" and ids == "symbol":
        raise ValueError("A symbol is a gene's, not a transcript's.")
    _refuse_unbuilt(organism, toolbox.storage)
    toolbox.salmon.version()
    into = Storage(home=str(output))
    work, errors = _named(runs, organism, FIRST_COLUMN[level])
    overall = Progress(toolbox.log, f"{organism}: quantified", len(work), "samples", every=0)

    def quantify(name: str) -> dict[str, Any]:
        sample = work[name]
        try:
            reads = fetch_and_measure(sample, sample.files, into.root / "raw", toolbox)
        except UnequalMates as error:
            raise UnequalMates(error.message, remedy=f"{error.remedy} {_NO_MATES}") from error
        row = quantified(organism, sample, reads, into.root / "salmon" / name, into, toolbox)
        overall.advance()
        return row

    for name, error in errors.items():
        toolbox.log(f"{name}: {error.code}: {error}")
    results = for_each_sample(work, quantify, toolbox, organism)
    with contextlib.suppress(OSError):  # not there, or somebody else's is in it
        (into.root / "staging").rmdir()
    results.errors.update(errors)
    rows = list(results.values())
    into.root.mkdir(parents=True, exist_ok=True)
    _write_samples(into.root / "samples.tsv", runs, results)
    if not rows:
        raise NoSampleLeft(
            "No sample could be quantified.",
            remedy=f"{into.root / 'samples.tsv'} says why, one by one.",
        )
    features, tables = _write_matrices(rows, organism, into.root, toolbox, level, ids, format)
    odd = [words for found in odd_samples(organism, rows, toolbox).values() for words in found]
    return UserQuantification(rows, results.errors, tables, features, odd)


def _refuse_unbuilt(organism: str, storage: Storage) -> None:
    """An index of either length will do: the reads aren't known yet."""
    for length in LENGTHS:
        try:
            newest_index(storage, organism, length)
        except MissingIndex as error:
            missing = error
        else:
            return
    raise missing


def _named(
    runs: Iterable[RunFiles], organism: str, taken: str
) -> tuple[dict[str, Sample], dict[str, RefinebioError]]:
    """The runs as samples, and those whose names cannot be a sample's, by their files."""
    from refinebio_assets.sources.records import RawFile, Sample

    found: dict[str, Sample] = {}
    errors: dict[str, RefinebioError] = {}
    for run in runs:
        try:
            name = valid_accession(run.name, what="sample")
            if name in found or name == taken:
                why = "the first column is" if name == taken else "another one is"
                raise InvalidAccession(f"A sample cannot be called {name}: {why}.")
        except InvalidAccession as error:
            said = InvalidAccession(error.message, remedy=f"{error.remedy} Or rename the file.")
            errors[", ".join(run.files)] = said
        else:
            paths = [Path(file).absolute() for file in run.files]
            files = tuple(RawFile(path.name, str(path)) for path in paths)
            found[name] = Sample(name, organism, RNA_SEQ, "LOCAL", files=files)
    return found, errors


# --- the tables -----------------------------------------------------------------------


def _write_matrices(
    rows: list[dict[str, Any]],
    organism: str,
    folder: Path,
    toolbox: Toolbox,
    level: Level,
    ids: Ids,
    format: Format,
) -> tuple[int, list[Path]]:
    """Number of features, and the tables written; samples of another index lie beside."""
    import polars as pl

    maps: list[pl.DataFrame] = []
    measured: list[GeneQuantification | TranscriptQuantification] = []
    for group in of_one_index(rows):
        gene_map = read_gene_map(organism, group[0]["reference_release"], toolbox)
        files = {row["sample"]: folder / row["quant_folder"] / "quant.sf" for row in group}
        measured.append(_summarised(files, gene_map, toolbox, level, ids))
        maps.append(gene_map)
    transcripts = pl.concat(maps).unique("transcript", keep="first", maintain_order=True)
    _write(transcripts, folder / "transcripts.tsv")

    names = sorted({name for each in measured for name in _features(each)})
    first = FIRST_COLUMN[level]
    tables: list[Path] = []
    for what in MATRICES:
        table = pl.DataFrame({first: names}, schema={first: pl.String()})
        for each in measured:
            columns = pl.DataFrame(_matrix(each, what), schema=each.samples, orient="row")
            columns.insert_column(0, pl.Series(first, _features(each), pl.String()))
            table = table.join(columns, on=first, how="left", maintain_order="left")
        table = table.select(first, *(row["sample"] for row in rows))
        tables.append(folder / f"{level}_{what}.{format}")
        _write(table, tables[-1])
    return len(names), tables


def _summarised(
    files: Mapping[str, Path], gene_map: pl.DataFrame, toolbox: Toolbox, level: Level, ids: Ids
) -> GeneQuantification | TranscriptQuantification:
    import polars as pl

    from refinebio_assets.rnaseq.tximport import transcript_level

    if level == "transcript":
        return transcript_level(files)
    if ids == "symbol":
        symbol = pl.when(pl.col("symbol") != "").then(pl.col("symbol"))
        gene_map = gene_map.with_columns(gene=pl.coalesce(symbol, pl.col("gene")))
    return to_genes(files, gene_map, toolbox)


def _features(each: GeneQuantification | TranscriptQuantification) -> list[str]:
    from refinebio_assets.rnaseq.tximport import GeneQuantification

    return each.genes if isinstance(each, GeneQuantification) else each.transcripts


def _matrix(each: GeneQuantification | TranscriptQuantification, what: str) -> Any:
    match what:
        case "counts":
            return each.counts
        case "tpm":
            return each.abundance
        case "effective_length":
            return each.length
    return each.length_scaled_tpm()


def _write_samples(
    path: Path, runs: Iterable[RunFiles], results: SampleResults[dict[str, Any]]
) -> None:
    """A row for each run: its files, its verdict, and its columns of `quantifications`."""
    import polars as pl

    from refinebio_assets.matrix.tables import frame
    from refinebio_assets.tables import QUANTIFICATIONS

    statuses = results.statuses()
    files: dict[str, str] = {}
    for run in runs:
        files.setdefault(run.name, ", ".join(run.files))
    verdicts = pl.DataFrame(
        [{**asdict(each), "files": files.get(each.sample, each.sample)} for each in statuses],
        schema=dict.fromkeys(
            ("sample", "status", "reason_code", "reason", "remedy", "files"), pl.String()
        ),
    )
    rows = frame(QUANTIFICATIONS, results.values())
    rows = rows.with_columns(pl.col("raw_sha256").list.join(", "))
    own = [name for name in rows.columns if name not in _NOT_OF_USERS]
    told = verdicts.join(
        rows.select("sample", *own), on="sample", how="left", maintain_order="left"
    )
    _write(told, path)


def _write(table: pl.DataFrame, path: Path) -> None:
    from refinebio_assets.matrix.tables import write_parquet
    from refinebio_assets.matrix.user_tables import write_matrix
    from refinebio_assets.whole_file import whole_file

    if path.suffix == ".parquet":
        with whole_file(path) as aside:
            write_parquet(table, aside)
    else:
        write_matrix(table, path)
