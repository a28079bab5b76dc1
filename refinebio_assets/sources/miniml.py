"""GEO's MINiML: the family archive, whose tables hold submitter-processed values.

`GSE…_family.xml.tgz` holds one XML document and one headerless table per sample
(`GSM…-tbl-1.txt`); the columns' names are in the XML alone. Both are read as they arrive,
within bounds; a document with a DTD, and so with entities, is refused. Not here: what the
values mean.
"""

from __future__ import annotations

import codecs
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.parsers import expat

from refinebio_assets.errors import SourceAnswerInvalid
from refinebio_assets.sources.soft import LARGEST_ENTITY, Entity, Readable, pieces_of

LARGEST_TABLE = 2 << 30
LARGEST_FAMILY = 64 << 30
MOST_MEMBERS = MOST_RECORDS = 500_000
DEEPEST = 32

_HEADERS = 16 << 20  # what tarfile may read to find the next member
_PIECE = 1 << 20
_TABLE = re.compile(r"((?:GSM|GPL)[1-9][0-9]{0,9})-tbl-1\.txt\Z")
_LATIN1 = "refinebio_assets.latin1"


@dataclass(frozen=True)
class SampleTable:
    """A sample's table: tab-separated, no header; `columns` as the submitter named them."""

    columns: tuple[str, ...]
    path: Path
    rows: int


@dataclass(frozen=True)
class Family:
    """What a family archive holds: the records, and the tables by accession."""

    records: tuple[Entity, ...]
    tables: Mapping[str, SampleTable]


def extract_family(
    archive: Readable, folder: Path, wanted: Collection[str] | None = None
) -> Family:
    """Read a family archive and write the tables of `wanted` into an existing folder.

    Parameters
    ----------
    archive
        `GSE…_family.xml.tgz`, open; read once, from here to its end.
    folder
        Gets `GSM….txt` for each table.
    wanted
        Accessions, GSM or GPL; all samples if None.

    Raises
    ------
    SourceAnswerInvalid
        No family archive, damaged or cut, or beyond the bounds of this module.
    OSError
        The folder cannot be written.
    """
    records: list[Entity] | None = None
    written: dict[str, tuple[Path, int]] = {}
    try:
        for name, content in _members(_Stream(archive)):
            table = _TABLE.match(name)
            if name.endswith("_family.xml") and records is None:
                records = list(read_miniml(content))
            elif table and table[1] not in written and _is_wanted(table[1], wanted):
                path = folder / f"{table[1]}.txt"
                written[table[1]] = path, _write(content, path)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise SourceAnswerInvalid(f"The archive is damaged: {error}.") from None
    if records is None:
        raise SourceAnswerInvalid("The archive holds no MINiML document.")
    columns = {record.name: record.columns for record in records}
    return Family(
        tuple(records),
        {
            name: SampleTable(columns.get(name, ()), path, rows)
            for name, (path, rows) in written.items()
        },
    )


def read_miniml(document: Readable) -> Iterator[Entity]:
    """The records of a MINiML document, plain or gzip, each as soon as it is whole.

    Keys are the paths of the elements in lower case, with '@' before an attribute's name:
    'channel/organism', 'channel/organism@taxid', 'platform-ref@ref'. Tables inside the
    document are passed over.

    Raises
    ------
    SourceAnswerInvalid
        Not MINiML, cut, with a DTD, or beyond the bounds of this module.
    """
    reader = _Reader()
    decoder = codecs.getincrementaldecoder("utf-8")(_LATIN1)
    for piece in pieces_of(document):
        yield from reader.read(decoder.decode(piece))
    yield from reader.read(decoder.decode(b"", True), last=True)


class _Reader:
    """Builds records from what expat finds."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._path: list[str] = []
        self._whole: list[Entity] = []
        self._begun = 0

    def read(self, text: str, *, last: bool = False) -> list[Entity]:
        """The records that end in this piece of the document."""
        try:
            self._parser.Parse(text, last)
        except expat.ExpatError as error:
            raise SourceAnswerInvalid(f"The MINiML document is not XML: {error}.") from None
        whole, self._whole = self._whole, []
        return whole

    def _doctype(self, name: str, *_: object) -> None:
        raise SourceAnswerInvalid(f"The document declares the type {name[:40]!r}: not MINiML.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        depth = len(self._path)
        if depth >= DEEPEST:
            raise SourceAnswerInvalid("The MINiML document is nested too deeply.")
        if depth == 0 and tag != "MINiML":
            raise SourceAnswerInvalid(f"The document is {tag[:40]!r}, not MINiML.")
        if depth == 1:
            self._begun += 1
            if self._begun > MOST_RECORDS:
                raise SourceAnswerInvalid(f"The document has more than {MOST_RECORDS} records.")
            self._name = attributes.get("iid", "")
            self._attributes: list[tuple[str, str]] = []
            self._columns: list[str] = []
            self._rows = self._size = 0
        self._path.append(tag.lower())
        self._texts: list[str] = []
        if tag in ("External-Data", "Internal-Data"):
            rows = attributes.get("rows", "")
            self._rows = int(rows) if re.fullmatch(r"[0-9]{1,12}", rows) else 0
        if depth > 1:
            key = "/".join(self._path[2:])
            for name, value in attributes.items():
                self._add(f"{key}@{name.lower()}", value)

    def _characters(self, text: str) -> None:
        if len(self._path) > 1 and self._path[-1] != "internal-data":
            self._grow(len(text))
            self._texts.append(text)

    def _end(self, tag: str) -> None:
        text = "".join(self._texts).strip()
        self._texts = []
        if len(self._path) == 2:
            self._whole.append(
                Entity(
                    self._path[1].upper(),
                    self._name,
                    tuple(self._attributes),
                    tuple(self._columns),
                    self._rows,
                )
            )
        elif text:
            key = "/".join(self._path[2:])
            self._add(key, text)
            if key == "data-table/column/name":
                self._columns.append(text)
        self._path.pop()

    def _add(self, key: str, value: str) -> None:
        self._grow(len(value) + 100)
        self._attributes.append((key, value))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_ENTITY:
            raise SourceAnswerInvalid(f"{self._name} has more than {LARGEST_ENTITY >> 20} MiB.")


# --- the archive ----------------------------------------------------------------------


class _Stream:
    """The unpacked archive; reading on past what is allowed is an error."""

    def __init__(self, archive: Readable) -> None:
        self._pieces, self._rest = pieces_of(archive), b""
        self._allowed, self._left = 0, LARGEST_FAMILY

    def allow(self, size: int) -> None:
        self._allowed = size

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        self._allowed -= len(data)
        self._left -= len(data)
        if self._allowed < 0 or self._left < 0:
            raise SourceAnswerInvalid("The archive is larger than any family of GEO.")
        return data


def _members(stream: _Stream) -> Iterator[tuple[str, IO[bytes]]]:
    """Name, without folders, and content of each file; what is left of one is passed over."""
    stream.allow(_HEADERS)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as archive:  # type: ignore[call-overload]
        for _ in range(MOST_MEMBERS):
            stream.allow(_HEADERS)
            member = archive.next()
            if member is None:
                return
            archive.members = []  # or it keeps them all
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if member.size > LARGEST_TABLE:
                raise SourceAnswerInvalid(f"{member.name[:80]!r} in the archive is too large.")
            stream.allow(member.size + _HEADERS)
            yield member.name.rpartition("/")[2], content
            while content.read(_PIECE):
                pass
    raise SourceAnswerInvalid(f"The archive has more than {MOST_MEMBERS} files.")


def _is_wanted(accession: str, wanted: Collection[str] | None) -> bool:
    return accession.startswith("GSM") if wanted is None else accession in wanted


def _write(content: IO[bytes], path: Path) -> int:
    """Copy a table; return its number of lines."""
    rows, last = 0, b"\n"
    with path.open("wb") as file:
        while piece := content.read(_PIECE):
            file.write(piece)
            rows += piece.count(b"\n")
            last = piece[-1:]
    return rows + (last != b"\n")


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LATIN1, _as_latin1)
