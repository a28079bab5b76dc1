"""Affymetrix CEL files: one intensity per cell of the array, in all three formats in use.

Version 3 is text, version 4 binary (XDA, GCOS), Command Console ("Calvin") binary too; each
may be gzip. The content tells which, never the name. Sources: Affymetrix's descriptions of
the CEL and the generic data format; the tests hold every value to that of Bioconductor's
affyio. Not here: which cells are probes (`probes`), and what is made of them (`scan`).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.compression import (
    DamagedGzip,
    TooLarge,
    TruncatedGzip,
    is_gzip,
    pieces,
    read_head,
    read_whole,
)
from refinebio_assets.errors import InvalidCel, RawFileMissing, TruncatedCel

Format = Literal["CEL v3 text", "CEL v4 binary", "Command Console"]
Values = NDArray[np.float64]

MOST_CELLS: Final = 20_000_000  # the largest arrays sold have about 7 million
MOST_HEADER_BYTES: Final = 1 << 20  # real ones have less than 20 kB

_TEXT_MAGIC: Final = b"[CEL]"
_BINARY_MAGIC: Final = struct.pack("<2I", 64, 4)
_GENERIC_MAGIC: Final = b"\x3b\x01"
_GENERIC_INTENSITIES: Final = (b"affymetrix-calvin-intensity", b"affymetrix-calvin-multi-intensity")
_OTHER_BEGINNINGS: Final = (
    (b"[CDF]", "a CDF (a description of the array), as text"),
    (struct.pack("<I", 67), "a CDF (a description of the array)"),
    (struct.pack("<I", 65), "a CHP file (results, not intensities)"),
    (_GENERIC_MAGIC, "a Command Console file that does not hold intensities"),
    (_BINARY_MAGIC[:4], "a binary CEL file of another version than 4"),
    (b"<", "HTML or XML, perhaps an error page saved as a file"),
    (b"{", "JSON, perhaps an error message saved as a file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip inside gzip"),
    (b"^", "a SOFT document"),
)


@dataclass(frozen=True)
class CelHeader:
    """What a CEL file says of its array before the first intensity.

    `chip_type` is spelled as in the file (`HG_U95Av2`). `algorithm` names what made one
    intensity of many pixels; `scanned` is the time of the scan, local to the scanner in
    the older formats, as ISO 8601. Both are None where the file does not say.
    """

    format: Format
    chip_type: str
    columns: int
    rows: int
    is_gzip: bool
    algorithm: str | None
    scanned: str | None

    @property
    def cells(self) -> int:
        """How many cells the array has."""
        return self.columns * self.rows


@dataclass(frozen=True, eq=False)
class Cel:
    """A scanned array.

    Attributes
    ----------
    intensities
        float64, one per cell, finite and not negative, in the scanner's units; cell (x, y),
        both counted from 0, is element `columns * y + x`. Masked and outlying cells too.
    n_outliers, n_masked
        How many cells the scanner's software called outliers, and how many a person masked;
        None where a text file has no such section.
    """

    header: CelHeader
    intensities: Values
    n_outliers: int | None
    n_masked: int | None


def is_cel(head: bytes) -> bool:
    """Whether a file whose (inflated) content begins so is a CEL file that can be read.

    64 bytes are enough.
    """
    return _format(head) is not None


def read_cel_header(path: Path) -> CelHeader:
    """What the file says of its array; only its beginning is read, and need be whole.

    Raises
    ------
    RawFileMissing
        There is no such file, or it may not be read.
    InvalidCel
        It is not a CEL file, names no array, has absurd dimensions, or is damaged.
    TruncatedCel
        It ends within its header.
    """
    with _errors_of(path):
        return _layout(path).header


def read_cel(path: Path) -> Cel:
    """Read the mean intensity of every cell.

    Decimals of a text file become the nearest double; the float32 of the binary formats are
    widened. Memory: 8 bytes a cell and, for the binary formats, the file's content (10 more).

    Raises
    ------
    RawFileMissing, InvalidCel, TruncatedCel
        As `read_cel_header`; also InvalidCel where a cell is missing, given twice, outside
        the array, negative or not a number, or where something else follows the data, and
        TruncatedCel where the file, or its gzip stream, ends too early.
    """
    with _errors_of(path):
        layout = _layout(path)
        if isinstance(layout, _TextLayout):
            cel = _read_text(path, layout)
        elif isinstance(layout, _BinaryLayout):
            cel = _read_binary(path, layout)
        else:
            cel = _read_generic(path, layout)
        low, high = float(cel.intensities.min()), float(cel.intensities.max())
        if not (low >= 0 and high < math.inf):  # a NaN anywhere is in `low`
            raise InvalidCel("a cell has an intensity that is negative or not a number.")
        return cel


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Make typed errors of a file's faults, and say in them which file it is."""
    try:
        yield
    except InvalidCel as error:
        raise type(error)(f"{path.name}: {error.message}") from None
    except TruncatedGzip as error:
        raise TruncatedCel(f"{path.name}: {error}.") from None
    except DamagedGzip as error:
        raise InvalidCel(f"{path.name}: {error}.") from None
    except TooLarge as error:
        raise InvalidCel(f"{path.name}: {error} that its header accounts for.") from None
    except IsADirectoryError:
        raise InvalidCel(f"{path.name} is a folder, not a file.") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise RawFileMissing(f"{path} cannot be opened: {error.strerror}.") from None


# --- the header -----------------------------------------------------------------------


@dataclass(frozen=True)
class _TextLayout:
    header: CelHeader
    cells_at: int  # where the line of the first cell begins


@dataclass(frozen=True)
class _BinaryLayout:
    header: CelHeader
    cells_at: int
    n_outliers: int
    n_masked: int
    n_sub_grids: int


@dataclass(frozen=True)
class _GenericLayout:
    header: CelHeader
    n_groups: int
    groups_at: int


def _layout(path: Path) -> _TextLayout | _BinaryLayout | _GenericLayout:
    with path.open("rb") as file:
        gzip = is_gzip(file.read(2))
    head = read_head(path, MOST_HEADER_BYTES)
    match _format(head):
        case "CEL v3 text":
            return _text_layout(head, gzip)
        case "CEL v4 binary":
            return _binary_layout(head, gzip)
        case "Command Console":
            return _generic_layout(head, gzip)
        case None:
            raise InvalidCel(f"this is not a CEL file: {_description(head)}.")


def _format(head: bytes) -> Format | None:
    if head.startswith(_TEXT_MAGIC):
        return "CEL v3 text"
    if head.startswith(_BINARY_MAGIC):
        return "CEL v4 binary"
    if head.startswith(_GENERIC_MAGIC) and head[14:].startswith(_GENERIC_INTENSITIES):
        return "Command Console"
    return None


def _description(head: bytes) -> str:
    if not head:
        return "it is empty"
    for beginning, what in _OTHER_BEGINNINGS:
        if head.startswith(beginning):
            return f"it seems to be {what}"
    return f"it begins with {head[:12]!r}"


def _header(
    kind: Format,
    chip_type: str | None,
    columns: int,
    rows: int,
    gzip: bool,
    algorithm: str | None,
    scanned: str | None,
) -> CelHeader:
    if not 0 < columns * rows <= MOST_CELLS:
        raise InvalidCel(f"it claims {columns:,} × {rows:,} cells.")
    if not chip_type:
        raise InvalidCel("the header does not name the array's type.")
    if len(chip_type) > 100 or not chip_type.isprintable():
        raise InvalidCel(f"the header names an absurd type of array, {chip_type[:100]!r}.")
    return CelHeader(kind, chip_type, columns, rows, gzip, algorithm or None, scanned or None)


def _chip_of(dat_header: str) -> str | None:
    """The array's type in the header of the scanned image: the word before `.1sq`."""
    chips = [
        word.removesuffix(".1sq")
        for word in re.split(r"[\s\x14]+", dat_header)
        if word.endswith(".1sq") and word != ".1sq"
    ]
    return chips[-1] if chips else None  # a sample's name, further left, may look like one


def _scan_time_of(dat_header: str) -> str | None:
    """The scan's date (month first) and time in the header of the scanned image."""
    for found in re.finditer(r"\b(\d\d/\d\d/[ \d]\d) +(\d\d:\d\d:\d\d)\b", dat_header):
        date, time = found[1].replace(" ", "0"), found[2]
        try:
            return datetime.strptime(f"{date} {time}", "%m/%d/%y %H:%M:%S").isoformat()
        except ValueError:
            continue
    return None


def _settings(text: bytes) -> dict[str, str]:
    """The `Name=value` lines of a header."""
    lines = (line.partition(b"=") for line in text.split(b"\n"))
    return {key.decode("latin-1"): value.decode("latin-1").strip() for key, _, value in lines}


class _Short(Exception):
    """The bytes end before what is read of them does."""


def _beyond(head: bytes) -> InvalidCel:
    """The error for a header that goes on where the bytes that were read end."""
    if len(head) < MOST_HEADER_BYTES:
        return TruncatedCel("the file ends within its header.")
    return InvalidCel(f"the header is larger than {MOST_HEADER_BYTES >> 20} MiB.")


# --- version 3 ------------------------------------------------------------------------

_MOST_CELL_BYTES: Final = 64  # of text, and of lists, on average; real ones have about 25
_MOST_LINE_BYTES: Final = 1 << 12
_MOST_TAIL_BYTES: Final = 1 << 26  # of the lists of masked, outlying and modified cells
_MOST_SECTIONS: Final = 16
_INTENSITY_SECTION: Final = re.compile(
    rb"\n\[INTENSITY\]\s*NumberCells=[ \t]*(\d{1,9})\s*CellHeader=([^\n]*)\n"
)
_INTENSITY_SECTION_BYTES: Final = 200
_CELL_COLUMNS: Final = [b"X", b"Y", b"MEAN", b"STDV", b"NPIXELS"]
_LIST_SECTION: Final = re.compile(
    rb"(\w+)\]\s*NumberCells=[ \t]*(\d{1,9})\s*CellHeader=([^\n]*)(?:\n|$)"
)
_NUMBERS: Final = b"0123456789+-.eE \t\r\n"
_DECIMAL: Final = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?(?=\s)")

_EXACT_DIGITS: Final = 15  # an integer of so many is exactly a double; so is 10 to that power
_POWERS: Final = 10.0 ** np.arange(_EXACT_DIGITS + 1)
_SHORTEST_LINE: Final = 10  # bytes: five columns of one digit
_MOST_INFLATION: Final = 1032  # of gzip
_LAST_LINE_END: Final = b"\n"  # for a last line that lacks its own, perhaps being cut

# What can be wrong with the next cell.
_NO_FAULT, _MISSING, _NOT_FIVE_COLUMNS, _OUTSIDE, _TWICE = range(5)
_FAULTS: Final = (
    "is sound",
    "is missing",
    "does not have the five columns of a cell",
    "lies outside the array",
    "is given a second time",
)


def _text_layout(head: bytes, gzip: bool) -> _TextLayout:
    begin, end = head.find(b"[HEADER]"), head.find(b"\n[INTENSITY]")
    if not 0 <= begin < end:
        raise _beyond(head)
    section = _INTENSITY_SECTION.match(head, end)
    if section is None:
        if len(head) - end < _INTENSITY_SECTION_BYTES:
            raise _beyond(head)
        raise InvalidCel("the section INTENSITY does not say how many cells it has.")
    settings = _settings(head[begin:end])
    dat_header = settings.get("DatHeader", "")
    header = _header(
        "CEL v3 text",
        _chip_of(dat_header),
        _natural(settings, "Cols"),
        _natural(settings, "Rows"),
        gzip,
        settings.get("Algorithm"),
        _scan_time_of(dat_header),
    )
    if int(section[1]) != header.cells:
        raise InvalidCel(f"it has {int(section[1]):,} of {header.cells:,} cells.")
    if section[2].split() != _CELL_COLUMNS:
        raise InvalidCel(f"its cells have other columns than usual, {section[2].strip()!r}.")
    return _TextLayout(header, section.end())


def _natural(settings: dict[str, str], name: str) -> int:
    value = settings.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidCel(f"the header gives no number as {name}.")
    return int(value)


def _read_text(path: Path, layout: _TextLayout) -> Cel:
    header = layout.header
    most = path.stat().st_size * (_MOST_INFLATION if header.is_gzip else 1)
    if most < _SHORTEST_LINE * header.cells:
        raise TruncatedCel(f"the file is too small for {header.cells:,} cells.")
    values = np.full(header.cells, np.nan)
    stream = _text_from(path, layout.cells_at, header.cells)
    rest = _fill(values, header, stream)
    listed = _listed_cells(rest, stream)
    return Cel(header, values, listed.get("OUTLIERS"), listed.get("MASKS"))


def _text_from(path: Path, begin: int, cells: int) -> Iterator[bytes]:
    """The content from a position on, in pieces."""
    most = MOST_HEADER_BYTES + _MOST_CELL_BYTES * cells
    size = 0
    for piece in pieces(path):
        yield piece[max(begin - size, 0) :]
        size += len(piece)
        if size > most:
            raise TooLarge(f"the content is larger than {most:,} bytes")


def _fill(values: Values, header: CelHeader, stream: Iterator[bytes]) -> bytes:
    """Put the intensities into `values`, which is all NaN; return what was read beyond them."""
    text, done = b"", 0
    for piece in chain(stream, [_LAST_LINE_END]):
        text += piece
        awkward = np.empty((len(text) // _SHORTEST_LINE + 1, 2), np.int64)
        done, end, n_awkward, fault = _parse_cells(
            np.frombuffer(text, np.uint8), header.columns, header.rows, values, done, awkward
        )
        for cell, begin in awkward[:n_awkward].tolist():
            values[cell] = _decimal(text, begin)
        text = text[end:]
        if done == header.cells:
            return text
        if len(text) > _MOST_LINE_BYTES:
            fault = fault or _NOT_FIVE_COLUMNS
        if fault != _NO_FAULT and piece is not _LAST_LINE_END:
            line = text.partition(b"\n")[0][:40]
            raise InvalidCel(f"cell number {done + 1:,} {_FAULTS[fault]}, at {line!r}.")
    raise TruncatedCel(f"the file ends after {done:,} of {header.cells:,} cells.")


def _decimal(text: bytes, begin: int) -> float:
    found = _DECIMAL.match(text, begin)
    if not found:
        raise InvalidCel(f"an intensity is not a number, {text[begin : begin + 20]!r}.")
    return float(found[0])


def _listed_cells(begin: bytes, stream: Iterator[bytes]) -> dict[str, int]:
    """How many cells each section after the intensities lists; every list must be whole."""
    tail = bytearray(begin)
    for piece in stream:
        tail += piece
        if len(tail) > _MOST_TAIL_BYTES:
            raise InvalidCel(f"more than {_MOST_TAIL_BYTES >> 20} MiB follow its cells.")
    blank, *sections = bytes(tail).split(b"[", _MOST_SECTIONS)
    if blank.strip():
        raise InvalidCel(f"something else follows its cells, {blank.strip()[:40]!r}.")
    listed: dict[str, int] = {}
    for section in sections:
        found = _LIST_SECTION.match(section)
        if not found or section[found.end() :].translate(None, _NUMBERS):
            raise InvalidCel(f"what follows its cells is no list of cells, {section[:40]!r}.")
        name, claimed = found[1].decode("latin-1"), int(found[2])
        expected = claimed * len(found[3].split())
        words = _count_words(section[found.end() :])
        if words < expected:
            raise TruncatedCel(f"the section {name} ends before its {claimed:,} cells do.")
        if words > expected:
            raise InvalidCel(f"the section {name} has more than its {claimed:,} cells.")
        listed[name] = claimed
    return listed


def _count_words(text: bytes) -> int:
    solid = np.frombuffer(b" " + text, np.uint8) > ord(" ")
    return int(np.count_nonzero(solid[1:] > solid[:-1]))


@njit(cache=True, nogil=True)
def _digits(text: NDArray[np.uint8], at: int, number: int) -> tuple[int, int]:
    """Append the digits from `at` on to a number; return it, and where they end."""
    while at < len(text):
        digit = np.int64(text[at]) - 48
        if digit < 0 or digit > 9:
            break
        number = 10 * number + int(digit)
        at += 1
    return number, at


@njit(cache=True, nogil=True)
def _after_blanks(text: NDArray[np.uint8], at: int) -> int:
    """Where the blanks and tabs from `at` on end."""
    while at < len(text) and (text[at] == 32 or text[at] == 9):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _parse_cells(
    text: NDArray[np.uint8],
    columns: int,
    rows: int,
    values: Values,
    done: int,
    awkward: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Put the intensities of the whole lines in `text` into `values`.

    A decimal of up to 15 digits is an integer divided by a power of ten; both are exact, so
    that their quotient is the nearest double. Of any other the cell and where it begins are
    noted in `awkward`, and its value is left 0.

    Returns
    -------
    How many cells are now done, where the first line not taken begins, how many cells are
    awkward, and what is wrong with that line.
    """
    at, n_awkward = 0, 0
    while done < len(values):
        while at < len(text) and text[at] <= 32:
            at += 1
        line = at
        x, x_end = _digits(text, line, 0)
        y_begin = _after_blanks(text, x_end)
        y, y_end = _digits(text, y_begin, 0)
        begin = _after_blanks(text, y_end)
        number, at = _digits(text, begin, 0)
        n_digits, decimals = at - begin, 0
        if at < len(text) and text[at] == 46:  # the decimal point
            point = at
            number, at = _digits(text, point + 1, number)
            decimals = at - point - 1
            n_digits += decimals
        end, more_columns, inside = at, 0, True
        while at < len(text) and text[at] != 10:
            if text[at] <= 32:
                inside = False
            elif not inside:
                inside = True
                more_columns += 1
            at += 1

        if at == len(text):
            return done, line, n_awkward, _NO_FAULT
        if text[line] == 91:  # the bracket of the next section
            return done, line, n_awkward, _MISSING
        whole = 0 < x_end - line < 10 and 0 < y_end - y_begin < 10
        apart = x_end < y_begin and y_end < begin and text[begin] > 32
        if not whole or not apart or more_columns != 2:
            return done, line, n_awkward, _NOT_FIVE_COLUMNS
        if x >= columns or y >= rows:
            return done, line, n_awkward, _OUTSIDE
        cell = columns * y + x
        if not np.isnan(values[cell]):
            return done, line, n_awkward, _TWICE
        if 0 < n_digits <= _EXACT_DIGITS and text[end] <= 32:
            values[cell] = number / _POWERS[decimals]
        else:
            values[cell] = 0
            awkward[n_awkward, 0], awkward[n_awkward, 1] = cell, begin
            n_awkward += 1
        done += 1
    return done, at, n_awkward, _NO_FAULT


# --- the binary formats ---------------------------------------------------------------


class _Fields:
    """The fields of a binary file, one after the other; `_Short` where the bytes end."""

    def __init__(self, content: bytes, at: int, order: Literal["little", "big"] = "big") -> None:
        self._content = content
        self._order = order
        self.at = at

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size > MOST_HEADER_BYTES:
            raise InvalidCel(f"a field of its header claims {size:,} bytes.")
        begin, self.at = self.at, self.at + size
        if self.at > len(self._content):
            raise _Short
        return self._content[begin : self.at]

    def number(self) -> int:
        """An unsigned integer of four bytes."""
        return int.from_bytes(self.take(4), self._order)

    def count(self, most: int) -> int:
        """A number of things, of which no sound file has more than `most`."""
        number = self.number()
        if number > most:
            raise InvalidCel(f"a list in it claims {number:,} entries; {most:,} are the most.")
        return number

    def counted(self) -> bytes:
        """Bytes, after the number of them."""
        return self.take(self.number())

    def wide_text(self) -> str:
        """UTF-16 text, after the number of its characters."""
        return _wide(self.take(2 * self.number()))

    def parameters(self) -> Iterator[tuple[str, bytes, str]]:
        """Names, values and media types, after the number of them."""
        for _ in range(self.count(_MOST_PARAMETERS)):
            yield self.wide_text(), self.counted(), self.wide_text()


def _wide(text: bytes) -> str:
    return text.decode("utf-16-be", "replace").partition("\0")[0].strip()


def _spaced(content: bytes, begin: int, n: int, kind: str, step: int) -> Values:
    """The `n` numbers of a kind that lie `step` bytes from one another, as float64."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is refused with the other ones
        return np.ndarray(n, kind, content, begin, (step,)).astype(np.float64)


# --- version 4 ------------------------------------------------------------------------

_CELL_BYTES: Final = 10  # float32 mean, float32 standard deviation, int16 pixels
_LISTED_CELL_BYTES: Final = 4  # int16 x, int16 y
_SUB_GRID_BYTES: Final = 56  # six integers, eight floats
_MOST_SUB_GRID_BYTES: Final = 64  # as affxparser writes it
_MOST_SUB_GRIDS: Final = 100_000  # real files have none, or fewer than 200


def _binary_layout(head: bytes, gzip: bool) -> _BinaryLayout:
    fields = _Fields(head, len(_BINARY_MAGIC), "little")
    try:
        columns, rows, cells = fields.number(), fields.number(), fields.number()
        settings = _settings(fields.counted())
        algorithm, _parameters = fields.counted(), fields.counted()
        _margin = fields.number()
        n_outliers, n_masked, n_sub_grids = fields.number(), fields.number(), fields.number()
    except _Short:
        raise _beyond(head) from None
    dat_header = settings.get("DatHeader", "")
    header = _header(
        "CEL v4 binary",
        _chip_of(dat_header),
        columns,
        rows,
        gzip,
        settings.get("Algorithm") or algorithm.decode("latin-1"),
        _scan_time_of(dat_header),
    )
    if cells != header.cells:
        raise InvalidCel(f"it claims {columns:,} × {rows:,} cells and {cells:,} in all.")
    if max(n_outliers, n_masked) > cells or n_sub_grids > _MOST_SUB_GRIDS:
        raise InvalidCel("it claims too many masked cells, outliers or sub-grids.")
    return _BinaryLayout(header, fields.at, n_outliers, n_masked, n_sub_grids)


def _read_binary(path: Path, layout: _BinaryLayout) -> Cel:
    header = layout.header
    cells_end = layout.cells_at + _CELL_BYTES * header.cells
    lists_end = cells_end + _LISTED_CELL_BYTES * (layout.n_outliers + layout.n_masked)
    content = read_whole(path, lists_end + _MOST_SUB_GRID_BYTES * layout.n_sub_grids)
    missing = lists_end + _SUB_GRID_BYTES * layout.n_sub_grids - len(content)
    if missing > 0:
        raise TruncatedCel(f"the file lacks the last {missing:,} bytes.")
    values = _spaced(content, layout.cells_at, header.cells, "<f4", _CELL_BYTES)
    return Cel(header, values, layout.n_outliers, layout.n_masked)


def write_cel_v4(
    path: Path,
    *,
    chip_type: str,
    columns: int,
    rows: int,
    intensities: Values,
) -> None:
    """Write a version 4 file for a simulation or a test; its algorithm is "Simulation".

    Parameters
    ----------
    intensities
        One per cell, finite and not negative, ordered as in `Cel`; kept as float32. The
        standard deviations are 0, the pixels 1, and no cell is masked or an outlier.

    Raises
    ------
    ValueError
        The values do not fit the format.
    """
    with np.errstate(over="ignore"):
        means = np.asarray(intensities).astype("<f4")
    if means.shape != (columns * rows,) or not 0 < len(means) <= MOST_CELLS:
        raise ValueError(f"{columns} columns and {rows} rows need one intensity per cell")
    if not (means.min() >= 0 and means.max() < math.inf):
        raise ValueError("an intensity is negative, not a number or too large")
    dat_header = f"[0..65535]  simulated:CLS={columns} RWS={rows}  \x14  \x14 {chip_type}.1sq \x14"
    if not chip_type.isascii() or _chip_of(dat_header) != chip_type:
        raise ValueError(f"{chip_type!r} cannot be the type of an array")
    algorithm, parameters = b"Simulation", b"PixelsPerCell:1"  # affyio wants neither empty
    settings = {
        "Cols": columns,
        "Rows": rows,
        "TotalX": columns,
        "TotalY": rows,
        "OffsetX": 0,
        "OffsetY": 0,
        "GridCornerUL": "0 0",
        "GridCornerUR": f"{columns} 0",
        "GridCornerLR": f"{columns} {rows}",
        "GridCornerLL": f"0 {rows}",
        "Axis-invertX": 0,
        "AxisInvertY": 0,
        "swapXY": 0,
        "DatHeader": dat_header,
        "Algorithm": algorithm.decode(),
        "AlgorithmParameters": parameters.decode(),
    }
    text = "".join(f"{key}={value}\n" for key, value in settings.items()).encode("ascii")
    cells = np.zeros(len(means), [("mean", "<f4"), ("deviation", "<f4"), ("pixels", "<i2")])
    cells["mean"], cells["pixels"] = means, 1
    with path.open("wb") as file:
        file.write(_BINARY_MAGIC + struct.pack("<3I", columns, rows, len(means)))
        for part in (text, algorithm, parameters):
            file.write(struct.pack("<I", len(part)) + part)
        file.write(struct.pack("<4I", 0, 0, 0, 0))  # margin, outliers, masked, sub-grids
        file.write(cells.tobytes())


# --- Command Console ------------------------------------------------------------------

_MOST_BYTES_PER_CELL: Final = 32  # of all data sets; real ones have little over 10
_MOST_PARAMETERS: Final = 10_000
_MOST_DATA_SETS: Final = 256  # and groups of them, and columns of each, and parent headers
_MOST_GENERATIONS: Final = 16
_INTENSITY_TYPES: Final = {(6, 4): ">f4", (3, 2): ">u2"}  # by the code and size of a column


@dataclass(frozen=True)
class _Parameters:
    """Parameters of a header and, after them, of its parents."""

    found: dict[str, list[tuple[bytes, str]]]  # value and media type

    def text(self, name: str) -> str | None:
        """The first value that is not blank."""
        for value, kind in self.found.get(name, []):
            is_wide = kind != "text/ascii"
            text = _wide(value) if is_wide else value.decode("latin-1").partition("\0")[0].strip()
            if text:
                return text
        return None

    def number(self, name: str) -> int:
        """The first value, an unsigned integer."""
        values = self.found.get(name, [])
        if not values or len(values[0][0]) < 4:
            raise InvalidCel(f"the header has no number {name}.")
        return int.from_bytes(values[0][0][:4], "big")


def _generic_layout(head: bytes, gzip: bool) -> _GenericLayout:
    fields = _Fields(head, len(_GENERIC_MAGIC))
    parameters = _Parameters({})
    try:
        n_groups, groups_at = fields.count(_MOST_DATA_SETS), fields.number()
        _collect(fields, parameters, 1)
    except _Short:
        raise _beyond(head) from None
    header = _header(
        "Command Console",
        parameters.text("affymetrix-array-type"),
        parameters.number("affymetrix-cel-cols"),
        parameters.number("affymetrix-cel-rows"),
        gzip,
        parameters.text("affymetrix-algorithm-name"),
        parameters.text("affymetrix-scan-date"),
    )
    return _GenericLayout(header, n_groups, groups_at)


def _collect(fields: _Fields, parameters: _Parameters, generation: int) -> None:
    """Collect the parameters of a header and of those nested in it."""
    if generation > _MOST_GENERATIONS:
        raise InvalidCel("its headers are nested too deeply.")
    _type, _identifier = fields.counted(), fields.counted()
    _time, _locale = fields.wide_text(), fields.wide_text()
    for name, value, kind in fields.parameters():
        parameters.found.setdefault(name, []).append((value, kind))
    for _ in range(fields.count(_MOST_DATA_SETS)):
        _collect(fields, parameters, generation + 1)


@dataclass(frozen=True)
class _DataSet:
    """A table of numbers, row after row, in the content from `begin` to `end`."""

    name: str
    columns: list[tuple[int, int]]  # code of the type, bytes
    rows: int
    begin: int
    following: int  # where the next data set begins

    @property
    def row_bytes(self) -> int:
        return sum(size for _, size in self.columns)

    @property
    def end(self) -> int:
        return self.begin + self.row_bytes * self.rows


def _read_generic(path: Path, layout: _GenericLayout) -> Cel:
    header = layout.header
    content = read_whole(path, MOST_HEADER_BYTES + _MOST_BYTES_PER_CELL * header.cells)
    try:
        data_sets = list(_data_sets(content, layout))
    except _Short:
        raise TruncatedCel("the file ends before its last data set begins.") from None
    intensities = [found for found in data_sets if found.name == "Intensity"]
    if len(intensities) != 1:
        raise InvalidCel(f"it has {len(intensities)} data sets of intensities, not one.")
    (chosen,) = intensities
    if chosen.rows != header.cells:
        raise InvalidCel(f"it has {chosen.rows:,} intensities for {header.cells:,} cells.")
    kind = _INTENSITY_TYPES.get(chosen.columns[0]) if chosen.columns else None
    if kind is None:
        raise InvalidCel("its intensities are neither float32 nor unsigned 16-bit integers.")
    if len(content) > max(found.end for found in data_sets) + 1:  # one stray byte is usual
        raise InvalidCel("something follows its last data set.")
    values = _spaced(content, chosen.begin, header.cells, kind, chosen.row_bytes)
    listed = {found.name: found.rows for found in data_sets}
    return Cel(header, values, listed.get("Outlier"), listed.get("Mask"))


def _data_sets(content: bytes, layout: _GenericLayout) -> Iterator[_DataSet]:
    """Every data set of every group. A position that points back is refused: no loops."""
    behind, group_at, n_found = len(_GENERIC_MAGIC), layout.groups_at, 0
    for _ in range(layout.n_groups):
        group = _fields_ahead(content, group_at, behind)
        group_at, at, n_sets = group.number(), group.number(), group.count(_MOST_DATA_SETS)
        _name = group.wide_text()
        behind = group.at
        n_found += n_sets
        if n_found > _MOST_DATA_SETS:
            raise InvalidCel(f"it has more than {_MOST_DATA_SETS} data sets.")
        for _ in range(n_sets):
            found = _data_set(content, at, behind)
            yield found
            at, behind = found.following, found.end


def _data_set(content: bytes, at: int, behind: int) -> _DataSet:
    fields = _fields_ahead(content, at, behind)
    begin, following, name = fields.number(), fields.number(), fields.wide_text()
    for _parameter in fields.parameters():
        pass
    columns = []
    for _ in range(fields.count(_MOST_DATA_SETS)):
        _column = fields.wide_text()
        columns.append((fields.take(1)[0], fields.number()))
    found = _DataSet(name, columns, fields.number(), begin, following)
    if begin < fields.at:
        raise InvalidCel(f"the data set {name!r} begins within its own description.")
    if found.end > len(content):
        missing = found.end - len(content)
        raise TruncatedCel(f"the data set {name!r} lacks its last {missing:,} bytes.")
    return found


def _fields_ahead(content: bytes, at: int, behind: int) -> _Fields:
    if at < behind:
        raise InvalidCel("a data set points to what was read before it.")
    return _Fields(content, at)
