"""From an Ensembl-style annotation to what an index is built from.

Pseudogenes are dropped from the annotation, and the gene map is taken from what is
left. Not here: cutting the transcripts out of the genome (RSEM) and indexing (Salmon).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import TextIO

import polars as pl
from isal import igzip, isal_zlib

from refinebio_assets.compression import is_gzip
from refinebio_assets.errors import InvalidReference
from refinebio_assets.rnaseq.tximport import read_gene_map

_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')
GENE_MAP_SCHEMA = {"transcript": pl.String, "gene": pl.String, "symbol": pl.String}


def without_pseudogenes(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a GTF in which the word 'pseudogene' does not occur anywhere.

    refine.bio's rule, case-sensitive; it also drops comments that contain the word.
    """
    return (line for line in lines if "pseudogene" not in line)


def write_filtered_annotation(annotation: Path, filtered: Path) -> None:
    """Write a GTF (plain or gzip) uncompressed and without pseudogenes."""
    with open_text(annotation) as source, filtered.open("w", encoding="utf-8") as target:
        target.writelines(without_pseudogenes(source))


def gene_map_from_annotation(annotation: Path) -> pl.DataFrame:
    """The transcript -> gene map of a GTF: columns transcript, gene, symbol.

    Taken from lines whose feature is `transcript`, or, where there is none (Cufflinks),
    from its exons. `symbol` is the attribute gene_name, null where absent.

    Raises
    ------
    InvalidReference
        If the file is not a GTF or names no transcript.
    """
    for feature in ("transcript", "exon"):
        with open_text(annotation) as source:
            rows = list(dict.fromkeys(_transcripts(source, feature)))
        if rows:
            table = pl.DataFrame(rows, schema=GENE_MAP_SCHEMA, orient="row")
            return table.unique("transcript", keep="first", maintain_order=True)
    raise InvalidReference(f"{annotation.name} names no transcript: is it a GTF?")


def gene_map_from_file(path: Path) -> pl.DataFrame:
    """A gene map from a GTF, or from a table whose first columns are transcript, gene."""
    name = path.name.removesuffix(".gz")
    if name.endswith((".gtf", ".gff2")):
        return gene_map_from_annotation(path)
    return read_gene_map(path).with_columns(pl.lit(None, pl.String).alias("symbol"))


def join_transcripts(sources: Iterable[Path], target: Path, gene_map: pl.DataFrame) -> int:
    """Join transcript FASTA files (plain or gzip) into one; return the number of transcripts.

    A header is cut at its first white space, and its version too where the gene map knows
    only the unversioned id. A transcript without a gene is kept: reads need it to map to.

    Raises
    ------
    InvalidReference
        If a file is not FASTA, a name occurs twice, or no transcript is in the gene map.
    """
    known = set(gene_map["transcript"])
    seen: set[str] = set()
    with target.open("w", encoding="utf-8") as joined:
        for source in sources:
            with open_text(source) as lines:
                for line in lines:
                    if line.startswith(">"):
                        name = _transcript_name(line, known)
                        if not name or name in seen:
                            raise InvalidReference(
                                f"{source.name}: transcript {name!r} is empty or occurs twice."
                            )
                        seen.add(name)
                        joined.write(f">{name}\n")
                    elif not seen:
                        raise InvalidReference(f"{source.name} is not FASTA.")
                    else:
                        joined.write(line if line.endswith("\n") else f"{line}\n")
    if not seen & known:
        raise InvalidReference(
            f"None of {len(seen)} transcripts is in the gene map: the FASTA has "
            f"{sorted(seen)[:3]}, the map {sorted(known)[:3]}."
        )
    return len(seen)


def _transcript_name(header: str, known: set[str]) -> str:
    name = (header[1:].split() or [""])[0]
    unversioned = name.rpartition(".")[0]
    return unversioned if name not in known and unversioned in known else name


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, plain or gzip (told by its content), for reading.

    Raises
    ------
    InvalidReference
        If there is no such file, or, while it is read, if it is cut or not UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            zipped = is_gzip(file.read(2))
    except OSError as error:
        raise InvalidReference(f"{path} cannot be read: {error.strerror}.") from error
    opener = igzip.open if zipped else Path.open
    try:
        with opener(path, "rt", encoding="utf-8") as text:
            yield text
    except (EOFError, BadGzipFile, isal_zlib.error, UnicodeDecodeError) as error:  # type: ignore[misc]
        raise InvalidReference(f"{path.name} is damaged: {error}.") from error


def _transcripts(lines: Iterable[str], feature: str) -> Iterator[tuple[str, str, str | None]]:
    for line in lines:
        fields = line.rstrip("\n").split("\t")
        if len(fields) == 9 and fields[2] == feature:
            attributes = dict(_ATTRIBUTE.findall(fields[8]))
            transcript, gene = attributes.get("transcript_id"), attributes.get("gene_id")
            if transcript and gene:
                yield transcript, gene, attributes.get("gene_name")
