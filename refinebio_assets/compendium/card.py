"""The comparability card of a compendium: what its numbers mean, as Markdown with pictures.

Each verdict states the threshold that it rests on. The thresholds are rules of thumb, chosen
here and not taken from a publication: what matters depends on the question that is asked of
the data. Not here: the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compendium.card_plots import (
    coverage_curve,
    error_histogram,
    origin_bars,
    variance_bars,
)
from refinebio_assets.compendium.comparability import LABELS, Cells, Comparability
from refinebio_assets.compendium.held_out import HeldOut, NotMeasured
from refinebio_assets.compendium.replicates import Concordance
from refinebio_assets.publish.markdown import count, said, table
from refinebio_assets.publish.plots import Plot, scatter

State = Literal["good", "careful", "not known"]
_Error = HeldOut | NotMeasured | None

MOST_BY_TECHNOLOGY: Final = 0.2  # of the variance
MOST_BY_PLATFORM: Final = 0.4  # beyond chance
MOST_OF_FIRST_COMPONENT: Final = 0.5  # by technology
LEAST_NEARER: Final = 0.8  # of replicates
LEAST_PAIRS: Final = 10
MOST_IMPUTED: Final = 0.2  # of all values
MOST_IMPUTED_OF_PLATFORM: Final = 0.4
LEAST_COVERED: Final = 0.5  # of genes, measured in at least
COVERED_PERCENT: Final = 90  # of samples
MOST_ZEROS: Final = 0.4  # of the middle RNA-seq sample's values
MOST_ERROR: Final = 0.7  # of the middle gene, in standard deviations
MOST_WORSE_THAN_MEAN: Final = 0.1  # of genes

_MOST_LISTED: Final = 20
_EVIDENCE: Final = {
    "biosample": "both name the same BioSample",
    "subject": "the same subject, tissue, treatment and time in related experiments",
    "title": "the same title in related experiments",
}


@dataclass(frozen=True)
class Verdict:
    """One thing to know: `about` names it, `words` say it with the threshold."""

    about: str
    state: State
    words: str


@dataclass(frozen=True, eq=False)
class Card:
    """A finished card.

    Attributes
    ----------
    verdicts
        By what they are about, in the order of the card.
    text
        Markdown without pictures.
    plots
        Name -> picture.
    """

    verdicts: Mapping[str, Verdict]
    text: str
    plots: Mapping[str, Plot]

    def careful(self) -> list[Verdict]:
        """What to be careful with."""
        return [each for each in self.verdicts.values() if each.state == "careful"]

    def files(self) -> dict[str, str]:
        """Name -> content: README.md, which shows the pictures, and these."""
        shown = "".join(
            f"\n![{plot.caption}]({name}.svg)\n\n{plot.caption}\n"
            for name, plot in self.plots.items()
        )
        pictures = f"\n## Pictures\n{shown}" if shown else ""
        return {
            "README.md": f"{self.text}{pictures}",
            **{f"{name}.svg": plot.svg for name, plot in self.plots.items()},
        }


def make_card(
    name: str, found: Comparability, held_out: HeldOut | NotMeasured | None = None
) -> Card:
    """The card of a compendium, for example of 'DANIO_RERIO, release 3'."""
    verdicts = verdicts_of(found, held_out)
    sections = [
        _head(name, found),
        _verdict_table(verdicts.values()),
        _variance(found),
        _replicates(found),
        _origins(found),
        _error(held_out),
        _HOW,
    ]
    text = "\n".join(each.rstrip() + "\n" for each in sections if each)
    return Card(verdicts, text, _plots(found, held_out))


# --- what is good, and what to be careful with ------------------------------------------


def verdicts_of(found: Comparability, held_out: _Error = None) -> dict[str, Verdict]:
    """What is good, and what to be careful with, by what it is about."""
    verdicts = (
        _technology(found),
        _first_component(found),
        _platform(found),
        _agreement(found),
        _imputed(found),
        _covered(found),
        _zeros(found),
        _held_out(held_out),
    )
    return {each.about: each for each in verdicts}


def _judged(about: str, good: bool, words: str) -> Verdict:
    return Verdict(about, "good" if good else "careful", words)


def _technology(found: Comparability) -> Verdict:
    share = found.variance["technology"]
    if share.groups < 2 or share.mean is None:
        return Verdict("technology", "not known", "All samples are of one technology.")
    return _judged(
        "technology",
        share.mean <= MOST_BY_TECHNOLOGY,
        f"Technology explains {_percent(share.mean)} of the variance; up to "
        f"{_percent(MOST_BY_TECHNOLOGY)} is taken as good. With more, compare samples within a "
        "technology, or have technology in the model.",
    )


def _first_component(found: Comparability) -> Verdict:
    about = "first component"
    share, components = found.variance["technology"], found.components
    if share.groups < 2 or components is None or not share.components:
        return Verdict(about, "not known", "There is nothing to tell technologies apart by.")
    explained = share.components[0] or 0.0
    return _judged(
        about,
        explained <= MOST_OF_FIRST_COMPONENT,
        f"Technology explains {_percent(explained)} of the first principal component (which is "
        f"{_percent(float(components.shares[0]))} of the variance of the {len(components.genes)} "
        f"most variable genes); up to {_percent(MOST_OF_FIRST_COMPONENT)} is taken as good. With "
        "more, clusters of samples are clusters of technologies first.",
    )


def _platform(found: Comparability) -> Verdict:
    share = found.variance["platform"]
    if share.groups < 2 or share.beyond_chance is None:
        return Verdict(
            "platform", "not known", "All samples are of one platform, or each of its own."
        )
    return _judged(
        "platform",
        share.beyond_chance <= MOST_BY_PLATFORM,
        f"Platform explains {_percent(share.beyond_chance)} of the variance beyond chance; up to "
        f"{_percent(MOST_BY_PLATFORM)} is taken as good. Some of it is biology, where a tissue or "
        "a disease was measured on one platform only.",
    )


def _agreement(found: Comparability) -> Verdict:
    across = {
        name: each
        for name, each in found.replicates.concordance.items()
        if each.pairs >= LEAST_PAIRS
    }
    if not across:
        pairs = sum(each.pairs for each in found.replicates.concordance.values())
        return Verdict(
            "replicates",
            "not known",
            f"{count(pairs, 'pair')} of samples could be compared that are one biological sample "
            f"on two platforms; {LEAST_PAIRS} of two technologies are needed to judge.",
        )
    worst = min(across, key=lambda name: across[name].nearer)
    nearer = across[worst].nearer
    return _judged(
        "replicates",
        nearer >= LEAST_NEARER,
        f"Of samples that are one biological sample on two platforms ({worst}), "
        f"{_percent(nearer)} are more alike than one of them and another sample of that platform; "
        f"{_percent(LEAST_NEARER)} and more is taken as good. With less, platform hides biology.",
    )


def _imputed(found: Comparability) -> Verdict:
    values = sum(each.samples for each in found.technologies.values())
    gaps = {
        name: sum(getattr(each, name) * each.samples for each in found.technologies.values())
        / values
        for name in ("imputed", "missing")
    }
    words = (
        f"{_percent(gaps['imputed'])} of all values were imputed; up to {_percent(MOST_IMPUTED)} "
        f"is taken as good, and of a platform up to {_percent(MOST_IMPUTED_OF_PLATFORM)}."
    )
    if gaps["missing"]:
        words += f" {_percent(gaps['missing'])} are missing: nothing was imputed there."
    many = [
        name
        for name, each in found.platforms.items()
        if each.imputed + each.missing > MOST_IMPUTED_OF_PLATFORM
    ]
    if many:
        named = ", ".join(said(name) for name in many[:3])
        more = f" and {len(many) - 3} more" if len(many) > 3 else ""
        words += f" Above that: {named}{more}. Leave imputed values out where they matter."
    good = not many and sum(gaps.values()) <= MOST_IMPUTED
    return _judged("imputed values", good, words)


def _covered(found: Comparability) -> Verdict:
    share = found.coverage.genes[COVERED_PERCENT] / max(1, found.genes)
    return _judged(
        "coverage",
        share >= LEAST_COVERED,
        f"{_percent(share)} of the genes were measured in at least {COVERED_PERCENT} % of the "
        f"samples; {_percent(LEAST_COVERED)} of the genes and more is taken as good. The others "
        "rest on imputation in many samples.",
    )


def _zeros(found: Comparability) -> Verdict:
    if found.zeros is None:
        return Verdict("zeros", "not known", "There is no RNA-seq sample.")
    middle = found.zeros.quantiles[3]
    return _judged(
        "zeros",
        middle <= MOST_ZEROS,
        f"Counts of 0 are {_percent(middle)} of the middle RNA-seq sample's values; up to "
        f"{_percent(MOST_ZEROS)} is taken as good. All zeros of a sample have one value after "
        "normalisation, where arrays have a range of low ones.",
    )


def _held_out(held_out: _Error) -> Verdict:
    ratios = _ratios(held_out)
    if not len(ratios):
        why = f": {held_out.reason}" if isinstance(held_out, NotMeasured) else "."
        return Verdict(
            "imputation", "not known", f"How far imputed values are off was not measured{why}"
        )
    middle, worse = float(np.median(ratios)), float((ratios >= 1).mean())
    return _judged(
        "imputation",
        middle <= MOST_ERROR and worse <= MOST_WORSE_THAN_MEAN,
        f"Values that were hidden and imputed are off by {middle:.2f} standard deviations of "
        f"their gene (the middle gene); up to {MOST_ERROR} is taken as good. Of "
        f"{_percent(worse)} of the genes the mean would have been nearer; up to "
        f"{_percent(MOST_WORSE_THAN_MEAN)} is taken as good.",
    )


# --- the text ---------------------------------------------------------------------------


def _head(name: str, found: Comparability) -> str:
    experiments = len({each.experiment for each in found.samples})
    kinds = ", ".join(f"{each.samples:,} {said(one)}" for one, each in found.technologies.items())
    return f"""\
# Comparability of {said(name)}

{count(len(found.samples), "sample")} ({kinds}) of {count(experiments, "experiment")}, \
{count(len(found.platforms), "platform")}, {count(found.genes, "gene")}. All numbers are of the \
final values.
"""


def _verdict_table(verdicts: Iterable[Verdict]) -> str:
    rows = [
        (each.about, f"**{each.state}**" if each.state == "careful" else each.state, each.words)
        for each in verdicts
    ]
    return table(("", "", "why"), rows)


def _variance(found: Comparability) -> str:
    shares = [] if found.components is None else found.components.shares.tolist()
    header = (
        *("", "groups", "of all genes, weighted", "of the middle gene"),
        *("by chance", "beyond chance"),
        *(f"of PC{number} ({_percent(each)})" for number, each in enumerate(shares, 1)),
    )
    rows = []
    for name in LABELS:
        each = found.variance[name]
        numbers = (each.mean, each.median, each.by_chance, each.beyond_chance)
        components = each.components or (None,) * len(shares)
        cells = [_percent(number) for number in (*numbers, *components)]
        rows.append((name, f"{each.groups:,}", *cells))
    return "## Share of the variance explained\n\n" + table(header, rows)


def _replicates(found: Comparability) -> str:
    replicates = found.replicates
    text = "## The same biological sample on two platforms\n\n"
    rows = [
        (
            words,
            f"{replicates.found.get(evidence, 0):,}",
            f"{replicates.ambiguous.get(evidence, 0):,}",
        )
        for evidence, words in _EVIDENCE.items()
    ]
    text += table(("evidence", "pairs", "ambiguous groups, skipped"), rows)
    if replicates.concordance:
        text += "\n" + table(
            ("pairs of", "compared", "Spearman, quartiles", "drawn", "Pearson", "drawn", "nearer"),
            [_concordance(name, each) for name, each in replicates.concordance.items()],
        )
    return text


def _concordance(name: str, found: Concordance) -> Sequence[str]:
    def quartiles(numbers: Sequence[float]) -> str:
        return f"{numbers[1]:.2f} – **{numbers[2]:.2f}** – {numbers[3]:.2f}"

    return (
        said(name),
        f"{found.pairs:,}",
        quartiles(found.replicates.spearman),
        quartiles(found.others.spearman),
        quartiles(found.replicates.pearson),
        quartiles(found.others.pearson),
        _percent(found.nearer),
    )


def _origins(found: Comparability) -> str:
    listed = dict(list(found.platforms.items())[:_MOST_LISTED])
    rows = [_cells(f"**{said(name)}**", each) for name, each in found.technologies.items()]
    rows += [_cells(said(name), each) for name, each in listed.items()]
    header = ("", "samples", "measured", "zeros", "imputed", "missing", "genes in half of them")
    text = "## What the values are\n\n" + table(header, rows)
    more = len(found.platforms) - len(listed)
    if more > 0:
        text += f"\n… and {count(more, 'platform')} more.\n"
    genes = found.coverage.genes
    marks = (100, 95, 90, 75, 50)
    text += "\n" + table(
        ("in at least so many of the samples", *(f"{mark} %" for mark in marks)),
        [("genes with own values", *(f"{genes[mark]:,}" for mark in marks))],
    )
    if found.zeros is not None:
        low, high = found.zeros.quantiles[1], found.zeros.quantiles[5]
        text += (
            f"\nOf RNA-seq values {_percent(found.zeros.share)} are counts of 0; of single samples "
            f"{_percent(low)} to {_percent(high)} (5 % and 95 % quantile).\n"
        )
    return text


def _cells(name: str, found: Cells) -> Sequence[str]:
    shares = (found.measured, found.zeros, found.imputed, found.missing)
    return (name, f"{found.samples:,}", *map(_percent, shares), f"{found.genes:,}")


def _error(held_out: _Error) -> str:
    ratios = _ratios(held_out)
    if not isinstance(held_out, HeldOut) or not len(ratios):
        return ""
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    rmse = held_out.rmse_per_gene[np.isfinite(held_out.rmse_per_gene)]
    of_technologies = ", ".join(
        f"{number:.3f} of {name}"
        for name, number in (
            ("arrays", held_out.rmse_of_arrays),
            ("RNA-seq", held_out.rmse_of_rnaseq),
        )
        if np.isfinite(number)
    )
    return (
        f"## Error of imputation\n\nOf {count(held_out.cells, 'value')} of "
        f"{count(held_out.samples, 'sample')} that were hidden and imputed, before normalisation: "
        f"the root mean squared error is {held_out.rmse:.3f} ({of_technologies}), on the log2 "
        f"scale; that of the genes' means is {held_out.rmse_of_mean:.3f}. Genes that a platform "
        "lacks altogether can only be told from other platforms, which can be worse.\n\n"
    ) + table(
        (f"quantiles of {count(len(ratios), 'gene')}", *(_percent(each) for each in quantiles)),
        [
            ("error, log2", *(f"{each:.3f}" for each in np.quantile(rmse, quantiles))),
            ("in standard deviations", *(f"{each:.2f}" for each in np.quantile(ratios, quantiles))),
        ],
    )


def _ratios(held_out: _Error) -> NDArray[np.float64]:
    """Genes' errors in their standard deviations, of those that have both and vary."""
    if not isinstance(held_out, HeldOut):
        return np.zeros(0)
    rmse, sd = held_out.rmse_per_gene, held_out.sd_per_gene
    known = np.isfinite(rmse) & np.isfinite(sd) & (sd > 0)
    ratios: NDArray[np.float64] = rmse[known] / sd[known]
    return ratios


_HOW: Final = """\
## How to read it

- The share of variance is the sum of squares between groups over the total one, gene by gene. \
Groups of few samples explain something by chance: k groups of n samples (k - 1)/(n - 1) of \
noise. What is beyond chance is 1 - (1 - share)(n - 1)/(n - k).
- Experiments lie within technologies, and mostly within platforms, and biology differs between \
experiments: a share is not all technical.
- Replicates on two platforms are found from the records, and a pair is as good as these. Values \
are compared over the genes that both samples have themselves, not imputed. As the same genes are \
high in most samples, each pair stands beside one whose second sample was drawn at random from the \
others of its platform, perhaps of the same experiment.
- The thresholds are rules of thumb.
"""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{round(100 * share, 1) + 0.0:g} %"


# --- the pictures -----------------------------------------------------------------------


def _plots(found: Comparability, held_out: _Error) -> dict[str, Plot]:
    plots: dict[str, Plot] = {}
    components = found.components
    shares = [] if components is None else components.shares.tolist()
    if components is not None:
        names = [f"PC{number} ({100 * each:.0f} %)" for number, each in enumerate(shares, 1)]
        for label in LABELS:
            labels = [getattr(each, label) for each in found.samples]
            if len(set(labels)) > 1:
                plots[f"pca_by_{label}"] = scatter(
                    components.coordinates,
                    labels,
                    title=label.capitalize(),
                    axes_names=(names[0], names[1]),
                )
    if any(each.mean is not None for each in found.variance.values()):
        plots["variance_explained"] = variance_bars(found.variance, shares)
    plots["values_by_platform"] = origin_bars(found.platforms)
    plots["coverage"] = coverage_curve(found.coverage.genes)
    if len(_ratios(held_out)):
        plots["held_out_error"] = error_histogram(_ratios(held_out))
    return plots
