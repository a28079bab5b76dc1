"""The probes of an Illumina array: what they spell, how good they are, which genes they match.

Sources are tables of one row per probe (or per probe and gene), as Bioconductor's
`illuminaHumanv4.db` and its kin give them. Not here: which array it is
(`bead_platform.py`), and what is made of its intensities (`beadarray.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, TooLarge, read_whole
from refinebio_assets.errors import InvalidProbeAnnotation, UnsupportedPlatform

CANDIDATE_PLATFORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "HOMO_SAPIENS": (
        "illuminaHumanv1",
        "illuminaHumanv2",
        "illuminaHumanv3",
        "illuminaHumanv4",
    ),
    "MUS_MUSCULUS": ("illuminaMousev1", "illuminaMousev1p1", "illuminaMousev2"),
    "RATTUS_NORVEGICUS": ("illuminaRatv1",),
}
PROBE_LENGTH: Final = 50
BASES: Final = b"ACGT"
MOST_BYTES: Final = 1 << 28

PARQUET_SCHEMA: Final = pl.Schema(
    {
        "probe_id": pl.String(),
        "sequence": pl.String(),
        "quality": pl.String(),
        "genes": pl.List(pl.String()),
    }
)

# Spelled as `_word` makes them; the first of these that is there counts.
_HEADERS: Final = {
    "probe_id": ("probeid", "illuminaid", "probe"),
    "sequence": ("sequence", "probesequence"),
    "quality": ("probequality", "quality"),
    "gene": (
        *("ensembl", "ensemblreannotated", "ensemblid", "ensemblgene", "ensemblgeneid"),
        *("ensemblids", "genes", "gene"),
    ),
}
_CHOICE_HEADERS: Final = {"probe_id": _HEADERS["probe_id"], "gene": _HEADERS["gene"]}
_MISSING: Final = ["", "NA"]
_BETWEEN_GENES: Final = r"[\s;,/|]+"

_CODES: Final = np.full(256, 3, dtype=np.uint8)
_CODES[list(BASES)] = range(len(BASES))


@dataclass(frozen=True, eq=False)
class BeadAnnotation:
    """The probes of a platform.

    Attributes
    ----------
    probe_ids
        All probes of the platform, unique.
    sequence
        (n, 50) codes as in `probes.ProbeTable`: 0 A, 1 C, 2 G, 3 anything else, which
        counts as T; all 3 where there is no sequence.
    has_sequence
        (n,) whether the probe's sequence is known.
    quality
        The grade of the probe's match, such as 'Perfect', 'Good****', 'Bad'; may be null.
    genes
        Ensembl genes of each probe, a list that may be empty.
    """

    probe_ids: pl.Series
    sequence: NDArray[np.uint8]
    has_sequence: NDArray[np.bool_]
    quality: pl.Series
    genes: pl.Series

    def gene_of_probe(self, choices: Mapping[str, str]) -> pl.Series:
        """The one gene that a probe stands for; null for a probe that is dropped.

        Probes graded Good or Perfect, with or without stars, are kept. Of a probe with
        several genes the one that was chosen counts.

        Parameters
        ----------
        choices
            Probe to gene, for probes with several genes.

        Returns
        -------
        pl.Series
            Strings and nulls, in the order of `probe_ids`.
        """
        chosen = pl.DataFrame(
            {"probe_id": list(choices), "chosen": list(choices.values())},
            schema={"probe_id": pl.String, "chosen": pl.String},
        )
        genes = pl.col("genes").list
        gene = pl.when(genes.len() == 1).then(genes.first()).when(genes.len() > 1).then("chosen")
        is_good = pl.col("quality").str.contains("Good|Perfect")
        return (
            pl.DataFrame([self.probe_ids, self.quality, self.genes])
            .join(chosen, on="probe_id", how="left", maintain_order="left")
            .select(pl.when(is_good).then(gene).alias("gene"))
            .to_series()
        )


def candidate_platforms(organism: str) -> tuple[str, ...]:
    """The arrays that a table of this organism ('HOMO_SAPIENS') can be from.

    Raises
    ------
    UnsupportedPlatform
        There are none.
    """
    try:
        return CANDIDATE_PLATFORMS[organism]
    except KeyError:
        raise UnsupportedPlatform(
            f"No Illumina expression array of {organism} is known; they are of "
            f"{', '.join(CANDIDATE_PLATFORMS)}."
        ) from None


def read_bead_annotation(path: Path) -> BeadAnnotation:
    """Read the annotation of a platform from a table with a header, plain or gzip.

    Parameters
    ----------
    path
        Tab- or comma-separated. Columns, in any case: `ProbeID` (or `IlluminaID`),
        `Sequence` (`ProbeSequence`), `ProbeQuality` and `Ensembl` (`ENSEMBL`, else
        `EnsemblReannotated`); others are ignored. A cell may have several genes, and a
        probe several rows, of which the first sequence and quality count. Empty and `NA`
        mean that nothing is known.

    Raises
    ------
    InvalidProbeAnnotation
        The file is missing, damaged or too large, or lacks a column or an id; a sequence
        is not of 50 letters; or no probe has one.
    """
    table = _read_table(path, _HEADERS)
    genes = pl.col("gene").str.replace_all(_BETWEEN_GENES, " ").str.strip_chars().str.split(" ")
    probes = (
        table.with_columns(genes.alias("genes"))
        .group_by("probe_id", maintain_order=True)
        .agg(
            pl.col("sequence").drop_nulls().first(),
            pl.col("quality").drop_nulls().first(),
            pl.col("genes").explode(empty_as_null=True).drop_nulls().unique(maintain_order=True),
        )
        .with_columns(pl.col("genes").list.eval(pl.element().filter(~pl.element().is_in(_MISSING))))
    )
    return _annotation(probes, path)


def read_bead_choices(path: Path) -> dict[str, str]:
    """Read which gene stands for a probe that matches several.

    Parameters
    ----------
    path
        Tab- or comma-separated, plain or gzip, with columns `probe_id` and `ensembl_id`.

    Raises
    ------
    InvalidProbeAnnotation
        The file cannot be read, or gives a probe twice.
    """
    table = _read_table(path, _CHOICE_HEADERS).drop_nulls()
    twice = table.filter(pl.col("probe_id").is_duplicated())
    if len(twice):
        raise InvalidProbeAnnotation(f"{path.name} gives probe {twice['probe_id'][0]} twice.")
    return dict(table.select("probe_id", "gene").iter_rows())


def write_bead_annotation(annotation: BeadAnnotation, path: Path) -> None:
    """Write an annotation as Parquet of PARQUET_SCHEMA; a base that is none is written as T."""
    letters = np.frombuffer(BASES, dtype=np.uint8)[annotation.sequence]
    text = letters.tobytes().decode("ascii")
    sequences = [
        text[start : start + PROBE_LENGTH] if known else None
        for start, known in zip(
            range(0, len(text), PROBE_LENGTH), annotation.has_sequence.tolist(), strict=True
        )
    ]
    pl.DataFrame(
        {
            "probe_id": annotation.probe_ids,
            "sequence": sequences,
            "quality": annotation.quality,
            "genes": annotation.genes,
        },
        schema=PARQUET_SCHEMA,
    ).write_parquet(path, compression="zstd")


def read_bead_annotation_parquet(path: Path) -> BeadAnnotation:
    """Read what `write_bead_annotation` wrote.

    Raises
    ------
    InvalidProbeAnnotation
        The file is not of that form.
    """
    try:
        probes = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidProbeAnnotation(f"{path.name} cannot be read: {error}.") from error
    if probes.schema != PARQUET_SCHEMA:
        raise InvalidProbeAnnotation(f"{path.name} is no annotation of bead probes.")
    return _annotation(probes, path)


def _annotation(probes: pl.DataFrame, path: Path) -> BeadAnnotation:
    """The columns of PARQUET_SCHEMA, checked."""
    ids = probes["probe_id"]
    if ids.null_count() or ids.is_duplicated().any():
        raise InvalidProbeAnnotation(f"{path.name} has a probe twice, or one without an id.")
    sequences = probes["sequence"]
    has_sequence = sequences.is_not_null().to_numpy()
    if not has_sequence.any():
        raise InvalidProbeAnnotation(f"{path.name} has no probe with a sequence.")
    unlike = (sequences.str.len_bytes() != PROBE_LENGTH).fill_null(False).arg_true()
    if len(unlike):
        raise InvalidProbeAnnotation(
            f"Probe {ids[unlike[0]]} in {path.name} does not have {PROBE_LENGTH} bases."
        )
    codes = np.full((len(probes), PROBE_LENGTH), 3, dtype=np.uint8)
    letters = np.frombuffer("".join(sequences.drop_nulls()).encode(), dtype=np.uint8)
    codes[has_sequence] = _CODES[letters].reshape(-1, PROBE_LENGTH)
    return BeadAnnotation(
        probe_ids=ids,
        sequence=codes,
        has_sequence=has_sequence,
        quality=probes["quality"],
        genes=probes["genes"].fill_null([]),
    )


def _read_table(path: Path, headers: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    """The columns that `headers` names, under its names; cells trimmed, null where missing."""
    try:
        content = read_whole(path, MOST_BYTES)
    except (OSError, DamagedGzip, TooLarge) as error:
        raise InvalidProbeAnnotation(f"{path.name} cannot be read: {error}.") from error
    separator = "\t" if b"\t" in content.partition(b"\n")[0] else ","
    try:
        table = pl.read_csv(BytesIO(content), separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        first = str(error).partition("\n")[0]
        raise InvalidProbeAnnotation(f"{path.name} is malformed: {first}") from error
    words = {_word(column): column for column in reversed(table.columns)}
    found = {}
    for name, spellings in headers.items():
        column = next((words[each] for each in spellings if each in words), None)
        if column is None:
            raise InvalidProbeAnnotation(
                f"{path.name} has no column {' or '.join(spellings)}; "
                f"it has {', '.join(table.columns[:12])}."
            )
        found[name] = pl.col(column).str.strip_chars()
    cells = table.select(**found)
    return cells.with_columns(
        pl.when(pl.all().is_in(_MISSING)).then(None).otherwise(pl.all()).name.keep()
    )


def _word(column: str) -> str:
    return re.sub(r"[^a-z]", "", column.lower())
