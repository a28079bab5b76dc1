"""`/v1/search/`: experiments by words and filters, with counts of downloadable samples.

Words are looked up in the catalogue's search index, where `field:word` looks in one field
alone. Filters of one name are alternatives, those of different names must all hold;
parameters that are not known are passed over, as in refine.bio.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request

from refinebio_assets.api import models
from refinebio_assets.api.body import body_of, json_body, object_in
from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.errors import Refused
from refinebio_assets.api.filters import Conditions, Type, order_sql, typed
from refinebio_assets.api.pages import page_body, read_page
from refinebio_assets.api.service import ReaderOf

Given = Mapping[str, Sequence[str]]

# More than this at once would be held in memory whole.
LARGEST_LIMIT: Final = 10_000

_ORDERINGS: Final = (
    "id",
    "title",
    "description",
    "num_total_samples",
    "num_downloadable_samples",
    "source_first_published",
)
_TIES: Final = "-num_total_samples,id,title,description,-source_first_published"

# Name -> the type of its values, and the condition that a row has one of them.
_FILTERS: Final[dict[str, tuple[Type, str]]] = {
    "id": ("integer", "list_contains(?, id)"),
    "technology": (
        "text",
        "list_has_any(?, list_transform(string_split(technology, ';'), lambda each: lower(each)))",
    ),
    "has_publication": ("boolean", "list_contains(?, has_publication)"),
    "accession_code": ("text", "list_contains(?, accession_code)"),
    "alternate_accession_code": ("text", "list_contains(?, alternate_accession_code)"),
    "platform": ("text", "list_has_any(?, platform_accession_codes)"),
    "organism": ("text", "list_has_any(?, organism_names)"),
    "downloadable_organism": ("text", "list_has_any(?, downloadable_organism_names)"),
    "num_processed_samples": ("integer", "list_contains(?, num_processed_samples)"),
    "num_downloadable_samples": ("integer", "list_contains(?, num_downloadable_samples)"),
}
_SQL_TYPES: Final[dict[Type, str]] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
}
_LISTS: Final = ("id", "accession_code", "num_processed_samples", "num_downloadable_samples")
_NUMBERS: Final = ("num_processed_samples", "num_downloadable_samples")
_RANGES: Final = ("id", *_NUMBERS)
_COMPARISONS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_SEPARATOR: Final = re.compile(r"__|\||,")

# Fields in which words can be looked for alone.
_FIELDS: Final = {
    "title": "title",
    "publication_authors": "array_to_string(publication_authors, ' ')",
    "publication_title": "publication_title",
    "submitter_institution": "submitter_institution",
    "description": "description",
    "accession_code": "accession_code",
    "alternate_accession_code": "alternate_accession_code",
    "publication_doi": "publication_doi",
    "pubmed_id": "pubmed_id",
    "sample_metadata_fields": "array_to_string(sample_metadata_fields, ' ')",
    "platform_names": "array_to_string(platform_names, ' ')",
}
# What the index doesn't have, and is looked for as it is written.
_NOT_INDEXED: Final = (
    "list_contains([accession_code, alternate_accession_code, publication_doi, pubmed_id], ?) "
    "OR contains(lower(concat_ws(chr(10), submitter_institution, "
    "array_to_string(publication_authors, chr(10)), array_to_string(platform_names, chr(10)), "
    "array_to_string(sample_metadata_fields, chr(10)))), lower(?))"
)
_IN_INDEX: Final = "SELECT experiment_row, score FROM search_experiment_hits(?)"

# What matches is looked up once for the count, the page and the facets.
_KEPT: Final = """
CREATE OR REPLACE TEMP TABLE matching AS
SELECT experiment_row, score, num_unshared, technology, downloadable_organism_names,
       platform_accession_codes, has_publication
FROM ({matching})
"""
_PAGE: Final = """
SELECT e.*, m.score FROM matching AS m JOIN memory.api.experiments AS e USING (experiment_row)
ORDER BY {order} LIMIT ? OFFSET ?
"""
# Of each value that a matching experiment has, the downloadable samples of those experiments.
_FACET: Final = """
WITH valued AS (
    SELECT experiment_row, num_unshared, unnest({values}) AS value FROM {source}
), shared AS (
    SELECT value, count(DISTINCT sample_row) AS num_shared
    FROM valued JOIN memory.api.shared_samples USING (experiment_row) GROUP BY value
)
SELECT value, (sum(num_unshared) + coalesce(any_value(num_shared), 0))::BIGINT AS samples
FROM valued LEFT JOIN shared USING (value)
WHERE value <> '' GROUP BY value ORDER BY samples DESC, value
"""
_GROUPS: Final = {
    "technology": "list_transform(string_split(technology, ';'), lambda each: lower(each))",
    "downloadable_organism_names": "downloadable_organism_names",
    "platform_accession_codes": "platform_accession_codes",
    "has_publication": "[has_publication::VARCHAR]",
}
# Groups over all experiments, which are only given on request.
_GLOBAL_GROUPS: Final = {
    "technology_global": _GROUPS["technology"],
    "organism_names_global": "organism_names",
    "platform_names_global": "platform_names",
    "has_publication_global": _GROUPS["has_publication"],
}
_PARAMETERS: Final = [
    {"name": name, "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}
    for name in (
        "search",
        *_FILTERS,
        "sample_keywords",
        *(f"{name}__in" for name in _LISTS),
        *(f"{name}__range" for name in _RANGES),
        *(f"{name}__{sign}" for name in _NUMBERS for sign in _COMPARISONS),
        "facet",
    )
] + [
    {"name": "ordering", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
    {"name": "offset", "in": "query", "schema": {"type": "integer"}},
]

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.get("/", openapi_extra={"parameters": _PARAMETERS})
def search(request: Request, reader: ReaderOf) -> models.SearchPage:
    """Experiments by words and filters; a parameter may be repeated."""
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    return _answer(request, reader, given)


@router.post("/", openapi_extra=json_body({"type": "object"}))
def search_posted(
    request: Request, reader: ReaderOf, body: Annotated[bytes, Depends(body_of)]
) -> models.SearchPage:
    """The same, with the parameters as a JSON object; lists are alternatives."""
    return _answer(request, reader, _posted(body))


def _posted(body: bytes) -> Given:
    content = object_in(body)
    values = {name: each if isinstance(each, list) else [each] for name, each in content.items()}
    wrong = [
        name
        for name, each in values.items()
        if not all(isinstance(value, str | int | float) for value in each)
    ]
    if wrong:
        raise Refused("invalid_filters", "Values are texts, numbers, or lists of them.", wrong)
    return {name: [_as_text(value) for value in each] for name, each in values.items()}


def _as_text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(request: Request, reader: Reader, given: Given) -> models.SearchPage:
    words = [each.strip() for each in given.get("search", []) if each.strip()]
    conditions = _conditions(given)
    last = {name: values[-1] for name, values in given.items() if values}
    page = read_page(last, LARGEST_LIMIT)
    ordering = last.get("ordering") or None
    order = order_sql(ordering, _ORDERINGS, _TIES)
    if ordering is None:
        order = f"score DESC, {order}"
    question, values = _matching(words, conditions)
    reader.cursor.execute(_KEPT.format(matching=question), values)
    count = reader.value("SELECT count(*) FROM matching")
    rows = reader.rows(_PAGE.format(order=order), page.limit, page.offset)
    facets = {name: _facet(reader, "matching", group) for name, group in _GROUPS.items()}
    for name in given.get("facet", []):
        if name in _GLOBAL_GROUPS:
            facets[name] = _facet(reader, "memory.api.experiments", _GLOBAL_GROUPS[name])
    found = page_body(request, page, count, [_told(row) for row in rows])
    return models.SearchPage.model_validate({**found, "facets": facets})


def _conditions(given: Given) -> Conditions:
    """Everything but the words, in SQL.

    Raises
    ------
    Refused
        A value is not of its type.
    """
    conditions = Conditions()
    for name, (type_, condition) in _FILTERS.items():
        values = [value for value in given.get(name, []) if value]
        if not values:
            continue
        if name == "technology":
            values = [value.lower() for value in values]
        conditions = conditions.and_also(
            condition.replace("?", f"?::{_SQL_TYPES[type_]}[]"),
            [typed(name, value, type_) for value in values],
        )
    for name in _LISTS:
        for value in given.get(f"{name}__in", []):
            type_, condition = _FILTERS[name]
            parts = [part for part in _SEPARATOR.split(value) if part]
            conditions = conditions.and_also(
                condition.replace("?", f"?::{_SQL_TYPES[type_]}[]"),
                [typed(f"{name}__in", part, type_) for part in parts],
            )
    for name in _RANGES:
        for value in given.get(f"{name}__range", []):
            ends = _SEPARATOR.split(value)
            if len(ends) != 2:
                raise Refused("invalid", "Enter two numbers, as in 1__5.", f"{name}__range")
            low, high = (typed(f"{name}__range", end, "integer") for end in ends)
            conditions = conditions.and_also(f"{name} BETWEEN ? AND ?", low, high)
    for name in _NUMBERS:
        for sign, operator in _COMPARISONS.items():
            for value in given.get(f"{name}__{sign}", []):
                number = typed(f"{name}__{sign}", value, "integer")
                conditions = conditions.and_also(f"{name} {operator} ?", number)
    keywords = [each for each in given.get("sample_keywords", []) if each]
    if keywords:
        # The catalogue has no keywords yet that others have contributed.
        conditions = conditions.and_also("false")
    return conditions


def _matching(words: Sequence[str], conditions: Conditions) -> tuple[str, tuple[Any, ...]]:
    """The SELECT of the experiments that match, with their scores, and its values."""
    parts, values, joins, scores = list(conditions.parts), list(conditions.values), [], []
    join_values: list[Any] = []
    for number, each in enumerate(words):
        field, colon, rest = each.partition(":")
        if colon and field in _FIELDS:
            parts.append(f"contains(lower({_FIELDS[field]}), lower(?))")
            values.append(rest.strip())
            continue
        if not re.search(r"[^\W_]", each):  # no letter, no digit
            continue
        joins.append(
            f"LEFT JOIN ({_IN_INDEX}) AS hits_{number} "
            f"ON hits_{number}.experiment_row = experiments.experiment_row"
        )
        join_values.append(each)
        scores.append(f"coalesce(hits_{number}.score, 0.5)")
        parts.append(f"(hits_{number}.experiment_row IS NOT NULL OR {_NOT_INDEXED})")
        values += [each, each]
    score = " + ".join(scores) or "0.0"
    question = (
        f"SELECT experiments.*, {score} AS score "  # noqa: S608
        f"FROM memory.api.experiments AS experiments {' '.join(joins)} "
        f"WHERE {' AND '.join(parts) or 'true'}"
    )
    return question, (*join_values, *values)


def _told(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in models.ExperimentFound.model_fields}


def _facet(reader: Reader, source: str, group: str) -> dict[str, int]:
    question = _FACET.format(source=source, values=group)
    return {row["value"]: row["samples"] for row in reader.rows(question)}
