"""MAGE-TAB, the two tables of an ArrayExpress experiment: IDF (the study) and SDRF (the rows).

Both are read by position. In an SDRF, column names repeat, and a column that qualifies
another (a unit, a term's accession, a comment) stands right of it. One row is a path from
a source through extract and assay to files, not a sample: several rows may belong to one
sample. Not here: what the columns mean for this platform (see `arrayexpress`).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refinebio_assets.errors import SourceAnswerInvalid

LARGEST = 256 << 20
MOST_ROWS = 500_000
MOST_COLUMNS = 5_000

# Old documents mix UTF-8 and Latin-1 within one line: what is not the first is the second.
_AS_LATIN_1 = "refinebio-as-latin-1"
_HEADING = re.compile(r"\s*([^\[\]]+?)\s*(?:\[\s*(.*?)\s*\])?\s*(?:\(.*\))?\s*\Z", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\n|\r")
_QUALIFIERS = ("unit", "term source ref", "term accession number")
# Columns that describe the name, file or reference on their left.
_DESCRIBE = (
    "characteristics",
    "comment",
    "description",
    "material type",
    "label",
    "technology type",
    "array design ref",
    "array design file",
    "parameter value",
    "provider",
    "performer",
    "date",
)


@dataclass(frozen=True)
class Column:
    """A heading: 'Characteristics [age]' has the kind 'characteristics' and the label 'age'.

    `of` is the number of the column that it describes or qualifies, None for the others;
    `owner` is that column's heading.
    """

    heading: str
    kind: str
    label: str
    of: int | None = None
    owner: str = ""

    @property
    def is_qualifier(self) -> bool:
        """Whether it says something of another value (a unit, a term), not of the sample."""
        return self.kind in _QUALIFIERS


@dataclass(frozen=True)
class Value:
    """A cell that is not empty, with its column and the column's number."""

    position: int
    column: Column
    text: str


@dataclass(frozen=True)
class Row:
    """One line of an SDRF: its number in the file, from 1, and its values, left to right."""

    line: int
    values: tuple[Value, ...]

    def texts(self, kind: str, label: str | None = None) -> list[str]:
        """The values of all columns of a kind (and label), both in lower case."""
        return [
            value.text
            for value in self.values
            if value.column.kind == kind and (label is None or value.column.label.lower() == label)
        ]

    def comments_of(self, position: int) -> list[tuple[str, str]]:
        """Labels and texts of the comments on the column of that number."""
        return [
            (value.column.label, value.text)
            for value in self.values
            if value.column.of == position and value.column.kind == "comment"
        ]


@dataclass(frozen=True)
class Sdrf:
    """The columns and rows of an SDRF.

    `malformed` holds number and beginning of the lines that have another number of cells
    than the heading, and so can't be read by position.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    malformed: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Idf:
    """Tags (lower case, no space before '[') and their values; empty ones keep their place."""

    tags: Mapping[str, tuple[str, ...]]

    def texts(self, tag: str) -> list[str]:
        """The values of a tag that are not empty; [] if there are none."""
        return [text for text in self.tags.get(tag, ()) if text]

    def records(self, **tags: str) -> list[dict[str, str]]:
        """Parallel lists as records: {key: tag} gives one {key: value} per place."""
        lists = {key: self.tags.get(tag, ()) for key, tag in tags.items()}
        longest = max((len(values) for values in lists.values()), default=0)
        return [
            {key: values[n] if n < len(values) else "" for key, values in lists.items()}
            for n in range(longest)
        ]


def parse_idf(content: bytes) -> Idf:
    """Read an IDF.

    Raises
    ------
    SourceAnswerInvalid
        If it has no investigation title, accession or SDRF file, so is something else.
    """
    tags: dict[str, list[str]] = {}
    for line in _lines(content, "IDF"):
        cells = _cells(line)
        kind, label = _split(cells[0])
        if kind:
            tag = f"{kind}[{label.lower()}]" if label else kind
            while len(cells) > 1 and not cells[-1]:
                cells.pop()
            tags.setdefault(tag, []).extend(cells[1:])
    if not tags.keys() & {"investigation title", "sdrf file", "comment[arrayexpressaccession]"}:
        raise SourceAnswerInvalid("This is not an IDF: it has none of the tags that one must have.")
    return Idf({tag: tuple(values) for tag, values in tags.items()})


def parse_sdrf(content: bytes) -> Sdrf:
    """Read an SDRF.

    Raises
    ------
    SourceAnswerInvalid
        If it has no column 'Source Name', so is something else, or is too large.
    """
    lines = _lines(content, "SDRF")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    columns = _columns(_cells(numbered[0][1])) if numbered else ()
    if not any(column.kind == "source name" for column in columns):
        raise SourceAnswerInvalid("This is not an SDRF: it has no column 'Source Name'.")
    rows, malformed = [], []
    for number, line in numbered[1:]:
        cells = _cells(line)
        if len(cells) == len(columns):
            rows.append(Row(number, _values(columns, cells)))
        else:
            malformed.append((number, cells[0][:200]))
    return Sdrf(columns, tuple(rows), tuple(malformed))


def _values(columns: Iterable[Column], cells: Iterable[str]) -> tuple[Value, ...]:
    paired = enumerate(zip(columns, cells, strict=True))
    return tuple(Value(n, column, text) for n, (column, text) in paired if text)


def _columns(headings: list[str]) -> tuple[Column, ...]:
    if len(headings) > MOST_COLUMNS:
        raise SourceAnswerInvalid(f"The SDRF has {len(headings)} columns.")
    columns: list[Column] = []
    described: int | None = None  # the last name, file or reference
    qualified: int | None = None  # the last column that a unit or term may belong to
    for number, heading in enumerate(headings):
        kind, label = _split(heading)
        if kind in _QUALIFIERS:
            of = qualified
        elif kind in _DESCRIBE:
            of, qualified = described, number
        else:
            of, described, qualified = None, number, number
        owner = headings[of] if of is not None else ""
        columns.append(Column(heading, kind, label, of, owner))
    return tuple(columns)


def _split(heading: str) -> tuple[str, str]:
    match = _HEADING.match(heading)
    if match is None:
        return " ".join(heading.lower().split()), ""
    kind = " ".join(match[1].lower().split())
    return {"factorvalue": "factor value", "parametervalue": "parameter value"}.get(
        kind, kind
    ), match[2] or ""


def _cells(line: str) -> list[str]:
    return [_unquoted(cell.strip()) for cell in line.split("\t")]


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"').strip() if quoted else cell


def _lines(content: bytes, what: str) -> list[str]:
    if len(content) > LARGEST:
        raise SourceAnswerInvalid(f"The {what} has {len(content)} bytes.")
    text = content.decode("utf-8-sig", errors=_AS_LATIN_1)
    lines = _LINE_END.split(text.replace("\0", ""))
    if len(lines) > MOST_ROWS:
        raise SourceAnswerInvalid(f"The {what} has {len(lines)} lines.")
    return lines


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_AS_LATIN_1, _as_latin_1)
