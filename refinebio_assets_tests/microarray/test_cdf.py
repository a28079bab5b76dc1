"""CDFs: text and binary describe one chip alike, and damaged ones are refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.cdf import complete, is_cdf, read_cdf
from refinebio_assets.microarray.probe_tab import read_probe_tab
from refinebio_assets.microarray.probes import ProbeTable
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.damage import survive_damage
from refinebio_assets_tests.microarray.test_probes import assert_equal_tables

TEXT = "affymetrix/annotation/Test3.ascii.CDF.gz"
BINARY = "affymetrix/annotation/Test3.xda.CDF"
TAB = "affymetrix/annotation/Test3_probe_tab.tsv"
HU6800 = Path("/usr/lib/R/site-library/makecdfenv/extdata/Hu6800.CDF.gz")


def test_text_and_binary_say_the_same() -> None:
    text, binary = read_cdf(shared_data(TEXT)), read_cdf(shared_data(BINARY))
    assert (text.columns, text.rows) == (binary.columns, binary.rows) == (126, 126)
    assert text.cells.equals(binary.cells)
    assert len(text.cells) == 6354
    assert text.cells["probe_set"].n_unique() == 345


def test_its_cells_are_those_of_the_probe_tab() -> None:
    """Two sources that were made independently: Affymetrix's CDF, and the probe tab."""
    tab = read_probe_tab(shared_data(TAB))
    for name in (TEXT, BINARY):
        fit = complete("Test3", tab, read_cdf(shared_data(name)))
        assert (fit.without_sequence, fit.not_on_chip) == (0, 0)
        wanted = ProbeTable(tab.x, tab.y, tab.sequence, tab.probe_set, tab.probe_sets, 126)
        assert_equal_tables(fit.probes, wanted)


def test_cells_without_sequence_are_counted() -> None:
    tab = read_probe_tab(shared_data(TAB))
    part = ProbeTable(
        tab.x[::2], tab.y[::2], tab.sequence[::2], tab.probe_set[::2], tab.probe_sets, None
    )
    fit = complete("Test3", part, read_cdf(shared_data(TEXT)))
    assert fit.without_sequence == 3177
    np.testing.assert_array_equal(fit.probes.x, part.x)
    np.testing.assert_array_equal(fit.probes.sequence, part.sequence)
    elsewhere = ProbeTable(
        np.append(tab.x, np.int32(0)),
        np.append(tab.y, np.int32(0)),
        np.vstack([tab.sequence, tab.sequence[:1]]),
        np.append(tab.probe_set, np.int32(0)),
        tab.probe_sets,
        None,
    )
    fit = complete("Test3", elsewhere, read_cdf(shared_data(TEXT)))
    assert (fit.not_on_chip, len(fit.probes.x)) == (1, 6354)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_cdf(shared_data(TEXT))
    monkeypatch.setattr(compression, "PIECE", 5000)
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 20_000)
    assert read_cdf(shared_data(TEXT)).cells.equals(whole.cells)


def test_a_real_file_that_is_cut() -> None:
    """The shared ATH1 CDF ends at its unit 493 of 22,810."""
    path = shared_data("affymetrix/annotation/GCOS-ATH1.CDF.gz")
    with pytest.raises(InvalidProbeAnnotation, match="is cut: unit 493 of 22810"):
        read_cdf(path)


def test_a_cdf_of_debian() -> None:
    if not HU6800.exists():
        pytest.skip("r-bioc-makecdfenv is not installed")
    chip = read_cdf(HU6800)
    assert (chip.columns, chip.rows) == (536, 536)
    assert chip.cells["probe_set"].n_unique() == 7129


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"[CDF]\r\nVersion=GC3.0", True),
        (struct.pack("<ii", 67, 1), True),
        (struct.pack("<ii", 64, 4), False),
        (b"[CEL]\r\n", False),
        (b"", False),
    ],
)
def test_what_is_a_cdf(head: bytes, told: bool) -> None:
    assert is_cdf(head) is told


def test_a_cut_text(tmp_path: Path) -> None:
    lines = gzip.decompress(shared_data(TEXT).read_bytes()).splitlines(keepends=True)
    path = tmp_path / "cut.CDF"
    for kept in (len(lines) - 40, len(lines) // 2, len(lines) // 20):
        path.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(InvalidProbeAnnotation, match="is cut"):
            read_cdf(path)
    cells = [number for number, line in enumerate(lines) if line.startswith(b"Cell9=")]
    del lines[cells[-1]]
    path.write_bytes(b"".join(lines))
    with pytest.raises(InvalidProbeAnnotation, match=r"is cut: it has 345 of 345 units"):
        read_cdf(path)


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    lines = gzip.decompress(shared_data(TEXT).read_bytes()).splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if b"_Block1]" in line)
    number = next(n for n in range(start, len(lines)) if lines[n].startswith(b"Cell3="))
    lines[number] = lines[number].replace(b"=", b"=x", 1)
    path = tmp_path / "bad.CDF"
    path.write_bytes(b"".join(lines))
    with pytest.raises(InvalidProbeAnnotation, match=f"line {number + 1} is not a cell"):
        read_cdf(path)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (4, 4, "version 4"),
        (8, 0, "0 columns"),
        (12, 1 << 30, "is cut"),
        (12, -1, "is cut"),
        (20, -5, "is cut"),
    ],
)
def test_absurd_headers(tmp_path: Path, at: int, value: int, message: str) -> None:
    content = bytearray(shared_data(BINARY).read_bytes())
    content[at : at + 4] = struct.pack("<i", value)
    path = tmp_path / "bad.CDF"
    path.write_bytes(content)
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_cdf(path)


def test_units_that_all_point_to_the_same_cells(tmp_path: Path) -> None:
    """Otherwise a small file could stand for any number of cells."""
    content = bytearray(shared_data(BINARY).read_bytes())
    offsets = 24 + 345 * 64 + 13 * 4
    content[offsets : offsets + 345 * 4] = content[offsets : offsets + 4] * 345
    first = struct.unpack_from("<i", content, offsets)[0]
    content[first + 20 + 4 : first + 20 + 8] = struct.pack("<i", 10_000)
    path = tmp_path / "bad.CDF"
    path.write_bytes(content)
    with pytest.raises(InvalidProbeAnnotation, match="overlapping"):
        read_cdf(path)


@pytest.mark.parametrize("name", [TEXT, BINARY])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    content = shared_data(name).read_bytes()
    path = tmp_path / "damaged.CDF"
    assert survive_damage(content, path, lambda: read_cdf(path), times=90) > 20
    if name == TEXT:
        inflated = gzip.decompress(content)
        assert survive_damage(inflated, path, lambda: read_cdf(path), times=40) > 10
