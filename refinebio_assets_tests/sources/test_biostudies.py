"""BioStudies' pages; their content is invented, their shape is that of the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import AccessionAbsent, SourceAnswerInvalid
from refinebio_assets.sources import biostudies
from refinebio_assets.sources.biostudies import fetch_info, find_changed, parse_study, search

STUDY: dict[str, Any] = {
    "accno": "E-MTAB-1",
    "attributes": [{"name": "Title", "value": "outer"}, {"name": "RootPath"}],
    "section": {
        "type": "Study",
        "attributes": [
            {"name": "Title", "value": "Livers"},
            {"name": "Organism", "value": "Homo sapiens"},
            {"name": "Organism", "value": "Mus musculus"},
            {"name": "Description"},
        ],
        "links": [[{"url": "GSE123", "attributes": []}]],
        "subsections": [
            {"type": "Author", "attributes": [{"name": "Name", "value": "A"}]},
            [
                {"type": "Protocols", "attributes": [{"name": "Name", "value": "P-1"}]},
                {"type": "Protocols", "attributes": None},
            ],
            {
                "type": "Assays and Data",
                "subsections": [
                    {
                        "type": "Array Designs",
                        "links": [[{"url": "A-AFFY-1"}], {"url": "A-AFFY-2"}],
                    },
                    {
                        "type": "MAGE-TAB Files",
                        "files": [[{"path": "E-MTAB-1.sdrf.txt", "size": 7}], {"path": "x.CEL"}],
                    },
                ],
            },
        ],
    },
}


class Pages:
    """A web of given pages; remembers what it was asked."""

    def __init__(self, *pages: object) -> None:
        self._pages = iter(pages)
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        self.asked.append((url, params or {}))
        return json.dumps(next(self._pages)).encode()

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        raise NotImplementedError


def test_a_study_of_nested_lists() -> None:
    study = parse_study(json.dumps(STUDY).encode())
    assert study.title == "Livers"
    assert study.description is None
    assert study.organisms == ("Homo sapiens", "Mus musculus")
    assert study.array_designs == ("A-AFFY-1", "A-AFFY-2")
    assert study.protocols == ({"name": "P-1"}, {})
    assert study.links == ("GSE123", "A-AFFY-1", "A-AFFY-2")
    assert study.files == {"E-MTAB-1.sdrf.txt": 7, "x.CEL": None}


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"section": 1}', b"[" * 10**6])
def test_no_study(content: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        parse_study(content)


def test_info() -> None:
    told = {
        "httpLink": "http://ftp.ebi.ac.uk/biostudies/fire/E-MTAB-/001/E-MTAB-1/",
        "released": 1414713600000,
        "modified": "soon",
    }
    info = fetch_info("E-MTAB-1", Pages(told))
    assert info.files_url == "https://ftp.ebi.ac.uk/biostudies/fire/E-MTAB-/001/E-MTAB-1/Files"
    assert str(info.released) == "2014-10-31 00:00:00+00:00"
    assert info.modified is None
    assert fetch_info("E-MTAB-1", Pages({"released": 10**30})).files_url.endswith("/E-MTAB-1")


@pytest.mark.parametrize("link", ["file:///etc", "https://ebi.ac.uk.example.org/x", 5, "http://["])
def test_files_elsewhere_are_not_fetched(link: object) -> None:
    with pytest.raises(SourceAnswerInvalid, match="files' place"):
        fetch_info("E-MTAB-1", Pages({"httpLink": link}))


def test_a_private_study() -> None:
    with pytest.raises(AccessionAbsent):
        fetch_info("E-MTAB-1", Pages({"isPublic": False}))


def page(*numbers: int, total: int, exact: bool) -> dict[str, Any]:
    hits = [
        {"accession": f"E-MTAB-{n}", "title": None, "release_date": "2026-11-01"} for n in numbers
    ]
    return {"pageSize": 3, "totalHits": total, "isTotalHitsExact": exact, "hits": hits}


def test_a_guessed_total_is_not_believed() -> None:
    web = Pages(
        page(1, 2, 3, total=3, exact=False),
        page(3, 4, 5, total=3, exact=False),
        page(6, total=90, exact=False),
    )
    found = [hit.accession for hit in search(web, {"query": "liver"})]
    assert found == [f"E-MTAB-{n}" for n in range(1, 7)]
    assert [asked["page"] for _, asked in web.asked] == ["1", "2", "3"]
    assert web.asked[0][1]["query"] == "liver"


def test_fewer_hits_than_an_exact_total() -> None:
    web = Pages(page(1, 2, 3, total=6, exact=True), page(4, 5, total=6, exact=True))
    with pytest.raises(SourceAnswerInvalid, match="5 of exactly 6"):
        list(search(web, {}))


def test_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(biostudies, "MOST_PAGES", 2)
    web = Pages(page(1, 2, 3, total=0, exact=False), page(4, 5, 6, total=0, exact=False))
    with pytest.raises(SourceAnswerInvalid, match="does not end"):
        list(search(web, {}))


def modified(*when: int) -> dict[str, Any]:
    return {"modified": int(datetime(*when, tzinfo=UTC).timestamp() * 1000)}  # type: ignore[misc]


SINCE, UNTIL = date(2026, 11, 1), date(2026, 11, 8)


@pytest.mark.parametrize("last", [(2026, 11, 1), (2026, 11, 4, 12), (2026, 11, 8, 23, 59, 59)])
def test_changed_studies(last: tuple[int, ...]) -> None:
    web = Pages(page(1, 2, total=2, exact=True), modified(*last))
    assert find_changed(web, SINCE, UNTIL, {"type": "study"}) == ["E-MTAB-1", "E-MTAB-2"]
    (_, asked), (looked_up, _) = web.asked
    assert asked["type"] == "study"
    assert asked["mtime"] == "[1793491200000 TO 1794182399999]"
    assert datetime.fromtimestamp(1793491200, UTC).date() == SINCE
    assert datetime.fromtimestamp(1794182399.999, UTC).date() == UNTIL
    assert looked_up.endswith("/studies/E-MTAB-1/info")


def test_no_study_changed() -> None:
    web = Pages(page(total=0, exact=True))
    assert find_changed(web, SINCE, UNTIL, {}) == []


@pytest.mark.parametrize(
    "told", [modified(2026, 10, 31, 23, 59, 59), modified(2026, 11, 9), {"modified": "soon"}, {}]
)
def test_a_search_that_ignores_the_time_of_modification(told: dict[str, Any]) -> None:
    with pytest.raises(SourceAnswerInvalid, match="as changed since 2026-11-01"):
        find_changed(Pages(page(1, total=1, exact=True), told), SINCE, UNTIL, {})


def test_all_studies_were_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(biostudies, "MOST_CHANGED", 4)
    web = Pages(page(1, 2, 3, total=9, exact=True), page(4, 5, 6, total=9, exact=True))
    with pytest.raises(SourceAnswerInvalid, match="more than 4 studies"):
        find_changed(web, SINCE, UNTIL, {})
    assert len(web.asked) == 2  # it does not read on


@pytest.mark.parametrize("answer", [{}, {"hits": {}}, {"hits": [1]}, {"hits": [{"title": "x"}]}])
def test_no_hits(answer: object) -> None:
    with pytest.raises(SourceAnswerInvalid):
        list(search(Pages(answer), {}))


KEYS = st.sampled_from(
    ["section", "subsections", "attributes", "name", "value", "files", "links", "url", "path",
     "size", "type", "hits", "accession", "httpLink", "released"]
)  # fmt: skip
WORDS = st.sampled_from(["Title", "Organism", "Protocols", "Array Designs", "x", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(JSON)
def test_anything_is_read_or_refused(answer: object) -> None:
    for read in (
        lambda: parse_study(json.dumps(answer).encode()),
        lambda: parse_study(json.dumps({"section": {"subsections": answer}}).encode()),
        lambda: fetch_info("E-MTAB-1", Pages(answer)),
        lambda: list(search(Pages(answer), {})),
    ):
        with suppress(SourceAnswerInvalid, AccessionAbsent):
            read()
