"""Submitted text in tables: as it was, a line per row, and nothing that calculates."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinebio_assets.publish.metadata_table import annotation_cells, cell, one_line, write_table

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HARD = st.text(st.sampled_from("a1 \t\n\r\"'=+-@,;\x00\x85\u2028µ|"), max_size=12)


# --- columns --------------------------------------------------------------------------


def test_geo_characteristics_are_columns() -> None:
    annotation = {
        "characteristics_ch1": ["Tissue: liver", "age (y): 5: six", "nothing", "dose:"],
        "title": ["A"],
        "data_processing": ["first", "second"],
    }
    assert annotation_cells([annotation]) == {
        "characteristics_ch1_Tissue": "liver",
        "characteristics_ch1_age (y)": "5: six",
        "characteristics_ch1": "nothing",
        "characteristics_ch1_dose": "",
        "title": "A",
        "data_processing": '["first", "second"]',
    }


def test_arrayexpress_variables_fill_what_is_empty() -> None:
    annotation = {
        "variable": [
            {"name": "sex", "value": "f"},
            {"name": "dose", "value": "3"},
            {"name": "age", "value": "9"},
        ],
        "characteristic": [
            {"category": "sex", "value": "female"},
            {"category": "age", "value": ""},
        ],
        "Source Name": "donor",
    }
    assert annotation_cells([annotation]) == {
        "characteristic_sex": "female",
        "characteristic_age": "9",
        "characteristic_dose": "3",
        "Source Name": "donor",
    }


def test_the_first_value_stays() -> None:
    assert annotation_cells([{"a": "1", "b": ""}, {"a": "2", "b": "3"}]) == {"a": "1", "b": "3"}
    twice = {"characteristics_ch1": ["k: 1", "k: 2"]}
    assert annotation_cells([twice]) == {"characteristics_ch1_k": "1"}


def test_numbers_that_are_none_are_empty() -> None:
    annotation = {"a": 98.25, "b": float("nan"), "c": None, "d": True, "e": 3}
    assert annotation_cells([annotation]) == {"a": "98.25", "b": "", "c": "", "d": "True", "e": "3"}


def test_keys_have_no_line_ends() -> None:
    assert annotation_cells([{"a\tb\r\nc": "x"}]) == {"a b c": "x"}


# --- cells ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["=1+1", "@SUM(A1)", "+E2", "-E2", "-80C", "=cmd|' /C calc'!A0", " =1", "\t=1", "-2+3", "＝1"],
)
def test_what_would_be_calculated_is_marked(text: str) -> None:
    assert cell(text) == f"'{one_line(text)}"


@pytest.mark.parametrize(
    "text",
    ["", "-", "+", "+/+", "-/-", "-1.5", "+3", "-.5e-3", "a=b", "wild-type", "'quoted'", "µg/ml"],
)
def test_everything_else_is_as_submitted(text: str) -> None:
    assert cell(text) == text


def _written(header: list[str], rows: list[dict[str, str]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.tsv"
        write_table(path, header, rows)
        return path.read_bytes()


@given(st.lists(st.tuples(TEXTS | HARD, TEXTS | HARD, TEXTS | HARD), max_size=5))
@example([('"', '""', 'a"b'), ('"a\tb"', "\r", "\\")])
def test_every_cell_comes_back(cells: list[tuple[str, str, str]]) -> None:
    header = ["id", "x", "y"]
    content = _written(
        header, [{"id": f"s{n}|{a}", "x": b, "y": c} for n, (a, b, c) in enumerate(cells)]
    )
    expected = [[cell(f"s{n}|{a}"), cell(b), cell(c)] for n, (a, b, c) in enumerate(cells)]
    text = content.decode()
    assert len(text.splitlines()) == len(cells) + 1  # by any of Unicode's line ends
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter="\t")) == [header, *expected]
    if cells:
        frame = pl.read_csv(content, separator="\t", infer_schema=False).fill_null("")
        assert [list(each) for each in frame.rows()] == expected


def test_duckdb_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    rows = [{"id": "a", "x": 'he said "no"'}, {"id": "b", "x": "tab\there"}, {"id": "c", "x": "'"}]
    write_table(path, ["id", "x"], rows)
    found = duckdb.execute(
        "SELECT * FROM read_csv(?, delim = '\t', header = true)", [str(path)]
    ).fetchall()
    assert found == [("a", 'he said "no"'), ("b", "tab here"), ("c", "'")]


@given(TEXTS | HARD)
def test_no_cell_begins_a_formula(text: str) -> None:
    begins = cell(text).lstrip()[:1]
    if begins in ("=", "@"):
        pytest.fail(f"{text!r} would be calculated")
    if begins in ("+", "-"):
        rest = cell(text).strip()
        assert not any(each.isalnum() for each in rest) or float(rest) is not None
