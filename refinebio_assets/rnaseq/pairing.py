"""Mates: out of one interleaved stream, and by the names of files.

Not here: whether two files hold mates in the same order (`reads.scan_pair`), and the
command that splits a stream into pipes (`mates`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

import numpy as np

from refinebio_assets.errors import InvalidFastq, UnsupportedRawFile
from refinebio_assets.rnaseq.fastq import (
    CHUNK_BYTES,
    Bytes,
    Flags,
    Ints,
    RecordReader,
    Records,
    equal_spans,
)

# --- mates out of one stream ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MateCounts:
    """What `demultiplex` wrote, and how many reads it left out for want of a mate."""

    pairs: int
    unmated: int


class Sink(Protocol):
    """Takes bytes whole: a buffered binary file, or a writer of `mates`."""

    def write(self, data: bytes, /) -> object: ...


def demultiplex(
    source: BinaryIO, mate1: Sink, mate2: Sink, *, chunk_bytes: int = CHUNK_BYTES
) -> MateCounts:
    """Split the interleaved FASTQ of `fastq-dump --split-spot -I` into two mate files.

    Names end in `.READ`, one digit, and reads that agree in what precedes it are of one
    spot; they follow each other. The first two reads of a spot that are not empty are its
    pair; every other read is dropped and, unless empty, counted as unmated. Both outputs
    hold the same spots in the same order, without the text after '+'.

    The outputs are written by turns, a block each: where both are pipes to one reader,
    give writers that do not wait (`refinebio_assets.rnaseq.mates`).

    Raises InvalidFastq for a name without read number or a faulty record, and
    TruncatedFastq if the stream ends inside a record. OSError of the sinks passes through.
    """
    pieces = iter(lambda: source.read(chunk_bytes), b"")
    reader = RecordReader(pieces, "fastq-dump's output", chunk_bytes)
    pairs = unmated = 0
    for records in reader:
        starts, stems = _spots(records, reader.reads - len(records))
        begins = np.append(True, ~_alike(records.text, starts, stems))
        if not reader.at_end:
            last_spot = int(np.flatnonzero(begins)[-1])
            reader.put_back(records, last_spot)
            records, begins = records[:last_spot], begins[:last_spot]
        first, second, alone = _pair_up(begins, records.lengths() > 0)
        if first.any():
            mate1.write(_text_of_rows(records, first))
            mate2.write(_text_of_rows(records, second))
        pairs += int(first.sum())
        unmated += alone
    return MateCounts(pairs, unmated)


def _spots(records: Records, reads_before: int) -> tuple[Ints, Ints]:
    """Start and length, in the text, of each name without its read number."""
    starts, ends = records.names()
    text = records.text
    digit = text[ends - 1] - np.uint8(ord("0")) < 10
    named = (ends - starts > 2) & (text[ends - 2] == ord(".")) & digit
    if not named.all():
        row = int(named.argmin())
        name = text[starts[row] : ends[row]].tobytes().decode(errors="replace")
        raise InvalidFastq(
            f"Read {reads_before + row + 1} of fastq-dump's output, '{name:.200}', "
            "has no read number.",
            remedy="Run fastq-dump with --readids.",
        )
    return starts, ends - starts - 2


def _alike(text: Bytes, starts: Ints, lengths: Ints) -> Flags:
    """For each span but the first: whether it equals the one before."""
    alike: Flags = lengths[1:] == lengths[:-1]
    rows = np.flatnonzero(alike)
    alike[rows] = equal_spans(text, starts[rows], text, starts[rows + 1], lengths[rows])
    return alike


def _pair_up(begins: Flags, filled: Flags) -> tuple[Flags, Flags, int]:
    """Which rows are first and which second of a pair, and how many filled rows neither.

    `begins` marks the first row of each spot, `filled` the rows that have bases.
    """
    spot = np.cumsum(begins)[filled]
    rows = np.flatnonzero(filled)
    opens = np.append(True, spot[1:] != spot[:-1])[: spot.size]
    paired = opens[:-1] & ~opens[1:]
    first, second = np.zeros_like(filled), np.zeros_like(filled)
    first[rows[:-1][paired]] = True
    second[rows[1:][paired]] = True
    return first, second, rows.size - 2 * int(paired.sum())


def _text_of_rows(records: Records, chosen: Flags) -> bytes:
    """The chosen records of those that begin the text, each with a bare '+' line."""
    plus = records.starts[:, 2] + 1
    edges = np.column_stack(
        (records.starts[:, 0], plus, records.ends[:, 2], records.ends[:, 3] + 1)
    )
    wanted = np.column_stack((chosen, np.zeros_like(chosen), chosen))
    mask = np.repeat(wanted.ravel(), (edges[:, 1:] - edges[:, :-1]).ravel())
    return records.text[: mask.size][mask].tobytes()


# --- which file is whose mate ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MateFiles:
    """The files of one run: one mate or two, and those to leave aside."""

    mate1: str
    mate2: str | None = None
    unmated: tuple[str, ...] = ()


_FASTQ_ENDING = re.compile(r"(\.(fastq|fq))?(\.(gz|bgz))?$", re.IGNORECASE)
_SRA_ENDING = re.compile(r"\.(sra|sralite)$", re.IGNORECASE)
_MATE_ENDING = re.compile(r"[._-](R?(?P<mate>[12])|R(?P<illumina>[12])_\d{3})$", re.IGNORECASE)


def assign_mates(filenames: Sequence[str]) -> MateFiles:
    """Decide the layout of one run from the names (or paths) of its files.

    One file is single-end. Two are mates, ordered by `_1`/`_2`, `_R1`/`_R2`, `.1`/`.2` or
    `_R1_001`/`_R2_001` before the FASTQ ending, or as given where the names do not tell.
    Of three (ENA: X_1, X_2 and X) two must be mates by name; the third is `unmated`.

    Raises UnsupportedRawFile for any other set of files.
    """
    if len(set(filenames)) < len(filenames):
        raise UnsupportedRawFile("The run names the same file twice.", remedy=_MATES_REMEDY)
    if len(filenames) > 1 and any(name.lower().endswith(".sra") for name in filenames):
        raise UnsupportedRawFile("An .sra file is a whole run.", remedy=_MATES_REMEDY)
    numbered = [(*_split_mate(name), name) for name in filenames]
    match len(filenames):
        case 1:
            return MateFiles(filenames[0])
        case 2:
            if [mate for _, mate, _ in numbered] == [2, 1]:
                return MateFiles(filenames[1], filenames[0])
            return MateFiles(filenames[0], filenames[1])
        case 3:
            firsts = [(stem, name) for stem, mate, name in numbered if mate == 1]
            seconds = [(stem, name) for stem, mate, name in numbered if mate == 2]
            if len(firsts) == len(seconds) == 1 and firsts[0][0] == seconds[0][0]:
                mates = (firsts[0][1], seconds[0][1])
                return MateFiles(*mates, tuple(name for name in filenames if name not in mates))
    raise UnsupportedRawFile(
        f"The {len(filenames)} files of the run ({', '.join(filenames)[:500]}) "
        "do not tell which are its mates.",
        remedy=_MATES_REMEDY,
    )


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a person's files are called together, and the files, as they were given."""

    name: str
    files: tuple[str, ...]


def runs_of(paths: Sequence[str], *, each_alone: bool = False) -> list[RunFiles]:
    """Which of a person's files are of one run, by folder and name.

    Files of a folder that differ only in `_1` and `_2` (or as `assign_mates` has it), with a
    file named as what they share, are a run of that name. Every other file is a run by
    itself, named as it is but for its ending (.fastq.gz, .sra, …). Names may repeat.

    Parameters
    ----------
    each_alone
        Names say nothing of mates: every file is a run.
    """
    alike: dict[tuple[str, str], list[tuple[int | None, str]]] = {}
    for path in paths:
        stem, mate = (path, None) if each_alone else _split_mate(path)
        alike.setdefault((str(PurePosixPath(path).parent), stem), []).append((mate, path))
    found: list[RunFiles] = []
    for (_, stem), files in alike.items():
        if {1, 2} <= {mate for mate, _ in files}:
            found.append(RunFiles(stem, tuple(path for _, path in files)))
        else:
            found += [RunFiles(_name_alone(path), (path,)) for _, path in files]
    return found


def _name_alone(path: str) -> str:
    name = PurePosixPath(path).name
    return _SRA_ENDING.sub("", name) if _SRA_ENDING.search(name) else _without_ending(name)


_MATES_REMEDY = (
    "Name one file, or two mates such as X_1.fastq.gz and X_2.fastq.gz; "
    "lanes of one run are to be joined first (`cat`), runs to be listed one by one."
)


def _split_mate(filename: str) -> tuple[str, int | None]:
    """The name without its endings, and the mate that it names, if any."""
    stem = _without_ending(PurePosixPath(filename).name)
    ending = _MATE_ENDING.search(stem)
    if ending is None:
        return stem, None
    return stem[: ending.start()], int(ending["mate"] or ending["illumina"])


def _without_ending(name: str) -> str:
    return _FASTQ_ENDING.sub("", name, count=1)
