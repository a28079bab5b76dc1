"""Questions to a server that answers for public services, as badly as they do."""

from __future__ import annotations

import logging
import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    DiskFull,
    DownloadFailed,
    RawFileMissing,
    RefinebioError,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
    UnsupportedRawFile,
)
from refinebio_assets.resources.downloads import Downloads, over_https
from refinebio_assets.resources.http import (
    EUTILS,
    Http,
    Limiter,
    hidden,
    is_public,
    mirrored,
    retry_after,
    with_query,
)
from refinebio_assets.sources.web import Web
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture

URL = "https://www.ebi.ac.uk/a/b?x=1"
QUICK = Http(first_wait=0.01, idle_timeout=0.5)


def ignore(_done: int, _total: int | None) -> None:
    pass


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


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.25", 0.25), ("-3", 0.0), ("900", 60.0), ("nan", None), ("soon", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header, 60) == seconds


def test_retry_after_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after(when, 60) == pytest.approx(30, abs=2)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 60) == 0
    assert retry_after(None, 60) is None


@given(st.text())
def test_any_retry_after(header: str) -> None:
    wait = retry_after(header, 60)
    assert wait is None or 0 <= wait <= 60


def test_retry_after_is_waited_for(replay: Replay) -> None:
    replay.add(URL, b"told")
    replay.fail(URL, "status", status=429, headers={"Retry-After": "0.4"})
    started = time.monotonic()
    assert QUICK.get(URL) == b"told"
    assert 0.4 <= time.monotonic() - started < 5


def test_a_limiter_spaces_evenly(tmp_path: Path) -> None:
    now, slept = [1000.0], []
    limiter = Limiter(tmp_path / "limits", clock=lambda: now[0], sleep=slept.append)
    for _ in range(4):
        limiter.wait("host", 2)
    assert slept == [0.5, 1.0, 1.5]
    now[0] += 10
    limiter.hold("host", 60)
    limiter.wait("host", 2)
    assert slept[-1] == 60
    limiter.wait("other/../host", 2)
    assert len(slept) == 4
    assert {path.name for path in (tmp_path / "limits").iterdir()} == {"host", "other%2F..%2Fhost"}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"nan", b"99999999999999"])
def test_a_limiter_survives_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "host").write_bytes(content)
    slept: list[float] = []
    limiter = Limiter(tmp_path, sleep=slept.append)
    limiter.wait("host", 10)
    limiter.wait("host", 10)
    assert slept == [pytest.approx(0.1, abs=0.05)]


def _ask_often(folder: Path, times: int) -> None:
    for _ in range(times):
        Limiter(folder).wait("host", 50)


def test_processes_share_a_limiter(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_ask_often, args=(tmp_path, 10)) for _ in range(3)]
    started = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert time.monotonic() - started >= 29 / 50


def test_the_limit_of_a_host(replay: Replay) -> None:
    replay.add(URL, b"told")
    limited = Http(limits={"ebi.ac.uk": 10})
    started = time.monotonic()
    for _ in range(4):
        limited.get(URL)
    assert time.monotonic() - started >= 0.3
    assert Http()._limit("www.ebi.ac.uk") == ("ebi.ac.uk", 10)
    assert Http()._limit("ftp.ensembl.org") == ("ensembl.org", 15)
    assert Http()._limit("example.org") == ("example.org", 5)
    assert Http()._limit("127.0.0.1") is None


# --- who asks ---------------------------------------------------------------------------


def test_the_contact(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINEBIO_CONTACT", "lab@example.org\r\nX-Bad: 1")
    replay.add(URL, b"told")
    QUICK.get(URL)
    assert replay.asked[0].headers["User-Agent"].endswith("(lab@example.orgX-Bad: 1)")
    assert "X-Bad" not in replay.asked[0].headers


def test_the_ncbi_key(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://{EUTILS}/entrez/eutils/esearch.fcgi?db=gds"
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    assert Http()._limit(EUTILS) == (EUTILS, 3)
    assert Http(contact="lab@example.org")._ncbi_identity(url) == {
        "tool": "refinebio_assets",
        "email": "lab@example.org",
    }
    monkeypatch.setenv("NCBI_API_KEY", "se cret")
    assert Http()._limit(EUTILS) == (EUTILS, 10)
    assert Http()._ncbi_identity(url)["api_key"] == "se cret"
    assert "api_key" not in Http()._ncbi_identity(url + "&api_key=mine")
    for form in ("se cret", "se%20cret", "se+cret"):
        assert hidden(f"?api_key={form}&x") == "?api_key=…&x"


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


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.org/b/c.txt", "a.org/b/c.txt"),
        ("ftp://a.org:21/b%20c", "a.org/b c"),
        ("http://A.org", "a.org/index.html"),
        ("https://a.org/b/", "a.org/b/index.html"),
        ("https://a.org/b?x=1&y=p/q", "a.org/b?x=1&y=p%2Fq"),
        ("https://a.org/folder", "a.org/folder/index.html"),
    ],
)
def test_files_of_a_mirror_folder(tmp_path: Path, url: str, path: str) -> None:
    (tmp_path / "a.org" / "folder").mkdir(parents=True)
    assert mirrored(url, str(tmp_path)) == str(tmp_path / path)
    assert mirrored(url, f"file://{tmp_path}") == str(tmp_path / path)


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


@pytest.mark.parametrize("path", ["../../x", "%2e%2e/x", "a%2Fb", "%00", "b/./c"])
def test_nothing_outside_a_mirror_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceRefused):
        mirrored(f"https://a.org/{path}", str(tmp_path))


def test_long_queries_in_a_mirror_folder(tmp_path: Path) -> None:
    one, other = (mirrored(f"https://a.org/x?q={'a' * 300}{n}", str(tmp_path)) for n in "12")
    assert one != other
    assert len(Path(one).name) < 100


@given(st.text(), st.text())
def test_any_url_has_a_place_or_is_refused(path: str, query: str) -> None:
    try:
        place = mirrored(f"https://a.org/{path}?{query}", "/mirror")
    except SourceRefused:
        return
    assert Path(place).is_relative_to("/mirror/a.org")
    assert ".." not in Path(place).parts


def test_only_public_hosts_have_a_mirror() -> None:
    assert is_public("ftp.ebi.ac.uk")
    assert is_public("8.8.8.8")
    for host in ("localhost", "127.0.0.1", "10.0.0.1", "::1", "nas", "nas.local"):
        assert not is_public(host)
    assert mirrored("http://localhost/x", "/mirror") == "http://localhost/x"
    assert mirrored("s3://bucket.org/x", "/mirror") == "s3://bucket.org/x"


def test_with_query() -> None:
    assert with_query("https://a.org/x#y", {"q": "a b/c"}) == "https://a.org/x?q=a+b%2Fc"
    assert with_query("https://a.org/x?p=1", {"q": "2"}) == "https://a.org/x?p=1&q=2"
    assert with_query("https://a.org/x", None) == "https://a.org/x"


# --- downloads on top of it -------------------------------------------------------------------

FILE = "https://ftp.ebi.ac.uk/pub/reads.fastq.gz"
BYTES = bytes(range(256)) * 4000
FETCH = Downloads(first_wait=0.01, idle_timeout=0.5)


def test_a_download_through_the_mirror(replay: Replay, tmp_path: Path) -> None:
    replay.add(FILE, BYTES)
    replay.fail(FILE, "truncated")
    replay.fail(FILE, "slow")
    replay.fail(FILE, "reset")
    target = tmp_path / "raw" / "reads.fastq.gz"
    fetched = FETCH.fetch(FILE.replace("https:", "ftp:"), target, ignore)
    assert fetched.read_bytes() == BYTES
    assert [each.headers.get("Range", "")[:8] for each in replay.asked] == [
        "",
        "bytes=51",
        "bytes=76",
        "bytes=76",
    ]
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_another_file_of_the_same_name(replay: Replay, tmp_path: Path) -> None:
    """Begun on one day, continued on another, when the file has been revised."""
    target = tmp_path / "reads.fastq.gz"
    replay.add(FILE, BYTES)
    replay.fail(FILE, "truncated", 5)
    with pytest.raises(DownloadFailed):
        FETCH.fetch(FILE, target, ignore)
    revised = bytes(reversed(BYTES))
    replay.add(FILE, revised)
    assert FETCH.fetch(FILE, target, ignore).read_bytes() == revised


def test_a_part_of_unknown_origin_is_not_used(replay: Replay, tmp_path: Path) -> None:
    target = tmp_path / "reads.fastq.gz"
    target.with_name("reads.fastq.gz.part").write_bytes(b"something else")
    replay.add(FILE, BYTES)
    assert FETCH.fetch(FILE, target, ignore).read_bytes() == BYTES


def test_a_part_that_is_the_whole(replay: Replay, tmp_path: Path) -> None:
    """Killed after the last byte, before the file got its name."""
    target = tmp_path / "reads.fastq.gz"
    replay.add(FILE, BYTES)

    def killed(done: int, _total: int | None) -> None:
        if done == len(BYTES):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FETCH.fetch(FILE, target, killed)
    assert FETCH.fetch(FILE, target, ignore).read_bytes() == BYTES
    assert len(replay.asked) == 2


def test_a_web_page_in_the_file_s_place(replay: Replay, tmp_path: Path) -> None:
    replay.add(FILE, BYTES)
    replay.fail(FILE, "html")
    assert FETCH.fetch(FILE, tmp_path / "x", ignore).read_bytes() == BYTES


def test_several_locations(replay: Replay, tmp_path: Path) -> None:
    other = "https://sra-pub-run-odp.s3.amazonaws.com/sra/SRR1/SRR1"
    replay.add(FILE, BYTES)
    assert FETCH.fetch([other, FILE], tmp_path / "x", ignore).read_bytes() == BYTES
    assert replay.urls() == [other, FILE]
    with pytest.raises(RawFileMissing, match="2 locations"):
        FETCH.fetch([other, other + "1"], tmp_path / "y", ignore)
    replay.fail(FILE, "status", 5, status=503)
    with pytest.raises(DownloadFailed):
        FETCH.fetch([FILE, other], tmp_path / "y", ignore)
    with pytest.raises(RawFileMissing):
        FETCH.fetch([], tmp_path / "y", ignore)


def test_limits_are_checked_before_the_transfer(replay: Replay, tmp_path: Path) -> None:
    replay.add(FILE, BYTES)
    with pytest.raises(UnsupportedRawFile, match="at most 1,000"):
        Downloads(max_bytes=1000).fetch(FILE, tmp_path / "x", ignore)
    with pytest.raises(DiskFull, match="1,024,000 bytes"):
        Downloads(keep_free=1 << 60).fetch(FILE, tmp_path / "x", ignore)
    assert not (tmp_path / "x").exists()


def test_a_refused_download(replay: Replay, tmp_path: Path) -> None:
    replay.add(FILE, b"AccessDenied", status=403)
    with pytest.raises(SourceRefused, match="AccessDenied"):
        FETCH.fetch(FILE, tmp_path / "x", ignore)
    with pytest.raises(SourceRefused):
        FETCH.fetch("nonsense://a.org/x", tmp_path / "x", ignore)


def test_a_mirror_folder_is_read_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINEBIO_MIRROR", str(tmp_path))
    path = tmp_path / "ftp.ebi.ac.uk" / "pub" / "reads.fastq.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    assert FETCH.fetch(FILE, tmp_path / "x", ignore) == path
    with pytest.raises(RawFileMissing):
        FETCH.fetch(FILE + "2", tmp_path / "x", ignore)


def test_ftp_over_https() -> None:
    assert over_https("ftp://ftp.ncbi.nlm.nih.gov/geo") == "https://ftp.ncbi.nlm.nih.gov/geo"
    assert over_https("ftp://ftp.example.org/x") == "ftp://ftp.example.org/x"
