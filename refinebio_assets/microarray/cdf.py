"""Affymetrix's chip description file (CDF): which cell is a perfect match of which probe set.

Text (versions GC3.0 and later) and binary (XDA, version 1), both as Affymetrix's "CDF Data
File Format" describes them. A cell is a perfect match where the probe's base at the
interrogated position is the complement of the target's. Not here: sequences, which a CDF
does not have.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probes import MOST_COORDINATE, MOST_ROWS, ProbeTable, probe_table

_MAGIC: Final = struct.pack("<i", 67)
_MOST_BYTES: Final = 1 << 30

# The layout of XDA, packed and little-endian.
_HEADER: Final = struct.Struct("<iiHHiii")  # magic, version, columns, rows, units, QC units, text
_UNIT: Final = struct.Struct(
    "<HBiiiiB"
)  # type, direction, atoms, blocks, cells, number, cells/atom
_BLOCK: Final = struct.Struct("<iiBBii64s")  # atoms, cells, cells/atom, direction, from, to, name
_CELL: Final = np.dtype(
    [
        ("atom", "<i4"),
        ("x", "<u2"),
        ("y", "<u2"),
        ("index", "<i4"),
        ("probe", "S1"),
        ("target", "S1"),
    ]
)
_NAME_BYTES: Final = 64

_COMPLEMENT: Final = {"A": "T", "C": "G", "G": "C", "T": "A"}
_CELL_LINE: Final = r"^Cell[0-9]+=(.*)$"


@dataclass(frozen=True)
class ChipDescription:
    """The perfect-match cells of a chip.

    Attributes
    ----------
    columns, rows
        Of the chip.
    cells
        `x`, `y` (Int32, zero-based) and `probe_set` (String); a row for each perfect-match
        cell of a probe set, in the order of the file.
    """

    columns: int
    rows: int
    cells: pl.DataFrame


def is_cdf(head: bytes) -> bool:
    """Whether a file whose (inflated) content begins so is a CDF."""
    return head.startswith(_MAGIC) or head.lstrip().startswith(b"[CDF]")


def read_cdf(path: Path) -> ChipDescription:
    """Read a CDF, text or binary, plain or gzip.

    Raises
    ------
    InvalidProbeAnnotation
        It is not a CDF, is cut, contradicts itself, or is binary of another version than 1.
    """
    head = text_tables.head(path, 16)
    if not is_cdf(head):
        _refuse(path, "is not a CDF.")
    chip = _read_binary(path) if head.startswith(_MAGIC) else _read_text(path)
    if chip.cells.is_empty():
        _refuse(path, "has no perfect-match cell.")
    outside = chip.cells.filter((pl.col("x") >= chip.columns) | (pl.col("y") >= chip.rows))
    if len(outside):
        x, y, probe_set = outside.row(0)
        _refuse(path, f"has x = {x}, y = {y} in {probe_set}, which lies outside of the chip.")
    return chip


@dataclass(frozen=True)
class Completed:
    """Probes whose cells are those of a chip description.

    `without_sequence` perfect-match cells of the chip had no probe in the table, and are left
    out; `not_on_chip` probes of the table lay in other cells.
    """

    probes: ProbeTable
    without_sequence: int
    not_on_chip: int


def complete(source: str, sequences: ProbeTable, chip: ChipDescription) -> Completed:
    """The perfect-match cells of a chip with the sequences of a table; probe sets as in the CDF.

    Raises
    ------
    InvalidProbeAnnotation
        No cell of the chip has a sequence.
    """
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[sequences.sequence]
    spelt = pl.DataFrame(
        {
            "x": sequences.x,
            "y": sequences.y,
            "sequence": letters.view(f"S{letters.shape[1]}").ravel().astype(str),
        }
    ).unique()
    cells = chip.cells.unique()
    joined = cells.join(spelt, on=["x", "y"], how="left")
    placed = cells.select("x", "y").unique()
    return Completed(
        probe_table(source, joined.drop_nulls("sequence"), chip.columns),
        without_sequence=joined.filter(pl.col("sequence").is_null()).select("x", "y").n_unique(),
        not_on_chip=len(spelt.join(placed, on=["x", "y"], how="anti")),
    )


# --- text -----------------------------------------------------------------------------


def _read_text(path: Path) -> ChipDescription:
    chip: dict[str, int] = {}
    found: list[pl.DataFrame] = []
    section = name = ""
    layout: tuple[int, ...] = ()
    units = expected = cells = 0
    for block in text_tables.blocks(path):
        if not layout:
            layout = _cell_columns(block.text)
        if not chip:
            chip = _chip_section(path, block.text)
        table = text_tables.split(block.text, (0, *layout), "\t")
        line = pl.col("0").str.strip_chars_end().fill_null("")
        table = table.with_columns(
            line=line,
            section=pl.when(line.str.starts_with("[")).then(line),
            name=pl.when(line.str.starts_with("["))
            .then(pl.lit(""))
            .when(line.str.starts_with("Name="))
            .then(line.str.strip_prefix("Name=")),
        ).with_columns(
            section=pl.col("section").forward_fill().fill_null(section),
            name=pl.col("name").forward_fill().fill_null(name),
        )
        section, name = table.row(-1)[-2:]
        units += table.select(pl.col("line").str.contains(r"^\[Unit[0-9]+\]$").sum()).item()
        inside = table.with_row_index("row", offset=block.first_line).filter(
            pl.col("section").str.contains(r"^\[Unit[0-9]+_Block[0-9]+\]$")
        )
        stated = inside.select(
            pl.col("line").str.extract(r"^NumCells=([0-9]+)$").cast(pl.Int64, strict=False).sum()
        ).item()
        expected += stated or 0
        rows = inside.filter(pl.col("line").str.contains(_CELL_LINE))
        cells += len(rows)
        if len(rows) and not layout:
            _refuse(path, f"has a cell in line {rows['row'][0]} before any CellHeader.")
        if cells > MOST_ROWS:
            _refuse(path, f"has more than {MOST_ROWS} cells.")
        if len(rows):
            found.append(_perfect_matches(path, rows))
    if not chip:
        _refuse(path, "has no section [Chip] with Rows, Cols and NumberOfUnits.")
    if units != chip["NumberOfUnits"] or cells != expected:
        _refuse(
            path,
            f"is cut: it has {units} of {chip['NumberOfUnits']} units, "
            f"{cells} of {expected} cells.",
        )
    return ChipDescription(chip["Cols"], chip["Rows"], pl.concat(found) if found else _no_cells())


def _chip_section(path: Path, text: bytes) -> dict[str, int]:
    start = text.find(b"[Chip]")
    if start < 0:
        return {}
    end = text.find(b"\n[", start)
    lines = text[start : end if end >= 0 else None].decode("utf-8", "replace").splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    chip = {}
    for key in ("Rows", "Cols", "NumberOfUnits"):
        value = values.get(key, "").strip()
        if not re.fullmatch("[0-9]{1,9}", value):
            _refuse(path, f"states {key} as {value!r}.")
        chip[key] = int(value)
    if not (0 < chip["Rows"] <= MOST_COORDINATE + 1 and 0 < chip["Cols"] <= MOST_COORDINATE + 1):
        _refuse(path, f"states {chip['Cols']} columns and {chip['Rows']} rows.")
    return chip


def _cell_columns(text: bytes) -> tuple[int, ...]:
    """Where y and the bases of probe and target stand in the cells of units; x stands first."""
    for match in re.finditer(rb"^CellHeader=(.*)$", text, re.MULTILINE):
        names = match[1].decode("utf-8", "replace").strip().upper().split("\t")
        if names[0] == "X" and {"Y", "PBASE", "TBASE"} <= set(names):
            return tuple(names.index(name) for name in ("Y", "PBASE", "TBASE"))
    return ()


def _perfect_matches(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    base, target = (pl.col(name).str.strip_chars().str.to_uppercase() for name in "23")
    typed = rows.with_columns(x=pl.col("line").str.extract(_CELL_LINE)).select(
        "row",
        text_tables.coordinate("x").alias("x"),
        text_tables.coordinate("1").alias("y"),
        pl.when(pl.col("name") != "").then("name").alias("probe_set"),
        base.alias("base"),
        target.alias("target"),
    )
    wrong = typed.filter(pl.any_horizontal(pl.all().is_null()))
    if len(wrong):
        _refuse(path, f"is malformed: line {wrong['row'][0]} is not a cell of a named probe set.")
    matches = typed.filter(
        pl.col("base") == pl.col("target").replace_strict(_COMPLEMENT, default=None)
    )
    return matches.select("x", "y", "probe_set")


def _no_cells() -> pl.DataFrame:
    return pl.DataFrame(schema={"x": pl.Int32, "y": pl.Int32, "probe_set": pl.String})


# --- binary ---------------------------------------------------------------------------


def _read_binary(path: Path) -> ChipDescription:
    data = text_tables.whole(path, _MOST_BYTES)
    try:
        return _parse_binary(path, data)
    except (struct.error, ValueError) as error:
        raise InvalidProbeAnnotation(f"{path.name} is cut or malformed: {error}.") from error


def _parse_binary(path: Path, data: bytes) -> ChipDescription:
    _, version, columns, rows, units, quality_units, text = _HEADER.unpack_from(data)
    if version != 1:
        _refuse(path, f"is a binary CDF of version {version}; version 1 is read.")
    if not (0 < columns <= MOST_COORDINATE + 1 and 0 < rows <= MOST_COORDINATE + 1):
        _refuse(path, f"states {columns} columns and {rows} rows.")
    names = _HEADER.size + text
    offsets = names + _NAME_BYTES * units + 4 * quality_units
    if min(units, quality_units, text) < 0 or offsets + 4 * units > len(data):
        _refuse(path, f"is cut: {units} units do not fit in its {len(data)} bytes.")
    begins = np.frombuffer(data, "<i4", units, offsets)
    lost = np.flatnonzero((begins < 0) | (begins > len(data) - _UNIT.size))
    if len(lost):
        _refuse(
            path, f"is cut: unit {lost[0] + 1} of {units} lies outside of its {len(data)} bytes."
        )
    cells: list[NDArray[np.void]] = []
    labels: list[str] = []
    used = 0
    for unit, at in enumerate(begins.tolist()):
        blocks = _UNIT.unpack_from(data, at)[3]
        at += _UNIT.size
        for _ in range(blocks):
            _, number, _, _, _, _, label = _BLOCK.unpack_from(data, at)
            at += _BLOCK.size
            size = number * _CELL.itemsize
            used += size + _BLOCK.size
            if number < 0 or used > len(data):
                _refuse(path, f"has overlapping or negative blocks at unit {unit + 1}.")
            cells.append(np.frombuffer(data, _CELL, number, at))
            at += size
            start = names + _NAME_BYTES * unit
            labels.append(_text(label) or _text(data[start : start + _NAME_BYTES]))
    if not cells:
        return ChipDescription(columns, rows, _no_cells())
    every = np.concatenate(cells)
    owner = np.repeat(np.arange(len(cells)), [len(each) for each in cells])
    base, target = (np.char.upper(every[name]) for name in ("probe", "target"))
    perfect = np.zeros(len(every), dtype=np.bool_)
    for letter, complement in _COMPLEMENT.items():
        perfect |= (base == letter.encode()) & (target == complement.encode())
    unnamed = [number for number in np.unique(owner[perfect]).tolist() if not labels[number]]
    if unnamed:
        _refuse(path, "has a probe set without a name.")
    table = pl.DataFrame(
        {
            "x": every["x"][perfect].astype(np.int32),
            "y": every["y"][perfect].astype(np.int32),
            "probe_set": pl.Series(labels, dtype=pl.String).gather(owner[perfect]),
        }
    )
    return ChipDescription(columns, rows, table)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("latin-1").strip()


def _refuse(path: Path, why: str) -> NoReturn:
    raise InvalidProbeAnnotation(f"{path.name} {why}")
