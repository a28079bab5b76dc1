"""Whether the samples of a compendium can be compared: numbers about its final values.

What each value was is counted block by block while the values are made final
(`Comparison.add`); the values are then read twice more, by genes and by samples
(`Comparison.result`). Memory is that of a panel of the matrix, two kilobytes a sample, and
four bytes for every gene of every platform. Not here: what the numbers mean (`card.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import (
    IMPUTED,
    MEASURED,
    MISSING,
    ORIGINS,
    ZERO_RESTORED,
)
from refinebio_assets.compendium.replicates import (
    LabelledSample,
    Replicates,
    concordance,
    draw,
    find_pairs,
)
from refinebio_assets.compendium.variance_shares import (
    VarianceShare,
    codes_of,
    gene_shares,
    summarised,
)
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.publish.disk_matrix import DiskMatrix, Values
from refinebio_assets.publish.overview import Components, principal_components

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Origins = NDArray[np.uint8]
OnProgress = Callable[[str, int, int], None]

LABELS: Final = ("technology", "platform", "experiment")
QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_OWN: Final = (MEASURED, ZERO_RESTORED)  # values that samples have themselves


@dataclass(frozen=True)
class Cells:
    """What the values of some samples are; `measured` to `missing` are shares and sum to 1.

    Attributes
    ----------
    zeros
        Counts of 0, which are the sample's own values too.
    missing
        Values that are not there; only where nothing is imputed.
    genes
        How many genes at least half of the samples have a value of their own for.
    """

    samples: int
    measured: float
    zeros: float
    imputed: float
    missing: float
    genes: int


@dataclass(frozen=True)
class Coverage:
    """In how many samples genes have a value of the sample's own, measured or a count of 0.

    Attributes
    ----------
    per_gene
        (genes,) the share of samples.
    genes
        101 numbers: how many genes have one in at least 0, 1, … 100 % of the samples.
    """

    per_gene: Floats
    genes: tuple[int, ...]


@dataclass(frozen=True)
class Zeros:
    """Counts of 0 among the values of RNA-seq samples: the share, and `QUANTILES` of samples'."""

    share: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Comparability:
    """What is known of how comparable the samples are.

    Attributes
    ----------
    samples
        In the order of the matrix.
    genes
        How many.
    components
        None where no two genes vary.
    variance
        Technology, platform, experiment -> what it explains.
    technologies, platforms
        Name -> what the values of its samples are; the one with most samples first.
    zeros
        None without RNA-seq.
    """

    samples: Sequence[LabelledSample]
    genes: int
    components: Components | None
    variance: Mapping[str, VarianceShare]
    technologies: Mapping[str, Cells]
    platforms: Mapping[str, Cells]
    coverage: Coverage
    zeros: Zeros | None
    replicates: Replicates

    def to_json(self) -> dict[str, Any]:
        """As a JSON document, without what is said of single samples and genes."""
        components = self.components
        return {
            "num_samples": len(self.samples),
            "num_genes": self.genes,
            "components": components
            and {"shares": components.shares.tolist(), "genes": len(components.genes)},
            "variance_explained": {name: each.to_json() for name, each in self.variance.items()},
            "technologies": {name: vars(each) for name, each in self.technologies.items()},
            "platforms": {name: vars(each) for name, each in self.platforms.items()},
            "genes_by_percent_of_samples": list(self.coverage.genes),
            "zeros": self.zeros
            and {
                "share": self.zeros.share,
                "quantiles": dict(zip(map(str, QUANTILES), self.zeros.quantiles, strict=True)),
            },
            "replicates": self.replicates.to_json(),
        }


class Comparison:
    """Takes a compendium's values as they are made final, and compares its samples then.

    Parameters
    ----------
    samples
        In the order of the matrix.
    genes
        How many.
    relations
        Experiments and what they are related to; see `replicates.find_pairs`.
    """

    def __init__(
        self,
        samples: Sequence[LabelledSample],
        genes: int,
        relations: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._samples, self._genes = samples, genes
        self._found = find_pairs(samples, relations)
        self._trios = draw(self._found, samples)
        self._known = {
            number: b""  # bits of genes, once they are seen
            for each in self._trios
            for number in (each.pair.first, each.pair.second, each.other)
        }
        self._platforms = codes_of([f"{each.technology}\0{each.platform}" for each in samples])
        number = self._platforms[1]
        self._by_platform = np.zeros((number, len(ORIGINS)), np.int64)
        self._own_by_platform = np.zeros((number, genes), np.int32)
        self._zeros_by_sample = np.zeros(len(samples), np.int64)
        self._done = 0

    def add(self, values: Values, origins: Origins) -> None:
        """Some more samples, in order: values, which are not looked at, and what each was.

        Both are (samples, genes).
        """
        del values
        first, end = self._done, self._done + len(origins)
        if origins.shape[1] != self._genes or end > len(self._samples):
            raise ValueError(f"Origins of the shape {origins.shape} do not fit.")
        codes = self._platforms[0][first:end]
        zeros = self._zeros_by_sample[first:end]
        _count(origins, codes, self._by_platform, self._own_by_platform, zeros)
        for number in range(first, end):
            if number in self._known:
                own = np.isin(origins[number - first], _OWN)
                self._known[number] = np.packbits(own).tobytes()
        self._done = end

    def result(
        self, matrix: DiskMatrix, on_progress: OnProgress = lambda stage, done, total: None
    ) -> Comparability:
        """What there is to say, once all samples were added.

        Parameters
        ----------
        matrix
            Of the final values.
        on_progress
            Is told what is done with ("compared"), of how many genes, how many.
        """
        if self._done != matrix.samples or self._genes != matrix.genes:
            raise ValueError(
                f"{self._done} samples were added, of {matrix.samples} × {matrix.genes} values."
            )
        labels = {name: [getattr(each, name) for each in self._samples] for name in LABELS}
        shares = gene_shares(matrix, labels, lambda *done: on_progress("compared", *done))
        components = principal_components(matrix, shares.variances)
        coordinates = None
        if components is not None:  # one that explains nothing is noise
            coordinates = np.where(components.shares > 1e-9, components.coordinates, np.nan)

        def own_values(number: int) -> Floats:
            bits = np.frombuffer(self._known[number], np.uint8)
            values: Floats = matrix.read_samples(number, number + 1)[0].astype(np.float64)
            values[np.unpackbits(bits, count=self._genes) == 0] = np.nan
            return values

        evidence = [each.evidence for each in self._found.pairs]
        return Comparability(
            samples=self._samples,
            genes=self._genes,
            components=components,
            variance={
                name: summarised(shares, name, each, coordinates) for name, each in labels.items()
            },
            technologies=self._cells([each.technology for each in self._samples]),
            platforms=self._cells([each.platform for each in self._samples]),
            coverage=self._coverage(),
            zeros=self._zeros(),
            replicates=Replicates(
                found={name: evidence.count(name) for name in dict.fromkeys(evidence)},
                ambiguous=self._found.ambiguous,
                concordance=concordance(self._trios, self._samples, own_values),
            ),
        )

    def _cells(self, labels: Sequence[str]) -> dict[str, Cells]:
        """By a label that is the same of all samples of a platform."""
        codes, number = self._platforms
        name_of: dict[int, str] = {}
        for code, name in zip(codes.tolist(), labels, strict=True):
            name_of.setdefault(code, name)
        sizes = np.bincount(codes, minlength=number)
        found = {}
        for name in dict.fromkeys(name_of.values()):
            members = [code for code in name_of if name_of[code] == name]
            samples = int(sizes[members].sum())
            counts = self._by_platform[members].sum(axis=0) / (samples * self._genes)
            own = sum(self._own_by_platform[member].astype(np.int64) for member in members)
            found[name] = Cells(
                samples=samples,
                measured=float(counts[MEASURED]),
                zeros=float(counts[ZERO_RESTORED]),
                imputed=float(counts[IMPUTED]),
                missing=float(counts[MISSING]),
                genes=int((own * 2 >= samples).sum()),
            )
        return dict(sorted(found.items(), key=lambda each: (-each[1].samples, each[0])))

    def _coverage(self) -> Coverage:
        own = self._own_by_platform.sum(axis=0, dtype=np.int64)
        samples = len(self._samples)
        return Coverage(
            per_gene=own / samples,
            genes=tuple(int((own * 100 >= each * samples).sum()) for each in range(101)),
        )

    def _zeros(self) -> Zeros | None:
        are = np.array([each.technology == RNA_SEQ for each in self._samples])
        if not are.any():
            return None
        shares = self._zeros_by_sample[are] / self._genes
        quantiles = np.quantile(shares, QUANTILES).tolist()
        return Zeros(float(shares.mean()), tuple(quantiles))


@njit(cache=True, nogil=True)
def _count(
    origins: Origins,
    platforms: Integers,
    by_platform: Integers,
    own_by_platform: NDArray[np.int32],
    zeros: Integers,
) -> None:
    """Count what values are, (samples, genes): in place, in the last three."""
    for sample in range(len(origins)):
        platform = platforms[sample]
        for gene in range(origins.shape[1]):
            origin = origins[sample, gene]
            by_platform[platform, origin] += 1
            if origin in (MEASURED, ZERO_RESTORED):
                own_by_platform[platform, gene] += 1
            if origin == ZERO_RESTORED:
                zeros[sample] += 1
