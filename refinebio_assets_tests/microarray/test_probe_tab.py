"""Probe tabs: the real ones, their variants, and malformed ones."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.probe_tab import read_probe_tab
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.damage import survive_damage
from refinebio_assets_tests.microarray.test_probes import assert_equal_tables

ANNOTATION = "affymetrix/annotation"
HEADER = "Probe Set Name\tProbe X\tProbe Y\tProbe Interrogation Position\tProbe Sequence"
SEQUENCE = "TCTCCTTTGCTGAGGCCTCCAGCTT"


def a_tab(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("latin-1"))
    return path


def test_all_perfect_matches_of_hg_u95av2() -> None:
    """Cells and their order are those of the reference vectors; probe sets are counted by hand."""
    table = read_probe_tab(shared_data(f"{ANNOTATION}/HG-U95Av2_probe_tab.gz"))
    reference = pl.read_parquet(shared_data("scan/C30057/probes.parquet"), columns=["x", "y"])
    np.testing.assert_array_equal(table.x, reference["x"].to_numpy())
    np.testing.assert_array_equal(table.y, reference["y"].to_numpy())
    assert len(table.x) == 199_084
    assert len(table.probe_sets) == 12_453
    cell = np.flatnonzero((table.x == 399) & (table.y == 559))
    assert [table.probe_sets[each] for each in table.probe_set[cell]] == ["1000_at"]
    assert "".join("ACGT"[code] for code in table.sequence[cell[0]]) == SEQUENCE


def test_a_tab_in_a_zip_archive() -> None:
    path = shared_data(f"{ANNOTATION}/RN-U34_probe_tab.zip")
    table = read_probe_tab(path)
    lines = zipfile.ZipFile(path).read("RN-U34_probe_tab").decode("latin-1").splitlines()[1:]
    rows = {tuple(line.split("\t")[:3]) for line in lines}
    assert len(table.x) == len(lines) == 21_305
    assert {
        (table.probe_sets[number], str(x), str(y))
        for number, x, y in zip(table.probe_set, table.x, table.y, strict=True)
    } == rows


def test_the_form_does_not_matter(tmp_path: Path) -> None:
    plain = shared_data(f"{ANNOTATION}/Test3_probe_tab.tsv")
    table = read_probe_tab(plain)
    assert (len(table.x), len(table.probe_sets)) == (6354, 345)
    text = plain.read_text()
    other = text.replace("Probe Set Name\tProbe X\tProbe Y", "Probe Set ID\tprobe x\tprobe y", 1)
    forms = {
        "gzip.zip": gzip.compress(text.encode()),
        "crlf": other.replace("\n", "\r\n").encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "no end": text.rstrip("\n").encode(),
        "commas": text.replace("\t", ",").encode(),
    }
    for name, content in forms.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert_equal_tables(read_probe_tab(path), table)
    with zipfile.ZipFile(tmp_path / "tab.gz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/tab", text)
    assert_equal_tables(read_probe_tab(tmp_path / "tab.gz"), table)


def in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "PIECE", 700)
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 1000)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared_data(f"{ANNOTATION}/Test3_probe_tab.tsv")
    whole, text = read_probe_tab(path), path.read_text()
    in_small_blocks(monkeypatch)
    assert len(list(text_tables.blocks(path))) > 200
    assert_equal_tables(read_probe_tab(path), whole)
    with pytest.raises(InvalidProbeAnnotation, match="line 6356 is not a probe"):
        read_probe_tab(a_tab(tmp_path / "tab", f"{text}p\t1\n"))


def test_mismatches_and_blank_lines_are_left_out(tmp_path: Path) -> None:
    rows = [f"p\t{x}\t0\t1\t{SEQUENCE}\t{kind}" for x, kind in enumerate(("PM", "mm:st", "", "pm"))]
    text = "\n".join(["# from somewhere", "", f"{HEADER}\tProbe Type", rows[0], "", *rows[1:], " "])
    assert read_probe_tab(a_tab(tmp_path / "tab", text)).x.tolist() == [0, 2, 3]


def test_probe_sets_in_latin_1(tmp_path: Path) -> None:
    table = read_probe_tab(a_tab(tmp_path / "tab", f"{HEADER}\nµ_at\t1\t2\t3\t{SEQUENCE}\n"))
    assert table.probe_sets == ["µ_at"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"p\tone\t2\t3\t{SEQUENCE}", "line 3 is not a probe"),
        (f"p\t1.5\t2\t3\t{SEQUENCE}", "line 3 is not a probe"),
        (f"p\t-1\t2\t3\t{SEQUENCE}", "line 3 is not a probe"),
        (f"p\t1\t99999999999\t3\t{SEQUENCE}", "line 3 is not a probe"),
        (f"p\t1\t70000\t3\t{SEQUENCE}", "line 3 is not a probe"),
        (f"\t1\t2\t3\t{SEQUENCE}", "line 3 is not a probe"),
        ("p\t1\t2\t3", "line 3 is not a probe"),
        ("p", "line 3 is not a probe"),
        (f"p\t1\t1\t3\t{SEQUENCE[::-1]}", "two sequences"),
    ],
)
def test_malformed_lines(tmp_path: Path, line: str, message: str) -> None:
    good = f"p\t1\t1\t3\t{SEQUENCE}"
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_probe_tab(a_tab(tmp_path / "tab", f"{HEADER}\n{good}\n{line}\n{good}\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "no columns"),
        (b"<html><body>not found</body></html>", "no columns"),
        (HEADER.encode(), "no probe"),
        (b"Probe Set Name\tProbe X\tProbe Y\n", "no columns"),
        (gzip.compress(HEADER.encode())[:-9], "damaged"),
        (b"PK\x03\x04 nothing", "ZIP"),
        (b"\0" * 300, "no columns"),
    ],
)
def test_what_is_no_probe_tab(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tab"
    path.write_bytes(content)
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_probe_tab(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidProbeAnnotation, match="cannot be read"):
        read_probe_tab(tmp_path / "tab")


def test_archives_of_several_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tabs.zip", "w") as archive:
        for name in ("one", "two"):
            archive.writestr(name, HEADER)
    with pytest.raises(InvalidProbeAnnotation, match="2 files"):
        read_probe_tab(tmp_path / "tabs.zip")


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_blocks(monkeypatch)
    with pytest.raises(InvalidProbeAnnotation, match="line 2 has more than"):
        read_probe_tab(a_tab(tmp_path / "tab", HEADER + "\n" + "A" * 5000))


def test_damaged_archives(tmp_path: Path) -> None:
    content = shared_data(f"{ANNOTATION}/RN-U34_probe_tab.zip").read_bytes()
    path = tmp_path / "tab.zip"
    assert survive_damage(content, path, lambda: read_probe_tab(path), times=40) > 20


def test_damaged_text(tmp_path: Path) -> None:
    content = shared_data(f"{ANNOTATION}/Test3_probe_tab.tsv").read_bytes()[:20_000]
    path = tmp_path / "tab"
    assert survive_damage(content, path, lambda: read_probe_tab(path), times=150)
