"""The `refinebio` command: results, exit codes, and errors in words instead of tracebacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets import __version__
from refinebio_assets.cli import app
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
        (["query", "SELECT 1"], "refinebio.duckdb"),
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
