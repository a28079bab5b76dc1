"""SOFT text: real documents, the odd ones among them, and ones that are none."""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    RefinebioError,
    SourceAnswerInvalid,
    SourceUnavailable,
)
from refinebio_assets.sources import soft
from refinebio_assets.sources.soft import Entity, read_soft
from refinebio_assets_tests.conftest import shared_data

SMALL = b"""^SERIES = GSE1
!Series_title = A title
!Series_sample_id = GSM1
!Series_sample_id = GSM2
^SAMPLE = GSM1
!Sample_characteristics_ch1 = age: 5
!Sample_characteristics_ch1 = age: 6 = half: a dozen
!Sample_relation =
#ID_REF = the probe
#VALUE = log2
!sample_table_begin
ID_REF\tVALUE
a_at\t1.5
!not_an_end\t2
!sample_table_end
^SAMPLE = GSM2
#ID_REF = only described
"""


def _read(content: bytes) -> list[Entity]:
    return list(read_soft(io.BytesIO(content)))


def _file(relative: str) -> list[Entity]:
    with Path(shared_data(relative)).open("rb") as file:
        return list(read_soft(file))


def test_keys_come_in_order_with_every_value() -> None:
    series, first, second = _read(SMALL)
    assert (series.kind, series.name) == ("SERIES", "GSE1")
    assert series.values("sample_id") == ["GSM1", "GSM2"]
    assert series.first("title") == "A title"
    assert series.first("summary") is None
    assert first.attributes == (
        ("characteristics_ch1", "age: 5"),
        ("characteristics_ch1", "age: 6 = half: a dozen"),
        ("relation", ""),
    )
    assert (first.columns, first.rows) == (("ID_REF", "VALUE"), 2)
    assert (second.columns, second.rows) == (("ID_REF",), 0)


@pytest.mark.parametrize(
    "same",
    [
        SMALL.replace(b"\n", b"\r\n"),
        SMALL.replace(b"^SERIES", b"^series").replace(b"!Series", b"!series"),
        b"\xef\xbb\xbf" + SMALL,
        b"\n\n" + SMALL,
        gzip.compress(SMALL),
        gzip.compress(SMALL[:80]) + gzip.compress(SMALL[80:]) + bytes(512),
        SMALL.rstrip(b"\n"),
    ],
    ids=["CRLF", "lower case", "BOM", "blank lines", "gzip", "two members, padded", "no last LF"],
)
def test_other_spellings_of_the_same_document(same: bytes) -> None:
    assert _read(same) == _read(SMALL)


def test_lines_may_be_texts() -> None:
    assert list(read_soft(SMALL.decode().splitlines(keepends=True))) == _read(SMALL)


def test_latin_1_and_utf_8_may_stand_side_by_side() -> None:
    text = "^SERIES = GSE1\n!Series_title = Grünblatt\n".encode()
    series, *_ = _read(text + b"!Series_contributor = Gr\xfcnblatt\n")
    assert [value for _, value in series.attributes] == ["Grünblatt", "Grünblatt"]


def test_a_value_may_run_over_several_lines() -> None:
    (series,) = _read(b"^SERIES = GSE1\n!Series_summary = One\n two.\n\n!Series_type = x\n")
    assert series.attributes == (("summary", "One two."), ("type", "x"))


def test_rows_of_one_table_are_handed_over() -> None:
    rows: list[list[str]] = []
    both = SMALL.replace(b"^SERIES = GSE1", b"^SAMPLE = GSM0\n!sample_table_begin\nx\n!table_end")
    list(read_soft(io.BytesIO(both), rows_of="GSM1", on_row=rows.append))
    assert rows == [["ID_REF", "VALUE"], ["a_at", "1.5"], ["!not_an_end", "2"]]


@pytest.mark.parametrize(
    ("relative", "kinds", "rows"),
    [
        ("geo/soft/GSE3791_family.soft.gz", {"PLATFORM": 4, "SAMPLE": 12}, 200),
        ("geo/soft/GSE1623_family.soft.txt.gz", {"PLATFORM": 1, "SAMPLE": 8}, 12488),
        ("geo/soft/GSE14618.soft.gz", {"PLATFORM": 2, "SAMPLE": 92}, 40),
        ("geo/soft/GSE29006_family.soft.gz", {"PLATFORM": 1, "SAMPLE": 8}, 0),
        ("geo/soft/GSE26927.soft.gz", {"PLATFORM": 1, "SAMPLE": 118}, 20),
        ("geo/soft/GPL890_family.soft.gz", {"PLATFORM": 1, "SAMPLE": 11}, 0),
        ("geo/GSM11805.txt.gz", {"SAMPLE": 1}, 22283),
    ],
)
def test_real_documents(relative: str, kinds: dict[str, int], rows: int) -> None:
    entities = _file(relative)
    counted = Counter(entity.kind for entity in entities)
    assert {kind: counted[kind] for kind in kinds} == kinds
    assert counted["SERIES"] == (
        0 if relative.endswith(("GPL890_family.soft.gz", "GSM11805.txt.gz")) else 1
    )
    assert entities[-1].rows == rows


def test_stated_rows_are_the_rows_of_a_whole_table() -> None:
    (sample,) = _file("geo/GSM11805.txt.gz")
    assert sample.first("data_row_count") == str(sample.rows)


# --- what is no SOFT text -------------------------------------------------------------

PAGE = """<!DOCTYPE html>\n<HTML><head><title>GEO Accession viewer</title></head><body>
<table><tr><td>{}</td></tr></table></body></HTML>"""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Could not find a public or private accession &quot;GSE999999999&quot;", AccessionAbsent),
        ('Accession "GSE1" is currently private and is scheduled to be released', AccessionAbsent),
        ('Accession "GSM1" was deleted by the GEO staff on Jan 05, 2010', AccessionAbsent),
        ("GEO is down for scheduled <b>maintenance</b>", SourceUnavailable),
        ("Welcome", SourceAnswerInvalid),
    ],
)
def test_web_pages_are_told_apart_by_their_words(words: str, error: type[RefinebioError]) -> None:
    with pytest.raises(error) as raised:
        _read(PAGE.format(words).encode())
    assert words.split("&")[0].split("<")[0].strip()[:20] in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"Error: nothing here",
        b"!Series_title\tno entity\n",
        b"\x89PNG\r\n\x1a\n",
        b"^\n",
        SMALL[: SMALL.index(b"!sample_table_end")],
        SMALL.replace(b"!sample_table_end\n", b""),
        gzip.compress(SMALL)[:-9],
        gzip.compress(SMALL)[:2] + b"no gzip",
        gzip.compress(SMALL) + b"tail",
    ],
)
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        _read(content)


def test_gigantic_lines_are_refused_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soft, "LONGEST_LINE", 2 << 20)
    endless = gzip.compress(b"^SERIES = GSE1\n!Series_title = " + bytes(256 << 20), 6)
    tracemalloc.start()
    with pytest.raises(SourceAnswerInvalid, match="longer than"):
        _read(endless)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    with pytest.raises(SourceAnswerInvalid, match="longer than"):
        list(read_soft([b"x" * (3 << 20)]))


def test_a_gigantic_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soft, "LARGEST_ENTITY", 1 << 20)
    with pytest.raises(SourceAnswerInvalid, match="more than 1 MiB"):
        _read(b"^SERIES = GSE1\n" + b"!Series_x = y\n" * 100_000)


def test_memory_does_not_grow_with_the_tables() -> None:
    table = b"!sample_table_begin\nID_REF\tVALUE\n" + b"1007_s_at\t5.5\n" * 50_000
    content = b"".join(
        b"^SAMPLE = GSM%d\n!Sample_title = x\n%s!sample_table_end\n" % (n + 1, table)
        for n in range(40)
    )
    packed = io.BytesIO(gzip.compress(content, 1))
    tracemalloc.start()
    assert sum(entity.rows for entity in read_soft(packed)) == 2_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20 < len(content)


# --- anything at all ------------------------------------------------------------------


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, with_beginning: bool) -> None:
    with suppress(RefinebioError):
        _read((SMALL[:60] if with_beginning else b"") + content)


LINES = SMALL.splitlines()


class Drops:
    """A file that gives little at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._file, self._size = io.BytesIO(content), size

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(self._size, size))


ROWS = st.sampled_from(
    [b"a\t1", b"", b"\r", b"!odd\t1", b"b\t2\r", b"#c", b"x" * 40, b"! table_end", b"\xff"]
)


@given(st.lists(ROWS, max_size=30), st.integers(1, 50), st.booleans())
def test_rows_are_counted_as_they_are_handed_over(
    rows: list[bytes], size: int, packed: bool
) -> None:
    table = b"".join(row + b"\n" for row in [b"ID", *rows])
    content = b"^SAMPLE = GSM1\n!sample_table_begin\n%s!sample_table_end\n!x = y" % table
    content = gzip.compress(content) if packed else content
    seen: list[list[str]] = []
    (one,) = read_soft(Drops(content, size))
    (other,) = read_soft(Drops(content, size), rows_of="GSM1", on_row=seen.append)
    assert one == other
    assert one.attributes == (("x", "y"),)
    assert one.rows == len(seen) - 1 == sum(row.strip(b"\r") != b"" for row in rows)


@given(st.lists(st.sampled_from(LINES) | st.binary(max_size=20), max_size=30))
def test_any_order_of_lines_is_read_or_refused(lines: list[bytes]) -> None:
    with suppress(RefinebioError):
        list(read_soft(lines))


@pytest.mark.parametrize("seed", range(30))
def test_damaged_real_documents_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    content = bytearray(shared_data("geo/soft/GSE3791_family.soft.gz").read_bytes())
    if seed % 2:
        content = bytearray(gzip.decompress(content))
    for _ in range(chance.randrange(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if seed % 3 == 0:
        del content[chance.randrange(len(content)) :]
    with suppress(RefinebioError):
        _read(bytes(content))
