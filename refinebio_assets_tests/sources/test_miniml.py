"""MINiML: real documents, family archives made from them, and hostile ones."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import RefinebioError, SourceAnswerInvalid
from refinebio_assets.sources import miniml
from refinebio_assets.sources.miniml import extract_family, read_miniml
from refinebio_assets.sources.soft import Entity
from refinebio_assets_tests.conftest import shared_data

TABLE = b"1007_s_at\t2200.964\tP\n1053_at\t221.1945\tP\n"


def _read(content: bytes) -> list[Entity]:
    return list(read_miniml(io.BytesIO(content)))


def _real(name: str = "GSE73091") -> bytes:
    return shared_data(f"geo/miniml/{name}.xml").read_bytes()


def _archive(*members: tuple[str, bytes], packed: bool = True) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if packed else "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


# --- the document ---------------------------------------------------------------------


def test_a_real_series() -> None:
    records = _read(_real())
    assert [record.kind for record in records] == [
        *["CONTRIBUTOR"] * 3,
        *("DATABASE", "PLATFORM"),
        *["SAMPLE"] * 9,
        "SERIES",
    ]
    sample, series = records[5], records[-1]
    assert sample.name == "GSM1885279"
    assert (sample.columns, sample.rows) == (("ID_REF", "VALUE", "ABS_CALL"), 20)
    assert sample.first("channel/organism") == "Homo sapiens"
    assert sample.first("channel/organism@taxid") == "9606"
    assert sample.first("channel/characteristics@tag") == "tumor type"
    assert sample.first("channel/characteristics") == "primary"
    assert sample.first("platform-ref@ref") == "GPL570"
    assert series.values("sample-ref@ref") == [f"GSM18852{n}" for n in range(79, 88)]
    assert not any("1007_s_at" in value for _, value in sample.attributes)


def test_a_real_platform() -> None:
    platform = _read(gzip.compress(_real("GPL570")))[-1]
    assert (platform.kind, platform.name) == ("PLATFORM", "GPL570")
    assert platform.columns[:3] == ("ID", "GB_ACC", "SPOT_ID")


def test_latin_1_bytes_are_read() -> None:
    document = "<MINiML><Series iid='GSE1'><Title>Grünblatt</Title></Series></MINiML>"
    assert _read(document.encode()) == _read(document.encode("latin-1"))
    assert _read(document.encode())[0].first("title") == "Grünblatt"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE MINiML [<!ENTITY a "aaaaaaaaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<MINiML><Series iid="x"><Title>&b;</Title></Series></MINiML>"""
OUTSIDE = b"""<!DOCTYPE MINiML SYSTEM "file:///etc/passwd"><MINiML/>"""


@pytest.mark.parametrize(
    "content",
    [
        *(BOMB, OUTSIDE, b"", b"text", b"<html></html>", b"<!DOCTYPE html><html></html>"),
        *(b"<MINiML><Series>", b"<MINiML><a>&undeclared;</a></MINiML>", b"\x1f\x8b"),
        b"<MINiML>" + b"<a>" * 100 + b"</a>" * 100 + b"</MINiML>",
    ],
)
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        _read(content)


def test_records_and_their_number_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniml, "LARGEST_ENTITY", 1 << 20)
    text = b"<MINiML><Series><Title>%s</Title></Series></MINiML>"
    with pytest.raises(SourceAnswerInvalid, match="more than"):
        _read(text % (b"x" * (2 << 20)))
    with pytest.raises(SourceAnswerInvalid, match="more than"):
        _read(text % (b"<b/>" * 20_000 + b"<b c=''/>" * 20_000))
    monkeypatch.setattr(miniml, "MOST_RECORDS", 10)
    with pytest.raises(SourceAnswerInvalid, match="more than 10 records"):
        _read(b"<MINiML>" + b"<a/>" * 11 + b"</MINiML>")


# --- the archive ----------------------------------------------------------------------


def _family(*, packed: bool = True) -> bytes:
    return _archive(
        ("GPL570-tbl-1.txt", b"1007_s_at\tU48705\n"),
        ("GSM1885279-tbl-1.txt", TABLE),
        ("GSM1885280-tbl-1.txt", TABLE.rstrip(b"\n")),
        ("GSE73091_family.xml", _real()),
        packed=packed,
    )


@pytest.mark.parametrize("packed", [True, False])
def test_tables_are_written_with_the_names_of_their_columns(tmp_path: Path, packed: bool) -> None:
    family = extract_family(io.BytesIO(_family(packed=packed)), tmp_path)
    assert sorted(family.tables) == ["GSM1885279", "GSM1885280"]
    table = family.tables["GSM1885279"]
    assert table.columns == ("ID_REF", "VALUE", "ABS_CALL")
    assert table.path.read_bytes() == TABLE
    assert [each.rows for each in family.tables.values()] == [2, 2]
    assert family.records[-1].name == "GSE73091"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GSM1885279.txt", "GSM1885280.txt"]


def test_only_wanted_tables_are_written(tmp_path: Path) -> None:
    family = extract_family(io.BytesIO(_family()), tmp_path, {"GSM1885280", "GPL570", "GSM1"})
    assert sorted(family.tables) == ["GPL570", "GSM1885280"]


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    archive = _archive(
        ("../GSM1-tbl-1.txt", TABLE),
        ("/tmp/GSM2-tbl-1.txt", TABLE),  # noqa: S108
        ("GSM3/../../GSM3-tbl-1.txt.exe", TABLE),
        ("x_family.xml", b"<MINiML/>"),
    )
    family = extract_family(io.BytesIO(archive), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["GSM1.txt", "GSM2.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert family.tables["GSM1"].columns == ()


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = _family()
    plain = gzip.decompress(whole)
    cut_in_a_table = plain[:1600]
    for content in (
        *(b"", b"text", whole[:200], whole[:-8], plain[:700], cut_in_a_table),
        *(_archive(("GSM1-tbl-1.txt", TABLE)), _archive(("x_family.xml", BOMB))),
    ):
        with pytest.raises(SourceAnswerInvalid):
            extract_family(io.BytesIO(content), tmp_path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = _archive(("GSM1-tbl-1.txt", bytes(4 << 20)), ("x_family.xml", b"<MINiML/>"))
    tracemalloc.start()
    extract_family(io.BytesIO(large), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    monkeypatch.setattr(miniml, "LARGEST_TABLE", 1 << 20)
    with pytest.raises(SourceAnswerInvalid, match="too large"):
        extract_family(io.BytesIO(large), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(miniml, "LARGEST_FAMILY", 1 << 20)
    with pytest.raises(SourceAnswerInvalid, match="larger than"):
        extract_family(io.BytesIO(large), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(miniml, "MOST_MEMBERS", 1)
    with pytest.raises(SourceAnswerInvalid, match="more than 1 files"):
        extract_family(io.BytesIO(large), tmp_path)


def test_a_gigantic_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 256 << 20
    content = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(256 << 20), 1)
    tracemalloc.start()
    with pytest.raises(SourceAnswerInvalid, match="larger than"):
        extract_family(io.BytesIO(content), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


# --- anything at all ------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for document in (content, b"<MINiML><Series iid='GSE1'>" + content):
        with suppress(RefinebioError):
            _read(document)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_real_documents_and_archives_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311
    for whole in (_real(), gzip.decompress(_family()), _family()):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 10)):
            reach = len(content) if seed % 2 else min(len(content), 3000)
            content[chance.randrange(reach)] = chance.randrange(256)
        if seed % 3 == 0:
            del content[chance.randrange(len(content)) :]
        with suppress(RefinebioError):
            _read(bytes(content))
        with suppress(RefinebioError):
            extract_family(io.BytesIO(bytes(content)), tmp_path)
