"""Lists in pages: `limit` and `offset`, and where the pages before and after are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel

DEFAULT_LIMIT: Final = 25
LARGEST_LIMIT: Final = 1000
LARGEST_OFFSET: Final = 2**31

Item = TypeVar("Item")


class PageOf(BaseModel, Generic[Item]):
    """A page of a list; `count` is of the whole list."""

    count: int
    next: str | None
    previous: str | None
    results: list[Item]


@dataclass(frozen=True)
class Page:
    """Which rows of a list are wanted."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0


def read_page(parameters: Mapping[str, Any], largest: int = LARGEST_LIMIT) -> Page:
    """The page that is asked for; what is no number that makes sense counts as not given."""
    limit = _positive(parameters.get("limit"), DEFAULT_LIMIT)
    offset = _positive(parameters.get("offset"), 0)
    return Page(min(limit or DEFAULT_LIMIT, largest), min(offset, LARGEST_OFFSET))


def _positive(value: Any, default: int) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default


def page_body(request: Request, page: Page, count: int, results: list[Any]) -> dict[str, Any]:
    """The answer for a page."""
    following = page.offset + page.limit
    after = _address(request, page.limit, following) if following < count else None
    before = None
    if page.offset > 0:
        before = _address(request, page.limit, max(0, page.offset - page.limit))
    return {"count": count, "next": after, "previous": before, "results": results}


def _address(request: Request, limit: int, offset: int) -> str:
    url = request.url.include_query_params(limit=limit)
    if offset:
        return str(url.include_query_params(offset=offset))
    return str(url.remove_query_params("offset"))
