"""Probes of Affymetrix's whole-transcript (ST) arrays: PGF, CLF and MPS files.

A PGF lists probe sets with their probes, a CLF says in which cell a probe lies, an MPS joins
probe sets to meta probe sets (genes; `core` for SCAN). Source: the file formats as the
Affymetrix Power Tools document them. A PGF spells probes from the array's surface outwards,
usually from their 3' end; they stay as written, as Bioconductor's design packages have them.
Not here: probe tabs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import polars as pl

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probes import MOST_COORDINATE, MOST_ROWS, ProbeTable, probe_table
from refinebio_assets.microarray.text_tables import Header

_PERFECT_MATCH: Final = r"(?:^|:)pm(?:$|:|->)"
_PROBE_SCHEMA: Final = {"probe": pl.Int64, "sequence": pl.String, "probe_set": pl.String}
_LAYOUT_SCHEMA: Final = {"probe": pl.Int64, "x": pl.Int32, "y": pl.Int32}


def is_pgf(head: bytes) -> bool:
    """Whether a file whose content begins so is a PGF."""
    return b"probe_sequence" in _comments(head).get(b"header2", b"")


def is_clf(head: bytes) -> bool:
    """Whether a file whose content begins so is a CLF."""
    return {b"probe_id", b"x", b"y"} <= set(_comments(head).get(b"header0", b"").split())


def is_mps(header: Header) -> bool:
    """Whether a table with this header joins probe sets to meta probe sets."""
    return header.find("probeset_id") is not None and header.find("probeset_list") is not None


def read_pgf(pgf: Path, clf: Path, mps: Path | None = None) -> ProbeTable:
    """The perfect-match probes of an ST array.

    Parameters
    ----------
    pgf, clf
        Of one library; plain or gzip.
    mps
        Meta probe sets, which then are the table's probe sets: probes that are in none are
        left out, and a probe that is in two is there twice. Without it, the ids of the PGF's
        own probe sets.

    Raises
    ------
    InvalidProbeAnnotation
        A file is malformed or cut, or the CLF doesn't place a probe of the PGF.
    """
    probes = _read_probes(pgf)
    layout = _read_layout(clf)
    if mps is not None:
        probes = probes.join(_read_meta(mps), on="probe_set").select(
            "probe", "sequence", probe_set="meta"
        )
        if probes.is_empty():
            _refuse(mps, f"has none of the probe sets of {pgf.name}.")
    placed = layout.place(probes)
    lost = placed.filter(pl.col("x").is_null())
    if len(lost):
        _refuse(clf, f"does not place probe {lost['probe'][0]} of {pgf.name}.")
    return probe_table(pgf.name, placed, layout.columns)


def _comments(head: bytes) -> dict[bytes, bytes]:
    """The `#%key=value` lines of a head; the first of a repeated key."""
    found: dict[bytes, bytes] = {}
    for match in re.finditer(rb"^#%([^=\r\n]+)=([^\r\n]*)", head, re.MULTILINE):
        found.setdefault(match[1].strip(), match[2])
    return found


# --- PGF ------------------------------------------------------------------------------


def _read_probes(path: Path) -> pl.DataFrame:
    """Perfect-match probes: probe (id), sequence, probe_set; a row for each time it is listed."""
    found = [pl.DataFrame(schema=_PROBE_SCHEMA)]
    indices: tuple[int, ...] = ()
    probe_set: str | None = None
    rows = 0
    for block in text_tables.blocks(path):
        if not indices:
            indices = _probe_columns(path, block.text)
        # Three levels by indentation: probe set, atom, probe.
        table = text_tables.split(block.text, (0, 1, *indices), "\t").with_columns(
            text_tables.word(str(column)).alias(str(column)) for column in range(5)
        )
        top = pl.col("0")
        is_probe = top.is_null() & pl.col("1").is_null() & pl.col("2").is_not_null()
        table = table.with_row_index("line", offset=block.first_line).with_columns(
            probe_set=pl.when(~top.str.starts_with("#"))
            .then(top)
            .forward_fill()
            .fill_null(pl.lit(probe_set, pl.String))
        )
        probe_set = table["probe_set"][-1]
        typed = table.filter(is_probe).select(
            "line",
            pl.col("2").cast(pl.Int64, strict=False).alias("probe"),
            pl.col("3").str.to_lowercase().alias("type"),
            pl.col("4").fill_null("").alias("sequence"),
            "probe_set",
        )
        wrong = typed.filter(pl.any_horizontal(pl.all().is_null()))
        if len(wrong):
            _refuse(path, f"is malformed: line {wrong['line'][0]} is not a probe of a probe set.")
        found.append(
            typed.filter(pl.col("type").str.contains(_PERFECT_MATCH)).select(list(_PROBE_SCHEMA))
        )
        rows += len(found[-1])
        if rows > MOST_ROWS:
            _refuse(path, f"has more than {MOST_ROWS} probes.")
    return pl.concat(found)


def _probe_columns(path: Path, text: bytes) -> tuple[int, ...]:
    """Where a probe's id, type and sequence stand."""
    names = _comments(text).get(b"header2", b"").decode("utf-8", "replace").split("\t")
    wanted = ("probe_id", "type", "probe_sequence")
    if not (set(wanted) <= set(names) and names.index("probe_id") == 2):
        _refuse(path, "is not a PGF: its header2 has no probe_id, type and probe_sequence.")
    return tuple(names.index(name) for name in wanted)


# --- CLF ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Where probes lie: those that are listed, and from `first` on, where given, all others."""

    columns: int
    rows: int
    first: int | None
    listed: pl.DataFrame  # _LAYOUT_SCHEMA

    def place(self, probes: pl.DataFrame) -> pl.DataFrame:
        """The probes with x and y, null where unknown."""
        placed = probes.join(self.listed, on="probe", how="left")
        if self.first is None:
            return placed
        index = pl.col("probe") - self.first
        index = pl.when(index.is_between(0, self.columns * self.rows - 1)).then(index)
        # Also for files that say row_major: the Power Tools count all of them so.
        return placed.with_columns(
            pl.col("x").fill_null((index % self.columns).cast(pl.Int32)),
            pl.col("y").fill_null((index // self.columns).cast(pl.Int32)),
        )


def _read_layout(path: Path) -> _Layout:
    comments = _comments(text_tables.head(path))
    columns, rows = (_number(path, comments, key) for key in (b"cols", b"rows"))
    if columns is None or rows is None:
        _refuse(path, "is not a CLF: it has no rows and cols.")
    if not (0 < columns <= MOST_COORDINATE + 1 and 0 < rows <= MOST_COORDINATE + 1):
        _refuse(path, f"states {columns} columns and {rows} rows.")
    names = comments.get(b"header0", b"").decode("utf-8", "replace").split("\t")
    if not {"probe_id", "x", "y"} <= set(names):
        _refuse(path, "is not a CLF: its header0 has no probe_id, x and y.")
    indices = tuple(names.index(name) for name in ("probe_id", "x", "y"))
    parts = [pl.DataFrame(schema=_LAYOUT_SCHEMA)]
    for block in text_tables.blocks(path):
        table = text_tables.split(block.text, (0, *indices), "\t")
        comment = pl.col("0").fill_null("").str.starts_with("#")
        table = table.with_columns(pl.when(~comment).then(pl.all()).name.keep())
        typed = table.select(
            pl.col("1").str.strip_chars().cast(pl.Int64, strict=False).alias("probe"),
            text_tables.coordinate("2").alias("x"),
            text_tables.coordinate("3").alias("y"),
        )
        parts.append(text_tables.checked(path, block.first_line, table, typed, "a probe's cell"))
        if sum(map(len, parts)) > MOST_ROWS:
            _refuse(path, f"has more than {MOST_ROWS} probes.")
    listed = pl.concat(parts)
    if listed["probe"].is_duplicated().any():
        twice = listed.filter(pl.col("probe").is_duplicated())["probe"][0]
        _refuse(path, f"places probe {twice} twice.")
    if len(listed.filter((pl.col("x") >= columns) | (pl.col("y") >= rows))):
        _refuse(path, "places a probe outside of the chip.")
    return _Layout(columns, rows, _number(path, comments, b"sequential"), listed)


def _number(path: Path, comments: dict[bytes, bytes], key: bytes) -> int | None:
    text = comments.get(key)
    if text is None:
        return None
    if not re.fullmatch(rb"\s*[0-9]{1,9}\s*", text):
        _refuse(path, f"states {key.decode()} as {text.decode('latin-1')!r}.")
    return int(text)


# --- MPS ------------------------------------------------------------------------------


def _read_meta(path: Path) -> pl.DataFrame:
    """Which probe set is in which meta probe set: columns meta, probe_set."""

    def choose(header: Header) -> list[int]:
        meta, members = header.find("probeset_id"), header.find("probeset_list")
        if meta is None or members is None:
            _refuse(path, "has no columns probeset_id and probeset_list.")
        return [meta, members]

    parts = []
    for first_line, part in text_tables.columns(path, choose):
        typed = part.select(
            text_tables.word("0").alias("meta"), text_tables.word("1").alias("probe_set")
        )
        rows = text_tables.checked(path, first_line, part, typed, "a meta probe set")
        parts.append(
            rows.with_columns(pl.col("probe_set").str.split(" "))
            .explode("probe_set")
            .filter(pl.col("probe_set") != "")
        )
    return pl.concat(parts).unique()


def _refuse(path: Path, why: str) -> NoReturn:
    raise InvalidProbeAnnotation(f"{path.name} {why}")
