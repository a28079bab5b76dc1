"""Small things to look at in the Dagster UI: preview tables and bar plots.

Metadata is stored with every event, so these stay within a few kilobytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

import dagster as dg

from refinebio_assets.tables import Table

MOST_BARS = 24
MOST_LINES = 60
BAR_HEIGHT = 16
LONGEST_CELL = 120


def table(rows: Sequence[Mapping[str, object]], most: int = 10) -> dg.MarkdownMetadataValue:
    """The first rows as a Markdown table."""
    if not rows:
        return dg.MetadataValue.md("_no rows_")
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows[:most]]
    if len(rows) > most:
        lines.append(f"\n… and {len(rows) - most} more")
    return dg.MetadataValue.md("\n".join(lines))


def bars(values: Mapping[str, float], unit: str) -> dg.MarkdownMetadataValue:
    """A horizontal bar plot (an inline SVG of at most 24 bars)."""
    shown = dict(list(values.items())[:MOST_BARS])
    longest = max([*shown.values(), 1e-9])
    height = BAR_HEIGHT * len(shown) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="420" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#888">'
    ]
    for row, (name, value) in enumerate(shown.items()):
        y = BAR_HEIGHT * row + 2
        width = max(180 * value / longest, 1)
        parts.append(
            f'<text x="135" y="{y + 10}" text-anchor="end">{escape(name[:20])}</text>'
            f'<rect x="140" y="{y}" width="{width:.0f}" height="12" fill="#4f43dd"/>'
            f'<text x="{145 + width:.0f}" y="{y + 10}">{_number(value)} {escape(unit)}</text>'
        )
    parts.append("</svg>")
    return picture("".join(parts), f"{unit} per sample")


def densities(samples: Mapping[str, Sequence[float]], unit: str) -> dg.MarkdownMetadataValue:
    """One line per sample, each the heights of its histogram over the same bins.

    An inline SVG of at most 60 lines; a sample unlike the others stands out.
    """
    shown = dict(list(samples.items())[:MOST_LINES])
    highest = max([max(heights, default=0) for heights in shown.values()] + [1e-9])
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="420" height="160" fill="none" '
        'stroke="#4f43dd" stroke-opacity="0.45">'
    ]
    for name, heights in shown.items():
        step = 400 / max(len(heights) - 1, 1)
        points = " ".join(
            f"{10 + step * place:.0f},{150 - 140 * height / highest:.0f}"
            for place, height in enumerate(heights)
        )
        parts.append(f'<polyline points="{points}"><title>{escape(name[:40])}</title></polyline>')
    parts.append("</svg>")
    return picture("".join(parts), f"density of {unit}, one line per sample")


def column_schema(declared: Table) -> dg.TableSchema:
    """A declared table as Dagster shows it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, column.comment) for column in declared.columns
        ]
    )


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """A ready-made SVG, inline."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _cell(value: object) -> str:
    text = _number(value) if isinstance(value, float) else "" if value is None else str(value)
    return re.sub(r"([\\|])", r"\\\1", " ".join(text[:LONGEST_CELL].splitlines()))
