"""SCAN over several CEL files of one platform, to one table. Not here: the model itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidCel, RefinebioError
from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.scan import DECIMALS
from refinebio_assets.whole_file import whole_file

_CEL = re.compile(r"\.cel(\.gz)?\Z", re.IGNORECASE)


def scan_files(
    model: ArrayModel, cels: Sequence[Path], *, upc: bool, threads: int
) -> tuple[dict[str, NDArray[np.float64]], dict[Path, RefinebioError]]:
    """Each array's values by its name, and the errors of files that gave none.

    An array is named as its file without `.CEL`; of two files with one name the second is an
    error, and so is a file named as the first column of the table, `id`.
    """
    names: dict[str, Path] = {}
    problems: dict[Path, RefinebioError] = {}
    for path in cels:
        name = _CEL.sub("", path.name)
        if name == "id":
            problems[path] = InvalidCel("An array cannot be called id.", remedy="Rename the file.")
        elif names.setdefault(name, path) is not path:
            problems[path] = InvalidCel(f"Two arrays are called {name}.", remedy="Rename one.")

    def work(path: Path) -> NDArray[np.float64] | RefinebioError:
        try:
            return model.expression(read_cel(path), upc=upc).values
        except RefinebioError as error:
            return error

    found: dict[str, NDArray[np.float64]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for (name, path), result in zip(names.items(), pool.map(work, names.values()), strict=True):
            if isinstance(result, RefinebioError):
                problems[path] = result
            else:
                found[name] = result
    return found, problems


def write_columns(
    path: Path, names: Sequence[str], arrays: Mapping[str, NDArray[np.float64]]
) -> None:
    """Write a TSV: id, then one column per array, to 8 decimals; whole or not at all."""
    table = pl.DataFrame({"id": names, **arrays})
    with whole_file(path) as aside:
        table.write_csv(aside, separator="\t", float_precision=DECIMALS)
