"""Lists of rows: counted, confined, ordered and cut into pages by DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import Request

from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.filters import Query
from refinebio_assets.api.pages import Page, page_body, read_page

EXPERIMENTS_OF: Final = "SELECT DISTINCT experiment FROM memory.api.numbers WHERE id IN ($among)"


def answer(
    request: Request,
    reader: Reader,
    view: str,
    query: Query,
    dressed: Callable[[list[Row]], list[Any]],
    key: str | None = None,
) -> dict[str, Any]:
    """A page of the rows of a view, as objects of v1.

    With a `key`, only it is read of all rows that are ordered, the rest of the page's alone:
    where rows are wide.
    """
    page = read_page(request.query_params)
    count, rows = _cut(reader, view, query, page, key)
    return page_body(request, page, count, dressed(rows))


def _cut(
    reader: Reader, view: str, query: Query, page: Page, key: str | None
) -> tuple[int, list[Row]]:
    """How many rows there are, and those of the page."""
    wanted = f"FROM memory.api.{view} WHERE {query.conditions.sql}"
    values = query.conditions.values
    count = reader.value(f"SELECT count(*) {wanted}", *values)
    rows = reader.rows(
        f"SELECT {key or '*'} {wanted} ORDER BY {query.order} LIMIT ? OFFSET ?",
        *values,
        page.limit,
        page.offset,
    )
    if key is None:
        return count, rows
    places = {row[key]: place for place, row in enumerate(rows)}
    of_page = f"SELECT * FROM memory.api.{view} WHERE {key} IN ($among)"  # noqa: S608
    found = reader.rows_among(of_page, places)
    return count, sorted(found, key=lambda row: places[row[key]])


def row_numbered(reader: Reader, view: str, name: str) -> Row | None:
    """The row of that number in a small view; what is no number is none's."""
    number = _number(name)
    if number is None:
        return None
    found = reader.rows(f"SELECT * FROM memory.api.{view} WHERE id = ? LIMIT 1", number)  # noqa: S608
    return found[0] if found else None


def file_numbered(reader: Reader, view: str, name: str) -> Row | None:
    """The same in a large view, of files or results."""
    number = _number(name)
    found = rows_numbered(reader, view, [number]) if number is not None else []
    return found[0] if found else None


def rows_numbered(
    reader: Reader, view: str, numbers: Sequence[int], column: str = "id"
) -> list[Row]:
    """The rows of these numbers in a view of files or results, where their experiments are."""
    experiments = [each["experiment"] for each in reader.rows_among(EXPERIMENTS_OF, numbers)]
    named = [each for each in experiments if each is not None]
    found = []
    if named:
        of_experiments = f"SELECT * FROM memory.api.{view} WHERE experiment IN ($among)"  # noqa: S608
        wanted = set(numbers)
        rows = reader.rows_among(of_experiments, named)
        found = [row for row in rows if row[column] in wanted]
    if len(named) < len(experiments):
        of_none = (
            f"SELECT * FROM memory.api.{view} "  # noqa: S608
            f"WHERE experiment IS NULL AND {column} IN ($among)"
        )
        found += reader.rows_among(of_none, numbers)
    return sorted(found, key=lambda row: row[column])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
