"""Reading FASTQ: from a file, plain or gzip, to blocks of whole records as NumPy arrays.

Within a block all is done by NumPy, so memory is bounded by the block and no Python code
runs per read. Not here: what the records are needed for (`reads`, `pairing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, TruncatedGzip, inflated
from refinebio_assets.errors import (
    InvalidFastq,
    RawFileMissing,
    TruncatedFastq,
    UnsupportedRawFile,
)

CHUNK_BYTES = 1 << 20  # of text per block; fits in cache, and larger is not faster
MAX_RECORD_BYTES = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"

Bytes = NDArray[np.uint8]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]


# --- from a file to pieces of text ----------------------------------------------------


@contextmanager
def open_raw(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb", buffering=0)
    except IsADirectoryError:
        raise UnsupportedRawFile(f"{path} is a folder, not a file.") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise RawFileMissing(f"{path} cannot be opened: {error.strerror}.") from None
    with file:
        yield file


@contextmanager
def text_of(path: Path, chunk_bytes: int) -> Iterator[Iterator[bytes]]:
    """The file's text, decompressed if it is gzip, in pieces of at most `chunk_bytes`.

    Where a gzip stream is cut, the pieces end with EOFError.
    """
    with open_raw(path) as file:
        magic = file.read(2)
        file.seek(0)
        if magic and GZIP_MAGIC.startswith(magic):
            yield _gunzip(file, path.name, chunk_bytes)
        else:
            yield iter(lambda: file.read(chunk_bytes), b"")


def _gunzip(file: BinaryIO, name: str, chunk_bytes: int) -> Iterator[bytes]:
    try:
        for piece in inflated(file, file.read(CHUNK_BYTES)):
            for start in range(0, len(piece), chunk_bytes):
                yield piece[start : start + chunk_bytes]
    except TruncatedGzip:
        raise EOFError from None
    except DamagedGzip as error:
        raise InvalidFastq(f"{name}: {error}.") from None


# --- from pieces of text to blocks of records -----------------------------------------


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records; `starts` and `ends`, both (records, 4), frame each line in `text`."""

    text: Bytes
    starts: Ints
    ends: Ints  # where the line feed is

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: slice) -> Records:
        return Records(self.text, self.starts[rows], self.ends[rows])

    def lengths(self) -> Ints:
        """Bases of each read, (records,)."""
        return self.ends[:, 1] - self.starts[:, 1]

    def names(self) -> tuple[Ints, Ints]:
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


class RecordReader:
    """Iterates over FASTQ text in blocks of whole, checked records."""

    def __init__(self, pieces: Iterator[bytes], where: str, chunk_bytes: int) -> None:
        self._pieces = pieces
        self._where = where
        self._chunk_bytes = chunk_bytes
        self._rest = b""  # text that no block has held yet
        self._cut = False  # the gzip stream has ended too early
        self.at_end = False  # the block given last is the last one
        self.reads = 0  # in the blocks given so far

    def __iter__(self) -> Iterator[Records]:
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

    def put_back(self, records: Records, row: int) -> None:
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

    def _remainder(self) -> Iterator[Records]:
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

    def _block(self, raw: bytes, *, unended: bool = False) -> Records:
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n")
        text = np.frombuffer(raw, np.uint8)
        ends = np.flatnonzero(text == _LINE_FEED)
        starts = np.concatenate(([0], ends[:-1] + 1))
        records = Records(text, starts.reshape(-1, 4), ends.reshape(-1, 4))
        self._check(records, raw, unended=unended)
        self.reads += len(records)
        return records

    def _check(self, records: Records, raw: bytes, *, unended: bool) -> None:
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


def equal_spans(text1: Bytes, starts1: Ints, text2: Bytes, starts2: Ints, lengths: Ints) -> Flags:
    """Whether `text1` from `starts1` equals `text2` from `starts2`, for each of `lengths`."""
    after = np.cumsum(lengths)
    within = np.arange(lengths.sum()) - np.repeat(after - lengths, lengths)
    at1, at2 = (np.repeat(starts, lengths) + within for starts in (starts1, starts2))
    differing = np.flatnonzero(text1[at1] != text2[at2])
    equal = np.ones(lengths.size, np.bool_)
    equal[np.searchsorted(after, differing, side="right")] = False
    return equal
