"""What a raw file is, and whether every read in it is sound: checked and measured.

Not here: reading records (`fastq`), and which read is whose mate (`pairing`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.errors import (
    EmptyReads,
    TruncatedFastq,
    UnequalMates,
    UnsupportedRawFile,
)
from refinebio_assets.rnaseq.fastq import (
    CHUNK_BYTES,
    GZIP_MAGIC,
    Bytes,
    Ints,
    RecordReader,
    Records,
    equal_spans,
    open_raw,
    text_of,
)

LONG_INDEX_ABOVE = 75  # bases; Salmon's k = 31 index is for reads longer than this

_HEAD_BYTES = 4096  # enough to tell what a file is


# --- what a file is -------------------------------------------------------------------


class ReadFormat(Enum):
    """The kinds of raw file that reads can be taken from."""

    FASTQ = "fastq"
    FASTQ_GZ = "fastq.gz"
    SRA = "sra"


_KNOWN_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "an HTML page, perhaps an error page saved as a file"),
    (b"<html", "an HTML page, perhaps an error page saved as a file"),
    (b"<", "an XML document, perhaps an error message saved as a file"),
    (b"{", "a JSON document, perhaps an error message saved as a file"),
    (b">", "FASTA, which has no qualities"),
    (b"bam\x01", "BAM"),
    (b"cram", "CRAM"),
    (b"ncbi.sra", "an .sra file inside gzip"),
    (b"bzh", "bzip2"),
    (b"\xfd7zxz", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x89hdf", "HDF5"),
    (GZIP_MAGIC, "gzip inside gzip"),
)
_SAM_BEGINNING = re.compile(rb"@(HD|SQ|RG|PG|CO)\t")


def detect_format(path: Path) -> ReadFormat:
    """Tell from its content, never from its name, what kind of raw file `path` is.

    Raises RawFileMissing if there is no file, TruncatedFastq for a gzip file that ends
    before its first text, InvalidFastq for a damaged one, and UnsupportedRawFile, saying
    what the file seems to be, for anything that is neither FASTQ nor an .sra file.
    """
    found = _format_or_empty(path)
    if found is None:
        raise UnsupportedRawFile(f"{path.name} is an empty file.")
    return found


def _format_or_empty(path: Path) -> ReadFormat | None:
    """Like `detect_format`, but None where the file, or the text in it, is empty."""
    with open_raw(path) as file:
        raw = file.read(_HEAD_BYTES)
    if raw.startswith(b"NCBI.sra"):
        return ReadFormat.SRA
    if raw and GZIP_MAGIC.startswith(raw[:2]):
        with text_of(path, _HEAD_BYTES) as pieces:
            try:
                head, kind = next(pieces, b""), ReadFormat.FASTQ_GZ
            except EOFError:
                raise TruncatedFastq(f"{path.name}: the gzip stream ends at once.") from None
    else:
        head, kind = raw, ReadFormat.FASTQ
    if not head:
        return None
    if not head.startswith(b"@") or _SAM_BEGINNING.match(head):
        raise UnsupportedRawFile(f"{path.name} is not FASTQ: it seems to be {_describe(head)}.")
    return kind


def _describe(head: bytes) -> str:
    if _SAM_BEGINNING.match(head):
        return "SAM"
    if head[257:262] == b"ustar":
        return "a tar archive"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return "blank"
    for beginning, what in _KNOWN_BEGINNINGS:
        if text.lower().startswith(beginning):
            return what
    printable = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "some other text" if printable else "binary data of an unknown kind"


# --- scanning -------------------------------------------------------------------------

Progress = Callable[[int], None]
"""Is told now and then how many reads (or pairs) were scanned so far."""


@dataclass(frozen=True, slots=True)
class ReadStatistics:
    """How many reads, and how long, in bases; for paired files `reads` counts the pairs.

    `min_length` and `max_length` are of single reads, also where they are paired.
    """

    reads: int
    bases: int
    min_length: int
    max_length: int
    mates: Literal[1, 2] = 1

    @property
    def mean_length(self) -> float:
        """Mean bases of a single read (of one mate, where paired)."""
        return self.bases / (self.reads * self.mates)


class _Tally:
    """Adds up the lengths of reads, block by block."""

    def __init__(self) -> None:
        self.bases = 0
        self.longest = 0
        self.shortest = np.iinfo(np.intp).max

    def add(self, records: Records) -> None:
        lengths = records.lengths()
        self.bases += int(lengths.sum())
        self.longest = max(self.longest, int(lengths.max()))
        self.shortest = min(self.shortest, int(lengths.min()))

    def statistics(self, reads: int, mates: Literal[1, 2]) -> ReadStatistics:
        return ReadStatistics(reads, self.bases, self.shortest, self.longest, mates)


def scan_fastq(
    path: Path,
    mate: Literal[1, 2] | None = None,
    *,
    progress: Progress | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> ReadStatistics:
    """Read a FASTQ file (plain or gzip) to its end and check every record.

    A record has four lines; both line endings, a missing last line feed and blank lines at
    the end are accepted. `mate` only serves the messages; `progress` is told the reads so
    far. About `chunk_bytes` of text are held at a time.

    Raises what `detect_format` raises; UnsupportedRawFile for an .sra file; EmptyReads;
    InvalidFastq (which read, and what is wrong); TruncatedFastq if the file or its gzip
    stream ends inside a record.
    """
    tally = _Tally()
    with _reader_of(path, mate, chunk_bytes) as reader:
        for records in reader:
            tally.add(records)
            if progress:
                progress(reader.reads)
        return tally.statistics(reader.reads, mates=1)


def scan_pair(
    path1: Path,
    path2: Path,
    *,
    progress: Progress | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> ReadStatistics:
    """Read two mate files side by side; check every record, and that the names agree.

    A name ends at the first blank. A last `/1` or `/2` does not count, nor do `.1` and `.2`
    where one mate has the one and the other the other (`fastq-dump -I`).

    Raises what `scan_fastq` raises, for either file, and UnequalMates with the two counts
    or the first pair whose names disagree.
    """
    tally, pairs = _Tally(), 0
    with _reader_of(path1, 1, chunk_bytes) as first, _reader_of(path2, 2, chunk_bytes) as second:
        for mate1, mate2 in _lockstep(first, second):
            _check_names(mate1, mate2, pairs)
            tally.add(mate1)
            tally.add(mate2)
            pairs += len(mate1)
            if progress:
                progress(pairs)
        if first.reads != second.reads:
            raise UnequalMates(
                f"{path1.name} has {first.reads} reads, but {path2.name} has {second.reads}."
            )
    return tally.statistics(pairs, mates=2)


@contextmanager
def _reader_of(path: Path, mate: int | None, chunk_bytes: int) -> Iterator[RecordReader]:
    kind = _format_or_empty(path)
    if kind is ReadFormat.SRA:
        raise UnsupportedRawFile(f"{path.name} is an .sra file where FASTQ is needed.")
    where = f"mate {mate} ({path.name})" if mate else path.name
    if kind is None:
        raise EmptyReads(f"{where} has no reads.")
    with text_of(path, chunk_bytes) as pieces:
        yield RecordReader(pieces, where, chunk_bytes)


def _lockstep(
    first: Iterable[Records], second: Iterable[Records]
) -> Iterator[tuple[Records, Records]]:
    """Equally long parts of both, until either ends; then the other is read to its end too."""
    blocks1, blocks2 = iter(first), iter(second)
    mate1, mate2 = next(blocks1, None), next(blocks2, None)
    while mate1 and mate2:
        both = min(len(mate1), len(mate2))
        yield mate1[:both], mate2[:both]
        mate1 = mate1[both:] or next(blocks1, None)
        mate2 = mate2[both:] or next(blocks2, None)
    for blocks in (blocks1, blocks2):
        for _ in blocks:
            pass


def _check_names(mate1: Records, mate2: Records, pairs_before: int) -> None:
    """Raises UnequalMates at the first row where the names are not those of mates."""
    starts1, ends1 = mate1.names()
    starts2, ends2 = mate2.names()
    mark1, mark2 = _mate_marks(mate1.text, ends1), _mate_marks(mate2.text, ends2)
    dotted = (mark1 < 0) & (mark2 < 0) & (mark1 != mark2)
    stems1 = ends1 - starts1 - 2 * ((mark1 > 0) | dotted)
    stems2 = ends2 - starts2 - 2 * ((mark2 > 0) | dotted)
    agree = stems1 == stems2
    rows = np.flatnonzero(agree)
    agree[rows] = equal_spans(mate1.text, starts1[rows], mate2.text, starts2[rows], stems1[rows])
    if agree.all():
        return
    row = int(agree.argmin())
    name1 = mate1.text[starts1[row] : ends1[row]].tobytes().decode(errors="replace")
    name2 = mate2.text[starts2[row] : ends2[row]].tobytes().decode(errors="replace")
    raise UnequalMates(
        f"Pair {pairs_before + row + 1} has the names '{name1:.200}' and '{name2:.200}'."
    )


def _mate_marks(text: Bytes, ends: Ints) -> NDArray[np.int8]:
    """1 or 2 for names ending in /1 or /2, -1 or -2 for .1 or .2, else 0."""
    number = text[ends - 1].astype(np.int8) - np.int8(ord("0"))
    number[(number != 1) & (number != 2)] = 0
    mark = text[ends - 2]
    number[mark == ord(".")] *= -1
    number[(mark != ord(".")) & (mark != ord("/"))] = 0
    return number


def index_length(mean_length: float) -> Literal["short", "long"]:
    """Which Salmon index suits reads of `mean_length` bases; unknown (-1) is short."""
    return "long" if mean_length > LONG_INDEX_ABOVE else "short"
