"""The README's and the documentation's commands and queries, on the demo's own data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
R_PACKAGES = Path("/usr/lib/R/site-library")
REAL_READS = R_PACKAGES / "ShortRead/extdata/E-MTAB-1147"
PROBE_TAB = R_PACKAGES / "AnnotationDbi/extdata/HG-U95Av2_probe_tab.gz"


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` makes, in a folder of its own."""
    if not (REAL_READS.exists() and PROBE_TAB.exists()):
        pytest.skip("the demo's Debian packages are not installed: containers/setup.sh demo")
    folder = tmp_path_factory.mktemp("demo")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    arrays = folder / "home/simulated_arrays"
    simulate = [sys.executable, ROOT / "examples/demo/simulate_arrays.py", PROBE_TAB, arrays]
    subprocess.run(simulate, check=True, capture_output=True)
    for command in (
        ["reference", str(ROOT / "examples/demo/reference.yaml")],
        ["survey", str(ROOT / "examples/demo/samples.tsv"), str(arrays / "samples.tsv")],
        ["process", "E-MTAB-1147", "KALLISTO-EXAMPLE", "SIMULATED-ARRAYS"],
    ):
        done = _refinebio(folder, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "home"


def _refinebio(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "REFINEBIO_HOME": str(folder / "home"),
    }
    program = Path(sys.executable).with_name("refinebio")
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_first_query_answers(demo_home: Path) -> None:
    script = ROOT / "examples/demo/first_query.py"
    environment = {**os.environ, "REFINEBIO_HOME": str(demo_home)}
    shown = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "ENO1" in shown
    assert "ERR127302" in shown


def test_real_reads_map_as_salmon_alone_maps_them(demo_home: Path) -> None:
    with duckdb.connect(demo_home / "refinebio.duckdb", read_only=True) as database:
        rows = database.execute(
            "SELECT sample, num_processed, percent_mapped FROM quantifications ORDER BY sample"
        ).fetchall()
    assert [row[:2] for row in rows] == [
        ("ERR127302", 20_000),
        ("simulated-paired", 10_000),
        ("simulated-single", 10_000),
    ]
    assert [round(row[2]) for row in rows] == [6, 93, 92]


def _queries() -> list[str]:
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/querying.md")]
    return [query for text in texts for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize("query", _queries())
def test_documented_query_has_an_answer(query: str, demo_home: Path, tmp_path: Path) -> None:
    query = query.replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    with duckdb.connect(demo_home / "refinebio.duckdb", read_only=True) as database:
        assert database.execute(query).fetchall()


def test_documented_python_runs(demo_home: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    assert blocks
    environment = {**os.environ, "REFINEBIO_HOME": str(demo_home)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(blocks)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = _refinebio(demo_home.parent, "receipt", "XLOC_001296", "treated-1", "--verify")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "as recorded" in told.stderr


def test_documented_compendium(demo_home: Path) -> None:
    text = (ROOT / "docs/compendia.md").read_text()
    commands = re.findall(r"^refinebio (.*?)(?:\s{2,}#.*)?$", text, re.MULTILINE)
    assert [each.split()[0] for each in commands].count("compendium") >= 4
    for command in commands:
        if command.split()[0] in ("qn-target", "compendium"):
            done = _refinebio(demo_home.parent, *shlex.split(command))
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    with duckdb.connect(demo_home / "refinebio.duckdb", read_only=True) as database:
        for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL):
            query = query.replace("'rnaseq_compendia/", f"'{demo_home}/rnaseq_compendia/")
            assert database.execute(query).fetchall(), query


def test_query_command(demo_home: Path) -> None:
    good = _refinebio(demo_home.parent, "query", "SELECT 6 * 7 AS answer")
    assert "42" in good.stdout
    bad = _refinebio(demo_home.parent, "query", "SELECT nonsense")
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr


def test_scan_by_itself_gives_the_published_values(demo_home: Path, tmp_path: Path) -> None:
    cels = sorted(map(str, (demo_home / "simulated_arrays").glob("*.CEL")))
    told = _refinebio(demo_home.parent, "cel-info", *cels)
    assert told.returncode == 0, told.stdout + told.stderr
    [genes] = (demo_home / "reference/platforms/hgu95av2").glob("*/genes.parquet")
    table = tmp_path / "values.tsv"
    arguments = ["--probes", str(PROBE_TAB), "--genes", str(genes), "-o", str(table)]
    done = _refinebio(demo_home.parent, "scan", *cels, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    header, *lines = (line.split("\t") for line in table.read_text().splitlines())
    values = {
        (gene, sample): float(value)
        for gene, *cells in lines
        for sample, value in zip(header[1:], cells, strict=True)
    }
    with duckdb.connect(demo_home / "refinebio.duckdb", read_only=True) as database:
        rows = database.execute(
            "SELECT gene, sample, value FROM expression WHERE experiment = 'SIMULATED-ARRAYS'"
        ).fetchall()
    assert len(rows) == 6 * 138
    assert values == pytest.approx({row[:2]: row[2] for row in rows}, abs=1e-6)
