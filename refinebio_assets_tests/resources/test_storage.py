"""Files and folders appear whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refinebio_assets.errors import DiskFull, InvalidAccession
from refinebio_assets.resources.storage import Storage, read_json


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(home=str(tmp_path / "home"))


def staged(storage: Storage) -> list[Path]:
    return list((storage.root / "staging").iterdir())


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- without accidents ----------------------------------------------------------------


def test_a_file_is_published_and_replaced(storage: Storage) -> None:
    final = storage.root / "a" / "b.txt"
    for text in ("old", "new"):
        with storage.publish_file(final) as path:
            path.write_text(text)
            assert not final.exists() or final.read_text() == "old"
        assert final.read_text() == text
    assert staged(storage) == []


def test_a_folder_is_published_and_replaced_as_a_whole(storage: Storage) -> None:
    final = storage.root / "a" / "b"
    for name in ("old", "new"):
        with storage.publish_folder(final) as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / name).write_text(name)
        assert files(final) == {f"inner/{name}": name}
    assert staged(storage) == []


def test_a_document(storage: Storage) -> None:
    final = storage.root / "a.json"
    assert read_json(final) is None
    storage.write_json(final, {"b": [1], "a": None})
    assert read_json(final) == {"a": None, "b": [1]}


# --- accidents inside the block -------------------------------------------------------


class Mishap(Exception):
    """Something that the storage knows nothing of."""


@pytest.mark.parametrize("mishap", [Mishap, KeyboardInterrupt])
def test_an_error_leaves_the_old_file(storage: Storage, mishap: type[BaseException]) -> None:
    final = storage.root / "a.txt"
    with storage.publish_file(final) as path:
        path.write_text("old")

    def fail_on_the_way() -> None:
        with storage.publish_file(final) as path:
            path.write_text("new")
            raise mishap

    with pytest.raises(mishap):
        fail_on_the_way()
    assert final.read_text() == "old"
    assert staged(storage) == []


@pytest.mark.parametrize("mishap", [Mishap, KeyboardInterrupt])
def test_an_error_leaves_the_old_folder(storage: Storage, mishap: type[BaseException]) -> None:
    final = storage.root / "a"
    with storage.publish_folder(final) as folder:
        (folder / "x").write_text("old")

    def fail_on_the_way() -> None:
        with storage.publish_folder(final) as folder:
            (folder / "x").write_text("new")
            raise mishap

    with pytest.raises(mishap):
        fail_on_the_way()
    assert files(final) == {"x": "old"}
    assert staged(storage) == []


def test_a_block_that_writes_nothing_publishes_nothing(storage: Storage) -> None:
    final = storage.root / "a.txt"
    with pytest.raises(FileNotFoundError), storage.publish_file(final):
        pass
    assert not final.exists()


# --- kill -9 --------------------------------------------------------------------------

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from refinebio_assets.resources.storage import Storage
home, publish, final = sys.argv[1:]
with getattr(Storage(home=home), publish)(Path(final)) as path:
    inside = path / "x" if publish == "publish_folder" else path
    inside.write_text("new, but only ha")
    print(path, flush=True)
    sys.stdin.read()  # until it is killed
"""


def start_writer(storage: Storage, publish: str, final: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has staged a half-written file; it goes on only if its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(storage.root), publish, str(final)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("publish", ["publish_file", "publish_folder"])
def test_killed_while_writing(storage: Storage, publish: str) -> None:
    final = storage.root / "a"
    with getattr(storage, publish)(final) as path:
        (path / "x" if publish == "publish_folder" else path).write_text("old")

    def published() -> str:
        return (final / "x" if publish == "publish_folder" else final).read_text()

    process, half_written = start_writer(storage, publish, final)
    with process:
        assert half_written.exists()
        with storage.staging():  # the writer lives: its folder is not removed
            assert half_written.exists()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert published() == "old"
    assert half_written.exists()
    with storage.staging() as mine:
        assert not half_written.exists()
        assert mine.exists()
    assert staged(storage) == []
    assert published() == "old"


def test_a_writer_that_lives_finishes_while_others_come_and_go(storage: Storage) -> None:
    final = storage.root / "a"
    process, half_written = start_writer(storage, "publish_file", final)
    with process:
        for _ in range(3):
            with storage.staging():
                assert half_written.exists()
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0
    assert final.read_text() == "new, but only ha"


def test_many_writers_at_once_do_not_disturb_each_other(storage: Storage) -> None:
    together = threading.Barrier(8)

    def publish(number: int) -> None:
        together.wait()
        for turn in range(20):
            with storage.publish_folder(storage.root / f"{number}") as folder:
                (folder / "x").write_text(f"{turn}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, range(8)))
    for number in range(8):
        assert files(storage.root / f"{number}") == {"x": "19"}
    assert staged(storage) == []


# --- a full disk ----------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_named_and_leaves_the_old_file(small_disk: Path) -> None:
    storage = Storage(home=str(small_disk / "home"))
    final = storage.root / "a"
    with storage.publish_file(final) as path:
        path.write_text("old")
    with pytest.raises(DiskFull, match=str(small_disk)), storage.publish_file(final) as path:
        path.write_bytes(bytes(2 << 20))
    assert final.read_text() == "old"
    assert staged(storage) == []


def test_a_program_that_dies_of_a_full_disk_without_saying_so(small_disk: Path) -> None:
    storage = Storage(home=str(small_disk / "home"))
    with pytest.raises(DiskFull) as raised, storage.staging() as folder:
        subprocess.run(["dd", "if=/dev/zero", f"of={folder}/x"], capture_output=True, check=True)
    assert isinstance(raised.value.__cause__, subprocess.CalledProcessError)
    assert raised.value.transient


def test_a_home_that_cannot_be_made_is_not_called_full(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), Storage(home=str(tmp_path / "file" / "home")).staging():
        pass


# --- the layout -----------------------------------------------------------------------


def test_home_is_the_configured_one_or_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFINEBIO_HOME", raising=False)
    assert Storage().root == tmp_path / "refinebio_home"
    monkeypatch.setenv("REFINEBIO_HOME", "relative")
    assert Storage().root == tmp_path / "relative"
    assert Storage(home="/data").root == Path("/data")


@pytest.mark.parametrize("name", ["..", "a/b", "", "/etc/passwd"])
def test_no_name_leads_out_of_the_home(storage: Storage, name: str) -> None:
    for path in (
        lambda: storage.raw_folder(name, "s"),
        lambda: storage.raw_folder("LAB-1", name),
        lambda: storage.quant_folder(name, "s"),
        lambda: storage.quant_folder("LAB-1", name),
        lambda: storage.table_file("experiments", name),
        lambda: storage.status_file("raw_samples", name),
        lambda: storage.expression_file("HOMO_SAPIENS", "RNA-SEQ", name),
        lambda: storage.expression_files("RNA-SEQ", name),
        lambda: storage.reference("HOMO_SAPIENS", name),
    ):
        with pytest.raises(InvalidAccession):
            path()


def test_expression_files_of_an_experiment(storage: Storage) -> None:
    expected = [
        storage.expression_file(organism, "RNA-SEQ", "LAB-1") for organism in ("A_A", "B_B")
    ]
    for path in (
        *expected,
        storage.expression_file("A_A", "RNA-SEQ", "LAB-10"),
        storage.expression_file("A_A", "MICROARRAY", "LAB-1"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert storage.expression_files("RNA-SEQ", "LAB-1") == expected
