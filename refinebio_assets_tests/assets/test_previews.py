"""Tables and plots for the Dagster UI: small, and safe with any text."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.assets import previews
from refinebio_assets.tables import CATALOGUE

SVG = "{http://www.w3.org/2000/svg}"


def markdown(value: object) -> str:
    text = getattr(value, "md_str", None)
    assert isinstance(text, str)
    return text


def drawn(values: dict[str, float], unit: str = "% mapped") -> ElementTree.Element:
    """The plot as a browser would read it."""
    encoded = re.fullmatch(
        r"!\[.*\]\(data:image/svg\+xml;base64,(.*)\)", markdown(previews.bars(values, unit)), re.S
    )
    assert encoded is not None
    return ElementTree.fromstring(base64.b64decode(encoded[1]))  # noqa: S314


# --- tables ---------------------------------------------------------------------------


def test_a_table() -> None:
    rows = [
        {"sample": "s1", "rate": 12.345, "n": None},
        {"sample": "a|b\\|\r\nc", "rate": 1e6, "n": 3},
    ]
    assert markdown(previews.table(rows)).splitlines() == [
        "| sample | rate | n |",
        "|---|---|---|",
        "| s1 | 12.3 |  |",
        "| a\\|b\\\\\\| c | 1,000,000 | 3 |",
    ]


def test_a_long_table_is_cut() -> None:
    text = markdown(previews.table([{"n": number} for number in range(100)], most=3))
    assert text.endswith("| 2 |\n\n… and 97 more")


def test_an_empty_table() -> None:
    assert markdown(previews.table([])) == "_no rows_"


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.text()}), min_size=1, max_size=10))
def test_any_text_stays_in_its_cell(rows: list[dict[str, str]]) -> None:
    lines = markdown(previews.table(rows)).splitlines()
    assert len(lines) == len(rows) + 2
    for line in lines:
        borders = [found for found in re.findall(r"\\.|\|", line) if found == "|"]
        assert len(borders) == 3
        assert len(line) < 2 * 2 * previews.LONGEST_CELL + 20


# --- plots ----------------------------------------------------------------------------


def test_bars_are_as_long_as_their_values() -> None:
    plot = drawn({"first": 50.0, "second": 100.0, "none": 0.0})
    widths = [int(bar.attrib["width"]) for bar in plot.iter(f"{SVG}rect")]
    assert widths == [90, 180, 1]
    texts = [text.text for text in plot.iter(f"{SVG}text")]
    assert texts == ["first", "50.0 % mapped", "second", "100.0 % mapped", "none", "0.0 % mapped"]


def test_no_bars() -> None:
    assert list(drawn({})) == []


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]))


@given(st.dictionaries(NAMES, st.floats(0, 1e9), max_size=40))
def test_any_names_and_values_give_a_small_picture(values: dict[str, float]) -> None:
    plot = drawn(values)
    bars = list(plot.iter(f"{SVG}rect"))
    assert len(bars) == min(len(values), previews.MOST_BARS)
    assert all(1 <= int(bar.attrib["width"]) <= 180 for bar in bars)
    labels = [text.text or "" for text in plot.iter(f"{SVG}text")][::2]
    assert labels == [name[:20] for name in values][: previews.MOST_BARS]
    assert len(markdown(previews.bars(values, "%"))) < 16_000


# --- schemas --------------------------------------------------------------------------


@pytest.mark.parametrize("table", CATALOGUE, ids=lambda table: table.name)
def test_column_schema(table: previews.Table) -> None:
    schema = previews.column_schema(table)
    assert [column.name for column in schema.columns] == table.column_names()
    assert [column.type for column in schema.columns] == [each.type for each in table.columns]
    assert [column.description for column in schema.columns] == [c.comment for c in table.columns]
