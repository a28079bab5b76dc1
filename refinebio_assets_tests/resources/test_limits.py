"""Hosts are asked at their pace, whoever asks: threads, processes, after damage."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from refinebio_assets.resources.identity import EUTILS
from refinebio_assets.resources.limits import Limiter, limit_of


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


def test_the_limit_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    assert limit_of("www.ebi.ac.uk", {}) == ("ebi.ac.uk", 10)
    assert limit_of("ftp.ensembl.org", {}) == ("ensembl.org", 15)
    assert limit_of("example.org", {}) == ("example.org", 5)
    assert limit_of("127.0.0.1", {}) is None
    assert limit_of("www.ebi.ac.uk", {"www.ebi.ac.uk": 1}) == ("www.ebi.ac.uk", 1)
    assert limit_of(EUTILS, {}) == (EUTILS, 3)
    monkeypatch.setenv("NCBI_API_KEY", "se cret")
    assert limit_of(EUTILS, {}) == (EUTILS, 10)
