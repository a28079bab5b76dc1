"""What a survey read stands beside its records: all of it, or what was there before."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    InvalidSampleSheet,
    SourceAnswerInvalid,
    SourceUnavailable,
)
from refinebio_assets.resources import registry
from refinebio_assets.resources.documents import (
    CUT,
    TOO_LARGE,
    Recorder,
    content_type,
    redacted,
)
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.storage import Storage, read_json
from refinebio_assets.sources import geo
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture
from refinebio_assets_tests.sources.test_arrayexpress import recorded

QUICK = Http(first_wait=0.01, attempts=2)
SERIES = "GSE14618"
STUDY = "E-MTAB-3050"


class Answers:
    """A web of given answers."""

    def __init__(self, **answers: bytes) -> None:
        self._answers = answers

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        return self._answers[url]

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        return cast("AbstractContextManager[BinaryIO]", io.BytesIO(self._answers[url]))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(home=str(tmp_path / "home"))


def index(storage: Storage, name: str) -> list[dict[str, Any]]:
    found = read_json(storage.root / "documents" / name / "index.json")
    assert found is not None
    return cast("list[dict[str, Any]]", found["documents"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def serve_study(replay: Replay) -> dict[str, bytes]:
    pages = recorded(STUDY).pages
    for url, body in pages.items():
        replay.add(url, body)
    return pages


# --- a survey -----------------------------------------------------------------------------


def test_every_answer_of_a_survey_is_kept(storage: Storage, replay: Replay) -> None:
    pages = serve_study(replay)
    found = registry.look_up(storage, STUDY, QUICK)
    folder = storage.root / "documents" / STUDY
    entries = index(storage, STUDY)
    assert {entry["url"] for entry in entries} == set(pages)
    assert sorted(contents(folder)) == sorted(["index.json", *(entry["file"] for entry in entries)])
    for entry in entries:
        body = gzip.decompress((folder / entry["file"]).read_bytes())
        assert body == pages[entry["url"]]
        assert entry["sha256"] == hashlib.sha256(body).hexdigest()
        assert entry["bytes"] == len(body)
        assert entry["note"] is None
        assert entry["fetched_at"].endswith("+00:00")
    kinds = {entry["url"].rpartition("/")[2]: entry["content_type"] for entry in entries}
    assert kinds[STUDY] == kinds["info"] == "application/json"
    assert kinds[f"{STUDY}.sdrf.txt"] == "text/plain"
    assert [each.url for each in found.documents] == [entry["url"] for entry in entries]
    assert not list((storage.root / "staging").iterdir())


def test_what_came_as_gzip_is_left_so(storage: Storage, replay: Replay) -> None:
    family = shared_data(f"geo/soft/{SERIES}.soft.gz").read_bytes()
    replay.add(geo.family_url(SERIES), family)
    found = registry.look_up(storage, SERIES, QUICK)
    [entry] = [each for each in index(storage, SERIES) if each["url"] == geo.family_url(SERIES)]
    assert (storage.root / "documents" / SERIES / entry["file"]).read_bytes() == family
    assert entry["file"].endswith(f"{SERIES}_family.soft.gz")
    assert entry["content_type"] == "application/gzip"
    assert entry["note"] is None
    assert entry["sha256"] == found.experiment.source_sha256


def test_a_survey_that_fails_leaves_the_earlier_documents(storage: Storage, replay: Replay) -> None:
    pages = serve_study(replay)
    registry.survey(storage, STUDY, QUICK)
    folder = storage.root / "documents" / STUDY
    before = contents(folder)
    sdrf = next(url for url in pages if url.endswith(".sdrf.txt"))
    replay.fail(sdrf, "status", 2, status=503)
    with pytest.raises(SourceUnavailable):
        registry.survey(storage, STUDY, QUICK)
    assert contents(folder) == before
    assert not (storage.root / "documents" / f"{STUDY}.rejected").exists()


def test_an_answer_that_cannot_be_read_is_kept_aside(storage: Storage, replay: Replay) -> None:
    pages = serve_study(replay)
    registry.survey(storage, STUDY, QUICK)
    before = contents(storage.root / "documents" / STUDY)
    page = b"<!DOCTYPE html><html>Maintenance</html>"
    sdrf = next(url for url in pages if url.endswith(".sdrf.txt"))
    replay.add(sdrf, page)
    with pytest.raises(SourceAnswerInvalid) as raised:
        registry.survey(storage, STUDY, QUICK)
    rejected = storage.root / "documents" / f"{STUDY}.rejected"
    assert str(rejected) in raised.value.remedy
    offending = index(storage, rejected.name)[-1]
    assert offending["url"] == sdrf
    assert offending["content_type"] == "text/html"
    assert gzip.decompress((rejected / offending["file"]).read_bytes()) == page
    assert contents(storage.root / "documents" / STUDY) == before
    replay.add(sdrf, pages[sdrf])
    registry.survey(storage, STUDY, QUICK)
    assert not rejected.exists()


def test_the_rest_of_a_damaged_stream_is_kept_too(storage: Storage, replay: Replay) -> None:
    """The survey gives up after its first piece."""
    damaged = bytearray(gzip.compress(os.urandom(3_000_000)))
    damaged[5_000:6_000] = bytes(1000)
    damaged[10:40] = b"\xff" * 30
    replay.add(geo.family_url(SERIES), bytes(damaged))
    with pytest.raises(SourceAnswerInvalid, match="damaged"):
        registry.survey(storage, SERIES, QUICK)
    [entry] = index(storage, f"{SERIES}.rejected")
    path = storage.root / "documents" / f"{SERIES}.rejected" / entry["file"]
    assert path.read_bytes() == damaged
    assert entry["note"] is None


def test_a_cut_family_file_is_kept_as_it_came(storage: Storage, replay: Replay) -> None:
    family = shared_data(f"geo/soft/{SERIES}.soft.gz").read_bytes()
    cut = family[: len(family) // 2]
    replay.add(geo.family_url(SERIES), cut)
    with pytest.raises(SourceAnswerInvalid):
        registry.survey(storage, SERIES, QUICK)
    [entry] = index(storage, f"{SERIES}.rejected")
    path = storage.root / "documents" / f"{SERIES}.rejected" / entry["file"]
    assert path.read_bytes() == cut
    assert entry["sha256"] == hashlib.sha256(cut).hexdigest()


def test_documents_that_are_not_wanted(storage: Storage, replay: Replay) -> None:
    pages = serve_study(replay)
    storage.root.mkdir(parents=True)
    (storage.root / "settings.yaml").write_text("keep_documents: false\n")
    found = registry.look_up(storage, STUDY, QUICK)
    assert found.documents == ()
    replay.add(next(iter(pages)), b"<html>")
    with pytest.raises(SourceAnswerInvalid, match="keep_documents"):
        registry.survey(storage, STUDY, QUICK)
    assert not (storage.root / "documents").exists()


def test_an_answer_that_is_no_document(storage: Storage, replay: Replay) -> None:
    """Too many redirects: there is nothing to look at, and the remedy does not say so."""
    pages = serve_study(replay)
    info = next(url for url in pages if url.endswith("/info"))
    replay.add(info, b"", status=302, headers={"Location": info})
    with pytest.raises(SourceAnswerInvalid, match="redirects") as raised:
        registry.survey(storage, STUDY, QUICK)
    assert "kept" not in raised.value.remedy
    assert not (storage.root / "documents").exists()


# --- sheets -------------------------------------------------------------------------------

SHEET = "experiment,sample,organism,technology,files\nLAB-1,s1,Homo sapiens,RNA-SEQ,s1.fq\n"


def test_a_copy_of_the_sheet_is_kept(storage: Storage, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(SHEET)
    registry.register_sample_sheet(storage, str(sheet))
    found = registry.survey(storage, "LAB-1", QUICK)
    sheet.unlink()
    [entry] = index(storage, "LAB-1")
    path = storage.root / "documents" / "LAB-1" / entry["file"]
    assert gzip.decompress(path.read_bytes()).decode() == SHEET
    assert entry["url"] == str(sheet)
    assert entry["sha256"] == found.source_sha256


def test_a_sheet_that_changes_while_it_is_read(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(SHEET)
    registry.register_sample_sheet(storage, str(sheet))
    in_sheet = registry._in_sheet

    def read_then_changed(location: str, accession: str) -> Any:
        found = in_sheet(location, accession)
        sheet.write_text(SHEET + "\n")
        return found

    monkeypatch.setattr(registry, "_in_sheet", read_then_changed)
    with pytest.raises(InvalidSampleSheet, match="changed while"):
        registry.survey(storage, "LAB-1", QUICK)
    assert not (storage.root / "documents").exists()


# --- bounds and accidents -------------------------------------------------------------------


def test_what_is_too_large_is_listed_and_not_kept(tmp_path: Path) -> None:
    large = os.urandom(5_000_000)
    web = Recorder(Answers(a=b"small", b=large, c=b"{}"), tmp_path, most_bytes=2_000_000)
    assert [web.get("a"), web.get("b"), web.get("c")] == [b"small", large, b"{}"]
    with web.open("b") as stream:
        assert stream.read() == large
    assert [each.note for each in web.documents] == [None, TOO_LARGE, None, TOO_LARGE]
    assert [each.file is None for each in web.documents] == [False, True, False, True]
    for each in (web.documents[1], web.documents[3]):
        assert (each.bytes, each.sha256) == (len(large), hashlib.sha256(large).hexdigest())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2_000_000


def test_all_answers_together_are_bounded(tmp_path: Path) -> None:
    piece = os.urandom(600_000)
    web = Recorder(Answers(a=piece), tmp_path, most_bytes=2_000_000)
    for _ in range(5):
        web.get("a")
    assert [each.note for each in web.documents] == [None, None, None, TOO_LARGE, TOO_LARGE]


def test_a_large_answer_is_never_in_memory(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        left = 64 << 20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            self.left -= size
            return size

    class Web(Answers):
        def open(self, url: str) -> AbstractContextManager[BinaryIO]:
            return cast("AbstractContextManager[BinaryIO]", io.BufferedReader(Endless()))

    recorder = Recorder(Web(), tmp_path)
    tracemalloc.start()
    with recorder.open("x") as stream:
        while stream.read(1 << 20):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recorder.documents[0].bytes == 64 << 20
    assert recorder.documents[0].note is None
    assert peak < 16 << 20


@given(st.binary(max_size=3000), st.lists(st.integers(1, 1500), max_size=10))
def test_any_answer_read_in_any_way(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("documents")
    recorder = Recorder(Answers(x=body), folder)
    with suppress(ZeroDivisionError), recorder.open("x") as stream:
        read = b"".join(stream.read(size) for size in sizes)
        assert read == body[: len(read)]
        _ = 1 / 0  # a parser that gives up
    assert recorder.get("x") == body
    partly, whole = recorder.documents
    assert whole.note is None
    assert partly.file is not None
    assert whole.file is not None
    kept = (folder / whole.file).read_bytes()
    assert (kept if body[:2] == b"\x1f\x8b" else gzip.decompress(kept)) == body
    if not sizes:
        assert (partly.bytes, partly.note) == (0, CUT)
    elif sum(sizes) > len(body):
        assert (partly.sha256, partly.note) == (whole.sha256, None)


KILLED = """
import os, signal, sys
from pathlib import Path
from refinebio_assets.resources import documents, storage
from refinebio_assets.resources.storage import Storage

class Web:
    def get(self, url, params=None):
        return url.encode()

if sys.argv[2] == "between":
    rename = Path.rename
    def killed(self, target):
        rename(self, target)
        if Path(target).name == "old":
            os.kill(os.getpid(), signal.SIGKILL)
    Path.rename = killed
home = Storage(home=sys.argv[1])
with documents.recording(home, "GSE1", Web()) as web:
    web.get("second")
    if sys.argv[2] == "reading":
        os.kill(os.getpid(), signal.SIGKILL)
    web.publish(home, "GSE1")
"""


@pytest.mark.parametrize(("moment", "left"), [("reading", ["first"]), ("between", [])])
def test_killed(storage: Storage, moment: str, left: list[str]) -> None:
    with storage.staging() as folder:
        recorder = Recorder(Answers(first=b"first"), folder)
        recorder.get("first")
        recorder.publish(storage, "GSE1")
    command = [sys.executable, "-c", KILLED, str(storage.root), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with storage.staging():
        assert len(list((storage.root / "staging").iterdir())) == 2  # this one and its lock
    found = storage.root / "documents" / "GSE1"
    assert found.exists() == bool(left)
    if left:
        assert [entry["url"] for entry in index(storage, "GSE1")] == left
        assert len(list(found.iterdir())) == 2


# --- what a URL gives away --------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from(["api_key", "email", "tool", "Email", "X-Amz-Signature", "access_token"]),
        st.text(min_size=1).map(lambda text: f"s3cr3t{text}"),
        min_size=1,
    ),
    st.dictionaries(st.sampled_from(["db", "id", "retmode"]), st.sampled_from(["gds", "1,2"])),
)
def test_no_secret_in_a_url(secret: dict[str, str], plain: dict[str, str]) -> None:
    address = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi"
    shown = redacted(f"{address}?{urlencode({**plain, **secret})}")
    assert "s3cr3t" not in shown
    assert shown.startswith(f"{address}?{urlencode(plain)}")


def test_secrets_in_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "topsecret")
    assert redacted("https://me:pw@a.org/x?id=1@2#y") == "https://a.org/x?id=1@2#y"
    assert redacted("https://a.org/topsecret/x") == "https://a.org/…/x"
    for plain in ("https://a.org/x?keyword=email", "/data/sheet.csv", "s3://a/b.csv"):
        assert redacted(plain) == plain


def test_recorded_urls_are_redacted(tmp_path: Path) -> None:
    recorder = Recorder(Answers(**{"https://a.org/x": b"told"}), tmp_path)
    assert recorder.get("https://a.org/x", {"db": "gds", "email": "me@a.org"}) == b"told"
    assert recorder.documents[0].url == "https://a.org/x?db=gds&email=…"


def test_file_names_hold_no_login(tmp_path: Path) -> None:
    recorder = Recorder(Answers(**{"https://me:s3cr3t@a.org": b"told"}), tmp_path)
    recorder.get("https://me:s3cr3t@a.org")
    assert "s3cr3t" not in str([recorder.documents, *tmp_path.iterdir()])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "application/x-empty"),
        (b"\x1f\x8b\x08", "application/gzip"),
        (b"\xef\xbb\xbf {}", "application/json"),
        (b"[]", "application/json"),
        (b"\n<!DOCTYPE HTML>", "text/html"),
        (b"<?xml version='1.0'?>", "application/xml"),
        (b"^SERIES", "text/plain"),
        (b"a\0b", "application/octet-stream"),
    ],
)
def test_content_types(head: bytes, kind: str) -> None:
    assert content_type(head) == kind


def test_the_index_is_json_for_people(storage: Storage) -> None:
    with storage.staging() as folder:
        recorder = Recorder(Answers(**{"https://a.org/ü?x=1": b"{}"}), folder)
        recorder.get("https://a.org/ü?x=1")
        recorder.publish(storage, "GSE1")
    text = (storage.root / "documents" / "GSE1" / "index.json").read_text()
    [entry] = json.loads(text)["documents"]
    assert entry["file"] == "0001-_.gz"
    assert "\n" in text.strip()
