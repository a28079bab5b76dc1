"""kill -9 at the worst moments: nothing half-written is visible, a rerun completes.

The commands run as a person starts them, in a process of their own. Where the moment is
too short to be hit by waiting, the process kills itself right before the rename.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pytest

from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.synthetic import make_pairs, write_fastq, write_pair, write_sheet

KILL_BEFORE_RENAME_OF = """
import os, signal, sys
from refinebio_assets.resources import storage
rename = storage.move_file
def killed(staged, final):
    if final.name == {name!r} and {folder!r} in str(final):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(staged, final)
storage.move_file = killed
from refinebio_assets.cli import app
app(sys.argv[1:])
"""


class Shell:
    """The `refinebio` command, in a folder of its own, with its own Dagster home."""

    def __init__(self, laboratory: Laboratory, folder: Path) -> None:
        (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        self.laboratory, self.folder = laboratory, folder
        self.environment = {
            **os.environ,
            "REFINEBIO_HOME": str(laboratory.home),
            "DAGSTER_HOME": str(folder),
        }

    def start(self, *arguments: str, script: str | None = None) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-c", script or KILL_BEFORE_RENAME_OF.format(name="", folder="")]
        log = (self.folder / "log.txt").open("ab")
        return subprocess.Popen(
            [*program, *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )

    def run(self, *arguments: str, script: str | None = None) -> int:
        return self.start(*arguments, script=script).wait(timeout=120)


@pytest.fixture
def shell(laboratory: Laboratory, tmp_path: Path) -> Shell:
    folder = tmp_path / "dagster"
    folder.mkdir()
    return Shell(laboratory, folder)


def _survey(shell: Shell, samples: dict[str, str]) -> None:
    rows = [
        {"experiment": "LAB-1", "sample": sample, "organism": "Homo sapiens", "files": files}
        for sample, files in samples.items()
    ]
    sheet = write_sheet(shell.laboratory.inputs / "sheet.tsv", rows)
    assert shell.run("survey", str(sheet)) == 0


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _processes_under(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and "salmon" in command:
            found.append(command)
    return found


def test_killed_during_quantification(shell: Shell) -> None:
    """The second of two samples is interrupted; the first is not repeated."""
    laboratory = shell.laboratory
    # quick comes first in the sheet, slow has enough reads to be caught at work
    samples = {
        "quick": write_pair(laboratory.inputs, "quick", HUMAN, 500),
        "slow": write_pair(laboratory.inputs, "slow", HUMAN, 150_000),
    }
    _survey(shell, samples)
    quick = laboratory.storage.quant_folder("LAB-1", "quick")
    slow = laboratory.storage.quant_folder("LAB-1", "slow")
    process = shell.start("process", "LAB-1")
    staging = laboratory.home / "staging"
    _wait_for(lambda: quick.exists() and any(staging.glob("*/new/logs/salmon_quant.log")))
    process.kill()
    process.wait()
    assert not slow.exists()
    _wait_for(lambda: not _processes_under(laboratory.home))
    finished = (quick / "quant.sf").stat().st_ino
    assert shell.run("process", "LAB-1") == 0
    assert (quick / "quant.sf").stat().st_ino == finished
    assert laboratory.statuses() == {"quick": ("processed", None), "slow": ("processed", None)}
    assert list(staging.iterdir()) == []


def test_killed_before_the_matrix_is_renamed(shell: Shell) -> None:
    laboratory = shell.laboratory
    _survey(shell, {"s": write_pair(laboratory.inputs, "s", HUMAN, 500)})
    script = KILL_BEFORE_RENAME_OF.format(name="LAB-1.parquet", folder="processed/expression")
    assert shell.run("process", "LAB-1", script=script) == -signal.SIGKILL
    assert not list((laboratory.home / "processed/expression").rglob("*.parquet"))
    assert shell.run("process", "LAB-1") == 0
    assert laboratory.statuses() == {"s": ("processed", None)}


def test_killed_before_the_records_are_renamed(shell: Shell) -> None:
    laboratory = shell.laboratory
    files = write_pair(laboratory.inputs, "s", HUMAN, 500)
    row = {"experiment": "LAB-1", "sample": "s", "organism": "Homo sapiens", "files": files}
    sheet = str(write_sheet(laboratory.inputs / "sheet.tsv", [row]))
    script = KILL_BEFORE_RENAME_OF.format(name="LAB-1.parquet", folder="processed/experiments")
    assert shell.run("survey", sheet, script=script) == -signal.SIGKILL
    assert not list((laboratory.home / "processed").rglob("*.parquet"))
    assert shell.run("survey", sheet) == 0
    assert laboratory.statuses() == {"s": ("waiting", "not_started")}


def test_killed_during_the_catalogue_swap(shell: Shell) -> None:
    laboratory = shell.laboratory
    _survey(shell, {"s": write_pair(laboratory.inputs, "s", HUMAN, 500)})
    assert shell.run("process", "LAB-1") == 0
    catalogue = laboratory.home / "refinebio.duckdb"
    before = catalogue.stat().st_ino
    with duckdb.connect(catalogue, read_only=True) as reader:
        script = KILL_BEFORE_RENAME_OF.format(name="refinebio.duckdb", folder="")
        assert shell.run("process", "LAB-1", script=script) == -signal.SIGKILL
        assert catalogue.stat().st_ino == before
        assert shell.run("process", "LAB-1") == 0
        assert reader.execute("SELECT count(*) FROM samples").fetchall() == [(1,)]
    assert catalogue.stat().st_ino != before


class SlowFile(BaseHTTPRequestHandler):
    """Gives the first half of a file and then waits, until `released`; understands Range."""

    content = b""
    released = threading.Event()
    half_sent = threading.Event()
    requested_from: list[int] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self._headers(0, 200)

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "bytes=0-")
        start, _, end = asked.removeprefix("bytes=").partition("-")
        first, last = int(start), int(end) + 1 if end else len(self.content)
        self.requested_from.append(first)
        self._headers(first, 206 if "Range" in self.headers else 200, last)
        body = self.content[first:last]
        middle = max(len(self.content) // 2 - first, 0)
        self.wfile.write(body[:middle])
        self.half_sent.set()
        self.released.wait(60)
        self.wfile.write(body[middle:])

    def _headers(self, first: int, status: int, last: int | None = None) -> None:
        last = len(self.content) if last is None else last
        self.send_response(status)
        self.send_header("Content-Length", str(last - first))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(self.content)}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_server(tmp_path: Path) -> Iterator[str]:
    reads, _ = make_pairs(HUMAN, 30_000, seed=4)
    SlowFile.content = write_fastq(tmp_path / "served.fastq", reads).read_bytes()
    SlowFile.released.clear()
    SlowFile.half_sent.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowFile)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/served.fastq"
    SlowFile.released.set()
    server.shutdown()


def test_killed_during_download(shell: Shell, slow_server: str) -> None:
    laboratory = shell.laboratory
    _survey(shell, {"s": slow_server})
    folder = laboratory.storage.raw_folder("LAB-1", "s")
    process = shell.start("process", "LAB-1")
    _wait_for(SlowFile.half_sent.is_set)
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert not list(folder.rglob("served.fastq"))
    assert not (folder / "raw.json").exists()
    SlowFile.released.set()
    assert shell.run("process", "LAB-1") == 0
    assert laboratory.statuses() == {"s": ("processed", None)}
    assert not list(folder.rglob("served.fastq"))  # dropped once processed
    assert (folder / "raw.json").exists()
    SlowFile.requested_from.clear()
    assert shell.run("process", "LAB-1") == 0
    assert SlowFile.requested_from == []  # nor fetched again for a finished sample
