"""Values that a submitter has processed: one sample's table, brought to Ensembl genes.

refine.bio takes such a table where an array has no raw file: its values stay as they are,
its identifiers are recognised by what they share with the platform's, and replaced. Not
here: log2, averaging of a gene's rows, and fetching the table or the map of ids.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from refinebio_assets.compression import DamagedGzip, TooLarge, read_whole
from refinebio_assets.errors import (
    AccessionAbsent,
    IdentifiersNotRecognised,
    InvalidExpressionTable,
    InvalidProbeAnnotation,
    MissingProbeAnnotation,
    NoExpressionColumn,
    RawFileMissing,
    SampleNotInTable,
    SourceAnswerInvalid,
    SourceUnavailable,
    UndecodableTable,
)
from refinebio_assets.sources.soft import read_soft

LARGEST_TABLE: Final = 256 << 20  # bytes; an exon array's is 60 MiB
MOST_ROWS: Final = 10_000_000
MOST_BLANK_COLUMNS: Final = 16  # at the end, as spreadsheets leave them
LEAST_OVERLAP: Final = 0.5
GENE_KIND: Final = "ENSEMBL"

NO_VALUE: Final = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "-", "--", "#n/a", "#num!", "#value!", "#div/0!")
)
"""What stands for a missing value, in lower case; an infinite number does, too."""

NO_ID: Final = frozenset(("", "NA"))  # no more: Drosophila has genes named "nan" and "null"

_LARGEST_VALUE = float(np.finfo(np.float32).max)  # expression is kept as float32
_HEAD = 64 << 10  # bytes that the first two rows may take
_C1_CONTROLS = bytes(range(0x80, 0xA0))  # no text in ISO 8859-1 has them
_NOT_EXPRESSION = re.compile(r"detection|call|(?<![a-z])p[\W_]?val", re.IGNORECASE)
_MAGE_TAB_ROW = re.compile(r"(?i)\w REF\Z")


@dataclass(frozen=True)
class GeneValues:
    """A sample's values by gene, and how its identifiers were recognised.

    Attributes
    ----------
    values
        Columns `gene` (String) and `value` (Float64; null where the submitter has none), in
        the order of the table. An id of several genes gives each its value; a gene of
        several ids has several rows.
    recognised_as
        The kind of the ids, or the BeadArray whose probes they are.
    rows, missing
        Of the submitter's table: all its rows, and those without a value.
    mapped
        Rows of that table whose id has a gene.
    share_of_rows
        Distinct ids that were recognised, per row of the table.
    share_of_known
        Distinct ids that were recognised, of all ids of that kind (or BeadArray).
    """

    values: pl.DataFrame
    recognised_as: str
    rows: int
    missing: int
    mapped: int
    share_of_rows: float
    share_of_known: float


# --- from ids to genes ----------------------------------------------------------------


def to_genes(table: pl.DataFrame, id_map: pl.DataFrame) -> GeneValues:
    """Replace the ids of a table by Ensembl genes; the ids may be of any kind in the map.

    The kind is that of which the table has the most ids, if these are at least half as many
    as its rows. Rows whose id has no gene are dropped.

    Parameters
    ----------
    table
        As `read_table` gives it: columns `id` and `value`.
    id_map
        The platform's: a column for each kind of id, `ENSEMBL` among them, null where there
        is none; a row for each combination.

    Raises
    ------
    IdentifiersNotRecognised
        Too few ids are in any column, or not one of them has a gene.
    InvalidProbeAnnotation
        The map has no column `ENSEMBL`.
    """
    if GENE_KIND not in id_map.columns:
        raise InvalidProbeAnnotation(f"The map of ids has no column {GENE_KIND}.")
    found = {kind: _shared(table, id_map[kind]) for kind in id_map.columns}
    kind = max(found, key=lambda each: found[each].ids)
    if found[kind].ids < LEAST_OVERLAP * len(table):
        raise IdentifiersNotRecognised(
            f"Of {len(table)} rows ({_some(table['id'])}) at most {found[kind].ids} have an id of "
            f"the platform: as {kind} ({_some(id_map[kind])})."
        )
    return _mapped(table, id_map.select(id=kind, gene=GENE_KIND), kind, found[kind])


def illumina_to_genes(table: pl.DataFrame, platforms: Mapping[str, pl.DataFrame]) -> GeneValues:
    """Replace probe ids by Ensembl genes, after finding out which BeadArray they belong to.

    It is the one of whose probes the table has the largest share, however small; the first
    of equals. All genes of a probe are kept; rows whose probe has none are dropped.

    Parameters
    ----------
    table
        As `read_table` gives it: columns `id` and `value`.
    platforms
        The BeadArrays of the organism by name, each with columns `probe` (every probe of the
        array) and `gene` (null where the probe has none; a row for each where it has more).

    Raises
    ------
    IdentifiersNotRecognised
        Not one of the probes has a gene.
    MissingProbeAnnotation
        No BeadArray was given.
    """
    if not platforms:
        raise MissingProbeAnnotation("No BeadArray of the sample's organism is known.")
    found = {name: _shared(table, probes["probe"]) for name, probes in platforms.items()}
    name = max(found, key=lambda each: found[each].of_known)
    return _mapped(table, platforms[name].select("gene", id="probe"), name, found[name])


@dataclass(frozen=True)
class _Shared:
    """How many ids a table shares with a list of known ones."""

    ids: int
    of_rows: float
    of_known: float


def _shared(table: pl.DataFrame, known: pl.Series) -> _Shared:
    of_table = table["id"].drop_nulls().unique()
    of_list = known.cast(pl.String).drop_nulls().unique()
    ids = int(of_table.is_in(of_list.implode()).sum())
    return _Shared(ids, ids / max(1, len(table)), ids / max(1, len(of_list)))


def _mapped(table: pl.DataFrame, pairs: pl.DataFrame, name: str, shared: _Shared) -> GeneValues:
    """Join a table with pairs of id and gene."""
    pairs = pairs.cast(pl.String).drop_nulls().unique(maintain_order=True)
    joined = table.join(pairs, on="id", maintain_order="left_right")
    if joined.is_empty():
        raise IdentifiersNotRecognised(
            f"Not one of {len(table)} ids ({_some(table['id'])}) has a gene as {name} "
            f"({_some(pairs['id'])})."
        )
    return GeneValues(
        values=joined.select("gene", "value"),
        recognised_as=name,
        rows=len(table),
        missing=table["value"].null_count(),
        mapped=len(table.join(pairs, on="id", how="semi")),
        share_of_rows=shared.of_rows,
        share_of_known=shared.of_known,
    )


def _some(ids: pl.Series) -> str:
    some = ids.drop_nulls().head(3).cast(pl.String).str.slice(0, 40)
    return f"{', '.join(some)}, …"


# --- the submitter's table ------------------------------------------------------------


def read_table(path: Path, columns: Sequence[str] = (), *, illumina: bool = False) -> pl.DataFrame:
    """Read one sample's table: from GEO's MINiML, or an ArrayExpress processed file.

    Tab-separated, plain or gzip, UTF-8 or ISO 8859-1, any line ends; quotes around cells
    are taken off. The first row is a header if it names `ID_REF`, or if its second cell is
    neither a number nor missing; a header may lack the name of the first column (as R
    writes it), or be the two rows of a MAGE-TAB data matrix. The ids are the column `ID_REF`
    or the first one. The values are the column `VALUE` or the only one that is left when
    detection calls and p-values are left out. refine.bio takes tables of two columns alone.

    Parameters
    ----------
    columns
        Their names, where they are known but not in the file (MINiML).
    illumina
        Without any names, take a third column if it can be detection p-values.

    Returns
    -------
    pl.DataFrame
        Columns `id` (String, null where empty or NA) and `value` (Float64, null where
        missing: see `NO_VALUE`), one row per row of the table.

    Raises
    ------
    RawFileMissing
        The file cannot be read.
    UndecodableTable
        It is not text, or in another encoding.
    NoExpressionColumn
        Which column has the values cannot be told.
    InvalidExpressionTable
        It is damaged, too large, empty or has fewer than two columns; rows are longer than
        the first two; something else than a number is among the values; all are missing.
    """
    where = path.name
    text = _text(path)
    if len(text) > _HEAD and b"\n" not in text[:_HEAD]:
        raise InvalidExpressionTable(f"{where} is no table: its first row has no end.")
    rows = [
        [_unquoted(cell) for cell in line.decode(errors="replace").split("\t")]
        for line in text[:_HEAD].split(b"\n", 2)[:2]
    ]
    names, skipped = _names(rows, columns, illumina, where)
    id_column, value_column = _id_and_value(names, where)
    width = max(len(names), *map(len, rows))
    unnamed = range(len(names), width)
    if len(unnamed) > MOST_BLANK_COLUMNS:
        raise _more_than_named(where, names)
    ids, values, *blank = _cells(text, width, (id_column, value_column, *unnamed), skipped, where)
    if any(column.count() for column in blank):
        raise _more_than_named(where, names)
    if names == _UNNAMED_ILLUMINA:
        (last,) = _cells(text, width, (2,), skipped, where)
        if not _numbers(last, ids, where).is_between(0, 1).all():
            raise InvalidExpressionTable(
                f"{where} has three columns without names, and the third has no p-values."
            )
    return _table(ids, values, where)


def read_soft_table(path: Path, sample: str) -> pl.DataFrame:
    """Read the table of one sample (`GSM…`) in a SOFT file, plain or gzip.

    Columns are chosen, and values read, as by `read_table`.

    Raises
    ------
    RawFileMissing
        The file cannot be read.
    SampleNotInTable
        The file has no such sample.
    NoExpressionColumn, InvalidExpressionTable
        As `read_table`; also where the sample has no table, or the file is no SOFT text.
    """
    rows = _SoftRows(f"{sample} in {path.name}")
    try:
        with path.open("rb") as file:
            entities = read_soft(file, rows_of=sample, on_row=rows.add)
            found = any(entity.name == sample for entity in entities)
    except OSError as error:
        raise RawFileMissing(f"{path} cannot be read: {error.strerror}.") from None
    except (AccessionAbsent, SourceAnswerInvalid, SourceUnavailable) as error:
        raise InvalidExpressionTable(f"{path.name}: {error.message}") from None
    if not found:
        raise SampleNotInTable(f"{path.name} has no sample {sample}.")
    return rows.table()


class _SoftRows:
    """Takes the rows of a table one by one, the header first; keeps ids and values as text."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._names: list[str] = []
        self._use = 0, 0
        self._text = io.BytesIO()
        self._rows = 0

    def add(self, cells: list[str]) -> None:
        if not self._names:
            self._names = [_unquoted(cell) for cell in cells]
            self._use = _id_and_value(self._names, self._where)
            return
        if any(cells[len(self._names) :]):
            raise _more_than_named(self._where, self._names)
        kept = (cells[column] if column < len(cells) else "" for column in self._use)
        self._text.write(("\t".join(kept) + "\n").encode())
        self._rows += 1
        if self._rows > MOST_ROWS or self._text.tell() > LARGEST_TABLE:
            raise _too_large(self._where)

    def table(self) -> pl.DataFrame:
        if not self._names:
            raise InvalidExpressionTable(f"{self._where} has no table.")
        ids, values = _cells(self._text.getvalue(), 2, (0, 1), 0, self._where)
        return _table(ids, values, self._where)


# --- the columns ----------------------------------------------------------------------

_UNNAMED = ["ID_REF", "VALUE"]
_UNNAMED_ILLUMINA = ["ID_REF", "VALUE", "Detection Pval"]


def _names(
    rows: list[list[str]], columns: Sequence[str], illumina: bool, where: str
) -> tuple[list[str], int]:
    """The names of the columns, and how many rows of the text are headers."""
    first, second = _without_last_blanks(rows[0]), _without_last_blanks(rows[-1])
    if not any(first) or len(first) + len(second) < 3:
        raise InvalidExpressionTable(f"{where} does not begin with two tab-separated columns.")
    names_ids = any(_word(cell) == "IDREF" for cell in first)
    if columns and not names_ids:
        return [name.strip() for name in columns], 0
    if len(rows) > 1 and _MAGE_TAB_ROW.search(first[0]) and _MAGE_TAB_ROW.search(second[0]):
        return second, 2
    if names_ids or len(first) < 2 or not _is_number_or_missing(first[1]):
        return (["", *first] if len(second) == len(first) + 1 else first), 1
    if len(first) == 2:
        return _UNNAMED, 0
    if len(first) == 3 and illumina:
        return _UNNAMED_ILLUMINA, 0
    raise InvalidExpressionTable(f"{where} has {len(first)} columns, and no names of them.")


def _without_last_blanks(cells: list[str]) -> list[str]:
    """The cells up to the last that is not blank; two at least, if there are so many."""
    last = max((at for at, cell in enumerate(cells) if cell), default=-1)
    return cells[: max(last + 1, 2)]


def _id_and_value(names: Sequence[str], where: str) -> tuple[int, int]:
    """Which columns hold the ids and the values."""
    words = [_word(name) for name in names]
    id_column = words.index("IDREF") if "IDREF" in words else 0
    values = [at for at, word in enumerate(words) if word == "VALUE" and at != id_column] or [
        at
        for at, name in enumerate(names)
        if at != id_column and name and not _NOT_EXPRESSION.search(name)
    ]
    if len(values) != 1:
        shown = ", ".join(names)[:200]
        raise NoExpressionColumn(
            f"Of the columns of {where} ({shown}) {'several' if values else 'none'} can hold the "
            "values."
        )
    return id_column, values[0]


def _word(name: str) -> str:
    return re.sub(r"[\W_]", "", name).upper()


def _unquoted(cell: str) -> str:
    return cell.strip().strip('"').strip()


# --- text and numbers -----------------------------------------------------------------


def _text(path: Path) -> bytes:
    """The content as UTF-8 with line feeds."""
    try:
        content = read_whole(path, LARGEST_TABLE)
    except OSError as error:
        raise RawFileMissing(f"{path} cannot be read: {error.strerror}.") from None
    except DamagedGzip as error:
        raise InvalidExpressionTable(f"{path.name}: {error}.") from None
    except TooLarge:
        raise _too_large(path.name) from None
    if b"\0" in content:
        raise UndecodableTable(f"{path.name} is not text, or in UTF-16.")
    try:
        content.decode()
    except UnicodeDecodeError:
        if len(content.translate(None, _C1_CONTROLS)) < len(content):
            raise UndecodableTable(
                f"{path.name} is neither UTF-8 nor ISO 8859-1 (Latin-1)."
            ) from None
        content = content.decode("latin-1").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content.count(b"\n") > MOST_ROWS:
        raise _too_large(path.name)
    return content.lstrip(b"\n")


def _cells(
    text: bytes, width: int, wanted: Sequence[int], skipped: int, where: str
) -> list[pl.Series]:
    """The cells of some columns of a text that has `width`, as strings, null where blank."""
    try:
        frame = pl.read_csv(
            text,
            separator="\t",
            has_header=False,
            skip_lines=skipped,
            quote_char=None,
            schema={str(column): pl.String for column in range(width)},
            columns=list(wanted),
            missing_columns="insert",
        )
    except pl.exceptions.PolarsError:
        raise InvalidExpressionTable(
            f"{where} has rows with more than the {width} columns of its first ones."
        ) from None
    stripped = pl.all().str.strip_chars().str.strip_chars('"').str.strip_chars()
    return frame.select(stripped.replace("", None)).get_columns()


def _table(ids: pl.Series, values: pl.Series, where: str) -> pl.DataFrame:
    """The table that `read_table` promises, of the cells of two columns."""
    present = ids.is_not_null() | values.is_not_null()
    numbers = _numbers(values, ids, where)
    if not numbers.count():
        raise InvalidExpressionTable(f"{where} has no value.")
    table = pl.DataFrame({"id": ids, "value": numbers}).filter(present)
    return table.with_columns(pl.col("id").replace(list(NO_ID), None))


def _numbers(cells: pl.Series, ids: pl.Series, where: str) -> pl.Series:
    """The numbers in cells, null for what stands for none."""
    cells = cells.set(cells.str.to_lowercase().is_in(NO_VALUE).fill_null(True), None)
    numbers = cells.cast(pl.Float64, strict=False)
    faulty = (cells.is_not_null() & numbers.is_null()).arg_true()
    if len(faulty):
        raise InvalidExpressionTable(
            f"{where} gives the value of {ids[faulty[0]]!s:.40} as {cells[faulty[0]]:.40}, which "
            "is not a number."
        )
    return numbers.set((numbers.abs() > _LARGEST_VALUE).fill_null(True), None)


def _is_number_or_missing(cell: str) -> bool:
    if cell.lower() in NO_VALUE:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _more_than_named(where: str, names: Sequence[str]) -> InvalidExpressionTable:
    shown = ", ".join(names)[:200]
    return InvalidExpressionTable(f"{where} has more columns than names ({shown}).")


def _too_large(where: str) -> InvalidExpressionTable:
    return InvalidExpressionTable(
        f"{where} has more than {LARGEST_TABLE >> 20} MiB or {MOST_ROWS} rows: it is not the "
        "table of one array."
    )
