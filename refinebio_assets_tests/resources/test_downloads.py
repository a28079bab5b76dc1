"""Transfers from a server on this machine that behaves as badly as real ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from refinebio_assets.errors import DownloadFailed, RawFileMissing
from refinebio_assets.resources.downloads import Downloads, local_path

CONTENT = np.random.default_rng(1).bytes(12 << 20)
ENOUGH = Downloads(attempts=4, first_wait=0)


@dataclass
class Server:
    """How a local HTTP server answers, and which first bytes it was asked for."""

    content: bytes = CONTENT
    ranges: bool = True
    drops: int = 0  # answers that break off in the middle of their body
    status: int = 200
    missing_bytes: int = 0  # Content-Length promises that many more than come
    asked_from: list[int] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._head(0, len(behaviour.content), 200)

        def do_GET(self) -> None:
            first, last, status = 0, len(behaviour.content), 200
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            if asked and behaviour.ranges:
                start, _, end = asked.partition("-")
                first, last, status = int(start), int(end) + 1 if end else last, 206
            behaviour.asked_from.append(first)
            self._head(first, last, status)
            body = behaviour.content[first:last]
            if behaviour.drops:
                behaviour.drops -= 1
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif behaviour.status == 200:
                self.wfile.write(body)
            self.close_connection |= bool(behaviour.missing_bytes)

        def _head(self, first: int, last: int, status: int) -> None:
            whole = len(behaviour.content)
            self.send_response(status if behaviour.status == 200 else behaviour.status)
            length = last - first if behaviour.status == 200 else 0
            self.send_header("Content-Length", str(length + behaviour.missing_bytes))
            self.send_header("Accept-Ranges", "bytes" if behaviour.ranges else "none")
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{last - 1}/{whole}")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        behaviour.url = f"http://127.0.0.1:{running.server_address[1]}/reads.fq.gz"
        yield behaviour
        running.shutdown()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "reads.fq.gz"


def ignore(done: int, total: int | None) -> None:
    pass


def fetch(server: Server, target: Path) -> bytes:
    """Fetch the file and see that nothing else is left beside it."""
    assert ENOUGH.fetch(server.url, target, ignore) == target
    assert list(target.parent.iterdir()) == [target]
    return target.read_bytes()


# --- it arrives whole -----------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_a_whole_file(server: Server, target: Path, ranges: bool) -> None:
    server.ranges = ranges
    told: list[tuple[int, int | None]] = []
    ENOUGH.fetch(server.url, target, lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("drops", [1, 3])
def test_a_transfer_that_breaks_off_is_continued(server: Server, target: Path, drops: int) -> None:
    server.drops = drops
    assert fetch(server, target) == CONTENT
    assert len(server.asked_from) > drops
    assert server.asked_from[-1] > 0


def test_a_server_without_ranges_is_asked_from_the_beginning(server: Server, target: Path) -> None:
    server.ranges, server.drops = False, 1
    assert fetch(server, target) == CONTENT


def test_a_later_call_continues_what_an_earlier_one_began(server: Server, target: Path) -> None:
    server.drops = 100
    with pytest.raises(DownloadFailed) as raised:
        ENOUGH.fetch(server.url, target, ignore)
    assert raised.value.transient
    assert not target.exists()
    begun = target.with_name("reads.fq.gz.part").stat().st_size
    assert 0 < begun < len(CONTENT)
    server.drops = 0
    server.asked_from.clear()
    assert fetch(server, target) == CONTENT
    assert server.asked_from[0] == begun


def test_a_part_that_is_longer_than_the_file_is_not_used(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("reads.fq.gz.part").write_bytes(bytes(len(CONTENT) + 1))
    assert fetch(server, target) == CONTENT


# --- or not at all --------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_no_such_file(server: Server, target: Path, status: int) -> None:
    server.status = status
    with pytest.raises(RawFileMissing, match=server.url) as raised:
        ENOUGH.fetch(server.url, target, ignore)
    assert raised.value.blames_sample
    assert not target.exists()


def test_a_server_in_trouble_is_not_the_sample_s_fault(server: Server, target: Path) -> None:
    server.status = 503
    with pytest.raises(DownloadFailed) as raised:
        ENOUGH.fetch(server.url, target, ignore)
    assert not raised.value.blames_sample
    assert raised.value.transient


def test_no_server(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    with pytest.raises(DownloadFailed) as raised:
        ENOUGH.fetch("http://127.0.0.1:9/reads.fq.gz", target, ignore)  # the discard port
    assert not raised.value.blames_sample


def test_fewer_bytes_than_promised(server: Server, target: Path) -> None:
    server.missing_bytes = 5
    with pytest.raises(DownloadFailed):
        ENOUGH.fetch(server.url, target, ignore)
    assert not target.exists()


def test_an_empty_file(server: Server, target: Path) -> None:
    server.content = b""
    with pytest.raises(DownloadFailed, match="no bytes"):
        ENOUGH.fetch(server.url, target, ignore)
    assert not target.exists()


# --- elsewhere ------------------------------------------------------------------------


def test_an_object_store(target: Path) -> None:
    with fsspec.open("memory://bucket/reads.fq.gz", "wb") as file:
        file.write(CONTENT)
    assert ENOUGH.fetch("memory://bucket/reads.fq.gz", target, ignore) == target
    assert target.read_bytes() == CONTENT
    with pytest.raises(RawFileMissing):
        ENOUGH.fetch("memory://bucket/other.fq.gz", target, ignore)


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_file_on_this_machine_is_used_where_it_is(
    tmp_path: Path, target: Path, form: str
) -> None:
    path = tmp_path / "my reads #1 100%.fq"
    with pytest.raises(RawFileMissing, match="There is no file"):
        ENOUGH.fetch(form.format(path), target, ignore)
    path.write_text("reads")
    assert ENOUGH.fetch(form.format(path), target, ignore) == path
    assert not target.parent.exists()


def test_which_locations_are_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_path("a/b.fq") == tmp_path / "a" / "b.fq"
    assert local_path("/a:b/c.fq") == Path("/a:b/c.fq")
    for remote in ("https://host/a.fq", "s3://bucket/a.fq", "http://[x/a.fq"):
        assert local_path(remote) is None
