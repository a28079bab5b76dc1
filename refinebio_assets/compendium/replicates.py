"""Which samples are one biological sample on two platforms, and how alike their values are.

Nobody states it in one place, so it is taken from the records, the strongest evidence first:

1. `biosample`: both name the same accession of BioSamples, and none but it, in what was
   submitted.
2. `subject`: of one family of experiments (an experiment and those related to it), the
   harmonised subject is stated, and it, organism, specimen part, treatment, compound, time,
   cell line and developmental stage are the same.
3. `title`: of one family, titles are the same, and none of those fields is stated of both
   and differs.

Case and spaces don't count. Each evidence makes groups; one with two samples of one platform
is ambiguous, as titles like 'control' are, and skipped. Every other one gives a pair for each
two platforms. Because any two samples are alike in that the same genes are high, each pair is
compared with one of the same two platforms whose second sample was drawn from the others.
Not here: replicates on one platform.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.matrix.samples import LEAST_GENES_COMPARED
from refinebio_assets.publish.records import SampleRecord

Floats = NDArray[np.float64]
Evidence = Literal["biosample", "subject", "title"]

MOST_PAIRS: Final = 1000
SEED: Final = 123

_MATERIAL: Final = (
    "subject",
    "specimen_part",
    "treatment",
    "compound",
    "time",
    "cell_line",
    "developmental_stage",
)
_SHORTEST_TITLE: Final = 3
_BIOSAMPLE = re.compile(r"\bSAM(?:N|D|EA)[0-9]{1,15}\b")
_NAMES_BIOSAMPLE = re.compile(r"biosample|biosd|\Asample_accession\Z|\Arelation\Z", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledSample:
    """A sample by what compendia compare: where it comes from, and what it is made of.

    Attributes
    ----------
    platform
        The technology, where no platform is named.
    material
        The harmonised fields that tell a subject's samples apart, as they are stated.
    biosamples
        The accessions of BioSamples that were submitted.
    """

    accession: str
    experiment: str
    organism: str
    technology: str
    platform: str
    title: str = ""
    material: Mapping[str, str] | None = None
    biosamples: frozenset[str] = frozenset()


def labelled(sample: SampleRecord, experiment: str) -> LabelledSample:
    """What is compared of a record."""
    stated = {name: _plain(str(sample.harmonised.get(name, ""))) for name in _MATERIAL}
    return LabelledSample(
        accession=sample.accession,
        experiment=experiment,
        organism=sample.organism,
        technology=sample.technology,
        platform=sample.platform or sample.technology,
        title=_plain(sample.title),
        material={name: text for name, text in stated.items() if text},
        biosamples=frozenset(_biosamples(sample)),
    )


def _biosamples(sample: SampleRecord) -> Iterable[str]:
    for annotation in sample.annotations:
        for key, value in annotation.items():
            for text in value if isinstance(value, list) else [value]:
                if _NAMES_BIOSAMPLE.search(key) and isinstance(text, str):
                    yield from _BIOSAMPLE.findall(text)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


# --- who is whose ---------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two samples, by number, that are one; on different platforms."""

    first: int
    second: int
    evidence: Evidence


@dataclass(frozen=True)
class FoundPairs:
    """The pairs, each once, and how many groups were skipped as ambiguous, by evidence."""

    pairs: list[Pair]
    ambiguous: dict[str, int]


def find_pairs(
    samples: Sequence[LabelledSample], relations: Iterable[tuple[str, str]] = ()
) -> FoundPairs:
    """Find the samples that are one biological sample on two platforms; see above.

    Parameters
    ----------
    relations
        Experiments, and what they are related to: a superseries, a project, another record
        of the same. Who has a relation in common is of one family.
    """
    family = _families(samples, relations)
    pairs: dict[tuple[int, int], Evidence] = {}
    ambiguous: Counter[str] = Counter()
    kinds: tuple[tuple[Evidence, Callable[[LabelledSample], Hashable | None]], ...] = (
        ("biosample", _by_biosample),
        ("subject", lambda each: _by_subject(each, family[each.experiment])),
        ("title", lambda each: _by_title(each, family[each.experiment])),
    )
    for evidence, key_of in kinds:
        groups: dict[Hashable, list[int]] = {}
        for number, each in enumerate(samples):
            key = key_of(each)
            if key is not None:
                groups.setdefault(key, []).append(number)
        for members in groups.values():
            platforms = {samples[each].platform for each in members}
            if len(platforms) < 2:
                continue
            if len(platforms) < len(members):
                ambiguous[evidence] += 1
                continue
            for pair in combinations(members, 2):
                if evidence != "title" or _may_be_one(*(samples[each] for each in pair)):
                    pairs.setdefault(pair, evidence)
    return FoundPairs([Pair(*each, pairs[each]) for each in sorted(pairs)], dict(ambiguous))


def _by_biosample(sample: LabelledSample) -> Hashable | None:
    return next(iter(sample.biosamples)) if len(sample.biosamples) == 1 else None


def _by_subject(sample: LabelledSample, family: str) -> Hashable | None:
    material = sample.material or {}
    if "subject" not in material:
        return None
    return (family, sample.organism, *(material.get(name) for name in _MATERIAL))


def _by_title(sample: LabelledSample, family: str) -> Hashable | None:
    if len(sample.title) < _SHORTEST_TITLE:
        return None
    return (family, sample.organism, sample.title)


def _may_be_one(first: LabelledSample, second: LabelledSample) -> bool:
    here, there = first.material or {}, second.material or {}
    return all(here[name] == there[name] for name in here.keys() & there.keys())


def _families(
    samples: Sequence[LabelledSample], relations: Iterable[tuple[str, str]]
) -> dict[str, str]:
    """Experiment -> the name of its family."""
    parent: dict[str, str] = {}

    def head(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for experiment, other in relations:
        parent[head(experiment)] = head(other)
    return {name: head(name) for name in {each.experiment for each in samples}}


# --- how alike they are ---------------------------------------------------------------


@dataclass(frozen=True)
class Correlations:
    """Correlation coefficients of pairs: quartiles (least, 25 %, median, 75 %, most)."""

    pearson: tuple[float, ...]
    spearman: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {"pearson": list(self.pearson), "spearman": list(self.spearman)}


@dataclass(frozen=True)
class Concordance:
    """How alike the values of pairs are.

    Attributes
    ----------
    pairs
        How many were compared.
    replicates, others
        Of the pairs, and of those with a sample drawn in place of the second.
    nearer
        The share of pairs whose Spearman correlation is above that of the drawn one.
    """

    pairs: int
    replicates: Correlations
    others: Correlations
    nearer: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "pairs": self.pairs,
            "replicates": self.replicates.to_json(),
            "others": self.others.to_json(),
            "nearer": self.nearer,
        }


@dataclass(frozen=True)
class Replicates:
    """The same biological samples on two platforms.

    Attributes
    ----------
    found
        Evidence -> how many pairs of it there are.
    ambiguous
        Evidence -> how many groups of samples were skipped.
    concordance
        'MICROARRAY and RNA-SEQ', … -> how alike such pairs are, at most a thousand of all.
    """

    found: dict[str, int]
    ambiguous: dict[str, int]
    concordance: dict[str, Concordance]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "found": self.found,
            "ambiguous": self.ambiguous,
            "concordance": {name: each.to_json() for name, each in self.concordance.items()},
        }


@dataclass(frozen=True)
class Trio:
    """A pair that is compared, and the sample drawn in place of its second; by number."""

    pair: Pair
    other: int


def draw(found: FoundPairs, samples: Sequence[LabelledSample]) -> list[Trio]:
    """The pairs that are compared, each with a sample of its second's platform.

    At equal distances where there are more than a thousand. The one drawn is none that is
    paired with the first; a pair without another is left out. The same every time.
    """
    partners: dict[int, set[int]] = {}
    for pair in found.pairs:
        partners.setdefault(pair.first, set()).add(pair.second)
        partners.setdefault(pair.second, set()).add(pair.first)
    members: dict[str, list[int]] = {}
    for number, each in enumerate(samples):
        members.setdefault(each.platform, []).append(number)
    chosen = np.unique(np.linspace(0, len(found.pairs) - 1, min(len(found.pairs), MOST_PAIRS)))
    random = np.random.RandomState(SEED)  # the same in any NumPy
    trios = []
    for place in chosen.round().astype(int):
        pair = found.pairs[place]
        there = members[samples[pair.second].platform]
        own = partners[pair.first]
        if all(each in own for each in there):
            continue
        other = there[random.randint(len(there))]
        while other in own:
            other = there[random.randint(len(there))]
        trios.append(Trio(pair, other))
    return trios


def concordance(
    trios: Sequence[Trio],
    samples: Sequence[LabelledSample],
    known_values: Callable[[int], Floats],
) -> dict[str, Concordance]:
    """Compare pairs, by technologies, over the genes that both samples have themselves.

    Parameters
    ----------
    known_values
        The values of a sample, (genes,), NaN where it has none of its own.
    """
    found: dict[str, list[tuple[float, ...]]] = {}
    for each in trios:
        first = known_values(each.pair.first)
        with_second = correlations(first, known_values(each.pair.second))
        with_other = correlations(first, known_values(each.other))
        if with_second is not None and with_other is not None:
            of_both = (samples[each.pair.first].technology, samples[each.pair.second].technology)
            name = " and ".join(sorted(of_both))
            found.setdefault(name, []).append((*with_second, *with_other))
    return {name: _concordance(np.array(found[name])) for name in sorted(found)}


def _concordance(rows: Floats) -> Concordance:
    quartiles = np.quantile(rows, [0, 0.25, 0.5, 0.75, 1], axis=0).T.tolist()
    return Concordance(
        pairs=len(rows),
        replicates=Correlations(tuple(quartiles[0]), tuple(quartiles[1])),
        others=Correlations(tuple(quartiles[2]), tuple(quartiles[3])),
        nearer=float((rows[:, 1] > rows[:, 3]).mean()),
    )


def correlations(x: Floats, y: Floats) -> tuple[float, float] | None:
    """Pearson's and Spearman's of what both have; None of less than a hundred, or constants."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < LEAST_GENES_COMPARED:
        return None
    found = [_pearson(*pair) for pair in ((x[both], y[both]), (_ranks(x[both]), _ranks(y[both])))]
    return (found[0], found[1]) if np.isfinite(found).all() else None


def _pearson(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    with np.errstate(invalid="ignore"):
        return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def _ranks(values: Floats) -> Floats:
    """From 1; equal values have the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Floats = np.cumsum(counts) - (counts - 1) / 2
    return means[place]
