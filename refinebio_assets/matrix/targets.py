"""Which samples make up an organism's quantile-normalisation target.

Not here: the arithmetic (`quantile.py`), and where targets lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import TooFewSamples
from refinebio_assets.matrix.quantile import determine_target
from refinebio_assets.matrix.sample_files import SampleValues

Samples = Callable[[], Iterable[SampleValues]]


@dataclass(frozen=True, eq=False)
class Target:
    """A reference distribution.

    Attributes
    ----------
    values
        Ascending, (genes,) float64.
    genes
        Those of the samples, in their order.
    samples
        That were averaged.
    left_out
        Sample -> why it was not.
    """

    values: NDArray[np.float64]
    genes: pl.Series
    samples: list[str]
    left_out: dict[str, str]


def commonest_platform(platforms: Iterable[str], minimum: int) -> str:
    """The platform of most samples; of two as common the first by name.

    Raises
    ------
    TooFewSamples
        Even it has fewer than `minimum`.
    """
    counted = Counter(platforms)
    ordered = sorted(counted, key=lambda name: (-counted[name], name))
    if not ordered or counted[ordered[0]] < minimum:
        most = f"at most {counted[ordered[0]]} ({ordered[0]})" if ordered else "none"
        raise TooFewSamples(
            f"A target needs {minimum} samples of one platform, processed from raw data; there "
            f"are {most}."
        )
    return ordered[0]


def make_target(samples: Samples, minimum: int) -> Target:
    """Average the sorted values of the samples that have the commonest list of genes.

    Parameters
    ----------
    samples
        Gives the samples anew each time it is called (twice), in one order; one at a time is
        held.
    minimum
        Samples that must be left.

    Raises
    ------
    TooFewSamples
    """
    lists: list[pl.Series] = []
    counts: Counter[int] = Counter()
    for each in samples():
        counts[_number(each.genes, lists)] += 1
    if not counts:
        raise TooFewSamples("There is no sample to make a target of.")
    chosen = lists[min(counts, key=lambda number: (-counts[number], number))]
    used: list[str] = []
    left_out: dict[str, str] = {}

    def usable() -> Iterator[NDArray[np.float32]]:
        for each in samples():
            if each.genes is not chosen and not each.genes.equals(chosen):
                left_out[each.sample] = "Its genes are not those of most samples."
            elif not np.isfinite(each.values).all():
                left_out[each.sample] = "It has values that are not finite."
            else:
                used.append(each.sample)
                yield each.values

    if not len(chosen):
        raise TooFewSamples("Most samples have no values.")
    values = determine_target(_at_least_one(usable()))
    if len(used) < minimum:
        raise TooFewSamples(f"A target needs {minimum} samples; {len(used)} have the same genes.")
    return Target(values, chosen, used, left_out)


def _number(genes: pl.Series, lists: list[pl.Series]) -> int:
    for number, known in enumerate(lists):
        if genes is known or genes.equals(known):
            return number
    lists.append(genes)
    return len(lists) - 1


def _at_least_one(values: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    first = next(values, None)
    if first is None:
        raise TooFewSamples("No sample has finite values.")
    yield first
    yield from values
