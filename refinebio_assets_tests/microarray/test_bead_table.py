"""Tables of bead summaries as submitters send them: real ones, written-out ones, broken ones."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidExpressionTable, UndecodableTable
from refinebio_assets.microarray import bead_table
from refinebio_assets.microarray.bead_table import BeadTable, read_bead_table
from refinebio_assets_tests.conftest import shared_data

TABLE = b"ID_REF\tS1\tDetection Pval\nILMN_1\t101.5\t0.01\nILMN_2\tNA\t\n"


def read(content: bytes) -> BeadTable:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.txt")
        path.write_bytes(content)
        return read_bead_table(path)


def cells(table: BeadTable) -> list[list[str | None]]:
    columns = [table.texts(column).to_list() for column in range(len(table.header))]
    return [list(row) for row in zip(*columns, strict=True)]


# --- real tables ----------------------------------------------------------------------


def test_a_table_of_eight_arrays() -> None:
    table = read_bead_table(shared_data("illumina/MAQC_illumina_non-normalized.txt.gz"))
    assert (table.rows, len(table.header)) == (47_293, 17)
    assert table.header[:3] == ("ID_REF", "MAQC_A1.AVG_Signal", "MAQC_A1.Detection Pval")
    assert table.texts(0)[0] == table.first_cell(0) == "GI_10047089-S"
    np.testing.assert_array_equal(table.floats([15, 1])[:2], [[131.5, 59.4], [5028.2, 90.4]])


def test_a_table_without_a_name_for_the_ids() -> None:
    table = read_bead_table(shared_data("illumina/GSM744991.txt"))
    assert table.header == ("", "5368138047_L.AVG_Signal", "5368138047_L.Detection_Pval")
    signals, p_values = table.floats([1, 2]).T
    assert signals.min() < 0
    assert 0 <= p_values.min() < p_values.max() <= 1
    assert table.texts(0).str.starts_with("ILMN_").all()


def test_windows_line_ends() -> None:
    table = read_bead_table(shared_data("illumina/4343238080_A_ProbeSummary.txt.gz"))
    assert table.rows == 48_701
    assert table.header[-1] == "4343238080_A.Avg_NBEADS"
    assert table.floats([4])[:2, 0].tolist() == [46, 42]


def test_a_soft_file_is_its_table() -> None:
    table = read_bead_table(shared_data("illumina/GSM343927.soft.gz"))
    assert table.header == ("ID_REF", "VALUE", "AVERAGE_SIGNAL")
    assert (table.rows, table.texts(0)[0]) == (22_177, "ILMN_1804663")


# --- cleaning -------------------------------------------------------------------------

ROWS = [["ILMN_1", "101.5", "0.01"], ["ILMN_2", "NA", None]]


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        gzip.compress(TABLE),
        b"\xef\xbb\xbf" + TABLE,
        TABLE.removesuffix(b"\n"),
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"\n", b"\r"),
        TABLE.replace(b"\n", b"\n \t \n\n"),
        b'#Illumina\n ! x\n^y\n"#z\tz"\n\'!\nGSM1\tGSM2\tGSM3\ngsm4\n' + TABLE,
        TABLE.replace(b"\t", b","),
        b'"ID_REF","S1","Detection Pval"\n"ILMN_1","101.5",0.01\n"ILMN_2", "NA",""\n',
        b'ID_REF S1 "Detection Pval"\nILMN_1 101.5 0.01\nILMN_2 NA ""\n',
        TABLE.removeprefix(b"ID_REF\t"),
        TABLE.replace(b"S1\t", b" S1 \t").replace(b"101.5", b" 101.5 "),
        TABLE.replace(b"0.01\n", b"0.01\t\t\n"),
        TABLE.replace(b"Pval\n", b"Pval\t\n"),
    ],
    ids=[
        *("plain", "gzip", "bom", "no_last_line_end", "crlf", "cr", "blank_lines", "comments"),
        *("commas", "quotes", "spaces", "short_header", "padded", "surplus_empty_cells"),
        "header_ends_with_a_tab",
    ],
)
def test_one_table_in_many_dresses(content: bytes) -> None:
    table = read(content)
    assert table.header == ("ID_REF", "S1", "Detection Pval")
    assert cells(table) == ROWS
    np.testing.assert_array_equal(table.floats([2, 1]), [[0.01, 101.5], [np.nan, np.nan]])


def test_rows_that_end_with_a_tab_do_not_shift_the_header() -> None:
    table = read(TABLE.replace(b"\n", b"\t\n").replace(b"Pval\t\n", b"Pval\n"))
    assert table.header == ("ID_REF", "S1", "Detection Pval", "")
    assert table.floats([1])[0] == 101.5


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_a_micro_sign_survives(encoding: str) -> None:
    text = TABLE.decode().replace("S1", "10 µg/l").replace("ILMN_2", "µ2")
    table = read(text.encode(encoding))
    assert table.header[1] == "10 µg/l"
    assert table.texts(0).to_list() == ["ILMN_1", "µ2"]


@pytest.mark.parametrize(
    "content",
    [
        TABLE.decode().encode("utf-16"),
        TABLE.decode().encode("utf-16-le"),
        TABLE.replace(b"S1", b"\x93S1\x94"),  # Windows-1252 has its quotes there
        TABLE + b"\xff\x80\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    ],
    ids=["utf-16", "utf-16-le", "cp1252", "end", "png"],
)
def test_what_is_no_known_text(content: bytes) -> None:
    with pytest.raises(UndecodableTable):
        read(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no table"),
        (b"\n#only\n!comments\n", "holds no table"),
        (b"ID_REF\tS1\tDetection Pval\n", "no rows"),
        (TABLE + b"ILMN_3\t12", "Line 4 has 2 fields, the header 3"),
        (TABLE + b"ILMN_3\t12\t0\t1\n", "Line 4 has 4 fields, the header 3"),
        (gzip.compress(TABLE * 1000)[:-20], "cannot be read"),
        (b"ID_REF\n" + b"x" * (bead_table.MOST_LINE_BYTES + (1 << 21)), "a line of more than"),
    ],
    ids=["empty", "comments", "header", "cut", "longer", "cut_gzip", "endless_line"],
)
def test_what_is_no_table(content: bytes, words: str) -> None:
    with pytest.raises(InvalidExpressionTable, match=words):
        read(content)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidExpressionTable, match=r"gone\.txt cannot be read"):
        read_bead_table(tmp_path / "gone.txt")


@pytest.mark.parametrize("cell", [b"1,5", b"0x1F", b"high", b"inf", b"1 2", "١".encode()])
def test_a_cell_that_is_no_number_is_named(cell: bytes) -> None:
    with pytest.raises(InvalidExpressionTable, match=r"Row 1 .* column 'S1', which is no number"):
        read(TABLE.replace(b"101.5", cell)).floats([2, 1])


def test_the_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(TABLE + b"ILMN_3\t1\t1\n" * 300_000)
    for limit, words in (("MOST_BYTES", "MiB of text"), ("MOST_ROWS", "rows")):
        with monkeypatch.context() as patch:
            patch.setattr(bead_table, limit, 1 << 15)
            with pytest.raises(InvalidExpressionTable, match=words):
                read(content)


def test_numbers_do_not_depend_on_how_many_are_read_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = read_bead_table(shared_data("illumina/MAQC_illumina_non-normalized.txt.gz"))
    at_once = table.floats(range(1, 17))
    monkeypatch.setattr(bead_table, "CELLS_AT_A_TIME", 3 * table.rows)
    np.testing.assert_array_equal(table.floats(range(1, 17)), at_once)


# --- made-up tables -------------------------------------------------------------------

NAMES = st.text(st.sampled_from('abcXYZ019_.-µé "'), min_size=1, max_size=8).map(
    lambda text: "n" + text.replace('"', "") + "n"
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[str], list[list[float]]]:
    names = draw(st.lists(NAMES, min_size=2, max_size=6))
    ids = draw(st.lists(NAMES, min_size=1, max_size=8))
    row = st.lists(NUMBERS, min_size=len(names), max_size=len(names))
    return names, ids, draw(st.lists(row, min_size=len(ids), max_size=len(ids)))


@settings(deadline=None, max_examples=150)
@given(
    tables(),
    st.sampled_from("\t,"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "iso-8859-1"]),
    st.booleans(),
    st.booleans(),
)
def test_what_was_written_is_read(
    content: tuple[list[str], list[str], list[list[float]]],
    delimiter: str,
    line_end: str,
    encoding: str,
    has_quotes: bool,
    names_ids: bool,
) -> None:
    names, ids, numbers = content

    def line(fields: Sequence[object]) -> str:
        return delimiter.join(f'"{each}"' if has_quotes else str(each) for each in fields)

    header = ["ID_REF", *names] if names_ids else names
    rows = [[name, *map(repr, row)] for name, row in zip(ids, numbers, strict=True)]
    text = line_end.join([line(header), *map(line, rows)])
    table = read(text.encode(encoding))
    assert table.header == ("ID_REF", *names)
    assert table.texts(0).to_list() == ids
    np.testing.assert_array_equal(table.floats(range(1, len(names) + 1)), numbers)


@settings(deadline=None, max_examples=300)
@given(st.data())
@example(data=None)
def test_a_mutated_table_is_read_or_refused(data: st.DataObject | None) -> None:
    real = bytearray(TABLE * 2 + b'"q"\t"1\t2"\n\xb5\t1\t0\n')
    for _ in range(data.draw(st.integers(1, 6)) if data else 0):
        assert data is not None
        place = data.draw(st.integers(0, len(real)))
        real[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b"\t", b'"', b"\n", b"\r", b",", b" ", b"\0", b"\xff", b"#"])
        )
    with contextlib.suppress(InvalidExpressionTable):
        table = read(bytes(real))
        assert all(len(row) == len(table.header) for row in cells(table))
        assert table.floats(range(len(table.header))).shape == (table.rows, len(table.header))


@pytest.mark.parametrize("seed", range(40))
def test_a_real_file_that_broke(seed: int, tmp_path: Path) -> None:
    """Bytes of a real gzip file cut off, or changed."""
    content = bytearray(shared_data("illumina/GSM343927.soft.gz").read_bytes())
    generator = np.random.default_rng(seed)
    if seed % 2:
        content = content[: generator.integers(len(content))]
    else:
        content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    path = tmp_path / "broken.txt"
    path.write_bytes(content)
    with contextlib.suppress(InvalidExpressionTable):
        assert read_bead_table(path).rows == 22_177  # a bit that tells no more than a date
