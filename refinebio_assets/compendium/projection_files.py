"""The folder that says where samples of one's own fall: tables, values, a picture, and words.

    projection.tsv      a row for each sample, also for those that could not be placed, with why
    nearest.tsv         the most similar samples of the release, of each
    values.parquet      final values: genes × samples
    origins.parquet     what each of them is
    pca.svg             the release's principal components, with the samples on top
    README.md

Not here: how any of it is found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import IMPUTED, MISSING, ORIGINS, ZERO_RESTORED
from refinebio_assets.compendium.projection import (
    DRAWN,
    LEAST_SHARED,
    OWN,
    Axes,
    Neighbours,
    Projection,
    Space,
    spread,
)
from refinebio_assets.errors import RefinebioError
from refinebio_assets.publish.disk_matrix import Values
from refinebio_assets.publish.markdown import count, said, table
from refinebio_assets.publish.metadata_table import write_table
from refinebio_assets.publish.plots import COLOURS, INK, Plot, short, style, svg_of

TABLE, NEAREST_TABLE, README = "projection.tsv", "nearest.tsv", "README.md"
VALUES, ORIGINS_TABLE, PICTURE = "values.parquet", "origins.parquet", "pca.svg"
GENE: Final = "Gene"  # the first column of matrices

_COLUMNS: Final = (
    "sample",
    "status",
    "reason_code",
    "reason",
    "files",
    "technology",
    "made_with",
    "genes",
    "percent_own",
    "percent_zeros",
    "percent_imputed",
    "percent_missing",
    "nearest",
    "nearest_experiment",
    "correlation",
    "distance_percentile",
    "pc1",
    "pc2",
    "remarks",
)
_MOST_POINTS: Final = 2_000  # of the release
_MOST_NAMED: Final = 20  # samples whose names are in the picture
_MOST_TOLD: Final = 50  # samples in the README
_DECIMALS: Final = 6
_FAR: Final = 95  # from this percentile on


@dataclass(frozen=True, eq=False)
class OwnSample:
    """A sample of one's own on the scale of a release.

    Attributes
    ----------
    files
        As they were given.
    made_with
        The platform, or the index, with its release; or that it is of a matrix.
    row
        (genes,) as `projection.placed` makes it.
    remarks
        What is to be said of it, in words.
    """

    name: str
    files: tuple[str, ...]
    is_rnaseq: bool
    made_with: str
    row: Values
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotPlaced:
    """A sample, or a file, of which nothing could be made, and why."""

    name: str
    files: tuple[str, ...]
    error: RefinebioError


@dataclass(frozen=True, eq=False)
class Found:
    """Where the samples fall.

    Attributes
    ----------
    percentiles
        (samples,) of their distances to the nearest, among those of the release.
    facts
        What is known of the release's samples that are near: a row for each, with `sample`.
    neighbours
        Their places in `samples_of_release`.
    technologies
        Of all samples of the release.
    """

    projection: Projection
    neighbours: Neighbours
    percentiles: NDArray[np.float64]
    facts: pl.DataFrame
    samples_of_release: Sequence[str]
    technologies: pl.Series


@dataclass(frozen=True)
class Told:
    """What the README says beside the results: the release, the software, remarks on all."""

    release: str
    software: str
    remarks: Sequence[str]


def write_projection(
    folder: Path,
    samples: Sequence[OwnSample],
    not_placed: Sequence[NotPlaced],
    found: Found | None,
    space: Space,
    told: Told,
) -> None:
    """Fill a folder; `found` is None where not one sample could be placed."""
    rows = [] if found is None else rows_of(samples, found)
    rows += [
        {
            "sample": each.name,
            "status": "failed",
            "reason_code": each.error.code,
            "reason": str(each.error),
            "files": ", ".join(each.files),
        }
        for each in not_placed
    ]
    write_table(folder / TABLE, _COLUMNS, rows)
    picture: Plot | None = None
    near: list[dict[str, Any]] = []
    if found is not None:
        near = _near(samples, found)
        facts = [name for name in found.facts.columns if name != "sample"]
        header = ("sample", "rank", "nearest", "correlation", "genes_compared", *facts)
        write_table(folder / NEAREST_TABLE, header, near)
        _write_values(folder, samples, found.projection, space)
        coordinates = found.projection.coordinates
        if space.axes is not None and coordinates is not None:
            names = [each.name for each in samples]
            picture = _picture(space.axes, found.technologies, coordinates, names, told.release)
            (folder / PICTURE).write_text(picture.svg, encoding="utf-8")
    text = _readme(rows, near, not_placed, picture, told)
    (folder / README).write_text(text, encoding="utf-8")


# --- tables ---------------------------------------------------------------------------


def rows_of(samples: Sequence[OwnSample], found: Found) -> list[dict[str, Any]]:
    """Of each sample, what the table of all says."""
    projection, neighbours = found.projection, found.neighbours
    experiment_of = dict(
        found.facts.select("sample", "experiment").rows() if "experiment" in found.facts else ()
    )
    rows = []
    for number, each in enumerate(samples):
        origins = projection.origins[number]
        place = int(neighbours.places[number, 0])
        nearest = found.samples_of_release[place] if place >= 0 else None
        row: dict[str, Any] = {
            "sample": each.name,
            "status": "placed",
            "files": ", ".join(each.files),
            "technology": "RNA-SEQ" if each.is_rnaseq else "MICROARRAY",
            "made_with": each.made_with,
            "genes": len(origins),
            "percent_own": _percent(np.isin(origins, OWN)),
            "percent_zeros": _percent(origins == ZERO_RESTORED),
            "percent_imputed": _percent(origins == IMPUTED),
            "percent_missing": _percent(origins == MISSING),
            "nearest": nearest,
            "nearest_experiment": experiment_of.get(nearest),
            "correlation": _number(neighbours.correlations[number, 0]),
            "distance_percentile": _number(found.percentiles[number]),
            "remarks": " ".join(each.remarks),
        }
        if projection.coordinates is not None:
            row["pc1"], row["pc2"] = map(_number, projection.coordinates[number])
        rows.append(row)
    return rows


def _near(samples: Sequence[OwnSample], found: Found) -> list[dict[str, Any]]:
    facts = {row["sample"]: row for row in found.facts.iter_rows(named=True)}
    neighbours = found.neighbours
    rows = []
    for number, each in enumerate(samples):
        for rank, place in enumerate(neighbours.places[number].tolist()):
            if place < 0:
                break
            nearest = found.samples_of_release[place]
            rows.append(
                {
                    **facts[nearest],
                    "sample": each.name,
                    "rank": rank + 1,
                    "nearest": nearest,
                    "correlation": _number(neighbours.correlations[number, rank]),
                    "genes_compared": int(neighbours.genes[number, rank]),
                }
            )
    return rows


def _write_values(
    folder: Path, samples: Sequence[OwnSample], projection: Projection, space: Space
) -> None:
    genes = space.genes.alias(GENE)
    names = [each.name for each in samples]
    values = [
        pl.Series(name, row, nan_to_null=True)
        for name, row in zip(names, projection.values, strict=True)
    ]
    kinds = pl.Series(ORIGINS, dtype=pl.Enum(ORIGINS))
    origins = [
        kinds.gather(row.astype(np.uint32)).alias(name)
        for name, row in zip(names, projection.origins, strict=True)
    ]
    pl.DataFrame([genes, *values]).write_parquet(folder / VALUES)
    pl.DataFrame([genes, *origins]).write_parquet(folder / ORIGINS_TABLE)


def _percent(are: NDArray[np.bool_]) -> float:
    return round(100 * float(are.mean()), 3)


def _number(value: Any) -> float | None:
    return round(float(value), _DECIMALS) if math.isfinite(value) else None


# --- the picture ----------------------------------------------------------------------


def _picture(
    axes: Axes,
    technologies: pl.Series,
    coordinates: NDArray[np.float64],
    names: Sequence[str],
    release: str,
) -> Plot:
    """The release's samples small and by technology, the others on top."""
    chosen = spread(len(axes.coordinates), _MOST_POINTS)
    labels = technologies.to_numpy()
    shown = np.isfinite(coordinates).all(axis=1)
    named = int(shown.sum()) <= _MOST_NAMED
    with style():
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        plot = figure.subplots()
        for colour, label in zip((COLOURS[0], COLOURS[2], INK), np.unique(labels), strict=False):
            plot.plot(
                *axes.coordinates[chosen[labels[chosen] == label]].T,
                label=f"{label} ({int((labels == label).sum()):,})",
                linestyle="none",
                marker="o",
                markersize=3,
                color=colour,
                alpha=0.45,
                markeredgewidth=0,
            )
        plot.plot(
            *coordinates[shown].T,
            label=f"yours ({int(shown.sum()):,})",
            linestyle="none",
            marker="D",
            markersize=6,
            color=COLOURS[7],
            markeredgewidth=0,
        )
        for point, name in zip(coordinates[shown], np.array(names, object)[shown], strict=True):
            if named:
                plot.annotate(
                    short(name), point, (5, 4), textcoords="offset points", color=COLOURS[7]
                )
        plot.set(
            title=short(release),
            xlabel=f"PC1 ({100 * axes.shares[0]:.0f} %)",
            ylabel=f"PC2 ({100 * axes.shares[1]:.0f} %)",
        )
        plot.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        svg = svg_of(figure)
    caption = (
        f"The samples of {release} by its first two principal components, with yours among them. "
        "The axes are the release's: your samples did not take part in finding them"
    )
    if len(chosen) < len(labels):
        caption += f". {len(chosen):,} of its {len(labels):,} samples are shown"
    return Plot(svg, f"{caption}.")


# --- words ----------------------------------------------------------------------------


def _readme(
    rows: Sequence[dict[str, Any]],
    near: Sequence[dict[str, Any]],
    not_placed: Sequence[NotPlaced],
    picture: Plot | None,
    told: Told,
) -> str:
    placed = [row for row in rows if row["status"] == "placed"]
    parts = [
        f"# Where your samples fall in {said(told.release)}\n\n"
        f"{count(len(placed), 'sample')} could be placed, {len(not_placed)} could not. "
        f"Made by {told.software}.\n"
    ]
    if told.remarks:
        parts.append("".join(f"- **Note:** {said_whole(each)}\n" for each in told.remarks))
    if placed:
        parts.append(_placed_in_words(placed, near))
    if picture is not None:
        parts.append(f"![principal components]({PICTURE})\n\n{picture.caption}\n")
    if not_placed:
        lines = [
            [said(each.name), said(each.error.code), said_whole(str(each.error))]
            for each in not_placed[:_MOST_TOLD]
        ]
        parts.append("## What could not be placed\n\n" + table(["what", "code", "why"], lines))
    if placed:
        parts.append(_HOW_TO_READ)
    return "\n".join(parts)


def said_whole(text: str) -> str:
    """A text of any length as Markdown that shows it."""
    return " ".join(said(word) for word in text.split())


def _placed_in_words(placed: Sequence[dict[str, Any]], near: Sequence[dict[str, Any]]) -> str:
    title_of = {(row["sample"], row["nearest"]): row.get("title") for row in near}
    lines = []
    for row in placed[:_MOST_TOLD]:
        percentile = row["distance_percentile"]
        title = title_of.get((row["sample"], row["nearest"])) or ""
        nearest = row["nearest"] or "none"
        lines.append(
            [
                said(row["sample"]),
                said(row["made_with"]),
                f"{row['percent_own']:.1f} %",
                f"{row['percent_imputed']:.1f} %",
                f"{said(nearest)} {said(title)}".strip(),
                "–" if row["correlation"] is None else f"{row['correlation']:.3f}",
                "–"
                if percentile is None
                else f"{percentile:.0f}{' (far)' if percentile >= _FAR else ''}",
            ]
        )
    header = [
        "sample",
        "made with",
        "own values",
        "imputed",
        "nearest",
        "correlation",
        "distance, percentile",
    ]
    text = table(header, lines)
    if len(placed) > _MOST_TOLD:
        text += f"\nThe first {_MOST_TOLD} of {len(placed):,}; {TABLE} has all.\n"
    noted = [row for row in placed if row["remarks"]]
    if noted:
        remarks = (
            f"- {said(row['sample'])}: {said_whole(row['remarks'])}\n" for row in noted[:_MOST_TOLD]
        )
        text += "\n" + "".join(remarks)
    return text


_HOW_TO_READ: Final = f"""## How to read it

- **What was done.** Samples were processed as those of the release were: its references (unless
  it is noted otherwise), log2, its genes. What a sample lacks was filled from the release's
  factors (least squares on the sample's own values), and it was brought to the release's target.
  Nothing was learnt from your samples, and none depends on another, but that tximport's length
  scaling looks at all reads of one call and index, as it looks at all of an experiment: give an
  experiment's reads together.
- `{VALUES}` has the final values, `{ORIGINS_TABLE}` what each is: measured, imputed, zero restored
  (a count of 0), or missing, where the release has no factors. Do not look for differences
  between samples in imputed values.
- **Nearest** are the samples of the release with the highest Pearson correlation, over genes that
  both have values of their own for (`genes_compared`; with fewer than {100 * LEAST_SHARED:.0f} % of
  a sample's own there is no comparison). Expression differs far more between genes than between
  samples, so that unrelated samples correlate too: compare correlations with each other.
- **distance_percentile** says how typical a sample is: how many per cent of the release's samples
  (up to {DRAWN}, at equal distances in its order) have another that is more alike than your
  sample's nearest is to yours. Around 50, it has company as the release's own have; from {_FAR} on
  there is nothing much like it, or it was made in another way.
- **pc1, pc2** are coordinates on the release's own axes. Two axes show little of what there is:
  neighbours in the picture need not be alike.
"""
