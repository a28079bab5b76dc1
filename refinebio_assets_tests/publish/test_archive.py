"""The zip: the same to the byte, whole for every reader, with a manifest that is true."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from refinebio_assets.publish.archive import Shape, check_names, write_archive


def _files(folder: Path, contents: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, (name, content) in enumerate(contents.items()):
        found[name] = folder / f"{number}"
        found[name].write_bytes(content)
    return found


EXAMPLE = {
    "README.md": b"# A\n",
    "GSE1/GSE1.tsv": b"Gene\tGSM1\tGSM2\nENSG1\t1\t2\nENSG2\t3\t4\n",
    "GSE1/GSM1_quant.sf": b"Name\tLength\tEffectiveLength\tTPM\tNumReads\nT\t1\t1\t1\t1",
    "GSE1/GSE1.parquet": b"PAR1",
    "A/empty.tsv": b"",
}


def test_members_are_as_given_and_have_no_past(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_archive(_files(tmp_path / "in", EXAMPLE), path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        assert [each.filename for each in members] == [*EXAMPLE, "manifest.json"]
        assert {each.date_time for each in members} == {(1980, 1, 1, 0, 0, 0)}
        assert {each.external_attr >> 16 for each in members} == {0o100644}
        assert {each.create_system for each in members} == {3}
        assert {name: archive.read(name) for name in EXAMPLE} == EXAMPLE
        assert archive.getinfo("GSE1/GSE1.parquet").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("GSE1/GSE1.tsv").compress_type == zipfile.ZIP_DEFLATED


def test_the_manifest_is_true(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    shapes = {"GSE1/GSE1.parquet": Shape(2, 3)}
    write_archive(_files(tmp_path / "in", EXAMPLE), path, shapes=shapes)
    with zipfile.ZipFile(path) as archive:
        listed = json.loads(archive.read("manifest.json"))["files"]
    assert [each["name"] for each in listed] == list(EXAMPLE)
    for each in listed:
        content = EXAMPLE[each["name"]]
        assert each["bytes"] == len(content)
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
    sizes = {each["name"]: (each.get("rows"), each.get("columns")) for each in listed}
    assert sizes == {
        "README.md": (None, None),
        "GSE1/GSE1.tsv": (2, 3),
        "GSE1/GSM1_quant.sf": (1, 5),
        "GSE1/GSE1.parquet": (2, 3),
        "A/empty.tsv": (0, 1),
    }


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    files = _files(tmp_path / "in", EXAMPLE)
    first = write_archive(files, tmp_path / "a.zip")
    for file in files.values():
        os.utime(file, (1_000_000_000, 1_000_000_000))
        file.chmod(0o600)
    again = write_archive(_files(tmp_path / "other", EXAMPLE), tmp_path / "b.zip")
    third = write_archive(files, tmp_path / "a.zip")  # in place of the one that is there
    content = (tmp_path / "a.zip").read_bytes()
    assert content == (tmp_path / "b.zip").read_bytes()
    assert first == again == third
    assert first.size == len(content)
    assert first.sha1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert first.sha256 == hashlib.sha256(content).hexdigest()


def test_unzip_finds_it_whole(tmp_path: Path) -> None:
    unzip = shutil.which("unzip")
    if unzip is None:
        pytest.skip("there is no unzip here")
    write_archive(_files(tmp_path / "in", EXAMPLE), tmp_path / "a.zip")
    done = subprocess.run([unzip, "-t", tmp_path / "a.zip"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    subprocess.run([unzip, "-q", "a.zip", "-d", "out"], cwd=tmp_path, check=True)
    assert (tmp_path / "out/GSE1/GSE1.tsv").read_bytes() == EXAMPLE["GSE1/GSE1.tsv"]


def test_large_members_are_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    contents = {"b.tsv": b"x\n", "a.tsv": os.urandom(5000)}
    write_archive(_files(tmp_path / "in", contents), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.getinfo("a.tsv").extract_version == 45
        assert archive.getinfo("b.tsv").extract_version == 20
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", tmp_path / "a.zip"], check=True, capture_output=True)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        "a\\b",
        "C:/a",
        ".hidden",
        "a\n",
        "a\x00b",
        "µ",
        "-rf",
        "a b",
        "trailing.",
        "x" * 300,
        "manifest.json",
        "MANIFEST.json",
    ],
)
def test_names_that_could_not_be_unpacked_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="archive"):
        write_archive(_files(tmp_path / "in", {name: b""}), tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_names_that_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="other case"):
        check_names(["A/b.tsv", "a/B.tsv"])
    with pytest.raises(ValueError, match="file and a folder"):
        check_names(["a/b", "A"])
    check_names(["GSE1/metadata_GSE1.tsv", "BOS_(TAURUS)/x-1_quant.sf", "README.md"])


NAMES = st.lists(
    st.from_regex(r"\A[a-z0-9_]{1,8}/[a-z0-9_]{1,8}\.(tsv|json)\Z"), unique=True, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.data())
def test_any_content_comes_back(names: list[str], data: st.DataObject) -> None:
    contents = {name: data.draw(st.binary(max_size=200)) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        files = _files(Path(folder) / "in", contents)
        first = write_archive(files, Path(folder) / "a.zip")
        assert first == write_archive(files, Path(folder) / "b.zip")
        with zipfile.ZipFile(Path(folder) / "a.zip") as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in names} == contents
            for each in json.loads(archive.read("manifest.json"))["files"]:
                if "rows" in each:
                    lines = contents[each["name"]].split(b"\n")
                    filled = len(lines) - (not lines[-1])
                    assert each["rows"] == max(filled - 1, 0)
                    assert each["columns"] == lines[0].count(b"\t") + 1


def test_pieces_are_a_member_like_a_file(tmp_path: Path) -> None:
    content = EXAMPLE["GSE1/GSE1.tsv"]
    pieces = [content[:7], b"", content[7:30], content[30:]]
    whole = write_archive(_files(tmp_path / "in", {"a.tsv": content}), tmp_path / "a.zip")
    for name in ("b.zip", "c.zip"):
        written = write_archive({"a.tsv": lambda: iter(pieces)}, tmp_path / name)
    assert (tmp_path / "b.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
    assert written.size >= whole.size
    with zipfile.ZipFile(tmp_path / "a.zip") as one, zipfile.ZipFile(tmp_path / "b.zip") as two:
        assert two.testzip() is None
        assert two.read("a.tsv") == content
        assert one.read("manifest.json") == two.read("manifest.json")
        assert two.getinfo("a.tsv").extract_version == 45
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", tmp_path / "b.zip"], check=True, capture_output=True)


def test_compression_is_isals(tmp_path: Path) -> None:
    content = b"".join(b"%d\t%d\n" % (each, each * each) for each in range(20_000))
    write_archive(_files(tmp_path / "in", {"a.tsv": content}), tmp_path / "a.zip")
    deflate = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        size = archive.getinfo("a.tsv").compress_size
    assert size == len(deflate.compress(content) + deflate.flush())


def test_of_many_pieces_few_are_held(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(64):
            yield bytes([number]) * (1 << 20)

    tracemalloc.start()
    try:
        write_archive({"a.tsv": pieces}, tmp_path / "a.zip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.getinfo("a.tsv").file_size == 64 << 20


def test_no_zip_is_left_when_pieces_fail(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"Gene\tA\n"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_archive({"a.tsv": pieces}, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
