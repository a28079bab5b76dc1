"""Gene-level estimates from Salmon's transcript-level ones, as the R package tximport makes them.

Source: Soneson, Love and Robinson, "Differential analyses for RNA-seq: transcript-level
estimates improve gene-level inferences", F1000Research 4:1521 (2015), and tximport 1.26.1,
`type = "salmon"`. The tests hold every array to R's at 1e-9 relative. Not here: running
Salmon, and deciding which samples belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, TooLarge, read_whole
from refinebio_assets.errors import InvalidQuantification, InvalidReference
from refinebio_assets.whole_file import whole_file

Matrix = NDArray[np.float64]

NUMBERS = ("Length", "EffectiveLength", "TPM", "NumReads")
QUANT_SCHEMA = {"Name": pl.String(), **dict.fromkeys(NUMBERS, pl.Float64())}
QUANT_HEADER = b"\t".join(column.encode() for column in QUANT_SCHEMA)
LARGEST_FILE = 1 << 30  # bytes of text; a million transcripts have 60 MiB

# Spelled as `_word` makes them: lower case, letters only.
TRANSCRIPT_WORDS = re.compile(
    "(ensembl)?transcript(stable)?(id(version)?)?|transcriptname"
    "|tx(id|name)?|name|target(id)?|tname|isoform(id)?"
)
GENE_WORDS = re.compile("(ensembl)?gene(stable)?(id(version)?)?|genename|(gene)?symbol")

CELLS_PER_BLOCK = 1 << 20  # of a written matrix: 8 MiB of numbers at a time


@dataclass(frozen=True, eq=False)
class GeneQuantification:
    """Gene-level estimates of samples that were quantified with one index.

    Attributes
    ----------
    genes, samples
        What the rows and the columns of the arrays are; genes in code point order.
    abundance
        TPM, float64, genes × samples, C-contiguous; so are the next two.
    counts
        Estimated reads ("NumReads"), not scaled.
    length
        Mean effective length in bases, weighted by abundance, with no gap (see `gene_level`).
    unmapped_transcripts
        How many transcripts of the index the gene map does not have; they are left out.
    """

    genes: list[str]
    samples: list[str]
    abundance: Matrix
    counts: Matrix
    length: Matrix
    unmapped_transcripts: int

    def scaled_tpm(self) -> Matrix:
        """Abundance brought to each sample's number of reads ("scaledTPM").

        Returns
        -------
        Matrix
            Estimated reads, genes × samples; a new array.
        """
        return _with_totals_of(self.counts, self.abundance.copy())

    def length_scaled_tpm(self) -> Matrix:
        """Abundance times the gene's mean length, brought to each sample's number of reads.

        This is tximport's "lengthScaledTPM": counts from which differences in transcript
        usage between the samples are taken out. A value depends on the other samples,
        through the mean length.

        Returns
        -------
        Matrix
            Estimated reads, genes × samples; a new array. A sample without any abundance
            is all zero, where R has NaN.
        """
        return _length_scaled(self.counts, self.abundance, self.length)


@dataclass(frozen=True, eq=False)
class TranscriptQuantification:
    """Salmon's own estimates, side by side, of samples that were quantified with one index.

    `transcripts` are in the order of the files; the arrays, transcripts × samples, are TPM,
    "NumReads" and "EffectiveLength" as Salmon wrote them.
    """

    transcripts: list[str]
    samples: list[str]
    abundance: Matrix
    counts: Matrix
    length: Matrix

    def length_scaled_tpm(self) -> Matrix:
        """As `GeneQuantification.length_scaled_tpm`; R's `txOut = TRUE`."""
        return _length_scaled(self.counts, self.abundance, self.length)


def transcript_level(quant_files: Mapping[str, Path]) -> TranscriptQuantification:
    """Put quantifications side by side.

    Parameters
    ----------
    quant_files
        Sample to its `quant.sf`, plain or gzip. The order is kept.

    Raises
    ------
    InvalidQuantification
        As `gene_level`.
    """
    if not quant_files:
        raise InvalidQuantification("No quant.sf was given.")
    samples, paths = list(quant_files), list(quant_files.values())
    table = read_quant(paths[0])
    transcripts = table["Name"]
    shape = (len(transcripts), len(samples))
    abundance, counts, length = np.empty(shape), np.empty(shape), np.empty(shape)
    for column, path in enumerate(paths):
        if column:
            table = read_quant(path)
            _refuse_other_transcripts(table, transcripts, quant_files, column)
        for array, name in ((abundance, "TPM"), (counts, "NumReads"), (length, "EffectiveLength")):
            array[:, column] = table[name].to_numpy()
    return TranscriptQuantification(transcripts.to_list(), samples, abundance, counts, length)


def gene_level(
    quant_files: Mapping[str, Path],
    gene_map: pl.DataFrame,
    *,
    ignore_transcript_version: bool = False,
    threads: int = 4,
) -> GeneQuantification:
    """Add up transcripts to genes.

    With a = TPM, c = NumReads and l = EffectiveLength, a gene's abundance is Σa, its counts
    Σc and its length Σ(a·l)/Σa over its transcripts. A length that is undefined because
    Σa = 0 becomes the geometric mean of the gene's other lengths or, where no sample has
    any, the mean of l over the gene's transcripts and all samples.

    Parameters
    ----------
    quant_files
        Sample to its `quant.sf`, plain or gzip. The order is kept.
    gene_map
        Columns `transcript` and `gene`. Of a transcript given twice the first row counts.
    ignore_transcript_version
        Look for a transcript that the map does not have without its version (a last `.`
        and digits), on both sides. Where that name would stand for several genes, the
        transcript stays unmapped. (R cuts at the first dot, which joins unlike names of
        organisms whose identifiers have dots.)
    threads
        Files read at the same time; so many transcript tables are in memory.

    Returns
    -------
    GeneQuantification
        Every gene of the map with at least one transcript in the files.

    Raises
    ------
    InvalidQuantification
        No file; a file that is missing, malformed, truncated or empty; samples whose
        transcripts or their order differ.
    InvalidReference
        The map has none of the transcripts, or not the two columns.
    """
    if not quant_files:
        raise InvalidQuantification("No quant.sf was given.")
    samples, paths = list(quant_files), list(quant_files.values())
    first = read_quant(paths[0])
    transcripts = first["Name"]
    gene_of = _genes_of(transcripts, gene_map, ignore_transcript_version)
    genes = gene_of.drop_nulls().unique().sort()
    unmapped = len(genes)  # the code of a transcript without a gene, after all others
    codes = gene_of.cast(pl.Enum(genes)).to_physical().cast(pl.Int64).fill_null(unmapped).to_numpy()

    shape = (len(genes), len(samples))
    abundance, counts, length = np.empty(shape), np.empty(shape), np.empty(shape)

    def per_gene(values: Matrix) -> Matrix:
        sums = np.bincount(codes, weights=values, minlength=unmapped + 1)
        return np.asarray(sums[:unmapped], dtype=np.float64)

    def summarise(column: int, table: pl.DataFrame) -> Matrix:
        """Fill one sample's column; return Σl of every gene."""
        tpm, effective = table["TPM"].to_numpy(), table["EffectiveLength"].to_numpy()
        abundance[:, column] = per_gene(tpm)
        counts[:, column] = per_gene(table["NumReads"].to_numpy())
        length[:, column] = per_gene(tpm * effective)
        return per_gene(effective)

    def summarise_file(column: int) -> Matrix:
        table = read_quant(paths[column])
        _refuse_other_transcripts(table, transcripts, quant_files, column)
        return summarise(column, table)

    effective_sum = summarise(0, first)
    del first
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for of_sample in pool.map(summarise_file, range(1, len(samples))):
            effective_sum += of_sample

    transcripts_of_gene = per_gene(np.ones(len(codes)))
    with np.errstate(invalid="ignore", divide="ignore"):
        length /= abundance
    _fill_missing(length, abundance == 0, effective_sum / (transcripts_of_gene * len(samples)))
    return GeneQuantification(
        genes=genes.to_list(),
        samples=samples,
        abundance=abundance,
        counts=counts,
        length=length,
        unmapped_transcripts=gene_of.null_count(),
    )


def _fill_missing(length: Matrix, missing: NDArray[np.bool_], fallback: Matrix) -> None:
    """Replace the missing lengths (genes × samples) in place, `fallback` where all are missing."""
    everywhere = missing.all(axis=1)
    length[everywhere] = fallback[everywhere, None]
    rows = np.flatnonzero(missing.any(axis=1) & ~everywhere)
    gaps = missing[rows]
    with np.errstate(divide="ignore"):  # an effective length of 0
        logarithms = np.log(np.where(gaps, 1.0, length[rows]))
    geometric_mean = np.exp(logarithms.sum(axis=1) / (~gaps).sum(axis=1))
    length[rows] = np.where(gaps, geometric_mean[:, None], length[rows])


def _refuse_other_transcripts(
    table: pl.DataFrame, transcripts: pl.Series, quant_files: Mapping[str, Path], column: int
) -> None:
    if not table["Name"].equals(transcripts):
        samples, paths = list(quant_files), list(quant_files.values())
        raise InvalidQuantification(
            f"Samples {samples[0]} and {samples[column]} were made with different indices: "
            f"{paths[0]} and {paths[column]} do not have the same transcripts in the "
            "same order.",
            remedy="Quantify both with the same index.",
        )


def _length_scaled(counts: Matrix, abundance: Matrix, length: Matrix) -> Matrix:
    return _with_totals_of(counts, abundance * length.mean(axis=1, keepdims=True))


def _with_totals_of(counts: Matrix, scaled: Matrix) -> Matrix:
    """Multiply each column of `scaled`, in place, so that it adds up to that of `counts`."""
    wanted, found = counts.sum(axis=0), scaled.sum(axis=0)
    scaled *= np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)
    return scaled


# --- the gene map ---------------------------------------------------------------------


def read_gene_map(path: Path) -> pl.DataFrame:
    """Read which gene each transcript belongs to.

    Parameters
    ----------
    path
        Tab- or comma-separated, plain or gzip; the first two columns are transcript and
        gene. A first row whose first cell is a usual column name (`transcript_id`,
        `TXNAME`, `target_id`, `Name`, `gene_id`, …) is a header; a header that has the
        gene before the transcript is obeyed.

    Returns
    -------
    pl.DataFrame
        String columns `transcript` (unique: the first row of a repeated one) and `gene`,
        in the order of the file.

    Raises
    ------
    InvalidReference
        The file is missing, empty or damaged, has fewer than two columns or rows of
        unequal length, lacks an identifier, or its header names no transcript or gene.
    """
    try:
        content = read_whole(path, LARGEST_FILE).rstrip(b"\r\n")
    except (OSError, DamagedGzip, TooLarge) as error:
        raise InvalidReference(f"The gene map {path} cannot be read: {error}.") from error
    start = content.split(b"\n", 1)[0]
    separator = "\t" if b"\t" in start else ","
    if separator.encode() not in start:
        raise InvalidReference(f"The gene map {path} does not begin with two columns.")
    try:
        table = pl.read_csv(
            content, separator=separator, has_header=False, infer_schema=False, columns=[0, 1]
        )
    except pl.exceptions.PolarsError as error:
        raise InvalidReference(f"The gene map {path} is malformed: {_first_line(error)}") from error
    table.columns = ["transcript", "gene"]
    gap = table.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(gap):
        raise InvalidReference(f"Row {gap[0] + 1} of the gene map {path} lacks an identifier.")

    first, second = (_word(cell) for cell in table.row(0))
    if TRANSCRIPT_WORDS.fullmatch(first) or GENE_WORDS.fullmatch(first):
        table = table.slice(1)
        if GENE_WORDS.fullmatch(first) and TRANSCRIPT_WORDS.fullmatch(second):
            table = table.select(transcript="gene", gene="transcript")
        elif GENE_WORDS.fullmatch(first) or TRANSCRIPT_WORDS.fullmatch(second):
            raise InvalidReference(
                f"The first two columns of the gene map {path} are not transcript and gene."
            )
    if table.is_empty():
        raise InvalidReference(f"The gene map {path} has no transcript.")
    return table.filter(pl.col("transcript").is_first_distinct())


def _word(cell: str) -> str:
    return re.sub(r"[^a-z]", "", cell.lower())


def _genes_of(transcripts: pl.Series, gene_map: pl.DataFrame, ignore_version: bool) -> pl.Series:
    """The gene of each transcript, null where the map has none."""
    if not {"transcript", "gene"} <= set(gene_map.columns):
        raise InvalidReference("The gene map lacks the column `transcript` or `gene`.")
    known = gene_map.select(pl.col("transcript", "gene").cast(pl.String)).filter(
        pl.col("transcript").is_first_distinct()
    )
    wanted = transcripts.alias("transcript").to_frame()
    found = _look_up(wanted, known)
    if ignore_version:
        without = pl.col("transcript").str.replace(r"\.\d+$", "")
        one_gene = (
            known.with_columns(without)
            .unique(maintain_order=True)
            .filter(pl.col("transcript").is_unique())
        )
        fallback = _look_up(wanted.with_columns(without), one_gene)
        found = found.zip_with(found.is_not_null(), fallback)
    if found.null_count() == len(found):
        of_files, of_map = (
            ", ".join(ids.head(3).to_list()) for ids in (transcripts, known["transcript"])
        )
        raise InvalidReference(
            f"The gene map has none of the quantified transcripts ({of_files}, …); "
            f"it has {of_map}, ….",
            remedy="Use the gene map of the index that Salmon used, transcripts first.",
        )
    return found


def _look_up(wanted: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    return wanted.join(known, on="transcript", how="left", maintain_order="left")["gene"]


# --- quant.sf -------------------------------------------------------------------------


def find_quant_files(folder: Path) -> dict[str, Path]:
    """Find the quantifications in a folder.

    Parameters
    ----------
    folder
        Holds `<sample>/quant.sf` or `<sample>_quant.sf`, either also with `.gz`. Hidden
        files and folders are passed over.

    Returns
    -------
    dict[str, Path]
        Sample to file, in code point order of the samples.

    Raises
    ------
    InvalidQuantification
        The folder is missing, has no such file, or has two for one sample.
    """
    if not folder.is_dir():
        raise InvalidQuantification(f"There is no folder {folder}.")
    found: dict[str, Path] = {}
    for sample, path in _quant_files(folder):
        if sample in found:
            raise InvalidQuantification(
                f"Sample {sample} has two quantifications, {found[sample]} and {path}.",
                remedy="Remove one of them.",
            )
        found[sample] = path
    if not found:
        raise InvalidQuantification(
            f"There is neither a <sample>/quant.sf nor a <sample>_quant.sf in {folder}."
        )
    return dict(sorted(found.items()))


def _quant_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        for name in ("quant.sf", "quant.sf.gz"):
            sample = entry.name.removesuffix(f"_{name}")
            if sample and sample != entry.name and entry.is_file():
                yield sample, entry
            if (entry / name).is_file():
                yield entry.name, entry / name


def is_whole_quant_file(path: Path) -> bool:
    """Whether a quant.sf can be read to its end: five columns of Salmon's, all numbers there."""
    try:
        read_quant(path)
    except InvalidQuantification:
        return False
    return True


def read_quant(path: Path) -> pl.DataFrame:
    """Read and check one quant.sf: columns of QUANT_SCHEMA, one row per transcript.

    Raises
    ------
    InvalidQuantification
        It is missing, malformed, truncated or empty, or has a negative or infinite number.
    """
    try:
        content = read_whole(path, LARGEST_FILE)
    except (OSError, DamagedGzip, TooLarge) as error:
        raise InvalidQuantification(f"{path} cannot be read: {error}.") from error
    if not content:
        raise InvalidQuantification(f"{path} is empty.")
    header, _, body = content[: len(QUANT_HEADER) + 2].partition(b"\n")
    if header != QUANT_HEADER:
        raise InvalidQuantification(
            f"The header of {path} is not {', '.join(QUANT_SCHEMA)} (tab-separated)."
        )
    if not body:
        raise InvalidQuantification(f"{path} has no transcript.")
    if not content.endswith(b"\n"):
        raise InvalidQuantification(f"{path} is truncated: its last line has no end.")
    try:
        table = pl.read_csv(content, separator="\t", schema=QUANT_SCHEMA, quote_char=None)
    except pl.exceptions.PolarsError as error:
        raise InvalidQuantification(f"{path} is malformed: {_first_line(error)}") from error
    _check_numbers(path, table)
    return table


def _check_numbers(path: Path, table: pl.DataFrame) -> None:
    for column in table.iter_columns():
        if column.has_nulls():
            line = column.is_null().arg_true()[0] + 2
            raise InvalidQuantification(f"Line {line} of {path} has no {column.name}.")
    for name in NUMBERS:
        values = table[name].to_numpy()
        if not (values.min() >= 0 and values.max() < np.inf):  # false for NaN, too
            row = int(np.flatnonzero(~((values >= 0) & (values < np.inf)))[0])
            raise InvalidQuantification(
                f"{path} gives the {name} of {table['Name'][row]} as {values[row]}."
            )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


# --- the written matrix ---------------------------------------------------------------


def write_tsv(path: Path, genes: Sequence[str], samples: Sequence[str], matrix: Matrix) -> None:
    """Write a matrix with the column `Gene` and one column per sample.

    Numbers are the shortest decimals that read back as the same float64. The file is
    written beside `path` and renamed, so that it is there whole or not at all.

    Parameters
    ----------
    path
        The file to make; its folder exists.
    genes, samples
        Names of rows and columns.
    matrix
        genes × samples.

    Raises
    ------
    ValueError
        The shape does not fit the names, or a name has a tab or a line break.
    """
    if matrix.shape != (len(genes), len(samples)):
        raise ValueError(f"{matrix.shape} values for {len(genes)} genes, {len(samples)} samples")
    for name in (*genes, *samples):
        if "\t" in name or "\n" in name or "\r" in name:
            raise ValueError(f"A tab or line break in {name!r}")
    with whole_file(path) as aside, aside.open("xb") as file:
        _write_rows(file, genes, samples, matrix)


def _write_rows(
    file: BinaryIO, genes: Sequence[str], samples: Sequence[str], matrix: Matrix
) -> None:
    file.write("\t".join(["Gene", *samples]).encode() + b"\n")
    rows = max(1, CELLS_PER_BLOCK // max(1, len(samples)))
    columns = [str(number) for number in range(len(samples))]
    for start in range(0, len(genes), rows):
        block = pl.DataFrame(matrix[start : start + rows], schema=columns, orient="row")
        block.insert_column(0, pl.Series("Gene", genes[start : start + rows], dtype=pl.String))
        block.write_csv(file, include_header=False, separator="\t", quote_style="never")
