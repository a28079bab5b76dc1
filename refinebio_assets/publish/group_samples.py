"""The samples of a group, read file by file: their genes, and their values on disk.

Values come on the log scale where refine.bio's rules ask for it. Not here: what is made of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from refinebio_assets.errors import InvalidExpressionTable
from refinebio_assets.matrix.join import GeneLists, LeftOut, gene_lists
from refinebio_assets.matrix.log_scale import log2_if_raw, log2_of_counts
from refinebio_assets.matrix.sample_files import SamplesOfFile, SampleValues, read_samples
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.publish.disk_matrix import Spool, Values
from refinebio_assets.publish.recipe import AggregateBy
from refinebio_assets.publish.wide_parquet import GENE

OnProgress = Callable[[str, int, int], None]

_Key = tuple[Path, str]  # a file and one of its samples
_BYTES_PER_CELL: Final = 12  # with copies


@dataclass(frozen=True)
class GroupSample:
    """A sample that is wanted: `technology` is RNA-SEQ or MICROARRAY, `path` its values'."""

    sample: str
    organism: str
    technology: str
    path: Path


@dataclass(frozen=True, eq=False)
class GatheredSamples:
    """The samples that have values: their genes, and where in the spool their values lie.

    `vectors` and `organisms` are those of the first sample of a name.
    """

    lists: GeneLists
    vectors: dict[str, int]
    organisms: dict[str, str]
    left_out: list[LeftOut]


def gather(
    samples: Sequence[GroupSample],
    aggregate_by: AggregateBy,
    spool: Spool,
    memory_bytes: int,
    on_progress: OnProgress,
) -> GatheredSamples:
    """Read all samples, a file at a time, and spool their values on the scale they need.

    Parameters
    ----------
    memory_bytes
        For values that are read; some 300 MB beside it. Files of more are read several times.
    """
    wanted = {(each.path, each.sample): each for each in samples}
    by_file: dict[Path, list[str]] = {}
    for path, sample in wanted:
        by_file.setdefault(path, []).append(sample)
    vectors: dict[_Key, int] = {}
    series_of: dict[_Key, int] = {}
    reasons: dict[_Key, str] = {}
    most_cells = memory_bytes // _BYTES_PER_CELL

    def series() -> Iterator[tuple[str, pl.Series]]:
        """The genes of each sample of a file, those that several share once."""
        count = 0
        for path, names in by_file.items():
            known: dict[int, tuple[int, pl.Series]] = {}  # by identity, as long as they live
            for each in _usable(path, names, most_cells, reasons):
                key = (path, each.sample)
                technology = wanted[key].technology
                vectors[key] = spool.append(_on_scale(each.values, technology, aggregate_by))
                if id(each.genes) not in known:
                    known[id(each.genes)] = (count, each.genes)
                    count += 1
                    yield each.sample, each.genes
                series_of[key] = known[id(each.genes)][0]
                on_progress("read", len(vectors) + len(reasons), len(wanted))

    found = gene_lists(series())
    on_progress("read", len(wanted), len(wanted))
    usable = [each for each in samples if (each.path, each.sample) in vectors]
    first = {each.sample: each for each in reversed(usable)}
    return GatheredSamples(
        lists=GeneLists(
            samples=[each.sample for each in usable],
            list_of=[found.list_of[series_of[each.path, each.sample]] for each in usable],
            lists=found.lists,
            codes=found.codes,
            genes=found.genes,
        ),
        vectors={sample: vectors[each.path, sample] for sample, each in first.items()},
        organisms={sample: each.organism for sample, each in first.items()},
        left_out=[
            LeftOut(each.sample, reasons[each.path, each.sample])
            for each in samples
            if (each.path, each.sample) in reasons
        ],
    )


def _usable(
    path: Path, names: Sequence[str], most_cells: int, reasons: dict[_Key, str]
) -> Iterator[SampleValues]:
    """The samples of a file that have values; why the others cannot be used is noted."""
    left = list(names)
    try:
        for each in read_samples([SamplesOfFile(path, names)], most_cells):
            left.remove(each.sample)
            if each.sample == GENE:
                reasons[path, each.sample] = "It has the name of the column of genes."
            elif not len(each.genes):
                reasons[path, each.sample] = f"{path.name} has no value of it."
            else:
                yield each
    except OSError as error:
        reasons |= {
            (path, sample): f"{path.name} cannot be read: {error.strerror or error}"
            for sample in left
        }
    except InvalidExpressionTable as error:
        reasons |= {(path, sample): error.message for sample in left}


def _on_scale(values: Values, technology: str, aggregate_by: AggregateBy) -> Values:
    """By the rules of refine.bio: counts stay counts but for a matrix of a whole species."""
    if technology != RNA_SEQ:
        return log2_if_raw(values).astype(np.float32, copy=False)
    if aggregate_by != "SPECIES":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return log2_of_counts(values).astype(np.float32, copy=False)
