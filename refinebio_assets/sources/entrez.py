"""Finding new and changed GEO series through NCBI's E-utilities (db=gds).

Not here: reading a series (`sources.geo`), and remembering what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from refinebio_assets.errors import SourceAnswerInvalid, SourceUnavailable
from refinebio_assets.sources.web import Web

BASE = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
PAGE = 500
MOST_HITS = 20_000
SUMMARIES = 200
BY_ARRAY = "expression profiling by array"


@dataclass(frozen=True)
class GeoSeries:
    """A search hit: a series, what it is of, and how large it is."""

    accession: str
    organisms: tuple[str, ...]
    samples: int
    published: date | None


def find_series(
    web: Web,
    since: date,
    until: date,
    *,
    organisms: Sequence[str] = (),
    platforms: Sequence[str] = (),
    types: Sequence[str] = (BY_ARRAY,),
) -> list[GeoSeries]:
    """Series published or updated in a window of days (both included), sorted by accession.

    Raises
    ------
    SourceUnavailable
        If the service is down or gives an error in place of an answer.
    SourceAnswerInvalid
        If the answer is not a search result, or a field tag was silently dropped.
    """
    term = search_term(since, until, organisms=organisms, platforms=platforms, types=types)
    ids = _search(web, term)
    found = {
        series.accession: series
        for start in range(0, len(ids), SUMMARIES)
        for series in _summaries(web, ids[start : start + SUMMARIES])
    }
    return [found[accession] for accession in sorted(found, key=lambda name: (len(name), name))]


def search_term(
    since: date,
    until: date,
    *,
    organisms: Sequence[str] = (),
    platforms: Sequence[str] = (),
    types: Sequence[str] = (BY_ARRAY,),
) -> str:
    """The Entrez query for series of a window."""
    window = f"{since:%Y/%m/%d}:{until:%Y/%m/%d}"
    parts = ["gse[ETYP]", f"({window}[PDAT] OR {window}[UDAT])"]
    for values, tag in ((types, "GTYP"), (organisms, "ORGN"), (platforms, "ACCN")):
        if values:
            parts.append("(" + " OR ".join(f'"{_quoted(each)}"[{tag}]' for each in values) + ")")
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    return text.replace('"', " ")


def _search(web: Web, term: str) -> list[str]:
    ids: list[str] = []
    while True:
        parameters = {"db": "gds", "term": term, "retmode": "json"}
        page = {"retmax": str(PAGE), "retstart": str(len(ids))}
        answer = _json(web.get(BASE + "esearch.fcgi", {**parameters, **page}))
        result = answer.get("esearchresult")
        if not isinstance(result, dict) or "ERROR" in result:
            raise SourceUnavailable(f"E-utilities answered: {str(answer)[:300]}.")
        try:
            count, listed = int(result["count"]), [str(each) for each in result["idlist"]]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceAnswerInvalid("E-utilities' search result has no count or ids.") from error
        if "[All Fields]" in str(result.get("querytranslation", "")):
            raise SourceAnswerInvalid("E-utilities dropped a field of the search.")
        if count > MOST_HITS:
            raise SourceAnswerInvalid(f"{count:,} series match: narrow the window or the filters.")
        ids += listed
        if len(ids) >= count:
            return ids
        if not listed:
            raise SourceAnswerInvalid(f"E-utilities listed {len(ids)} of {count} series.")


def _summaries(web: Web, ids: Sequence[str]) -> Iterator[GeoSeries]:
    parameters = {"db": "gds", "id": ",".join(ids), "retmode": "json"}
    result = _json(web.get(BASE + "esummary.fcgi", parameters)).get("result")
    if not isinstance(result, dict):
        raise SourceUnavailable("E-utilities gave no summaries.")
    for uid in ids:
        summary = result.get(uid)
        if not isinstance(summary, dict) or not str(summary.get("accession", "")).startswith("GSE"):
            raise SourceAnswerInvalid(f"E-utilities gave no summary of {uid}.")
        yield GeoSeries(
            accession=str(summary["accession"]),
            organisms=tuple(each.strip() for each in str(summary.get("taxon", "")).split(";")),
            samples=int(summary.get("n_samples") or 0),
            published=_date(str(summary.get("pdat", ""))),
        )


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise SourceAnswerInvalid(f"E-utilities answered {body[:80]!r}.") from error
    if not isinstance(answer, dict):
        raise SourceAnswerInvalid(f"E-utilities answered {body[:80]!r}.")
    return answer
