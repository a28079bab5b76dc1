"""The README's and the documentation's commands and queries, on the demo's own data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
REAL_READS = Path("/usr/lib/R/site-library/ShortRead/extdata/E-MTAB-1147")


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` makes, in a folder of its own."""
    if not REAL_READS.exists():
        pytest.skip("the demo's Debian packages are not installed: containers/setup.sh demo")
    folder = tmp_path_factory.mktemp("demo")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for command in (
        ["reference", str(ROOT / "examples/demo/reference.yaml")],
        ["survey", str(ROOT / "examples/demo/samples.tsv")],
        ["process", "E-MTAB-1147", "KALLISTO-EXAMPLE"],
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
    text = (ROOT / "docs/querying.md").read_text()
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("query", _queries())
def test_documented_query_has_an_answer(query: str, demo_home: Path, tmp_path: Path) -> None:
    query = query.replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    with duckdb.connect(demo_home / "refinebio.duckdb", read_only=True) as database:
        assert database.execute(query).fetchall()


def test_query_command(demo_home: Path) -> None:
    good = _refinebio(demo_home.parent, "query", "SELECT 6 * 7 AS answer")
    assert "42" in good.stdout
    bad = _refinebio(demo_home.parent, "query", "SELECT nonsense")
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr
