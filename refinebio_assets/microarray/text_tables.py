"""Annotation files as text: plain, gzip or a ZIP archive of one file, read block by block.

Encodings are UTF-8 or Latin-1, line ends LF or CRLF; quotes around a cell are dropped, and
protect nothing in it. Memory is bounded by the size of a block, whatever a file inflates to.
Not here: what a table means.
"""

from __future__ import annotations

import itertools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import polars as pl

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray.probes import MOST_COORDINATE, MOST_ROWS

BLOCK_BYTES: Final = 1 << 24

_ZIP_MAGIC: Final = b"PK\x03\x04"
_ZIP_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
_AROUND: Final = ' \t\r"'
_MOST_COLUMNS: Final = 1000
_MOST_HEADER_LINES: Final = 10_000


@dataclass(frozen=True)
class Block:
    """Whole lines of a file, UTF-8, the number of the first one counted from 1."""

    first_line: int
    text: bytes


@dataclass(frozen=True)
class Header:
    """The names of a table's columns, and how its cells are separated."""

    names: tuple[str, ...]
    separator: str

    def find(self, *names: str) -> int | None:
        """The first column that has one of these names, tried in turn; words, in any case."""
        own = [_words(name) for name in self.names]
        return next((own.index(_words(name)) for name in names if _words(name) in own), None)


def content(path: Path) -> Iterator[bytes]:
    """The content of a file, inflated, in pieces of about a MiB.

    Raises
    ------
    InvalidProbeAnnotation
        The file cannot be read or inflated, or is a ZIP archive of not just one file.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
        yield from _unzipped(path) if zipped else compression.pieces(path)
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror or error}.", error)
    except compression.DamagedGzip as error:
        _refuse(path, f"is damaged: {error}.", error)
    except _ZIP_DAMAGE as error:
        _refuse(path, f"is a damaged ZIP archive: {error}.", error)


def _unzipped(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(files) != 1:
            _refuse(path, f"is a ZIP archive of {len(files)} files; one is read.")
        with archive.open(files[0]) as file:
            while piece := file.read(compression.PIECE):
                yield piece


def whole(path: Path, most_bytes: int) -> bytes:
    """The inflated content, which may not be larger than `most_bytes`."""
    found = bytearray()
    for piece in content(path):
        found += piece
        if len(found) > most_bytes:
            _refuse(path, f"is larger than {most_bytes >> 20} MiB.")
    return bytes(found)


def head(path: Path, most_bytes: int = 1 << 16) -> bytes:
    """The first bytes of the inflated content, as many as there are up to `most_bytes`."""
    found = b""
    for piece in content(path):
        found += piece
        if len(found) >= most_bytes:
            break
    return found[:most_bytes]


def blocks(path: Path) -> Iterator[Block]:
    """The lines of a file; a block ends where a line ends.

    Raises
    ------
    InvalidProbeAnnotation
        As `content`; or a line is longer than a block.
    """
    line, rest = 1, b""
    for piece in content(path):
        rest += piece
        if len(rest) >= BLOCK_BYTES:
            end = rest.rfind(b"\n") + 1
            if not end:
                _refuse(path, f"is not a text table: line {line} has more than {len(rest)} bytes.")
            yield Block(line, _utf8(rest[:end], first=line == 1))
            line, rest = line + rest.count(b"\n", 0, end), rest[end:]
    if rest:
        yield Block(line, _utf8(rest, first=line == 1))


def _utf8(text: bytes, *, first: bool) -> bytes:
    if first:
        text = text.removeprefix(b"\xef\xbb\xbf")
    if text.isascii():
        return text
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text


def header_of(text: bytes) -> tuple[Header, int]:
    """The header in a text, and how many lines it and what stands before it take.

    Blank lines and lines that begin with `#` stand before it. Cells are separated by tabs,
    or, where there is none, by commas.
    """
    lines = text.split(b"\n", _MOST_HEADER_LINES)[:_MOST_HEADER_LINES]
    for number, line in enumerate(lines):
        if line.strip() and not line.startswith(b"#"):
            separator = "\t" if b"\t" in line else ","
            cells = line.decode("utf-8", "replace").rstrip("\r").split(separator, _MOST_COLUMNS)
            return Header(tuple(cell.strip().strip('"') for cell in cells), separator), number + 1
    return Header((), "\t"), len(lines)


def columns(
    path: Path, choose: Callable[[Header], Sequence[int]]
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The columns that `choose` wants, from a table that has a header.

    Yields the number of the first line of each part, and the part: one String column for each
    index that was asked for, in that order, named 0, 1, …. A cell that a row doesn't have is
    null. A row is a line, also where it is blank.

    Raises
    ------
    InvalidProbeAnnotation
        As `blocks`; the file is empty; or what `choose` raises.
    """
    parts = blocks(path)
    first = next(parts, None)
    if first is None:
        _refuse(path, "is empty.")
    header, lines = header_of(first.text)
    indices = choose(header)
    body = _without_lines(first, lines)
    rows = 0
    for block in itertools.chain([body], parts):
        table = split(block.text, indices, header.separator)
        rows += table.height
        if rows > MOST_ROWS:
            _refuse(path, f"has more than {MOST_ROWS} rows.")
        yield block.first_line, table


def _without_lines(block: Block, lines: int) -> Block:
    position = 0
    for _ in range(lines):
        position = block.text.find(b"\n", position) + 1
        if not position:
            return Block(block.first_line + lines, b"")
    return Block(block.first_line + lines, block.text[position:])


def split(text: bytes, indices: Sequence[int], separator: str) -> pl.DataFrame:
    """Some columns of lines of text, by index; String columns named 0, 1, …."""
    width = max(indices) + 1
    # A first row of full width: the reader takes the number of columns from it.
    framed = separator.encode().join([b"-"] * width) + b"\n" + text
    table = pl.read_csv(
        framed,
        has_header=False,
        separator=separator,
        quote_char=None,
        schema={str(index): pl.String for index in range(width)},
        columns=sorted(set(indices)),
        missing_columns="insert",
        extra_columns="ignore",
        truncate_ragged_lines=True,
    ).slice(1)
    return table.select(pl.col(str(index)).alias(str(i)) for i, index in enumerate(indices))


def coordinate(column: str) -> pl.Expr:
    """A cell's x or y from text: Int32, null where it isn't one."""
    number = pl.col(column).str.strip_chars(_AROUND).cast(pl.Int32, strict=False)
    return pl.when(number.is_between(0, MOST_COORDINATE)).then(number)


def word(column: str) -> pl.Expr:
    """A cell without blanks and quotes around it, null where nothing is left."""
    text = pl.col(column).str.strip_chars(_AROUND)
    return pl.when(text != "").then(text)


def checked(
    path: Path, first_line: int, part: pl.DataFrame, typed: pl.DataFrame, what: str
) -> pl.DataFrame:
    """The rows of `typed` without those that are blank in `part`, the text they come from.

    Raises
    ------
    InvalidProbeAnnotation
        A row that isn't blank has a null in `typed`; names its line, and `what` it should be.
    """
    blank = part.select(
        pl.all_horizontal(pl.all().str.strip_chars().fill_null("") == "").alias("blank")
    ).to_series()
    gap = typed.select(pl.any_horizontal(pl.all().is_null()).alias("gap")).to_series()
    wrong = (gap & ~blank).arg_true()
    if len(wrong):
        _refuse(path, f"is malformed: line {first_line + int(wrong[0])} is not {what}.")
    return typed.filter(~blank)


def _words(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _refuse(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidProbeAnnotation(f"{path.name} {why}") from cause
