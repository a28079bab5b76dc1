"""PGF, CLF and MPS: Affymetrix's 32 x 32 cut of the human exon array, and made-up files."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import text_tables
from refinebio_assets.microarray.pgf import is_clf, is_pgf, read_pgf
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.damage import survive_damage
from refinebio_assets_tests.microarray.test_probes import assert_equal_tables

PGF = "affymetrix/HuEx_32x32/HuEx-test.pgf"
CLF = "affymetrix/HuEx_32x32/HuEx-test.clf"
A, B, C = ("ACGT" * 6 + last for last in "ACG")

SMALL_PGF = f"""\
#%chip_type=X
#%header0=probeset_id\ttype
#%header1=\tatom_id
#%header2=\t\tprobe_id\ttype\tgc_count\tprobe_sequence
10\tmain
\t1
\t\t7\tpm:st\t12\t{A}
\t\t8\tmm:st\t12\t{A}
\t2
\t\t5\tpm:target->at\t12\t{B}
20
\t3
\t\t7\tpm:st\t12\t{A}
\t\t3\tgeneric:at\t12\t{C}
30\tcontrol->affx
\t4
\t\t9\tpm:at\t9\tACGT
"""
SMALL_CLF = """\
#%rows=2
#%cols=5
#%header0=probe_id\tx\ty
7\t4\t1
5\t0\t0
8\t3\t1
9\t1\t0
"""


def files(folder: Path, pgf: str = SMALL_PGF, clf: str = SMALL_CLF) -> tuple[Path, Path]:
    (folder / "a.pgf").write_text(pgf)
    (folder / "a.clf").write_text(clf)
    return folder / "a.pgf", folder / "a.clf"


def listed(pgf: Path, clf: Path, mps: Path | None = None) -> list[tuple[int, int, str, str]]:
    table = read_pgf(pgf, clf, mps)
    return [
        (int(x), int(y), table.probe_sets[number], "".join("ACGT"[code] for code in sequence))
        for x, y, number, sequence in zip(
            table.x, table.y, table.probe_set, table.sequence, strict=True
        )
    ]


def test_the_real_array_line_by_line() -> None:
    """Read by hand: levels by tabs, cells by the CLF's `sequential=1` with 32 columns."""
    wanted, probe_set = set(), ""
    for line in shared_data(PGF).read_text().splitlines():
        cells = line.split("\t")
        if line.startswith("\t\t") and cells[3].startswith("pm"):
            number = int(cells[2]) - 1
            wanted.add((number % 32, number // 32, probe_set, cells[7]))
        elif not line.startswith(("\t", "#")):
            probe_set = cells[0]
    found = listed(shared_data(PGF), shared_data(CLF))
    assert len(found) == 371
    assert set(found) == wanted
    assert read_pgf(shared_data(PGF), shared_data(CLF)).columns == 32


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_pgf(shared_data(PGF), shared_data(CLF))
    monkeypatch.setattr(compression, "PIECE", 300)
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 700)
    assert_equal_tables(read_pgf(shared_data(PGF), shared_data(CLF)), whole)


def test_levels_types_and_places(tmp_path: Path) -> None:
    """A probe in two probe sets is there twice; mismatches and short probes are not."""
    assert listed(*files(tmp_path)) == [(0, 0, "10", B), (4, 1, "10", A), (4, 1, "20", A)]


@pytest.mark.parametrize("order", ["col_major", "row_major"])
def test_places_that_are_counted(tmp_path: Path, order: str) -> None:
    """Listed places win; the rest is y * columns + x + first, whatever the order is called."""
    clf = SMALL_CLF.replace("#%header0", f"#%sequential=2\n#%order={order}\n#%header0")
    assert listed(*files(tmp_path, clf=clf.replace("7\t4\t1\n", ""))) == [
        (0, 0, "10", B),
        (0, 1, "10", A),
        (0, 1, "20", A),
    ]


def test_meta_probe_sets(tmp_path: Path) -> None:
    mps = tmp_path / "a.mps"
    mps.write_text(
        "#%chip_type=X\nprobeset_id\ttranscript_cluster_id\tprobeset_list\tprobe_count\n"
        "100\t100\t10 20\t3\n200\t200\t20 99\t1\n"
    )
    assert listed(*files(tmp_path), mps) == [
        (0, 0, "100", B),
        (4, 1, "100", A),
        (4, 1, "200", A),
    ]
    mps.write_text("probeset_id\tprobeset_list\n100\t77\n")
    with pytest.raises(InvalidProbeAnnotation, match="none of the probe sets"):
        read_pgf(*files(tmp_path), mps)
    mps.write_text("probeset_id\tprobeset_list\n100\t10\n200\n")
    with pytest.raises(InvalidProbeAnnotation, match="line 3 is not a meta probe set"):
        read_pgf(*files(tmp_path), mps)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t\t7\tpm:st", "\t\tseven\tpm:st", "line 7 is not a probe"),
        ("\t\t8\tmm:st", "\t\t8\t", "line 8 is not a probe"),
        ("10\tmain\n", "", "line 6 is not a probe of a probe set"),
        ("\tprobe_sequence", "", "header2"),
        ("\t\t5\tpm", "\t\t55\tpm", "does not place probe 55"),
    ],
)
def test_malformed_pgf(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_pgf(*files(tmp_path, pgf=SMALL_PGF.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#%rows=2\n", "", "no rows and cols"),
        ("#%cols=5", "#%cols=many", "cols as 'many'"),
        ("#%cols=5", "#%cols=0", "0 columns"),
        ("probe_id", "id", "header0"),
        ("5\t0\t0", "5\t0", "line 5 is not a probe's cell"),
        ("5\t0\t0", "5\t5\t0", "outside of the chip"),
        ("5\t0\t0", "7\t0\t0", "places probe 7 twice"),
    ],
)
def test_malformed_clf(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_pgf(*files(tmp_path, clf=SMALL_CLF.replace(old, new, 1)))


def test_what_they_are() -> None:
    pgf, clf = (text.encode() for text in (SMALL_PGF, SMALL_CLF))
    assert is_pgf(pgf)
    assert is_clf(clf)
    assert not any(check(text) for check, text in ((is_pgf, clf), (is_clf, pgf), (is_pgf, b"")))


def test_damaged_files(tmp_path: Path) -> None:
    pgf, clf = tmp_path / "a.pgf", tmp_path / "a.clf"
    clf.write_bytes(shared_data(CLF).read_bytes())
    content = shared_data(PGF).read_bytes()
    assert survive_damage(content, pgf, lambda: read_pgf(pgf, clf), times=120)
    pgf.write_bytes(content)
    layout = shared_data(CLF).read_bytes()
    assert survive_damage(layout, clf, lambda: read_pgf(pgf, clf), times=120)
