"""The `refinebio` command: results, exit codes, and errors in words instead of tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets import __version__
from refinebio_assets.cli import app
from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_probes
from refinebio_assets.microarray.scan import SCAN
from refinebio_assets.resources.doctor import examine
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets_tests.conftest import shared_data


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "unset again when the test is over")
    monkeypatch.delenv("DAGSTER_HOME")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_told(result: Result, words: str, code: int = 1) -> None:
    """It failed, and said so itself."""
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert words in " ".join(result.output.split())


def test_version() -> None:
    assert run("version").output == f"{__version__}\n"


def test_doctor_s_exit_code_says_whether_all_is_there() -> None:
    missing = [finding for finding in examine() if not finding.ok]
    result = run("doctor")
    assert result.exit_code == bool(missing)
    assert "Salmon" in result.output


def test_doctor_without_any_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_told(run("doctor"), "must be mended")


# --- tximport -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "stored"),
    [
        (None, "lengthScaledTPM.counts"),
        ("lengthScaledTPM", "lengthScaledTPM.counts"),
        ("scaledTPM", "scaledTPM.counts"),
        ("no", "no.counts"),
    ],
)
def test_tximport_equals_r_on_real_yeast_runs(tmp_path: Path, how: str | None, stored: str) -> None:
    folder = shared_data("salmon/yeast")
    options = ["--counts-from-abundance", how] if how else []
    target = tmp_path / "out.tsv"
    result = run("tximport", folder, "--gene-map", folder / "tx2gene.tsv", "-o", target, *options)
    assert result.exit_code == 0, result.output
    ours = pl.read_csv(target, separator="\t")
    theirs = pl.read_csv(folder / f"R-tximport/tximport.{stored}.tsv.gz", separator="\t")
    gene = theirs.columns[0]
    theirs = theirs.sort(gene)
    assert ours.columns[1:] == theirs.columns[1:]
    assert ours["Gene"].to_list() == theirs[gene].to_list()
    np.testing.assert_allclose(
        ours[:, 1:].to_numpy(), theirs[:, 1:].to_numpy().astype(float), rtol=1e-9, atol=0
    )


@pytest.fixture
def quantified(tmp_path: Path) -> Path:
    """One small quantification of two transcripts, T1.1 and T2, and its gene map."""
    (tmp_path / "quant" / "s1").mkdir(parents=True)
    (tmp_path / "quant" / "s1" / "quant.sf").write_text(
        "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
        "T1.1\t900\t700\t500000\t30\nT2\t800\t600\t500000\t20\n"
    )
    (tmp_path / "map.tsv").write_text("T1\tG1\nT2\tG2\n")
    return tmp_path


def test_versions_of_transcripts_can_be_ignored(quantified: Path) -> None:
    plain = ["tximport", "quant", "--gene-map", "map.tsv", "-o", "out.tsv"]
    assert run(*plain, "--counts-from-abundance", "no").exit_code == 0
    assert Path("out.tsv").read_text() == "Gene\ts1\nG2\t20.0\n"
    run(*plain, "--counts-from-abundance", "no", "--ignore-transcript-version")
    assert Path("out.tsv").read_text() == "Gene\ts1\nG1\t30.0\nG2\t20.0\n"


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["nowhere", "--gene-map", "map.tsv", "-o", "o.tsv"], "invalid_quantification: There", 1),
        (["quant", "--gene-map", "no.tsv", "-o", "o.tsv"], "invalid_reference: The gene map", 1),
        (["quant", "--gene-map", "no.gtf", "-o", "o.tsv"], "invalid_reference: no.gtf cannot", 1),
        (["quant", "--gene-map", "map.tsv", "-o", "no/o.tsv"], "No such file or directory", 1),
        (
            ["quant", "--gene-map", "map.tsv", "-o", "o.tsv", "--counts-from-abundance", "all"],
            "one of lengthScaledTPM, scaledTPM, no",
            2,
        ),
        (["quant", "-o", "o.tsv"], "--gene-map", 2),
    ],
)
def test_errors_of_tximport(quantified: Path, arguments: list[str], words: str, code: int) -> None:
    assert_told(run("tximport", *arguments), words, code)
    assert not (quantified / "o.tsv").exists()


def test_a_cut_quantification(quantified: Path) -> None:
    path = quantified / "quant" / "s1" / "quant.sf"
    path.write_text(path.read_text()[:-5])
    result = run("tximport", "quant", "--gene-map", "map.tsv", "-o", "o.tsv")
    assert_told(result, "is truncated")


# --- scan -----------------------------------------------------------------------------

PROBE_TAB = "affymetrix/annotation/HG-U95Av2_probe_tab.gz"
STAND_IN = "scan/hgu95av2_gene_map.parquet"
C30057 = "affymetrix/single/C30057.CEL.gz"
GZIP_WITHOUT_GZ = "affymetrix/single/CL2001032020AA.cel"
DAMAGED = "affymetrix/GSE12654/GSM317653.CEL.gz"
FOCUS = ("HG-Focus-1-121502", "sample01")  # Command Console, and version 4


def scan(*arguments: object, probes: str = PROBE_TAB) -> Result:
    return run("scan", "--probes", shared_data(probes), "-o", "out.tsv", *arguments)


def written() -> pl.DataFrame:
    return pl.read_csv("out.tsv", separator="\t")


def assert_values_of_r(column: str, array: str, table: str) -> None:
    """A column of out.tsv is SCAN.UPC's result for the array, to its last decimals."""
    ours, theirs = written(), values_of_r(array, table)
    assert ours["id"].to_list() == theirs["id"].to_list()
    np.testing.assert_allclose(ours[column], theirs["value"], rtol=0, atol=2e-8)


def values_of_r(array: str, table: str) -> pl.DataFrame:
    path = shared_data(f"scan/{array}/{table}.tsv.gz")
    schema = {"id": pl.String, "value": pl.Float64}
    table = pl.read_csv(path, separator="\t", schema=schema)
    return table.with_columns(pl.col("id").str.replace(r"^(ENSG\d+)_at$", "$1")).sort("id")


def test_scan_writes_probe_sets_of_several_arrays_as_scan_upc_does() -> None:
    result = scan(shared_data(C30057), shared_data(GZIP_WITHOUT_GZ))
    assert result.exit_code == 0, result.output
    assert "12,453 probe sets × 2 -> out.tsv" in result.stderr
    assert written().columns == ["id", "C30057", "CL2001032020AA"]
    for array in ("C30057", "CL2001032020AA"):
        assert_values_of_r(array, array, "probesets")


@pytest.mark.parametrize(("options", "table"), [([], "genes"), (["--upc"], "genes_upc")])
def test_scan_writes_genes_as_scan_upc_does(options: list[str], table: str) -> None:
    result = scan(shared_data(C30057), "--genes", shared_data(STAND_IN), *options)
    assert result.exit_code == 0, result.output
    assert "genes × 1" in result.stderr
    assert_values_of_r("C30057", "C30057", table)


def test_scan_takes_a_gene_map_as_text_and_brainarrays(tmp_path: Path) -> None:
    text = tmp_path / "map.csv"
    pl.read_parquet(shared_data(STAND_IN)).select("gene", "y", "x").write_csv(text)
    assert scan(shared_data(C30057), "--genes", text).exit_code == 0
    assert_values_of_r("C30057", "C30057", "genes")

    brainarray = shared_data("affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz")
    cels = [shared_data(f"affymetrix/HG-Focus/{name}.CEL") for name in FOCUS]
    probes = "scan/HG-Focus-1-121502_synthetic/probes.parquet"
    assert scan(*cels, "--genes", brainarray, probes=probes).exit_code == 0
    found = written()
    assert found.columns == ["id", *FOCUS]
    theirs = values_of_r("HG-Focus-1-121502_synthetic", "genes")
    assert found["id"].to_list() == theirs["id"].to_list()
    np.testing.assert_allclose(found[FOCUS[0]], theirs["value"], rtol=0, atol=2e-8)


def test_scan_can_be_thorough() -> None:
    assert scan(shared_data(C30057), "--thorough").exit_code == 0
    model = ArrayModel.prepared(read_probes([shared_data(PROBE_TAB)]), None, SCAN)
    expected = model.expression(read_cel(shared_data(C30057)))
    np.testing.assert_allclose(written()["C30057"], expected.values, rtol=0, atol=1e-8)
    with pytest.raises(AssertionError):  # it is another fit
        assert_values_of_r("C30057", "C30057", "probesets")


def test_a_bad_array_costs_itself_only(tmp_path: Path) -> None:
    """A damaged file, an absent one, one of another chip, one whose name is taken."""
    (tmp_path / "other").mkdir()
    twice = tmp_path / "other" / "C30057.cel"
    twice.symlink_to(shared_data(C30057))
    named_id = tmp_path / "id.CEL"
    named_id.symlink_to(shared_data(C30057))
    chip = shared_data("affymetrix/Test3/TestA1.CEL")
    bad = [shared_data(DAMAGED), "absent.CEL", chip, twice, named_id]
    result = scan(bad[0], shared_data(C30057), *bad[1:])
    assert_told(result, "GSM317653.CEL.gz: an intensity is not a number")
    told = " ".join(result.stderr.split())
    for words in (
        "absent.CEL: raw_file_missing",
        "TestA1.CEL: probes_do_not_fit_chip: The array (Test3) has 126 x 126 cells",
        "other/C30057.cel: invalid_cel: Two arrays are called C30057.",
        "id.CEL: invalid_cel: An array cannot be called id.",
        "12,453 probe sets × 1 -> out.tsv",
    ):
        assert words in told
    assert written().columns == ["id", "C30057"]
    assert_values_of_r("C30057", "C30057", "probesets")


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ("affymetrix/annotation/Test3_probe_tab.tsv", "has 640 x 640 cells"),
        ("affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz", "a table of cells and genes"),
        ("affymetrix/annotation/hgu95av2_ID", "none of the annotation files that are read"),
        ("affymetrix/annotation/Test3.xda.CDF", "a CDF"),
        (C30057, "none of the annotation files that are read"),
    ],
)
def test_scan_with_what_is_not_the_array_s_probe_tab(probes: str, words: str) -> None:
    assert_told(scan(shared_data(C30057), probes=probes), words)
    assert not Path("out.tsv").exists()


def test_scan_writes_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.tsv"
    target.write_text("what was there before")
    assert_told(scan(shared_data(DAMAGED)), "invalid_cel")
    (tmp_path / "genes.csv").write_text("x,y,gene\n0,0,G1\n")
    assert_told(scan(shared_data(C30057), "--genes", "genes.csv"), "No cell of the gene map")
    assert target.read_text() == "what was there before"
    limit = run_with_little_disk("scan", shared_data(C30057), "--probes", shared_data(PROBE_TAB))
    assert limit.returncode == 1
    assert b"File too large" in limit.stderr
    assert target.read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {"genes.csv", "out.tsv"}
    result = run("scan", shared_data(C30057), "--probes", shared_data(PROBE_TAB), "-o", "no/o.tsv")
    assert_told(result, "No such file or directory")


def run_with_little_disk(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command where no file may become larger than 10 kB."""
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from refinebio_assets.cli import app; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); app()"
    )
    command = [sys.executable, "-c", program, *map(str, arguments), "-o", "out.tsv"]
    return subprocess.run(command, capture_output=True, check=False)


# --- cel-info -------------------------------------------------------------------------


def told_of(*cels: Path) -> tuple[Result, dict[str, list[str]]]:
    """The table's rows by file."""
    result = run("cel-info", *cels)
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in result.stdout.splitlines()
        if line.startswith("│")
    ]
    return result, {row[0]: row[1:] for row in cells}


def test_cel_info_tells_of_every_format() -> None:
    names = (
        "affymetrix/single/C30057.CEL.gz",
        "affymetrix/single/CL2001032020AA.cel",
        "affymetrix/HG-Focus/sample01.CEL",
        "affymetrix/single/97_(Mouse430_2).CEL.gz",
        "affymetrix/Test3/TestA1.CEL",
    )
    result, rows = told_of(*map(shared_data, names))
    assert result.exit_code == 0
    text, v4, console = "CEL v3 text, gzip", "CEL v4 binary", "Command Console, gzip"
    u95, focus, mouse = (
        ("HG_U95Av2", "hgu95av2"),
        ("HG-Focus", "hgfocus (not listed)"),
        "Mouse430_2",
    )
    assert rows == {
        "C30057.CEL.gz": [text, *u95, "640", "640", "2003-03-18T11:38:54", "145 outliers", "none"],
        "CL2001032020AA.cel": [
            text,
            *u95,
            "640",
            "640",
            "2001-03-20T16:13:24",
            "578 outliers",
            "none",
        ],
        "sample01.CEL": [v4, *focus, "448", "448", "2005-02-23T12:45:53", "40 outliers", "none"],
        "97_(Mouse430_2).CEL.gz": [
            *(
                console,
                mouse,
                "mouse4302",
                "1002",
                "1002",
                "2010-02-04T11:19:15Z",
                "310 outliers",
                "none",
            )
        ],
        "TestA1.CEL": [
            v4,
            "Test3",
            "test3 (not listed)",
            "126",
            "126",
            "2002-10-13T10:28:08",
            "–",
            "none",
        ],
    }


def test_cel_info_names_problems_and_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.CEL"
    page.write_text("<html>[bold]not found[/bold]</html>")
    (tmp_path / "[red]empty.CEL").write_bytes(b"")
    good = shared_data(C30057)
    result, rows = told_of(
        shared_data(DAMAGED),
        shared_data("affymetrix/broken/GSM306831.part.CEL.gz"),
        page,
        tmp_path / "[red]empty.CEL",
        tmp_path / "absent.CEL",
        tmp_path,
        good,
    )
    assert result.exit_code == 1
    assert {name: row[-1] for name, row in rows.items()} == {
        "GSM317653.CEL.gz": "invalid_cel: an intensity is not a number, "
        "b'84\\xc40\\t17.1\\t 20\\r\\n572\\t1'.",
        "GSM306831.part.CEL.gz": "truncated_cel: the file lacks the last 4,911,981 bytes.",
        "page.CEL": "invalid_cel: this is not a CEL file: it seems to be HTML or XML, perhaps an "
        "error page saved as a file.",
        "[red]empty.CEL": "invalid_cel: this is not a CEL file: it is empty.",
        "absent.CEL": f"raw_file_missing: {tmp_path}/absent.CEL cannot be opened: No such file or "
        "directory.",
        tmp_path.name: f"invalid_cel: {tmp_path.name} is a folder, not a file.",
        good.name: "none",
    }
    assert rows["GSM306831.part.CEL.gz"][1:3] == ["Zebrafish", "zebrafish"]  # its header is whole
    assert rows["page.CEL"][:-1] == ["–"] * 7


# --- survey, reference, process, query ------------------------------------------------


def test_outside_of_a_project() -> None:
    assert_told(run("survey", "sheet.tsv"), "There is no dagster.yaml here. Run this in")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


SHEET = "experiment,sample,organism,technology,files\nLAB-1,s1,Homo sapiens,RNA-SEQ,s1.fq\n"


def test_a_sheet_is_registered_once(project: Path) -> None:
    (project / "sheet.csv").write_text(SHEET)
    for state in ("new", "known"):
        result = run("survey", "sheet.csv")
        assert result.exit_code == 0, result.output
        [first, *_] = result.stdout.splitlines()
        assert first == f"LAB-1 ({state}): 1 samples, RNA-SEQ, HOMO_SAPIENS"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["survey", "no.csv"], "invalid_sample_sheet"),
        (["survey", "http://[x/sheet.csv"], "invalid_sample_sheet"),
        (["survey", "bad.csv"], "line 2: '../x' is not a valid experiment name"),
        (["reference", "no.yaml"], "invalid_reference"),
        (["process", "LAB-9"], "LAB-9 is not registered"),
        (["query", "SELECT 1"], "There is no catalogue"),
    ],
)
def test_errors_are_told_in_words(project: Path, arguments: list[str], words: str) -> None:
    (project / "bad.csv").write_text(SHEET.replace("LAB-1", "../x"))
    assert_told(run(*arguments), words)


def test_a_query() -> None:
    Warehouse().build(Storage())
    result = run("query", "SELECT count(*) AS number FROM samples")
    assert result.exit_code == 0
    assert "number" in result.output
    assert_told(run("query", "SELECT nothing FROM samples"), "nothing")
    assert_told(run("query", "DROP TABLE samples"), "read-only")


def test_all_commands_explain_themselves() -> None:
    assert run("--help").exit_code == 0
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
