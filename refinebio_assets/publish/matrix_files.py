"""A finished matrix as files: TSV, Parquet and AnnData, from what lies on disk.

Memory follows from the blocks that are read, not from the matrix. The same matrix gives the
same bytes. Not here: what the values are, and the bytes of Parquet (`wide_parquet.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from refinebio_assets.publish.disk_matrix import DiskMatrix, Values
from refinebio_assets.publish.wide_parquet import GENE, write_wide_parquet

OnDone = Callable[[int], None]

CELLS_AT_A_TIME: Final = 4_000_000
_CELLS_OF_TEXT: Final = 2_000_000  # some ten bytes each, and twice that while they are cut
_TAB: Final = 9
_NEEDS_QUOTES: Final = re.compile(r'[\t\n\r"]')
_EMPTY: Final = ("layers", "obsm", "obsp", "uns", "varm", "varp")  # parts of AnnData


def write_tsv(
    path: Path, matrix: DiskMatrix, genes: pl.Series, samples: Sequence[str], on_done: OnDone
) -> None:
    """Write the text of `tsv_pieces` into a file."""
    with path.open("wb") as file:
        file.writelines(tsv_pieces(matrix, genes, samples, on_done))


def tsv_pieces(
    matrix: DiskMatrix, genes: pl.Series, samples: Sequence[str], on_done: OnDone
) -> Iterator[bytes]:
    """The matrix as text, genes as rows, under a header of `Gene` and the samples.

    Values are the shortest decimals that read back as the same float32; a missing one is
    empty, an infinite one `inf` or `-inf`. `on_done` is told the number of genes written.
    """
    yield "\t".join(map(_quoted, [GENE, *samples])).encode() + b"\n"
    genes_at_a_time = max(1, _CELLS_OF_TEXT // len(samples))
    for panel in matrix.panels:
        values = matrix.read_panel(panel)
        names = [_quoted(gene).encode() for gene in genes[panel].to_list()]
        for start in range(0, len(names), genes_at_a_time):
            some = slice(start, start + genes_at_a_time)
            yield _rows_of_text(names[some], np.ascontiguousarray(values[:, some].T))
        on_done(panel.stop)


def _rows_of_text(names: Sequence[bytes], values: Values) -> bytes:
    """Lines of a name and its values, (names, samples).

    Polars formats a long column several times as fast as a table of many columns: all values
    are one, with tabs for ends of lines, which is then cut into rows.
    """
    cells = pl.Series(values.reshape(-1), nan_to_null=True).to_frame()
    buffer = BytesIO()
    cells.write_csv(buffer, include_header=False, line_terminator="\t")
    text = buffer.getbuffer()
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _TAB)[
        values.shape[1] - 1 :: values.shape[1]
    ]
    rows: list[bytes | memoryview] = []
    start = 0
    for name, end in zip(names, ends.tolist(), strict=True):
        rows += (name, b"\t", text[start:end], b"\n")
        start = end + 1
    return b"".join(rows)


def _quoted(name: str) -> str:
    if name and not _NEEDS_QUOTES.search(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def write_parquet(
    path: Path, matrix: DiskMatrix, genes: pl.Series, samples: Sequence[str], on_done: OnDone
) -> None:
    """Write a column `Gene` and one of each sample; see `write_wide_parquet`.

    `on_done` is told the number of samples written.
    """

    def columns() -> Iterator[tuple[str, Values]]:
        for first, values in matrix.by_samples(CELLS_AT_A_TIME):
            yield from zip(samples[first : first + len(values)], values, strict=True)
            on_done(first + len(values))

    write_wide_parquet(path, genes, columns())


def write_h5ad(
    path: Path,
    matrix: DiskMatrix,
    genes: pl.Series,
    samples: Sequence[str],
    described: pl.DataFrame | None,
    on_done: OnDone,
) -> None:
    """Write AnnData: X is samples × genes, float32.

    Parameters
    ----------
    described
        What is known of each of the samples, in their order. Text becomes categories, in
        which a missing one stays missing; lists become text, joined by "; ".
    on_done
        Is told the number of samples written.
    """
    import h5py
    import pandas as pd  # type: ignore[import-untyped]
    from anndata.io import write_elem

    obs = annotation(samples, described)
    var = pd.DataFrame(index=pd.Index(genes.to_list(), dtype=object))
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name, part in {"obs": obs, "var": var, **{each: {} for each in _EMPTY}}.items():
            write_elem(file, name, part)
        x = file.create_dataset("X", (matrix.samples, matrix.genes), np.float32)
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for first, values in matrix.by_samples(CELLS_AT_A_TIME):
            x[first : first + len(values)] = values
            on_done(first + len(values))


def annotation(names: Sequence[str], described: pl.DataFrame | None) -> Any:
    """The obs or var of AnnData, as pandas: rows of the names, columns of `described`.

    Text becomes categories, in which a missing one stays missing; lists become text, joined
    by "; ".
    """
    import pandas as pd

    frame = pd.DataFrame(index=pd.Index(list(names), dtype=object))
    for column in described.get_columns() if described is not None else []:
        name = column.name.replace("/", "|")  # which would be a group of HDF5
        while name in frame or name == "_index":
            name += "_"
        frame[name] = _for_pandas(column)
    return frame


def _for_pandas(column: pl.Series) -> Any:
    """Values of a column in a form that AnnData can keep, also the missing ones."""
    import pandas as pd

    if column.dtype.is_float():
        return column.to_numpy()
    if column.dtype == pl.Boolean or column.dtype.is_integer():
        if not column.null_count():
            return column.to_numpy()
        return pd.array(column.to_list(), "boolean" if column.dtype == pl.Boolean else "Int64")
    if column.dtype.is_nested():
        column = column.cast(pl.List(pl.String)).list.join("; ")
    column = column.cast(pl.String)
    categories = pd.Index(column.drop_nulls().unique().sort().to_list(), dtype=object)
    return pd.Categorical(column.to_list(), categories)
