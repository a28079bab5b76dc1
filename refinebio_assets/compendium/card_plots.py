"""The pictures of a comparability card, in the style of `publish.plots`.

None grows with its compendium. Not here: the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from refinebio_assets.compendium.comparability import Cells
from refinebio_assets.compendium.variance_shares import VarianceShare
from refinebio_assets.publish.plots import COLOURS, INK, Plot, short, style, svg_of

Floats = NDArray[np.float64]

MOST_BARS: Final = 20
_BINS: Final = 40
_LARGEST_RATIO: Final = 2.0
_PARTS: Final = (
    ("measured", COLOURS[0]),
    ("zeros", COLOURS[5]),
    ("imputed", COLOURS[1]),
    ("missing", COLOURS[7]),
)


def variance_bars(variance: Mapping[str, VarianceShare], shares: Sequence[float] = ()) -> Plot:
    """What each label explains of all genes' variance, and of the principal components'.

    Parameters
    ----------
    shares
        What the components explain of the variance, for their names.
    """
    known = {name: each for name, each in variance.items() if each.mean is not None}
    rows = ["all genes", *(f"PC{n} ({100 * each:.0f} %)" for n, each in enumerate(shares, 1))]
    with style():
        figure = Figure(figsize=(5.4, 0.9 + 0.75 * len(rows)), layout="constrained")
        axes = figure.subplots()
        height = 0.8 / max(1, len(known))
        for rank, (name, each) in enumerate(known.items()):
            values = [each.mean, *each.components][: len(rows)]
            places = np.arange(len(values)) + (rank - (len(known) - 1) / 2) * height
            drawn = [100 * (value or 0) for value in values]
            axes.barh(places, drawn, height=height * 0.9, color=COLOURS[rank], label=name)
            if each.by_chance is not None:
                chance = [100 * each.by_chance] * len(values)
                axes.plot(chance, places, linestyle="none", marker="|", color=INK, markersize=9)
        axes.set(
            xlim=(0, 100),
            xlabel="% of variance explained",
            yticks=range(len(rows)),
            yticklabels=rows,
        )
        axes.invert_yaxis()
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        svg = svg_of(figure)
    return Plot(
        svg,
        "Share of the variance that technology, platform and experiment explain: of all genes "
        "(weighted by variance), and of the first principal components; the ticks are what "
        "labels without meaning would explain.",
    )


def origin_bars(groups: Mapping[str, Cells]) -> Plot:
    """What the values of groups of samples are, for example by platform."""
    shown = dict(list(groups.items())[:MOST_BARS])
    names = [f"{short(name)} ({each.samples:,})" for name, each in shown.items()]
    with style():
        figure = Figure(figsize=(6.2, 1.0 + 0.24 * len(shown)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(shown))
        for part, colour in _PARTS:
            widths = np.array([100 * getattr(each, part) for each in shown.values()])
            if widths.any():
                axes.barh(range(len(shown)), widths, left=left, color=colour, label=part)
            left += widths
        axes.set(xlim=(0, 100), xlabel="% of values", yticks=range(len(shown)), yticklabels=names)
        axes.invert_yaxis()
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        svg = svg_of(figure)
    caption = "What the values of each platform's samples are"
    if len(groups) > MOST_BARS:
        caption += f"; the {MOST_BARS} platforms of {len(groups)} with most samples"
    return Plot(svg, f"{caption}.")


def coverage_curve(genes: Sequence[int]) -> Plot:
    """How many genes have values of the samples' own in at least 0, 1, … 100 % of them."""
    with style():
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = figure.subplots()
        percent = np.arange(len(genes))
        axes.step(percent, genes, where="pre", color=COLOURS[0])
        axes.fill_between(percent, genes, step="pre", color=COLOURS[0], alpha=0.2, lw=0)
        axes.set(
            xlim=(0, 100),
            ylim=(0, max(*genes, 1) * 1.05),
            xlabel="% of samples, at least",
            ylabel="genes with own values",
        )
        svg = svg_of(figure)
    return Plot(
        svg, "How many genes were measured (counts of 0 too) in at least so many of the samples."
    )


def error_histogram(ratios: NDArray[np.floating[Any]]) -> Plot:
    """The errors of hidden values' imputation over the standard deviations of their genes."""
    finite = ratios[np.isfinite(ratios)]
    with style():
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(0, _LARGEST_RATIO, _BINS + 1)
        heights, _ = np.histogram(np.minimum(finite, _LARGEST_RATIO), edges)
        axes.stairs(heights, edges, fill=True, color=COLOURS[0], alpha=0.8)
        axes.axvline(1, color=INK, linewidth=0.9, linestyle="--")
        axes.set(xlim=(0, _LARGEST_RATIO), xlabel="RMSE / standard deviation", ylabel="genes")
        svg = svg_of(figure)
    return Plot(
        svg,
        "Error of values that were hidden and imputed, by gene, in standard deviations of the "
        f"gene; right of the dashed line its mean would be nearer. The last bin holds all from "
        f"{edges[-2]:.2f} on.",
    )
