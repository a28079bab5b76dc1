"""Two kinds of picture of a dataset, as SVG: distributions of samples, and samples as points.

Colours are of middling brightness and there is no background, so that a picture can be
read on white and on black. The same input gives the same file. No picture grows with its
dataset: of many samples, lines and points stand for some at equal distances in the order
given, which the caption says. Other rooms' pictures have this style too (`style`, `svg_of`).
Not here: counting values and computing components.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_LINES: Final = 16
MOST_POINTS: Final = 500
MOST_LABELS: Final = 10

INK: Final = "#767676"  # 4.5 times as bright as black, and white as bright as it
_OTHERS: Final = "#8a8a8a"
COLOURS: Final = (
    "#3b7dd8",
    "#d9730d",
    "#2e9e5b",
    "#c2438c",
    "#8a63d2",
    "#1a9aa8",
    "#b0861a",
    "#d64550",
    "#7a8a2a",
    "#8c6d5a",
)
_MARKERS: Final = "os^Dv<>pPX"  # for those who don't see the colours
_LONGEST_LABEL: Final = 24
_LONG_DECIMALS: Final = re.compile(r"\d+\.\d{2,}(?=[ \n\")])")  # of points, not of opacity
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "refinebio_assets",  # identifiers in the file
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}


@dataclass(frozen=True)
class Plot:
    """A picture and what it shows, in words."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Histograms:
    """How samples' values are distributed.

    Attributes
    ----------
    heights
        Sample -> its histogram (bins,), for example the share of its genes in each bin.
    edges
        Of the bins (bins + 1,), which all samples share.
    """

    heights: Mapping[str, Sequence[float] | Floats]
    edges: Sequence[float] | Floats


def distributions(panels: Mapping[str, Histograms], *, unit: str = "expression value") -> Plot:
    """The samples' histograms as lines over the range of all of them.

    Parameters
    ----------
    panels
        Title -> what is shown under it; for example before and after normalisation. Each
        has its own axes.
    unit
        What the bins are of.

    Raises
    ------
    ValueError
        There is no panel, one has no sample, or a histogram doesn't fit the edges.
    """
    if not panels:
        raise ValueError("There is nothing to show.")
    with style():
        figure = Figure(figsize=(3.6 * len(panels) + 0.4, 2.9), layout="constrained")
        for axes, (title, shown) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            _draw_lines(axes, shown)
            axes.set(title=title, xlabel=unit, ylabel="share of genes")
        svg = svg_of(figure)
    numbers = [len(each.heights) for each in panels.values()]
    caption = f"Distribution of {unit} ({', '.join(panels)}): one line per sample"
    if max(numbers) > MOST_LINES:
        caption += (
            f", of which {MOST_LINES} of {max(numbers)} are shown, taken at equal distances; the "
            "grey band reaches from the lowest to the highest of all samples"
        )
    return Plot(svg, f"{caption}.")


def _draw_lines(axes: Any, shown: Histograms) -> None:
    edges = np.asarray(shown.edges, np.float64)
    heights = [np.asarray(each, np.float64) for each in shown.heights.values()]
    if not heights or any(each.shape != (len(edges) - 1,) for each in heights):
        raise ValueError(f"Histograms over {len(edges) - 1} bins are needed, of a sample or more.")
    table = np.nan_to_num(np.stack(heights))
    middles = (edges[1:] + edges[:-1]) / 2
    if len(table) > MOST_LINES:
        lowest, highest = table.min(axis=0), table.max(axis=0)
        axes.fill_between(middles, lowest, highest, color=INK, alpha=0.3, lw=0)
    for number in _spread(len(table), MOST_LINES):
        axes.plot(middles, table[number], color=COLOURS[0], alpha=0.55, linewidth=0.9)
    axes.set_ylim(0, max(float(table.max()) * 1.05, 1e-9))
    axes.margins(x=0)


def scatter(
    points: NDArray[np.floating[Any]],
    labels: Sequence[str],
    *,
    title: str,
    axes_names: tuple[str, str] = ("PC1", "PC2"),
) -> Plot:
    """Samples in two dimensions, coloured by label.

    Parameters
    ----------
    points
        (samples, 2); samples with a coordinate that isn't finite are left out.
    labels
        Of each sample. The ten commonest (of equally common ones the first by name) have
        colours, the others are one grey group.
    title
        Over the picture, e.g. 'Technology'.
    axes_names
        With the share of variance, for example.

    Raises
    ------
    ValueError
        Points and labels don't fit, or there is none to show.
    """
    if points.ndim != 2 or points.shape != (len(labels), 2):
        raise ValueError(f"{len(labels)} samples have points of the shape {points.shape}.")
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if not len(finite):
        raise ValueError("There is no sample to show.")
    chosen = finite[_spread(len(finite), MOST_POINTS)]
    groups = _groups(labels)
    with style():
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for rank, (text, members) in enumerate(groups):
            named = rank < MOST_LABELS
            axes.plot(
                *points[[number for number in chosen if labels[number] in members]].T,
                label=text,
                linestyle="none",
                marker=_MARKERS[rank] if named else ".",
                markersize=4.5,
                color=COLOURS[rank] if named else _OTHERS,
                markeredgewidth=0,
                zorder=2 if named else 1.9,  # the others lie below
            )
        axes.set(title=title, xlabel=axes_names[0], ylabel=axes_names[1])
        axes.legend(
            axes.lines, [text for text, _ in groups], loc="center left", bbox_to_anchor=(1, 0.5)
        )
        svg = svg_of(figure)
    others = len(groups) > MOST_LABELS
    return Plot(svg, _scatter_caption(title, len(labels), len(finite), len(chosen), others))


def _groups(labels: Sequence[str]) -> list[tuple[str, set[str]]]:
    """Texts of the legend and the labels that each stands for, the commonest first."""
    counts = Counter(labels)
    ranked = sorted(counts, key=lambda each: (-counts[each], each))
    groups = [(f"{short(each)} ({counts[each]})", {each}) for each in ranked[:MOST_LABELS]]
    others = ranked[MOST_LABELS:]
    if others:
        number = sum(counts[each] for each in others)
        groups.append((f"{len(others)} others ({number})", set(others)))
    return groups


def _scatter_caption(title: str, samples: int, finite: int, shown: int, others: bool) -> str:
    words = [f"The samples by their first two principal components, coloured by {title.lower()}"]
    if others:
        words.append(f"the {MOST_LABELS} commonest have colours")
    if shown < finite:
        words.append(f"{shown} of {finite} samples are shown, taken at equal distances")
    if finite < samples:
        words.append(f"{samples - finite} samples without coordinates are left out")
    return "; ".join(words) + "."


@contextmanager
def style() -> Iterator[None]:
    """The style of these pictures, whatever matplotlib is set to elsewhere."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _spread(number: int, most: int) -> NDArray[np.intp]:
    """At most so many of 0 … number-1, at equal distances, with both ends."""
    if number <= most:
        return np.arange(number)
    return np.linspace(0, number - 1, most).round().astype(np.intp)


def short(label: str) -> str:
    """A label that fits beside a picture."""
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def svg_of(figure: Figure) -> str:
    """The figure without date or program, and with no more decimals than can be seen."""
    buffer = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _LONG_DECIMALS.sub(lambda number: f"{float(number[0]):.1f}", buffer.getvalue())
