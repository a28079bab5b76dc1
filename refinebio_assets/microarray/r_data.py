"""Data frames out of files that R's `save()` wrote (.rda), and out of R source packages.

Only what a data frame of plain columns is made of is understood; functions, environments,
promises and byte code are refused, and nothing is ever executed. Time and memory are bounded
by the size of the content. Source: "R Internals", sections 1.1 and 1.8 (serialization, XDR,
versions 2 and 3). Not here: which frame means what (`brainarray`).
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probes import MOST_ROWS

_MOST_BYTES: Final = 1 << 29  # of a frame's serialization: about 6 million probes
_MOST_ARCHIVE_BYTES: Final = 1 << 31
_MOST_MEMBERS: Final = 10_000
_MOST_MEMORY: Final = 1 << 28  # of the xz decoder
_MOST_ITEMS: Final = 1000  # columns, attributes, objects of a file
_MOST_DEPTH: Final = 30
_DATA_MEMBER: Final = re.compile(r"[A-Za-z][A-Za-z0-9.]*/data/[A-Za-z][\w.]*\.(rda|RData)")
_XZ, _BZIP2 = b"\xfd7zXZ\0", b"BZh"
_DAMAGE: Final = (
    *(struct.error, zlib.error, lzma.LZMAError, tarfile.TarError),
    *(ValueError, TypeError, IndexError, OverflowError, EOFError, OSError),
)


def is_r_data(head: bytes) -> bool:
    """Whether a file whose (inflated) content begins so is saved R data or a tar archive."""
    return head.startswith((b"RDX", _XZ, _BZIP2)) or head[257:262] == b"ustar"


def read_frame(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of the first data frame that has them all.

    Parameters
    ----------
    path
        An .rda file (gzip, bzip2, xz or none), or an R source package (.tar.gz) with just
        one such file under `data/`.
    columns
        Their names.

    Returns
    -------
    pl.DataFrame
        In this order; text and factors are String, numbers Int64 or Float64, R's NA is null.

    Raises
    ------
    InvalidProbeAnnotation
        It is no such file, is cut or damaged, holds other things, or has no such frame.
    """
    try:
        if text_tables.head(path, 512)[257:262] == b"ustar":
            content = _member(path)
        else:
            content = text_tables.whole(path, _MOST_BYTES)
        for value in _Reader(_inflated(content)).read():
            by_name = _columns(value)
            if set(columns) <= by_name.keys():
                return _frame({name: by_name[name] for name in columns})
    except _DAMAGE as error:
        _refuse(path, f"cannot be read as R data: {error}.", error)
    except _NotPlainError as error:
        _refuse(path, f"holds something other than a plain data frame: {error}.", error)
    raise InvalidProbeAnnotation(
        f"{path.name} has no data frame with the columns {', '.join(columns)}."
    )


def _member(path: Path) -> bytes:
    """The one .rda file of an R package; nothing is written to disk."""
    found = None
    with tarfile.open(fileobj=_Stream(text_tables.content(path)), mode="r|") as archive:
        for number, member in enumerate(archive):
            if number == _MOST_MEMBERS:
                _refuse(path, f"has more than {_MOST_MEMBERS} files.")
            if not (member.isreg() and _DATA_MEMBER.fullmatch(member.name)):
                continue
            if found is not None:
                _refuse(path, "has more than one data set.")
            if member.size > _MOST_BYTES:
                _refuse(path, f"has a data set of {member.size} bytes.")
            file = archive.extractfile(member)
            found = file.read() if file else b""
    if found is None:
        _refuse(path, "is a tar archive without an R data set (data/*.rda).")
    return found


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file, to be read once from start to end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        given, self._rest = self._rest[:size], self._rest[size:]
        self._given += len(given)
        if self._given > _MOST_ARCHIVE_BYTES:
            raise ValueError(f"more than {_MOST_ARCHIVE_BYTES >> 20} MiB")
        return given


def _inflated(content: bytes) -> bytes:
    """What gzip, bzip2 or xz hold, or the bytes themselves."""
    if content.startswith(b"RDX"):
        return content
    if content.startswith(b"\x1f\x8b"):
        inflated = zlib.decompressobj(31).decompress(content, _MOST_BYTES + 1)
    elif content.startswith(_BZIP2):
        inflated = bz2.BZ2Decompressor().decompress(content, _MOST_BYTES + 1)
    elif content.startswith(_XZ):
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
        inflated = decoder.decompress(content, _MOST_BYTES + 1)
    else:
        raise ValueError("not what save() writes in binary form")
    if len(inflated) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB of R data")
    return inflated


# --- the serialization ----------------------------------------------------------------


class _NotPlainError(Exception):
    """An R object that a plain data frame does not hold."""


@dataclass(frozen=True)
class _Symbol:
    name: str


@dataclass(frozen=True)
class _Pairs:
    """A pairlist: its tags (None where it has none) and values."""

    tags: list[str | None]
    values: list[Any]


@dataclass(frozen=True)
class _Vector:
    """A vector: numbers as an array, text as a list of str and None, a list as a list of these."""

    values: Any
    attributes: _Pairs | None

    def texts(self, name: str) -> list[str]:
        """An attribute that is text without a gap, else nothing."""
        if self.attributes is None or name not in self.attributes.tags:
            return []
        values = _plain(self.attributes.values[self.attributes.tags.index(name)]).values
        is_text = isinstance(values, list) and all(isinstance(value, str) for value in values)
        return values if is_text else []


@dataclass(frozen=True)
class _Alternative:
    """A vector in one of R's compact forms ("ALTREP")."""

    kind: str
    state: Any
    attributes: _Pairs | None


_SYMBOL, _PAIRLIST, _CHARACTERS, _STRINGS, _LIST = 1, 2, 9, 16, 19
_NUMBERS: Final = {10: ">i4", 13: ">i4", 14: ">f8"}  # logical, integer, real
_ALTERNATIVE, _NIL, _REFERENCE = 238, 254, 255
_NULL = 0


class _Reader:
    """Reads one file; `read` gives the values of its objects."""

    def __init__(self, data: bytes) -> None:
        if data[:5] not in (b"RDX2\n", b"RDX3\n") or data[5:7] != b"X\n":
            raise ValueError("not the binary form of version 2 or 3")
        self._data = data
        self._text = data.decode("latin-1")
        self._at = 7
        self._symbols: list[_Symbol] = []
        version = self._integer()
        self._at += 8  # the versions of R that wrote it and that can read it
        if version == 3:
            size = self._size()  # of the name of the encoding
            self._at += size

    def read(self) -> list[_Vector]:
        top = self._item(0)
        if not isinstance(top, _Pairs):
            raise _NotPlainError("no list of objects")
        return [_plain(value) for value in top.values]

    def _integer(self) -> int:
        value: int
        (value,) = struct.unpack_from(">i", self._data, self._at)
        self._at += 4
        return value

    def _size(self) -> int:
        size = self._integer()
        if size < 0 or size > len(self._data) - self._at:
            raise ValueError(f"a size of {size}")
        return size

    def _item(self, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise _NotPlainError("objects within objects")
        flags = self._integer()
        kind = flags & 0xFF
        if kind in (_NIL, _NULL):
            return None
        if kind == _REFERENCE:
            number = flags >> 8 or self._integer()
            if not 0 < number <= len(self._symbols):
                raise ValueError(f"a reference to symbol {number}")
            return self._symbols[number - 1]
        if kind == _SYMBOL:
            name = self._item(depth + 1)
            self._symbols.append(_Symbol(name if isinstance(name, str) else ""))
            return self._symbols[-1]
        if kind == _PAIRLIST:
            return self._pairlist(flags, depth)
        if kind == _CHARACTERS:
            return self._characters()
        if kind == _ALTERNATIVE:
            about, state, attributes = (self._item(depth + 1) for _ in range(3))
            names = about.values if isinstance(about, _Pairs) else [None]
            name = names[0].name if isinstance(names[0], _Symbol) else "?"
            return _Alternative(name, state, attributes if isinstance(attributes, _Pairs) else None)
        values = self._values(kind, depth)
        attributes = self._item(depth + 1) if flags & 0x200 else None
        return _Vector(values, attributes if isinstance(attributes, _Pairs) else None)

    def _values(self, kind: int, depth: int) -> Any:
        if kind in _NUMBERS:
            length = self._size()
            numbers = np.frombuffer(self._data, _NUMBERS[kind], length, self._at)
            self._at += numbers.nbytes
            return numbers
        if kind == _STRINGS:
            return self._strings(self._size())
        if kind == _LIST:
            length = self._size()
            if length > _MOST_ITEMS:
                raise _NotPlainError(f"a list of {length} elements")
            return [self._item(depth + 1) for _ in range(length)]
        raise _NotPlainError(f"an object of type {kind}")

    def _strings(self, length: int) -> list[str | None]:
        text, at, head = self._text, self._at, struct.Struct(">ii")
        found: list[str | None] = []
        for _ in range(length):
            flags, size = head.unpack_from(self._data, at)
            at += 8
            if flags & 0xFF != _CHARACTERS or size < -1 or size > len(text) - at:
                raise ValueError(f"a string of {size} bytes")
            if size < 0:
                found.append(None)
            else:
                found.append(text[at : at + size])
                at += size
        self._at = at
        return found

    def _characters(self) -> str | None:
        if (size := self._integer()) == -1:
            return None
        if size < 0 or size > len(self._text) - self._at:
            raise ValueError(f"a string of {size} bytes")
        self._at += size
        return self._text[self._at - size : self._at]

    def _pairlist(self, flags: int, depth: int) -> _Pairs:
        """R writes a pairlist as value and rest; the rest is another one, or nothing."""
        pairs = _Pairs([], [])
        while True:
            if flags & 0x200:
                self._item(depth + 1)  # attributes of the pairlist itself
            tag = self._item(depth + 1) if flags & 0x400 else None
            pairs.tags.append(tag.name if isinstance(tag, _Symbol) else None)
            pairs.values.append(self._item(depth + 1))
            if len(pairs.values) > _MOST_ITEMS:
                raise _NotPlainError(f"a list of more than {_MOST_ITEMS} elements")
            (flags,) = struct.unpack_from(">i", self._data, self._at)
            if flags & 0xFF != _PAIRLIST:
                self._item(depth + 1)  # nothing, or the second half of a lone pair
                return pairs
            self._at += 4


def _plain(value: Any) -> _Vector:
    """A vector in its usual form; one of no values for anything else."""
    if isinstance(value, _Alternative):
        state = value.state
        if value.kind.startswith("wrap_"):
            inner = state.values[0] if isinstance(state, _Pairs | _Vector) else None
            return _Vector(_plain(inner).values, value.attributes)
        if value.kind == "compact_intseq" and isinstance(state, _Vector) and len(state.values) == 3:
            number, start, step = (int(part) for part in state.values)
            if not 0 <= number <= MOST_ROWS or abs(step) != 1 or abs(start) > 1 << 31:
                raise ValueError(f"a sequence of {number} numbers")
            return _Vector(start + step * np.arange(number), value.attributes)
        raise _NotPlainError(f"a vector of kind {value.kind}")
    return value if isinstance(value, _Vector) else _Vector([], None)


def _columns(value: _Vector) -> dict[str, Any]:
    """The elements of a named list, by name; of anything else, nothing."""
    names = value.texts("names")
    if not isinstance(value.values, list) or len(names) != len(value.values):
        return {}
    return dict(zip(names, value.values, strict=True))


def _frame(columns: dict[str, Any]) -> pl.DataFrame:
    series = [_series(name, _plain(value)) for name, value in columns.items()]
    if len({len(each) for each in series}) > 1:
        raise ValueError("columns of unequal length")
    return pl.DataFrame(series)


def _series(name: str, vector: _Vector) -> pl.Series:
    values = vector.values
    if isinstance(values, list):
        if not all(value is None or isinstance(value, str) for value in values):
            raise ValueError(f"{name} is a list")
        return pl.Series(name, values, dtype=pl.String)
    if values.dtype.kind == "f":
        return pl.Series(name, values.astype(np.float64), nan_to_null=True)
    numbers: NDArray[np.int64] = values.astype(np.int64)
    missing = numbers == -(1 << 31)
    levels = vector.texts("levels")
    if levels:
        if ((numbers < 1) | (numbers > len(levels)))[~missing].any():
            raise ValueError(f"{name} has a level that is not there")
        names = pl.Series(name, levels, dtype=pl.String)
        return names.gather(pl.Series(np.where(missing, 0, numbers - 1))).set(
            pl.Series(missing), None
        )
    return pl.Series(name, numbers).set(pl.Series(missing), None)


def _refuse(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidProbeAnnotation(f"{path.name} {why}") from cause
