"""The probes of an array platform: where they lie, what they spell, what they belong to.

Also the form in which both are kept: Parquet with plain columns, readable by any program.
Not here: the files of manufacturers (`probe_sources`), intensities (`cel`), and what is made of
them (`scan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.whole_file import whole_file

PROBE_LENGTH: Final = 25  # bases; probes of another length have no place in SCAN's design
MOST_ROWS: Final = 1 << 24  # of a table; the largest expression arrays have 7 million probes
MOST_COORDINATE: Final = (1 << 15) - 1

_BASES: Final = np.frombuffer(b"ACGT", dtype=np.uint8)
_CODES: Final = np.full(256, 3, dtype=np.uint8)
_CODES[_BASES] = np.arange(4)

_PROBE_COLUMNS: Final = ("x", "y", "sequence", "probe_set")
_GENE_COLUMNS: Final = ("x", "y", "gene")
_CHIP_COLUMNS: Final = "chip_columns"


@dataclass(frozen=True)
class ProbeTable:
    """The perfect-match probes of a platform, in canonical order.

    That is ascending cell index (columns * y + x); ties, where one cell is in several probe
    sets, by probe set.

    Attributes
    ----------
    x, y
        Zero-based coordinates, (n,).
    sequence
        (n, L) codes: 0 A, 1 C, 2 G, 3 anything else, which counts as T.
    probe_set
        (n,) indices into `probe_sets`.
    probe_sets
        Names, sorted.
    columns
        Columns of the chip where the source says so (CDF, CLF), else None.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    sequence: NDArray[np.uint8]
    probe_set: NDArray[np.int32]
    probe_sets: list[str]
    columns: int | None

    def cells(self, columns: int) -> NDArray[np.int64]:
        """Cell index of every probe on a chip with so many columns, (n,)."""
        return np.int64(columns) * self.y + self.x


@dataclass(frozen=True)
class GeneMap:
    """Which cells belong to which gene; a cell may belong to several.

    Attributes
    ----------
    x, y
        Zero-based coordinates, one row per pair of cell and gene; ascending by y, x, gene.
    gene
        Indices into `genes`, same length.
    genes
        Names, sorted.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    gene: NDArray[np.int32]
    genes: list[str]


# --- from rows ------------------------------------------------------------------------


def probe_table(source: str, rows: pl.DataFrame, columns: int | None = None) -> ProbeTable:
    """The table of some probes, whatever their order.

    Probes whose sequence is not 25 long are left out, and repetitions of a row.

    Parameters
    ----------
    source
        Named in messages.
    rows
        `x` and `y` (integers), `sequence` and `probe_set` (String), without nulls.
    columns
        Of the chip, where it is known.

    Raises
    ------
    InvalidProbeAnnotation
        No probe is left; a cell lies outside of the chip, or has two sequences.
    """
    rows = (
        rows.filter(pl.col("sequence").str.len_bytes() == PROBE_LENGTH)
        .select(_PROBE_COLUMNS)
        .unique()
        .sort("y", "x", "probe_set", "sequence")
    )
    if rows.is_empty():
        raise InvalidProbeAnnotation(f"{source} has no probe of {PROBE_LENGTH} bases.")
    x, y = _coordinates(source, rows, columns)
    codes, names = _codes(rows["probe_set"])
    letters = np.frombuffer(rows["sequence"].str.join("").item().encode(), dtype=np.uint8)
    sequence = _CODES[letters].reshape(-1, PROBE_LENGTH)
    again = (np.diff(x) == 0) & (np.diff(y) == 0)
    differs = np.flatnonzero(again & (sequence[1:] != sequence[:-1]).any(axis=1))
    if len(differs):
        row = int(differs[0])
        raise InvalidProbeAnnotation(
            f"{source} gives the cell x = {x[row]}, y = {y[row]} two sequences."
        )
    return ProbeTable(x, y, sequence, codes, names, columns)


def gene_map(source: str, rows: pl.DataFrame) -> GeneMap:
    """The gene map of some pairs of cell and gene, whatever their order, each once.

    Parameters
    ----------
    source
        Named in messages.
    rows
        `x` and `y` (integers), `gene` (String), without nulls.

    Raises
    ------
    InvalidProbeAnnotation
        There is no row, or a coordinate no chip has.
    """
    rows = rows.select(_GENE_COLUMNS).unique().sort("y", "x", "gene")
    if rows.is_empty():
        raise InvalidProbeAnnotation(f"{source} assigns no cell to a gene.")
    x, y = _coordinates(source, rows, None)
    codes, names = _codes(rows["gene"])
    return GeneMap(x, y, codes, names)


def _coordinates(
    source: str, rows: pl.DataFrame, columns: int | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    x, y = (rows[name].to_numpy() for name in ("x", "y"))
    most_x = MOST_COORDINATE if columns is None else columns - 1
    outside = np.flatnonzero((x < 0) | (y < 0) | (x > most_x) | (y > MOST_COORDINATE))
    if len(outside):
        row = int(outside[0])
        raise InvalidProbeAnnotation(
            f"{source} has a cell x = {x[row]}, y = {y[row]}, which the chip does not have."
        )
    return x.astype(np.int32), y.astype(np.int32)


def _codes(names: pl.Series) -> tuple[NDArray[np.int32], list[str]]:
    """Each name as its index among the sorted names, and these."""
    distinct = names.unique().sort()
    codes = names.cast(pl.Enum(distinct)).to_physical()
    return codes.cast(pl.Int32).to_numpy().copy(), distinct.to_list()


# --- as Parquet -----------------------------------------------------------------------


def write_probe_table(path: Path, probes: ProbeTable) -> None:
    """Write the columns x, y, sequence and probe_set; a base that counts as T is written T.

    The file is written beside `path` and renamed, so that it is there whole or not at all.
    """
    letters = _BASES[probes.sequence]
    sequences = letters.view(f"S{letters.shape[1]}").ravel()
    table = pl.DataFrame(
        {
            "x": probes.x,
            "y": probes.y,
            "sequence": pl.Series(sequences.astype(str), dtype=pl.String),
            "probe_set": _names(probes.probe_set, probes.probe_sets),
        }
    )
    of_chip = {} if probes.columns is None else {_CHIP_COLUMNS: str(probes.columns)}
    _write(path, table, of_chip)


def write_gene_map_parquet(path: Path, genes: GeneMap) -> None:
    """Write the columns x, y and gene, whole or not at all."""
    table = pl.DataFrame({"x": genes.x, "y": genes.y, "gene": _names(genes.gene, genes.genes)})
    _write(path, table, {})


def _names(codes: NDArray[np.int32], names: list[str]) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(codes)


def _write(path: Path, table: pl.DataFrame, metadata: dict[str, str]) -> None:
    with whole_file(path) as aside, aside.open("xb") as file:
        table.write_parquet(file, metadata=dict(metadata))


def read_probe_table(path: Path) -> ProbeTable:
    """Read a Parquet file with the columns x, y, sequence and probe_set, in any case and order.

    Raises
    ------
    InvalidProbeAnnotation
        It is not such a file, or what `probe_table` refuses.
    """
    rows, metadata = _read(path, _PROBE_COLUMNS)
    stated = metadata.get(_CHIP_COLUMNS)
    if stated is not None and not (stated.isdecimal() and 0 < int(stated) <= MOST_COORDINATE + 1):
        raise InvalidProbeAnnotation(f"{path.name} states {stated!r} columns of the chip.")
    return probe_table(path.name, rows, None if stated is None else int(stated))


def read_gene_map_parquet(path: Path) -> GeneMap:
    """Read a Parquet file with the columns x, y and gene, in any case and order.

    Raises
    ------
    InvalidProbeAnnotation
        It is not such a file, or what `gene_map` refuses.
    """
    rows, _ = _read(path, _GENE_COLUMNS)
    return gene_map(path.name, rows)


def _read(path: Path, wanted: tuple[str, ...]) -> tuple[pl.DataFrame, Mapping[str, str]]:
    try:
        scan = pl.scan_parquet(path, glob=False)
        own = {name.lower(): name for name in reversed(scan.collect_schema().names())}
        missing = [name for name in wanted if name not in own]
        if missing:
            raise InvalidProbeAnnotation(f"{path.name} has no column {missing[0]}.")
        if (height := scan.select(pl.len()).collect().item()) > MOST_ROWS:
            raise InvalidProbeAnnotation(f"{path.name} has {height} rows.")
        rows = scan.select(
            pl.col(own[name])
            .cast(pl.Int32 if name in "xy" else pl.String, strict=False)
            .alias(name)
            for name in wanted
        ).collect()
        with path.open("rb") as file:
            metadata = pl.read_parquet_metadata(file)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidProbeAnnotation(
            f"{path.name} is not whole Parquet: {_first(error)}"
        ) from error
    gap = rows.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(gap):
        raise InvalidProbeAnnotation(
            f"{path.name} is malformed: row {gap[0] + 1} lacks {' or '.join(wanted)}."
        )
    return rows, metadata


def _first(error: BaseException) -> str:
    return str(error).partition("\n")[0]
