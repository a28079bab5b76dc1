"""Query parameters: which a route knows, of which type, and what they mean in SQL.

A parameter that a route doesn't know is refused, as is a value of another type; of one that
is repeated, the last value counts; an empty value is none. Not here: search, which takes
parameters of its own kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from fastapi import Request

from refinebio_assets.api.errors import Refused, refused_together

Type = Literal["text", "integer", "number", "boolean", "time"]
LARGEST_INTEGER: Final = 2**63 - 1
PAGE_PARAMETERS: Final = ("limit", "offset")
ORDERING: Final = "ordering"


@dataclass(frozen=True)
class Filter:
    """A query parameter that confines the rows of a list.

    `sql` is the condition, with one `?` for the value; by default, that the column of the
    parameter's name equals it.
    """

    name: str
    type: Type = "text"
    sql: str = ""

    @property
    def condition(self) -> str:
        """The condition in SQL."""
        return self.sql or f"{self.name} = ?"


@dataclass(frozen=True)
class Conditions:
    """Conditions in SQL, all of which must hold, and their values."""

    parts: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()

    def and_also(self, condition: str, *values: Any) -> Conditions:
        """With one more."""
        return Conditions((*self.parts, f"({condition})"), (*self.values, *values))

    @property
    def sql(self) -> str:
        """What comes after WHERE."""
        return " AND ".join(self.parts) or "true"


@dataclass(frozen=True)
class Parameters:
    """All that a route's query may have.

    Attributes
    ----------
    filters
        What confines the rows.
    orderings
        Columns by which rows can be ordered; a `-` before one turns the order round.
    default_ordering
        As the parameter would be written; the last column must tell rows apart.
    others
        Parameters that the route reads by itself.
    """

    filters: tuple[Filter, ...] = ()
    orderings: tuple[str, ...] = ()
    default_ordering: str = "id"
    others: tuple[str, ...] = ()
    paginated: bool = True

    def names(self) -> list[str]:
        """The parameters' names."""
        return [
            *(each.name for each in self.filters),
            *self.others,
            *([ORDERING] if self.orderings else []),
            *(PAGE_PARAMETERS if self.paginated else []),
        ]

    def openapi(self) -> dict[str, Any]:
        """The parameters as the OpenAPI document lists them; for `openapi_extra`."""
        listed = [_described(each.name, each.type) for each in self.filters]
        listed += [_described(name, "text") for name in self.others]
        if self.orderings:
            values = [sign + each for each in self.orderings for sign in ("", "-")]
            schema = {"type": "string", "enum": values}
            listed.append({"name": ORDERING, "in": "query", "schema": schema})
        if self.paginated:
            listed += [_described(name, "integer") for name in PAGE_PARAMETERS]
        return {"parameters": listed}


@dataclass(frozen=True)
class Query:
    """What a request asks of a list."""

    conditions: Conditions
    order: str
    others: Mapping[str, str] = field(default_factory=dict)


def read_query(request: Request, known: Parameters) -> Query:
    """Check the parameters of a request and put them into SQL.

    Raises
    ------
    Refused
        With all that is wrong.
    """
    given = last_values(request.query_params.multi_items())
    unknown = [name for name in given if name not in known.names()]
    if unknown:
        raise Refused("invalid_filters", "You have given parameters that are not known.", unknown)
    conditions, errors = Conditions(), []
    for each in known.filters:
        if each.name not in given:
            continue
        try:
            value = typed(each.name, given[each.name], each.type)
        except Refused as error:
            errors.append(error)
        else:
            conditions = conditions.and_also(each.condition, value)
    if errors:
        raise refused_together(errors)
    order = order_sql(given.get(ORDERING), known.orderings, known.default_ordering)
    others = {name: given[name] for name in known.others if name in given}
    return Query(conditions, order, others)


def last_values(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The last value of each parameter, if it is not empty."""
    return {name: value for name, value in dict(items).items() if value}


def typed(name: str, text: str, type_: Type) -> Any:
    """The value of a parameter.

    Raises
    ------
    Refused
        It is not of that type.
    """
    try:
        return _READERS[type_](text.strip() if type_ != "text" else text)
    except (ValueError, OverflowError):
        raise Refused("invalid", f"Enter {_IN_WORDS[type_]}.", name) from None


def order_sql(wanted: str | None, known: Sequence[str], default: str) -> str:
    """What comes after ORDER BY; ties are broken as by default.

    Raises
    ------
    Refused
        Rows cannot be ordered so.
    """
    columns = wanted.split(",") if wanted else []
    for each in columns:
        if each.removeprefix("-") not in known:
            raise Refused("invalid_choice", "Rows cannot be ordered by this.", ORDERING)
    parts = {each.removeprefix("-"): each.startswith("-") for each in default.split(",")}
    chosen = {each.removeprefix("-"): each.startswith("-") for each in columns}
    ordered = {**chosen, **{name: down for name, down in parts.items() if name not in chosen}}
    return ", ".join(
        f"{name} {'DESC' if down else 'ASC'} NULLS LAST" for name, down in ordered.items()
    )


def listed(text: str) -> list[str]:
    """The values of a parameter that takes several, between commas."""
    return [each.strip() for each in text.split(",") if each.strip()]


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError
    return words[text.lower()]


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST_INTEGER:
        raise OverflowError
    return number


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(text: str) -> str:
    text.encode()  # no half surrogates
    return text


_READERS: Final[dict[Type, Callable[[str], Any]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
}
_IN_WORDS: Final[dict[Type, str]] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "time": "a date and time, as in 2026-01-31T12:00:00Z",
}
_SCHEMAS: Final[dict[Type, dict[str, str]]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
}


def _described(name: str, type_: Type) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": _SCHEMAS[type_]}
