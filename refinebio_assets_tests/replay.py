"""A server on this machine that answers in the name of public services, and fails on demand.

It stands behind `REFINEBIO_MIRROR`: `https://host/path?query` is asked of it as
`/host/path?query`. Answers are those recorded in the shared data, and those a test adds;
the order of a query's parameters is of no account. A test module gets the fixture by
`from refinebio_assets_tests.replay import replay_fixture as replay_fixture`.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from refinebio_assets_tests.conftest import shared_data

Kind = Literal["status", "reset", "slow", "truncated", "html", "wrong"]
PAGE = b"<!DOCTYPE html>\n<html><body>The service is being mended.</body></html>\n"


@dataclass(frozen=True)
class Answer:
    """A recorded answer; `body` may be a file."""

    body: bytes | Path = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    zipped: bool = False  # the recording is compressed, the answer is not

    def content(self) -> bytes:
        content = self.body.read_bytes() if isinstance(self.body, Path) else self.body
        return gzip.decompress(content) if self.zipped else content


@dataclass
class Fault:
    """How the next `times` requests fail. 'slow' stops for `seconds` in the middle."""

    kind: Kind
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    body: bytes = b""


@dataclass(frozen=True)
class Asked:
    """A request that was received: its URL as the client meant it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Replay:
    """What the server answers, and what it was asked."""

    def __init__(self, mirror: str) -> None:
        self.mirror = mirror
        self.asked: list[Asked] = []
        self._answers: dict[str, Answer] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()

    def add(
        self,
        url: str,
        body: bytes | Path,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a URL so from now on."""
        self._answers[_key(url)] = Answer(body, status, headers or {})

    def add_recorded(self) -> None:
        """Take the answers of the shared data; skips the test where they are absent."""
        index = json.loads(shared_data("http/index.json").read_text())
        for entry in index:
            location = {"Location": entry["location"]} if "location" in entry else {}
            body = shared_data(entry["file"]) if "file" in entry else b""
            zipped = entry.get("stored_as") == "gzip"
            kind = {"Content-Type": entry["content_type"]} if entry.get("content_type") else {}
            answer = Answer(body, entry["status"], {**kind, **location}, zipped)
            # The mirror knows no schemes: a redirect from http to https leads to itself.
            to_itself = "location" in entry and _key(entry["location"]) == _key(entry["url"])
            if entry["method"] == "GET" and not to_itself:
                self._answers.setdefault(_key(entry["url"]), answer)

    def fail(self, url: str, kind: Kind, times: int = 1, **how: object) -> None:
        """Let the next requests for a URL fail; several calls queue up."""
        self._faults.setdefault(_key(url), []).append(Fault(kind, times, **how))  # type: ignore[arg-type]

    def urls(self) -> list[str]:
        """The URLs that were asked for, in order."""
        return [each.url for each in self.asked]

    def _next(self, asked: Asked) -> tuple[Answer | None, Fault | None]:
        with self._lock:
            self.asked.append(asked)
            key = _key(asked.url)
            queue = self._faults.get(key, [])
            fault = queue[0] if queue else None
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    queue.pop(0)
            return self._answers.get(key), fault


def _key(url: str) -> str:
    parts = urlsplit(url)
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    return f"{parts.netloc}{parts.path}?{query}"


@contextmanager
def serving() -> Iterator[Replay]:
    """Run a replay server on a free port."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        Handler.replay = Replay(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Handler.replay
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(name="replay")
def replay_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A replay server as $REFINEBIO_MIRROR, with a home of its own for the limiters."""
    with serving() as replay:
        monkeypatch.setenv("REFINEBIO_MIRROR", replay.mirror)
        monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
        yield replay


class _Handler(BaseHTTPRequestHandler):
    replay: Replay
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        url = f"https:/{self.path}"
        asked = Asked(self.command, url, dict(self.headers), self.rfile.read(length))
        answer, fault = self.replay._next(asked)
        try:
            self._respond(answer, fault)
        except OSError:
            self.close_connection = True

    do_HEAD = do_POST = do_GET

    def _respond(self, answer: Answer | None, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "reset":
            self._reset()
        elif fault is not None and fault.kind == "status":
            self._send(fault.status, fault.headers, fault.body)
        elif fault is not None and fault.kind == "html":
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)
        elif answer is None:
            self._send(404, {"Content-Type": "text/plain"}, b"no such recording")
        else:
            self._answer(answer, fault)

    def _answer(self, answer: Answer, fault: Fault | None) -> None:
        content = answer.content()
        tag = f'"{md5(content, usedforsecurity=False).hexdigest()}"'
        if fault is not None and fault.kind == "wrong":
            content = bytes(byte ^ 0xFF for byte in content)
        headers = {"ETag": tag, **answer.headers}
        status, first = answer.status, 0
        asked = self.headers.get("Range", "")
        if status == 200 and asked and self.headers.get("If-Range", tag) == tag:
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            whole = len(content)
            status = 206 if first < whole else 416
            span = f"{first}-{whole - 1}" if first < whole else "*"
            headers["Content-Range"] = f"bytes {span}/{whole}"
        self._send(status, headers, content[first:], fault)

    def _send(
        self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or status == 204:
            return
        if fault is not None and fault.kind in ("slow", "truncated"):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            if fault.kind == "truncated":
                return
            time.sleep(fault.seconds)
            body = body[len(body) // 2 :]
        self.wfile.write(body)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass
