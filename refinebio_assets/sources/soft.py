"""GEO's SOFT text, read as it arrives: each record with its keys in order, its table counted.

Memory holds one entity's keys and one line. Tags in lower case, CRLF, Latin-1 bytes, gzip
under any name and values that run over several lines are all met in GEO and read. Not
here: what the keys mean (`refinebio_assets.sources.geo`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast, runtime_checkable

from refinebio_assets.compression import DamagedGzip, inflated, is_gzip
from refinebio_assets.errors import (
    AccessionAbsent,
    RefinebioError,
    SourceAnswerInvalid,
    SourceUnavailable,
)

Lines = Iterable[bytes | str]

LONGEST_LINE = 64 << 20
LARGEST_ENTITY = 64 << 20
LARGEST_PAGE = 64 << 10

_PIECE = 1 << 20
_ENTITY = re.compile(r"\^\s*(\w+)\s*(?:=\s*(.*))?\Z", re.DOTALL)
_BLANK = re.compile(rb"\n\r?(?=\n)")
_TABLE = re.compile(rb"!(?:\w+_)?table_(begin|end)\s*\Z", re.IGNORECASE)
_ABSENT = re.compile(
    r"could not find a public or private accession|is currently private|was deleted by",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"maintenance|temporarily unavailable|try again|server encountered|service unavailable",
    re.IGNORECASE,
)


@runtime_checkable
class Readable(Protocol):
    """An open file, or what the network gives."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Entity:
    """One record: `kind` upper case; keys lower case without the kind, as often as given.

    `columns` are those of its table, `rows` the rows that follow the table's header.
    """

    kind: str
    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: int = 0

    def values(self, key: str) -> list[str]:
        """Every non-empty value of a key, in order."""
        return [value for name, value in self.attributes if name == key and value]

    def first(self, key: str) -> str | None:
        """The first non-empty value of a key."""
        return next(iter(self.values(key)), None)


def read_soft(
    document: Readable | Lines,
    *,
    rows_of: str | None = None,
    on_row: Callable[[list[str]], None] | None = None,
) -> Iterator[Entity]:
    """The entities of a SOFT document, each as soon as it is whole.

    Parameters
    ----------
    document
        An open file or answer, gunzipped where it is gzip, or lines with or without ends.
    rows_of, on_row
        `on_row` is given the cells of each line of the table of the entity of this name,
        the header first.

    Raises
    ------
    AccessionAbsent
        It is a web page that says there is no such public record.
    SourceUnavailable
        It is a web page about an outage.
    SourceAnswerInvalid
        It is something else, damaged, ends inside a table, or is beyond the bounds of this
        module.
    """
    text = _Text(pieces_of(document) if isinstance(document, Readable) else _lines(document))
    reader = None
    while (line := text.line()) is not None:
        if line[:1] == b"^":
            if reader:
                yield reader.entity()
            reader = _Reader(_decoded(line))
        elif reader is None:
            if line.strip():
                raise _not_soft(line, text)
        elif (tag := _TABLE.match(line)) and tag[1].lower() == b"begin":
            reader.table(text, on_row if reader.name == rows_of else None)
        else:
            reader.line(line)
    if reader is None:
        raise SourceAnswerInvalid("The SOFT text is empty.")
    yield reader.entity()


class _Reader:
    """The entity that is being read."""

    def __init__(self, line: str) -> None:
        found = _ENTITY.match(line)
        if not found:
            raise SourceAnswerInvalid(f"{line[:80]!r} does not begin a SOFT record.")
        self.kind, self.name = found[1].upper(), (found[2] or "").strip()
        self._prefix = f"{self.kind}_"
        self._attributes: list[tuple[str, str]] = []
        self._described: list[str] = []
        self._header: list[str] = []
        self._rows = self._size = 0

    def line(self, line: bytes) -> None:
        self._size += len(line) + 100  # about what Python adds
        if self._size > LARGEST_ENTITY:
            raise SourceAnswerInvalid(f"{self.name} has more than {LARGEST_ENTITY >> 20} MiB.")
        text = _decoded(line)
        if text[:1] == "!":
            key, _, value = text[1:].partition("=")
            key = key.strip()
            if key.upper().startswith(self._prefix):
                key = key[len(self._prefix) :]
            self._attributes.append((key.lower(), value.strip()))
        elif text[:1] == "#":
            self._described.append(text[1:].partition("=")[0].strip())
        elif text.strip() and self._attributes:
            key, value = self._attributes[-1]
            if len(value) < _PIECE:  # a value that runs on; growing it for ever is quadratic
                self._attributes[-1] = (key, f"{value} {text.strip()}".strip())

    def table(self, text: _Text, on_row: Callable[[list[str]], None] | None) -> None:
        """Read the lines up to the table's end."""
        header = True
        while True:
            if not header and not on_row:
                self._rows += text.skip_rows()
            line = text.line()
            if line is None or line[:1] == b"^":
                raise SourceAnswerInvalid(f"The SOFT text ends inside the table of {self.name}.")
            if line[:1] == b"!" and _TABLE.match(line):
                return
            if not line:
                continue
            cells = _decoded(line).split("\t") if header or on_row else []
            if header:
                self._header = [cell.strip() for cell in cells]
            else:
                self._rows += 1
            if on_row:
                on_row(cells)
            header = False

    def entity(self) -> Entity:
        columns = tuple(self._header or self._described)
        return Entity(self.kind, self.name, tuple(self._attributes), columns, self._rows)


class _Text:
    """Lines of a text that comes in pieces; `_at` is the line feed before the next line."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._buffer, self._at = pieces, b"\n", 0
        self._fill()
        self._buffer = b"\n" + self._buffer[1:].removeprefix(b"\xef\xbb\xbf")

    def _fill(self) -> bool:
        piece = next(self._pieces, b"")
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)

    def line(self) -> bytes | None:
        """The next line without its end, or None at the end of the text."""
        searched = self._at + 1
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer) - self._at
            if searched > LONGEST_LINE:
                break
            if not self._fill():
                end = len(self._buffer)
                if end <= 1:
                    return None
                break
        if end < 0 or end - self._at > LONGEST_LINE:
            raise SourceAnswerInvalid(f"A line is longer than {LONGEST_LINE >> 20} MiB.")
        line, self._at = self._buffer[self._at + 1 : end], end
        return line.rstrip(b"\r")

    def skip_rows(self) -> int:
        """Pass over the whole lines before the next tag; how many of them are not blank."""
        rows = 0
        while True:
            tag = self._buffer.find(b"\n!", self._at)
            stop = tag if tag >= 0 else max(self._buffer.rfind(b"\n"), self._at)
            entity = self._buffer.find(b"\n^", self._at, stop + 2)
            if entity >= 0:
                stop = entity
            rows += self._buffer.count(b"\n", self._at, stop)
            rows -= len(_BLANK.findall(self._buffer, self._at, stop + 1))
            self._at = stop
            if tag >= 0 or entity >= 0 or len(self._buffer) - stop > _PIECE or not self._fill():
                return rows


def _lines(lines: Lines) -> Iterator[bytes]:
    for line in lines:
        raw = line.encode("utf-8", "replace") if isinstance(line, str) else line
        yield raw if raw.endswith(b"\n") else raw + b"\n"


def pieces_of(file: Readable) -> Iterator[bytes]:
    """The content in pieces of about 1 MiB, gunzipped where it is gzip.

    Raises
    ------
    SourceAnswerInvalid
        Damaged or cut gzip.
    """
    piece = file.read(_PIECE)
    while 0 < len(piece) < 2 and (more := file.read(_PIECE)):
        piece += more
    if is_gzip(piece):
        try:
            yield from inflated(cast("BinaryIO", file), piece)
        except DamagedGzip as error:
            raise SourceAnswerInvalid(f"The answer is damaged: {error}.") from None
        return
    while piece:
        yield piece
        piece = file.read(_PIECE)


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _not_soft(first: bytes, text: _Text) -> RefinebioError:
    """What to say of a document that does not begin with a record."""
    page = first[:LARGEST_PAGE]
    while len(page) < LARGEST_PAGE and (line := text.line()) is not None:
        page += b"\n" + line
    shown = html.unescape(re.sub(r"<[^<>]*>", " ", _decoded(page[:LARGEST_PAGE])))
    words = " ".join(shown.split())
    absent = _ABSENT.search(words)
    if absent:
        return AccessionAbsent(
            f"GEO says: …{words[max(0, absent.start() - 60) : absent.end() + 80]}…"
        )
    if _DOWN.search(words):
        return SourceUnavailable(f"GEO says: {words[:200]}")
    what = "a web page" if first.lstrip()[:1] == b"<" else "no SOFT text"
    return SourceAnswerInvalid(f"GEO answered with {what}: {words[:200]!r}.")
