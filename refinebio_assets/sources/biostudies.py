"""BioStudies, the home of ArrayExpress: a study's page, what is said of its files, search.

PageTab JSON nests sections in objects and in lists of them; names repeat and values may be
missing. Every reader here takes what is there and refuses only what is no study at all.
Not here: the samples, which only the SDRF knows (see `mage_tab`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote, urlsplit

from refinebio_assets.errors import AccessionAbsent, SourceAnswerInvalid
from refinebio_assets.sources.web import Web

API = "https://www.ebi.ac.uk/biostudies/api/v1"
PAGE = "https://www.ebi.ac.uk/biostudies/arrayexpress/studies"
FILES = "https://www.ebi.ac.uk/biostudies/files"
PAGE_SIZE = 100  # the most that it gives
MOST_PAGES = 10_000
MOST_CHANGED = 5_000
MOST_SECTIONS = 1_000_000


@dataclass(frozen=True)
class Info:
    """Where a study's files lie, and when it was published and changed."""

    files_url: str
    released: datetime | None
    modified: datetime | None


@dataclass(frozen=True)
class Study:
    """What a study's page says. `files` maps names, relative to `Info.files_url`, to sizes."""

    title: str | None
    description: str | None
    organisms: tuple[str, ...]
    protocols: tuple[Mapping[str, str], ...]
    array_designs: tuple[str, ...]
    links: tuple[str, ...]
    files: Mapping[str, int | None]


@dataclass(frozen=True)
class Hit:
    """One study found."""

    accession: str
    title: str | None
    release_date: str | None


def fetch_info(accession: str, web: Web) -> Info:
    """Ask where a study's files lie.

    Raises
    ------
    AccessionAbsent
        If there is no such public study.
    SourceAnswerInvalid, SourceRefused, SourceUnavailable
    """
    found = parse_object(web.get(f"{API}/studies/{quote(accession)}/info"), "study info")
    if found.get("isPublic") is False:
        raise AccessionAbsent(f"{accession} is not public at BioStudies.")
    link = found.get("httpLink")
    files_url = f"{FILES}/{quote(accession)}"
    if link is not None:
        files_url = f"{_trusted(link)}/Files"
    return Info(files_url, _moment(found.get("released")), _moment(found.get("modified")))


def fetch_study(accession: str, web: Web) -> Study:
    """Ask for a study's page.

    Raises
    ------
    AccessionAbsent, SourceAnswerInvalid, SourceRefused, SourceUnavailable
    """
    return parse_study(web.get(f"{API}/studies/{quote(accession)}"))


def parse_study(content: bytes) -> Study:
    """Read a study's page.

    Raises
    ------
    SourceAnswerInvalid
        If it is no JSON object with a section.
    """
    page = parse_object(content, "study")
    root = page.get("section")
    if not isinstance(root, dict):
        raise SourceAnswerInvalid("The study at BioStudies has no section.")
    sections = list(_sections(root))
    own, outer = _attributes(root), _attributes(page)
    designs = [each for each in sections if each.get("type") == "Array Designs"]
    return Study(
        title=_first(own, "title") or _first(outer, "title"),
        description=_first(own, "description") or _first(outer, "description"),
        organisms=tuple(dict.fromkeys(value for name, value in own if name == "organism")),
        protocols=tuple(
            dict(reversed(_attributes(each)))
            for each in sections
            if each.get("type") == "Protocols"
        ),
        array_designs=tuple(
            dict.fromkeys(url for each in designs for url in _links(each.get("links")))
        ),
        links=tuple(dict.fromkeys(url for each in sections for url in _links(each.get("links")))),
        files=dict(file for each in (page, *sections) for file in _files(each.get("files"))),
    )


def search(web: Web, parameters: Mapping[str, str]) -> Iterator[Hit]:
    """The studies of the ArrayExpress collection that fit, page after page, none twice.

    Parameters
    ----------
    parameters
        As the search takes them: query, release_date, organism, directsub, sortBy, ….

    Raises
    ------
    SourceAnswerInvalid
        If a page is no page of hits, or fewer studies come than are said to be there
        exactly. A total that is said to be a guess is not believed.
    SourceRefused, SourceUnavailable
    """
    seen: set[str] = set()
    number = 0
    for page in range(1, MOST_PAGES + 1):
        asked = {**parameters, "pageSize": str(PAGE_SIZE), "page": str(page)}
        answer = parse_object(web.get(f"{API}/arrayexpress/search", asked), "search")
        hits = answer.get("hits")
        if not isinstance(hits, list):
            raise SourceAnswerInvalid("The search of BioStudies gives no list of hits.")
        number += len(hits)
        for hit in hits:
            accession = _text(hit.get("accession")) if isinstance(hit, dict) else None
            if accession is None:
                raise SourceAnswerInvalid("A hit of the search of BioStudies has no accession.")
            if accession not in seen:
                seen.add(accession)
                yield Hit(accession, _text(hit.get("title")), _text(hit.get("release_date")))
        if len(hits) < _page_size(answer):
            _check_total(answer, number)
            return
    raise SourceAnswerInvalid(f"The search of BioStudies does not end after {MOST_PAGES} pages.")


def find_changed(web: Web, since: date, until: date, parameters: Mapping[str, str]) -> list[str]:
    """The accessions of studies that were modified in a window of days (UTC, both included).

    The search knows a study's time of modification as `mtime`, in milliseconds: so says the
    service's own code (EBIBioStudies/ribs: collection-fields.json, BioStudiesQueryParser);
    no document promises it, and hits do not show it. A search that ignores what it is asked
    answers with everything: so the first hit is looked up.

    Parameters
    ----------
    parameters
        What else the search is asked, as for `search`.

    Raises
    ------
    SourceAnswerInvalid
        If the search did not go by the time of modification, or finds more than
        `MOST_CHANGED`: BioStudies rewrites all of its records now and then.
    AccessionAbsent, SourceRefused, SourceUnavailable
    """
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (since, until))
    end += timedelta(days=1)
    window = f"[{_milliseconds(start)} TO {_milliseconds(end) - 1}]"
    hits = search(web, {**parameters, "mtime": window})
    found = [hit.accession for hit in islice(hits, MOST_CHANGED + 1)]
    if len(found) > MOST_CHANGED:
        raise SourceAnswerInvalid(
            f"BioStudies says that more than {MOST_CHANGED} studies changed since {since}.",
            remedy="Survey those that you hold again if their documents differ.",
        )
    modified = fetch_info(found[0], web).modified if found else start
    if modified is None or not start <= modified < end:
        raise SourceAnswerInvalid(
            f"BioStudies gives {found[0]}, modified {modified}, as changed since {since}."
        )
    return found


def parse_object(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    SourceAnswerInvalid
        For anything else: an HTML page, a cut document, ….
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        beginning = content[:60].decode("latin-1")
        raise SourceAnswerInvalid(
            f"BioStudies' answer ({what}) is not JSON: {error}; it begins {beginning!r}."
        ) from None
    if not isinstance(found, dict):
        raise SourceAnswerInvalid(f"BioStudies' answer ({what}) is not a JSON object.")
    return found


def _page_size(answer: Mapping[str, Any]) -> int:
    told = answer.get("pageSize")
    return told if isinstance(told, int) and 0 < told <= PAGE_SIZE else PAGE_SIZE


def _check_total(answer: Mapping[str, Any], number: int) -> None:
    total = answer.get("totalHits")
    if answer.get("isTotalHitsExact") is True and isinstance(total, int) and number < total:
        raise SourceAnswerInvalid(f"BioStudies gives {number} of exactly {total} hits.")


def _trusted(link: object) -> str:
    """A folder of EMBL-EBI's, over HTTPS: what it says is fetched from there."""
    try:
        parts = urlsplit(link if isinstance(link, str) else "")
        host = parts.hostname or ""
        if parts.scheme in ("http", "https") and f".{host}".endswith(".ebi.ac.uk"):
            return f"https://{host}{parts.path.rstrip('/')}"
    except ValueError:
        pass
    raise SourceAnswerInvalid(f"BioStudies names {str(link)[:200]!r} as the files' place.")


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _objects(nested: object) -> Iterator[dict[str, Any]]:
    """The objects in lists in lists, in order."""
    waiting = [nested]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        elif isinstance(each, dict):
            yield each


def _sections(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting, number = [root], 0
    while waiting:
        section = waiting.pop()
        number += 1
        if number > MOST_SECTIONS:
            raise SourceAnswerInvalid("The study at BioStudies has too many sections.")
        yield section
        waiting.extend(reversed(list(_objects(section.get("subsections")))))


def _attributes(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names, in lower case, and values of a section's attributes, where both are given."""
    pairs = [
        (_text(each.get("name")), _text(each.get("value")))
        for each in _objects(section.get("attributes"))
    ]
    return [(name.lower(), value) for name, value in pairs if name and value]


def _first(attributes: list[tuple[str, str]], wanted: str) -> str | None:
    return next((value for name, value in attributes if name == wanted), None)


def _links(nested: object) -> list[str]:
    return [url for each in _objects(nested) if (url := _text(each.get("url")))]


def _files(nested: object) -> Iterator[tuple[str, int | None]]:
    for each in _objects(nested):
        path, size = _text(each.get("path")), each.get("size")
        if path:
            yield path, size if isinstance(size, int) and size >= 0 else None


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
