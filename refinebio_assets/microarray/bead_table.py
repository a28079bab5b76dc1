"""A submitter's table of Illumina bead summaries: text in, header, probe ids and numbers out.

One row per probe, several columns per array. The text may be gzip, Latin-1, with any line
ends, separated by tabs, commas or spaces, with comment lines between. It is held once, as
tab-separated UTF-8; numbers are read from it column by column. Not here: which column is
what (`bead_columns.py`).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, pieces
from refinebio_assets.errors import InvalidExpressionTable, UndecodableTable

Matrix = NDArray[np.float64]

MOST_BYTES: Final = 1 << 30  # of the inflated text: 1,000 arrays with 48,000 probes have less
MOST_LINE_BYTES: Final = 1 << 24
MOST_ROWS: Final = 1_000_000
MOST_COLUMNS: Final = 20_000
CELLS_AT_A_TIME: Final = 1 << 22  # that are text in memory

MISSING: Final = ("", "NA", "NaN")

_SNIFFED_BYTES: Final = 16_384
_DELIMITERS: Final = (b"\t", b",", b" ")
# What the MIME detector takes for text; the C1 controls are in no ISO-8859-1 text.
_TEXT: Final = bytes({7, 8, 9, 10, 12, 13, 27, *range(32, 127), *range(128, 256)})
_C1: Final = bytes(range(128, 160))
_DROPPED: Final = re.compile(rb"[^\S\n]*(?:[\"']?[#!^]|\Z)|gsm", re.IGNORECASE)
_EDGES: Final = ' \t"'


@dataclass(frozen=True, eq=False)
class BeadTable:
    """A table as submitted, cleaned of what is not part of it.

    Attributes
    ----------
    header
        Column names, trimmed and without quotes; some may be empty, some equal.
    rows
        How many rows of data.
    body
        The rows as tab-separated UTF-8 text without quotes, each with as many fields as the
        header has.
    """

    header: tuple[str, ...]
    rows: int
    body: bytes = field(repr=False)

    def texts(self, column: int) -> pl.Series:
        """The cells of a column, trimmed, in the order of the rows; an empty one is null."""
        [found] = self._columns([column])
        return found.set(found == "", None).alias(self.header[column])

    def first_cell(self, column: int) -> str:
        """The cell of a column in the first row, trimmed."""
        row, _, _ = self.body.partition(b"\n")
        return row.split(b"\t")[column].decode().strip(_EDGES)

    def floats(self, columns: Sequence[int]) -> Matrix:
        """The numbers of some columns.

        Parameters
        ----------
        columns
            Positions; the result has them in this order.

        Returns
        -------
        Matrix
            Rows × columns, column after column in memory; NaN where a cell is empty, `NA`
            or `NaN`.

        Raises
        ------
        InvalidExpressionTable
            A cell is none of these and no finite number.
        """
        numbers = np.empty((self.rows, len(columns)), order="F")
        step = max(1, CELLS_AT_A_TIME // self.rows)
        for start in range(0, len(columns), step):
            part = list(columns[start : start + step])
            for offset, texts in enumerate(self._columns(part)):
                numbers[:, start + offset] = self._parsed(texts, part[offset])
        return numbers

    def _columns(self, columns: Sequence[int]) -> list[pl.Series]:
        wanted = sorted(set(columns))
        frame = pl.read_csv(
            self.body,
            separator="\t",
            has_header=False,
            quote_char=None,
            infer_schema=False,
            columns=wanted,
        )
        found = dict(zip(wanted, frame.get_columns(), strict=True))
        return [found[column].str.strip_chars(_EDGES) for column in columns]

    def _parsed(self, texts: pl.Series, column: int) -> Matrix:
        known = texts.set(texts.is_in(list(MISSING)), None)
        numbers = known.cast(pl.Float64, strict=False)
        wrong = (known.is_not_null() & ~numbers.is_finite().fill_null(False)).arg_true()
        if len(wrong):
            raise InvalidExpressionTable(
                f"Row {wrong[0] + 1} has {known[wrong[0]][:40]!r} in column "
                f"{self.header[column]!r}, which is no number."
            )
        return numbers.to_numpy()


def read_bead_table(path: Path) -> BeadTable:
    """Read and clean a table of bead summaries.

    Left out are blank lines, lines that begin with `#`, `!` or `^` (also after a quote), and
    lines that begin with `GSM`. The separator is the one of tab, comma and space that cuts
    the first 16 KiB most evenly. A header with one field fewer than the first row lacks the
    name of the ids, and gets `ID_REF`; but where that last field is empty in every row, it
    is the header that lacks an empty name.

    Raises
    ------
    UndecodableTable
        Neither ASCII, UTF-8 nor ISO-8859-1 (Windows-1252 and UTF-16 are not), or not text.
    InvalidExpressionTable
        The file is empty, damaged, too large, cut in a row, or its rows have different
        numbers of fields.
    """
    reader = _LineReader(path)
    lines = iter(reader)
    head: list[_Line] = []
    size = 0
    while size < _SNIFFED_BYTES and (line := next(lines, None)) is not None:
        head.append(line)
        size += len(line.text)
    if not head:
        raise InvalidExpressionTable(f"{path.name} holds no table.")
    delimiter = _sniffed(head)
    header = _header_of([_fields(line.text, delimiter) for line in head])
    if len(header) > MOST_COLUMNS:
        raise InvalidExpressionTable(f"{path.name} has more than {MOST_COLUMNS} columns.")
    rows, body = _body_of(chain(head[1:], lines), delimiter, len(header))
    names = b"\t".join(header)
    if not reader.is_utf8():
        names, body = (text.decode("latin-1").encode() for text in (names, body))
    if not rows:
        raise InvalidExpressionTable(f"{path.name} has a header, but no rows.")
    return BeadTable(
        header=tuple(name.strip(_EDGES) for name in names.decode().split("\t")),
        rows=rows,
        body=body,
    )


# --- lines ----------------------------------------------------------------------------


class _Line(NamedTuple):
    number: int  # in the file, from 1
    text: bytes


class _LineReader:
    """The lines of a file that may belong to the table; after the last, knows the encoding."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._has_c1 = False

    def is_utf8(self) -> bool:
        """Whether all of the text is UTF-8; otherwise it is ISO-8859-1."""
        return self._decoder is not None

    def __iter__(self) -> Iterator[_Line]:
        for number, text in enumerate(self._all_lines(), start=1):
            if not _DROPPED.match(text):
                yield _Line(number, text)

    def _all_lines(self) -> Iterator[bytes]:
        rest = b""
        for piece in self._checked_pieces():
            text = rest + piece
            held = b"\r" if text.endswith(b"\r") else b""  # a line feed may follow
            text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *lines, rest = text.split(b"\n")
            yield from lines
            rest += held
            if len(rest) > MOST_LINE_BYTES:
                raise InvalidExpressionTable(
                    f"{self._path.name} has a line of more than {MOST_LINE_BYTES >> 20} MiB."
                )
        yield rest.removesuffix(b"\r")

    def _checked_pieces(self) -> Iterator[bytes]:
        size = 0
        try:
            for piece in pieces(self._path):
                if not size and piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise UndecodableTable(f"{self._path.name} is UTF-16.")
                self._check(piece)
                yield piece if size else piece.removeprefix(codecs.BOM_UTF8)
                size += len(piece)
                if size > MOST_BYTES:
                    raise InvalidExpressionTable(
                        f"{self._path.name} has more than {MOST_BYTES >> 20} MiB of text."
                    )
        except (OSError, DamagedGzip) as error:
            raise InvalidExpressionTable(f"{self._path.name} cannot be read: {error}.") from error
        self._check(b"", final=True)

    def _check(self, piece: bytes, *, final: bool = False) -> None:
        if piece.translate(None, _TEXT):
            raise UndecodableTable(f"{self._path.name} is not text.")
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, final)
            except UnicodeDecodeError:
                self._decoder = None
        self._has_c1 = self._has_c1 or len(piece.translate(None, _C1)) < len(piece)
        if self._decoder is None and self._has_c1:
            raise UndecodableTable(
                f"{self._path.name} is neither UTF-8 nor ISO-8859-1.",
                remedy="Save the table as UTF-8.",
            )


# --- fields ---------------------------------------------------------------------------


def _fields(line: bytes, delimiter: bytes) -> list[bytes]:
    """The fields of a line, without the quotes around them and without tabs in them."""
    if b'"' not in line:
        found = line.split() if delimiter == b" " else line.split(delimiter)
        return [each.replace(b"\t", b" ") for each in found] if b"\t" in line else found
    text = line.decode("latin-1")  # any byte is a letter, and comes back as it was
    rows = csv.reader([text], delimiter=delimiter.decode(), skipinitialspace=True)
    try:
        return [each.replace("\t", " ").strip('"').encode("latin-1") for each in next(rows)]
    except csv.Error as error:
        raise InvalidExpressionTable(f"A line is malformed ({error}).") from None


def _sniffed(head: Sequence[_Line]) -> bytes:
    """The delimiter that cuts most lines into one number, above one, of fields.

    The header may have one field fewer than the rows.
    """

    def evenness(delimiter: bytes) -> int:
        header, *rows = (len(_fields(line.text, delimiter)) for line in head)
        [(width, most)] = Counter(rows or [header]).most_common(1)
        return most + (header in (width, width - 1)) if width > 1 else 0

    return max(_DELIMITERS, key=evenness)  # the first of equals


def _header_of(head: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The header, as long as the rows."""
    header, *rows = (list(each) for each in head)
    if not rows:
        return header
    width = len(rows[0])
    while len(header) > width and not header[-1].strip():
        header.pop()
    if len(header) == width - 1:
        only_trailing = all(len(row) < width or not row[width - 1].strip() for row in rows)
        return [*header, b""] if only_trailing else [b"ID_REF", *header]
    return header


def _body_of(lines: Iterable[_Line], delimiter: bytes, width: int) -> tuple[int, bytes]:
    """How many rows there are, and their text, tab-separated."""
    body = io.BytesIO()
    rows = 0
    for line in lines:
        text = line.text
        if delimiter == b"\t" and b'"' not in text and text.count(b"\t") == width - 1:
            body.write(text)
        else:
            fields = _fields(text, delimiter)
            if len(fields) < width or any(each.strip() for each in fields[width:]):
                raise InvalidExpressionTable(
                    f"Line {line.number} has {len(fields)} fields, the header {width}.",
                    remedy="Copy or download the file again if it is cut; else correct the line.",
                )
            body.write(b"\t".join(fields[:width]))
        body.write(b"\n")
        rows += 1
        if rows > MOST_ROWS:
            raise InvalidExpressionTable(f"The table has more than {MOST_ROWS} rows.")
    return rows, body.getvalue()
