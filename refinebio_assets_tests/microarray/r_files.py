"""Data frames as R's `save()` writes them, without R: XDR, version 2 or 3."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence


def r_data(name: str, columns: Mapping[str, Sequence[str | int | None]], version: int = 3) -> bytes:
    """An uncompressed .rda file that holds one data frame."""
    names = list(columns)
    height = len(columns[names[0]])
    vectors = b"".join(_vector(list(column)) for column in columns.values())
    attributes = (
        _pair("names", _vector(names))
        + _pair("class", _vector(["data.frame"]))
        + _pair("row.names", _vector([None, -height]))
        + _int(254)
    )
    frame = _int(19 | 0x300) + _int(len(names)) + vectors + attributes
    encoding = _int(5) + b"UTF-8" if version == 3 else b""
    header = f"RDX{version}\nX\n".encode() + _int(version) + _int(0x40202) + _int(0x20300)
    return header + encoding + _pair(name, frame) + _int(254)


def _int(number: int) -> bytes:
    return struct.pack(">i", number)


def _text(text: str | None) -> bytes:
    if text is None:
        return _int(9) + _int(-1)
    content = text.encode()
    return _int(9 | 0x40000) + _int(len(content)) + content


def _pair(tag: str, value: bytes) -> bytes:
    return _int(2 | 0x400) + _int(1) + _text(tag) + value


def _vector(values: list[str | int | None]) -> bytes:
    if any(isinstance(value, str) for value in values):
        texts = [value if isinstance(value, str) else None for value in values]
        return _int(16) + _int(len(values)) + b"".join(map(_text, texts))
    numbers = [value if isinstance(value, int) else -(1 << 31) for value in values]
    return _int(13) + _int(len(values)) + b"".join(map(_int, numbers))
