"""Sample metadata as a table: one line per sample, tab-separated, safe to open anywhere.

A line is a row, always: tabs, line ends and other control characters of submitted text
become one space. A cell with a quotation mark is quoted, and the mark doubled, as CSV
readers expect. Where a spreadsheet would calculate a cell, it gets an apostrophe in front:
'=…' and '@…', and '+…' or '-…' that has a letter or digit but is no number ('+E2', but
neither '-1.5' nor '+/+'). Everything else is as submitted; the JSON files have all of it as
submitted. Not here: what is said of a sample.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from refinebio_assets.publish.records import Annotation

OWN_PREFIX: Final = "refinebio_"  # of a platform's own fields; nobody else's key may have it

_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_CALCULATED = re.compile(r"\s*(?:[=@＝＠]|[+\-＋－].*\w)")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")


def annotation_cells(annotations: Iterable[Annotation]) -> dict[str, str]:
    """Column -> cell of what was submitted of a sample.

    GEO's `characteristics_ch1` gives `characteristics_ch1_<key>`, ArrayExpress's
    `characteristic` gives `characteristic_<category>`, which `variable` only fills where it
    is empty; every other key is a column. A list of one is its element, a longer one JSON.
    Of a column that is given twice the first cell that isn't empty stays.
    """
    cells: dict[str, str] = {}
    for annotation in annotations:
        for key, value in _pairs(annotation):
            column = one_line(key)
            if not cells.get(column):
                cells[column] = value
    return cells


def _pairs(annotation: Annotation) -> Iterable[tuple[str, str]]:
    for key, value in annotation.items():
        if key == "characteristics_ch1" and isinstance(value, list):
            without_key = []
            for text in value:
                name, colon, said = text.partition(":")
                if colon and name.strip():
                    yield f"{key}_{name}", said.strip()
                else:
                    without_key.append(text)
            if without_key:
                yield key, _text(without_key)
        elif _is_records(value, "category", "value"):
            yield from ((f"characteristic_{each['category']}", each["value"]) for each in value)
        elif not _is_records(value, "name", "value"):
            yield key, _text(value)
    for value in annotation.values():  # after the characteristics, which go before
        if _is_records(value, "name", "value"):
            yield from ((f"characteristic_{each['name']}", each["value"]) for each in value)


def _is_records(value: Any, *keys: str) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and set(each) == set(keys) for each in value)
    )


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, list):
        return _text(value[0]) if len(value) == 1 else json.dumps(value, ensure_ascii=False)
    return str(value)


def write_table(
    path: Path, header: Sequence[str], rows: Iterable[Mapping[str, str | float | bool | None]]
) -> None:
    """Write rows as UTF-8; a column that a row hasn't is empty, and so is what isn't finite."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([cell(name) for name in header])
        places = {name: place for place, name in enumerate(header)}
        for row in rows:  # which may have few of many columns
            cells = [""] * len(header)
            for name, value in row.items():
                if name in places:
                    cells[places[name]] = cell(_text(value))
            writer.writerow(cells)


def cell(text: str) -> str:
    """A submitted text as it may stand in a table; quoting is the writer's."""
    line = one_line(text)
    calculated = _CALCULATED.match(line) and not _NUMBER.fullmatch(line)
    return f"'{line}" if calculated else line


def one_line(text: str) -> str:
    """The text with every run of control characters and line ends as one space."""
    return _BREAKS.sub(" ", text)
