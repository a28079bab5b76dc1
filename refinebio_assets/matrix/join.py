"""Samples with different genes joined into one matrix: planned from the genes, then filled.

Planning needs the samples' genes only, filling their values; both take one sample at a
time, so that the result is all that is held. Source: refine.bio's inner join of datasets
and outer join of compendia. Not here: reading samples, cleaning their identifiers, and
which of the genes of an outer join are worth keeping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Reals = NDArray[np.floating[Any]]

_NOBODY: Final = -1
_SEVERAL: Final = -2


# --- who has which genes --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GeneLists:
    """Which genes each sample has; a list that many samples share is kept once.

    Attributes
    ----------
    samples
        In the order given.
    list_of
        Of each sample, the index of its list.
    lists
        The different lists; two with the same genes in different order are two.
    codes
        Of each list, its genes as rows of `genes`.
    genes
        All genes, in the order of first appearance.
    """

    samples: list[str]
    list_of: list[int]
    lists: list[pl.Series]
    codes: list[Codes]
    genes: pl.Series

    def presence(self, number: int) -> NDArray[np.bool_]:
        """(all genes,) Whether a list has each gene."""
        present = np.zeros(len(self.genes), bool)
        present[self.codes[number]] = True
        return present


def gene_lists(samples: Iterable[tuple[str, pl.Series]]) -> GeneLists:
    """Collect the genes of samples.

    Parameters
    ----------
    samples
        Name and genes, which are strings, each once.

    Raises
    ------
    ValueError
        A sample has a gene twice, or one without a name.
    """
    names: list[str] = []
    list_of: list[int] = []
    lists: list[pl.Series] = []
    codes: list[Codes] = []
    alike: dict[tuple[int, int], list[int]] = {}
    code_of: dict[str, int] = {}
    for name, genes in samples:
        candidates = alike.setdefault((len(genes), int(genes.hash().to_numpy().sum())), [])
        number = next((each for each in candidates if lists[each].equals(genes)), len(lists))
        if number == len(lists):
            if genes.null_count() or genes.n_unique() < len(genes):
                raise ValueError(f"Sample {name} has a gene twice, or one without a name.")
            coded = (code_of.setdefault(gene, len(code_of)) for gene in genes)
            codes.append(np.fromiter(coded, np.int32, len(genes)))
            lists.append(genes)
            candidates.append(number)
        names.append(name)
        list_of.append(number)
    universe = pl.Series("gene", list(code_of), dtype=pl.String)
    return GeneLists(names, list_of, lists, codes, universe)


# --- plans ----------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """A sample that is not in the result, and why."""

    sample: str
    reason: str


@dataclass(frozen=True, eq=False)
class Column:
    """Where a column's values come from: `genes[source[i]]` goes to row `rows[i]`.

    Samples with the same list of genes share one.
    """

    genes: pl.Series
    source: NDArray[np.intp]
    rows: Codes


@dataclass(frozen=True, eq=False)
class Join:
    """What a joined matrix will be.

    Attributes
    ----------
    genes
        Of the rows.
    samples
        Of the columns, in the order given.
    columns
        One of each sample.
    coverage
        (genes,) how many of the samples have each gene.
    left_out
        In the order given.
    """

    genes: pl.Series
    samples: list[str]
    columns: list[Column]
    coverage: NDArray[np.int64]
    left_out: list[LeftOut]


def inner_join(found: GeneLists) -> Join:
    """The genes that all samples have, in the order of the first sample's.

    Samples that share genes, directly or through others, are of one identifier space. The
    space with most samples is joined (of two as large, the one that comes first), so that a
    stray sample does not decide, wherever it stands. Within it, a sample that would leave
    not one gene is left out, and so is one whose name was there before.
    """
    named, left_out = _first_of_each_name(found)
    space = _largest_space(found, named)
    samples: list[int] = []
    fits: dict[int, bool] = {}
    kept: NDArray[np.bool_] = np.ones(len(found.genes), bool)
    order: Codes = np.empty(0, np.int32)
    for sample in named:
        number = found.list_of[sample]
        if number not in space:
            reason = (
                "It shares no gene with most of the samples."
                if len(found.codes[number])
                else "It has no gene."
            )
            left_out[sample] = reason
            continue
        if number not in fits:
            order = order if fits else found.codes[number]
            still = kept & found.presence(number)
            fits[number] = bool(still.any())
            kept = still if fits[number] else kept
        if fits[number]:
            samples.append(sample)
        else:
            left_out[sample] = "It has none of the genes that all samples before it have."
    return _join(found, order[kept[order]], samples, left_out)


def outer_join(found: GeneLists) -> Join:
    """The genes that any sample has, sorted; a repeated name's second sample is left out."""
    named, left_out = _first_of_each_name(found)
    used = {found.list_of[sample] for sample in named}
    present = np.zeros(len(found.genes), bool)
    for number in used:
        present |= found.presence(number)
    order = found.genes.arg_sort().to_numpy().astype(np.int32)
    return _join(found, order[present[order]], named, left_out)


def _first_of_each_name(found: GeneLists) -> tuple[list[int], dict[int, str]]:
    """The samples as numbers, and why others are left out."""
    first: dict[str, int] = {}
    left_out: dict[int, str] = {}
    for sample, name in enumerate(found.samples):
        if first.setdefault(name, sample) != sample:
            left_out[sample] = "A sample of this name is there already."
    return list(first.values()), left_out


def _largest_space(found: GeneLists, samples: list[int]) -> set[int]:
    """The lists of the identifier space with most samples."""
    space_of_gene = np.full(len(found.genes), _NOBODY, np.int32)
    samples_of_list = Counter(found.list_of[sample] for sample in samples)  # first come first
    spaces: dict[int, set[int]] = {}
    for number in samples_of_list:
        codes = found.codes[number]
        met = [int(space) for space in np.unique(space_of_gene[codes]) if space != _NOBODY]
        joined = min(met, default=number)
        members = spaces.setdefault(joined, set())
        members.add(number)
        for space in met:
            if space != joined:
                members |= spaces.pop(space)
                space_of_gene[space_of_gene == space] = joined
        space_of_gene[codes] = joined
    sizes = {
        space: sum(samples_of_list[number] for number in members)
        for space, members in spaces.items()
        if any(len(found.codes[number]) for number in members)
    }
    return spaces[max(sizes, key=sizes.__getitem__)] if sizes else set()


def _join(found: GeneLists, rows: Codes, samples: list[int], left_out: Mapping[int, str]) -> Join:
    """A plan from the genes of its rows, as codes, and its samples, as numbers."""
    row_of = np.full(len(found.genes), _NOBODY, np.int32)
    row_of[rows] = np.arange(len(rows), dtype=np.int32)
    columns: dict[int, Column] = {}
    coverage = np.zeros(len(rows), np.int64)
    for number, count in Counter(found.list_of[sample] for sample in samples).items():
        to = row_of[found.codes[number]]
        source = np.flatnonzero(to != _NOBODY)
        columns[number] = Column(found.lists[number], source, to[source])
        coverage[to[source]] += count
    return Join(
        genes=found.genes.gather(rows),
        samples=[found.samples[sample] for sample in samples],
        columns=[columns[found.list_of[sample]] for sample in samples],
        coverage=coverage,
        left_out=[LeftOut(found.samples[sample], left_out[sample]) for sample in sorted(left_out)],
    )


# --- values ---------------------------------------------------------------------------


def fill(
    join: Join, samples: Iterable[tuple[str, pl.Series, Reals]], out: Reals | None = None
) -> Reals:
    """The joined matrix; NaN where a sample has no such gene.

    Parameters
    ----------
    samples
        Name, genes and values, as they were planned, in any order; those left out may be
        there or not. Of several of one name, the first is taken.
    out
        (genes, samples) to be filled, for example a memory map. Without it, a new array of
        float32 with whole columns together.

    Raises
    ------
    ValueError
        A sample's genes are not those it was planned with, or a planned one is not there.
    """
    shape = (len(join.genes), len(join.samples))
    if out is None:
        out = np.empty(shape, np.float32, order="F")
    if out.shape != shape:
        raise ValueError(f"The result has the shape {shape}, not {out.shape}.")
    waiting = {name: number for number, name in enumerate(join.samples)}
    for name, genes, values in samples:
        if name not in waiting:
            continue
        number = waiting.pop(name)
        planned = join.columns[number]
        if len(values) != len(genes) or not planned.genes.equals(genes):
            raise ValueError(f"Sample {name} comes with other genes than it was planned with.")
        if len(planned.rows) < len(join.genes):
            out[:, number] = np.nan
        out[planned.rows, number] = values[planned.source]
    if waiting:
        raise ValueError(f"Samples did not come: {', '.join(sorted(waiting))[:200]}")
    return out


# --- what the inner join will cost ----------------------------------------------------


@dataclass(frozen=True)
class GeneLoss:
    """What a group of samples costs an inner join.

    Attributes
    ----------
    group
        Its name, for example a platform.
    samples
        How many samples it has.
    genes
        How many genes all of them have.
    lost
        Genes that all other groups' samples have, and not all of these: so many more would be
        kept without the group. A gene missing in two groups is charged to neither.
    kept
        Genes of the inner join with the group.
    """

    group: str
    samples: int
    genes: int
    lost: int
    kept: int


def forecast_gene_loss(found: GeneLists, group_of: Mapping[str, str]) -> list[GeneLoss]:
    """What each group of samples costs the inner join of all, the dearest first.

    Parameters
    ----------
    group_of
        Sample to group: its platform, or its own name to ask for single samples. A group
        that is alone costs nothing.
    """
    samples = Counter(group_of[name] for name in found.samples)
    names = list(samples)
    place = {name: number for number, name in enumerate(names)}
    lists_of_group: list[set[int]] = [set() for _ in names]
    groups_of_list: list[set[int]] = [set() for _ in found.lists]
    for name, number in zip(found.samples, found.list_of, strict=True):
        lists_of_group[place[group_of[name]]].add(number)
        groups_of_list[number].add(place[group_of[name]])

    lacking = np.full(len(found.genes), _NOBODY, np.int32)  # the one group that lacks a gene
    for number, groups in enumerate(groups_of_list):
        absent = ~found.presence(number)
        group = next(iter(groups)) if len(groups) == 1 else _SEVERAL
        lacking[absent & (lacking != _NOBODY) & (lacking != group)] = _SEVERAL
        lacking[absent & (lacking == _NOBODY)] = group
    lost = np.bincount(lacking[lacking >= 0], minlength=len(names))

    in_common: dict[frozenset[int], int] = {}
    losses = []
    for number, name in enumerate(names):
        lists = frozenset(lists_of_group[number])
        if lists not in in_common:
            in_common[lists] = _genes_in_common(found, lists)
        losses.append(
            GeneLoss(
                group=name,
                samples=samples[name],
                genes=in_common[lists],
                lost=int(lost[number]) if len(names) > 1 else 0,
                kept=int(np.count_nonzero(lacking == _NOBODY)),
            )
        )
    return sorted(losses, key=lambda loss: (-loss.lost, loss.group))


def _genes_in_common(found: GeneLists, lists: Iterable[int]) -> int:
    present = np.ones(len(found.genes), bool)
    for number in lists:
        present &= found.presence(number)
    return int(np.count_nonzero(present))
