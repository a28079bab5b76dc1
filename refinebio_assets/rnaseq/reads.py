"""FASTQ: what a raw file is, whether every record is sound, and who is whose mate.

Text is worked on in blocks of some MiB that hold whole records; within a block all is
done by NumPy, so memory is bounded by the block and no Python code runs per read.
Not here: which runs a sample has, and starting fastq-dump or Salmon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, NoReturn, Protocol, cast

import numpy as np
from isal import igzip_lib
from numpy.typing import NDArray

from refinebio_assets.errors import (
    EmptyReads,
    InvalidFastq,
    RawFileMissing,
    TruncatedFastq,
    UnequalMates,
    UnsupportedRawFile,
)

CHUNK_BYTES = 1 << 20  # of text per block; fits in cache, and larger is not faster
MAX_RECORD_BYTES = 64 << 20
LONG_INDEX_ABOVE = 75  # bases; Salmon's k = 31 index is for reads longer than this

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ERROR = cast(type[Exception], igzip_lib.error)  # isal's stub says an instance
_GZIP_READ_BYTES = 256 << 10  # compressed; small, for what a bgzip member leaves is copied
_HEAD_BYTES = 4096  # enough to tell what a file is

_Bytes = NDArray[np.uint8]
_Ints = NDArray[np.intp]
_Flags = NDArray[np.bool_]


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
    (_GZIP_MAGIC, "gzip inside gzip"),
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
    with _open_raw(path) as file:
        raw = file.read(_HEAD_BYTES)
    if raw.startswith(b"NCBI.sra"):
        return ReadFormat.SRA
    if raw and _GZIP_MAGIC.startswith(raw[:2]):
        with _text_of(path, _HEAD_BYTES) as pieces:
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


# --- from a file to pieces of text ----------------------------------------------------


@contextmanager
def _open_raw(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb", buffering=0)
    except IsADirectoryError:
        raise UnsupportedRawFile(f"{path} is a folder, not a file.") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise RawFileMissing(f"{path} cannot be opened: {error.strerror}.") from None
    with file:
        yield file


@contextmanager
def _text_of(path: Path, chunk_bytes: int) -> Iterator[Iterator[bytes]]:
    """The file's text, decompressed if it is gzip, in pieces of at most `chunk_bytes`.

    Where a gzip stream is cut, the pieces end with EOFError.
    """
    with _open_raw(path) as file:
        magic = file.read(2)
        file.seek(0)
        if magic and _GZIP_MAGIC.startswith(magic):
            yield _gunzip(file, path.name, chunk_bytes)
        else:
            yield iter(lambda: file.read(chunk_bytes), b"")


def _gunzip(file: BinaryIO, name: str, chunk_bytes: int) -> Iterator[bytes]:
    """The text of all gzip members of a file, which zero bytes may pad."""
    member = None
    while data := file.read(_GZIP_READ_BYTES):
        while data:
            if member is None:
                data = data.lstrip(b"\0")
                if not _GZIP_MAGIC.startswith(data[:2]):
                    raise InvalidFastq(f"{name}: something that is not gzip follows the gzip data.")
                if not data:
                    break
                member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            yield from _inflate(member, data, name, chunk_bytes)
            data = b""
            if member.eof:
                data, member = member.unused_data, None
    if member is not None:
        raise EOFError


def _inflate(
    member: igzip_lib.IgzipDecompressor, data: bytes, name: str, chunk_bytes: int
) -> Iterator[bytes]:
    """What one gzip member gives for `data`, in pieces of at most `chunk_bytes`."""
    while True:
        try:
            text = member.decompress(data, chunk_bytes)
        except _GZIP_ERROR as error:
            raise InvalidFastq(f"{name}: the gzip data are damaged ({error}).") from None
        if text:
            yield text
        if member.eof or member.needs_input:
            return
        data = b""


# --- from pieces of text to blocks of records -----------------------------------------


@dataclass(frozen=True, slots=True)
class _Records:
    """Whole records; `starts` and `ends`, both (records, 4), frame each line in `text`."""

    text: _Bytes
    starts: _Ints
    ends: _Ints  # where the line feed is

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: slice) -> _Records:
        return _Records(self.text, self.starts[rows], self.ends[rows])

    def lengths(self) -> _Ints:
        """Bases of each read, (records,)."""
        return self.ends[:, 1] - self.starts[:, 1]

    def names(self) -> tuple[_Ints, _Ints]:
        """Start and end of each name, up to the first blank, in `text`."""
        starts, line_ends = self.starts[:, 0] + 1, self.ends[:, 0]
        blanks = np.flatnonzero((self.text == ord(" ")) | (self.text == ord("\t")))
        following = np.append(blanks, self.text.size)[np.searchsorted(blanks, starts)]
        return starts, np.minimum(following, line_ends)


_LINE_FEED = ord("\n")
_NO_BASE, _NO_QUALITY = 1, 2


def _class_of(byte: int) -> int:
    base = chr(byte) in ".\n" or (chr(byte).isascii() and chr(byte).isalpha())
    quality = byte == _LINE_FEED or 33 <= byte <= 126
    return _NO_BASE * (not base) | _NO_QUALITY * (not quality)


_UNEQUAL = 2  # its place in _FAULTS
_CLASSES = bytes(map(_class_of, range(256)))
_FAULTS = (
    "does not begin with '@'",
    "has a third line that does not begin with '+' (sequences wrapped over several lines "
    "are not supported)",
    "has unequal numbers of bases and qualities",  # told with the numbers
    "has something other than letters in its sequence (colour-space reads of SOLiD are "
    "not supported)",
    "has a quality that is not a printable character",
)


class _RecordReader:
    """Iterates over FASTQ text in blocks of whole, checked records."""

    def __init__(self, pieces: Iterator[bytes], where: str, chunk_bytes: int) -> None:
        self._pieces = pieces
        self._where = where
        self._chunk_bytes = chunk_bytes
        self._rest = b""  # text that no block has held yet
        self._cut = False  # the gzip stream has ended too early
        self.at_end = False  # the block given last is the last one
        self.reads = 0  # in the blocks given so far

    def __iter__(self) -> Iterator[_Records]:
        while self._fill():
            end = _end_of_records(self._rest)
            if end == 0 and len(self._rest) > MAX_RECORD_BYTES:
                self._fail(0, f"is longer than {MAX_RECORD_BYTES >> 20} MiB")
            if end:
                raw, self._rest = self._rest[:end], self._rest[end:]
                yield self._block(raw)
        self.at_end = True
        yield from self._remainder()
        if self._cut:
            self._fail_truncated("the gzip stream ends in or before")

    def put_back(self, records: _Records, row: int) -> None:
        """Give the records from `row` on, of the block given last, again in the next one."""
        self._rest = records.text[records.starts[row, 0] :].tobytes() + self._rest
        self.reads -= len(records) - row

    def _fill(self) -> bool:
        """Add a chunk, and at least as much as is held, to the rest; false if none is left."""
        parts, wanted = [self._rest], max(self._chunk_bytes, len(self._rest))
        try:
            while wanted > 0 and (piece := next(self._pieces, b"")):
                parts.append(piece)
                wanted -= len(piece)
        except EOFError:
            self._cut = True
        self._rest = b"".join(parts)
        return len(parts) > 1

    def _remainder(self) -> Iterator[_Records]:
        """The records left when the text has ended; the last line feed may be missing."""
        end = _end_of_records(self._rest)
        whole, tail = self._rest[:end], self._rest[end:]
        unended = tail.count(b"\n") == 3 and bool(tail.strip()) and not self._cut
        if unended:
            whole, tail = whole + tail + b"\n", b""
        if whole:
            yield self._block(whole, unended=unended)
        if tail.strip() and not tail.startswith(b"@"):
            self._fail(0, "does not begin with '@'")
        if tail.strip() and not self._cut:
            self._fail_truncated("the file ends in the middle of")

    def _block(self, raw: bytes, *, unended: bool = False) -> _Records:
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n")
        text = np.frombuffer(raw, np.uint8)
        ends = np.flatnonzero(text == _LINE_FEED)
        starts = np.concatenate(([0], ends[:-1] + 1))
        records = _Records(text, starts.reshape(-1, 4), ends.reshape(-1, 4))
        self._check(records, raw, unended=unended)
        self.reads += len(records)
        return records

    def _check(self, records: _Records, raw: bytes, *, unended: bool) -> None:
        text, starts = records.text, records.starts
        classes = np.frombuffer(raw.translate(_CLASSES), np.uint8)
        found = np.bitwise_or.reduceat(classes, starts.ravel()).reshape(-1, 4)
        bases = records.lengths()
        qualities = records.ends[:, 3] - starts[:, 3]
        faults = (
            text[starts[:, 0]] != ord("@"),
            text[starts[:, 2]] != ord("+"),
            bases != qualities,
            (found[:, 1] & _NO_BASE) != 0,
            (found[:, 3] & _NO_QUALITY) != 0,
        )
        faulty = np.logical_or.reduce(faults)
        if not faulty.any():
            return
        row = int(faulty.argmax())
        fault = next(which for which, rows in enumerate(faults) if rows[row])
        if fault == _UNEQUAL:
            if unended and row == len(records) - 1 and qualities[row] < bases[row]:
                self._fail_truncated("the file ends in the middle of", row)
            self._fail(row, f"has {bases[row]} bases but {qualities[row]} qualities")
        self._fail(row, _FAULTS[fault])

    def _fail(self, row: int, fault: str) -> NoReturn:
        raise InvalidFastq(f"{self._where}: read {self.reads + row + 1} {fault}.")

    def _fail_truncated(self, how: str, row: int = 0) -> NoReturn:
        raise TruncatedFastq(f"{self._where}: {how} read {self.reads + row + 1}.")


def _end_of_records(raw: bytes) -> int:
    """How many bytes of `raw`, which begins a record, are whole records."""
    line_feeds = np.flatnonzero(np.frombuffer(raw, np.uint8) == _LINE_FEED)
    lines = line_feeds.size // 4 * 4
    return int(line_feeds[lines - 1]) + 1 if lines else 0


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

    def add(self, records: _Records) -> None:
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
def _reader_of(path: Path, mate: int | None, chunk_bytes: int) -> Iterator[_RecordReader]:
    kind = _format_or_empty(path)
    if kind is ReadFormat.SRA:
        raise UnsupportedRawFile(f"{path.name} is an .sra file where FASTQ is needed.")
    where = f"mate {mate} ({path.name})" if mate else path.name
    if kind is None:
        raise EmptyReads(f"{where} has no reads.")
    with _text_of(path, chunk_bytes) as pieces:
        yield _RecordReader(pieces, where, chunk_bytes)


def _lockstep(
    first: Iterable[_Records], second: Iterable[_Records]
) -> Iterator[tuple[_Records, _Records]]:
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


def _check_names(mate1: _Records, mate2: _Records, pairs_before: int) -> None:
    """Raises UnequalMates at the first row where the names are not those of mates."""
    starts1, ends1 = mate1.names()
    starts2, ends2 = mate2.names()
    mark1, mark2 = _mate_marks(mate1.text, ends1), _mate_marks(mate2.text, ends2)
    dotted = (mark1 < 0) & (mark2 < 0) & (mark1 != mark2)
    stems1 = ends1 - starts1 - 2 * ((mark1 > 0) | dotted)
    stems2 = ends2 - starts2 - 2 * ((mark2 > 0) | dotted)
    agree = stems1 == stems2
    rows = np.flatnonzero(agree)
    agree[rows] = _equal_spans(mate1.text, starts1[rows], mate2.text, starts2[rows], stems1[rows])
    if agree.all():
        return
    row = int(agree.argmin())
    name1 = mate1.text[starts1[row] : ends1[row]].tobytes().decode(errors="replace")
    name2 = mate2.text[starts2[row] : ends2[row]].tobytes().decode(errors="replace")
    raise UnequalMates(
        f"Pair {pairs_before + row + 1} has the names '{name1:.200}' and '{name2:.200}'."
    )


def _mate_marks(text: _Bytes, ends: _Ints) -> NDArray[np.int8]:
    """1 or 2 for names ending in /1 or /2, -1 or -2 for .1 or .2, else 0."""
    number = text[ends - 1].astype(np.int8) - np.int8(ord("0"))
    number[(number != 1) & (number != 2)] = 0
    mark = text[ends - 2]
    number[mark == ord(".")] *= -1
    number[(mark != ord(".")) & (mark != ord("/"))] = 0
    return number


def _equal_spans(
    text1: _Bytes, starts1: _Ints, text2: _Bytes, starts2: _Ints, lengths: _Ints
) -> _Flags:
    """Whether `text1` from `starts1` equals `text2` from `starts2`, for each of `lengths`."""
    after = np.cumsum(lengths)
    within = np.arange(lengths.sum()) - np.repeat(after - lengths, lengths)
    at1, at2 = (np.repeat(starts, lengths) + within for starts in (starts1, starts2))
    differing = np.flatnonzero(text1[at1] != text2[at2])
    equal = np.ones(lengths.size, np.bool_)
    equal[np.searchsorted(after, differing, side="right")] = False
    return equal


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
    reader = _RecordReader(pieces, "fastq-dump's output", chunk_bytes)
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


def _spots(records: _Records, reads_before: int) -> tuple[_Ints, _Ints]:
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


def _alike(text: _Bytes, starts: _Ints, lengths: _Ints) -> _Flags:
    """For each span but the first: whether it equals the one before."""
    alike: _Flags = lengths[1:] == lengths[:-1]
    rows = np.flatnonzero(alike)
    alike[rows] = _equal_spans(text, starts[rows], text, starts[rows + 1], lengths[rows])
    return alike


def _pair_up(begins: _Flags, filled: _Flags) -> tuple[_Flags, _Flags, int]:
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


def _text_of_rows(records: _Records, chosen: _Flags) -> bytes:
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


_MATES_REMEDY = (
    "Name one file, or two mates such as X_1.fastq.gz and X_2.fastq.gz; "
    "lanes of one run are to be joined first (`cat`), runs to be listed one by one."
)


def _split_mate(filename: str) -> tuple[str, int | None]:
    """The name without its endings, and the mate that it names, if any."""
    stem = _FASTQ_ENDING.sub("", PurePosixPath(filename).name, count=1)
    ending = _MATE_ENDING.search(stem)
    if ending is None:
        return stem, None
    return stem[: ending.start()], int(ending["mate"] or ending["illumina"])


def index_length(mean_length: float) -> Literal["short", "long"]:
    """Which Salmon index suits reads of `mean_length` bases; unknown (-1) is short."""
    return "long" if mean_length > LONG_INDEX_ABOVE else "short"
