"""SCAN: one array's expression values, without any other array.

SCAN predicts from a probe's sequence what it shows without its target, takes that away from
the log2 intensity, and divides by the spread of probes with a like prediction. Source: Piccolo
et al., "A single-sample microarray normalization method to facilitate personalized-medicine
workflows", Genomics 100:337 (2012), and "Multiplatform single-sample estimates of
transcriptional activation", PNAS 110:17778 (2013) for the UPC; the R package SCAN.UPC
2.20.0 (`SCANfast`, `SCAN`, `UPCfast`, `UPC`), and refine.bio's adaptation to bead arrays. The
tests hold SCANfast, UPCfast and the adaptation to the original within 2e-8; SCAN and UPC are
the same with other settings. Not here: reading intensities, which gene a cell belongs to, and
the background correction that precedes SCAN on bead arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted, TooFewProbes, TooManyZeros
from refinebio_assets.microarray.mixture import (
    BINS,
    NOISE,
    Fit,
    background_probability,
    equal_bins,
    fit_mixture,
)
from refinebio_assets.microarray.probes import GeneMap, ProbeTable
from refinebio_assets.microarray.r_random import normals
from refinebio_assets.microarray.scaling import scaled_in_groups
from refinebio_assets.microarray.sequence_effects import (
    Floats,
    PackedSequences,
    SequenceRegression,
    pack_sequences,
    regression_on_every,
)

DECIMALS = 8  # to which SCAN.UPC rounds the value of a probe

_MOST_ZEROS = 0.01  # of all intensities
_TRIM = 0.1  # of a group's values, at either end
_NOISE_SEED = 0
_SHELL_SORT_GAPS = (8858, 3937, 1750, 701, 301, 132, 57, 23, 10, 4, 1)  # Ciura (2001)


@dataclass(frozen=True)
class ScanSettings:
    """What differs between the variants of SCAN.

    Attributes
    ----------
    name
        As in the literature.
    sample_size
        The model is fitted to every s-th probe, s = max(1, floor(n / sample_size)).
    group_size
        Probes that are scaled together.
    convergence
        The largest relative change of a parameter with which the fit ends, below 1.
    of_intensities
        Input is intensities, to be checked for zeros and brought to log2; otherwise it is
        taken as it is.
    noise
        Whether a little noise, the same for every sample, is added before the fit.
    one_tie_seed
        Whether ties between bins are broken with R's seed 1 again and again, not 1, 2, ….
    t_counted_from
        From what the numbers of A, C and G are subtracted to give that of T; None for the
        probe's length.
    """

    name: str
    sample_size: int
    group_size: int
    convergence: float
    of_intensities: bool = True
    noise: bool = False
    one_tie_seed: bool = False
    t_counted_from: int | None = None

    def __post_init__(self) -> None:
        if not self.convergence < 1:
            raise ValueError(f"The convergence threshold is {self.convergence}, not below 1.")
        if self.sample_size < 1 or self.group_size < 1:
            raise ValueError("A sample and a group have at least one probe.")


SCANFAST = ScanSettings("SCANfast", sample_size=10_000, group_size=5_000, convergence=0.5)
SCAN = ScanSettings("SCAN", sample_size=50_000, group_size=5_000, convergence=0.01)
BEAD_ARRAY_SCAN = ScanSettings(
    "SCANfast for bead arrays",
    sample_size=10_000,
    group_size=50,
    convergence=0.5,
    of_intensities=False,
    noise=True,
    one_tie_seed=True,
    t_counted_from=60,
)


# --- the platform ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PreparedPlatform:
    """All of SCAN that does not depend on the sample; read only, shared by threads.

    For HG_U95Av2 (199,084 probes) it holds 3 MiB, and scanning a sample takes up to 13 MiB
    more, with the UPC 17; 1.5 MiB of them per array of values stay.

    Attributes
    ----------
    settings
        With which it was prepared.
    sequences
        Of all n probes, in canonical order.
    step
        s: the model is fitted to every s-th probe.
    regression
        On the probes that the model is fitted to.
    order
        (n,) rows of the probe table in canonical order; None where they are in it.
    noise
        (n,) in canonical order, or None.
    """

    settings: ScanSettings
    sequences: PackedSequences
    step: int
    regression: SequenceRegression
    order: NDArray[np.intp] | None
    noise: Floats | None


def prepare(probes: ProbeTable, settings: ScanSettings) -> PreparedPlatform:
    """Prepare a platform of cells for any number of samples.

    The order of the table's rows has no influence: the model is fitted to every s-th probe by
    ascending cell index (ties by probe set), as in SCAN.UPC. Raises as `prepare_sequences`
    does.
    """
    order = np.lexsort([probes.probe_set, probes.x, probes.y])
    if (np.diff(order) == 1).all():
        return prepare_sequences(probes.sequence, settings)
    in_order = prepare_sequences(probes.sequence[order], settings)
    return replace(in_order, order=order)


def prepare_sequences(sequence: NDArray[np.uint8], settings: ScanSettings) -> PreparedPlatform:
    """Prepare a platform of probes without cells, such as a bead array.

    Parameters
    ----------
    sequence
        (n, L) codes: 0 A, 1 C, 2 G, anything else counts as T. The order of the rows matters:
        every s-th is in the fit, and noise is added in this order.

    Raises
    ------
    TooFewProbes
        Fewer than one group has, or than 25 bins of the fitted probes need.
    InvalidProbeAnnotation
        Probes of more than 60 bases.
    """
    n = len(sequence)
    step = max(1, n // settings.sample_size)
    needed = max(settings.group_size, step * (BINS - 1) + 1)
    if n < needed:
        raise TooFewProbes(f"{settings.name} needs {needed} probes; the platform has {n}.")
    packed = pack_sequences(sequence, settings.t_counted_from)
    return PreparedPlatform(
        settings=settings,
        sequences=packed,
        step=step,
        regression=regression_on_every(step, sequence, packed),
        order=None,
        noise=normals(_NOISE_SEED, n) * NOISE if settings.noise else None,
    )


# --- a sample -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ScanResult:
    """One sample's normalised probes.

    Attributes
    ----------
    values
        (n,) in the order of the platform's rows, rounded to 8 decimals. The probes with the
        lowest predicted background, one fewer than a group has, are exactly 0.
    upc
        (n,) probability of each probe to show its target (the Universal exPression Code),
        rounded to 8 decimals; None unless asked for.
    fit
        The mixture.
    zero_shift
        Whether 1 was added to all intensities because the smallest was 0.
    """

    values: Floats
    upc: Floats | None
    fit: Fit
    zero_shift: bool


def scan(probe_values: Floats, platform: PreparedPlatform, *, upc: bool = False) -> ScanResult:
    """Normalise one sample.

    Parameters
    ----------
    probe_values
        (n,) in the order of the platform's rows: for arrays of cells the intensities at
        `probes.cells(columns)`, else values on the log2 scale.
    upc
        Whether to compute the UPC too.

    Raises
    ------
    TooManyZeros
        More than 1 % of the intensities are 0.
    ModelNotFitted
        A value is missing, infinite or (an intensity) negative; or the mixture cannot be
        fitted. Not for a fit that does not converge: SCAN.UPC takes it as it is, and
        `fit.converged` says so.
    """
    settings = platform.settings
    if probe_values.shape != (len(platform.sequences),):
        raise ValueError(
            f"{probe_values.shape} values were given for {len(platform.sequences)} probes."
        )
    y = np.asarray(probe_values, dtype=np.float64)
    if platform.order is not None:
        y = y[platform.order]
    zero_shift = False
    if settings.of_intensities:
        y, zero_shift = _log2_of_intensities(y)
    elif not np.isfinite(y).all():
        raise ModelNotFitted(
            f"{np.count_nonzero(~np.isfinite(y))} of {len(y)} values are missing or infinite."
        )
    if platform.noise is not None:
        y = y + platform.noise

    fit = fit_mixture(
        np.ascontiguousarray(y[:: platform.step]),
        platform.regression,
        convergence=settings.convergence,
        one_tie_seed=settings.one_tie_seed,
    )
    m1 = platform.sequences.predict(fit.b1)
    residuals = y - m1
    values = scaled_in_groups(residuals, m1, settings.group_size)
    probability = None
    if upc:
        bins = equal_bins(m1, settings.one_tie_seed)
        from_signal = y - platform.sequences.predict(fit.b2)
        background = background_probability(residuals, from_signal, bins, fit.p, fit.s1, fit.s2)
        probability = _as_given(np.round(1 - background, DECIMALS), platform)
    return ScanResult(
        values=_as_given(np.round(values, DECIMALS), platform),
        upc=probability,
        fit=fit,
        zero_shift=zero_shift,
    )


def _log2_of_intensities(intensities: Floats) -> tuple[Floats, bool]:
    """log2 of the intensities, and whether 1 was added to them before."""
    impossible = np.count_nonzero(~(np.isfinite(intensities) & (intensities >= 0)))
    if impossible:
        raise ModelNotFitted(
            f"{impossible} of {len(intensities)} intensities are negative or not numbers.",
        )
    zeros = np.count_nonzero(intensities == 0)
    if zeros / len(intensities) > _MOST_ZEROS:
        raise TooManyZeros(f"{zeros} of {len(intensities)} probe intensities are 0.")
    return np.log2(intensities + 1 if zeros else intensities), bool(zeros)


def _as_given(values: Floats, platform: PreparedPlatform) -> Floats:
    """Bring values from the canonical order to that of the platform's rows."""
    if platform.order is None:
        return values
    given = np.empty_like(values)
    given[platform.order] = values
    return given


def percent_saturated(intensities: Floats) -> float:
    """How many per cent of the intensities equal the largest."""
    return 100 * float(np.mean(intensities == intensities.max()))


# --- probe sets and genes -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Groups:
    """Which probes make up each probe set or gene.

    Attributes
    ----------
    names
        Of the groups that have a probe, in the order of the table they come from.
    pointers
        (groups + 1,): `members[pointers[i]:pointers[i + 1]]` are those of group i.
    members
        Rows of the platform. A row may be in several groups, and several times in one.
    """

    names: list[str]
    pointers: NDArray[np.int64]
    members: NDArray[np.int64]


def groups_of_probe_sets(probes: ProbeTable) -> Groups:
    """The platform's own probe sets."""
    rows = np.arange(len(probes.probe_set))
    return _groups(probes.probe_set, rows, probes.probe_sets)


def groups_of_genes(probes: ProbeTable, genes: GeneMap) -> Groups:
    """The genes of a map, by cell.

    A cell of several genes counts in each, and a cell that the platform has twice counts twice.
    Cells of the map that the platform does not have are passed over; so is a gene that has
    no other.
    """
    of_probes, of_map = _cell_keys(probes.x, probes.y), _cell_keys(genes.x, genes.y)
    by_cell = np.argsort(of_probes, kind="stable")
    cells = of_probes[by_cell]
    first = np.searchsorted(cells, of_map, side="left")
    count = np.searchsorted(cells, of_map, side="right") - first
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    rows = by_cell[np.repeat(first, count) + within]
    return _groups(np.repeat(genes.gene, count), rows, genes.genes)


def _cell_keys(x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.int64]:
    """The same order as the cell index on a chip of any width, no two cells alike."""
    return (y.astype(np.int64) << 32) + x


def _groups(group: NDArray[np.int32], rows: NDArray[np.int64], names: list[str]) -> Groups:
    sizes = np.bincount(group, minlength=len(names))
    present = np.flatnonzero(sizes)
    return Groups(
        names=[names[index] for index in present],
        pointers=np.concatenate([[0], np.cumsum(sizes[present])]),
        members=rows[np.argsort(group, kind="stable")],
    )


def summarise(values: Floats, groups: Groups) -> Floats:
    """One value per group: the mean without the lowest and the highest tenth.

    Of N values floor(N / 10) are left out at either end (R's `mean(trim = 0.1)`). Not rounded:
    SCAN.UPC rounds a summary to 8 decimals when it writes it, and not before.

    Parameters
    ----------
    values
        (n,) of the platform's rows, without NaN; of a `ScanResult`, rounded as SCAN.UPC has
        them here.

    Returns
    -------
    Floats
        (groups,).
    """
    if groups.members.size and groups.members.max() >= len(values):
        raise ValueError(f"The groups are not of a platform of {len(values)} probes.")
    means = np.empty(len(groups.names))
    _trimmed_means(np.array(values, np.float64), groups.pointers, groups.members, _TRIM, means)
    return means


@njit(cache=True, nogil=True)
def _trimmed_means(
    values: Floats,
    pointers: NDArray[np.int64],
    members: NDArray[np.int64],
    trim: float,
    means: Floats,
) -> None:
    largest = 0
    for group in range(len(means)):
        largest = max(largest, pointers[group + 1] - pointers[group])
    ascending = np.empty(largest)
    for group in range(len(means)):
        size = pointers[group + 1] - pointers[group]
        for i in range(size):
            ascending[i] = values[members[pointers[group] + i]]
        for gap in _SHELL_SORT_GAPS:
            for i in range(gap, size):
                value = ascending[i]
                place = i
                while place >= gap and ascending[place - gap] > value:
                    ascending[place] = ascending[place - gap]
                    place -= gap
                ascending[place] = value
        cut = int(np.floor(trim * size))
        total = 0.0
        for i in range(cut, size - cut):
            total += ascending[i]
        means[group] = total / (size - 2 * cut)
