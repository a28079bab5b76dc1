"""The DuckDB catalogue: its shape, and how it is swapped in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from refinebio_assets.errors import RefinebioError
from refinebio_assets.matrix.expression import write_gene_counts
from refinebio_assets.matrix.tables import frame, write_parquet
from refinebio_assets.resources.references import GENE_MAP, transcriptome_folder
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.rnaseq.tximport import gene_level
from refinebio_assets.sample_status import SampleStatus, write_statuses
from refinebio_assets.sources.local import parse_sample_sheet
from refinebio_assets.sources.records import write_experiment
from refinebio_assets.tables import CATALOGUE, QUANTIFICATIONS, Table

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LINEAGE: dict[str, Any] = {"code_version": "0.1", "run_id": "run", "recorded_at": NOW}
STAGES = ("experiment_metadata", "raw_samples", "transcript_quantification", "gene_counts")
DECLARED = pytest.mark.parametrize("table", CATALOGUE, ids=lambda table: table.name)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(home=str(tmp_path / "home"))


def fill(storage: Storage, experiment: str = "LAB-1") -> None:
    """Publish an experiment of two samples, s1 processed and s2 failed, and its reference."""
    sheet = (
        "experiment,sample,organism,technology,files,title,Tissue,age\n"
        f"{experiment},s1,Homo sapiens,RNA-SEQ,s1_1.fq;s1_2.fq,First,Heart muscle,3\n"
        f"{experiment},s2,Homo sapiens,RNA-SEQ,s2.fq,Second,Brain,\n"
    )
    [record] = parse_sample_sheet(sheet, "/lab/sheet.csv", "0" * 64)
    with storage.publish_file(storage.table_file("experiments", experiment)) as path:
        write_experiment(record, path, **LINEAGE)
    for stage in STAGES:
        said = [SampleStatus("s1", "processed")]
        if stage == "raw_samples":
            error = SampleStatus("s2", "failed", "truncated_fastq", "It ends early.", "Copy it.")
            said.append(error)
        with storage.publish_file(storage.status_file(stage, experiment)) as path:
            write_statuses(said, path, experiment=experiment, stage=stage, **LINEAGE)
    row = {
        **dict.fromkeys(QUANTIFICATIONS.column_names()),
        **LINEAGE,
        "experiment": experiment,
        "sample": "s1",
        "organism": "HOMO_SAPIENS",
        "salmon_version": "1.10.1",
        "raw_sha256": ["a", "b"],
    }
    with storage.publish_file(storage.table_file("quantifications", experiment)) as path:
        write_parquet(frame(QUANTIFICATIONS, [row]), path)

    gene_map = pl.DataFrame(
        {
            "transcript": ["T1", "T2", "T3"],
            "gene": ["G1", "G1", "G2"],
            "symbol": ["one"] * 2 + [None],
        }
    )
    reference = transcriptome_folder(storage.reference("HOMO_SAPIENS", "115"))
    with storage.publish_folder(reference) as folder:
        gene_map.write_parquet(folder / GENE_MAP)
    organism = {"organism": "HOMO_SAPIENS", "reference_release": "115", "created_at": "2026"}
    storage.write_json(reference / "reference.json", {**organism, "num_genes": 2})

    final = storage.expression_file("HOMO_SAPIENS", "RNA-SEQ", experiment)
    with storage.staging() as folder:
        quant = folder / "quant.sf"
        quant.write_text(
            "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
            "T1\t900\t700\t250000\t30\nT2\t800\t600\t250000\t20\nT3\t500\t300\t500000\t50\n"
        )
        genes = gene_level({"s1": quant}, gene_map)
    with storage.publish_file(final) as path:
        write_gene_counts(path, [genes], {"experiment": experiment})


def ask(storage: Storage, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with Warehouse().connect(storage) as database:
        return database.execute(sql, values).fetchall()


@pytest.fixture(scope="module", params=["nothing", "something"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A catalogue built from nothing at all, and one from an experiment."""
    storage = Storage(home=str(tmp_path_factory.mktemp("home")))
    if request.param == "something":
        fill(storage)
    Warehouse().build(storage)
    return storage


# --- its shape ------------------------------------------------------------------------


@DECLARED
def test_columns_and_types_are_the_declared_ones(built: Storage, table: Table) -> None:
    found = [row[:2] for row in ask(built, f"DESCRIBE {table.name}")]
    assert found == [(column.name, column.type) for column in table.columns]


@DECLARED
def test_every_table_and_column_is_explained(built: Storage, table: Table) -> None:
    comments = ask(
        built,
        "SELECT comment FROM duckdb_tables() WHERE table_name = $1 "
        "UNION ALL SELECT comment FROM duckdb_views() WHERE view_name = $1",
        table.name,
    )
    assert comments == [(table.meaning,)]
    columns = dict(
        ask(
            built,
            "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?",
            table.name,
        )
    )
    assert columns == {column.name: column.comment for column in table.columns}


def test_every_macro_is_explained(built: Storage) -> None:
    macros = ask(
        built,
        "SELECT DISTINCT function_name, comment FROM duckdb_functions() WHERE NOT internal",
    )
    assert {"expression_matrix", "gene_profile", "search_samples", "facets"} <= {
        name for name, _ in macros
    }
    assert [name for name, comment in macros if not (comment or "").endswith(".")] == []


def test_there_is_nothing_but_what_is_declared(built: Storage) -> None:
    found = {name for (name,) in ask(built, "SELECT table_name FROM information_schema.tables")}
    assert found == {table.name for table in CATALOGUE}


def test_from_nothing_every_table_is_empty(storage: Storage) -> None:
    counts = Warehouse().build(storage)
    known = counts.pop("platforms")  # the arrays that can be annotated
    assert known > 100
    assert set(counts.values()) == {0}
    for table in CATALOGUE:
        if table.name == "platforms":
            continue
        assert ask(storage, f"SELECT count(*) FROM {table.name}") == [(0,)]  # noqa: S608
    assert ask(storage, "FROM expression_matrix('LAB-1')") == []
    assert ask(storage, "FROM gene_profile('HOMO_SAPIENS', 'G1')") == []
    assert ask(storage, "FROM search_samples('heart')") == []
    assert ask(storage, "FROM search_experiments('')") == []
    assert ask(storage, "FROM facets('')") == []


def test_rows_and_macros(storage: Storage) -> None:
    fill(storage)
    counts = Warehouse().build(storage)
    assert counts["samples"] == 2
    assert counts["sample_files"] == 3
    assert ask(storage, "SELECT sample, status, stage, reason_code FROM sample_status") == [
        ("s1", "processed", "gene_counts", None),
        ("s2", "failed", "raw_samples", "truncated_fastq"),
    ]
    assert ask(storage, "SELECT gene, symbol, num_transcripts FROM genes") == [
        ("G1", "one", 2),
        ("G2", None, 1),
    ]
    assert ask(storage, "FROM processors") == [
        ("Salmon", "1.10.1", 1),
        ("refinebio_assets", "0.1", 1),
    ]
    assert ask(storage, "SELECT gene, counts, tpm FROM gene_counts ORDER BY gene") == [
        ("G1", 50, 500_000),
        ("G2", 50, 500_000),
    ]
    matrix = ask(storage, "FROM expression_matrix('LAB-1')")
    assert [row[:2] for row in matrix] == [("G1", "s1"), ("G2", "s1")]
    assert sum(value for *_, value in matrix) == pytest.approx(100)  # as many as reads
    [(*row, value)] = ask(storage, "FROM gene_profile('HOMO_SAPIENS', 'G2')")
    assert row == ["LAB-1", "s1", "RNA-SEQ", "G2"]
    assert ask(storage, "SELECT value FROM expression WHERE gene = 'G2'") == [(value,)]
    [(*row, _)] = ask(storage, "FROM gene_profile('HOMO_SAPIENS', 'ONE')")  # by its symbol
    assert row == ["LAB-1", "s1", "RNA-SEQ", "G1"]
    assert ask(storage, "FROM gene_profile('MUS_MUSCULUS', 'one')") == []
    assert ask(storage, "FROM sample_profile('s1') SELECT gene") == [("G1",), ("G2",)]
    assert [row[1] for row in ask(storage, "FROM search_samples('HEART muscle')")] == ["s1"]
    assert [row[0] for row in ask(storage, "FROM search_experiments('first brain')")] == ["LAB-1"]


def test_a_sample_that_is_still_on_its_way(storage: Storage) -> None:
    fill(storage)
    storage.status_file("gene_counts", "LAB-1").unlink()
    Warehouse().build(storage)
    query = "SELECT status, reason_code, reason FROM sample_status WHERE sample = 's1'"
    assert ask(storage, query) == [
        ("waiting", "in_progress", "Came through transcript_quantification.")
    ]


# --- the swap -------------------------------------------------------------------------

READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as database:
    for line in sys.stdin:
        print(database.execute(line).fetchall(), flush=True)
"""


def test_a_reader_keeps_what_it_opened(storage: Storage) -> None:
    """Another process reads before and after a rebuild; new readers see the new catalogue."""
    Warehouse().build(storage)
    with subprocess.Popen(
        [sys.executable, "-c", READER, storage.catalogue()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for _ in range(2):
            print("SELECT count(*) FROM samples", file=reader.stdin, flush=True)
            assert reader.stdout.readline() == "[(0,)]\n"
            fill(storage)
            Warehouse().build(storage)
        reader.stdin.close()
    assert ask(storage, "SELECT count(*) FROM samples") == [(2,)]


KILLED = """
import os, signal, sys
from refinebio_assets.resources import warehouse
from refinebio_assets.resources.storage import Storage
def killed(database):
    database.commit()
    database.execute("CHECKPOINT")
    os.kill(os.getpid(), signal.SIGKILL)
warehouse._comment = killed  # called when the tables are filled
warehouse.Warehouse().build(Storage(home=sys.argv[1]))
"""


def test_killed_while_building(storage: Storage) -> None:
    Warehouse().build(storage)
    before = storage.catalogue().read_bytes()
    fill(storage)
    killed = subprocess.run([sys.executable, "-c", KILLED, storage.root], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert storage.catalogue().read_bytes() == before
    assert any((storage.root / "staging").glob("*/refinebio.duckdb"))
    Warehouse().build(storage)
    assert ask(storage, "SELECT count(*) FROM samples") == [(2,)]
    assert list((storage.root / "staging").iterdir()) == []


def test_a_damaged_table_leaves_the_old_catalogue(storage: Storage) -> None:
    fill(storage)
    Warehouse().build(storage)
    storage.table_file("experiments", "LAB-2").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises((duckdb.Error, RefinebioError), match=r"LAB-2\.parquet"):
        Warehouse().build(storage)
    assert ask(storage, "SELECT count(*) FROM samples") == [(2,)]


# --- odd homes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["it's here", "a b", "[ab]c", "*", "{a,b}c", "run=1", "#1 100%", "ü"],
)
def test_a_home_of_any_name(tmp_path: Path, name: str) -> None:
    storage = Storage(home=str(tmp_path / name / "home"))
    fill(storage)
    decoy = Storage(home=str(tmp_path / "abc" / "home"))  # what a wildcard would find as well
    fill(decoy, "LAB-9")
    counts = Warehouse().build(storage)
    assert counts["samples"] == 2
    assert counts["genes"] == 2
    assert counts["sample_status"] == 2
    assert ask(storage, "SELECT DISTINCT experiment, organism FROM expression") == [
        ("LAB-1", "HOMO_SAPIENS")
    ]


@pytest.mark.parametrize("name", ["a?c", "a\\c", "organism=X", "technology=X"])
def test_a_home_whose_name_duckdb_misreads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefinebioError, match=r"DuckDB misreads .*Set REFINEBIO_HOME"):
        Warehouse().build(Storage(home=str(tmp_path / name)))


def test_the_catalogue_is_read_from_anywhere(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the home was given as a relative path while it was built."""
    fill(storage)
    monkeypatch.chdir(tmp_path)
    Warehouse().build(Storage(home="home"))
    monkeypatch.chdir(os.sep)
    assert ask(storage, "SELECT count(*) FROM expression") == [(2,)]
