"""Archives as they should be, and as an enemy or a broken transfer would make them."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import UnsupportedRawFile
from refinebio_assets.resources.archives import kind_of, unpack

FILES = {"GSM1.CEL": b"one" * 1000, "deeper/GSM2.txt": b"two", "empty": b""}


def tar(files: Mapping[str, bytes], mode: str = "w", **how: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **how) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def contents(folder: Path, files: list[Path]) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def unpacked(
    tmp_path: Path, archive: bytes, name: str = "a.tar", **limits: int
) -> dict[str, bytes]:
    path, folder = tmp_path / name, tmp_path / "out"
    path.write_bytes(archive)
    return contents(folder, unpack(path, folder, **limits))


# --- as they should be ------------------------------------------------------------------


@pytest.mark.parametrize(
    "archive",
    [
        tar(FILES),
        tar(FILES, "w:gz"),
        zipped(FILES),
        tar(FILES, format=tarfile.PAX_FORMAT),
        tar(FILES, format=tarfile.GNU_FORMAT),
        gzip.compress(tar(FILES)[:5000]) + gzip.compress(tar(FILES)[5000:]),
    ],
    ids=["tar", "tgz", "zip", "pax", "gnu", "members"],
)
@pytest.mark.parametrize("name", ["a.tar", "no_ending"])
def test_archives(tmp_path: Path, archive: bytes, name: str) -> None:
    assert unpacked(tmp_path, archive, name) == FILES


@pytest.mark.parametrize("name", ["x.txt.gz", "x.txt"])
def test_a_single_gzip_file(tmp_path: Path, name: str) -> None:
    assert unpacked(tmp_path, gzip.compress(b"text"), name) == {"x.txt": b"text"}


def test_archives_within_archives(tmp_path: Path) -> None:
    book = zipped({"sheet": b"1"})
    inner = {"GSM1.CEL.gz": gzip.compress(b"cel"), "x.tar.gz": tar({"y": b"z"}, "w:gz")}
    outer = {
        "GSE1.tar": tar(inner),
        "b.zip": zipped({"c.gz": gzip.compress(b"d")}),
        "table.xlsx": book,
        "said.gz": b"not really",
    }
    assert unpacked(tmp_path, tar(outer)) == {
        "GSE1/GSM1.CEL": b"cel",
        "GSE1/x/y": b"z",
        "b/c": b"d",
        "table.xlsx": book,
        "said.gz": b"not really",
    }
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"GSM1.CEL", "y", "c", "table.xlsx", "said.gz"}


def test_names_in_latin_1(tmp_path: Path) -> None:
    archive = bytearray(tar({"a_name": b"x"}, format=tarfile.GNU_FORMAT))
    archive[1] = 0xE9
    total = sum(archive[:148]) + 256 + sum(archive[156:512])
    archive[148:156] = f"{total:06o}\0 ".encode()
    assert unpacked(tmp_path, bytes(archive)) == {"aéname": b"x"}


# --- as they should not ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", "..", "a\\..\\..\\x", "C:\\x", "a\nb", "x" * 300, "\\x"]
)
@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, make: object) -> None:
    with pytest.raises(UnsupportedRawFile, match="not a safe name"):
        unpacked(tmp_path, make({name: b"x"}))  # type: ignore[operator]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("x")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UnsupportedRawFile, match="link or device"):
        unpacked(tmp_path, buffer.getvalue())


def test_links_in_zip_files(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo("x")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(UnsupportedRawFile, match="link or device"):
        unpacked(tmp_path, buffer.getvalue())


def test_two_members_of_one_name(tmp_path: Path) -> None:
    archive = tar({"x": b"1"})[:1024] + tar({"x": b"2"})
    with pytest.raises(UnsupportedRawFile, match="two members are called 'x'"):
        unpacked(tmp_path, archive)
    for files in ({"a": b"", "a/b": b""}, {"x.gz": gzip.compress(b"1"), "x": b"2"}):
        with pytest.raises(UnsupportedRawFile, match="two members"):
            unpack_again(tmp_path, tar(files))


def unpack_again(tmp_path: Path, archive: bytes) -> None:
    number = len(list(tmp_path.iterdir()))
    path = tmp_path / f"{number}.tar"
    path.write_bytes(archive)
    unpack(path, tmp_path / f"out{number}")


def test_bombs(tmp_path: Path) -> None:
    zeros = bytes(10 << 20)
    for archive in (gzip.compress(zeros), zipped({"x": zeros}), tar({"x": zeros}, "w:gz")):
        with pytest.raises(UnsupportedRawFile, match="too many bytes"):
            unpacked(tmp_path, archive, most_bytes=1 << 20)
        (tmp_path / "out" / "x").unlink(missing_ok=True)
    with pytest.raises(UnsupportedRawFile, match="too many members"):
        unpack_limited(tmp_path, tar({str(n): b"" for n in range(11)}))


def unpack_limited(tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "m.tar").write_bytes(archive)
    unpack(tmp_path / "m.tar", tmp_path / "limited", most_members=10)


def test_archives_that_lie_too_deep(tmp_path: Path) -> None:
    archive = b"core"
    for n in range(6):
        archive = zipped({f"{n}.zip" if n else "core": archive})
    with pytest.raises(UnsupportedRawFile, match="too deep"):
        unpacked(tmp_path, archive)


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 4 << 30
    with pytest.raises(UnsupportedRawFile, match="has a header of"):
        unpacked(tmp_path, gzip.compress(member.tobuf() + bytes(1 << 20)))


@pytest.mark.parametrize("cut", [100, 512, 700, 4 * 512 + 1500, 5 * 512, 8 * 512, 9 * 512 + 3])
def test_a_tar_file_that_is_cut_short(tmp_path: Path, cut: int) -> None:
    whole = tar(FILES)
    assert cut < whole.rindex(b"empty") + 512 + 1024
    with pytest.raises(UnsupportedRawFile):
        unpacked(tmp_path, whole[:cut])


@pytest.mark.parametrize(
    "archive", [gzip.compress(b"text" * 99), tar(FILES, "w:gz"), zipped(FILES)]
)
def test_cut_and_damaged_archives(tmp_path: Path, archive: bytes) -> None:
    number = 0
    for damaged in (
        archive[:-1],
        archive[: len(archive) // 2],
        archive[:-6] + bytes([archive[-6] ^ 1]) + archive[-5:],
    ):
        if archive.startswith(b"PK") and len(damaged) == len(archive):
            continue  # the comment's length of a zip file, which nobody misses
        number += 1
        (tmp_path / "x.gz").write_bytes(damaged)
        with pytest.raises(UnsupportedRawFile, match=r"x\.gz"):
            unpack(tmp_path / "x.gz", tmp_path / str(number))


def test_an_encrypted_zip_file(tmp_path: Path) -> None:
    archive = bytearray(zipped({"x": b"1"}))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UnsupportedRawFile, match="encrypted"):
        unpacked(tmp_path, bytes(archive))


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK", b"text" * 500, bytes(10240)])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsupportedRawFile, match="not a tar, zip or gzip archive"):
        unpacked(tmp_path, content)
    assert kind_of(tmp_path / "a.tar") is None
    with pytest.raises(UnsupportedRawFile):
        unpack(tmp_path, tmp_path / "out")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([tar(FILES), tar(FILES, "w:gz"), zipped(FILES), gzip.compress(b"x" * 99)]),
    st.randoms(use_true_random=False),
)
def test_damaged_archives_unpack_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, archive: bytes, luck: random.Random
) -> None:
    damaged = bytearray(archive)
    for _ in range(luck.randint(1, 6)):
        damaged[luck.randrange(min(len(damaged), 4000))] = luck.randrange(256)
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "x.tar"
    path.write_bytes(damaged)
    try:
        files = unpack(path, folder / "out", most_bytes=1 << 20)
    except UnsupportedRawFile:
        return
    assert all(each.resolve().is_relative_to(folder / "out") for each in files)
