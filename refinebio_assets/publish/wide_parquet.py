"""A matrix as Parquet: a column of genes, and one of each sample.

All genes are one row group, so that a sample's column is in one piece and is written from
that sample alone. The writers at hand hold a row group of all samples, or, where it is cut
small, a footer that outgrows it. Values are plain float32, neither compressed (a fifth at
most could be saved) nor optional: a missing one is NaN.

Source: parquet.thrift of Apache Parquet's format 2, and Thrift's compact protocol. Not
here: which values these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import polars as pl

from refinebio_assets.publish.disk_matrix import Values

GENE: Final = "Gene"

_MAGIC: Final = b"PAR1"
_FLOAT, _BYTE_ARRAY = 4, 6  # types of columns
_PLAIN, _RLE = 0, 3  # encodings
_REQUIRED = _UTF8 = _UNCOMPRESSED = _DATA_PAGE = 0
_FORMAT: Final = 2


def write_wide_parquet(path: Path, genes: pl.Series, samples: Iterable[tuple[str, Values]]) -> None:
    """Write a matrix, holding one sample at a time, and some 300 bytes of each.

    Parameters
    ----------
    genes
        (g,) String, none missing.
    samples
        Name and values, (g,); each name once, and none of them `GENE`.
    """
    names = b"".join(
        len(name).to_bytes(4, "little") + name for name in map(str.encode, genes.to_list())
    )
    string = {1: _i32(_BYTE_ARRAY), 6: _i32(_UTF8), 10: _struct({1: _struct({})})}
    columns: list[_Encoded] = []
    fields: list[_Encoded] = []
    with path.open("wb") as file:
        file.write(_MAGIC)
        columns.append(_write_column(file, GENE, _BYTE_ARRAY, names, len(genes)))
        fields.append(_field(GENE, string))
        for name, values in samples:
            if len(values) != len(genes):
                raise ValueError(f"{name} has {len(values)} values of {len(genes)} genes.")
            content = values.astype("<f4").tobytes()
            columns.append(_write_column(file, name, _FLOAT, content, len(genes)))
            fields.append(_field(name, {1: _i32(_FLOAT)}))
        row_group = {1: _list(columns), 2: _i64(file.tell() - len(_MAGIC)), 3: _i64(len(genes))}
        root = _struct({4: _text("schema"), 5: _i32(len(fields))})
        footer = _struct(
            {
                1: _i32(_FORMAT),
                2: _list([root, *fields]),
                3: _i64(len(genes)),
                4: _list([_struct(row_group)]),
                6: _text("refinebio_assets"),
            }
        )
        file.write(footer.content + len(footer.content).to_bytes(4, "little") + _MAGIC)


def _field(name: str, more: Mapping[int, _Encoded]) -> _Encoded:
    return _struct({3: _i32(_REQUIRED), 4: _text(name), **more})


def _write_column(file: BinaryIO, name: str, kind: int, content: bytes, rows: int) -> _Encoded:
    """Write a column's only page; return its entry in the footer."""
    page = {1: _i32(rows), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)}
    header = _struct(
        {1: _i32(_DATA_PAGE), 2: _i32(len(content)), 3: _i32(len(content)), 5: _struct(page)}
    ).content
    start, size = file.tell(), len(header) + len(content)
    file.write(header)
    file.write(content)
    column = {
        1: _i32(kind),
        2: _list([_i32(_PLAIN), _i32(_RLE)]),
        3: _list([_text(name)]),
        4: _i32(_UNCOMPRESSED),
        5: _i64(rows),
        6: _i64(size),
        7: _i64(size),
        9: _i64(start),
    }
    return _struct({2: _i64(0), 3: _struct(column)})


# --- Thrift's compact protocol --------------------------------------------------------


class _Encoded(NamedTuple):
    type: int
    content: bytes


def _i32(number: int) -> _Encoded:
    return _Encoded(5, _varint(2 * number))  # zigzag of what is not negative


def _i64(number: int) -> _Encoded:
    return _Encoded(6, _varint(2 * number))


def _text(text: str) -> _Encoded:
    content = text.encode()
    return _Encoded(8, _varint(len(content)) + content)


def _list(items: Sequence[_Encoded]) -> _Encoded:
    head = bytes([0xF0 | items[0].type]) + _varint(len(items))
    return _Encoded(9, head + b"".join(item.content for item in items))


def _struct(fields: Mapping[int, _Encoded]) -> _Encoded:
    content, before = bytearray(), 0
    for number in sorted(fields):
        content.append(number - before << 4 | fields[number].type)
        content += fields[number].content
        before = number
    return _Encoded(12, bytes(content) + b"\0")


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    content.append(number)
    return bytes(content)
