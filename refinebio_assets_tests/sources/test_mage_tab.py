"""IDF and SDRF: real ones, hand-made oddities, and anything at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import SourceAnswerInvalid
from refinebio_assets.sources import mage_tab
from refinebio_assets.sources.mage_tab import parse_idf, parse_sdrf
from refinebio_assets_tests.conftest import shared_data

RECORDED = "http/www.ebi.ac.uk/arrayexpress_files_{0}_{0}.{1}.txt"


def table(*rows: str) -> bytes:
    return "\n".join(row.replace("|", "\t") for row in rows).encode()


@pytest.mark.parametrize(("accession", "rows"), [("E-MTAB-3050", 5), ("E-GEOD-44719", 77)])
def test_recorded_documents(accession: str, rows: int) -> None:
    sdrf = parse_sdrf(shared_data(RECORDED.format(accession, "sdrf")).read_bytes())
    assert len(sdrf.rows) == rows
    assert sdrf.malformed == ()
    idf = parse_idf(shared_data(RECORDED.format(accession, "idf")).read_bytes())
    assert idf.texts("sdrf file") == [f"{accession}.sdrf.txt"]


def test_latin_1_and_utf_8_in_one_line() -> None:
    idf = parse_idf(shared_data(RECORDED.format("E-GEOD-44719", "idf")).read_bytes())
    texts = " ".join(idf.texts("protocol description"))
    assert "Leukine®" in texts
    assert "manufacturer’s" in texts
    assert parse_idf("Investigation Title\tµ".encode("latin-1")).texts("investigation title") == [
        "µ"
    ]


def test_repeated_columns_and_what_belongs_to_them() -> None:
    sdrf = parse_sdrf(
        table(
            "Source Name|Comment[title]|Characteristics [age]|Unit [time unit]|Term Source REF"
            "|Protocol REF|Protocol REF|Array Data File|Comment [FTP file]"
            "|FactorValue [dose]|Unit[x]",
            "s|first|5|week|EFO|P-1|P-2|a.CEL|raw.zip|2|mg",
        )
    )
    (row,) = sdrf.rows
    assert row.texts("protocol ref") == ["P-1", "P-2"]
    assert row.texts("characteristics", "age") == ["5"]
    owners = {value.text: value.column.owner for value in row.values if value.column.owner}
    assert owners == {
        "first": "Source Name",
        "5": "Source Name",
        "week": "Characteristics [age]",
        "EFO": "Characteristics [age]",
        "raw.zip": "Array Data File",
        "mg": "FactorValue [dose]",
    }
    assert row.comments_of(7) == [("FTP file", "raw.zip")]
    assert row.texts("factor value", "dose") == ["2"]


def test_line_ends_quotes_and_blank_lines() -> None:
    content = b'\xef\xbb\xbfSource Name\tComment[x]\r\n\r\n"a"\t"say ""hi"""\r\n\t\r\nb\tc\x85d\r\n'
    sdrf = parse_sdrf(content)
    assert [[value.text for value in row.values] for row in sdrf.rows] == [
        ["a", 'say "hi"'],
        ["b", "c\x85d"],
    ]


def test_rows_of_other_lengths_are_counted() -> None:
    sdrf = parse_sdrf(table("Source Name|Assay Name", "a|1", "b", "c|3|x", "d|4"))
    assert [row.line for row in sdrf.rows] == [2, 5]
    assert sdrf.malformed == ((3, "b"), (4, "c"))


def test_parallel_lists_keep_their_places() -> None:
    idf = parse_idf(
        table("Investigation Title|t", "Protocol Name|P1|P2|P3||", "protocol  type|a||c")
    )
    assert idf.records(name="protocol name", type="protocol type") == [
        {"name": "P1", "type": "a"},
        {"name": "P2", "type": ""},
        {"name": "P3", "type": "c"},
    ]
    twice = parse_idf(table("SDRF File|x", "Comment [A]|1", "Comment[a]|2"))
    assert twice.texts("comment[a]") == ["1", "2"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"<html>\n", b"{}", b"a\tb\nc\td"])
def test_other_documents(content: bytes) -> None:
    for parse in (parse_idf, parse_sdrf):
        with pytest.raises(SourceAnswerInvalid):
            parse(content)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mage_tab, "MOST_ROWS", 3)
    with pytest.raises(SourceAnswerInvalid, match="lines"):
        parse_sdrf(table("Source Name", "a", "b", "c", "d"))
    monkeypatch.setattr(mage_tab, "MOST_COLUMNS", 2)
    with pytest.raises(SourceAnswerInvalid, match="columns"):
        parse_sdrf(table("Source Name|a|b"))
    monkeypatch.setattr(mage_tab, "LARGEST", 5)
    with pytest.raises(SourceAnswerInvalid, match="bytes"):
        parse_idf(b"SDRF File\tx")


WORDS = st.sampled_from(
    ["Source Name", "Comment [", "Unit[", "]", "\t", "\n", "\r", '"', "x", " ", "\0", "é", "("]
)


@given(st.lists(WORDS).map("".join).map(str.encode) | st.binary())
def test_anything_is_read_or_refused(content: bytes) -> None:
    for parse, beginning in ((parse_sdrf, b"Source Name\t"), (parse_idf, b"SDRF File\tx\n")):
        for document in (content, beginning + content):
            with contextlib.suppress(SourceAnswerInvalid):
                parse(document)
