"""Downloads through the mirror, from a server that fails as public ones do."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinebio_assets.errors import (
    DiskFull,
    DownloadFailed,
    RawFileMissing,
    SourceRefused,
    UnsupportedRawFile,
)
from refinebio_assets.resources.downloads import Downloads, over_https
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture


def ignore(_done: int, _total: int | None) -> None:
    pass


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
