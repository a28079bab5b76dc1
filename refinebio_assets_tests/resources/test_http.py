"""Questions to a server that answers for public services, as badly as they do."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from refinebio_assets.errors import (
    AccessionAbsent,
    RefinebioError,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
)
from refinebio_assets.resources.http import Http, with_query
from refinebio_assets.resources.identity import EUTILS
from refinebio_assets.sources.web import Web
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture

URL = "https://www.ebi.ac.uk/a/b?x=1"
QUICK = Http(first_wait=0.01, idle_timeout=0.5)


# --- what an answer means ---------------------------------------------------------------


def test_an_answer(replay: Replay) -> None:
    web: Web = QUICK
    replay.add("https://www.ebi.ac.uk/a/b?y=2 3&x=1", b"told")
    assert web.get("https://www.ebi.ac.uk/a/b?x=1", {"y": "2 3"}) == b"told"
    with web.open("https://www.ebi.ac.uk/a/b?x=1&y=2+3") as stream:
        assert stream.read(2) + stream.read() == b"told"


def test_recorded_answers(replay: Replay) -> None:
    replay.add_recorded()
    answer = QUICK.get(
        "https://rest.ensembl.org/info/species", {"content-type": "application/json"}
    )
    assert answer.startswith(b"{")
    with pytest.raises(AccessionAbsent):
        QUICK.get("https://www.ebi.ac.uk/ena/browser/api/xml/ERP006216")
    redirected = QUICK.get("http://www.ebi.ac.uk/ols/api/terms?id=UO:9999999")
    assert b'"totalElements" : 0' in redirected


@pytest.mark.parametrize("status", [204, 404, 410])
def test_absent(replay: Replay, status: int) -> None:
    replay.add(URL, b"", status=status)
    with pytest.raises(AccessionAbsent, match=f"HTTP {status}"):
        QUICK.get(URL)
    with pytest.raises(AccessionAbsent), QUICK.open(URL):
        pass
    assert len(replay.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_refused_in_the_service_s_own_words(replay: Replay, status: int) -> None:
    replay.add(URL, b"Invalid fieldName(s)\n supplied: parent_study", status=status)
    with pytest.raises(SourceRefused, match=r"Invalid fieldName\(s\) supplied: parent_study"):
        QUICK.get(URL)
    assert len(replay.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_another_try_helps(replay: Replay, status: int) -> None:
    replay.add(URL, b"told")
    replay.fail(URL, "status", 2, status=status)
    assert QUICK.get(URL) == b"told"
    assert len(replay.asked) == 3


@pytest.mark.parametrize("kind", ["reset", "slow", "truncated"])
def test_dropped_connections_are_tried_again(replay: Replay, kind: str) -> None:
    replay.add(URL, b"told" * 1000)
    replay.fail(URL, kind)  # type: ignore[arg-type]
    assert QUICK.get(URL) == b"told" * 1000
    assert len(replay.asked) == 2


def test_no_more_than_five_tries(replay: Replay) -> None:
    replay.fail(URL, "status", 100, status=503)
    with pytest.raises(SourceUnavailable) as raised:
        QUICK.get(URL)
    assert raised.value.transient
    assert len(replay.asked) == 5


@pytest.mark.parametrize("status", [501, 505, 202, 300])
def test_other_statuses(replay: Replay, status: int) -> None:
    replay.add(URL, b"hm", status=status)
    with pytest.raises(SourceUnavailable if status >= 500 else SourceAnswerInvalid):
        QUICK.get(URL)
    assert len(replay.asked) == 1


@pytest.mark.parametrize("kind", ["reset", "slow", "truncated"])
def test_a_stream_that_drops(replay: Replay, kind: str) -> None:
    replay.add(URL, b"told" * 100_000)
    if kind != "reset":
        replay.fail(URL, kind)  # type: ignore[arg-type]
        with QUICK.open(URL) as stream, pytest.raises(SourceUnavailable):
            stream.read()
    replay.fail(URL, "reset", 2)
    with QUICK.open(URL) as stream:
        assert len(stream.read()) == 400_000


def test_no_server() -> None:
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        Http(first_wait=0, attempts=2).get("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    "url", ["nothing", "http://", "http://[", "gopher://x.org/", "http://a b/"]
)
def test_what_is_no_url(url: str, replay: Replay) -> None:
    for mirror in (replay.mirror, ""):
        with pytest.raises(RefinebioError):
            Http(first_wait=0, attempts=1, mirror=mirror or None).get(url)


# --- bounds -------------------------------------------------------------------------------


def test_a_document_that_is_too_large(replay: Replay) -> None:
    replay.add(URL, b"x" * 100_001)
    with pytest.raises(SourceAnswerInvalid, match="more than 100000 bytes"):
        Http(max_bytes=100_000).get(URL)


def test_a_document_that_takes_too_long(replay: Replay) -> None:
    replay.add(URL, b"x" * 300_000)
    replay.fail(URL, "slow", seconds=0.3)
    with pytest.raises(SourceUnavailable, match=r"longer than 0\.2 s"):
        Http(whole_timeout=0.2, attempts=1).get(URL)


def test_redirects(replay: Replay) -> None:
    end = "https://ftp.ebi.ac.uk/file"
    replay.add(end, b"told")
    replay.add(URL, b"", status=302, headers={"Location": end})
    assert QUICK.get(URL) == b"told"
    replay.add(URL, b"", status=301, headers={"Location": "b?x=1"})
    with pytest.raises(SourceAnswerInvalid, match="redirects"):
        QUICK.get(URL)


# --- patience -------------------------------------------------------------------------------


def test_retry_after_is_waited_for(replay: Replay) -> None:
    replay.add(URL, b"told")
    replay.fail(URL, "status", status=429, headers={"Retry-After": "0.4"})
    started = time.monotonic()
    assert QUICK.get(URL) == b"told"
    assert 0.4 <= time.monotonic() - started < 5


def test_the_limit_of_a_host_is_kept(replay: Replay) -> None:
    replay.add(URL, b"told")
    limited = Http(limits={"ebi.ac.uk": 10})
    started = time.monotonic()
    for _ in range(4):
        limited.get(URL)
    assert time.monotonic() - started >= 0.3


# --- who asks ---------------------------------------------------------------------------


def test_the_contact(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINEBIO_CONTACT", "lab@example.org\r\nX-Bad: 1")
    replay.add(URL, b"told")
    QUICK.get(URL)
    assert replay.asked[0].headers["User-Agent"].endswith("(lab@example.orgX-Bad: 1)")
    assert "X-Bad" not in replay.asked[0].headers


def test_the_key_is_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The request fails on its way: requests puts the whole URL into its errors."""
    monkeypatch.setenv("NCBI_API_KEY", "topsecret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("REFINEBIO_MIRROR", raising=False)
    caplog.set_level(logging.DEBUG)
    http = Http(attempts=2, first_wait=0, home=str(tmp_path))
    with pytest.raises(SourceUnavailable) as raised:
        http.get(f"https://{EUTILS}/entrez/eutils/einfo.fcgi", {"db": "gds"})
    assert "topsecret" not in f"{raised.value} {raised.value.__cause__} {caplog.text}"


def test_the_key_stays_away_from_mirrors(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "topsecret")
    replay.add(f"https://{EUTILS}/x?db=gds", b"told")
    assert QUICK.get(f"https://{EUTILS}/x", {"db": "gds"}) == b"told"


# --- the mirror -------------------------------------------------------------------------


def test_a_mirror_folder_answers(tmp_path: Path) -> None:
    (tmp_path / "a.org").mkdir()
    (tmp_path / "a.org" / "x?q=1").write_bytes(b"told")
    http = Http(mirror=str(tmp_path))
    assert http.get("https://a.org/x", {"q": "1"}) == b"told"
    with http.open("https://a.org/x?q=1") as stream:
        assert stream.read() == b"told"
    for missing in ("https://a.org/x", "https://b.org/"):
        with pytest.raises(AccessionAbsent):
            http.get(missing)
    with pytest.raises(SourceAnswerInvalid):
        Http(mirror=str(tmp_path), max_bytes=3).get("https://a.org/x?q=1")


def test_with_query() -> None:
    assert with_query("https://a.org/x#y", {"q": "a b/c"}) == "https://a.org/x?q=a+b%2Fc"
    assert with_query("https://a.org/x?p=1", {"q": "2"}) == "https://a.org/x?p=1&q=2"
    assert with_query("https://a.org/x", None) == "https://a.org/x"
